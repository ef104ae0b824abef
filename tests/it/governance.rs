//! A hostile name is put back, once; our own changes, and the first sight of a group, are no changes.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::{
    clock::{Clock, SystemClock},
    ids::{Lid, Person},
    simulator::{Addressing, Fault, Kind, Role, Target},
};
use serde_json::{Value, json};

const ADMIN: u64 = 4915100000700;
const MEMBER: u64 = 4915100000701;
const OTHER: &str = "120363000000000002@g.us";

/// Tells a reader what changed.
const TELLER: &str = r#"
fn on_group_changed(group, change) {
    group.say(`${change.what}: ${change.before} -> ${change.after}`);
}
"#;

fn setup(chain: &'static str) -> Setup {
    Setup { chain, ..Setup::default() }
}

/// A bench whose group's name is known.
async fn begin(setup: Setup) -> Bench {
    let mut bench = Bench::prepare(setup).await;
    bench.sim.seat(&group(), &[person(ADMIN)], Role::Admin);
    bench.sim.seat(&group(), &[person(MEMBER)], Role::Participant);
    bench.spawn();
    bench.ready().await;
    bench.until("roster and name are known", async || read(&bench).await >= 2).await;
    bench
}

/// Reads of the group that were taken in.
async fn read(bench: &Bench) -> usize {
    let events = bench.api("events?limit=1000").await;
    let list = events["events"].as_array().cloned().unwrap_or_default();
    list.iter().filter(|event| event["source"] == "roster" && event["state"] != "new").count()
}

fn now() -> i64 {
    let now = SystemClock::new().now().as_millis();
    // A whole second would be taken for a teller that knows no smaller ones.
    if now % 1000 == 0 { now - 1 } else { now }
}

fn envelope(id: &str, at: i64, payload: &Value) -> Value {
    json!({
        "id": id, "event": "group.v2.update", "session": "main", "timestamp": at, "payload": payload,
        "me": {"id": "447700900001@c.us", "lid": "55501@lid"}
    })
}

/// A new name as the engine tells it.
fn wire(id: &str, at: i64, subject: &str, by: Option<String>) -> Value {
    let payload = json!({"timestamp": at, "group": {"id": GROUP, "subject": subject},
        "_data": {"JID": GROUP, "Sender": by, "Name": {"Name": subject}}});
    envelope(id, at, &payload)
}

/// The same as the vendor's pages have it: nobody is named.
fn docs(id: &str, at: i64, subject: &str) -> Value {
    envelope(id, at, &json!({"chatId": GROUP, "subject": subject}))
}

fn phone_jid(number: u64) -> Option<String> {
    Some(format!("{number}@c.us"))
}

/// Somebody renames the group; the gateway is to tell of it by `body`.
async fn rename(bench: &Bench, subject: &str, body: Value) {
    bench.sim.with(|world| world.group_mut(&group()).unwrap().subject = subject.into());
    assert_eq!(bench.post(&body).await, 202);
}

fn subject(bench: &Bench) -> String {
    bench.sim.with(|world| world.group(&group()).unwrap().subject.clone())
}

/// Names set at the gateway.
fn set(bench: &Bench) -> usize {
    bench.sim.calls().iter().filter(|call| call.path.ends_with("/subject")).count()
}

