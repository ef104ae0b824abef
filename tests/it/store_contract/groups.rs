//! Changes of a group, and what makes groups grow.

use super::{
    Backend,
    world::{World, after, at, club, main_session, person, phone, record, row, settled},
};
use perimeterd::{
    action::{Call, Class, RowState},
    event::{Event, EventKind, GroupSnapshot, Role},
    facts::GroupChange,
    ids::{DecisionId, GroupId, Person},
    store::MadeGroup,
};

fn named(subject: &str, when: i64, by: Option<Person>) -> Event {
    let group = GroupSnapshot { subject: Some(subject.into()), ..GroupSnapshot::new(club()) };
    super::world::event(at(when), EventKind::GroupChanged { group, by, doubtful: false })
}

fn name_it(subject: &str) -> Call {
    Call::SetSubject { group: club(), text: subject.into() }
}

async fn change(world: &World, run: DecisionId) -> GroupChange {
    let input = world.store.run_inputs(vec![run]).await.expect("inputs").pop().expect("a run");
    input.change.expect("a change")
}

pub(crate) async fn a_change_is_judged_once_and_before_is_what_we_meant(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[5]).await;
    let first = world.tell(named("Buy", 200, Some(person(5)))).await.runs[0];
    assert!(world.tell(named("Buy", 200, None)).await.runs.is_empty(), "told twice");
    let seen = change(&world, first).await;
    assert_eq!((seen.before, seen.after, seen.answered), ("The club".into(), "Buy".into(), 0));
    assert_eq!((seen.by, seen.by_role), (Some(person(5)), Role::Unknown));
    world.commit(record(first, at(200), vec![row(name_it("The club"), at(200))])).await;

    let second = world.tell(named("Buy more", 201, Some(person(5)))).await.runs[0];
    let seen = change(&world, second).await;
    assert_eq!((seen.before, seen.after, seen.answered), ("The club".into(), "Buy more".into(), 1));

    // It is let stand: the call that still waits would undo it.
    world.commit(record(second, at(201), Vec::new())).await;
    assert_eq!(world.rows_of(first).await[0].state, RowState::Cancelled);
}

pub(crate) async fn what_we_set_ourselves_is_no_change(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(100)).await;
    world.commit(record(run, at(100), vec![row(name_it("Ours"), at(100))])).await;
    let id = world.rows_of(run).await[0].id;
    let call =
        world.store.begin(&main_session(), vec![id], vec![Class::Settings], at(101)).await.expect("begun");
    assert!(world.tell(named("Ours", 101, None)).await.runs.is_empty(), "the call is under way");
    world.store.settle(call, vec![(id, settled(RowState::Done))], at(102), at(102)).await.expect("settled");
    assert!(world.tell(named("The club", 100, None)).await.runs.is_empty(), "older than what we set");
    assert_eq!(world.facts(1).await.0.subject, "Ours");

    let by_us = world.tell(named("By hand", 103, Some(person(0)))).await;
    assert!(by_us.runs.is_empty(), "our own number");
    assert_eq!(world.tell(named("Theirs", 104, None)).await.runs.len(), 1);
}

pub(crate) async fn an_invitation_goes_only_in_place_of_an_addition(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(100)).await;
    let grow = |n: u64| {
        let (group, phone) = (club(), phone(n));
        [Call::Add { group: group.clone(), phone }, Call::Invite { group, phone }]
    };
    let mut rows = Vec::new();
    for n in [7, 8, 9, 7] {
        let [add, invite] = grow(n).map(|call| row(call, at(100)));
        rows.push(add);
        rows.push(after(rows.len() - 1, invite));
    }
    world.commit(record(run, at(100), rows)).await;
    let waiting: Vec<_> = world.heads(at(100)).await.into_iter().map(|row| (row.id, row.call)).collect();
    assert_eq!(waiting.iter().map(|(_, call)| call.name()).collect::<Vec<_>>(), ["add"; 3], "each once");

    world.settle(waiting[0].0, settled(RowState::Done), at(101)).await;
    world.settle(waiting[1].0, settled(RowState::Refused), at(101)).await;
    let refused = (waiting[2].0, settled(RowState::Refused));
    world.store.invite_instead(None, refused, at(101), at(101)).await.expect("settled");
    let next = world.heads(at(101)).await;
    assert_eq!(next.iter().map(|row| row.call.clone()).collect::<Vec<_>>(), [grow(9)[1].clone()]);
}

pub(crate) async fn a_made_group_is_ours_and_its_calls_follow(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(100)).await;
    let create = Call::CreateGroup {
        subject: "Guild".into(),
        members: vec![phone(7)],
        admins: vec![phone(7)],
        description: None,
    };
    world.commit(record(run, at(100), vec![row(create, at(100))])).await;
    let id = world.rows_of(run).await[0].id;
    let call = world.store.begin(&main_session(), vec![id], vec![Class::GroupCreate], at(101)).await;
    let group = GroupId::parse("120363000000000009@g.us").expect("a group id");
    let promote = Call::Promote { group: group.clone(), phone: phone(7) };
    let made = MadeGroup {
        group: group.clone(),
        subject: "Guild".into(),
        note: Some("left out: 1".into()),
        then: vec![promote.clone()],
    };
    let call = call.expect("begun").expect("it waits");
    world.store.group_made(call, id, made, at(102), at(102)).await.expect("settled");
    let rows = world.rows_of(run).await;
    assert_eq!((rows[0].state, rows[0].note.as_deref()), (RowState::Done, Some("left out: 1")));
    assert_eq!((rows[1].state, &rows[1].call), (RowState::Waiting, &promote));

    let entered = GroupSnapshot { subject: Some("Guild".into()), ..GroupSnapshot::new(group) };
    let entered = world.tell(super::world::event(at(103), EventKind::SelfJoined { group: entered })).await;
    let input = world.store.run_inputs(entered.runs).await.expect("inputs").pop().expect("on_group_joined");
    assert!(input.group.created_by_us && input.group.subject == "Guild");
}
