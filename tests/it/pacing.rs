//! The gateway's own limits cap ours, whatever the configuration allows.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::simulator::{
    Via,
    session::{RateLimits, RatePolicy},
};
use serde_json::Value;

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
