//! Promises about one person told in both dialects, by phone and by LID: whenever the pair is learnt, what was told twice
//! is one join, judged and acted upon once.

use super::{
    Backend,
    world::{
        World, admitted, after, at, club, dm, event, left, lid, member, phone, record, remove, roster, row,
        settled, welcome,
    },
};
use perimeterd::{
    action::RowState,
    clock::Timestamp,
    event::{EventKind, Participant, Role, Via},
    ids::{DecisionId, OutboxId, Person, PersonId},
    store::{Row, RunRecord},
};

/// The dialects, in the order of telling.
fn dialects(lid_first: bool) -> [Person; 2] {
    let told = [Person::of_phone(phone(1)), Person::of_lid(lid(1))];
    if lid_first { [told[1], told[0]] } else { told }
}

async fn join(world: &World, who: Person, when: Timestamp) -> (DecisionId, PersonId) {
    let people = vec![Participant::new(who)];
    let kind = EventKind::Joined { group: club(), people, via: Via::Unknown, by: None };
    let run = world.tell(event(when, kind)).await.runs[0];
    (run, world.store.person(who).await.unwrap().expect("somebody known"))
}

async fn learn(world: &World) {
    world.learn(phone(1), lid(1)).await;
}

/// Out, and told why.
async fn judge(world: &World, (run, id): (DecisionId, PersonId)) -> Vec<Row> {
    let rows = vec![row(remove(id), at(102)), after(0, row(dm(id, "bye"), at(102)))];
    world.commit(RunRecord { verdict: admitted(), ..record(run, at(102), rows) }).await;
    if world.store.decision(run).await.unwrap().is_some() { world.rows_of(run).await } else { Vec::new() }
}

/// In, welcomed in the group.
async fn greet(world: &World, (run, id): (DecisionId, PersonId)) {
    let rows = vec![row(welcome(id), at(160)), row(dm(id, "hello"), at(102))];
    world.commit(RunRecord { verdict: admitted(), ..record(run, at(102), rows) }).await;
}

/// Sends whatever may be sent.
async fn send_all(world: &World) {
    while let Some(row) = world.heads(at(300)).await.first() {
        world.call(row.id, RowState::Done, at(110)).await;
    }
}

async fn done(world: &World, kind: &str) -> usize {
    world.rows().await.iter().filter(|row| row.call.name() == kind && row.state == RowState::Done).count()
}

/// When the pair becomes known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Learnt {
    BeforeDecisions,
    BetweenDecisions,
    AfterDecisions,
    WhileSending,
    AfterTheFirstRemoval,
}

pub(crate) async fn whoever_was_told_twice_is_removed_once(_: &dyn Backend) {
    use Learnt::*;
    for learnt in [BeforeDecisions, BetweenDecisions, AfterDecisions, WhileSending, AfterTheFirstRemoval] {
        for lid_first in [false, true] {
            let backend = super::Sqlite::new();
            let world = World::open(&backend);
            let case = format!("{learnt:?}, LID first: {lid_first}");
            removed_once(&world, learnt, lid_first, &case).await;
        }
    }
}

async fn removed_once(world: &World, learnt: Learnt, lid_first: bool, case: &str) {
    world.adopt(&[]).await;
    let [first, second] = dialects(lid_first);
    let (first, second) = (join(world, first, at(100)).await, join(world, second, at(101)).await);
    let known_after = async |moment: Learnt| {
        if moment == learnt {
            learn(world).await;
        }
    };
    known_after(Learnt::BeforeDecisions).await;
    let rows = judge(world, first).await;
    known_after(Learnt::BetweenDecisions).await;
    judge(world, second).await;
    known_after(Learnt::AfterDecisions).await;
    if let Some(removal) = rows.first().filter(|_| learnt == Learnt::WhileSending) {
        let call = world.store.begin(&super::world::main_session(), vec![removal.id], vec![], at(103)).await;
        learn(world).await;
        let outcome = vec![(removal.id, settled(RowState::Done))];
        world.store.settle(call.unwrap(), outcome, at(104), at(104)).await.unwrap();
    } else if let Some(removal) = rows.first().filter(|_| learnt == Learnt::AfterTheFirstRemoval) {
        world.call(removal.id, RowState::Done, at(104)).await;
        learn(world).await;
    }
    send_all(world).await;
    assert_eq!((done(world, "remove").await, done(world, "dm").await), (1, 1), "{case}");
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.present, facts.joins, facts.removals), (false, 1, 1), "{case}");
    assert_eq!(world.size().await, 1, "{case}");
    assert!(world.store.pending_runs().await.unwrap().is_empty(), "{case}");
    // The join is told once more, by both.
    let people = vec![Participant::new(Person { phone: Some(phone(1)), lid: Some(lid(1)) })];
    let kind = EventKind::Joined { group: club(), people, via: Via::Unknown, by: None };
    assert!(world.tell_at(event(at(101), kind), at(120)).await.runs.is_empty(), "{case}");
    assert_eq!(world.size().await, 1, "{case}");
}

