//! The directory against a naive model: whatever is repeated, counts are right and a join makes one run.

use super::{
    Backend,
    world::{World, at, club, event, left, member, record, remove, row, settled},
};
use perimeterd::{
    action::RowState,
    clock::Timestamp,
    event::{EventKind, Participant, Via},
    store::Reading,
};
use std::collections::HashMap;

/// A small deterministic source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn joined(people: &[u64], when: Timestamp) -> perimeterd::event::Event {
    let people: Vec<Participant> = people.iter().map(|n| member(*n)).collect();
    event(when, EventKind::Joined { group: club(), people, via: Via::Unknown, by: None })
}

pub(crate) async fn counts_and_runs_follow_a_naive_model(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    for seed in 1..=6 {
        play(&world, seed).await;
    }
}

/// Each round something happens to somebody, minutes apart; it is told one to three times, with other old news mixed in.
async fn play(world: &World, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let base = seed * 1000;
    let start = i64::try_from(seed).unwrap() * 1_000_000;
    let mut inside: HashMap<u64, bool> = HashMap::new();
    let (mut joins, mut leaves, mut runs) = (0, 0, 0);
    let mut history = Vec::new();
    let before = world.size().await;
    for round in 0..80 {
        let now = at(start + round * 100);
        let who = base + dice.roll(6);
        let was_inside = inside.get(&who).copied().unwrap_or(false);
        let told = if !was_inside {
            joins += 1;
            joined(&[who], now)
        } else if dice.roll(3) == 0 {
            runs += remove_now(world, who, now).await;
            left(who, now)
        } else {
            leaves += 1;
            left(who, now)
        };
        inside.insert(who, !was_inside);
        history.push((told.clone(), now));
        let mut batch = vec![(told.clone(), now)];
        for _ in 0..dice.roll(3) {
            batch.push((told.clone(), now));
        }
        for _ in 0..dice.roll(4) {
            let old = dice.roll(history.len() as u64);
            batch.push((history[usize::try_from(old).unwrap()].0.clone(), now));
        }
        let mut readings = Vec::new();
        for (event, received) in batch {
            readings.push((world.append(received).await, Reading::Events(vec![event])));
        }
        runs += world.store.apply(readings).await.unwrap().runs.len();
        let expected = inside.values().filter(|inside| **inside).count();
        let size = usize::try_from(world.size().await - before).unwrap();
        assert_eq!(size, expected, "seed {seed}, round {round}");
    }
    assert_eq!(
        runs,
        joins + leaves,
        "seed {seed}: a run for each join, and for each leave that was not our doing"
    );
}

/// A decision of ours removes somebody and the gateway confirms it.
async fn remove_now(world: &World, who: u64, now: Timestamp) -> usize {
    let id = world.id(who).await;
    let pending = world.store.pending_runs().await.unwrap();
    let run = *pending.last().expect("somebody joined");
    world.commit(record(run, now, vec![row(remove(id), now)])).await;
    let row = world.rows_of(run).await[0].id;
    world.store.settle(None, vec![(row, settled(RowState::Done))], now, now).await.unwrap();
    0
}

/// People come and go; everything is told twice and in any order. Whoever came last is in, whoever went last is out.
pub(crate) async fn counts_are_right_in_any_order(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    for seed in 1..=12_u64 {
        let mut dice = Dice(seed.wrapping_mul(0xD129_8EB4_1F64_C53F));
        let (base, start) = (seed * 1000, i64::try_from(seed).unwrap() * 1_000_000);
        let mut told = Vec::new();
        let mut expected = 0;
        for who in base..base + 5 {
            let mut moment = start;
            let changes = dice.roll(6);
            for change in 0..changes {
                moment += 1 + i64::try_from(dice.roll(90)).unwrap();
                let event = if change % 2 == 0 { joined(&[who], at(moment)) } else { left(who, at(moment)) };
                told.extend([event.clone(), event]);
            }
            expected += u32::try_from(changes % 2).unwrap();
        }
        for last in (1..told.len()).rev() {
            told.swap(last, usize::try_from(dice.roll(last as u64 + 1)).unwrap());
        }
        let before = world.size().await;
        for event in told {
            world.tell_at(event, at(start + 900)).await;
        }
        assert_eq!(world.size().await - before, expected, "seed {seed}");
    }
}
