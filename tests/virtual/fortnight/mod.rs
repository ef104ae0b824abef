//! A fortnight of simulated time with random faults of every kind, for many seeds.
//!
//! Each seed makes a small world ([`world`]), lets a hundred or so things happen in twelve days ([`happenings`]), repairs
//! everything, waits two quiet days and looks whether all promises were kept ([`verdict`]). While it runs, a [`judge`]
//! looks at every removal just before the gateway does.
//!
//! `PERIMETERD_SEED=n cargo test --test virtual fortnight` replays one seed and tells what happens; `PERIMETERD_SEEDS=n` or
//! `=n-m` changes which are run.

mod happenings;
mod judge;
mod verdict;
mod world;

use crate::lab::experiment;
use happenings::Happening;
use std::{
    any::Any,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use world::Club;

/// How many seeds a usual run has.
const SEEDS: u64 = 1000;

/// Faults and people come and go for so long.
const EVENTFUL: Duration = Duration::from_secs(12 * 24 * 3600);

/// A run ends early after so many failing seeds.
const ENOUGH: usize = 40;

/// Two lives that are to be equal are not lived beside a thousand others: on a machine that is short of processors something
/// that goes by real time has changed the order of two look-ups that end in one millisecond.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_fortnight_of_faults_breaks_no_promise() {
    if let Ok(seed) = std::env::var("PERIMETERD_SEED") {
        let failures = live(seed.parse().unwrap(), true);
        assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (first, last) = asked_for();
    let (next, failed) = (AtomicU64::new(first), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(2, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed > last || failed.load(Ordering::SeqCst) >= ENOUGH {
                        return;
                    }
                    let failures = live(seed, false);
                    if !failures.is_empty() {
                        failed.fetch_add(1, Ordering::SeqCst);
                        eprintln!("seed {seed}:\n  {}", failures.join("\n  "));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert_eq!(
        failed, 0,
        "seeds failed; replay one with PERIMETERD_SEED=n cargo test --test virtual fortnight"
    );
}

/// The first and the last seed of this run.
fn asked_for() -> (u64, u64) {
    let Ok(seeds) = std::env::var("PERIMETERD_SEEDS") else { return (1, SEEDS) };
    let (first, last) = seeds.split_once('-').unwrap_or(("1", &seeds));
    (first.parse().unwrap(), last.parse().unwrap())
}

/// Equal seeds must live equal lives, or a failing one could not be replayed.
#[test]
fn equal_seeds_live_equal_lives() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for seed in [1, 3] {
        let [one, other] = [traced(seed), traced(seed)];
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        assert_eq!(
            (one.len(), differs),
            (other.len(), None),
            "seed {seed}: {:?}",
            differs.map(|at| (&one[at], &other[at]))
        );
    }
}

/// Every call with its time, and the directory at the end.
fn traced(seed: u64) -> Vec<String> {
    experiment(seed, async {
        let mut club = Club::new(seed, false);
        fortnight(&mut club).await;
        verdict::trace(&club).await
    })
}

/// Lives one fortnight; answers what went wrong.
fn live(seed: u64, aloud: bool) -> Vec<String> {
    let life = || {
        experiment(seed, async {
            let mut club = Club::new(seed, aloud);
            fortnight(&mut club).await;
            verdict::of(&club).await
        })
    };
    catch_unwind(AssertUnwindSafe(life))
        .unwrap_or_else(|cause| vec![format!("it panicked: {}", said(&*cause))])
}

/// What a panic said.
fn said(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("see above")
}

async fn fortnight(club: &mut Club) {
    club.begin().await;
    let plan = happenings::plan(EVENTFUL);
    for (at, happening) in plan {
        club.lab.pass(at.saturating_sub(club.lab.elapsed())).await;
        club.revive().await;
        club.tell(&format!("{happening:?}"));
        happening.happen(club).await;
    }
    club.lab.pass(EVENTFUL.saturating_sub(club.lab.elapsed())).await;
    club.tell("everything is repaired");
    Happening::repair(club).await;
    for hours in [6, 18, 24] {
        club.lab.pass(Duration::from_secs(hours * 3600)).await;
        // A start reads every roster; what was lost is found.
        if hours < 24 {
            assert!(club.lab.start().await, "a daemon that cannot start in peace");
        }
    }
    // Whoever is looked at just now is looked at to the end.
    for _ in 0..5 {
        if club.lab.store.depths().await.unwrap().pending_runs > 0 {
            club.lab.pass(Duration::from_secs(60)).await;
        }
    }
}
