//! The delivery: outbox rows become calls.
//!
//! One [`Courier`] per session, one call in flight. It takes the best row that its lane, the ceilings and the pacing let
//! go, has a removal looked at again on fresh facts ([`Witness`]), begins the call durably, makes it, and settles it.
//! Nothing sleeps with a claim in hand: whatever must wait stays a waiting row.
//!
//! It decides nothing about people and knows no policy; it meets the pipeline only in the outbox.

mod account;
mod breaker;
mod call;
mod checkup;
mod clearance;
mod forms;
mod inquiry;
mod lanes;
mod listed;
mod outcome;
mod pacing;
mod provisioning;
mod quota;
mod reads;
mod reconcile;
mod rights;
mod verify;

pub use checkup::Checkup;
pub use inquiry::PhoneRequest;
pub use listed::Listed;

use crate::{
    action::Class,
    clock::{Clock, Timestamp},
    config::Config,
    facts::Standing,
    ids::{GroupId, Lid, OutboxId, SessionName},
    limits::{Ceilings, Ledger, Permit},
    retry,
    silence::Signs,
    store::{Row, Store, StoreError},
    telemetry::Metrics,
    wawp::client::Client,
};
use async_trait::async_trait;
use breaker::Breaker;
use clearance::{Clearance, Looks};
use lanes::Lanes;
use pacing::Pacing;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Rows looked at in one step, and at most while all of them are held up.
const HEADS: u32 = 64;
const MOST_HEADS: u32 = 4096;

/// After the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// A probe that succeeded vouches for the gateway this long.
const VOUCHED: Duration = Duration::from_secs(5);

/// Looks again at a removal just before it is sent (P5).
#[async_trait]
pub trait Witness: Send + Sync + 'static {
    /// Whether the removal is still asked for, on fresh facts.
    async fn look(&self, row: &Row) -> Result<Standing, StoreError>;
}

/// What a courier works with; the composition root fills it in.
pub struct Parts {
    /// The session.
    pub session: SessionName,
    /// Its client.
    pub client: Client,
    /// The configuration.
    pub config: Arc<Config>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The wall clock: when a roster was read.
    pub wall: Arc<dyn Clock>,
    /// The steady clock: schedules and the ledger.
    pub steady: Arc<dyn Clock>,
    /// The ceilings; shared likewise.
    pub ceilings: Arc<Mutex<Ceilings>>,
    /// The ledger, as restored; shared with whoever shows it.
    pub ledger: Arc<Mutex<Ledger>>,
    /// Who looks again at removals.
    pub witness: Arc<dyn Witness>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Tells that the outbox has changed.
    pub outbox_bell: watch::Receiver<()>,
    /// To ring when a roster was appended to the journal.
    pub journal_bell: Arc<Notify>,
    /// Rosters asked for.
    pub rosters: mpsc::UnboundedReceiver<GroupId>,
    /// Phones asked for.
    pub phones: mpsc::Receiver<PhoneRequest>,
    /// The numbers that lists name.
    pub listed: Arc<dyn Listed>,
    /// The LIDs on those lists that nobody could match when the daemon started.
    pub unpaired: Vec<Lid>,
    /// What is asked about the session itself.
    pub checkups: mpsc::UnboundedReceiver<Checkup>,
    /// Where it is told how the session is.
    pub signs: Signs,
    /// The longest wait while nothing rings and nothing is due.
    pub idle: Duration,
}

