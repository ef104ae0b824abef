//! Whether a row may go now: its place under the ceilings, its evidence, its audience.

use super::{Courier, Witness};
use crate::{
    action::{Call, Class, RowState},
    clock::Timestamp,
    facts::Standing,
    ids::OutboxId,
    limits::Permit,
    store::{Row, Settled, StoreError},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinHandle};

/// A private message to somebody who has not written for this long is cold (DESIGN §4; tokens last about 28 days,
/// whatsapp-reality.md §4.1).
const WARM_FOR: Duration = Duration::from_secs(28 * 24 * 3600);

/// A look that takes longer than this goes on in the background while other lanes are served.
const AT_ONCE: Duration = Duration::from_millis(20);

/// So many looks are under way at once; a source that hangs is not asked by everybody.
const LOOKS_AT_ONCE: usize = 16;

/// Evidence that is missing is looked for again after this long at least, and at most. In between after a quarter of the
/// time since it was missed first: who is back soon is asked soon, and a long outage is no stampede.
const EVIDENCE_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Whether a row may go.
pub(super) enum Clearance {
    /// With these rows (itself first), counting under these classes.
    Go { rows: Vec<Row>, classes: Vec<Class> },
    /// It was settled or put off instead.
    Settled,
    /// Its lane waits; perhaps until then.
    Wait(Option<Timestamp>),
    /// It is being looked at. Its lane does not wait: whoever is behind it may be blacklisted beyond doubt.
    Looking,
}

/// Second looks under way.
pub(super) struct Looks {
    witness: Arc<dyn Witness>,
    fresh_for: Duration,
    evidence_wait: Duration,
    under_way: HashMap<OutboxId, (Timestamp, JoinHandle<Result<Standing, StoreError>>)>,
    /// Since when evidence is missing.
    unclear_since: HashMap<OutboxId, Timestamp>,
    /// How long the next look may take before others are served.
    patience: Duration,
    bell: Arc<Notify>,
}

impl Looks {
    pub(super) fn new(witness: Arc<dyn Witness>, fresh_for: Duration, evidence_wait: Duration) -> Self {
        Self {
            witness,
            fresh_for,
            evidence_wait,
            under_way: HashMap::new(),
            unclear_since: HashMap::new(),
            patience: AT_ONCE,
            bell: Arc::new(Notify::new()),
        }
    }

    /// Waits until a look has come to something.
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }

    /// Before another round over the rows: patience is new, and what nobody came back for is forgotten.
    pub(super) fn begin_round(&mut self, now: Timestamp) {
        self.patience = AT_ONCE;
        let fresh_for = self.fresh_for;
        // Longer than the wait and the pause between two looks, however short the wait is.
        let remembered = self.evidence_wait * 2 + EVIDENCE_AGAIN.1 * 2;
        self.under_way.retain(|_, (since, look)| !look.is_finished() || now.since(*since) <= fresh_for);
        self.unclear_since.retain(|_, since| now.since(*since) <= remembered);
    }

    /// The standing of a removal; `None` while the look is under way, or waits for others to end. A look that came to
    /// something while the row could not go is worth nothing once it is older than `fresh_for`: it is made again.
    ///
    /// A look that fails or panics is missing evidence of that row, never a reason to stop the others.
    async fn standing(&mut self, row: &Row, now: Timestamp) -> Result<Option<Standing>, StoreError> {
        let begun = self.under_way.remove(&row.id);
        let begun = begun.filter(|(since, look)| !look.is_finished() || now.since(*since) <= self.fresh_for);
        let (since, mut look) = match begun {
            Some(begun) => begun,
            None if self.under_way.len() >= LOOKS_AT_ONCE => return Ok(None),
            None => (now, self.start(row.clone())),
        };
        match tokio::time::timeout(self.patience, &mut look).await {
            Ok(Ok(Ok(standing))) => Ok(Some(standing)),
            Ok(Ok(Err(StoreError::Broken(why)))) => {
                Ok(Some(Standing::Unclear(format!("the second look failed: {why}"))))
            }
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(died)) => Ok(Some(Standing::Unclear(format!("the second look died: {died}")))),
            Err(_) => {
                self.patience = Duration::ZERO;
                self.under_way.insert(row.id, (since, look));
                Ok(None)
            }
        }
    }

    fn start(&self, row: Row) -> JoinHandle<Result<Standing, StoreError>> {
        let (witness, bell) = (self.witness.clone(), self.bell.clone());
        tokio::spawn(async move {
            let standing = witness.look(&row).await;
            bell.notify_one();
            standing
        })
    }
}

impl Courier {
    /// Frees the lanes of removals whose outcome has become known.
    pub(super) async fn clear_doubts(&mut self) -> Result<(), StoreError> {
        if self.lanes.has_doubts() {
            let doubtful = self.store.unknown_removals(&self.session, Timestamp(i64::MAX)).await?;
            self.lanes.keep_doubts(&doubtful.iter().map(|row| row.id).collect());
        }
        Ok(())
    }

