//! The store: an interface of use cases, one method per thing that must happen at once or not at all.
//!
//! What is durable is here: the journal, the directory, decisions, the outbox, the ledger of calls, timers and pushed
//! subscriptions. There is no table in this interface, so a second backend can keep its promises in its own way; the
//! contract is the test suite in `tests/it/store_contract.rs`, which every backend runs unchanged.
//!
//! Every writing method returns only after its commit is durable. No method waits for anything but the disk.

pub use crate::limits::{CallId, LedgerEntry};
use crate::{
    action::{Call, Class, RowState},
    brake::Terms,
    clock::{Timestamp, Uptime},
    config::Mode,
    event::{Event, Hook},
    facts::{GroupChange, GroupFacts, MemberFacts, Verdict},
    ids::{DecisionId, EntryId, GroupId, OutboxId, Person, PersonId, Phone, SessionName, SweepId},
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Notify;

pub mod brake;
mod causes;
mod entry;
mod incident;
mod local;
pub mod payments;
mod people;
mod provisioning;
mod records;
pub mod sqlite;
mod sweep;
mod watch;

pub use watch::{Canary, Noticed, Rights, SessionState, Trouble, Watch};

pub use brake::{Brake, Brakes, Pick, Raised, Removal, Ruled, Ruling, Undo};
pub use causes::{Caused, Causes, Lifted, PutOut};
pub use entry::{Appended, Entry, EntryState, NewEntry, Source};
pub use incident::{AlertNews, Chat, ChatMessage, News, Post, PostOutcome, Telling};
pub use local::{LocalEntry, LocalKind, LocalList};
pub use people::{IdForm, People};
pub use provisioning::{MadeGroup, Provisioning};
pub use sweep::{Cause, Mark, NewSweep, Place, Scope, Sweep, Sweeps, Whom};

pub use records::{Alert, ColdLock, Depths, Filter, KnownGroup, OwnSession, Pushed};

/// Why a use case did not happen. Nothing of it happened then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Cannot be made durable now (disk full, I/O error): try again later, tell the gateway 503.
    #[error("the store cannot write now: {0}")]
    Unavailable(String),
    /// Another daemon holds this store: refuse to start.
    #[error("another perimeterd already uses {0}; stop it first, or give this one its own data_dir")]
    Locked(String),
    /// Written by a newer version: refuse to start.
    #[error(
        "{file} was written by a newer perimeterd (its schema is {found}, this one knows {known}); install that version"
    )]
    NewerSchema {
        /// The file.
        file: String,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A bug or a damaged file: log it, give up this unit of work.
    #[error("the store failed: {0}")]
    Broken(String),
}

/// What the pipeline read from an entry.
#[derive(Clone, Debug)]
pub enum Reading {
    /// These events, in order; only of guarded groups, only those that matter.
    Events(Vec<Event>),
    /// Understood, nothing to do, and why.
    Nothing(String),
    /// Not understood, and why.
    Unreadable(String),
}

/// What applying entries to the directory led to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The runs to make, in order. They are durable and pending.
    pub runs: Vec<DecisionId>,
    /// Likewise those of sweeps, which are to come after everybody else's.
    pub looks: Vec<DecisionId>,
    /// Groups whose roster must be read now, with the session that is in them: first sight, a self-join, an unclear
    /// change.
    pub rosters_wanted: Vec<(SessionName, GroupId)>,
    /// Outbox rows were written or settled (a lockdown's release, a leave that settled a removal).
    pub outbox_changed: bool,
    /// New joins for the velocity counters: group and event time. Adopted and reconciled members are not among them.
    pub joins: Vec<(GroupId, Timestamp)>,
    /// New departures, likewise.
    pub leaves: Vec<(GroupId, Timestamp)>,
    /// Alerts that were kept on the way.
    pub raised: Vec<Raised>,
    /// What was told of ourselves, in order.
    pub noticed: Vec<Noticed>,
}

