//! What the contract tests say in few words: people, groups, events, rows.

use super::Backend;
use perimeterd::{
    action::{Action, Asked, Call, Class, RowState},
    clock::Timestamp,
    config::Mode,
    event::{Event, EventKind, GroupSnapshot, Participant, Role, Via},
    facts::{GroupFacts, MemberFacts, Verdict},
    identity::{Learnt, LearntFrom},
    ids::{DecisionId, EntryId, GroupId, Lid, OutboxId, Person, PersonId, Phone, SessionName},
    store::{
        Appended, Applied, Filter, NewEntry, NewRow, Reading, Row, RunRecord, RunState, Settled, Source,
        Store,
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A moment so many seconds into the test.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seconds * 1000)
}

pub(crate) fn main_session() -> SessionName {
    SessionName::new("main")
}

pub(crate) fn club() -> GroupId {
    GroupId::parse("120363000000000001@g.us").expect("a group id")
}

/// The n-th person, by phone.
pub(crate) fn phone(n: u64) -> Phone {
    Phone::from_u64(4_915_000_000_000 + n).expect("a phone")
}

pub(crate) fn lid(n: u64) -> Lid {
    Lid::from_u64(77_000_000_000_000 + n)
}

pub(crate) fn person(n: u64) -> Person {
    Person::of_phone(phone(n))
}

pub(crate) fn member(n: u64) -> Participant {
    Participant::new(person(n))
}

pub(crate) fn admin(n: u64) -> Participant {
    Participant { role: Role::Admin, ..member(n) }
}

pub(crate) fn entry(key: &str, received_at: Timestamp) -> NewEntry {
    NewEntry {
        session: main_session(),
        source: Source::Webhook,
        key: key.as_bytes().to_vec(),
        body: b"{}".as_slice().into(),
        received_at,
    }
}

pub(crate) fn event(at: Timestamp, kind: EventKind) -> Event {
    Event { session: main_session(), at, me: Person::default(), kind }
}

pub(crate) fn joined(n: u64, when: Timestamp) -> Event {
    let kind = EventKind::Joined { group: club(), people: vec![member(n)], via: Via::Link, by: None };
    event(when, kind)
}

pub(crate) fn left(n: u64, when: Timestamp) -> Event {
    event(when, EventKind::Left { group: club(), people: vec![member(n)], by: None })
}

pub(crate) fn snapshot(people: &[Participant]) -> GroupSnapshot {
    let participants = (!people.is_empty()).then(|| people.to_vec());
    GroupSnapshot { subject: Some("The club".into()), participants, ..GroupSnapshot::new(club()) }
}

pub(crate) fn roster(people: &[Participant], when: Timestamp) -> Event {
    event(when, EventKind::Roster { group: snapshot(people) })
}

pub(crate) fn remove(id: PersonId) -> Call {
    Call::Remove { group: club(), member: id }
}

pub(crate) fn dm(id: PersonId, text: &str) -> Call {
    Call::Dm { to: id, text: text.into() }
}

pub(crate) fn announce(on: bool) -> Call {
    Call::AnnounceOnly { group: club(), on }
}

pub(crate) fn welcome(id: PersonId) -> Call {
    Call::Welcome { group: club(), member: id, text: None }
}

/// A row that waits from then on.
pub(crate) fn row(call: Call, not_before: Timestamp) -> NewRow {
    NewRow {
        call,
        state: RowState::Waiting,
        session: main_session(),
        not_before,
        expires_at: None,
        after: None,
        reason: "because".into(),
        policy: "subscribers".into(),
        line: 7,
        note: None,
        brake: None,
    }
}

pub(crate) fn after(index: usize, row: NewRow) -> NewRow {
    NewRow { after: Some(index), ..row }
}

pub(crate) fn settled(state: RowState) -> Settled {
    Settled { state, not_before: None, note: None, counts: true }
}

/// A run decided then, with these rows.
pub(crate) fn record(id: DecisionId, when: Timestamp, rows: Vec<NewRow>) -> RunRecord {
    RunRecord {
        id,
        state: RunState::Decided,
        chain: vec!["subscribers".into()],
        mode: Mode::Enforce,
        block: "club".into(),
        verdict: Verdict::default(),
        failure: None,
        decided_at: when,
        rows,
        effects: Vec::new(),
        recheck_at: None,
        hidden: false,
    }
}

/// A verdict with a final action.
pub(crate) fn admitted() -> Verdict {
    let asked = Asked {
        action: Action::Admit,
        reason: String::new(),
        policy: "subscribers".into(),
        line: 3,
        observe: false,
    };
    Verdict { asked: vec![asked], ..Verdict::default() }
}

/// A store with what the tests ask of it.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    keys: AtomicU64,
}

impl World {
    pub(crate) fn open(backend: &dyn Backend) -> Self {
        let store = backend.open().expect("the store opens");
        Self { store, keys: AtomicU64::new(u64::from(std::process::id()) << 32) }
    }

