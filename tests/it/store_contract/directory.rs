//! Promises of the directory (P2, P7): who is in, since when, and which events make a run.

use super::{
    Backend,
    world::{
        World, admin, at, club, event, joined, left, lid, main_session, member, person, phone, record,
        remove, roster, row, settled, snapshot,
    },
};
use perimeterd::{
    action::RowState,
    event::{Event, EventKind, Hook, Participant, Role, Via},
    ids::{Person, SessionName},
    store::{EntryState, Filter, Settled},
};

pub(crate) async fn a_join_makes_one_run_however_often_it_is_told(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let first = world.tell(joined(1, at(100))).await;
    assert_eq!((first.runs.len(), first.joins.len()), (1, 1));
    for (when, received) in [(100, 100), (103, 103), (160, 161), (95, 200), (100, 90_000)] {
        let again = world.tell_at(joined(1, at(when)), at(received)).await;
        assert!(again.runs.is_empty() && again.joins.is_empty(), "told for {when}, received at {received}");
    }
    assert_eq!(world.size().await, 2);
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.joins, facts.via, facts.joined_at), (1, Via::Link, Some(at(100))));
    let last = &world.store.entries(Filter { limit: 1, ..Filter::default() }).await.unwrap()[0];
    assert_eq!(last.state, EntryState::Ignored);
    assert_eq!(world.store.arrivals_since(at(0)).await.unwrap(), [(club(), at(100), true)]);
}

pub(crate) async fn a_leave_told_between_opens_a_new_join(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    world.join(1, at(100)).await;
    let gone = world.tell(left(1, at(110))).await;
    assert_eq!((gone.runs.len(), gone.leaves.len()), (1, 1));
    assert!(world.tell(left(1, at(110))).await.runs.is_empty());
    assert_eq!(world.size().await, 1);
    world.join(1, at(110)).await;
    assert_eq!(world.size().await, 2);
    assert_eq!(world.facts(1).await.1.joins, 2);
}

pub(crate) async fn a_lost_leave_makes_a_run_and_nobody_more(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    world.join(1, at(100)).await;
    world.join(1, at(161)).await;
    assert_eq!((world.size().await, world.facts(1).await.1.joins), (2, 2));
}

pub(crate) async fn a_join_older_than_the_leave_is_ignored(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    assert!(world.tell(left(1, at(200))).await.runs.is_empty(), "nobody known left");
    assert!(world.tell(joined(1, at(100))).await.runs.is_empty());
    assert_eq!(world.size().await, 1);
    world.join(2, at(300)).await;
    assert!(world.tell(left(2, at(250))).await.runs.is_empty(), "a leave older than the join");
    assert_eq!(world.size().await, 2);
}

pub(crate) async fn our_removal_is_counted_once(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(100)).await;
    assert_eq!(world.size().await, 2);
    world.call(removal, RowState::Done, at(101)).await;
    assert_eq!(world.size().await, 1);
    let told = world.tell(left(1, at(101))).await;
    assert!(told.runs.is_empty() && told.leaves.is_empty());
    assert_eq!(world.size().await, 1);
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.present, facts.removals), (false, 1));
    world.join(1, at(105)).await;
    assert_eq!(world.size().await, 2, "after its leave a join is new");
}

pub(crate) async fn our_removal_opens_no_join_before_its_leave(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(100)).await;
    world.call(removal, RowState::Done, at(101)).await;
    for (when, received) in [(100, 102), (130, 130), (161, 161), (100, 5000), (400, 150)] {
        let told = world.tell_at(joined(1, at(when)), at(received)).await;
        assert!(told.runs.is_empty(), "told for {when}, received at {received}");
        assert!(!world.facts(1).await.1.present);
    }
    assert_eq!(world.tell(joined(1, at(162))).await.runs.len(), 1);
    assert_eq!(world.size().await, 2);
}

pub(crate) async fn the_first_roster_is_adopted_silently(backend: &dyn Backend) {
    let world = World::open(backend);
    world.tell(joined(1, at(90))).await;
    let people = [admin(0), member(1), Participant { role: Role::Creator, ..member(2) }, member(3)];
    let told = world.tell(roster(&people, at(100))).await;
    assert!(told.runs.is_empty() && told.joins.is_empty(), "{told:?}");
    let (group, second) = world.facts(2).await;
    assert_eq!((group.size, group.subject.as_str()), (4, "The club"));
    assert_eq!((second.role, second.adopted, second.joined_at), (Role::Creator, true, Some(at(100))));
    let (_, first) = world.facts(1).await;
    assert_eq!((first.adopted, first.joined_at, first.role), (false, Some(at(90)), Role::Unknown));
    assert!(world.store.groups().await.unwrap()[0].adopted);
}

