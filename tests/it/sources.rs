//! Who pays is asked over HTTP. While nobody can say, nobody is put out; once somebody can, those who came meanwhile are
//! judged; and what changes between decision and call is heeded.

use crate::harness::{Bench, FAST_LIMITS, Setup, TOKEN, group, person};
use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use perimeterd::{clock::format_duration, simulator::Via};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;

/// Even numbers pay, odd ones do not.
const PAYS: u64 = 4915100000700;
const UNPAID: u64 = 4915100000701;

/// How the payment side answers.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Status(u16),
    Html404,
    /// Well, but a page for people.
    Html200,
    /// Whatever is asked, the same person answers.
    Another,
    Nonsense,
    Hangs,
}

#[derive(Clone)]
struct Crm(Arc<Mutex<Mood>>);

impl Crm {
    fn new(mood: Mood) -> Self {
        Self(Arc::new(Mutex::new(mood)))
    }

    fn set(&self, mood: Mood) {
        *self.0.lock().unwrap() = mood;
    }

    fn serve(&self, listener: std::net::TcpListener) -> JoinHandle<()> {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let router = Router::new().route("/members/{phone}", get(answer)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
    }
}

async fn answer(State(crm): State<Crm>, Path(phone): Path<String>) -> Response {
    let mood = *crm.0.lock().unwrap();
    let number: u64 = phone.trim_start_matches('+').parse().unwrap();
    match mood {
        Mood::Well if number.is_multiple_of(2) => axum::Json(json!({"status": "active"})).into_response(),
        // The documented way to say that nobody is known there.
        Mood::Well => (StatusCode::NOT_FOUND, axum::Json(json!({"error": "no such member"}))).into_response(),
        Mood::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Mood::Html404 => (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/html")], "<h1>Not found</h1>")
            .into_response(),
        Mood::Html200 => ([(header::CONTENT_TYPE, "text/html")], "<h1>Log in</h1>").into_response(),
        Mood::Another => axum::Json(json!({"status": "none", "phone": "+4915100000999"})).into_response(),
        Mood::Nonsense => axum::Json(json!({"status": "platinum-plated"})).into_response(),
        Mood::Hangs => std::future::pending().await,
    }
}

fn port() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A community whose payment side listens there; answers age within a second.
fn setup(port: u16, evidence_wait: Duration) -> Setup {
    Setup {
        chain: r#"["subscribers"]"#,
        config_extra: format!(
            r#"
[policies]
fresh_for = "1s"
evidence_wait = "{}"
[subscriptions]
source = "http"
url = "http://127.0.0.1:{port}/members/{{phone}}"
timeout = "1s"
cache_ttl = "1s"
negative_ttl = "1s"
stale_for = "1h"
"#,
            format_duration(evidence_wait)
        ),
        ..Setup::default()
    }
}

const HOUR: Duration = Duration::from_secs(3600);

async fn decisions(bench: &Bench) -> Vec<Value> {
    bench.api("decisions?limit=1000").await["decisions"].as_array().unwrap().clone()
}

/// Somebody comes and is judged.
async fn come_in(bench: &Bench, number: u64) {
    let before = decided(bench).await;
    bench.sim.join(&group(), &[person(number)], Via::Link).await;
    bench.until("they are judged", async || decided(bench).await > before).await;
}

/// Alerts of a kind so far.
async fn alerts(bench: &Bench, kind: &str) -> u64 {
    bench.metric(&format!("perimeterd_alerts_total{{kind=\"{kind}\"}}")).await as u64
}

async fn decided(bench: &Bench) -> usize {
    decisions(bench).await.iter().filter(|decision| decision["state"] == "decided").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_source_fails_nobody_is_removed_and_when_it_is_back_they_are_judged() {
    let (listener, port) = port();
    let crm = Crm::new(Mood::Well);
    crm.serve(listener);
    let bench = Bench::start(setup(port, HOUR)).await;
    let moods = [
        Mood::Status(500),
        Mood::Status(429),
        Mood::Status(401),
        Mood::Status(302),
        Mood::Html404,
        Mood::Html200,
        Mood::Another,
        Mood::Hangs,
    ];
    for (n, mood) in (0..).zip(moods) {
        crm.set(mood);
        let (pays, unpaid) = (PAYS + 2 * n, UNPAID + 2 * n);
        come_in(&bench, pays).await;
        come_in(&bench, unpaid).await;
        let newest = &decisions(&bench).await[0];
        assert_eq!(newest["verdict"]["look_again"], true, "{mood:?}: {newest}");
        assert!(!bench.removed().contains(&unpaid), "{mood:?}");
        bench
            .until(&format!("one alert tells of {mood:?}"), async || {
                alerts(&bench, "subscriptions").await == n + 1
            })
            .await;
        crm.set(Mood::Well);
        bench
            .until(&format!("they are judged after {mood:?}"), async || bench.removed().contains(&unpaid))
            .await;
        bench
            .until("another tells that it is over", async || {
                alerts(&bench, "subscriptions_over").await == n + 1
            })
            .await;
        assert_eq!(alerts(&bench, "subscriptions").await, n + 1, "{mood:?}");
    }
    bench.settled().await;
    let mut removed = bench.removed();
    removed.sort_unstable();
    assert_eq!(removed, (0..8).map(|n| UNPAID + 2 * n).collect::<Vec<_>>(), "each once, and nobody who pays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_nobody_mapped_is_unknown_and_reported() {
    let (listener, port) = port();
    Crm::new(Mood::Nonsense).serve(listener);
    let bench = Bench::start(setup(port, HOUR)).await;
    come_in(&bench, UNPAID).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    assert_eq!(decisions(&bench).await[0]["verdict"]["look_again"], true);
    bench.until("the word is told", async || alerts(&bench, "status_word").await == 1).await;
    let told = bench.api("alerts").await.to_string();
    assert!(told.contains("platinum-plated") && told.contains("status_map"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_never_there_is_waited_for() {
    let (listener, port) = port();
    drop(listener);
    let bench = Bench::start(setup(port, HOUR)).await;
    come_in(&bench, PAYS).await;
    come_in(&bench, UNPAID).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    // The payment side can push meanwhile, and that is enough.
    push(&bench, UNPAID + 2, "none").await;
    come_in(&bench, UNPAID + 2).await;
    bench.until("a pushed status counts", async || bench.removed() == [UNPAID + 2]).await;

    let crm = Crm::new(Mood::Well);
    crm.serve(std::net::TcpListener::bind(("127.0.0.1", port)).unwrap());
    bench.until("the unpaid one is out", async || bench.removed().contains(&UNPAID)).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [UNPAID + 2, UNPAID]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_keeps_somebody_in_and_puts_nobody_out() {
    let (listener, port) = port();
    let crm = Crm::new(Mood::Well);
    crm.serve(listener);
    let bench = Bench::start(setup(port, HOUR)).await;
    // Both are asked about while the source is well.
    for (number, status) in [(PAYS, "active"), (UNPAID, "none")] {
        let told = bench.api(&format!("subscriptions/+{number}")).await.to_string();
        assert!(told.contains(status), "{told}");
    }
    crm.set(Mood::Status(503));
    // Until the answers are older than they may be.
    bench
        .until("the answers are stale", async || {
            let told = bench.api(&format!("subscriptions/+{UNPAID}")).await;
            told.to_string().contains("\"stale\":true")
        })
        .await;

    come_in(&bench, PAYS).await;
    come_in(&bench, UNPAID).await;
    bench
        .until("the removal waits for evidence", async || {
            let waiting = bench.rows("waiting").await;
            waiting.iter().any(|row| row["note"].as_str().is_some_and(|note| note.contains("evidence")))
        })
        .await;
    let kept = decisions(&bench).await;
    let stale = |decision: &&Value| decision["verdict"].to_string().contains("\"stale\":true");
    assert!(kept.iter().any(|decision| stale(&decision)), "the evidence says that it is old");
    assert!(bench.removed().is_empty(), "nobody on stale evidence");
    crm.set(Mood::Well);
    bench.until("the evidence is there", async || bench.removed() == [UNPAID]).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [UNPAID]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_finds_no_evidence_in_time_is_dropped_and_told() {
    let (listener, port) = port();
    let crm = Crm::new(Mood::Well);
    crm.serve(listener);
    let bench = Bench::start(setup(port, Duration::from_secs(2))).await;
    bench.sim.add_fault(
        perimeterd::simulator::Fault::on_class(
            perimeterd::action::Class::Remove,
            perimeterd::simulator::Kind::RateLimited { retry_after: Some(3) },
        )
        .times(1),
    );
    come_in(&bench, UNPAID).await;
    bench.until("the removal was tried", async || bench.removed().len() == 1).await;
    crm.set(Mood::Status(500));
    bench
        .until("it is dropped", async || {
            let cancelled = bench.rows("cancelled").await;
            cancelled
                .iter()
                .any(|row| row["note"].as_str().is_some_and(|note| note.contains("evidence_wait")))
        })
        .await;
    bench.settled().await;
    assert_eq!(bench.removed().len(), 1, "not tried again");
    assert!(bench.api("alerts").await.to_string().contains("evidence"));
    assert!(bench.texts(&format!("{UNPAID}@c.us")).is_empty(), "nothing is told about it");
}

/// What the payment side pushes.
async fn push(bench: &Bench, number: u64, status: &str) {
    let url = format!("{}/api/v1/subscriptions/+{number}", bench.base);
    let request = bench.http.put(url).bearer_auth(TOKEN).json(&json!({"status": status}));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_a_removal_waits_for_its_ceiling_is_heeded() {
    let numbers: Vec<u64> = (0..5).map(|n| UNPAID + 100 + n).collect();
    let [first, paid, friend, promoted, last] = numbers[..] else { unreachable!() };
    let limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/6s"]"#);
    let bench = Bench::start(Setup { chain: r#"["subscribers"]"#, limits, ..Setup::default() }).await;
    let people: Vec<_> = numbers.iter().copied().map(person).collect();
    bench.sim.join(&group(), &people, Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [first]).await;
    push(&bench, paid, "active").await;
    bench.write("allowlist.txt", &format!("+{friend}\n"));
    bench.sim.set_role(&group(), person(promoted), true, bench.sim.me()).await;
    bench.until("the last is out", async || bench.removed().contains(&last)).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [first, last]);
    let notes = async |state: &str| {
        let rows = bench.rows(state).await.into_iter();
        let notes = rows.filter(|row| row["call"]["call"] == "remove");
        notes.map(|row| row["note"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let cancelled = notes("cancelled").await;
    assert!(cancelled.iter().any(|note| note.contains("no longer asks")), "{cancelled:?}");
    assert!(cancelled.iter().any(|note| note.contains("allowlist")), "{cancelled:?}");
    let refused = notes("refused").await;
    assert!(refused.iter().any(|note| note.contains("admin")), "{refused:?}");
}
