//! The brake's promises: removals of established members are counted where they are written, held beyond the allowance,
//! told of once, and a human's ruling stands.

use super::{
    Backend,
    world::{World, after, at, club, dm, event, joined, left, main_session, record, remove, row, settled},
};
use perimeterd::{
    action::{Call, Class, RowState},
    brake::Terms,
    clock::Timestamp,
    event::{EventKind, GroupSnapshot, Via},
    ids::{DecisionId, OutboxId},
    store::{Cause, NewRow, Pick, Raised, Row, Ruled, Ruling, Whom},
};
use std::time::Duration;

const TERMS: Terms = Terms { max: 20, window: Duration::from_secs(600), share: 0.1 };

/// A removal that the brake counts.
fn counted(row: NewRow) -> NewRow {
    NewRow { brake: Some(TERMS), ..row }
}

impl World {
    /// Looks at everybody again; the runs, in the order of the members.
    async fn sweep(&self, when: Timestamp) -> Vec<DecisionId> {
        self.begin(Cause::Lists, Whom::Everybody, when).await.expect("somebody is inside");
        let mut runs = Vec::new();
        while let Some(made) = self.step(when).await {
            runs.extend(made);
        }
        runs
    }

    /// A sweep whose every run asks for a removal that the brake counts, with a message after it.
    async fn remove_everybody(&self, when: Timestamp) -> Vec<Raised> {
        let runs = self.sweep(when).await;
        let inputs = self.store.run_inputs(runs).await.expect("inputs");
        let records = inputs.iter().map(|input| {
            let id = input.member.as_ref().expect("a member").id;
            let rows = vec![counted(row(remove(id), when)), after(0, row(dm(id, "bye"), when))];
            record(input.id, when, rows)
        });
        self.store.commit(records.collect()).await.expect("committed")
    }

    async fn removals(&self, state: RowState) -> Vec<Row> {
        let of_state = |row: &Row| row.state == state && row.call.name() == "remove";
        self.all_rows().await.into_iter().filter(of_state).collect()
    }

    async fn rule(&self, pick: Pick, ruling: Ruling) -> Vec<OutboxId> {
        match self.store.rule(pick, ruling, at(5000)).await.expect("ruled") {
            Ruled::Done(rows) => rows,
            other => panic!("expected it to be done, got {other:?}"),
        }
    }

    async fn unfit(&self, id: OutboxId, ruling: Ruling) -> String {
        match self.store.rule(Pick::Row(id), ruling, at(5000)).await.expect("ruled") {
            Ruled::Unfit(_, why) => why,
            other => panic!("expected {id} to be unfit, got {other:?}"),
        }
    }
}

fn members(count: u64) -> Vec<u64> {
    (1..=count).collect()
}

pub(crate) async fn removals_beyond_the_allowance_are_held_and_told_once(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&members(299)).await;
    let raised = world.remove_everybody(at(100)).await;
    assert_eq!(raised.len(), 1, "{raised:?}");
    assert_eq!(raised[0].kind, "brake");
    assert_eq!(world.removals(RowState::Waiting).await.len(), 20);
    let held = world.removals(RowState::Held).await;
    assert_eq!(held.len(), 279);
    assert!(world.remove_everybody(at(200)).await.is_empty(), "a second sweep tells nothing new");
    assert_eq!(world.removals(RowState::Held).await.len(), 279, "whoever is held is not held twice");

    let brakes = world.store.brakes().await.unwrap();
    assert_eq!((brakes.len(), brakes[0].held, brakes[0].let_through), (1, 279, 20));
    assert!(brakes[0].cause.contains("subscribers:7 \"because\""), "{}", brakes[0].cause);
    let alerts = world.store.alerts(10).await.unwrap();
    assert_eq!((alerts.len(), alerts[0].count, alerts[0].kind.as_str()), (1, 1, "brake"));
    for word in ["279", "The club", "20 of 300", "outbox approve --group 000001"] {
        assert!(alerts[0].text.contains(word), "{word}: {}", alerts[0].text);
    }
    let heads = world.store.heads(&main_session(), &Class::ALL, at(9999), 1000).await.unwrap();
    assert_eq!(heads.len(), 20, "neither a held removal nor its message may go");
    let world = world.reopen(backend);
    assert_eq!(world.removals(RowState::Held).await.len(), 279);
    assert_eq!(world.store.depths().await.unwrap().brakes, 1);
}

pub(crate) async fn a_joiner_is_neither_counted_nor_held(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&members(30)).await;
    for n in 100..130 {
        world.join_and_remove(n, at(50)).await;
    }
    assert!(world.removals(RowState::Held).await.is_empty());
    for id in world.removals(RowState::Waiting).await {
        world.call(id.id, RowState::Done, at(60)).await;
    }
    world.remove_everybody(at(100)).await;
    assert_eq!(world.removals(RowState::Waiting).await.len(), 3, "the joiners took nobody's place");
    world.join_and_remove(140, at(110)).await;
    assert_eq!(world.removals(RowState::Waiting).await.len(), 4, "nor does a brake that stands hold one");
}