pub(crate) async fn a_join_overtaken_by_the_first_roster_is_still_judged(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[1, 2]).await;
    let late = world.tell_at(joined(1, at(-5)), at(5)).await;
    assert_eq!((late.runs.len(), world.size().await), (1, 3));
    let established = world.tell_at(joined(2, at(-61)), at(5)).await;
    assert!(established.runs.is_empty());
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.joins, facts.adopted, facts.joined_at), (1, false, Some(at(-5))));
    assert!(world.tell_at(joined(1, at(-5)), at(9)).await.runs.is_empty());
}

pub(crate) async fn a_later_roster_finds_joins_and_leaves(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[1, 2]).await;
    world.join(3, at(200)).await;
    world.tell(left(2, at(200))).await;
    // Read at 150: it cannot know of what happened at 200.
    let people = [admin(0), member(2), member(4), Participant { role: Role::Admin, ..member(5) }];
    let told = world.tell_at(roster(&people, at(150)), at(201)).await;
    assert!(told.joins.is_empty() && told.leaves.is_empty());
    let inputs = world.store.run_inputs(told.runs).await.unwrap();
    let runs: Vec<_> = inputs.iter().map(|run| (run.hook, run.member.clone().unwrap().person)).collect();
    let expected = [(Hook::OnJoin, person(4)), (Hook::OnJoin, person(5)), (Hook::OnLeave, person(1))];
    assert_eq!(runs, expected);
    assert_eq!(inputs[0].member.as_ref().unwrap().via, Via::Reconciled);
    assert_eq!(world.size().await, 4, "our own, 3, 4 and 5");
    assert!(world.tell(joined(4, at(150))).await.runs.is_empty(), "told after all");
}

pub(crate) async fn a_roster_retries_a_removal_of_unknown_outcome(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(100)).await;
    world.call(removal, RowState::Unknown, at(110)).await;
    world.tell_at(roster(&[admin(0), member(1)], at(105)), at(112)).await;
    assert_eq!(world.state(removal).await, RowState::Unknown, "read before the call ended");
    let told = world.tell(roster(&[admin(0), member(1)], at(115))).await;
    assert!(told.runs.is_empty() && told.outbox_changed);
    assert_eq!(world.state(removal).await, RowState::Waiting);
    assert_eq!(world.size().await, 2);
}

pub(crate) async fn a_roster_settles_a_removal_of_unknown_outcome(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(100)).await;
    world.call(removal, RowState::Unknown, at(110)).await;
    let told = world.tell(roster(&[admin(0), member(9)], at(115))).await;
    assert_eq!(told.runs.len(), 1, "9 joined; the leave of 1 was our doing");
    assert_eq!(world.state(removal).await, RowState::Done);
    assert_eq!((world.size().await, world.facts(1).await.1.removals), (2, 1));
    world.tell(left(1, at(111))).await;
    assert_eq!((world.size().await, world.facts(1).await.1.removals), (2, 1));
}

pub(crate) async fn a_doubt_counts_from_its_first_moment(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(100)).await;
    world.call(removal, RowState::Unknown, at(110)).await;
    // The delivery looks at it every minute, while a roster is on its way through a slow journal.
    let later = Settled { not_before: Some(at(180)), ..settled(RowState::Unknown) };
    world.settle(removal, later, at(120)).await;
    world.tell_at(roster(&[admin(0), member(1)], at(115)), at(121)).await;
    assert_eq!(world.state(removal).await, RowState::Waiting);
}

pub(crate) async fn a_retry_is_due_whatever_the_wall_clock_says(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(100)).await;
    world.call(removal, RowState::Unknown, at(110)).await;
    backend.clock().step(at(3600));
    world.tell_at(roster(&[admin(0), member(1)], at(3600)), at(3600)).await;
    let heads = world.heads(at(115)).await;
    assert_eq!(heads.iter().map(|row| row.id).collect::<Vec<_>>(), [removal]);
}

