//! The pipeline: journal entries become decisions.
//!
//! Two halves, each one commit: entries are *applied* (vendor JSON → events → directory, runs written as pending), and
//! runs are *decided* (facts, policy, decision with its outbox rows). The directory changes in journal order; runs are
//! ordered per person; a run that waits for a slow fact holds up nobody else. Everything taken up is durable,
//! so a kill at any moment leaves nothing but work to do again.
//!
//! It sends nothing: what it decides is in the outbox, and the delivery's bell is rung.

mod decision;
mod desk;
mod gathering;
mod guard;
mod intake;
mod lifting;
mod listing;
mod preview;
mod reexamine;
mod report;
mod shared;
mod sparing;
mod sweep;
mod velocity;

pub use gathering::Identities;
pub use listing::take_local_list;
pub use preview::{NoPreview, Preview, Touched};
pub use sparing::Changed;
pub use sweep::places;

use crate::{
    aside,
    clock::{Clock, Timestamp},
    config::{self, Config},
    event::Hook,
    facts::{Facts, Need},
    ids::{EntryId, GroupId, SessionName},
    lists::ListBook,
    policy::{Outcome, PolicyBook, PolicyError, PolicySet},
    silence::{Sign, Signs},
    store::{Entry, Raised, Reading, RunInput, RunRecord, RunState, Store, StoreError},
    subscriptions::SubscriptionBook,
    telemetry::Metrics,
};
use desk::{Desk, Fetched, Unfetched};
use gathering::{Gathering, Progress};
use std::{
    sync::{Arc, RwLock},
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use velocity::{Move, REACH, Velocity};

/// Entries taken in one transaction.
const ENTRIES_AT_ONCE: u32 = 512;

/// Runs decided in one transaction.
const RUNS_AT_ONCE: usize = 256;

/// How often pending runs are looked for at most: a retry puts old ones back.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// After the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What making a run came to.
enum Made {
    Record(Box<RunRecord>),
    Missing(Box<Facts>, Vec<Need>),
}

/// What the pipeline works with; the composition root fills it in.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The wall clock: what facts are judged by.
    pub wall: Arc<dyn Clock>,
    /// The steady clock: what schedules are kept by.
    pub steady: Arc<dyn Clock>,
    /// The policies in force.
    pub policies: Arc<PolicyBook>,
    /// The lists in force.
    pub lists: Arc<ListBook>,
    /// Who pays.
    pub subscriptions: Arc<SubscriptionBook>,
    /// Phones behind LIDs.
    pub identities: Arc<dyn Identities>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Rung when the journal has grown.
    pub bell: Arc<Notify>,
    /// To ring when the outbox has changed.
    pub outbox_bell: watch::Sender<()>,
    /// Where it is told what entries told of ourselves.
    pub signs: Signs,
    /// Where wanted rosters are asked for.
    pub rosters: mpsc::UnboundedSender<(SessionName, GroupId)>,
    /// The longest wait while nothing rings and no timer is due.
    pub idle: Duration,
}

/// The pipeline.
pub struct Pipeline {
    store: Arc<dyn Store>,
    steady: Arc<dyn Clock>,
    policies: Arc<PolicyBook>,
    metrics: Arc<Metrics>,
    bell: Arc<Notify>,
    outbox_bell: watch::Sender<()>,
    rosters: mpsc::UnboundedSender<(SessionName, GroupId)>,
    idle: Duration,
    signs: Signs,
    gathering: Gathering,
}

