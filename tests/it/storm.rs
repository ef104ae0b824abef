//! Storms: many joins, repeats, both dialects; and kills in the middle.

use crate::harness::{Bench, FAST_LIMITS, GROUP, Setup, group, person};
use perimeterd::{
    action::Class,
    clock::{Clock, SystemClock, Timestamp},
    ids::Person,
    simulator::{Addressing, Dialect, Envelope, Quirks, Via, calls::broken_ceilings},
};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Semaphore;

const FIRST: u64 = 4_915_200_000_000;

/// The people of a storm: of each three one pays, one is listed, one never paid.
fn offends(number: u64) -> bool {
    !number.is_multiple_of(3)
}

fn setup(events: u64) -> Setup {
    let (mut blacklist, mut subscriptions) = (String::new(), String::new());
    for number in FIRST..FIRST + events * 3 {
        match number % 3 {
            0 => subscriptions += &format!("+{number},active,gold,\n"),
            1 => blacklist += &format!("+{number}\n"),
            _ => {}
        }
    }
    Setup { chain: r#"["blacklist", "subscribers"]"#, blacklist, subscriptions, ..Setup::default() }
}

/// `events` join events of three people each in both dialects, a fifth of them told twice, well shuffled.
fn storm(events: u64, seed: u64) -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(seed);
    let now = SystemClock::new().now();
    let mut bodies = Vec::new();
    for event in 0..events {
        let who: Vec<Person> = (0..3).map(|n| person(FIRST + event * 3 + n)).collect();
        let id = format!("evt_{event:08}");
        let around = Envelope {
            id: &id,
            at: Timestamp(now.0 - 1000),
            session: "main",
            me: person(447_700_900_001),
            quirks: Quirks::default(),
        };
        let body = Dialect::Mixed.join_body(&around, &group(), Addressing::Phone, &who, Via::Link);
        if event % 5 == 0 {
            let mut again = body.clone();
            // Every other repeat is the same join told under another id.
            if event % 2 == 0 {
                again["id"] = format!("evt_again_{event:08}").into();
            }
            bodies.push(again);
        }
        bodies.push(body);
    }
    random.shuffle(&mut bodies);
    bodies
}

/// Everybody of the storm is in the group at the gateway, so that removals have effect.
fn seat(bench: &Bench, events: u64) {
    let people: Vec<Person> = (FIRST..FIRST + events * 3).map(person).collect();
    bench.sim.seat(&group(), &people, perimeterd::simulator::Role::Participant);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_storm_every_offender_is_removed_once_and_the_count_is_right() {
    let events = 2_000;
    let bench = Arc::new(Bench::start(setup(events)).await);
    bench
        .until("the empty group is adopted", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
    seat(&bench, events);
    let gate = Arc::new(Semaphore::new(32));
    let mut posts = Vec::new();
    for body in storm(events, 1) {
        let (bench, permit) = (bench.clone(), gate.clone().acquire_owned().await.unwrap());
        posts.push(tokio::spawn(async move {
            let status = bench.post(&body).await;
            drop(permit);
            status
        }));
    }
    for post in posts {
        assert_eq!(post.await.unwrap(), 202);
    }
    let offenders: HashSet<u64> = (FIRST..FIRST + events * 3).filter(|n| offends(*n)).collect();
    bench.until("all offenders are out", async || bench.removed().len() >= offenders.len()).await;
    bench.settled().await;

    let removed = bench.removed();
    assert_eq!(removed.len(), offenders.len(), "nobody twice");
    assert_eq!(removed.into_iter().collect::<HashSet<_>>(), offenders, "nobody else");
    let decision = &bench.api("decisions?limit=1").await["decisions"][0];
    let shown = bench.api(&format!("groups/{GROUP}")).await;
    assert_eq!(shown["size"], 1 + events, "{decision}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_kills_lose_nothing_double_no_message_and_break_no_ceiling() {
    let (events, kills) = (400, 50);
    let mut setup = setup(events);
    setup.limits = FAST_LIMITS
        .replace(r#"remove = ["100000/1m"]"#, r#"remove = ["40/2s", "300/20s"]"#)
        .replace(r#"cold_dm = ["100000/1m"]"#, r#"cold_dm = ["30/2s"]"#);
    let mut bench = Bench::start(setup).await;
    seat(&bench, events);
    let mut random = fastrand::Rng::with_seed(50);
    let mut unsent = storm(events, 2);
    let per_life = unsent.len() / kills + 1;
    for _ in 0..kills {
        // The gateway sends again whatever was not acknowledged.
        let mut batch = unsent.split_off(unsent.len().saturating_sub(per_life));
        let patience = Duration::from_millis(random.u64(0..250));
        let posting = async {
            while let Some(body) = batch.pop() {
                if bench.post(&body).await != 202 {
                    batch.push(body);
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(patience, posting).await;
        // A post that was cut off may be stored or not: it is sent again as well.
        bench.kill();
        unsent.append(&mut batch);
        bench.spawn();
        bench.ready().await;
    }
    while let Some(body) = unsent.pop() {
        assert_eq!(bench.post(&body).await, 202);
    }
    // A post that was cut off between sending and answer is in nobody's hands: send the whole storm once more.
    for body in storm(events, 2) {
        assert_eq!(bench.post(&body).await, 202);
    }
    let offenders: HashSet<u64> = (FIRST..FIRST + events * 3).filter(|n| offends(*n)).collect();
    bench
        .until("all offenders are out", async || offenders.is_subset(&bench.removed().into_iter().collect()))
        .await;
    bench.settled().await;

    let removed = bench.removed();
    assert!(removed.iter().all(|number| offends(*number)), "nobody else");
    assert!(removed.len() <= offenders.len() + kills, "{} repeats", removed.len() - offenders.len());
    let mut told: HashMap<String, usize> = HashMap::new();
    for call in bench.sim.calls().iter().filter(|call| call.is(Class::Dm)) {
        *told.entry(call.chat.clone().unwrap()).or_default() += 1;
    }
    assert!(told.values().all(|times| *times == 1), "a message was doubled");
    let ceilings = [(40, Duration::from_secs(2)), (300, Duration::from_secs(20))];
    assert_eq!(broken_ceilings(&bench.sim.calls(), Class::Remove, &ceilings), []);
    assert_eq!(broken_ceilings(&bench.sim.calls(), Class::ColdDm, &[(30, Duration::from_secs(2))]), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_full_allowance_is_used_while_work_waits() {
    let events = 60;
    let mut setup = setup(events);
    setup.chain = r#"["blacklist"]"#;
    setup.limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["10/2s"]"#);
    let bench = Bench::start(setup).await;
    seat(&bench, events);
    for body in storm(events, 3) {
        assert_eq!(bench.post(&body).await, 202);
    }
    bench.until("all are out", async || bench.removed().len() == events as usize).await;
    let calls = bench.sim.calls();
    let times: Vec<Duration> =
        calls.iter().filter(|call| call.is(Class::Remove)).map(|call| call.at).collect();
    assert_eq!(broken_ceilings(&calls, Class::Remove, &[(10, Duration::from_secs(2))]), []);
    // Six allowances need five full windows between the first and the last; the property test holds the exact count.
    let took = *times.last().unwrap() - times[0];
    assert!(took >= Duration::from_secs(10), "{took:?}");
}