pub(crate) async fn a_self_join_told_twice_makes_one_run(backend: &dyn Backend) {
    let world = World::open(backend);
    world.store.session_started(&main_session(), person(0), at(0)).await.unwrap();
    let entered = |when| event(when, EventKind::SelfJoined { group: snapshot(&[]) });
    let first = world.tell(entered(at(10))).await;
    assert_eq!((first.runs.len(), first.rosters_wanted.len()), (1, 1));
    let input = &world.store.run_inputs(first.runs).await.unwrap()[0];
    assert_eq!((input.hook, input.member.is_none()), (Hook::OnGroupJoined, true));
    assert_eq!(input.group.sessions, [(main_session(), Role::Unknown)]);
    assert!(world.tell(entered(at(12))).await.runs.is_empty());
    assert_eq!(world.size().await, 1);
    world.tell(event(at(50), EventKind::SelfLeft { group: club() })).await;
    assert!(world.store.groups().await.unwrap().is_empty());
    assert!(world.tell(entered(at(12))).await.runs.is_empty(), "older than our leaving");
    assert_eq!(world.tell(entered(at(60))).await.runs.len(), 1);
    assert_eq!(world.size().await, 1);
}

pub(crate) async fn first_sight_of_a_group_wants_its_roster_once_a_minute(backend: &dyn Backend) {
    let world = World::open(backend);
    let wanted = |n| world.tell(joined(n, at(0)));
    assert_eq!(wanted(1).await.rosters_wanted, [(main_session(), club())]);
    assert!(wanted(2).await.rosters_wanted.is_empty());
    backend.clock().advance(std::time::Duration::from_secs(60));
    assert_eq!(wanted(3).await.rosters_wanted.len(), 1);
    world.adopt(&[1]).await;
    backend.clock().advance(std::time::Duration::from_secs(600));
    assert!(wanted(4).await.rosters_wanted.is_empty());
    let unclear = event(at(0), EventKind::MembershipUnclear { group: club() });
    assert_eq!(world.tell(unclear).await.rosters_wanted.len(), 1);
}

pub(crate) async fn a_pair_makes_two_people_one(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let hidden = Person::of_lid(lid(1));
    let removal = world.join_and_remove(1, at(100)).await;
    let kind = EventKind::Joined {
        group: club(),
        people: vec![Participant { name: Some("Ann".into()), ..Participant::new(hidden) }],
        via: Via::Added,
        by: Some(person(7)),
    };
    let doubled = world.tell(event(at(101), kind)).await.runs[0];
    let gone = world.store.person(hidden).await.unwrap().unwrap();
    world.store.commit(vec![record(doubled, at(102), vec![row(remove(gone), at(102))])]).await.unwrap();
    assert_eq!(world.size().await, 3, "two people, as far as we know");
    world.learn(phone(1), lid(1)).await;
    assert_eq!(world.size().await, 2);
    let kept = world.id(1).await;
    assert_eq!(world.store.person(hidden).await.unwrap(), Some(kept));
    let (_, facts) = world.facts(1).await;
    assert_eq!(facts.person, Person { phone: Some(phone(1)), lid: Some(lid(1)) });
    assert_eq!((facts.name.as_deref(), facts.via, facts.joins), (Some("Ann"), Via::Link, 1));
    let rows = world.rows().await;
    assert!(rows.iter().all(|row| row.call == remove(kept)), "every row names the person that stayed");
    let states: Vec<_> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [RowState::Waiting, RowState::Cancelled], "one removal is enough");
    world.call(removal, RowState::Done, at(110)).await;
    assert_eq!(world.size().await, 1);
}

pub(crate) async fn our_own_people_are_never_judged(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let second = SessionName::new("second");
    world.store.session_started(&second, Person::of_lid(lid(5)), at(0)).await.unwrap();
    // Its number becomes known from an event of its own.
    let me = Person { phone: Some(phone(5)), lid: Some(lid(5)) };
    let told = Event { session: second, at: at(1), me, kind: EventKind::Ignored { name: "any".into() } };
    world.tell(told).await;
    let told = world.tell(joined(5, at(10))).await;
    assert!(told.runs.is_empty() && told.joins.is_empty());
    assert_eq!((world.size().await, world.facts(5).await.1.is_own), (2, true));
    assert_eq!(world.store.own_sessions().await.unwrap().len(), 2);
    assert!(world.tell(left(5, at(20))).await.runs.is_empty());
}

pub(crate) async fn the_role_of_a_session_follows_its_person(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[1]).await;
    let role = async || world.facts(1).await.0.sessions;
    assert_eq!(role().await, [(main_session(), Role::Admin)]);
    let people = vec![Participant { role: Role::Member, ..member(0) }];
    world.tell(event(at(10), EventKind::RolesChanged { group: club(), people })).await;
    assert_eq!(role().await, [(main_session(), Role::Member)]);
    world.tell(roster(&[admin(0), member(1)], at(20))).await;
    assert_eq!(role().await, [(main_session(), Role::Admin)]);
    let stranger = EventKind::RolesChanged { group: club(), people: vec![admin(8)] };
    assert_eq!(world.tell(event(at(30), stranger)).await.rosters_wanted.len(), 1);
}

