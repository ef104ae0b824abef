//! The gateway fails: it answers 500, hangs, cuts the line, asks to slow down, is not connected. Everything is delivered
//! afterwards, in the order of the lanes, and nothing takes effect twice.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::{
    action::Class,
    ids::Phone,
    simulator::{Fault, Kind, Target, Via},
};
use std::{collections::HashSet, time::Duration};

const FIRST: u64 = 4915100000100;

/// Whoever joins is removed and told.
fn setup() -> Setup {
    let bouncer =
        "fn on_join(member, group) { member.remove(\"not here\"); member.dm(\"sorry\"); }\n".to_owned();
    Setup { chain: r#"["bouncer"]"#, policies: vec![("bouncer.rhai", bouncer)], ..Setup::default() }
}

fn kind_500() -> Kind {
    Kind::Status { status: 500, body: "Internal Server Error".into(), effect: false }
}

/// One after the other, each told before the next comes.
async fn come_in(bench: &Bench, people: u64) {
    for number in FIRST..FIRST + people {
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
        assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    }
}

/// Who was removed with effect, in order.
fn out(bench: &Bench) -> Vec<u64> {
    let calls = bench.sim.calls();
    let done = calls.iter().filter(|call| call.is(Class::Remove) && call.effect);
    done.filter_map(|call| call.person?.phone).map(Phone::as_u64).collect()
}

/// Everybody is out once, in the order in which they came, and nobody got two messages.
async fn assert_delivered_in_order(bench: &Bench, people: u64) {
    bench.until("everybody is out", async || out(bench).len() as u64 >= people).await;
    bench.settled().await;
    assert_eq!(
        out(bench),
        (FIRST..FIRST + people).collect::<Vec<_>>(),
        "each once, in the order of the joins"
    );
    let calls = bench.sim.calls();
    for number in FIRST..FIRST + people {
        let told = calls.iter().filter(|call| call.is(Class::Dm) && call.effect);
        let told = told.filter(|call| call.person.and_then(|p| p.phone).map(Phone::as_u64) == Some(number));
        assert!(told.count() <= 1, "a message was doubled");
    }
    for state in ["waiting", "sending", "dead", "refused", "expired"] {
        assert_eq!(bench.rows(state).await.len(), 0, "{state}");
    }
}

/// How many of the messages arrived.
fn told(bench: &Bench) -> usize {
    bench.sim.calls().iter().filter(|call| call.is(Class::Dm) && call.effect).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_eight_seconds_of_500_everything_is_delivered_in_order() {
    let bench = Bench::start(setup()).await;
    bench.sim.add_fault(Fault::new(Target::Any, kind_500()).lasting(Duration::from_secs(8)));
    come_in(&bench, 8).await;
    assert_delivered_in_order(&bench, 8).await;
    bench.until("all are told", async || told(&bench) == 8).await;
    assert!(bench.metric(r#"perimeterd_alerts_total{kind="gateway"}"#).await >= 1.0);
    assert!(bench.rows("unknown").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_that_fail_alone_keep_their_order() {
    let bench = Bench::start(setup()).await;
    bench.sim.add_fault(Fault::on_class(Class::Remove, kind_500()).lasting(Duration::from_secs(6)));
    come_in(&bench, 6).await;
    assert_delivered_in_order(&bench, 6).await;
    bench.until("all are told", async || told(&bench) == 6).await;
}

/// The gateway fails every call in this way for a while; messages too.
async fn outage(kind: Kind) {
    let bench = Bench::start(setup()).await;
    come_in(&bench, 1).await;
    bench.until("the first is told", async || told(&bench) == 1).await;
    bench.sim.add_fault(Fault::new(Target::Any, kind).lasting(Duration::from_secs(5)));
    for number in FIRST + 1..FIRST + 6 {
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
    }
    assert_delivered_in_order(&bench, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_gateway_hung_everything_is_delivered_in_order() {
    outage(Kind::Hang { effect: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_hung_and_took_effect_are_not_made_again() {
    outage(Kind::Hang { effect: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_dropped_connections_everything_is_delivered_in_order() {
    outage(Kind::Drop { effect: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_that_took_effect_are_not_made_again() {
    outage(Kind::Drop { effect: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_unknown_outcome_is_shown_as_such_and_never_repeated() {
    for kind in [Kind::Hang { effect: true }, Kind::Drop { effect: false }] {
        let bench = Bench::start(setup()).await;
        bench.sim.add_fault(Fault::on_class(Class::Dm, kind).times(1));
        come_in(&bench, 3).await;
        bench.until("its outcome is unknown", async || bench.rows("unknown").await.len() == 1).await;
        bench.until("the others are told", async || told(&bench) >= 2).await;
        bench.settled().await;
        let calls = bench.sim.calls();
        let chats: Vec<_> = calls.iter().filter_map(|call| call.chat.clone()).collect();
        assert_eq!(chats.len(), 3, "{chats:?}");
        assert_eq!(chats.iter().collect::<HashSet<_>>().len(), 3, "one each");
        let (status, listed, _) = bench.run(&["outbox", "list", "--state", "unknown"]);
        assert!(status.success() && listed.lines().count() >= 1, "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_of_unknown_outcome_holds_its_lane_until_the_roster_tells() {
    let bench = Bench::start(setup()).await;
    bench.sim.add_fault(Fault::on_class(Class::Remove, Kind::Drop { effect: false }).times(1));
    come_in(&bench, 4).await;
    assert_delivered_in_order(&bench, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_a_removal_hangs_keeps_the_order_and_repeats_nothing_that_took_effect() {
    for effect in [true, false] {
        let mut bench = Bench::start(setup()).await;
        bench.sim.add_fault(Fault::on_class(Class::Remove, Kind::Hang { effect }).times(1));
        come_in(&bench, 4).await;
        bench.until("a removal hangs", async || bench.removed().len() == 1).await;
        bench.kill();
        bench.spawn();
        bench.ready().await;
        assert_delivered_in_order(&bench, 4).await;
        let first = bench.removed().into_iter().filter(|number| *number == FIRST).count();
        assert_eq!(first, if effect { 1 } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_a_message_hangs_does_not_repeat_it() {
    let mut bench = Bench::start(setup()).await;
    bench.sim.add_fault(Fault::on_class(Class::Dm, Kind::Hang { effect: false }).times(1));
    come_in(&bench, 2).await;
    let sent = |bench: &Bench| bench.sim.calls().iter().filter(|call| call.is(Class::Dm)).count();
    bench.until("a message hangs", async || sent(&bench) == 1).await;
    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.until("the other is told", async || told(&bench) == 1).await;
    bench.settled().await;
    assert_eq!((sent(&bench), bench.rows("unknown").await.len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_the_gateway_is_away_hears_and_delivers_later() {
    let mut bench = Bench::prepare(setup()).await;
    bench.sim.add_fault(Fault::new(Target::Any, kind_500()).lasting(Duration::from_secs(4)));
    bench.spawn();
    bench.ready().await;
    come_in(&bench, 4).await;
    assert_delivered_in_order(&bench, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_welcome_of_unknown_outcome_is_not_said_again() {
    let config_extra = "[welcome]\nwindow = \"1s\"\n".into();
    let bench = Bench::start(Setup { chain: r#"["welcome"]"#, config_extra, ..Setup::default() }).await;
    bench.sim.add_fault(Fault::on_class(Class::GroupMessage, Kind::Drop { effect: true }).times(1));
    bench.sim.join(&group(), &[person(FIRST), person(FIRST + 1)], Via::Link).await;
    bench.until("its outcome is unknown", async || bench.rows("unknown").await.len() == 2).await;
    bench.sim.join(&group(), &[person(FIRST + 2)], Via::Link).await;
    bench.until("the next is welcomed", async || bench.rows("done").await.len() == 1).await;
    bench.settled().await;
    assert_eq!(bench.texts(GROUP).len(), 2, "one for the two, one for the third");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lockdown_whose_time_ran_out_during_an_outage_leaves_the_group_open() {
    let raid = "fn on_join(member, group) { group.lockdown(\"2s\", \"raid\"); }\n";
    for effect in [true, false] {
        let policies = vec![("onrush.rhai", raid.into())];
        let bench = Bench::start(Setup { chain: r#"["onrush"]"#, policies, ..Setup::default() }).await;
        let kind = Kind::Status { status: 500, body: String::new(), effect };
        bench.sim.add_fault(Fault::on_class(Class::Settings, kind).lasting(Duration::from_secs(4)));
        come_in(&bench, 1).await;
        bench.until("the lockdown is over", async || bench.rows("cancelled").await.len() == 1).await;
        bench.settled().await;
        let locked = bench.sim.with(|world| world.group(&group()).unwrap().announce_only);
        assert!(!locked, "open again, whatever the failed calls did");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_by_every_call_of_the_session() {
    let bench = Bench::start(setup()).await;
    let limited = Kind::RateLimited { retry_after: Some(3) };
    bench.sim.add_fault(Fault::on_class(Class::Remove, limited).times(1));
    come_in(&bench, 3).await;
    assert_delivered_in_order(&bench, 3).await;
    let calls = bench.sim.calls();
    let struck = calls.iter().position(|call| call.fault.is_some()).unwrap();
    let next = &calls[struck + 1];
    assert!(next.at - calls[struck].at >= Duration::from_secs(3), "a {} came too soon", next.route);
    let rows = bench.rows("done").await;
    let attempts = rows.iter().filter_map(|row| row["attempts"].as_u64()).max();
    assert_eq!(attempts, Some(1), "being told to wait is no failure: {rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_work_is_parked_without_counting_attempts() {
    let bench = Bench::start(setup()).await;
    bench.sim.add_fault(Fault::on_class(Class::Remove, Kind::NotWorking).times(1));
    come_in(&bench, 2).await;
    bench
        .until("the removal waits", async || {
            let waiting = bench.rows("waiting").await;
            waiting.iter().any(|row| row["note"].as_str().is_some_and(|note| note.contains("not ready")))
        })
        .await;
    assert_delivered_in_order(&bench, 2).await;
    let rows = bench.rows("done").await;
    assert!(rows.iter().all(|row| row["attempts"] == 1), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_good_is_dead_visible_and_told() {
    let mut bench = Bench::start(setup()).await;
    bench.sim.add_fault(Fault::new(Target::Path("/participants/remove".into()), kind_500()));
    come_in(&bench, 1).await;
    bench
        .until("it failed once", async || bench.rows("waiting").await.iter().any(|row| row["attempts"] == 1))
        .await;
    bench.kill();
    // Fifteen of the sixteen attempts are behind it: three quarters of an hour are more than a test should take.
    let db = rusqlite::Connection::open(bench.path("data/perimeterd.db")).unwrap();
    assert_eq!(db.execute("UPDATE outbox SET attempts = 15 WHERE kind = 'remove'", []).unwrap(), 1);
    drop(db);
    bench.spawn();
    bench.ready().await;
    bench.until("it is dead", async || bench.rows("dead").await.len() == 1).await;
    let dead = &bench.rows("dead").await[0];
    assert!(dead["note"].as_str().unwrap().contains("given up after 16 attempts"), "{dead}");
    bench.settled().await;
    assert_eq!(bench.rows("cancelled").await.len(), 1, "the message that was to follow it");
    assert_eq!(told(&bench), 0);
    let alerts = bench.api("alerts").await.to_string();
    assert!(alerts.contains("given up"), "{alerts}");
    assert_eq!(bench.metric(r#"perimeterd_outbox_rows{state="dead"}"#).await, 1.0);
    let (status, listed, _) = bench.run(&["outbox", "list", "--state", "dead"]);
    assert!(status.success() && listed.contains("remove"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_463_no_cold_message_is_tried_and_warm_ones_go_on() {
    let bench = Bench::start(setup()).await;
    let friend = FIRST + 2;
    bench.sim.add_fault(
        Fault::on_class(Class::Dm, Kind::Status { status: 463, body: String::new(), effect: false }).times(1),
    );
    come_in(&bench, 2).await;
    bench.until("the first is refused", async || bench.rows("refused").await.len() == 1).await;
    bench.until("both are out", async || out(&bench).len() == 2).await;
    bench.sim.message(None, person(friend), "hello").await;
    assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    bench.sim.join(&group(), &[person(friend)], Via::Link).await;
    bench.until("the friend is told", async || told(&bench) == 1).await;
    let waiting = bench.rows("waiting").await;
    assert!(waiting.iter().all(|row| row["call"]["call"] != "remove"), "{waiting:?}");
    assert!(!waiting.is_empty(), "the cold ones wait");
    let calls = bench.sim.calls();
    assert_eq!(
        calls.iter().filter(|call| call.is(Class::ColdDm)).count(),
        1,
        "only the one that was refused"
    );
    let alerts = bench.api("alerts").await.to_string();
    assert!(alerts.contains("463"), "{alerts}");
}