    /// Whether this row may go now.
    pub(super) async fn clear(&mut self, row: &Row, now: Timestamp) -> Result<Clearance, StoreError> {
        let classes = self.classes(row, now);
        if classes.contains(&Class::ColdDm)
            && let Some(until) = self.cold_wait(now)
        {
            return self.put_off(row, until, row.note.clone(), now).await;
        }
        match self.permit(&classes, now) {
            Permit::Granted => {}
            Permit::NotBefore(at) if classes.len() > 1 => {
                return self.put_off(row, at, row.note.clone(), now).await;
            }
            Permit::NotBefore(at) => return Ok(Clearance::Wait(Some(at))),
            Permit::AfterCall => return Ok(Clearance::Wait(None)),
            Permit::Never => {
                let name = classes.last().map_or("", |class| class.as_str());
                let note = format!("switched off by the configuration: [limits] {name} allows no call");
                return self.end(row, RowState::Refused, note, now).await;
            }
        }
        if let Some(held) = self.lacks_right(row, now).await? {
            return Ok(held);
        }
        if let Some(put_off) = self.lacks_form(row, now).await? {
            return Ok(put_off);
        }
        match &row.call {
            Call::Remove { .. } => self.clear_removal(row, classes, now).await,
            Call::Welcome { .. } => self.clear_welcome(row, classes, now).await,
            Call::Add { .. } => self.clear_add(row, classes, now).await,
            Call::Invite { .. } => self.clear_invite(row, classes, now).await,
            Call::CreateGroup { .. } => self.clear_create(row, classes, now).await,
            Call::Dm { .. }
            | Call::Say { .. }
            | Call::AnnounceOnly { .. }
            | Call::RevokeInvite { .. }
            | Call::SetSubject { .. }
            | Call::SetDescription { .. }
            | Call::LockInfo { .. }
            | Call::Promote { .. } => Ok(Clearance::Go { rows: vec![row.clone()], classes }),
        }
    }

    /// The classes a row counts under.
    fn classes(&self, row: &Row, now: Timestamp) -> Vec<Class> {
        let warm = row.wrote_to_us_at.is_some_and(|at| at + WARM_FOR > now);
        match row.call {
            Call::Dm { .. } | Call::Invite { .. } if !warm => vec![Class::Dm, Class::ColdDm],
            _ => vec![row.call.class()],
        }
    }

    async fn clear_removal(
        &mut self,
        row: &Row,
        classes: Vec<Class>,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        if let Some(given_up) = self.give_up_silent(row, now).await? {
            return Ok(given_up);
        }
        let Some(standing) = self.looks.standing(row, now).await? else { return Ok(Clearance::Looking) };
        if !matches!(standing, Standing::Unclear(_)) {
            self.looks.unclear_since.remove(&row.id);
        }
        match standing {
            Standing::Asked => Ok(Clearance::Go { rows: vec![row.clone()], classes }),
            Standing::Withdrawn(why) => self.end(row, RowState::Cancelled, why, now).await,
            Standing::Refused(why) => self.end(row, RowState::Refused, why, now).await,
            Standing::Unclear(why) => {
                let since = *self.looks.unclear_since.entry(row.id).or_insert(now);
                if now.since(since) < self.looks.evidence_wait {
                    let note = format!("waits for evidence: {why}");
                    // Its lane goes on: what is missing for one is no reason to spare the next.
                    let until = now + (now.since(since) / 4).clamp(EVIDENCE_AGAIN.0, EVIDENCE_AGAIN.1);
                    let later = Settled {
                        state: RowState::Waiting,
                        not_before: Some(until),
                        note: Some(note),
                        counts: true,
                    };
                    self.store.settle(None, vec![(row.id, later)], self.wall.now(), now).await?;
                    return Ok(Clearance::Settled);
                }
                self.looks.unclear_since.remove(&row.id);
                let note = format!("no evidence within [policies] evidence_wait: {why}");
                let text = format!("a removal was dropped ({}, {}): {note}", row.id, row.decision);
                self.alert("evidence", &format!("{} {why}", self.session), &text).await?;
                self.end(row, RowState::Cancelled, note, now).await
            }
        }
    }

    /// A welcome goes out for all who are still there.
    async fn clear_welcome(
        &mut self,
        row: &Row,
        classes: Vec<Class>,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        let batch = self.store.welcome_batch(row.id).await?;
        let (here, gone): (Vec<Row>, Vec<Row>) =
            batch.into_iter().partition(|row| row.present != Some(false));
        if !gone.is_empty() {
            let settled =
                gone.iter().map(|row| (row.id, ended(RowState::Cancelled, "left before the welcome".into())));
            self.store.settle(None, settled.collect(), self.wall.now(), now).await?;
            self.metrics.action("welcome", RowState::Cancelled, gone.len());
        }
        if here.is_empty() { Ok(Clearance::Settled) } else { Ok(Clearance::Go { rows: here, classes }) }
    }

    pub(super) async fn put_off(
        &mut self,
        row: &Row,
        until: Timestamp,
        note: Option<String>,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        let later = Settled { state: RowState::Waiting, not_before: Some(until), note, counts: true };
        self.store.settle(None, vec![(row.id, later)], self.wall.now(), now).await?;
        self.lanes.hold(row, until);
        Ok(Clearance::Settled)
    }

    pub(super) async fn end(
        &mut self,
        row: &Row,
        state: RowState,
        note: String,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        tracing::info!(
            session = %self.session, row = %row.id, decision = %row.decision, state = %state, note,
            "{}", row.call.name()
        );
        self.metrics.action(row.call.name(), state, 1);
        self.store.settle(None, vec![(row.id, ended(state, note))], self.wall.now(), now).await?;
        Ok(Clearance::Settled)
    }
}

fn ended(state: RowState, note: String) -> Settled {
    Settled { state, not_before: None, note: Some(note), counts: true }
}