/// Everything stored that a run needs. Params, time zone and lists are the configuration's and the lists' business.
#[derive(Clone, Debug)]
pub struct RunInput {
    /// The run.
    pub id: DecisionId,
    /// The entry that caused it.
    pub entry: EntryId,
    /// The hook to call.
    pub hook: Hook,
    /// The session that heard the event.
    pub session: SessionName,
    /// When the entry was received: the script's `now`.
    pub now: Timestamp,
    /// How many times it has been looked at again because of unknown facts.
    pub round: u32,
    /// Where the run stands.
    pub state: RunState,
    /// The member, for hooks with one.
    pub member: Option<MemberFacts>,
    /// The group; `params` empty.
    pub group: GroupFacts,
    /// What was changed about it, for the hook that tells it.
    pub change: Option<GroupChange>,
    /// The sweep that it belongs to.
    pub sweep: Option<SweepId>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// To be made.
    Pending,
    /// Made; the decision stands.
    Decided,
    /// A policy failed; waits for `journal retry`.
    PolicyError,
}

/// A policy failure as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// The policy's file, relative to the policies folder.
    pub file: String,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
    /// The source line.
    pub snippet: String,
}

/// An outbox row to be written with a decision.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// The call.
    pub call: Call,
    /// `waiting`, `observed` or `refused`.
    pub state: RowState,
    /// The session that is to make it.
    pub session: SessionName,
    /// Not before.
    pub not_before: Timestamp,
    /// Unsent by then: expired.
    pub expires_at: Option<Timestamp>,
    /// Only once that row of the same list is done; dropped if it is cancelled, refused, dead or expired.
    pub after: Option<usize>,
    /// The owner's reason.
    pub reason: String,
    /// The policy that asked.
    pub policy: String,
    /// The line that asked.
    pub line: u32,
    /// Why it is refused at once, if it is.
    pub note: Option<String>,
    /// For a removal of an established member: what the brake lets through.
    pub brake: Option<Terms>,
}

/// A change of our own memory that a decision brings, in the same commit.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Remember a word.
    Tag {
        /// For whom.
        member: PersonId,
        /// The word.
        name: String,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// Forget a word.
    Untag {
        /// For whom.
        member: PersonId,
        /// The word.
        name: String,
    },
    /// Add somebody to the local list, under every id that is known of them. What an operator said of them stands.
    ListLocally {
        /// Whom.
        member: PersonId,
        /// Why.
        reason: String,
        /// The policy that asked.
        policy: String,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// Lock a group down. If a lockdown already stands its end moves to the later of the two and `rows` are not
    /// written; one that is only recorded gives way to one that is meant, and never prolongs it. Otherwise: what announce-only was is remembered (unknown counts as off), a timer for
    /// [`crate::event::EventKind::LockdownDue`] is set, and `rows` are written.
    Lockdown {
        /// Where.
        group: GroupId,
        /// Until when.
        until: Timestamp,
        /// The session that opens it again.
        session: SessionName,
        /// Whether the release is to be recorded only.
        observe: bool,
        /// The calls that lock.
        rows: Vec<NewRow>,
    },
    /// Tell the operators: kept in the list of alerts. Equal `key`s less than an hour apart are counted, not repeated.
    Alert {
        /// What kind: `policy`, `policy_error`, `evidence`, …
        kind: String,
        /// Groups equal alerts.
        key: String,
        /// What people read.
        text: String,
    },
}

/// A finished run, to be committed whole.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The run.
    pub id: DecisionId,
    /// `decided` or `policy_error`.
    pub state: RunState,
    /// The chain's links by name.
    pub chain: Vec<String>,
    /// The chain's mode.
    pub mode: Mode,
    /// The name of the `[[groups]]` block.
    pub block: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When.
    pub decided_at: Timestamp,
    /// Actions for the gateway.
    pub rows: Vec<NewRow>,
    /// Changes of our own memory.
    pub effects: Vec<Effect>,
    /// When to look again, through a timer for [`crate::event::EventKind::Recheck`] with round + 1.
    pub recheck_at: Option<Timestamp>,
    /// The run did not know the member's phone: if it has been learnt meanwhile, the next look is at once.
    pub hidden: bool,
}

/// A decision as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// Its number.
    pub id: DecisionId,
    /// The entry that caused it.
    pub entry: EntryId,
    /// The hook.
    pub hook: Hook,
    /// Where it stands.
    pub state: RunState,
    /// The group.
    pub group: GroupId,
    /// The group's name.
    pub subject: String,
    /// The person.
    pub member: Option<Person>,
    /// Their name.
    pub member_name: Option<String>,
    /// Our row of the person.
    pub member_id: Option<PersonId>,
    /// When the event was received.
    pub received_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// The chain.
    pub chain: Vec<String>,
    /// Its mode.
    pub mode: Option<Mode>,
    /// The `[[groups]]` block.
    pub block: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Its outbox rows.
    pub rows: Vec<Row>,
}

