//! What a call came to is what happened: waiting removals are taken back with their reason, silent successes are found
//! out, locks and wrong credentials stop the right calls and no others.

use crate::harness::{Bench, FAST_LIMITS, Setup, TOKEN, group, person};
use perimeterd::{
    action::Class,
    ids::Person,
    simulator::{Fault, Kind, Role, Target, Via},
};
use serde_json::{Value, json};
use std::time::Duration;

const FIRST: u64 = 4915100000300;

fn people(count: u64) -> Vec<Person> {
    (FIRST..FIRST + count).map(person).collect()
}

/// What the payment side pushes.
async fn push(bench: &Bench, number: u64, status: &str) {
    let url = format!("{}/api/v1/subscriptions/+{number}", bench.base);
    let request = bench.http.put(url).bearer_auth(TOKEN).json(&json!({"status": status}));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

/// The last removal of somebody, as it stands.
async fn removal_of(bench: &Bench, number: u64) -> Value {
    let decisions = bench.api(&format!("decisions?member=%2B{number}")).await;
    let rows =
        decisions["decisions"].as_array().into_iter().flatten().filter_map(|one| one["rows"].as_array());
    // The first one: a changed list sweeps the members, and what the guard rail then refuses is another row.
    let mut removals = rows.flatten().filter(|row| row["call"]["call"] == "remove");
    removals.next_back().cloned().unwrap_or_default()
}

async fn until_it_is(bench: &Bench, number: u64, state: &str, note: &str) {
    bench
        .until(&format!("the removal is {state}: {note}"), async || {
            let row = removal_of(bench, number).await;
            row["state"] == state && row["note"].as_str().unwrap_or_default().contains(note)
        })
        .await;
}

/// One removal an hour: whoever comes after the first has time to be spared.
fn slow() -> Setup {
    let limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/1h"]"#);
    Setup { chain: r#"["subscribers"]"#, limits, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_pushed_between_decision_and_sending_keeps_the_member_in() {
    let bench = Bench::start(slow()).await;
    let people = people(3);
    bench.sim.join(&group(), &people[..1], Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [FIRST]).await;
    bench.sim.join(&group(), &people[1..], Via::Link).await;
    bench.until("two wait", async || removal_of(&bench, FIRST + 2).await["state"] == "waiting").await;
    push(&bench, FIRST + 1, "active").await;
    until_it_is(&bench, FIRST + 1, "cancelled", "the payment side reported active").await;
    let told = bench.rows("cancelled").await;
    assert_eq!(told.len(), 2, "the message that was to follow is dropped with it: {told:?}");
    let (status, explained, _) = bench.run(&["explain", &format!("+{}", FIRST + 1)]);
    assert!(status.success() && explained.contains("the payment side reported active"), "{explained}");
    let row = removal_of(&bench, FIRST + 1).await["id"].as_str().unwrap_or_default().to_owned();
    let (status, by_action, _) = bench.run(&["explain", &row]);
    assert!(status.success() && by_action.contains("the payment side reported active"), "{row}: {by_action}");
    let (status, _, why) = bench.run(&["explain", "o999999"]);
    assert!(!status.success() && why.contains("there is no action o999999"), "{why}");
    push(&bench, FIRST + 2, "canceled").await;
    assert_eq!(removal_of(&bench, FIRST + 2).await["state"], "waiting", "who still owes is not spared");
    assert_eq!(bench.removed(), [FIRST]);
    assert!(bench.sim.with(|world| {
        let lid = world.known(person(FIRST + 1)).unwrap();
        world.group(&group()).unwrap().members.contains_key(&lid)
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowlist_entry_and_a_leave_take_waiting_removals_back_and_say_so() {
    let bench = Bench::start(slow()).await;
    let people = people(4);
    bench.sim.join(&group(), &people[..1], Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [FIRST]).await;
    bench.sim.join(&group(), &people[1..], Via::Link).await;
    bench.until("three wait", async || removal_of(&bench, FIRST + 3).await["state"] == "waiting").await;
    bench.write("allowlist.txt", &format!("+{}\n", FIRST + 1));
    bench.sim.leave(&group(), &[person(FIRST + 2)], None).await;
    until_it_is(&bench, FIRST + 1, "cancelled", "the allowlist now names this person").await;
    until_it_is(&bench, FIRST + 2, "cancelled", "left before the removal").await;
    assert_eq!(removal_of(&bench, FIRST + 3).await["state"], "waiting", "nobody else is spared");
    assert_eq!(bench.removed(), [FIRST]);
}

/// Whoever joins is told something; who wrote to us before is known, the others are strangers.
fn chatty() -> Setup {
    let greeter = "fn on_join(member, group) { member.dm(\"hello\"); }\n".to_owned();
    Setup { chain: r#"["greeter"]"#, policies: vec![("greeter.rhai", greeter)], ..Setup::default() }
}

fn locked() -> Fault {
    let body = r#"{"statusCode":500,"exception":{"message":"server returned error 463"}}"#.into();
    Fault::on_class(Class::Dm, Kind::Status { status: 500, body, effect: false })
}

fn messages(bench: &Bench) -> usize {
    bench.sim.calls().iter().filter(|call| call.is(Class::Dm)).count()
}

/// The lock's time is over, and what waited for it is due.
fn let_the_lock_run_out(bench: &Bench) {
    let db = rusqlite::Connection::open(bench.path("data/perimeterd.db")).unwrap();
    assert_eq!(db.execute("UPDATE cold_locks SET until = since", []).unwrap(), 1);
    db.execute("UPDATE outbox SET not_before = created_at WHERE state = 'waiting'", []).unwrap();
}

async fn restart(bench: &mut Bench, meanwhile: impl FnOnce(&Bench)) {
    bench.kill();
    meanwhile(bench);
    bench.spawn();
    bench.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_cold_messages_survives_a_restart_and_one_probe_at_a_time_tries_it() {
    let mut bench = Bench::start(chatty()).await;
    bench.sim.add_fault(locked().times(2));
    bench.sim.join(&group(), &people(4), Via::Link).await;
    bench.until("the first met the lock", async || bench.rows("refused").await.len() == 1).await;
    restart(&mut bench, |_| ()).await;
    let shown = bench.api("limits").await;
    assert!(shown["cold_locks"][0]["why"].as_str().unwrap().contains("463"), "{shown}");
    bench
        .until("the lock is a metric", async || {
            bench.metric(r#"perimeterd_cold_locked{session="main"}"#).await == 1.0
        })
        .await;
    assert_eq!((messages(&bench), bench.rows("waiting").await.len()), (1, 3), "nobody else is tried");

    restart(&mut bench, let_the_lock_run_out).await;
    bench.until("the probe met it too", async || bench.rows("refused").await.len() == 2).await;
    assert_eq!((messages(&bench), bench.rows("waiting").await.len()), (2, 2), "one probe, and closed again");
    let lock = bench.api("limits").await["cold_locks"][0].clone();
    let wait = lock["until"].as_i64().unwrap() - lock["since"].as_i64().unwrap();
    assert!(wait >= 3_600_000, "twice as long as at first: {lock}");
    let told = bench.api("alerts").await;
    let locks = told["alerts"].as_array().unwrap().iter().filter(|alert| alert["kind"] == "locked");
    assert_eq!(locks.map(|alert| alert["count"].as_u64().unwrap()).sum::<u64>(), 1, "told once: {told}");

    restart(&mut bench, let_the_lock_run_out).await;
    bench.until("the others are told", async || bench.rows("done").await.len() == 2).await;
    assert_eq!(bench.api("limits").await["cold_locks"], json!([]));
    assert_eq!(bench.metric(r#"perimeterd_cold_locked{session="main"}"#).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_of_a_group_rests_the_groups_and_lets_open_chats_go_on() {
    let text = "fn on_join(member, group) {
        if member.wrote_to_us_at != () { member.dm(\"hello\"); } else { member.remove(\"a stranger\"); }
    }\n";
    let policies = vec![("doorman.rhai", text.to_owned())];
    let bench = Bench::start(Setup { chain: r#"["doorman"]"#, policies, ..Setup::default() }).await;
    let friend = FIRST + 10;
    bench.sim.message(None, person(friend), "hello").await;
    assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    let slow_down = Kind::RateLimited { retry_after: Some(4) };
    bench.sim.add_fault(Fault::on_class(Class::Remove, slow_down).times(1));
    bench.sim.join(&group(), &people(2), Via::Link).await;
    bench.until("one is asked to slow down", async || bench.removed().len() == 1).await;
    bench.sim.join(&group(), &[person(friend)], Via::Link).await;
    bench.until("everybody else is out", async || bench.removed().len() == 3).await;
    let calls = bench.sim.calls();
    let struck = calls.iter().position(|call| call.fault.is_some()).unwrap();
    let next = &calls[struck + 1];
    assert!(next.is(Class::Dm), "the friend is told while the groups rest, not {}", next.route);
    let group_call = calls[struck + 1..].iter().find(|call| !call.is(Class::Dm)).unwrap();
    assert!(group_call.at - calls[struck].at >= Duration::from_secs(4), "{} came too soon", group_call.route);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_stop_the_queue_and_are_told_once() {
    let mut bench = Bench::start(chatty()).await;
    let body = r#"{"status":401,"message":"invalid token"}"#.into();
    let refused = Kind::Status { status: 401, body, effect: false };
    bench.sim.add_fault(Fault::new(Target::Any, refused));
    bench.sim.join(&group(), &people(3), Via::Link).await;
    bench.until("it is told", async || bench.api("alerts").await.to_string().contains("invalid token")).await;
    bench.until("all are decided", async || bench.rows("waiting").await.len() == 3).await;
    assert_eq!(messages(&bench), 1, "after the first nothing is tried");
    let told = bench.api("alerts").await["alerts"].clone();
    assert_eq!((told.as_array().unwrap().len(), &told[0]["count"]), (1, &json!(1)), "{told}");
    bench.sim.faults().clear();
    restart(&mut bench, |_| ()).await;
    bench.until("the rows waited for it", async || bench.rows("done").await.len() == 3).await;
    assert_eq!(messages(&bench), 4);
}

/// The daemon runs, and looks after half a second whether what was answered as done has happened.
async fn suspicious(setup: Setup) -> Bench {
    let mut bench = Bench::prepare(setup).await;
    bench.spawn_with(&["serve"], &[("PERIMETERD__WAWP__CONFIRM_AFTER", "500ms")]);
    bench.ready().await;
    bench
}

/// Whoever joins is removed.
fn bouncer() -> Setup {
    let bouncer = "fn on_join(member, group) { member.remove(\"not here\"); }\n".to_owned();
    Setup { chain: r#"["bouncer"]"#, policies: vec![("bouncer.rhai", bouncer)], ..Setup::default() }
}

fn inside(bench: &Bench) -> usize {
    bench.sim.with(|world| world.group(&group()).unwrap().members.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_only_answered_as_done_is_made_again() {
    let bench = suspicious(bouncer()).await;
    bench.sim.add_fault(Fault::on_class(Class::Remove, Kind::Silent).times(2));
    bench.sim.join(&group(), &people(4), Via::Link).await;
    bench.until("everybody is out", async || inside(&bench) == 1).await;
    until_it_is(&bench, FIRST, "done", "answered as done, but the roster still lists them").await;
    assert_eq!(bench.removed().len(), 6, "two of them twice");
    let decided = bench.api("decisions?limit=100").await;
    assert_eq!(decided["decisions"].as_array().unwrap().len(), 4, "one decision each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_never_takes_effect_is_given_up_and_told() {
    let bench = suspicious(bouncer()).await;
    bench.sim.add_fault(Fault::on_class(Class::Remove, Kind::Silent));
    bench.sim.join(&group(), &people(1), Via::Link).await;
    until_it_is(&bench, FIRST, "dead", "answered as done 3 times").await;
    assert_eq!(bench.removed().len(), 3);
    assert!(bench.api("alerts").await.to_string().contains("answered as done 3 times"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_admin_removes_nobody_until_made_one() {
    let mut bench = Bench::prepare(bouncer()).await;
    let boss = person(FIRST + 50);
    bench.sim.seat(&group(), &[boss], Role::Admin);
    let me = bench.sim.me();
    bench.sim.with(|world| {
        let lid = world.known(me).unwrap();
        world.group_mut(&group()).unwrap().members.insert(lid, Role::Participant);
    });
    bench.spawn();
    bench.ready().await;
    bench.sim.join(&group(), &people(2), Via::Link).await;
    bench.until("it is told", async || bench.api("alerts").await.to_string().contains("no admin")).await;
    bench.until("both wait", async || bench.rows("waiting").await.len() == 2).await;
    assert_eq!(bench.removed().len(), 0, "a call without the right is what a spammer makes");
    bench.sim.set_role(&group(), me, true, boss).await;
    bench.until("both are out", async || bench.rows("done").await.len() == 2).await;
    let told = bench.api("alerts").await["alerts"].clone();
    let rights = told.as_array().unwrap().iter().filter(|alert| alert["kind"] == "admin_rights");
    assert_eq!(
        rights.map(|alert| alert["count"].as_u64().unwrap()).sum::<u64>(),
        1,
        "once for the group: {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_the_gateway_denies_is_not_tried_for_everybody() {
    let bench = Bench::start(bouncer()).await;
    bench.sim.join(&group(), &people(1), Via::Link).await;
    bench.until("the roster is known", async || bench.removed().len() == 1).await;
    let me = bench.sim.me();
    bench.sim.with(|world| {
        let lid = world.known(me).unwrap();
        world.group_mut(&group()).unwrap().members.insert(lid, Role::Participant);
    });
    bench.sim.join(&group(), &people(4)[1..], Via::Link).await;
    bench.until("it is told", async || bench.api("alerts").await.to_string().contains("no admin")).await;
    bench
        .until("all three wait", async || {
            let waiting = bench.rows("waiting").await;
            waiting.len() == 3 && waiting.iter().any(|row| row["note"].to_string().contains("an admin"))
        })
        .await;
    assert_eq!((bench.removed().len(), bench.rows("refused").await.len()), (2, 0), "one of them was tried");
}
