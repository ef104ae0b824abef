//! What a raid collapses: welcomes into one, private messages into a summary for the operators.

use super::{
    Backend,
    runs::{fire, lockdown},
    world::{World, after, at, dm, left, record, remove, row, welcome},
};
use perimeterd::{
    action::RowState,
    clock::Timestamp,
    store::{Cause, Effect, NewRow, Row, RunRecord, Whom},
};

impl World {
    async fn join_and_welcome(&self, n: u64, when: i64) {
        let run = self.join(n, at(when)).await;
        let id = self.id(n).await;
        let expires_at = Some(at(when + 610));
        self.commit(record(run, at(when), vec![NewRow { expires_at, ..row(welcome(id), at(when + 10)) }]))
            .await;
    }

    /// Somebody joins, is to be removed, and told why afterwards.
    async fn join_remove_and_tell(&self, n: u64, when: Timestamp) {
        let run = self.join(n, when).await;
        let id = self.id(n).await;
        self.commit(record(run, when, vec![row(remove(id), when), after(0, row(dm(id, "bye"), when))])).await;
    }

    async fn lock(&self, n: u64, when: i64, until: i64) {
        let run = self.join(n, at(when)).await;
        self.commit(lockdown(run, at(when), at(until))).await;
    }

    async fn of_kind(&self, name: &str) -> Vec<Row> {
        self.all_rows().await.into_iter().filter(|row| row.call.name() == name).collect()
    }
}

pub(crate) async fn welcomes_of_a_raid_go_out_as_one_when_it_is_over(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    world.join_and_welcome(1, 1).await;
    world.lock(2, 5, 1800).await;
    world.join_and_welcome(3, 100).await;
    world.join_and_welcome(4, 1000).await;
    let due = |rows: &[Row]| rows.iter().map(|row| (row.not_before, row.expires_at)).collect::<Vec<_>>();
    assert_eq!(due(&world.of_kind("welcome").await), [(at(1800), Some(at(2400))); 3]);
    let welcomes = |rows: Vec<Row>| rows.into_iter().filter(|row| row.call.name() == "welcome").count();
    assert_eq!(welcomes(world.heads(at(1700)).await), 0, "none while it is locked, none expired");

    world.lock(5, 1500, 3000).await;
    assert_eq!(fire(&world, at(1800)).await, 0, "prolonged");
    assert_eq!(welcomes(world.heads(at(2900)).await), 0);
    world.tell(left(4, at(2950))).await;
    let world = world.reopen(backend);
    assert_eq!(fire(&world, at(3000)).await, 1);
    let heads = world.heads(at(3000)).await;
    let first = heads.iter().find(|row| row.call.name() == "welcome").expect("it is due").id;
    let batch = world.store.welcome_batch(first).await.unwrap();
    assert_eq!(batch.len(), 3, "one message");
    assert_eq!(batch.iter().filter(|row| row.present == Some(true)).count(), 2, "for those still there");
    world.join_and_welcome(6, 4000).await;
    assert_eq!(world.of_kind("welcome").await[3].state, RowState::Waiting);
}

pub(crate) async fn private_messages_of_a_raid_become_a_summary(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[50]).await;
    world.join_remove_and_tell(1, at(500)).await;
    world.join_remove_and_tell(2, at(900)).await;
    world.lock(3, 1000, 2800).await;
    let dms = world.of_kind("dm").await;
    assert_eq!(dms[0].state, RowState::Waiting, "who came long before is no raider");
    assert_eq!(dms[1].state, RowState::Cancelled, "who came just before is one");
    world.join_remove_and_tell(4, at(1100)).await;
    let told = world.of_kind("dm").await[2].clone();
    assert_eq!(
        (told.state, told.note.as_deref()),
        (RowState::Cancelled, Some("a raid: told in the summary"))
    );

    // A member of old is written to as on any day.
    world.begin(Cause::Operator, Whom::Everybody, at(1200)).await.unwrap();
    let runs = world.step(at(1200)).await.unwrap();
    let old = world.id(50).await;
    let inputs = world.store.run_inputs(runs).await.unwrap();
    let run = inputs.iter().find(|input| input.member.as_ref().unwrap().id == old).unwrap().id;
    world.commit(record(run, at(1200), vec![row(dm(old, "hello"), at(1200))])).await;
    assert_eq!(world.of_kind("dm").await[3].state, RowState::Waiting);

    let removals = world.of_kind("remove").await;
    world.call(removals[1].id, RowState::Done, at(1300)).await;
    assert!(world.store.alerts(10).await.unwrap().is_empty());
    fire(&world, at(2800)).await;
    let alerts = world.store.alerts(10).await.unwrap();
    assert_eq!((alerts.len(), alerts[0].kind.as_str()), (1, "raid"));
    let text = &alerts[0].text;
    for word in ["The club", "3 came", "1 were removed", "1 stayed", "1 still wait", "2 private message"] {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    world.join_remove_and_tell(7, at(2900)).await;
    assert_eq!(world.of_kind("dm").await[4].state, RowState::Waiting, "the raid is over");
}

pub(crate) async fn a_recorded_lockdown_collapses_nothing(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let mut observed: RunRecord = lockdown(run, at(1), at(1800));
    if let Effect::Lockdown { observe, rows, .. } = &mut observed.effects[0] {
        *observe = true;
        rows.iter_mut().for_each(|row| row.state = RowState::Observed);
    }
    world.commit(observed).await;
    world.join_and_welcome(2, 20).await;
    world.join_remove_and_tell(3, at(30)).await;
    assert_eq!(world.of_kind("welcome").await[0].not_before, at(30));
    assert_eq!(world.of_kind("dm").await[0].state, RowState::Waiting);
    fire(&world, at(1800)).await;
    assert!(world.store.alerts(10).await.unwrap().is_empty());
}
