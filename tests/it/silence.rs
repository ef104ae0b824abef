//! Silence is noticed: sessions that say nothing, canaries, states, rights and registrations that are gone.

use crate::harness::{Bench, GROUP, SECRET, Setup, group, person};
use perimeterd::simulator::{Fault, Kind, Role, Target, WebhookTarget, world::Status};
use serde_json::{Value, json};

const NEWCOMER: u64 = 4_915_100_002_001;

/// A daemon with this `[silence]` section and more.
fn watched(silence: &str) -> Setup {
    Setup { config_extra: format!("[silence]\n{silence}\n[reconcile]\nevery = \"0s\"\n"), ..Setup::default() }
}

async fn readyz(bench: &Bench) -> Value {
    bench.http.get(format!("{}/readyz", bench.base)).send().await.unwrap().json().await.unwrap()
}

/// The texts of all alerts of a kind, each with how often it was told.
async fn alerts(bench: &Bench, kind: &str) -> Vec<(String, u64)> {
    let list = bench.api("alerts").await["alerts"].as_array().cloned().unwrap_or_default();
    let of_kind = list.iter().filter(|alert| alert["kind"] == kind);
    of_kind.map(|alert| (alert["text"].as_str().unwrap().into(), alert["count"].as_u64().unwrap())).collect()
}

async fn told(bench: &Bench, kind: &str) -> String {
    bench.until(&format!("`{kind}` is told"), async || !alerts(bench, kind).await.is_empty()).await;
    alerts(bench, kind).await[0].0.clone()
}

