//! Promises of committing a run: once, whole, and with the dedup rules of the outbox.

use super::{
    Backend,
    world::{
        World, admitted, after, announce, at, club, dm, event, left, lid, main_session, person, phone,
        record, remove, row, welcome,
    },
};
use perimeterd::{
    action::{Call, RowState},
    clock::Timestamp,
    event::{EventKind, Hook, Participant, Via},
    ids::{DecisionId, EntryId, Person},
    store::{Effect, EntryState, Failure, Filter, NewRow, Reading, RunRecord, RunState},
};

pub(crate) async fn a_run_is_committed_once(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    assert_eq!(world.store.pending_runs().await.unwrap(), [run]);
    let input = &world.store.run_inputs(vec![run, DecisionId(99)]).await.unwrap()[..];
    assert_eq!(input.len(), 1, "missing runs are left out");
    assert_eq!((input[0].hook, input[0].now, input[0].state), (Hook::OnJoin, at(1), RunState::Pending));
    let id = world.id(1).await;
    let verdict = RunRecord { verdict: admitted(), ..record(run, at(2), vec![row(dm(id, "hello"), at(2))]) };
    world.commit(verdict.clone()).await;
    world.commit(verdict).await;
    let world = world.reopen(backend);
    assert!(world.store.pending_runs().await.unwrap().is_empty());
    let decision = world.store.decision(run).await.unwrap().unwrap();
    assert_eq!((decision.state, decision.rows.len()), (RunState::Decided, 1));
    assert_eq!((decision.verdict, decision.decided_at), (admitted(), Some(at(2))));
    assert_eq!((decision.member, decision.member_id), (Some(person(1)), Some(id)));
    let mine = Filter { member: Some(id), ..Filter::default() };
    assert_eq!(world.store.decisions(mine).await.unwrap().len(), 1);
}

pub(crate) async fn a_removal_is_written_once_and_its_dependents_are_cancelled(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (first, second) = (world.join(1, at(1)).await, world.join(1, at(100)).await);
    let id = world.id(1).await;
    for run in [first, second] {
        let rows = vec![row(remove(id), at(100)), after(0, row(dm(id, "bye"), at(100)))];
        world.commit(record(run, at(100), rows)).await;
    }
    let states: Vec<_> = world.rows().await.iter().map(|row| (row.call.name(), row.state)).collect();
    let expected = [("remove", RowState::Waiting), ("dm", RowState::Waiting), ("dm", RowState::Cancelled)];
    assert_eq!(states, expected);
}

pub(crate) async fn equal_settings_are_written_once(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    for n in 1..=3 {
        let run = world.join(n, at(1)).await;
        let rows = vec![row(announce(n < 3), at(1)), row(Call::RevokeInvite { group: club() }, at(1))];
        world.commit(record(run, at(1), rows)).await;
    }
    let calls: Vec<_> = world.rows().await.into_iter().map(|row| row.call).collect();
    assert_eq!(calls, [announce(true), Call::RevokeInvite { group: club() }, announce(false)]);
}

pub(crate) async fn what_was_asked_for_last_is_what_will_be(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    for (n, on) in [(1, true), (2, false), (3, true)] {
        let run = world.join(n, at(1)).await;
        world.commit(record(run, at(1), vec![row(announce(on), at(1))])).await;
    }
    let calls: Vec<_> = world.rows().await.into_iter().map(|row| row.call).collect();
    assert_eq!(calls, [announce(true), announce(false), announce(true)]);
}

pub(crate) async fn welcomes_of_a_window_share_their_due_time(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let join = async |n: u64, when: i64| {
        let run = world.join(n, at(when)).await;
        let id = world.id(n).await;
        world.commit(record(run, at(when), vec![row(welcome(id), at(when + 10))])).await;
    };
    join(1, 0).await;
    join(2, 4).await;
    let due: Vec<_> = world.rows().await.iter().map(|row| row.not_before).collect();
    assert_eq!(due, [at(10), at(10)]);
    assert!(world.heads(at(9)).await.is_empty());
    let heads = world.heads(at(10)).await;
    let batch = world.store.welcome_batch(heads[0].id).await.unwrap();
    assert_eq!(batch.len(), 2);
    let ids: Vec<_> = batch.iter().map(|row| row.id).collect();
    let call = world.store.begin(&main_session(), ids, vec![], at(10)).await.unwrap();
    assert!(call.is_some());
    join(3, 11).await;
    assert_eq!(world.rows().await[2].not_before, at(21), "the next window begins anew");
}

