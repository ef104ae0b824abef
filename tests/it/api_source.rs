//! An HTTP source under load: who is asked about again and again is asked for once, and many together in one request.

use crate::harness::{Bench, Setup, group, person};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use perimeterd::{
    clock::{Clock, SystemClock, Timestamp},
    ids::GroupId,
    simulator::{Addressing, Dialect, Envelope, Quirks, Role, Via},
};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Semaphore;

const FIRST: u64 = 4_915_300_000_000;

/// A payment side that takes its time, and what it was asked: by single requests and by requests for several.
#[derive(Clone, Default)]
struct Crm {
    takes: Duration,
    asked: Arc<Mutex<HashMap<String, u32>>>,
    together: Arc<Mutex<Vec<usize>>>,
}

impl Crm {
    async fn serve(takes: Duration) -> (Self, u16) {
        let crm = Self { takes, ..Self::default() };
        let router = Router::new()
            .route("/members/{phone}", get(one))
            .route("/members", post(several))
            .with_state(crm.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (crm, port)
    }
}

async fn one(State(crm): State<Crm>, Path(phone): Path<String>) -> Response {
    *crm.asked.lock().unwrap().entry(phone.clone()).or_default() += 1;
    tokio::time::sleep(crm.takes).await;
    answer(&phone).map_or_else(
        || (StatusCode::NOT_FOUND, Json(json!({}))).into_response(),
        |told| Json(told).into_response(),
    )
}

/// Of each four people two pay, one is not known, and one is forgotten when several are asked about.
fn answer(phone: &str) -> Option<Value> {
    let number: u64 = phone.trim_start_matches('+').parse().unwrap();
    (number % 4 != 3).then(|| json!({"status": "active", "phone": phone}))
}

async fn several(State(crm): State<Crm>, Json(phones): Json<Vec<String>>) -> Json<Value> {
    crm.together.lock().unwrap().push(phones.len());
    tokio::time::sleep(crm.takes).await;
    let mut told = Map::new();
    for phone in phones.into_iter().filter(|phone| !phone.ends_with("42")) {
        let answer = answer(&phone).unwrap_or(Value::Null);
        told.insert(phone, answer);
    }
    Json(Value::Object(told))
}

fn setup(port: u16, more: &str) -> Setup {
    Setup {
        chain: r#"["subscribers"]"#,
        config_extra: format!(
            "[subscriptions]\nsource = \"http\"\nurl = \"http://127.0.0.1:{port}/members/{{phone}}\"\n{more}\n"
        ),
        ..Setup::default()
    }
}

fn group_of(n: u64) -> GroupId {
    GroupId::parse(&format!("1203630000001{n:05}@g.us")).unwrap()
}

/// Everybody joins every group: an event each, told to nobody yet.
fn joins(bench: &Bench, groups: u64, numbers: &[u64]) -> Vec<Value> {
    let at = Timestamp(SystemClock::new().now().0 - 1000);
    let mut bodies = Vec::new();
    for group in (0..groups).map(group_of) {
        let people: Vec<_> = numbers.iter().copied().map(person).collect();
        bench.sim.seat(&group, &people, Role::Participant);
        for who in people {
            let id = format!("evt_{:08}", bodies.len());
            let (session, me, quirks) = ("main", person(447_700_900_001), Quirks::default());
            let around = Envelope { id: &id, at, session, me, quirks };
            bodies.push(Dialect::Mixed.join_body(&around, &group, Addressing::Phone, &[who], Via::Link));
        }
    }
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_joins_of_five_hundred_people_ask_five_hundred_times() {
    const GROUPS: u64 = 20;
    // Three of four numbers pay: 500 who do.
    let payers: Vec<u64> = (FIRST..).filter(|number| number % 4 != 3).take(500).collect();
    let (crm, port) = Crm::serve(Duration::from_millis(300)).await;
    let mut bench = Bench::prepare(setup(port, "")).await;
    for n in 0..GROUPS {
        bench.sim.add_group(&group_of(n), "Branch", Addressing::Phone, Role::Admin);
    }
    bench.spawn();
    bench.ready().await;
    bench
        .until("the empty groups are adopted", async || {
            let groups = bench.api("groups").await["groups"].as_array().map_or(0, Vec::len);
            let applied = bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await;
            groups > GROUPS as usize && applied > GROUPS as f64
        })
        .await;
    let mut bodies = joins(&bench, GROUPS, &payers);
    assert_eq!(bodies.len(), 10_000);
    fastrand::Rng::with_seed(7).shuffle(&mut bodies);
    let (bench, gate) = (Arc::new(bench), Arc::new(Semaphore::new(64)));
    let mut posts = tokio::task::JoinSet::new();
    for body in bodies {
        let (bench, permit) = (bench.clone(), gate.clone().acquire_owned().await.unwrap());
        posts.spawn(async move {
            assert_eq!(bench.post(&body).await, 202);
            drop(permit);
        });
    }
    posts.join_all().await;
    let decided = r#"perimeterd_decisions_total{hook="on_join",outcome="decided",final="none"}"#;
    bench.until("all are judged", async || bench.metric(decided).await >= 10_000.0).await;
    bench.settled().await;
    let asked = crm.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 500);
    let calls: u32 = asked.values().sum();
    println!("10,000 joins of 500 people: {calls} calls");
    assert!(calls <= 500, "{calls}");
    assert_eq!(bench.metric(r#"perimeterd_subscription_answers_total{kind="miss"}"#).await, 500.0);
    assert_eq!(bench.metric(r#"perimeterd_subscription_cache{what="in_flight"}"#).await, 0.0);
    assert!(bench.metric("perimeterd_subscription_source_seconds_total").await >= 150.0);
    assert!(bench.removed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_come_together_are_asked_about_together() {
    let (crm, port) = Crm::serve(Duration::from_millis(50)).await;
    let more = format!("batch_url = \"http://127.0.0.1:{port}/members\"\nbatch_size = 40\nconcurrency = 2");
    let bench = Bench::start(setup(port, &more)).await;
    let numbers: Vec<u64> = (FIRST..FIRST + 100).collect();
    let people: Vec<_> = numbers.iter().copied().map(person).collect();
    bench.sim.join(&group(), &people, Via::Link).await;
    let unpaid: Vec<u64> = numbers.iter().copied().filter(|number| number % 4 == 3).collect();
    bench.until("the unpaid are out", async || bench.removed().len() >= unpaid.len()).await;
    bench.settled().await;
    let mut removed = bench.removed();
    removed.sort_unstable();
    assert_eq!(removed, unpaid, "and nobody whom the answer forgot");
    let together = crm.together.lock().unwrap().clone();
    assert!(together.iter().all(|people| (2..=40).contains(people)), "{together:?}");
    assert!(together.iter().any(|people| *people > 10), "{together:?}");
    let decisions = bench.api("decisions?limit=1000").await.to_string();
    assert!(decisions.contains("did not say anything about this person"), "the forgotten one is unknown");
}