pub(crate) async fn a_role_told_before_its_join_is_kept(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let role = async |n: u64, role: Role, when| {
        let people = vec![Participant { role, ..member(n) }];
        world.tell(event(at(when), EventKind::RolesChanged { group: club(), people })).await
    };
    let told = role(1, Role::Admin, 102).await;
    assert!(told.runs.is_empty() && told.joins.is_empty() && told.rosters_wanted.len() == 1);
    assert_eq!(world.size().await, 1, "a role lets nobody in");
    let kept = async |n: u64| world.facts(n).await.1;
    assert!(!kept(1).await.present && kept(1).await.joins == 0);
    world.join(1, at(101)).await;
    assert_eq!((kept(1).await.role, kept(1).await.joins, world.size().await), (Role::Admin, 1, 2));
    role(1, Role::Member, 50).await;
    assert_eq!(kept(1).await.role, Role::Admin, "older than the promotion");
    world.tell(roster(&[admin(0), Participant { role: Role::Member, ..member(1) }], at(90))).await;
    assert_eq!(kept(1).await.role, Role::Admin, "read before the promotion");
    role(1, Role::Member, 110).await;
    assert_eq!(kept(1).await.role, Role::Member);
    world.tell(roster(&[admin(0), admin(1)], at(120))).await;
    role(1, Role::Member, 115).await;
    assert_eq!(kept(1).await.role, Role::Admin, "the roster is newer");
    // A role goes with its membership.
    world.tell(left(1, at(300))).await;
    world.join(1, at(310)).await;
    assert_eq!(kept(1).await.role, Role::Unknown);
    // A demotion that overtakes the join of somebody added as an admin.
    role(2, Role::Member, 402).await;
    world
        .tell(event(
            at(401),
            EventKind::Joined { group: club(), people: vec![admin(2)], via: Via::Added, by: None },
        ))
        .await;
    assert_eq!(kept(2).await.role, Role::Member);
}

pub(crate) async fn messages_are_counted(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[1]).await;
    for second in [10, 20] {
        world.tell(event(at(second), EventKind::GroupMessage { group: club(), from: person(1) })).await;
    }
    world.tell(event(at(30), EventKind::DirectMessage { from: person(1) })).await;
    let (_, facts) = world.facts(1).await;
    assert_eq!((facts.messages, facts.last_message_at), (2, Some(at(20))));
    assert_eq!(facts.wrote_to_us_at, Some(at(30)));
}

pub(crate) async fn a_join_heard_by_two_sessions_makes_one_run(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    world.join(1, at(100)).await;
    let heard = Event { session: SessionName::new("second"), ..joined(1, at(101)) };
    assert!(world.tell(heard).await.runs.is_empty());
    let sessions = world.store.groups().await.unwrap().remove(0).sessions;
    assert_eq!(sessions, [main_session(), SessionName::new("second")]);
}

pub(crate) async fn a_join_told_by_phone_and_by_lid_makes_one_decision(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let by_phone = world.join(1, at(100)).await;
    let told = |person| EventKind::Joined {
        group: club(),
        people: vec![Participant::new(person)],
        via: Via::Unknown,
        by: None,
    };
    world.tell(event(at(100), told(Person::of_lid(lid(1))))).await;
    assert_eq!(world.store.pending_runs().await.unwrap().len(), 2, "nobody knows that they are one");
    let both = Person { phone: Some(phone(1)), lid: Some(lid(1)) };
    assert!(world.tell(event(at(100), told(both))).await.runs.is_empty());
    assert_eq!(world.store.pending_runs().await.unwrap(), [by_phone]);
    assert_eq!(world.size().await, 2);
}

pub(crate) async fn a_session_is_new_again_with_another_number(backend: &dyn Backend) {
    let world = World::open(backend);
    let start = async |n, when| {
        let me = if n == 0 { Person::default() } else { person(n) };
        world.store.session_started(&main_session(), me, at(when)).await.unwrap()
    };
    assert_eq!(start(0, 10).await.first_started_at, at(10));
    assert_eq!(start(1, 20).await.first_started_at, at(10));
    let again = start(0, 30).await;
    assert_eq!((again.first_started_at, again.me), (at(10), person(1)));
    assert_eq!(start(2, 40).await.young_since(), at(40));
}