pub(super) fn lockdown(run: DecisionId, when: Timestamp, until: Timestamp) -> RunRecord {
    let effect = Effect::Lockdown {
        group: club(),
        until,
        session: main_session(),
        observe: false,
        rows: vec![row(announce(true), when), row(Call::RevokeInvite { group: club() }, when)],
    };
    RunRecord { effects: vec![effect], ..record(run, when, vec![]) }
}

/// Fires what is due and applies it.
pub(super) async fn fire(world: &World, now: Timestamp) -> usize {
    world.store.fire_timers(now).await.unwrap();
    let due = world.store.unread(EntryId(0), 10).await.unwrap();
    for entry in &due {
        let told = serde_json::from_slice(&entry.body).unwrap();
        world.store.apply(vec![(entry.id, Reading::Events(vec![told]))]).await.unwrap();
    }
    due.len()
}

async fn send_all(world: &World, when: Timestamp) {
    for row in world.heads(when).await {
        world.call(row.id, RowState::Done, when).await;
    }
}

pub(crate) async fn a_lockdown_opens_again_once(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    world.commit(lockdown(run, at(1), at(1800))).await;
    send_all(&world, at(2)).await;
    assert_eq!(world.facts(1).await.0.announce_only, Some(true));
    let world = world.reopen(backend);
    assert_eq!(fire(&world, at(1799)).await, 0);
    assert_eq!(fire(&world, at(1800)).await, 1);
    assert_eq!(fire(&world, at(9999)).await, 0);
    let rows = world.rows().await;
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[2].call, rows[2].state), (&announce(false), RowState::Waiting));
    send_all(&world, at(1801)).await;
    assert_eq!(world.facts(1).await.0.announce_only, Some(false));
}

pub(crate) async fn a_second_lockdown_prolongs_the_first(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (first, second) = (world.join(1, at(1)).await, world.join(2, at(2)).await);
    world.commit(lockdown(first, at(1), at(1800))).await;
    send_all(&world, at(2)).await;
    world.commit(lockdown(second, at(900), at(2700))).await;
    assert_eq!(world.rows().await.len(), 2, "it is locked already");
    assert_eq!(fire(&world, at(1800)).await, 0);
    assert_eq!(fire(&world, at(2700)).await, 1);
    assert_eq!(world.rows().await.len(), 3);
    // A third one, while the release is still waiting, is to end open as well.
    let third = world.join(3, at(2701)).await;
    world.commit(lockdown(third, at(2701), at(3000))).await;
    send_all(&world, at(2702)).await;
    fire(&world, at(3000)).await;
    send_all(&world, at(3001)).await;
    assert_eq!(world.facts(1).await.0.announce_only, Some(false));
}

pub(crate) async fn a_recorded_lockdown_stands_in_nobodys_way(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let observed = |mut record: RunRecord| {
        if let Effect::Lockdown { observe, rows, .. } = &mut record.effects[0] {
            *observe = true;
            rows.iter_mut().for_each(|row| row.state = RowState::Observed);
        }
        record
    };
    let (first, second, third) =
        (world.join(1, at(1)).await, world.join(2, at(2)).await, world.join(3, at(3)).await);
    world.commit(observed(lockdown(first, at(1), at(1800)))).await;
    world.commit(lockdown(second, at(10), at(600))).await;
    assert_eq!(world.heads(at(10)).await.len(), 2, "now it is meant");
    send_all(&world, at(10)).await;
    world.commit(observed(lockdown(third, at(20), at(9000)))).await;
    assert_eq!(fire(&world, at(600)).await, 1, "a recorded one prolongs nothing");
    send_all(&world, at(601)).await;
    assert_eq!(world.facts(1).await.0.announce_only, Some(false));
    assert_eq!(fire(&world, at(9999)).await, 0);
}

pub(crate) async fn a_lockdown_opens_in_time_whatever_the_wall_clock_says(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    world.commit(lockdown(run, at(1), at(100))).await;
    send_all(&world, at(2)).await;
    backend.clock().step(at(5000));
    assert_eq!(fire(&world, at(100)).await, 1);
    assert_eq!(world.heads(at(101)).await.len(), 1);
}

pub(crate) async fn a_lockdown_that_was_never_sent_is_cancelled(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    world.commit(lockdown(run, at(1), at(100))).await;
    fire(&world, at(100)).await;
    let announced: Vec<_> =
        world.rows().await.into_iter().filter(|row| row.call.name() == "announce_only").collect();
    assert_eq!(announced.len(), 1);
    assert_eq!(announced[0].state, RowState::Cancelled);
}

