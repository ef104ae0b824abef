//! Promises about who is who: where a pair was learnt, whom it wakes, who is still hidden, and what is known of numbers.

use super::{
    Backend,
    world::{World, at, club, event, lid, main_session, phone, record, remove, row},
};
use perimeterd::{
    event::{EventKind, Hook, Participant, Role, Via},
    facts::Verdict,
    identity::{Forward, Learnt, LearntFrom, NumberReply, OnlyId},
    ids::{DecisionId, Person, PersonId},
    store::{IdForm, RunRecord},
};

/// Somebody of whom only the LID is told joins then; the run and the person.
async fn join_hidden(world: &World, n: u64, second: i64) -> (DecisionId, PersonId) {
    let who = Person::of_lid(lid(n));
    let people = vec![Participant { role: Role::Member, ..Participant::new(who) }];
    let kind = EventKind::Joined { group: club(), people, via: Via::Link, by: None };
    let run = world.tell(event(at(second), kind)).await.runs[0];
    (run, world.store.person(who).await.unwrap().expect("somebody known"))
}

/// The run met the hidden phone and is to be looked at again then.
fn look_again(run: DecisionId, decided: i64, again: Option<i64>) -> RunRecord {
    let verdict = Verdict { look_again: true, ..Verdict::default() };
    let recheck_at = again.map(at);
    RunRecord { recheck_at, hidden: true, verdict, ..record(run, at(decided), vec![]) }
}

pub(crate) async fn a_pair_wakes_whoever_waited_for_it(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    for n in [1, 2] {
        let (run, _) = join_hidden(&world, n, 100).await;
        world.commit(look_again(run, 101, Some(3_600))).await;
    }
    assert_eq!(world.store.fire_timers(at(102)).await.unwrap().0, 0);
    assert_eq!(world.learn(phone(1), lid(1)).await, 1);
    assert_eq!(world.store.fire_timers(at(102)).await.unwrap().0, 1, "theirs alone");
    assert_eq!(world.learn(phone(1), lid(1)).await, 0, "no news");
    // Told by an event, by the way.
    let both = Person { phone: Some(phone(2)), lid: Some(lid(2)) };
    world.tell(event(at(103), EventKind::Met { name: "presence.update".into(), people: vec![both] })).await;
    assert_eq!(world.store.fire_timers(at(103)).await.unwrap().0, 1);
}

pub(crate) async fn a_pair_learnt_while_a_run_was_made_is_not_missed(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (run, _) = join_hidden(&world, 1, 100).await;
    world.learn(phone(1), lid(1)).await;
    world.commit(look_again(run, 101, Some(3_600))).await;
    assert_eq!(world.store.fire_timers(at(102)).await.unwrap().0, 1);
    // A run that knew the phone waits for something else.
    let (run, _) = join_hidden(&world, 2, 110).await;
    world.learn(phone(2), lid(2)).await;
    world.commit(RunRecord { hidden: false, ..look_again(run, 111, Some(3_600)) }).await;
    assert_eq!(world.store.fire_timers(at(112)).await.unwrap().0, 0);
}

pub(crate) async fn whoever_was_given_up_is_looked_at_once_known(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (run, _) = join_hidden(&world, 1, 100).await;
    world.commit(look_again(run, 101, Some(160))).await;
    world.store.fire_timers(at(160)).await.unwrap();
    super::twins::apply_timers(&world).await;
    let sweep = world.store.pending_runs().await.unwrap()[0];
    // The last look: nobody looks any more.
    world.commit(look_again(sweep, 161, None)).await;
    assert_eq!(world.store.fire_timers(at(90_000)).await.unwrap(), (0, None));
    world.learn(phone(1), lid(1)).await;
    assert_eq!(world.store.fire_timers(at(90_001)).await.unwrap().0, 1);
    super::twins::apply_timers(&world).await;
    let runs = world.store.pending_runs().await.unwrap();
    let found = world.store.run_inputs(runs).await.unwrap();
    assert_eq!(found.iter().map(|run| run.hook).collect::<Vec<_>>(), [Hook::OnSweep]);
    assert_eq!(found[0].member.as_ref().unwrap().person.phone, Some(phone(1)));
}

pub(crate) async fn a_record_tells_where_a_pair_was_learnt(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (_, id) = join_hidden(&world, 1, 100).await;
    assert_eq!(world.store.record(id).await.unwrap().unwrap().learnt, None);
    let from = Person { phone: Some(phone(1)), lid: Some(lid(1)) };
    world.tell(event(at(130), EventKind::GroupMessage { group: club(), from })).await;
    let record = world.store.record(id).await.unwrap().unwrap();
    assert_eq!(record.learnt, Some(Learnt::new(LearntFrom::Message, at(130))));
    // Told again by others: the first telling stands.
    world.learn(phone(1), lid(1)).await;
    assert_eq!(world.store.record(id).await.unwrap().unwrap(), record);
    // The number belongs to another account now.
    world.tell(event(at(140), EventKind::DirectMessage { from: Person { lid: Some(lid(2)), ..from } })).await;
    let record = world.store.record(id).await.unwrap().unwrap();
    assert_eq!((record.person, record.learnt), (Person::of_lid(lid(1)), None));
}

