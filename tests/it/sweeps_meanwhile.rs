//! What else happens while members are swept: people come and go, lists change again, we leave a group, the daemon dies.

use crate::harness::{Bench, FAST_LIMITS, Setup, group, person};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use perimeterd::{
    clock::{Clock, SystemClock},
    ids::GroupId,
    simulator::{Addressing, Role, Via},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;

const ANN: u64 = 4_915_100_000_001;
const BEN: u64 = 4_915_100_000_002;
/// Is answered at once, always.
const EVE: u64 = 4_915_100_000_777;

/// A payment side that answers nobody but [`EVE`] until it is opened; everybody pays until tonight.
#[derive(Clone)]
struct Crm {
    is_open: watch::Sender<bool>,
    asked: Arc<Mutex<BTreeSet<String>>>,
    pays: bool,
}

impl Crm {
    async fn serve(pays: bool) -> (Self, u16) {
        let crm = Self { is_open: watch::Sender::new(false), asked: Arc::default(), pays };
        let router = Router::new().route("/members/{phone}", get(answer)).with_state(crm.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (crm, port)
    }

    fn open(&self) {
        self.is_open.send_replace(true);
    }

    fn was_asked(&self, number: u64) -> bool {
        self.asked.lock().unwrap().contains(&format!("+{number}"))
    }
}

async fn answer(State(crm): State<Crm>, Path(phone): Path<String>) -> Response {
    crm.asked.lock().unwrap().insert(phone.clone());
    if phone == format!("+{EVE}") {
        return (StatusCode::NOT_FOUND, Json(json!({}))).into_response();
    }
    let _ = crm.is_open.subscribe().wait_for(|open| *open).await;
    let tonight = SystemClock::new().now() + Duration::from_secs(12 * 3600);
    let status = if crm.pays { "active" } else { "none" };
    Json(json!({"status": status, "expires_at": tonight.to_string()})).into_response()
}

fn setup(port: u16, chain: &'static str) -> Setup {
    Setup {
        chain,
        config_extra: format!(
            "[lists]\nmax_shrink = 1.0\n[brake]\nmax = \"1000/10m\"\nshare = 1.0\n\
             [subscriptions]\nsource = \"http\"\nurl = \"http://127.0.0.1:{port}/members/{{phone}}\"\n\
             timeout = \"200s\"\n"
        ),
        ..Setup::default()
    }
}

fn branch() -> GroupId {
    GroupId::parse("120363000000000002@g.us").unwrap()
}

async fn adopted(bench: &Bench, sizes: &[&str]) {
    let there = async || {
        let groups = bench.api("groups").await["groups"].to_string();
        sizes.iter().all(|size| groups.contains(size))
    };
    bench.until("the groups are adopted", there).await;
    bench.settled().await;
}

async fn newest(bench: &Bench) -> Value {
    bench.api("sweeps").await["sweeps"][0].clone()
}

fn begin(bench: &Bench) -> Value {
    let (status, text, error) = bench.run(&["--json", "sweep"]);
    assert!(status.success(), "{text}{error}");
    serde_json::from_str(&text).unwrap()
}

async fn all_looked_at(bench: &Bench) {
    let all = async || {
        let sweep = newest(bench).await;
        sweep["looked_at"] == sweep["members"] && sweep["members"] != 0
    };
    bench.until("a run is durable for each", all).await;
}

async fn over(bench: &Bench) -> Value {
    bench.until("the sweep is over", async || !newest(bench).await["finished_at"].is_null()).await;
    bench.settled().await;
    newest(bench).await
}

/// The members of a sweep wait for a slow source; whoever comes meanwhile does not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn who_joins_during_a_sweep_is_judged_before_its_members() {
    const MEMBERS: u64 = 300;
    let (crm, port) = Crm::serve(true).await;
    let mut bench = Bench::prepare(setup(port, r#"["subscribers"]"#)).await;
    let members: Vec<_> = (ANN..ANN + MEMBERS).map(person).collect();
    bench.sim.seat(&group(), &members, Role::Participant);
    bench.spawn();
    bench.ready().await;
    adopted(&bench, &["\"size\":301"]).await;
    begin(&bench);
    bench.until("the source is asked about somebody", async || !crm.asked.lock().unwrap().is_empty()).await;
    bench.sim.join(&group(), &[person(EVE)], Via::Link).await;
    bench.until("they are out", async || bench.removed() == [EVE]).await;
    assert_eq!(newest(&bench).await["decided"], 0);
    crm.open();
    let sweep = over(&bench).await;
    assert_eq!((&sweep["looked_at"], &sweep["decided"]), (&MEMBERS.into(), &MEMBERS.into()), "{sweep}");
    assert_eq!(bench.removed(), [EVE]);
}

/// Their runs wait for the same answer; the second must know what the first has done.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_two_groups_is_reminded_once() {
    let (crm, port) = Crm::serve(true).await;
    let mut bench = Bench::prepare(Setup {
        group_extra: "params = { write_strangers = true }\n".into(),
        ..setup(port, r#"["grace"]"#)
    })
    .await;
    bench.sim.add_group(&branch(), "Branch", Addressing::Phone, Role::Admin);
    for id in [group(), branch()] {
        bench.sim.seat(&id, &[person(ANN)], Role::Participant);
    }
    bench.spawn();
    bench.ready().await;
    adopted(&bench, &["Club", "Branch"]).await;
    bench.until("both are adopted", async || begin(&bench)["members"] == 2).await;
    all_looked_at(&bench).await;
    crm.open();
    over(&bench).await;
    assert_eq!(bench.texts(&format!("{ANN}@c.us")).len(), 1, "{:?}", bench.texts(&format!("{ANN}@c.us")));
}

/// Their run has read the list before it changed and waits for something else; the sweep must not take it for enough.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_being_judged_by_the_old_list_is_swept_by_the_new_one() {
    let (crm, port) = Crm::serve(true).await;
    let bench = Bench::start(setup(port, r#"["blacklist", "subscribers"]"#)).await;
    adopted(&bench, &["\"size\":1"]).await;
    bench.sim.join(&group(), &[person(ANN)], Via::Link).await;
    bench.until("the source is asked", async || crm.was_asked(ANN)).await;
    bench.write("blacklist.txt", &format!("+{ANN}\n"));
    bench.until("the list sweeps", async || newest(&bench).await["cause"] == "lists").await;
    all_looked_at(&bench).await;
    crm.open();
    over(&bench).await;
    bench.until("they are out", async || bench.removed() == [ANN]).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [ANN]);
}

/// No more than what was asked before is asked of a group that is not ours any more, and the sweep comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_we_leave_during_a_sweep_is_left_alone() {
    let (crm, port) = Crm::serve(false).await;
    let mut bench = Bench::prepare(setup(port, r#"["subscribers"]"#)).await;
    let members: Vec<_> = (ANN..ANN + 500).map(person).collect();
    bench.sim.seat(&group(), &members, Role::Participant);
    bench.sim.add_group(&branch(), "Branch", Addressing::Phone, Role::Admin);
    bench.sim.seat(&branch(), &[person(EVE + 1)], Role::Participant);
    bench.spawn();
    bench.ready().await;
    adopted(&bench, &["\"size\":501", "\"size\":2"]).await;
    begin(&bench);
    bench.until("the source is asked about somebody", async || !crm.asked.lock().unwrap().is_empty()).await;
    let me = bench.sim.with(|world| world.both_ids(world.sessions()[0].me));
    bench.sim.leave(&group(), &[me], None).await;
    bench
        .until("the leave is known", async || {
            !bench.api("groups").await["groups"].to_string().contains("Club")
        })
        .await;
    crm.open();
    let sweep = over(&bench).await;
    assert_eq!(bench.removed(), [EVE + 1], "{sweep}");
}

/// The second is taken in by the first; a kill in between and one at the end change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_sweep_joins_the_first_and_a_kill_at_the_end_repeats_nothing() {
    let (crm, port) = Crm::serve(false).await;
    let mut bench = Bench::prepare(setup(port, r#"["subscribers"]"#)).await;
    bench.sim.seat(&group(), &[ANN, BEN].map(person), Role::Participant);
    bench.spawn();
    bench.ready().await;
    adopted(&bench, &["\"size\":3"]).await;
    let first = begin(&bench);
    all_looked_at(&bench).await;
    let second = begin(&bench);
    assert_eq!((&first["id"], &second["id"]), (&json!("s1"), &json!("s1")), "{second}");
    bench.kill();
    bench.spawn();
    bench.ready().await;
    assert!(newest(&bench).await["looked_at"].as_u64() >= Some(2));
    crm.open();
    let sweep = over(&bench).await;
    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.settled().await;
    let mut removed = bench.removed();
    removed.sort_unstable();
    assert_eq!(removed, [ANN, BEN], "each once: {sweep}");
    assert_eq!(newest(&bench).await, sweep, "over is over");
}

/// They are never put out, so nobody tells them that they will be.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_is_not_told_of_an_end_that_does_not_come() {
    let subscriptions = format!("+{ANN},none,gold,\n+{BEN},none,gold,\n");
    let mut bench = Bench::prepare(Setup {
        chain: r#"["grace"]"#,
        group_extra: "params = { write_strangers = true }\n".into(),
        subscriptions,
        ..Setup::default()
    })
    .await;
    bench.sim.seat(&group(), &[person(ANN)], Role::Admin);
    bench.sim.seat(&group(), &[person(BEN)], Role::Participant);
    bench.spawn();
    bench.ready().await;
    adopted(&bench, &["\"size\":3"]).await;
    begin(&bench);
    over(&bench).await;
    assert_eq!(bench.texts(&format!("{BEN}@c.us")).len(), 1);
    assert_eq!(bench.texts(&format!("{ANN}@c.us")), Vec::<String>::new());
}

/// Their removal waits for its turn under the ceiling: a sweep that comes by gives them no days of grace.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_about_to_be_removed_is_passed_over() {
    let bench = Bench::start(Setup {
        chain: r#"["grace"]"#,
        group_extra: "params = { write_strangers = true }\n".into(),
        limits: FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/1h"]"#),
        ..Setup::default()
    })
    .await;
    adopted(&bench, &["\"size\":1"]).await;
    bench.sim.join(&group(), &[person(ANN)], Via::Link).await;
    bench.until("one is out", async || bench.removed() == [ANN]).await;
    bench.sim.join(&group(), &[person(BEN)], Via::Link).await;
    bench.until("the other waits", async || bench.rows("waiting").await.len() == 2).await;
    begin(&bench);
    bench.until("the sweep is over", async || !newest(&bench).await["finished_at"].is_null()).await;
    let sweep = newest(&bench).await;
    assert_eq!((&sweep["looked_at"], &sweep["actions"]), (&1.into(), &0.into()), "{sweep}");
    assert_eq!(bench.rows("waiting").await.len(), 2, "the removal and what follows it");
    assert_eq!(bench.texts(&format!("{BEN}@c.us")), Vec::<String>::new());
}