pub(crate) async fn a_failed_run_goes_back_in_line(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (run, other) = (world.join(1, at(1)).await, world.join(2, at(1)).await);
    let failure = Failure {
        message: "no such property".into(),
        file: "subscribers.rhai".into(),
        line: 3,
        column: 9,
        snippet: "member.phon".into(),
    };
    let failed = record(run, at(2), vec![]);
    let failed = RunRecord { state: RunState::PolicyError, failure: Some(failure.clone()), ..failed };
    world.store.commit(vec![failed, record(other, at(2), vec![])]).await.unwrap();
    let decision = world.store.decision(run).await.unwrap().unwrap();
    assert_eq!((decision.state, decision.failure), (RunState::PolicyError, Some(failure)));
    assert_eq!(world.store.depths().await.unwrap().parked_runs, 1);
    assert_eq!(world.store.retry(decision.entry).await.unwrap(), 1);
    assert_eq!(world.store.pending_runs().await.unwrap(), [run]);
    assert_eq!(world.store.retry(decision.entry).await.unwrap(), 0);
}

pub(crate) async fn a_recheck_sweeps_whoever_is_still_there(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let mut runs = Vec::new();
    for n in 1..=3 {
        let run = world.join(n, at(1)).await;
        world.commit(RunRecord { recheck_at: Some(at(60)), ..record(run, at(2), vec![]) }).await;
        runs.push(run);
    }
    world.tell(left(2, at(10))).await;
    let again = world.join(3, at(100)).await;
    world.commit(RunRecord { verdict: admitted(), ..record(again, at(101), vec![]) }).await;
    let before = world.store.pending_runs().await.unwrap();
    assert_eq!(fire(&world, at(200)).await, 3);
    let mut made = world.store.pending_runs().await.unwrap();
    made.retain(|run| !before.contains(run));
    let inputs = world.store.run_inputs(made).await.unwrap();
    assert_eq!(inputs.len(), 1, "2 has left, 3 was judged anew");
    assert_eq!((inputs[0].hook, inputs[0].round), (Hook::OnSweep, 1));
    assert_eq!(inputs[0].member.as_ref().unwrap().person, person(1));
    let ignored = Filter { state: Some("ignored".into()), ..Filter::default() };
    let ignored = world.store.entries(ignored).await.unwrap();
    assert_eq!(ignored.len(), 2);
    assert!(ignored.iter().all(|entry| entry.note.is_some() && entry.state == EntryState::Ignored));
}

pub(crate) async fn tags_hold_until_their_time(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let member = world.id(1).await;
    let tag = |name: &str, until| Effect::Tag { member, name: name.into(), until };
    let effects = vec![
        tag("vip", None),
        tag("warned", Some(at(60))),
        tag("gone", None),
        Effect::Untag { member, name: "gone".into() },
        Effect::Alert { kind: "policy".into(), key: "k".into(), text: "look".into() },
    ];
    world.commit(RunRecord { effects, ..record(run, at(2), vec![]) }).await;
    assert_eq!(world.facts(1).await.1.tags, ["vip", "warned"]);
    backend.clock().advance(std::time::Duration::from_secs(60));
    assert_eq!(world.facts(1).await.1.tags, ["vip"]);
    assert_eq!(world.store.alerts(10).await.unwrap()[0].text, "look");
}

pub(crate) async fn a_run_for_somebody_merged_finds_the_person(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    world.join(1, at(1)).await;
    let hidden = Person::of_lid(lid(1));
    let kind = EventKind::Joined {
        group: club(),
        people: vec![Participant::new(hidden)],
        via: Via::Unknown,
        by: None,
    };
    let told = event(at(90), kind);
    let run = world.tell(told).await.runs[0];
    let gone = world.store.person(hidden).await.unwrap().unwrap();
    world.learn(phone(1), lid(1)).await;
    let rows = vec![NewRow { reason: "late".into(), ..row(remove(gone), at(91)) }];
    let effects = vec![Effect::Tag { member: gone, name: "late".into(), until: None }];
    // The same join, told by phone and by LID more than a minute apart, are two runs and stay so.
    world.commit(RunRecord { effects, ..record(run, at(91), rows) }).await;
    let kept = world.id(1).await;
    assert_ne!(kept, gone);
    assert_eq!(world.rows().await[0].call, remove(kept));
    assert_eq!(world.facts(1).await.1.tags, ["late"]);
}