pub(crate) async fn whoever_is_hidden_is_named_while_somebody_waits(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (first, _) = join_hidden(&world, 1, 100).await;
    let (second, id) = join_hidden(&world, 2, 200).await;
    join_hidden(&world, 3, 210).await;
    world.commit(look_again(first, 101, Some(3_600))).await;
    world.commit(record(second, at(201), vec![row(remove(id), at(201))])).await;
    let waiting = async |since, lids_too| {
        let found = world.store.hidden(&main_session(), at(since), lids_too, 10).await.unwrap();
        found.into_iter().map(|one| (one.id, one.since)).collect::<Vec<_>>()
    };
    let hidden = async |since| waiting(since, true).await;
    let [one, two] = [1, 2].map(|n| OnlyId::Lid(lid(n)));
    assert_eq!(hidden(0).await, [(two, at(201)), (one, at(100))], "a removal waits, and a run");
    assert_eq!(hidden(150).await, [(two, at(201))]);
    world.learn(phone(2), lid(2)).await;
    assert_eq!(hidden(0).await, [(one, at(100))]);
    // Of somebody told by phone the LID, where that is asked for.
    let who = Person::of_phone(phone(4));
    let people = vec![Participant { role: Role::Member, ..Participant::new(who) }];
    let kind = EventKind::Joined { group: club(), people, via: Via::Link, by: None };
    let run = world.tell(event(at(300), kind)).await.runs[0];
    let id = world.store.person(who).await.unwrap().unwrap();
    world.commit(record(run, at(301), vec![row(remove(id), at(301))])).await;
    assert_eq!(hidden(200).await, [(OnlyId::Phone(phone(4)), at(301))]);
    assert_eq!(waiting(200, false).await, []);
    assert_eq!(world.store.unpaired(vec![lid(2), lid(4)]).await.unwrap(), [lid(4)]);
    world.learn(phone(4), lid(4)).await;
    assert_eq!(hidden(200).await, []);
}

pub(crate) async fn what_is_said_of_a_number_is_remembered(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let reply = |n, answer, second| NumberReply { phone: phone(n), answer, at: at(second) };
    let keep = async |said| world.store.keep_reply(said).await.unwrap();
    let best = async |n| world.store.numbers(vec![phone(n)]).await.unwrap()[0].best();
    assert_eq!(best(1).await, None);
    // Of somebody who comes later, and of somebody who is here.
    assert_eq!(keep(reply(1, Forward::Lid(lid(1)), 10)).await, 0);
    let (_, first) = join_hidden(&world, 1, 100).await;
    let (_, second) = join_hidden(&world, 2, 100).await;
    assert_eq!(keep(reply(2, Forward::Lid(lid(2)), 110)).await, 1);
    for (n, id, second) in [(1, first, 10), (2, second, 110)] {
        let record = world.store.record(id).await.unwrap().unwrap();
        assert_eq!(record.person.phone, Some(phone(n)));
        assert_eq!(record.learnt, Some(Learnt::new(LearntFrom::List, at(second))));
    }
    // A miss does not undo a pair that is known, and a pair that was told otherwise undoes what was said.
    keep(reply(1, Forward::Untold, 200)).await;
    assert_eq!(best(1).await.unwrap().answer, Forward::Lid(lid(1)));
    world.learn(phone(1), lid(9)).await;
    keep(reply(3, Forward::Absent, 200)).await;
    assert_eq!(best(3).await.unwrap().answer, Forward::Absent);
    let told = Person { phone: Some(phone(2)), lid: Some(lid(8)) };
    world.tell(event(at(210), EventKind::DirectMessage { from: told })).await;
    assert_eq!(best(2).await.unwrap().answer, Forward::Lid(lid(8)));
    let (_, stranger) = join_hidden(&world, 2, 300).await;
    let record = world.store.record(stranger).await.unwrap().unwrap();
    assert_eq!(record.person, Person::of_lid(lid(2)), "the account had that number once");
}

pub(crate) async fn a_group_is_called_by_the_form_that_it_takes(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (run, id) = join_hidden(&world, 1, 100).await;
    world.learn(phone(1), lid(1)).await;
    world.commit(record(run, at(101), vec![row(remove(id), at(101))])).await;
    let jid = async || world.rows().await[0].jid.clone();
    assert_eq!(jid().await, lid(1).jid(), "as the event told it");
    world.store.use_form(&club(), IdForm::Phone).await.unwrap();
    assert_eq!(jid().await, phone(1).jid());
    world.store.use_form(&club(), IdForm::Lid).await.unwrap();
    assert_eq!(jid().await, lid(1).jid());
}