/// An outbox row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its number; lane order among equals.
    pub id: OutboxId,
    /// The decision that asked.
    pub decision: DecisionId,
    /// The session that makes the call.
    pub session: SessionName,
    /// The call.
    pub call: Call,
    /// Where it stands.
    pub state: RowState,
    /// Calls made so far.
    pub attempts: u32,
    /// When it was decided.
    pub created_at: Timestamp,
    /// Not before.
    pub not_before: Timestamp,
    /// Unsent by then: expired.
    pub expires_at: Option<Timestamp>,
    /// When it reached its final state.
    pub settled_at: Option<Timestamp>,
    /// The owner's reason.
    pub reason: String,
    /// The policy that asked.
    pub policy: String,
    /// The line that asked.
    pub line: u32,
    /// What was said last about it: a refusal's reason, an error, why it was cancelled.
    pub note: Option<String>,
    /// The id that the call must use for the person (the form the roster or event used); empty without a person.
    pub jid: String,
    /// The person's display name.
    pub name: Option<String>,
    /// The person.
    pub person: Option<Person>,
    /// Whether they are in the call's group now; `None` without a group or person.
    pub present: Option<bool>,
    /// When the person last wrote to us.
    pub wrote_to_us_at: Option<Timestamp>,
    /// For a removal: how the brake sees it, and what its undo needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// How often it was answered as done without effect.
    pub silences: u32,
    /// Whether the session may make calls that only an admin may make.
    #[serde(skip)]
    pub authority: Authority,
}

/// What one of our sessions may do in a group, as the directory knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// Nobody has told what it is there, or the call touches no group.
    #[default]
    Untold,
    /// It is an admin.
    Admin,
    /// It is in it as a member only.
    None,
}

/// How a row goes on.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The new state: a final one, or `waiting` (again at `not_before`), or `unknown`.
    pub state: RowState,
    /// For `waiting` and `unknown`: when to look at it next. For a removal `done`: when a roster is to tell whether it took
    /// effect, if no leave was told by then; only a roster taken from that moment on can tell.
    pub not_before: Option<Timestamp>,
    /// What to say about it.
    pub note: Option<String>,
    /// Whether the call just made counts as an attempt; a session that was not ready made none.
    pub counts: bool,
}