pub(crate) async fn whoever_was_told_twice_is_welcomed_once(_: &dyn Backend) {
    for lid_first in [false, true] {
        let backend = super::Sqlite::new();
        let world = World::open(&backend);
        world.adopt(&[]).await;
        let [first, second] = dialects(lid_first);
        let (first, second) = (join(&world, first, at(100)).await, join(&world, second, at(101)).await);
        greet(&world, first).await;
        greet(&world, second).await;
        learn(&world).await;
        let welcomes: Vec<OutboxId> = waiting(&world, "welcome").await;
        assert_eq!(welcomes.len(), 1, "named once");
        assert_eq!(world.store.welcome_batch(welcomes[0]).await.unwrap().len(), 1);
        assert_eq!(waiting(&world, "dm").await.len(), 1);
        let (_, facts) = world.facts(1).await;
        assert_eq!((facts.present, facts.joins, world.size().await), (true, 1, 2));
    }
}

async fn waiting(world: &World, kind: &str) -> Vec<OutboxId> {
    let rows = world.rows().await;
    let waits = rows.iter().filter(|row| row.call.name() == kind && row.state == RowState::Waiting);
    waits.map(|row| row.id).collect()
}

pub(crate) async fn whoever_is_removed_is_not_welcomed(_: &dyn Backend) {
    for (lid_first, sent) in [(false, false), (false, true), (true, false), (true, true)] {
        let backend = super::Sqlite::new();
        let world = World::open(&backend);
        world.adopt(&[]).await;
        let [first, second] = dialects(lid_first);
        let (first, second) = (join(&world, first, at(100)).await, join(&world, second, at(101)).await);
        greet(&world, first).await;
        let removal = judge(&world, second).await[0].id;
        if sent {
            world.call(removal, RowState::Done, at(104)).await;
        }
        learn(&world).await;
        assert!(waiting(&world, "welcome").await.is_empty());
        send_all(&world).await;
        assert_eq!((done(&world, "remove").await, world.size().await), (1, 1));
    }
}

pub(crate) async fn a_recheck_is_moot_once_the_twin_has_settled(_: &dyn Backend) {
    for (settled_first, fired) in [(false, false), (true, false), (false, true), (true, true)] {
        let backend = super::Sqlite::new();
        let world = World::open(&backend);
        world.adopt(&[]).await;
        let [first, second] = dialects(false);
        let (first, second) = (join(&world, first, at(100)).await, join(&world, second, at(101)).await);
        let (final_one, other) = if settled_first { (first, second) } else { (second, first) };
        let asks = RunRecord { recheck_at: Some(at(160)), ..record(other.0, at(102), vec![]) };
        world.commit(asks).await;
        world.commit(RunRecord { verdict: admitted(), ..record(final_one.0, at(103), vec![]) }).await;
        if fired {
            assert_eq!(world.store.fire_timers(at(200)).await.unwrap().0, 1);
            learn(&world).await;
        } else {
            learn(&world).await;
            world.store.fire_timers(at(200)).await.unwrap();
        }
        apply_timers(&world).await;
        assert!(world.store.pending_runs().await.unwrap().is_empty(), "{settled_first} {fired}");
    }
}

pub(crate) async fn apply_timers(world: &World) {
    use perimeterd::{event::Event, store::Reading};
    let entries = world.store.unread(perimeterd::ids::EntryId(0), 100).await.unwrap();
    for entry in entries {
        let event: Event = serde_json::from_slice(&entry.body).expect("a timer's event");
        world.store.apply(vec![(entry.id, Reading::Events(vec![event]))]).await.unwrap();
    }
}

pub(crate) async fn a_role_told_in_the_other_dialect_counts(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let people = vec![Participant { role: Role::Admin, ..Participant::new(Person::of_lid(lid(1))) }];
    world.tell(event(at(102), EventKind::RolesChanged { group: club(), people })).await;
    world.join(1, at(101)).await;
    learn(&world).await;
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.role, facts.present, world.size().await), (Role::Admin, true, 2));
    assert_eq!(member(1).person.phone, facts.person.phone);
}

pub(crate) async fn a_leave_told_in_the_other_dialect_counts(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(101)).await;
    let people = vec![Participant::new(Person::of_lid(lid(1)))];
    world.tell(event(at(110), EventKind::Left { group: club(), people, by: None })).await;
    learn(&world).await;
    assert_eq!((world.facts(1).await.1.present, world.size().await), (false, 1));
    assert_eq!(world.state(removal).await, RowState::Cancelled);
}

pub(crate) async fn an_admin_of_the_first_roster_stays_one(backend: &dyn Backend) {
    let world = World::open(backend);
    let hidden = Participant { role: Role::Admin, ..Participant::new(Person::of_lid(lid(1))) };
    world.tell(roster(&[hidden], at(0))).await;
    world.join(1, at(100)).await;
    learn(&world).await;
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.role, facts.present, facts.joins, world.size().await), (Role::Admin, true, 1, 1));
}

pub(crate) async fn joins_of_their_own_stay_two(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    world.join(1, at(100)).await;
    world.tell(left(1, at(110))).await;
    let (run, _) = join(&world, Person::of_lid(lid(1)), at(130)).await;
    learn(&world).await;
    assert!(world.store.pending_runs().await.unwrap().contains(&run), "back again, not told again");
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.present, facts.joins, world.size().await), (true, 2, 2));
}
