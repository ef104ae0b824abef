//! Embedded SQLite: one file, one writer that commits many requests at once, readers beside it.
//!
//! This file is the table of contents: each use case is a closure that runs in the writer's transaction
//! ([`writer`]) or on a reader's consistent view ([`readers`]); for tests both work in line ([`in_line`]). The SQL lives by idea in the other files.

use super::{
    Alert, Appended, Applied, CallId, ColdLock, Decision, Depths, Effect, Entry, Filter, KnownGroup,
    LedgerEntry, NewEntry, News, OwnSession, Post, PostOutcome, Pushed, Raised, Reading, Row, RunInput,
    RunRecord, Settled, Store, StoreError, Telling,
};
use crate::{
    action::Class,
    clock::{Clock, Timestamp, Uptime},
    facts::{GroupFacts, MemberFacts},
    ids::{DecisionId, EntryId, GroupId, OutboxId, Person, PersonId, Phone, SessionName},
};
use async_trait::async_trait;
use std::{fs::File, sync::Arc};
use tokio::sync::Notify;

mod account;
mod alerts;
mod apply;
mod brake;
mod causes;
mod changes;
mod checkpoint;
mod commit;
mod confirm;
mod delivery;
mod enqueue;
mod groups;
mod identity;
mod in_line;
mod incidents;
mod journal;
mod ledger;
mod local;
mod locks;
mod members;
mod open;
mod outbox;
mod pairs;
mod payments;
mod people;
mod provisioning;
mod prune;
mod pushed;
mod raid;
mod readers;
mod roster;
mod rulings;
mod sweep;
mod timers;
mod twins;
mod views;
mod watch;
mod withdrawal;
mod words;
mod writer;

pub use in_line::{Disk, open_in_line};
pub use open::open;

