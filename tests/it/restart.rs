//! Starting, stopping, reloading: what is under way is finished, what waits is durable, and there is only ever one daemon.

use crate::harness::{Bench, FAST_LIMITS, Setup, group, person};
use perimeterd::{
    action::Class,
    simulator::{Fault, Kind, Via},
};
use std::{process::Stdio, time::Duration};

const FIRST: u64 = 4915100000801;

fn setup() -> Setup {
    let bouncer = "fn on_join(member, group) { member.remove(\"not here\"); }\n";
    Setup { chain: r#"["bouncer"]"#, policies: vec![("bouncer.rhai", bouncer.into())], ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_the_call_in_flight_and_leaves_the_rest_durable() {
    let mut bench = Bench::start(setup()).await;
    bench.sim.add_fault(Fault::on_class(Class::Remove, Kind::Slow { millis: 1500 }));
    let people: Vec<_> = (FIRST..FIRST + 3).map(person).collect();
    bench.sim.join(&group(), &people, Via::Link).await;
    bench.until("a call is in flight", async || bench.removed() == [FIRST]).await;
    bench.signal("TERM");
    let status = bench.stopped().await;
    assert_eq!(status.code(), Some(0), "{}", bench.log());
    assert_eq!(bench.removed(), [FIRST], "no other call was begun");

    // Nobody runs: the verb takes the store itself.
    let (status, listed, why) = bench.run(&["outbox", "list", "--json"]);
    assert!(status.success(), "{why}");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let in_state = |state: &str| {
        let rows = listed["outbox"].as_array().unwrap().iter();
        rows.filter(|row| row["state"] == state).count()
    };
    assert_eq!((in_state("done"), in_state("waiting")), (1, 2), "{listed:#}");

    bench.sim.faults().clear();
    bench.spawn();
    bench.ready().await;
    bench.until("the rest is done", async || bench.removed().len() == 3).await;
    bench.settled().await;
    assert_eq!(bench.removed(), (FIRST..FIRST + 3).collect::<Vec<_>>(), "each once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_with_nothing_to_do_stops_at_once_and_frees_address_and_store() {
    let mut bench = Bench::start(setup()).await;
    for signal in ["TERM", "INT"] {
        bench.signal(signal);
        let status = bench.stopped().await;
        assert_eq!(status.code(), Some(0), "{signal}: {}", bench.log());
        bench.spawn();
        bench.ready().await;
    }
    bench.sim.join(&group(), &[person(FIRST)], Via::Link).await;
    bench.until("it works", async || bench.removed() == [FIRST]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_tells_of_the_configuration_and_keeps_running() {
    let bench = Bench::start(setup()).await;
    bench.write("policies/bouncer.rhai", "fn on_join(member, group) { group.say(\"welcome\"); }\n");
    bench.signal("HUP");
    bench.until("it is looked at", async || bench.log().contains("as it was what=\"configuration\"")).await;
    bench
        .until("the edit is in force", async || {
            bench.metric(r#"perimeterd_takeups_total{what="policies",outcome="taken"}"#).await == 2.0
        })
        .await;
    bench.sim.join(&group(), &[person(FIRST)], Via::Link).await;
    bench.until("the new policy judges", async || bench.texts(crate::harness::GROUP) == ["welcome"]).await;
    assert!(bench.removed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_data_is_refused_with_a_sentence() {
    let bench = Bench::start(setup()).await;
    let mut second = bench.command(&["serve"]);
    // Another address, the same store.
    second.env("PERIMETERD__SERVER__LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    let output = second.output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains("perimeterd.db") && why.contains("another perimeterd"), "{why}");
    assert!(!why.contains("panicked") && why.lines().count() <= 6, "a sentence: {why}");
    bench.sim.join(&group(), &[person(FIRST)], Via::Link).await;
    bench.until("the first goes on", async || bench.removed() == [FIRST]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_told_with_the_next_step() {
    let bench = Bench::prepare(setup()).await;
    let address = bench.base.trim_start_matches("http://").to_owned();
    let squatter = std::net::TcpListener::bind(&address).unwrap();
    let (status, _, why) = bench.run(&["serve"]);
    assert_eq!(status.code(), Some(1), "{why}");
    assert!(why.contains(&address) && why.contains("listen"), "{why}");
    drop(squatter);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_waits_for_its_ceiling_survives_a_stop_and_keeps_to_it() {
    let limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/5s"]"#);
    let mut bench = Bench::start(Setup { limits, ..setup() }).await;
    bench.sim.join(&group(), &[person(FIRST), person(FIRST + 1)], Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [FIRST]).await;
    bench.signal("TERM");
    assert_eq!(bench.stopped().await.code(), Some(0));
    bench.spawn();
    bench.ready().await;
    bench.until("the second is out", async || bench.removed().len() == 2).await;
    let calls = bench.sim.calls();
    let at: Vec<_> = calls.iter().filter(|call| call.is(Class::Remove)).map(|call| call.at).collect();
    assert!(at[1] - at[0] >= Duration::from_secs(5), "{at:?}");
}