pub(crate) async fn whoever_is_approved_goes_and_counts_no_more(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&members(10)).await;
    world.remove_everybody(at(100)).await;
    let held = world.removals(RowState::Held).await;
    assert_eq!(held.len(), 7);
    assert_eq!(world.rule(Pick::Row(held[0].id), Ruling::Approve).await, [held[0].id]);
    assert_eq!(world.store.brakes().await.unwrap()[0].held, 6, "the brake stands for the others");
    assert!(world.unfit(held[0].id, Ruling::Approve).await.contains("waiting"));
    assert_eq!(world.rule(Pick::Group(club()), Ruling::Approve).await.len(), 6);
    assert!(world.store.brakes().await.unwrap().is_empty());

    let waiting = world.removals(RowState::Waiting).await;
    assert_eq!(waiting.len(), 10);
    assert_eq!(waiting.iter().filter(|row| row.removal.as_ref().unwrap().approved_at.is_some()).count(), 7);
    assert_eq!(world.store.heads(&main_session(), &Class::ALL, at(6000), 100).await.unwrap().len(), 10);
    let followers = world.all_rows().await.into_iter().filter(|row| row.call.name() == "dm");
    let held_up: Vec<_> = followers.filter(|row| row.expires_at.is_some()).collect();
    assert_eq!(held_up.len(), 7, "their messages have their whole time from now on");
    for row in waiting.iter().filter(|row| row.removal.as_ref().unwrap().approved_at.is_some()) {
        world.call(row.id, RowState::Done, at(6000)).await;
    }
    assert_eq!(world.removals(RowState::Done).await.len(), 7);
}

pub(crate) async fn whoever_is_spared_stays_until_they_enter_again(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&members(10)).await;
    world.remove_everybody(at(100)).await;
    let first = world.removals(RowState::Waiting).await[0].id;
    world.call(first, RowState::Done, at(110)).await;
    let cancelled = world.rule(Pick::All, Ruling::Cancel).await;
    assert_eq!(cancelled.len(), 9, "what is held, and what the brake counts and nobody has begun");
    assert!(world.store.brakes().await.unwrap().is_empty());
    for round in 0..3 {
        world.remove_everybody(at(1000 + 1000 * round)).await;
    }
    let world = world.reopen(backend);
    world.remove_everybody(at(9000)).await;
    assert!(
        world.removals(RowState::Waiting).await.is_empty() && world.removals(RowState::Held).await.is_empty()
    );
    let last = world.removals(RowState::Cancelled).await.pop().unwrap();
    let note = last.note.unwrap();
    assert!(note.contains("2023-11-14") && note.contains("outbox retry o"), "{note}");

    // Another policy knows nothing of it.
    let id = world.id(5).await;
    let run = world.sweep(at(9100)).await[0];
    let other = NewRow { policy: "blacklist".into(), ..counted(row(remove(id), at(9100))) };
    world.commit(record(run, at(9100), vec![other])).await;
    assert_eq!(world.removals(RowState::Waiting).await.len(), 1);

    world.tell(left(6, at(9200))).await;
    let run = world.join(6, at(9300)).await;
    let id = world.id(6).await;
    world.commit(record(run, at(9300), vec![row(remove(id), at(9300))])).await;
    assert_eq!(world.removals(RowState::Waiting).await.len(), 2, "entered again, judged again");
}

pub(crate) async fn a_retry_takes_a_ruling_back(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&members(10)).await;
    world.remove_everybody(at(100)).await;
    let held = world.removals(RowState::Held).await[0].clone();
    world.rule(Pick::Row(held.id), Ruling::Cancel).await;
    let states = |rows: &[Row]| rows.iter().map(|row| row.state).collect::<Vec<_>>();
    assert_eq!(states(&world.rows_of(held.decision).await), [RowState::Cancelled; 2]);
    let message = world.rows_of(held.decision).await[1].id;
    assert!(world.unfit(message, Ruling::Retry).await.contains("which is cancelled"));
    world.rule(Pick::Row(held.id), Ruling::Retry).await;
    assert_eq!(states(&world.rows_of(held.decision).await), [RowState::Waiting; 2]);
    assert!(world.unfit(held.id, Ruling::Retry).await.contains("waiting"));
    world.call(held.id, RowState::Dead, at(6000)).await;
    world.rule(Pick::Row(held.id), Ruling::Retry).await;
    world.call(held.id, RowState::Done, at(6001)).await;
    assert!(world.heads(at(6002)).await.iter().any(|row| row.id == message));
    world.call(message, RowState::Unknown, at(6003)).await;
    assert!(world.unfit(message, Ruling::Retry).await.contains("never sent twice"));
    assert_eq!(
        world.store.rule(Pick::Row(OutboxId(9999)), Ruling::Cancel, at(1)).await.unwrap(),
        Ruled::Missing
    );
}