/// One session's deliverer.
pub struct Courier {
    session: SessionName,
    client: Client,
    config: Arc<Config>,
    store: Arc<dyn Store>,
    wall: Arc<dyn Clock>,
    steady: Arc<dyn Clock>,
    ceilings: Arc<Mutex<Ceilings>>,
    ledger: Arc<Mutex<Ledger>>,
    metrics: Arc<Metrics>,
    outbox_bell: watch::Receiver<()>,
    journal_bell: Arc<Notify>,
    rosters: mpsc::UnboundedReceiver<GroupId>,
    phones: mpsc::Receiver<PhoneRequest>,
    listed: Arc<dyn Listed>,
    checkups: checkup::Checkups,
    signs: Signs,
    idle: Duration,
    pacing: Pacing,
    lanes: Lanes,
    looks: Looks,
    standing: rights::Standing,
    wanted: reads::Wanted,
    rounds: reconcile::Rounds,
    inquiry: inquiry::Inquiry,
    /// After a write somebody who asks for a phone comes first.
    phones_turn: bool,
    /// When to ask which groups we are in.
    listing_due: Option<Timestamp>,
    /// When to ask who we are.
    naming_due: Option<Timestamp>,
    /// Our own number may have been paired anew or restricted.
    account_due: bool,
    /// What the gateway allows, and when to ask it again.
    quota: quota::Asking,
    forms: forms::Forms,
    /// What the row that goes next needs beside itself.
    prepared: Option<(OutboxId, provisioning::Prepared)>,
    health: Health,
    /// Ends the work; set when it begins.
    stop: CancellationToken,
}

/// What a courier thinks of its gateway.
struct Health {
    /// No call before.
    paused_until: Timestamp,
    /// No call about a group before, and no cold message: a 429 is WhatsApp's, and it comes from groups.
    groups_paused_until: Timestamp,
    /// Whether cold messages may go.
    breaker: Breaker,
    /// A call failed in a way that may be the gateway's: ask before the next write.
    suspect: bool,
    /// Failed probes in a row.
    failed_probes: u32,
    /// When a probe succeeded last, by elapsed time.
    vouched: Option<Duration>,
    /// Whether the session was ready when it was asked last.
    ready: Option<bool>,
}

impl Health {
    fn new() -> Self {
        Self {
            paused_until: Timestamp(0),
            groups_paused_until: Timestamp(0),
            breaker: Breaker::default(),
            suspect: false,
            failed_probes: 0,
            vouched: None,
            ready: None,
        }
    }
}

/// What a step came to.
enum Step {
    /// Something was done: look again at once.
    Again,
    /// Nothing to do before then, unless a bell rings.
    At(Option<Timestamp>),
}

