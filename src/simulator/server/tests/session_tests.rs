//! The routes that concern a session itself.

use super::Scene;
use crate::simulator::{
    Options, WebhookTarget,
    session::{RateLimits, RatePolicy, Status},
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn webhooks_are_listed_replaced_and_for_payers_only() {
    let webhook = Some(WebhookTarget::plain("http://127.0.0.1:1/webhooks/{session}"));
    let scene = Scene::set(Options { webhook, ..Options::default() }).await;
    let shown = scene.get("session/webhook").await;
    assert_eq!(shown["webhooks"][0]["url"], "http://127.0.0.1:1/webhooks/main");
    assert!(shown["webhooks"][0]["events"].as_array().unwrap().contains(&json!("group.v2.participants")));
    assert_eq!(shown["systemConfig"], json!({"webhooks": []}));
    scene.post("session/webhook", json!({"webhooks": []})).await;
    assert_eq!(scene.get("session/webhook").await["webhooks"], json!([]));
    scene.sim.with(|world| world.session_mut(0).unwrap().free_plan = true);
    let (status, body) = scene.post("session/webhook", json!({"webhooks": []})).await;
    assert_eq!((status.as_u16(), &body["code"]), (403, &json!("subscription_required")));
}

#[tokio::test]
async fn the_rate_limit_is_told_forbidden_or_missing() {
    let scene = Scene::set(Options::default()).await;
    let set = |limits| scene.sim.with(|world| world.session_mut(0).unwrap().rate_limits = limits);
    let status = async || scene.send(Method::GET, "session/rate-limit", None).await.unwrap().status();
    assert_eq!(status().await, 404);
    set(RateLimits::Forbidden);
    assert_eq!(status().await, 403);
    set(RateLimits::Told(RatePolicy {
        send_message_per_minute: Some(20),
        group_daily_cap: Some(300),
        ..RatePolicy::default()
    }));
    let told = scene.get("session/rate-limit").await;
    assert_eq!((&told["policy_slug"], &told["policies"][0]["slug"]), (&json!("strict"), &json!("strict")));
    assert_eq!(told["policies"][0]["group_daily_cap"], 300);
    assert_eq!(told["policies"][0].get("check_daily_cap"), None);
}

#[tokio::test]
async fn a_session_that_is_away_tells_its_state_and_can_be_started() {
    let scene = Scene::set(Options::default()).await;
    scene.sim.set_status(Status::ScanQrCode);
    let info = scene.get("session/info").await;
    assert_eq!((&info["status"], &info["me"]), (&json!("SCAN_QR_CODE"), &Value::Null));
    let (status, body) = scene.remove("447700900101@c.us").await;
    assert_eq!((status.as_u16(), &body["status"]), (422, &json!("SCAN_QR_CODE")));
    scene.post("session/restart", json!({})).await;
    assert_eq!(scene.post("session/info", json!({})).await.1["me"]["id"], "447700900001@c.us");
    assert_eq!(scene.remove("447700900101@c.us").await.0, 200);
}