pub(crate) async fn a_brake_lifts_when_nobody_is_held_any_more(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&members(4)).await;
    let raised = world.remove_everybody(at(100)).await;
    assert_eq!(raised.len(), 1);
    world.tell(left(4, at(200))).await;
    assert!(world.store.brakes().await.unwrap().is_empty(), "who was held has left");
    world.tell(joined(5, at(210))).await;
    let raised = world.remove_everybody(at(220)).await;
    assert_eq!(raised.len(), 0, "the joiner's own run is pending: nobody else is left to ask for");
}

pub(crate) async fn the_undo_of_a_removal_is_kept_with_it(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let id = world.join_and_remove(1, at(10)).await;
    let undo = |rows: Vec<Row>| rows.into_iter().next().unwrap().removal.unwrap().undo.unwrap();
    let kept = undo(world.rows().await);
    assert_eq!((kept.group, kept.jid.as_str(), kept.via), (club(), "4915000000001@c.us", Via::Link));
    assert_eq!((kept.joined_at, kept.invite), (Some(at(10)), None));
    world.call(id, RowState::Cancelled, at(20)).await;

    let invite = GroupSnapshot { invite: Some("AbCdEf".into()), ..GroupSnapshot::new(club()) };
    world.tell(event(at(30), EventKind::GroupChanged { group: invite, by: None, doubtful: false })).await;
    let run = world.join(2, at(40)).await;
    world.learn(super::world::phone(2), super::world::lid(2)).await;
    let second = world.id(2).await;
    world.commit(record(run, at(41), vec![row(remove(second), at(41))])).await;
    world.tell(left(2, at(50))).await;
    let kept = undo(world.rows_of(run).await);
    assert_eq!(kept.lid, Some(super::world::lid(2)));
    assert_eq!((kept.phone, kept.invite.as_deref()), (Some(super::world::phone(2)), Some("AbCdEf")));

    // A link that we killed leads nobody back.
    let run = world.join(3, at(60)).await;
    let revoke = Call::RevokeInvite { group: club() };
    world.commit(record(run, at(60), vec![row(revoke, at(60))])).await;
    let row = world.rows_of(run).await[0].id;
    world.call(row, RowState::Done, at(61)).await;
    world.join_and_remove(4, at(62)).await;
    assert_eq!(undo(world.rows().await.into_iter().rev().collect()).invite, None);
}

/// Removals asked for, sent and ruled on at random moments: no window sees more of them begun than the allowance.
pub(crate) async fn no_window_sees_more_than_the_allowance(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&members(79)).await;
    let allowance = TERMS.allowance(80) as usize;
    let mut dice = fastrand::Rng::with_seed(7);
    let (mut now, mut begun, mut trips) = (100, Vec::new(), 0);
    for _ in 0..300 {
        now += dice.i64(1..40);
        let waiting = world.removals(RowState::Waiting).await;
        let doubtful = world.removals(RowState::Unknown).await;
        let held = world.removals(RowState::Held).await;
        match dice.u8(0..5) {
            0..=2 => trips += world.remove_somebody(&mut dice, at(now)).await,
            3 if dice.bool() => {
                for row in held {
                    world.rule(Pick::Row(row.id), Ruling::Cancel).await;
                }
            }
            3 => {
                for row in doubtful {
                    world.settle(row.id, settled(RowState::Done), at(now)).await;
                }
            }
            _ => {
                if let Some(row) = waiting.first() {
                    let outcome = if dice.bool() { RowState::Done } else { RowState::Unknown };
                    world.call(row.id, outcome, at(now)).await;
                    begun.push(now);
                }
            }
        }
    }
    assert!(trips > 2 && begun.len() > 2 * allowance, "it was worth trying: {trips} trips, {begun:?}");
    for first in &begun {
        let within = begun.iter().filter(|moment| (*first..first + 600).contains(*moment)).count();
        assert!(within <= allowance, "{within} of {allowance} from {first} on: {begun:?}");
    }
}

impl World {
    /// A sweep that asks for one removal; how many alerts it raised.
    async fn remove_somebody(&self, dice: &mut fastrand::Rng, when: Timestamp) -> usize {
        let asked = self.sweep(when).await;
        let inputs = self.store.run_inputs(asked).await.expect("inputs");
        let lot = dice.usize(0..inputs.len());
        let records = inputs.iter().enumerate().map(|(index, input)| {
            let id = input.member.as_ref().expect("a member").id;
            // A policy of its own: nobody is spared for what another one asked.
            let policy = format!("rule {}", dice.u32(..));
            let asked = NewRow { policy, ..counted(row(remove(id), when)) };
            record(input.id, when, if index == lot { vec![asked] } else { vec![] })
        });
        self.store.commit(records.collect()).await.expect("committed").len()
    }
}