impl Pipeline {
    /// Puts it together; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            steady: parts.steady,
            policies: parts.policies,
            bell: parts.bell,
            outbox_bell: parts.outbox_bell,
            rosters: parts.rosters,
            signs: parts.signs,
            idle: parts.idle,
            metrics: parts.metrics.clone(),
            gathering: Gathering {
                config: parts.config,
                wall: parts.wall,
                lists: parts.lists,
                subscriptions: parts.subscriptions,
                velocity: RwLock::new(Velocity::default()),
                identities: parts.identities,
                metrics: parts.metrics,
            },
        }
    }

    /// Works until `stop`; a transaction begun is finished first.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (send, mut fetched) = mpsc::unbounded_channel::<Fetched>();
        let mut desk = Desk::default();
        while !stop.is_cancelled() {
            match self.take_up(&mut desk).await {
                Ok(()) => break,
                Err(error) => self.rest(&error, &stop).await,
            }
        }
        while !stop.is_cancelled() {
            while let Ok(done) = fetched.try_recv() {
                desk.take_fetched(done);
            }
            match self.step(&mut desk, &send).await {
                Ok(true) => {}
                Ok(false) => self.wait(&mut desk, &mut fetched, &stop).await,
                Err(error) => self.rest(&error, &stop).await,
            }
        }
    }

    /// What a start finds: pending runs, and the moves that the velocity counters need.
    async fn take_up(&self, desk: &mut Desk) -> Result<(), StoreError> {
        for id in self.store.pending_runs().await? {
            desk.enqueue(id);
        }
        let since = self.gathering.wall.now() - REACH;
        for (group, at, joined) in self.store.arrivals_since(since).await? {
            self.note(&group, at, if joined { Move::Join } else { Move::Leave });
        }
        Ok(())
    }

    async fn rest(&self, error: &StoreError, stop: &CancellationToken) {
        tracing::error!(error = %error, "the pipeline cannot work now, it tries again in a second");
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }

    async fn wait(
        &self,
        desk: &mut Desk,
        fetched: &mut mpsc::UnboundedReceiver<Fetched>,
        stop: &CancellationToken,
    ) {
        let timer = desk.next_timer.map(|due| due.since(self.steady.now()));
        let look = desk.look_due.map(|due| due.saturating_sub(self.steady.elapsed()));
        let pause = [timer, look].into_iter().flatten().fold(self.idle, Duration::min);
        tokio::select! {
            // In one order, so that equal worlds go equal ways.
            biased;
            () = self.bell.notified() => {}
            Some(done) = fetched.recv() => desk.take_fetched(done),
            () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
            () = stop.cancelled() => {}
        }
    }

    /// One round: due timers, new entries, runs; a step of a sweep where there is nothing else. Answers whether there was
    /// anything to do.
    async fn step(
        self: &Arc<Self>,
        desk: &mut Desk,
        send: &mpsc::UnboundedSender<Fetched>,
    ) -> Result<bool, StoreError> {
        let (fired, next) = self.store.fire_timers(self.steady.now()).await?;
        desk.next_timer = next;
        let entries = self.store.unread(EntryId(0), ENTRIES_AT_ONCE).await?;
        let any = fired > 0 || !entries.is_empty();
        if !entries.is_empty() {
            self.apply(entries, desk).await?;
        }
        let busy = self.decide(desk, send).await? || any;
        if busy || !desk.is_free() {
            return Ok(busy);
        }
        self.store.sweep_on(self.steady.now()).await
    }

    /// Applies entries together; if that fails, one by one, so that a single bad one stops nobody else.
    async fn apply(&self, entries: Vec<Entry>, desk: &mut Desk) -> Result<(), StoreError> {
        let own = self.store.own_sessions().await?;
        let config = &self.gathering.config;
        let readings: Vec<(EntryId, Reading)> =
            entries.iter().map(|entry| (entry.id, intake::read(entry, config, &own))).collect();
        match self.store.apply(readings.clone()).await {
            Ok(applied) => self.applied(&readings, applied, desk),
            Err(StoreError::Broken(_)) if readings.len() > 1 => {
                for reading in readings {
                    self.apply_one(reading, desk).await?;
                }
            }
            Err(StoreError::Broken(why)) => {
                for reading in readings {
                    self.give_up(reading.0, &why, desk).await?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn apply_one(&self, reading: (EntryId, Reading), desk: &mut Desk) -> Result<(), StoreError> {
        match self.store.apply(vec![reading.clone()]).await {
            Ok(applied) => self.applied(&[reading], applied, desk),
            Err(StoreError::Broken(why)) => self.give_up(reading.0, &why, desk).await?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// An entry that the directory cannot take is kept and shown, like one that cannot be read.
    async fn give_up(&self, id: EntryId, why: &str, desk: &mut Desk) -> Result<(), StoreError> {
        tracing::error!(entry = %id, error = why, "an entry could not be applied, it is kept as unreadable");
        let reading = (id, Reading::Unreadable(format!("could not be applied: {why}")));
        let applied = self.store.apply(vec![reading.clone()]).await?;
        self.applied(&[reading], applied, desk);
        Ok(())
    }

    fn applied(&self, readings: &[(EntryId, Reading)], applied: crate::store::Applied, desk: &mut Desk) {
        self.tell_of_entries(readings);
        for (group, at) in &applied.joins {
            self.note(group, *at, Move::Join);
        }
        for (group, at) in &applied.leaves {
            self.note(group, *at, Move::Leave);
        }
        for noticed in applied.noticed {
            let _ = self.signs.send(Sign::Noticed(noticed));
        }
        for wanted in applied.rosters_wanted {
            // Without a delivery (a stop is under way) the next start asks again.
            let _ = self.rosters.send(wanted);
        }
        if applied.outbox_changed {
            self.outbox_bell.send_replace(());
        }
        self.tell_raised(&applied.raised);
        for id in applied.runs {
            desk.enqueue(id);
        }
        for id in applied.looks {
            desk.enqueue_look(id);
        }
    }

    fn note(&self, group: &GroupId, at: Timestamp, way: Move) {
        let velocity = &self.gathering.velocity;
        velocity.write().unwrap_or_else(std::sync::PoisonError::into_inner).note(group, at, way);
    }

    /// Makes runs whose turn it is and commits what they came to.
    async fn decide(
        self: &Arc<Self>,
        desk: &mut Desk,
        send: &mpsc::UnboundedSender<Fetched>,
    ) -> Result<bool, StoreError> {
        // A retry makes old runs pending again; they are found when there is nothing else to do.
        let elapsed = self.steady.elapsed();
        let idle = desk.is_idle();
        desk.look_due = (idle && elapsed < desk.looked + LOOK_AGAIN).then_some(desk.looked + LOOK_AGAIN);
        if idle && desk.look_due.is_none() {
            desk.looked = elapsed;
            for id in self.store.pending_runs().await? {
                desk.enqueue(id);
            }
        }
        while let Some(run) = desk.unshelve() {
            self.fetch(run, send.clone());
        }
        let mut batch: Vec<(RunInput, Option<Facts>)> = Vec::new();
        while batch.len() < RUNS_AT_ONCE
            && let Some((input, facts)) = desk.ready.pop_front()
        {
            batch.push((input, Some(facts)));
        }
        let mut ids = desk.next(RUNS_AT_ONCE - batch.len());
        if ids.is_empty() && batch.is_empty() {
            ids = desk.next_looks();
        }
        if !ids.is_empty() {
            let inputs = match self.store.run_inputs(ids.clone()).await {
                Ok(inputs) => inputs,
                Err(error) => {
                    desk.put_back(ids, batch);
                    return Err(error);
                }
            };
            desk.forget_missing(&ids, &inputs);
            batch.extend(
                inputs.into_iter().filter_map(|input| desk.take_turn(input)).map(|input| (input, None)),
            );
        }
        if batch.is_empty() {
            return Ok(!ids.is_empty());
        }
        self.make(batch, desk, send).await?;
        Ok(true)
    }

    async fn make(
        self: &Arc<Self>,
        batch: Vec<(RunInput, Option<Facts>)>,
        desk: &mut Desk,
        send: &mpsc::UnboundedSender<Fetched>,
    ) -> Result<(), StoreError> {
        let set = self.policies.current();
        let (mut made, mut unfetched) = (Vec::with_capacity(batch.len()), Vec::new());
        // Scripts are bounded, but they are work: the runtime may move its other tasks elsewhere meanwhile.
        aside::run_here(|| {
            for (input, facts) in batch {
                match self.make_one(&input, facts, set.as_deref()) {
                    Made::Record(record) => made.push((input, *record)),
                    Made::Missing(facts, needs) => unfetched.push((input, *facts, needs)),
                }
            }
        });
        for run in unfetched {
            match run.0.sweep {
                Some(_) => desk.shelve(run),
                None => self.fetch(run, send.clone()),
            }
        }
        if made.is_empty() {
            return Ok(());
        }
        let records = made.iter().map(|(_, record)| record.clone()).collect();
        let raised = match self.store.commit(records).await {
            Ok(raised) => raised,
            Err(error) => {
                // Nothing of it happened: the runs are still pending and are made again.
                for (input, _) in made.into_iter().rev() {
                    desk.end_turn(&input);
                    desk.known.insert(input.id);
                    desk.queue.push_front(input.id);
                }
                return Err(error);
            }
        };
        self.tell_raised(&raised);
        let lists = listing::changed_by(made.iter().map(|(_, record)| record));
        for (input, record) in made {
            desk.end_turn(&input);
            self.tell(&input, &record);
        }
        self.outbox_bell.send_replace(());
        if lists {
            let Gathering { lists, wall, .. } = &self.gathering;
            take_local_list(&*self.store, lists, wall.now()).await?;
        }
        Ok(())
    }

    /// Makes one run, as far as the facts at hand carry it.
    fn make_one(&self, input: &RunInput, facts: Option<Facts>, set: Option<&PolicySet>) -> Made {
        let record = |record| Made::Record(Box::new(record));
        if input.group.id == GroupId::none() {
            // A canary: it asks for nothing, and the delivery hands it on.
            return record(self.unguarded(input));
        }
        let Some(block) = self.gathering.config.group_for(input.group.id.as_str()) else {
            return record(self.unguarded(input));
        };
        let case = self.case(input, block, set);
        let Some(set) = set else {
            let standing = self.policies.refused().unwrap_or_default();
            let error = PolicyError::no_set(&standing);
            return record(decision::failed(&case, &error));
        };
        let mut facts = match facts {
            Some(mut facts) => {
                self.gathering.renew(&mut facts);
                facts
            }
            None => self.gathering.base(input, block),
        };
        match self.gathering.advance(set, block, &mut facts, None) {
            Progress::Finished(Outcome::Decided(verdict)) => {
                let mut decided = decision::decided(&case, verdict);
                self.mind_shared_lists(input, &mut decided);
                record(decided)
            }
            Progress::Finished(Outcome::Failed(error)) => record(decision::failed(&case, &error)),
            Progress::Finished(Outcome::Needs(_)) => {
                let error = PolicyError::endless_needs(&block.chain);
                record(decision::failed(&case, &error))
            }
            Progress::Missing(needs) => Made::Missing(Box::new(facts), needs),
        }
    }

    fn fetch(self: &Arc<Self>, (input, facts, needs): Unfetched, send: mpsc::UnboundedSender<Fetched>) {
        let pipeline = self.clone();
        tokio::spawn(async move {
            let answers = pipeline.gathering.fetch(&input.session, &facts, needs, None).await;
            // A closed channel means a stop: the run stays pending and is made at the next start.
            let _ = send.send((input, facts, answers));
        });
    }

    fn case<'a>(
        &self,
        input: &'a RunInput,
        block: &'a config::Group,
        set: Option<&PolicySet>,
    ) -> decision::Case<'a> {
        let person = input.member.as_ref().map(|member| member.person).unwrap_or_default();
        decision::Case {
            input,
            block,
            allowlisted: self.gathering.lists.allowlisted(person, self.gathering.wall.now()),
            acting: self.acting(input),
            welcome_window: self.gathering.config.welcome.window,
            brake: self.gathering.config.brake,
            can_look_again: set.is_some_and(|set| set.defines(&block.chain, Hook::OnSweep)),
            now: self.steady.now(),
        }
    }

    /// A run whose group is guarded by nobody since the configuration changed.
    fn unguarded(&self, input: &RunInput) -> RunRecord {
        RunRecord {
            id: input.id,
            state: RunState::Decided,
            chain: Vec::new(),
            mode: config::Mode::Observe,
            block: String::new(),
            verdict: crate::facts::Verdict::default(),
            failure: None,
            decided_at: self.steady.now(),
            rows: Vec::new(),
            effects: Vec::new(),
            recheck_at: None,
            hidden: false,
        }
    }

    /// Log and counters of what the store has kept as alerts itself.
    fn tell_raised(&self, raised: &[Raised]) {
        for Raised { kind, text } in raised {
            self.metrics.alert(kind);
            tracing::warn!(kind, "alert: {text}");
        }
    }

    /// A source that was down is back: those who wait for it are looked at now.
    pub async fn source_is_back(&self) -> Result<usize, StoreError> {
        let hastened = self.store.hasten_rechecks(self.steady.now()).await?;
        self.bell.notify_one();
        Ok(hastened)
    }
}