/// The store on one SQLite file. Dropping it finishes what is queued, closes the file and releases its lock.
pub struct SqliteStore {
    writer: writer::Writer,
    readers: readers::Readers,
    clock: Arc<dyn Clock>,
    alert_bell: Arc<Notify>,
    // The last field: it is released when everything else is closed.
    _lock: Option<File>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

/// A full or failing disk may recover; everything else is a bug or a damaged file.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(
                Code::DiskFull
                | Code::SystemIoFailure
                | Code::DatabaseBusy
                | Code::DatabaseLocked
                | Code::CannotOpen
                | Code::ReadOnly
                | Code::OutOfMemory,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, entries: Vec<NewEntry>) -> Result<Vec<Appended>, StoreError> {
        if entries.len() == 1 {
            return self.writer.run_single(move |db| journal::append(db, &entries)).await;
        }
        self.writer.run(move |db| journal::append(db, &entries)).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.writer.run_single(journal::probe).await
    }

    async fn unread(&self, after: EntryId, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.readers.read(move |db| journal::unread(db, after, limit)).await
    }

    async fn apply(&self, readings: Vec<(EntryId, Reading)>) -> Result<Applied, StoreError> {
        let now = self.clock.now();
        let applied = self.writer.run(move |db| apply::apply(db, &readings, now)).await?;
        if !applied.raised.is_empty() {
            self.alert_bell.notify_one();
        }
        Ok(applied)
    }

    async fn pending_runs(&self) -> Result<Vec<DecisionId>, StoreError> {
        self.readers.read(commit::pending).await
    }

    async fn run_inputs(&self, ids: Vec<DecisionId>) -> Result<Vec<RunInput>, StoreError> {
        let now = self.clock.now();
        self.readers.read(move |db| commit::inputs(db, &ids, now)).await
    }

    async fn commit(&self, records: Vec<RunRecord>) -> Result<Vec<Raised>, StoreError> {
        let is_alert = |effect: &Effect| matches!(effect, Effect::Alert { .. });
        let alerts = records.iter().any(|record| record.effects.iter().any(is_alert));
        let raised = self.writer.run(move |db| commit::commit(db, &records)).await?;
        if alerts || !raised.is_empty() {
            self.alert_bell.notify_one();
        }
        Ok(raised)
    }

    async fn fire_timers(&self, now: Timestamp) -> Result<(usize, Option<Timestamp>), StoreError> {
        let next = self.readers.read(timers::next).await?;
        if next.is_none_or(|due| due > now) {
            return Ok((0, next));
        }
        self.writer.run(move |db| timers::fire(db, now)).await
    }

    async fn hasten_rechecks(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.writer.run(move |db| timers::hasten(db, now)).await
    }

    async fn awaiting_recheck(&self, limit: u32) -> Result<Vec<Person>, StoreError> {
        self.readers.read(move |db| timers::awaiting(db, limit)).await
    }

    async fn arrivals_since(&self, since: Timestamp) -> Result<Vec<(GroupId, Timestamp, bool)>, StoreError> {
        self.readers.read(move |db| groups::arrivals(db, since)).await
    }

    async fn retry(&self, id: EntryId) -> Result<usize, StoreError> {
        self.writer.run(move |db| commit::retry(db, id)).await
    }

    async fn alert(&self, at: Timestamp, kind: &str, key: &str, text: &str) -> Result<(), StoreError> {
        let (kind, key, text) = (kind.to_owned(), key.to_owned(), text.to_owned());
        self.writer.run(move |db| alerts::keep(db, at, &kind, &key, &text)).await?;
        self.alert_bell.notify_one();
        Ok(())
    }

    fn alert_bell(&self) -> Arc<Notify> {
        self.alert_bell.clone()
    }

    async fn news(&self, since: Timestamp) -> Result<News, StoreError> {
        self.readers.read(move |db| incidents::news(db, since)).await
    }

    async fn tell(&self, telling: Telling, now: Timestamp) -> Result<(), StoreError> {
        self.writer.run(move |db| incidents::tell(db, &telling, now)).await
    }

    async fn posts(&self, now: Timestamp) -> Result<(Vec<Post>, Option<Timestamp>), StoreError> {
        self.readers.read(move |db| incidents::posts(db, now)).await
    }

    async fn posted(&self, id: i64, outcome: PostOutcome) -> Result<(), StoreError> {
        self.writer.run(move |db| incidents::posted(db, id, outcome)).await
    }

    async fn session_started(
        &self,
        name: &SessionName,
        me: Person,
        now: Timestamp,
    ) -> Result<OwnSession, StoreError> {
        let name = name.clone();
        self.writer.run(move |db| groups::session_started(db, &name, me, now)).await
    }

    async fn own_sessions(&self) -> Result<Vec<OwnSession>, StoreError> {
        self.readers.read(groups::own_sessions).await
    }

    async fn groups(&self) -> Result<Vec<KnownGroup>, StoreError> {
        self.readers.read(groups::known).await
    }

    async fn recover(&self, now: Timestamp, ledger_now: Timestamp) -> Result<(), StoreError> {
        self.writer.run(move |db| delivery::recover(db, now, ledger_now)).await
    }

    async fn heads(
        &self,
        session: &SessionName,
        classes: &[Class],
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let name = session.clone();
        if self.readers.read(move |db| delivery::sleeps(db, &name, now)).await? {
            let name = session.clone();
            self.writer.run(move |db| delivery::wake(db, &name, now)).await?;
        }
        let (name, classes) = (session.clone(), classes.to_vec());
        self.readers.read(move |db| delivery::heads(db, &name, &classes, now, limit)).await
    }

    async fn welcome_batch(&self, id: OutboxId) -> Result<Vec<Row>, StoreError> {
        self.readers.read(move |db| delivery::welcome_batch(db, id)).await
    }

    async fn pending_removals(&self, of: Option<Phone>) -> Result<Vec<Row>, StoreError> {
        self.readers.read(move |db| withdrawal::pending_removals(db, of)).await
    }

    async fn withdraw(&self, rows: Vec<(OutboxId, String)>) -> Result<usize, StoreError> {
        let now = self.clock.now();
        self.writer.run(move |db| withdrawal::withdraw(db, &rows, now)).await
    }

    async fn unknown_removals(&self, session: &SessionName, now: Timestamp) -> Result<Vec<Row>, StoreError> {
        let name = session.clone();
        self.readers.read(move |db| delivery::unknown_removals(db, &name, now)).await
    }

    async fn unconfirmed(
        &self,
        session: &SessionName,
        now: Timestamp,
        again: Timestamp,
    ) -> Result<Vec<GroupId>, StoreError> {
        let name = session.clone();
        if !self.readers.read(move |db| confirm::is_due(db, &name, now)).await? {
            return Ok(Vec::new());
        }
        let name = session.clone();
        self.writer.run(move |db| confirm::look(db, &name, now, again)).await
    }

    async fn next_due(
        &self,
        session: &SessionName,
        _now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let name = session.clone();
        self.readers.read(move |db| delivery::next_due(db, &name)).await
    }

    async fn begin(
        &self,
        session: &SessionName,
        rows: Vec<OutboxId>,
        classes: Vec<Class>,
        ledger_now: Timestamp,
    ) -> Result<Option<CallId>, StoreError> {
        let name = session.clone();
        self.writer.run(move |db| delivery::begin(db, &name, &rows, &classes, ledger_now)).await
    }

    async fn settle(
        &self,
        call: Option<CallId>,
        rows: Vec<(OutboxId, Settled)>,
        now: Timestamp,
        ledger_now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.run(move |db| delivery::settle(db, call, &rows, now, ledger_now)).await
    }

    async fn hasten_rows(&self, session: &SessionName, now: Timestamp) -> Result<usize, StoreError> {
        let name = session.clone();
        self.writer.run(move |db| delivery::hasten(db, &name, now)).await
    }

    async fn ledger(&self, session: &SessionName, since: Timestamp) -> Result<Vec<LedgerEntry>, StoreError> {
        let name = session.clone();
        self.readers.read(move |db| ledger::since(db, &name, since)).await
    }

    async fn keep_cold_lock(&self, session: &SessionName, lock: Option<ColdLock>) -> Result<(), StoreError> {
        let name = session.clone();
        self.writer.run(move |db| locks::keep(db, &name, lock.as_ref())).await
    }

    async fn cold_locks(&self) -> Result<Vec<(SessionName, ColdLock)>, StoreError> {
        self.readers.read(locks::all).await
    }

    async fn resume_time(&self, wall: Timestamp, uptime: Option<Uptime>) -> Result<Timestamp, StoreError> {
        self.writer.run(move |db| ledger::resume(db, wall, uptime.as_ref())).await
    }

    async fn push_subscription(&self, pushed: Pushed) -> Result<(), StoreError> {
        self.writer.run(move |db| pushed::keep(db, &pushed)).await
    }

    async fn drop_pushed(&self, phone: Phone) -> Result<(), StoreError> {
        self.writer.run(move |db| pushed::forget(db, phone)).await
    }

    async fn pushed(&self) -> Result<Vec<Pushed>, StoreError> {
        self.readers.read(pushed::all).await
    }

    async fn entries(&self, filter: Filter) -> Result<Vec<Entry>, StoreError> {
        self.readers.read(move |db| journal::entries(db, &filter)).await
    }

    async fn entry(&self, id: EntryId) -> Result<Option<Entry>, StoreError> {
        self.readers.read(move |db| journal::entry(db, id)).await
    }

    async fn entry_by_event_id(&self, event_id: &str) -> Result<Option<EntryId>, StoreError> {
        let event_id = event_id.to_owned();
        self.readers.read(move |db| journal::entry_by_event_id(db, &event_id)).await
    }

    async fn decisions(&self, filter: Filter) -> Result<Vec<Decision>, StoreError> {
        self.readers.read(move |db| views::decisions(db, &filter)).await
    }

    async fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError> {
        self.readers.read(move |db| views::decision(db, id)).await
    }

    async fn outbox(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        self.readers.read(move |db| views::outbox(db, &filter)).await
    }

    async fn person(&self, person: Person) -> Result<Option<PersonId>, StoreError> {
        self.readers.read(move |db| Ok(people::find(db, person)?.map(|known| known.id))).await
    }

    async fn memberships(&self, id: PersonId) -> Result<Vec<(GroupFacts, MemberFacts)>, StoreError> {
        let now = self.clock.now();
        self.readers.read(move |db| views::memberships(db, id, now)).await
    }

    async fn alerts(&self, limit: u32) -> Result<Vec<Alert>, StoreError> {
        self.readers.read(move |db| alerts::list(db, limit)).await
    }

    async fn depths(&self) -> Result<Depths, StoreError> {
        self.readers.read(views::depths).await
    }

    async fn prune(&self, before: Timestamp) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut gone = 0;
        for kind in 0..prune::KINDS {
            loop {
                let step = self.writer.run(move |db| prune::step(db, kind, before, now)).await?;
                gone += step;
                if step < prune::STEP as usize {
                    break;
                }
            }
        }
        Ok(gone)
    }
}