async fn adopted(bench: &Bench) {
    bench
        .until("the roster is adopted", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
}

fn rosters(bench: &Bench) -> usize {
    bench.sim.calls().iter().filter(|call| call.path.contains("participants")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_sends_nothing_is_told_once_and_so_is_its_return() {
    let bench = Bench::start(watched("after = \"2s\"\ncanary = \"500ms\"")).await;
    let text = told(&bench, "silence").await;
    assert!(text.contains("says WORKING but sends nothing: restart it"), "{text}");
    // Canaries came through all the while: they are no sign of life of the gateway.
    bench.until("a canary came through", async || !readyz(&bench).await["canary_age"].is_null()).await;
    assert_eq!(readyz(&bench).await["troubles"]["silence"], 1);
    assert!(alerts(&bench, "silence_over").await.is_empty());
    assert!(bench.sim.calls().iter().any(|call| call.route == "session_info"), "the gateway was asked first");

    bench.sim.message(Some(&group()), person(NEWCOMER), "hello").await;
    assert_eq!(bench.post(&json!({"id": "evt_1", "event": "presence.update", "payload": {}})).await, 202);
    told(&bench, "silence_over").await;
    assert_eq!(alerts(&bench, "silence").await.len(), 1);
    let age = bench.metric("perimeterd_session_last_event_age_seconds{session=\"main\"}").await;
    assert!(age < 60.0, "{age}");
    assert_eq!(readyz(&bench).await["sessions"][0]["state"], "WORKING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_takes_the_whole_path_and_stands_in_no_list() {
    let bench = Bench::start(watched("after = \"0s\"\ncanary = \"300ms\"")).await;
    assert_eq!(readyz(&bench).await["canary_age"], Value::Null);
    bench.until("one came through", async || readyz(&bench).await["canary_age"].is_u64()).await;
    assert!(readyz(&bench).await["sessions"][0]["canary_age"].is_u64());
    assert!(bench.metrics().await.contains("perimeterd_canary_age_seconds{session=\"main\"}"));
    adopted(&bench).await;

    let groups = bench.api("groups").await["groups"].as_array().unwrap().clone();
    assert!(groups.len() == 1 && groups[0]["id"] == GROUP, "{groups:?}");
    for list in ["decisions", "outbox"] {
        assert_eq!(bench.api(list).await[list], json!([]), "no canary in {list}");
    }
    let events = bench.api("events").await.to_string();
    assert!(!events.contains("canary"), "{events}");
    assert_eq!(bench.metric("perimeterd_events_total{source=\"webhook\",outcome=\"stored\"}").await, 0.0);
    let routes: Vec<_> = bench.sim.calls().iter().map(|call| call.route).collect();
    assert!(routes.iter().all(|route| !route.starts_with("send")), "{routes:?}");
    assert!(alerts(&bench, "canary").await.is_empty());

    // One that we did not post is an event like any other that means nothing.
    let forged = json!({"id": "perimeterd-canary-0", "event": "perimeterd.canary", "payload": {}});
    assert_eq!(bench.post(&forged).await, 202);
    bench
        .until("the forged one is read", async || {
            bench.api("events?state=ignored").await.to_string().contains("did not post")
        })
        .await;
    assert_eq!(bench.api("decisions").await["decisions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_stuck_is_told_with_its_stage() {
    let bench = Bench::start(watched("after = \"0s\"\ncanary = \"300ms\"")).await;
    bench.until("one came through", async || readyz(&bench).await["canary_age"].is_u64()).await;
    // The courier hangs in a call, so nobody takes what was decided.
    bench.sim.add_fault(Fault::new(Target::default(), Kind::Hang { effect: false }));
    let unclear = json!({"id": "evt_u", "event": "group.v2.participants", "payload": {
        "group": {"id": GROUP}, "participants": [{"id": "4915100002001@c.us"}]}});
    assert_eq!(bench.post(&unclear).await, 202);
    let text = told(&bench, "canary").await;
    assert!(text.contains("stuck before `delivered`"), "{text}");
    assert_eq!(readyz(&bench).await["troubles"]["canary"], 1);
    bench.sim.faults().clear();
    told(&bench, "canary_over").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_session_is_told_and_its_rosters_are_read_when_it_is_back() {
    let bench = Bench::start(watched("after = \"0s\"\ncanary = \"0s\"")).await;
    adopted(&bench).await;
    bench.sim.set_status(Status::ScanQrCode);
    let text = told(&bench, "session").await;
    assert!(text.contains("scan the QR code"), "{text}");
    assert_eq!(readyz(&bench).await["sessions"][0]["state"], "SCAN_QR_CODE");
    assert_eq!(bench.metric("perimeterd_session_working{session=\"main\"}").await, 0.0);

    // Somebody comes while nothing is told.
    bench.sim.with(|world| {
        let lid = world.person(person(NEWCOMER));
        world.group_mut(&group()).unwrap().members.insert(lid, Role::Participant);
    });
    let before = rosters(&bench);
    bench.sim.set_status(Status::Working);
    told(&bench, "session_over").await;
    bench.until("they are found", async || bench.removed() == [NEWCOMER]).await;
    assert!(rosters(&bench) > before);
    assert_eq!(readyz(&bench).await["sessions"][0]["state"], "WORKING");
    assert_eq!(alerts(&bench, "session").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_admin_rights_are_told_once_until_they_are_regained() {
    let bench = Bench::start(watched("after = \"0s\"\ncanary = \"0s\"")).await;
    adopted(&bench).await;
    assert!(alerts(&bench, "admin_rights").await.is_empty());
    let (me, other) = (bench.sim.me(), person(NEWCOMER));
    bench.sim.set_role(&group(), me, false, other).await;
    let text = told(&bench, "admin_rights").await;
    assert!(text.starts_with("Club: we are no admin there"), "{text}");
    bench.sim.set_role(&group(), me, true, other).await;
    told(&bench, "admin_rights_over").await;
    assert_eq!(alerts(&bench, "admin_rights").await.len(), 1);
    assert_eq!(readyz(&bench).await["troubles"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_not_registered_any_more_is_told() {
    let mut bench = Bench::prepare(watched("after = \"1s\"\ncanary = \"0s\"")).await;
    let public = [("PERIMETERD__SERVER__PUBLIC_URL", "https://guard.example")];
    bench.spawn_with(&["serve"], &public);
    bench.ready().await;
    let text = told(&bench, "webhook").await;
    assert!(text.contains("https://guard.example/webhooks/main is not among"), "{text}");
    bench.sim.with(|world| {
        let ours = WebhookTarget {
            secret: Some(SECRET.into()),
            ..WebhookTarget::plain("https://guard.example/webhooks/main")
        };
        world.session_mut(0).unwrap().register(&ours);
    });
    told(&bench, "webhook_over").await;
    assert_eq!(alerts(&bench, "webhook").await.len(), 1);
}