/// The use cases.
#[async_trait]
pub trait Store:
    Brakes + Causes + LocalList + payments::Payments + People + Provisioning + Sweeps + Watch
{
    // --- ingress ---

    /// Appends entries, all or none, in one transaction; a key that is already there is skipped. Many callers are
    /// committed together. Answers are in the order of `entries`.
    async fn append(&self, entries: Vec<NewEntry>) -> Result<Vec<Appended>, StoreError>;

    /// Proves that something can be made durable now.
    async fn probe(&self) -> Result<(), StoreError>;

    // --- pipeline ---

    /// Entries in state `new` after that number, oldest first.
    async fn unread(&self, after: EntryId, limit: u32) -> Result<Vec<Entry>, StoreError>;

    /// Brings the directory up to date with these entries, in the order given, in one transaction, and marks them.
    /// An entry that is no longer `new` is skipped; one of whose events none led to anything is `ignored` with a note.
    /// The rules (P2, P3, P7) are those of [`crate::directory`].
    async fn apply(&self, readings: Vec<(EntryId, Reading)>) -> Result<Applied, StoreError>;

    /// Runs that are pending, oldest first: what a restart takes up.
    async fn pending_runs(&self) -> Result<Vec<DecisionId>, StoreError>;

    /// What these runs need, with the directory as it is now. Missing runs are left out.
    async fn run_inputs(&self, ids: Vec<DecisionId>) -> Result<Vec<RunInput>, StoreError>;

    /// Commits finished runs, all of them or (on an error) none; a run that is no longer pending is skipped (its record
    /// is dropped).
    /// A removal of somebody who already has a live removal row in that group is not written again; rows that wait
    /// for it are recorded as cancelled. A settings call equal to a waiting one of the group is not written again.
    /// Welcome rows of a group and text share the due time of the first one that still waits. Removals beyond what the
    /// brake lets through are held ([`crate::brake`]), those of somebody spared are cancelled, what a raid collapses is
    /// put off or cancelled. Answers the alerts that were kept on the way.
    async fn commit(&self, records: Vec<RunRecord>) -> Result<Vec<Raised>, StoreError>;

    /// Turns timers due by `now` into journal entries, each once. Answers how many, and when the next is due.
    async fn fire_timers(&self, now: Timestamp) -> Result<(usize, Option<Timestamp>), StoreError>;

    /// Makes the recheck timers of runs due at `now`: a source that was down is back.
    async fn hasten_rechecks(&self, now: Timestamp) -> Result<usize, StoreError>;

    /// Phones of members waiting for a recheck, at most `limit`: whom to probe the source with.
    async fn awaiting_recheck(&self, limit: u32) -> Result<Vec<Person>, StoreError>;

    /// Joins (`true`) and departures (`false`) since then, for the velocity counters at a start.
    async fn arrivals_since(&self, since: Timestamp) -> Result<Vec<(GroupId, Timestamp, bool)>, StoreError>;

    /// Puts an entry's failed runs, or the entry itself if it is unreadable, back in line. Answers how many.
    async fn retry(&self, id: EntryId) -> Result<usize, StoreError>;

    /// Keeps an alert (see [`Effect::Alert`]).
    async fn alert(&self, at: Timestamp, kind: &str, key: &str, text: &str) -> Result<(), StoreError>;

    /// Rings when an alert was kept.
    fn alert_bell(&self) -> Arc<Notify>;

    /// Alerts last raised after `since` of which operators do not know everything, and what they were told after it.
    async fn news(&self, since: Timestamp) -> Result<News, StoreError>;

    /// Keeps a message to the operators, its outbox row and its post, and marks its alerts as told: all in one commit.
    async fn tell(&self, telling: Telling, now: Timestamp) -> Result<(), StoreError>;

    /// Posts to the operators' webhook that are due, and when the next of the others is.
    async fn posts(&self, now: Timestamp) -> Result<(Vec<Post>, Option<Timestamp>), StoreError>;

    /// Keeps what an attempt to post came to.
    async fn posted(&self, id: i64, outcome: PostOutcome) -> Result<(), StoreError>;

    // --- sessions and groups ---

    /// Notes a session at a start, and who it is where known; answers the stored record.
    async fn session_started(
        &self,
        name: &SessionName,
        me: Person,
        now: Timestamp,
    ) -> Result<OwnSession, StoreError>;

    /// Every session noted so far: "itself" means all of them.
    async fn own_sessions(&self) -> Result<Vec<OwnSession>, StoreError>;

    /// Every group seen so far that we are in.
    async fn groups(&self) -> Result<Vec<KnownGroup>, StoreError>;

    // --- delivery ---

    /// After a start: calls under way when we died. Their ledger entries end at `now` (ledger time); message rows
    /// become `unknown`; removals become `unknown`, to be looked at at once; settings wait again.
    async fn recover(&self, now: Timestamp, ledger_now: Timestamp) -> Result<(), StoreError>;

    /// Waiting rows of a session that may be tried now, best first (priority, then number): due, not waiting for
    /// another row. `classes` limits it to calls of those classes. Expired rows become `expired` on the way.
    async fn heads(
        &self,
        session: &SessionName,
        classes: &[Class],
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError>;

    /// The rows that go out with this welcome: waiting, same group, text and due time, itself included.
    async fn welcome_batch(&self, id: OutboxId) -> Result<Vec<Row>, StoreError>;

    /// Removals that wait or are held, oldest first: of everybody, or only of the person with that phone.
    async fn pending_removals(&self, of: Option<Phone>) -> Result<Vec<Row>, StoreError>;

    /// Cancels rows, each with its note, and what waits for them. A row that no longer waits or is held stays as it is:
    /// what was begun cannot be taken back. Answers how many were cancelled.
    async fn withdraw(&self, rows: Vec<(OutboxId, String)>) -> Result<usize, StoreError>;

    /// Removals in `unknown` whose time to be looked at has come.
    async fn unknown_removals(&self, session: &SessionName, now: Timestamp) -> Result<Vec<Row>, StoreError>;

    /// Groups with removals of the session that were answered as done, whose leave nobody told, and that are to be
    /// looked at by now. All of these groups' are looked at next at `again`; a day after the answer it stands.
    ///
    /// A roster that lists such a person puts the removal back in line, with the membership as it was; one that does not
    /// confirms it. A leave confirms it too, and a new join closes the matter: that one needs a decision of its own.
    async fn unconfirmed(
        &self,
        session: &SessionName,
        now: Timestamp,
        again: Timestamp,
    ) -> Result<Vec<GroupId>, StoreError>;

    /// When time will next let a row of the session go, or the outcome of a removal is to be looked at. Rows that
    /// [`Store::heads`] already gives are not counted; a moment in the past means: ask again now.
    async fn next_due(&self, session: &SessionName, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Begins a call: the rows are `sending`, an attempt is counted, the ledger holds one entry per class, all in one
    /// commit. `None` if a row is no longer waiting: then nothing happened. `rows` is empty for reads.
    async fn begin(
        &self,
        session: &SessionName,
        rows: Vec<OutboxId>,
        classes: Vec<Class>,
        ledger_now: Timestamp,
    ) -> Result<Option<CallId>, StoreError>;

    /// Ends a call and settles its rows, in one commit. `now` is the wall clock's: what rosters and events are compared
    /// with; `ledger_now` is the schedule's, as every `not_before` is. A removal `done` marks the person as removed by us; rows
    /// that wait for a row which is now cancelled, refused, dead or expired are cancelled with it. Rows that wait for a
    /// message of unknown outcome may go: only the order mattered. A row that has reached a final state meanwhile (a
    /// leave was told) stays as it is, and a message of unknown outcome never waits again.
    async fn settle(
        &self,
        call: Option<CallId>,
        rows: Vec<(OutboxId, Settled)>,
        now: Timestamp,
        ledger_now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Makes rows that wait because the gateway failed due at `now`: the gateway is back.
    async fn hasten_rows(&self, session: &SessionName, now: Timestamp) -> Result<usize, StoreError>;

    /// The session's ledger since then (by end, or under way).
    async fn ledger(&self, session: &SessionName, since: Timestamp) -> Result<Vec<LedgerEntry>, StoreError>;

    /// Keeps a session's lock on cold messages over a restart; `None`: it is lifted.
    async fn keep_cold_lock(&self, session: &SessionName, lock: Option<ColdLock>) -> Result<(), StoreError>;

    /// Every lock on cold messages, by session.
    async fn cold_locks(&self) -> Result<Vec<(SessionName, ColdLock)>, StoreError>;

    /// When schedule time goes on at a start: now by the wall clock, or the newest moment in any ledger if that is later.
    /// Should the wall clock have been put ahead since the last start of the same boot, what is on record about calls
    /// follows it, so that no call looks older than it is (P4).
    async fn resume_time(&self, wall: Timestamp, uptime: Option<Uptime>) -> Result<Timestamp, StoreError>;

    // --- subscriptions ---

    /// Keeps a pushed subscription.
    async fn push_subscription(&self, pushed: Pushed) -> Result<(), StoreError>;

    /// Drops one: the source agrees, or its time is over.
    async fn drop_pushed(&self, phone: Phone) -> Result<(), StoreError>;

    /// All of them.
    async fn pushed(&self) -> Result<Vec<Pushed>, StoreError>;

    // --- views ---

    /// Journal entries.
    async fn entries(&self, filter: Filter) -> Result<Vec<Entry>, StoreError>;

    /// One entry.
    async fn entry(&self, id: EntryId) -> Result<Option<Entry>, StoreError>;

    /// The entry that came in under that gateway event id, for any session: its key is session, a zero byte and the id.
    async fn entry_by_event_id(&self, event_id: &str) -> Result<Option<EntryId>, StoreError>;

    /// Decisions, with their rows.
    async fn decisions(&self, filter: Filter) -> Result<Vec<Decision>, StoreError>;

    /// One decision.
    async fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError>;

    /// Outbox rows.
    async fn outbox(&self, filter: Filter) -> Result<Vec<Row>, StoreError>;

    /// Our row of a person.
    async fn person(&self, person: Person) -> Result<Option<PersonId>, StoreError>;

    /// What the directory knows of somebody, once per group they are or were in.
    async fn memberships(&self, id: PersonId) -> Result<Vec<(GroupFacts, MemberFacts)>, StoreError>;

    /// Alerts, newest first.
    async fn alerts(&self, limit: u32) -> Result<Vec<Alert>, StoreError>;

    /// Counts.
    async fn depths(&self) -> Result<Depths, StoreError>;

    /// Forgets what is older than `before` and settled.
    async fn prune(&self, before: Timestamp) -> Result<usize, StoreError>;
}