/// Runs about changes.
async fn judged(bench: &Bench) -> usize {
    let decisions = bench.api("decisions?limit=1000").await;
    let list = decisions["decisions"].as_array().cloned().unwrap_or_default();
    list.iter().filter(|decision| decision["hook"] == "on_group_changed").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_name_is_put_back_once_in_both_dialects() {
    let bench = begin(setup(r#"["governance"]"#)).await;
    let at = now();
    rename(&bench, "Buy here", wire("evt_1", at, "Buy here", phone_jid(MEMBER))).await;
    bench.until("the name is back", async || subject(&bench) == "Club").await;
    bench.settled().await;
    let locked = bench.sim.with(|world| world.group(&group()).unwrap().info_locked);
    assert!(locked, "only admins may rename from now on");

    // The other dialect tells the same rename, late: it is over.
    assert_eq!(bench.post(&docs("evt_2", at, "Buy here")).await, 202);
    bench.settled().await;
    assert_eq!((set(&bench), judged(&bench).await), (1, 1));

    // A second one, told only by the dialect that names nobody.
    rename(&bench, "Buy there", docs("evt_3", now(), "Buy there")).await;
    bench.until("the name is back again", async || subject(&bench) == "Club").await;
    bench.settled().await;
    assert_eq!((set(&bench), judged(&bench).await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_s_name_and_our_own_are_left() {
    let renamer = r#"fn on_join(member, group) { group.set_subject("Club of two"); }"#;
    let bench = begin(Setup {
        policies: vec![("renamer.rhai", renamer.into())],
        ..setup(r#"["renamer", "governance"]"#)
    })
    .await;
    rename(&bench, "Club 2", wire("evt_1", now(), "Club 2", phone_jid(ADMIN))).await;
    bench.until("it is judged", async || judged(&bench).await == 1).await;

    // Our own call, echoed by the gateway without a name; and our number's owner, by hand.
    bench.sim.join(&group(), &[person(4915100000702)], perimeterd::simulator::Via::Link).await;
    bench.until("it has our name", async || subject(&bench) == "Club of two").await;
    bench.settled().await;
    rename(&bench, "By hand", wire("evt_2", now(), "By hand", Some("55501@lid".into()))).await;
    bench.settled().await;
    assert_eq!((subject(&bench), set(&bench), judged(&bench).await), ("By hand".into(), 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sight_of_a_group_is_no_change() {
    let bench = begin(setup(r#"["governance"]"#)).await;
    let other = perimeterd::ids::GroupId::parse(OTHER).unwrap();
    bench.sim.add_group(&other, "Old name", Addressing::Lid, Role::Admin);
    let told = json!({"chatId": OTHER, "subject": "New name"});
    assert_eq!(bench.post(&envelope("evt_1", now(), &told)).await, 202);
    bench.until("it is read as well", async || read(&bench).await >= 4).await;
    bench.settled().await;
    assert_eq!((set(&bench), judged(&bench).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_renames_faster_than_we_answer_gains_nothing() {
    let bench = begin(setup(r#"["governance"]"#)).await;
    let by = phone_jid(MEMBER);
    let burst: Vec<Value> =
        (1..=3).map(|n| wire(&format!("evt_{n}"), now(), &format!("Buy {n}"), by.clone())).collect();
    rename(&bench, "Buy 3", Value::Array(burst)).await;
    bench.until("all are judged", async || judged(&bench).await == 3).await;
    bench.settled().await;
    assert_eq!(subject(&bench), "Club");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_guards_do_not_fight_for_ever() {
    let bench = begin(setup(r#"["governance"]"#)).await;
    let theirs = Person::of_lid(Lid::from_u64(88_001));
    for n in 1..=5 {
        let told = wire(&format!("evt_{n}"), now(), "Theirs", Some(theirs.jid()));
        rename(&bench, "Theirs", told).await;
        bench.until("it is judged", async || judged(&bench).await == n).await;
        bench.settled().await;
        if subject(&bench) == "Theirs" {
            break;
        }
    }
    assert_eq!((subject(&bench), set(&bench), judged(&bench).await), ("Theirs".into(), 3, 4));
    let refused = bench.rows("refused").await;
    assert!(refused[0]["note"].as_str().unwrap().contains("3 times within the hour"), "{refused:?}");
    assert_eq!(bench.log().matches("changed again and again").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_engines_tell_inverted_is_read_before_it_is_believed() {
    let bench =
        begin(Setup { policies: vec![("teller.rhai", TELLER.into())], ..setup(r#"["teller"]"#) }).await;
    bench.sim.with(|world| world.group_mut(&group()).unwrap().announce_only = true);
    let told = json!({"group": {"id": GROUP, "membersCanSendMessages": true}});
    assert_eq!(bench.post(&envelope("evt_1", now(), &told)).await, 202);
    bench.until("it is told", async || !bench.texts(GROUP).is_empty()).await;
    bench.settled().await;
    assert_eq!(bench.texts(GROUP), ["announce_only: false -> true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_unknown_outcome_is_set_again_only_if_it_still_differs() {
    for effect in [true, false] {
        let bench = begin(setup(r#"["governance"]"#)).await;
        // Nothing is heard of our own call: only a read can tell.
        bench.sim.set_webhook(None);
        bench.sim.add_fault(Fault::new(Target::Path("/subject".into()), Kind::Drop { effect }).times(1));
        rename(&bench, "Buy here", wire("evt_1", now(), "Buy here", phone_jid(MEMBER))).await;
        bench.until("it is judged", async || judged(&bench).await == 1).await;
        bench.settled().await;
        assert_eq!((subject(&bench), judged(&bench).await), ("Club".into(), 1));
        assert_eq!(set(&bench), if effect { 1 } else { 2 }, "it took effect: {effect}");
    }
}
