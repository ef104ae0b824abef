//! The gateway's own limits cap ours, whatever the configuration allows.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::{
    clock::{Clock, SystemClock},
    simulator::{
        Via,
        session::{RateLimits, RatePolicy, Status, Timelock},
    },
};
use serde_json::Value;
use std::time::Duration;

const GREETING: &str = "fn on_join(member, group) { group.say(`welcome, ${member.name}`); }";

async fn bench(limits: RateLimits) -> Bench {
    let mut bench = Bench::prepare(Setup {
        chain: r#"["greeting"]"#,
        policies: vec![("greeting.rhai", GREETING.into())],
        ..Setup::default()
    })
    .await;
    bench.sim.with(|world| world.session_mut(0).unwrap().rate_limits = limits);
    bench.spawn();
    bench.ready().await;
    bench
}

/// The gateway's caps as the daemon shows them.
async fn caps(bench: &Bench) -> Vec<Value> {
    let told = bench.api("limits").await;
    let all = told["limits"].as_array().unwrap().iter();
    all.filter(|one| one["source"] == "wawp").cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_limits_cap_ours_and_a_restart_keeps_to_them() {
    let policy = RatePolicy {
        send_message_daily_cap: Some(3),
        account_protection_seconds: Some(1),
        ..RatePolicy::default()
    };
    let mut bench = bench(RateLimits::Told(policy)).await;
    bench.until("the limits are read", async || !caps(&bench).await.is_empty()).await;
    let five: Vec<_> = (0..5).map(|n| person(4915100000500 + n)).collect();
    bench.sim.join(&group(), &five, Via::Link).await;
    let full = |cap: &Value| cap["class"] == "send_message" && cap["used"] == 3 && cap["limit"] == 3;
    bench.until("the cap is reached", async || caps(&bench).await.iter().any(full)).await;
    bench.until("two wait", async || bench.rows("waiting").await.len() == 2).await;
    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.until("the limits are read again", async || caps(&bench).await.iter().any(full)).await;
    assert_eq!((bench.texts(GROUP).len(), bench.rows("waiting").await.len()), (3, 2));
    let calls = bench.sim.calls();
    let sent: Vec<_> = calls.iter().filter(|call| call.text.is_some()).map(|call| call.at).collect();
    let gaps = sent.windows(2).map(|pair| (pair[1] - pair[0]).as_millis());
    assert!(gaps.clone().all(|gap| gap >= 1000), "{:?}", gaps.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_gateway_tells_no_limits_the_configured_ones_hold_alone() {
    let bench = bench(RateLimits::Forbidden).await;
    bench.sim.join(&group(), &[person(4915100000500)], Via::Link).await;
    bench.until("it is said", async || bench.texts(GROUP).len() == 1).await;
    bench.until("it is told", async || bench.log().contains("does not tell its own limits")).await;
    assert!(caps(&bench).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_lock_that_a_webhook_tells_closes_the_way_to_strangers_and_is_told_once() {
    let stranger = "fn on_join(member, group) { member.dm(`welcome`); }";
    let mut bench = Bench::prepare(Setup {
        chain: r#"["stranger"]"#,
        policies: vec![("stranger.rhai", stranger.into())],
        ..Setup::default()
    })
    .await;
    bench.spawn();
    bench.ready().await;
    let end = SystemClock::new().now() + Duration::from_secs(3 * 24 * 3600);
    bench.sim.set_restrictions(Some(Timelock::until(end)), None);
    let locks = async || bench.api("limits").await["cold_locks"].clone();
    bench.until("the lock is known", async || locks().await.to_string().contains("reachoutTimelock")).await;
    for number in [4915100000601, 4915100000602] {
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
    }
    bench.until("both wait", async || bench.rows("waiting").await.len() == 2).await;
    let alerts = bench.api("alerts").await;
    let told = alerts["alerts"].as_array().unwrap().iter().filter(|alert| alert["kind"] == "locked");
    assert_eq!(told.map(|alert| alert["count"].clone()).collect::<Vec<_>>(), [1]);
    assert!(bench.texts("4915100000601@c.us").is_empty());
}

/// The limit of removals by the minute, as the daemon shows it.
async fn removals_allowed(bench: &Bench) -> u64 {
    let told = bench.api("limits").await;
    let all = told["limits"].as_array().unwrap().iter();
    all.filter(|one| one["class"] == "remove").map(|one| one["limit"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_paired_anew_begins_low_again_and_a_restart_changes_nothing() {
    let mut bench = Bench::start(Setup {
        config_extra: "[pacing]\ngap = \"0s\"\nramp = \"3650d\"\n".into(),
        ..Setup::default()
    })
    .await;
    bench.kill();
    // An old number.
    let db = rusqlite::Connection::open(bench.path("data/perimeterd.db")).unwrap();
    db.execute("UPDATE sessions SET first_started_at = 1", []).unwrap();
    drop(db);
    bench.spawn();
    bench.ready().await;
    assert_eq!(removals_allowed(&bench).await, 100_000, "our restart makes nobody young");
    bench.sim.set_status(Status::ScanQrCode);
    bench.sim.set_status(Status::Working);
    let paired = async || bench.api("alerts").await.to_string().contains("paired by its QR code");
    bench.until("operators hear of it", paired).await;
    bench.until("it begins low", async || removals_allowed(&bench).await < 21_000).await;
}
