//! Promises about removals that were answered as done: believed only when somebody else says so.

use super::{
    Backend,
    world::{World, admin, at, club, joined, left, main_session, member, record, remove, roster, row},
};
use perimeterd::{
    action::{Class, RowState},
    ids::OutboxId,
    store::Settled,
};

/// The removal of somebody is answered as done at second 5; a roster of second 15 or later may tell.
async fn removed(world: &World, n: u64) -> OutboxId {
    let run = world.join(n, at(1)).await;
    let id = world.id(n).await;
    world.commit(record(run, at(1), vec![row(remove(id), at(1))])).await;
    let removal = world.rows_of(run).await[0].id;
    answered(world, removal, 5).await;
    removal
}

async fn answered(world: &World, removal: OutboxId, second: i64) {
    let begun = world.store.begin(&main_session(), vec![removal], vec![Class::Remove], at(second)).await;
    let call = begun.unwrap().expect("it waits");
    let done = Settled { state: RowState::Done, not_before: Some(at(second + 10)), note: None, counts: true };
    world.store.settle(Some(call), vec![(removal, done)], at(second), at(second)).await.unwrap();
}

async fn asked_for(world: &World, second: i64, again: i64) -> usize {
    world.store.unconfirmed(&main_session(), at(second), at(again)).await.unwrap().len()
}

pub(crate) async fn a_removal_without_effect_is_made_again_and_was_none(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = removed(&world, 1).await;
    let everybody = [admin(0), member(1)];
    assert_eq!(world.store.next_due(&main_session(), at(6)).await.unwrap(), Some(at(15)));
    let early = world.tell(roster(&everybody, at(14))).await;
    assert_eq!((early.runs.len(), world.state(removal).await), (0, RowState::Done), "it may be an old one");
    let told = world.tell(roster(&everybody, at(15))).await;
    assert!(told.runs.is_empty() && told.outbox_changed, "no newcomer: the removal had no effect");
    let waiting = world.rows().await.pop().unwrap();
    assert_eq!((waiting.id, waiting.state, waiting.silences), (removal, RowState::Waiting, 1));
    assert!(waiting.note.unwrap().contains("answered as done, but"));
    let (group, facts) = world.facts(1).await;
    assert_eq!((facts.present, facts.removals, facts.joins, group.size), (true, 0, 1, 2));
    answered(&world, removal, 20).await;
    world.tell(left(1, at(21))).await;
    assert_eq!((world.state(removal).await, world.facts(1).await.1.removals), (RowState::Done, 1));
    assert_eq!(asked_for(&world, 100, 200).await, 0, "the leave says it all");
}

pub(crate) async fn one_roster_answers_for_all_unconfirmed_removals_of_a_group(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removals = [removed(&world, 1).await, removed(&world, 2).await, removed(&world, 3).await];
    assert_eq!((asked_for(&world, 14, 74).await, asked_for(&world, 15, 75).await), (0, 1), "when it is due");
    assert_eq!(asked_for(&world, 16, 76).await, 0, "once a while");
    let told = world.tell(roster(&[admin(0), member(2)], at(16))).await;
    assert!(told.runs.is_empty());
    let mut states = Vec::new();
    for removal in removals {
        states.push(world.state(removal).await);
    }
    assert_eq!(states, [RowState::Done, RowState::Waiting, RowState::Done]);
    assert_eq!(asked_for(&world, 1000, 2000).await, 0, "nothing is open");
    assert_eq!(world.store.groups().await.unwrap()[0].id, club());
}

pub(crate) async fn whoever_came_back_is_not_removed_for_the_old_decision(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = removed(&world, 1).await;
    let back = world.tell(joined(1, at(70))).await;
    assert_eq!(back.runs.len(), 1, "a join of its own");
    let told = world.tell(roster(&[admin(0), member(1)], at(80))).await;
    assert!(told.runs.is_empty() && !told.outbox_changed);
    assert_eq!(world.state(removal).await, RowState::Done);
}