    /// A crash: nothing is closed in order, then the store is opened again.
    pub(crate) fn reopen(self, backend: &dyn Backend) -> Self {
        let keys = self.keys.load(Ordering::Relaxed);
        drop(self.store);
        let store = backend.open().expect("the store opens again");
        Self { store, keys: AtomicU64::new(keys) }
    }

    /// The gateway tells a pair. Answers of how many people it was news.
    pub(crate) async fn learn(&self, phone: Phone, lid: Lid) -> usize {
        let learnt = Learnt::new(LearntFrom::Gateway, at(90));
        self.store.learn(vec![(phone, lid)], learnt).await.expect("learnt")
    }

    /// Appends an entry received then.
    pub(crate) async fn append(&self, received_at: Timestamp) -> EntryId {
        let key = format!("main\0evt_{}", self.keys.fetch_add(1, Ordering::Relaxed));
        match self.store.append(vec![entry(&key, received_at)]).await.expect("appended")[..] {
            [Appended::New(id)] => id,
            ref other => panic!("expected one new entry, got {other:?}"),
        }
    }

    /// Tells an event, received at its own time.
    pub(crate) async fn tell(&self, event: Event) -> Applied {
        let received = event.at;
        self.tell_at(event, received).await
    }

    /// Tells an event, received then.
    pub(crate) async fn tell_at(&self, event: Event, received: Timestamp) -> Applied {
        let id = self.append(received).await;
        self.store.apply(vec![(id, Reading::Events(vec![event]))]).await.expect("applied")
    }

    /// The group's first roster, taken at second 0, with our own number 0 as admin.
    pub(crate) async fn adopt(&self, members: &[u64]) {
        self.store.session_started(&main_session(), person(0), at(-100)).await.expect("started");
        let people: Vec<_> = std::iter::once(admin(0)).chain(members.iter().map(|n| member(*n))).collect();
        self.tell(roster(&people, at(0))).await;
    }

    /// Somebody joins then; their run.
    pub(crate) async fn join(&self, n: u64, when: Timestamp) -> DecisionId {
        match self.tell(joined(n, when)).await.runs[..] {
            [run] => run,
            ref other => panic!("expected one run, got {other:?}"),
        }
    }

    pub(crate) async fn id(&self, n: u64) -> PersonId {
        self.store.person(person(n)).await.expect("a look-up").expect("somebody known")
    }

    pub(crate) async fn facts(&self, n: u64) -> (GroupFacts, MemberFacts) {
        let id = self.id(n).await;
        self.store.memberships(id).await.expect("a look-up").pop().expect("a membership")
    }

    pub(crate) async fn size(&self) -> u32 {
        self.store.groups().await.expect("a look-up").first().expect("a group").size
    }

    pub(crate) async fn commit(&self, record: RunRecord) {
        self.store.commit(vec![record]).await.expect("committed");
    }

    /// Somebody joins and is to be removed; the row.
    pub(crate) async fn join_and_remove(&self, n: u64, when: Timestamp) -> OutboxId {
        let run = self.join(n, when).await;
        let id = self.id(n).await;
        self.commit(record(run, when, vec![row(remove(id), when)])).await;
        self.rows_of(run).await[0].id
    }

    pub(crate) async fn rows_of(&self, run: DecisionId) -> Vec<Row> {
        self.store.decision(run).await.expect("a look-up").expect("a decision").rows
    }

    /// All rows, oldest first.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let mut rows = self.store.outbox(Filter::default()).await.expect("a look-up");
        rows.reverse();
        rows
    }

    /// However many.
    pub(crate) async fn all_rows(&self) -> Vec<Row> {
        let filter = Filter { limit: 100_000, ..Filter::default() };
        let mut rows = self.store.outbox(filter).await.expect("a look-up");
        rows.reverse();
        rows
    }

    pub(crate) async fn state(&self, id: OutboxId) -> RowState {
        let found = self.rows().await.into_iter().find(|row| row.id == id);
        found.expect("the row").state
    }

    pub(crate) async fn heads(&self, now: Timestamp) -> Vec<Row> {
        self.store.heads(&main_session(), &Class::ALL, now, 10).await.expect("heads")
    }

    /// Begins and settles a call then.
    pub(crate) async fn call(&self, id: OutboxId, outcome: RowState, when: Timestamp) {
        let call =
            self.store.begin(&main_session(), vec![id], vec![Class::Remove], when).await.expect("begun");
        assert!(call.is_some(), "the row waits");
        self.store.settle(call, vec![(id, settled(outcome))], when, when).await.expect("settled");
    }

    pub(crate) async fn settle(&self, id: OutboxId, outcome: Settled, when: Timestamp) {
        self.store.settle(None, vec![(id, outcome)], when, when).await.expect("settled");
    }
}