impl Courier {
    /// Puts it together; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        let now = parts.steady.now();
        let pacing = Pacing::new(parts.config.pacing, parts.steady.clone());
        let looks =
            Looks::new(parts.witness, parts.config.policies.fresh_for, parts.config.policies.evidence_wait);
        let every = parts.config.reconcile.every;
        Self {
            session: parts.session,
            client: parts.client,
            config: parts.config,
            store: parts.store,
            wall: parts.wall,
            steady: parts.steady,
            ceilings: parts.ceilings,
            ledger: parts.ledger,
            metrics: parts.metrics,
            outbox_bell: parts.outbox_bell,
            journal_bell: parts.journal_bell,
            rosters: parts.rosters,
            phones: parts.phones,
            listed: parts.listed,
            inquiry: inquiry::Inquiry::new(now, parts.unpaired),
            checkups: checkup::Checkups::new(parts.checkups),
            signs: parts.signs,
            idle: parts.idle,
            pacing,
            lanes: Lanes::default(),
            looks,
            standing: rights::Standing::default(),
            wanted: reads::Wanted::default(),
            rounds: reconcile::Rounds::new(every),
            phones_turn: false,
            listing_due: None,
            naming_due: None,
            account_due: true,
            quota: quota::Asking::default(),
            forms: forms::Forms::default(),
            prepared: None,
            health: Health::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Works until `stop`; the call in flight is finished and settled first.
    pub async fn run(mut self, stop: CancellationToken) {
        self.stop = stop.clone();
        if let Err(error) = self.introduce().await {
            tracing::error!(session = %self.session, error = %error, "the session could not introduce itself");
        }
        while !stop.is_cancelled() {
            match self.step().await {
                Ok(Step::Again) => {}
                Ok(Step::At(due)) => {
                    self.take_canaries().await;
                    self.wait(due, &stop).await;
                }
                Err(error) => {
                    tracing::error!(session = %self.session, error = %error, "the outbox cannot be worked on now");
                    // No bell ends this: a second look at a removal that cannot begin would be one, again and again.
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
            }
        }
    }

    async fn wait(&mut self, due: Option<Timestamp>, stop: &CancellationToken) {
        let pause = due.map_or(self.idle, |due| due.since(self.steady.now()).min(self.idle));
        // In one order, so that equal worlds go equal ways.
        let request = tokio::select! {
            biased;
            _ = self.outbox_bell.changed() => {
                self.inquiry.bell();
                self.account_due = true;
                None
            }
            () = self.looks.changed() => None,
            group = self.rosters.recv() => {
                if let Some(group) = group { self.wanted.ask(group, self.steady.now()); }
                None
            }
            request = self.phones.recv() => request,
            () = self.checkups.asked() => None,
            () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => None,
            () = stop.cancelled() => None,
        };
        if let Some(request) = request
            && let Err(error) = self.answer_phone(request).await
        {
            tracing::error!(session = %self.session, error = %error, "a phone could not be looked up");
        }
    }

    async fn step(&mut self) -> Result<Step, StoreError> {
        let Step::At(asked_due) = self.answer_checkup(self.steady.now()).await? else {
            return Ok(Step::Again);
        };
        Ok(match self.work().await? {
            Step::At(due) => Step::At([due, asked_due].into_iter().flatten().min()),
            Step::Again => Step::Again,
        })
    }

    async fn work(&mut self) -> Result<Step, StoreError> {
        let now = self.steady.now();
        if now < self.health.paused_until {
            return Ok(Step::At(Some(self.health.paused_until)));
        }
        if self.health.suspect {
            return self.probe(now).await;
        }
        self.verify(now).await?;
        // Writes and look-ups take turns: neither a raid's removals nor its hidden numbers may starve the other.
        if std::mem::take(&mut self.phones_turn)
            && let Ok(request) = self.phones.try_recv()
        {
            self.answer_phone(request).await?;
            return Ok(Step::Again);
        }
        let write = self.write(now).await?;
        let Step::At(write_due) = write else {
            self.phones_turn = true;
            return Ok(Step::Again);
        };
        let read_due = match self.read(now).await? {
            Ok(()) => return Ok(Step::Again),
            Err(due) => due,
        };
        if let Ok(request) = self.phones.try_recv() {
            self.answer_phone(request).await?;
            return Ok(Step::Again);
        }
        // What is due already waits for a place, a pause or a lane, and those have told their own time.
        let row_due = self.store.next_due(&self.session, now).await?.filter(|due| *due > now);
        Ok(Step::At([write_due, read_due, row_due].into_iter().flatten().min()))
    }

    /// Asks the gateway something harmless. While it fails no row is tried, so no message meets a hanging gateway and
    /// the order of the lanes stands; once it is back after an outage, every row that failed is due at once.
    async fn probe(&mut self, now: Timestamp) -> Result<Step, StoreError> {
        let vouched =
            self.health.vouched.is_some_and(|at| self.steady.elapsed().saturating_sub(at) < VOUCHED);
        if vouched {
            self.health.suspect = false;
            return Ok(Step::Again);
        }
        match self.permit(&[Class::Read], now) {
            Permit::Granted => {}
            Permit::NotBefore(at) => return Ok(Step::At(Some(at))),
            Permit::AfterCall => return Ok(Step::At(None)),
            // Reads are switched off: the row's own back-off has to do.
            Permit::Never => {
                self.health.suspect = false;
                return Ok(Step::Again);
            }
        }
        let client = self.client.clone();
        let outcome = self.reading(&[Class::Read], async move { client.me().await }).await?;
        if let Err(error) = &outcome
            && let Some(least) = outcome::least_pause(error)
        {
            self.health.failed_probes += 1;
            let attempts = self.health.failed_probes.min(retry::LANE_PATIENCE);
            self.health.paused_until =
                self.steady.now() + retry::back_off(attempts, Some(least), fastrand::f64());
            if self.health.failed_probes == 1 {
                let text = format!("{}: the gateway does not work, calls wait: {error}", self.session);
                self.alert("gateway", self.session.as_str(), &text).await?;
            }
            return Ok(Step::At(Some(self.health.paused_until)));
        }
        let was_away = self.health.failed_probes > 0;
        self.health.suspect = false;
        self.health.failed_probes = 0;
        self.health.vouched = Some(self.steady.elapsed());
        if was_away {
            self.back_again().await?;
        }
        Ok(Step::Again)
    }

    /// The gateway works again: rows that failed are due now, in their order.
    async fn back_again(&mut self) -> Result<(), StoreError> {
        let now = self.steady.now();
        self.lanes.free_all(now);
        let hastened = self.store.hasten_rows(&self.session, now).await?;
        // While it was away it may have heard what it never told us.
        self.look_everywhere();
        tracing::info!(session = %self.session, rows = hastened, "the gateway works again");
        Ok(())
    }

    /// Makes the next writing call, if one may go.
    async fn write(&mut self, now: Timestamp) -> Result<Step, StoreError> {
        if let Err(at) = self.pacing.peek(now) {
            return Ok(Step::At(Some(at)));
        }
        if let Some(until) = self.quota.awaited(now) {
            return Ok(Step::At(Some(until)));
        }
        if std::mem::take(&mut self.account_due) {
            self.heed_account().await?;
        }
        let (open, mut due) = self.open_classes(now);
        if open.is_empty() {
            return Ok(Step::At(due));
        }
        self.lanes.tidy(now);
        self.clear_doubts().await?;
        self.looks.begin_round(now);
        self.standing.tidy(now, self.config.policies.evidence_wait);
        let mut waiting_lanes = Lanes::default();
        let (mut passed, mut limit) = (0, HEADS);
        loop {
            let heads = self.store.heads(&self.session, &open, now, limit).await?;
            let found = heads.len();
            // More rows may have come meanwhile; those are found in the next step.
            for row in heads.into_iter().skip(passed) {
                if self.lanes.holds_up(&row, now) || waiting_lanes.holds_up(&row, now) {
                    continue;
                }
                match self.clear(&row, now).await? {
                    Clearance::Go { rows, classes } => return self.go(row, rows, classes, now).await,
                    Clearance::Settled => return Ok(Step::Again),
                    Clearance::Looking => {}
                    Clearance::Wait(until) => {
                        waiting_lanes.hold(&row, now + PAUSE);
                        due = [due, until].into_iter().flatten().min();
                    }
                }
            }
            // A lane that is held must not hide the others behind its length.
            if found < limit as usize || limit >= MOST_HEADS {
                return Ok(Step::At(due));
            }
            (passed, limit) = (found, limit * 8);
        }
    }

    /// Classes with a free place, and when the next of the others gets one.
    fn open_classes(&self, now: Timestamp) -> (Vec<Class>, Option<Timestamp>) {
        let (mut open, mut due) = (Vec::new(), None);
        if self.groups_paused(now) {
            due = Some(self.health.groups_paused_until);
        }
        for class in Class::ALL.into_iter().filter(|class| *class != Class::ColdDm) {
            if self.groups_paused(now) && class != Class::Dm {
                continue;
            }
            match self.permit(&[class], now) {
                Permit::Granted | Permit::Never => open.push(class),
                Permit::NotBefore(at) => due = [due, Some(at)].into_iter().flatten().min(),
                Permit::AfterCall => {}
            }
        }
        (open, due)
    }

    async fn alert(&self, kind: &str, key: &str, text: &str) -> Result<(), StoreError> {
        self.metrics.alert(kind);
        tracing::warn!(kind, session = %self.session, "alert: {text}");
        self.store.alert(self.steady.now(), kind, key, text).await
    }

    fn permit(&self, classes: &[Class], now: Timestamp) -> Permit {
        let ceilings = self.ceilings();
        self.ledger().check_all(&ceilings, classes, now)
    }

    fn ceilings(&self) -> MutexGuard<'_, Ceilings> {
        self.ceilings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_paused(&self) -> bool {
        let now = self.steady.now();
        self.health.suspect || now < self.health.paused_until || self.groups_paused(now)
    }

    fn groups_paused(&self, now: Timestamp) -> bool {
        now < self.health.groups_paused_until
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
