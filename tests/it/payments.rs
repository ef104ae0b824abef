//! What payment providers push, through the front door: signed, durable, in any order, and of effect at once.

use crate::harness::{Bench, FAST_LIMITS, Setup, group, person};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use perimeterd::{
    clock::{Clock, SystemClock},
    simulator::Via,
};
use serde_json::{Value, json};
use sha2::Sha256;

const MEMBER: u64 = 4915100000702;
const OLD_KEY: &str = "whsec_the-old-one-of-the-test";
const NEW_KEY: &str = "whsec_the-new-one-of-the-test";
const SHOP_KEY: &str = "the-secret-of-the-shop";

const PROVIDERS: &str = r#"
[[payments]]
name = "stripe"
kind = "stripe"
secret = ["whsec_the-new-one-of-the-test", "whsec_the-old-one-of-the-test"]
[[payments]]
name = "shop"
kind = "woocommerce"
secret = "the-secret-of-the-shop"
"#;

fn now() -> i64 {
    SystemClock::new().now().as_millis() / 1000
}

fn tag(key: &str, parts: &[&str]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().to_vec()
}

fn signed(key: &str, time: i64, body: &str) -> String {
    format!("t={time},v1={}", hex::encode(tag(key, &[&time.to_string(), ".", body])))
}

/// Posts to a provider's address; the status and what is said.
async fn post(bench: &Bench, path: &str, headers: &[(&str, String)], body: String) -> (u16, Value) {
    let mut request = bench.http.post(format!("{}/payments/{path}", bench.base)).body(body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Posts an event as Stripe does; what it came to.
async fn stripe(bench: &Bench, event: &Value) -> String {
    let body = event.to_string();
    let signature = signed(NEW_KEY, now(), &body);
    let (status, answer) = post(bench, "stripe", &[("Stripe-Signature", signature)], body).await;
    assert_eq!(status, 200, "{answer}");
    answer["status"].as_str().unwrap().to_owned()
}

/// A subscription event of `customer`, told at second `at`, paid for a month from now.
fn event(id: &str, kind: &str, at: i64, status: &str, metadata: Value) -> Value {
    json!({
        "id": id, "object": "event", "type": format!("customer.subscription.{kind}"), "created": at,
        "data": {"object": {
            "id": "sub_1", "object": "subscription", "status": status, "customer": "cus_1", "metadata": metadata,
            "ended_at": (status == "canceled").then_some(at),
            "items": {"data": [{"current_period_end": now() + 30 * 86400, "price": {"lookup_key": "gold"}}]},
        }}
    })
}

fn phone_of_member() -> Value {
    json!({"phone": format!("+{MEMBER}")})
}

/// What is known of a subscription: its status, or why nothing is.
async fn known(bench: &Bench, number: u64) -> String {
    let told = bench.api(&format!("subscriptions/+{number}")).await;
    let told = &told["subscription"];
    let status = told["known"]["value"]["status"].as_str();
    status.unwrap_or(told["unknown"]["why"].as_str().unwrap_or_default()).to_owned()
}

fn setup(more: &str) -> Setup {
    Setup { chain: r#"["subscribers"]"#, config_extra: format!("{more}\n{PROVIDERS}"), ..Setup::default() }
}

const ONLY_PUSHED: &str = "[subscriptions]\nsource = \"pushed\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_payment_spares_whoever_waits_to_be_removed() {
    let limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/6s"]"#);
    let bench = Bench::start(Setup { limits, ..setup("") }).await;
    // Neither is in the file; the first takes the only place of the ceiling, the other waits.
    bench.sim.join(&group(), &[person(MEMBER - 2), person(MEMBER)], Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [MEMBER - 2]).await;
    assert_eq!(stripe(&bench, &event("evt_1", "created", now(), "active", phone_of_member())).await, "taken");
    bench
        .until("the other is spared", async || {
            let cancelled = bench.rows("cancelled").await;
            cancelled.iter().any(|row| row["call"]["call"] == "remove")
        })
        .await;
    bench.settled().await;
    assert_eq!(bench.removed(), [MEMBER - 2]);
    let line = r#"perimeterd_payments_total{provider="stripe",outcome="taken"}"#;
    assert_eq!(bench.metric(line).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_rightly_signed_is_taken() {
    let bench = Bench::start(setup(ONLY_PUSHED)).await;
    let body = event("evt_1", "created", now(), "active", phone_of_member()).to_string();
    let stale = now() - 301;
    let header = |value: String| vec![("Stripe-Signature", value)];
    for (path, headers, expected) in [
        ("stripe", vec![], 401),
        ("stripe", header(String::new()), 401),
        ("stripe", header(signed("guessed", now(), &body)), 401),
        ("stripe", header(signed(NEW_KEY, now(), "{}")), 401),
        ("stripe", header(signed(NEW_KEY, stale, &body)), 401),
        (
            "stripe",
            header(signed(NEW_KEY, stale, &body).replace(&stale.to_string(), &now().to_string())),
            401,
        ),
        ("shop", vec![("X-WC-Webhook-Signature", BASE64_STANDARD.encode(tag(OLD_KEY, &[&body])))], 401),
        ("paypal", header(signed(NEW_KEY, now(), &body)), 404),
    ] {
        let (status, answer) = post(&bench, path, &headers, body.clone()).await;
        assert_eq!(status, expected, "{path} {headers:?} {answer}");
    }
    assert_eq!(known(&bench, MEMBER).await, "nothing was pushed about them yet");
    // A secret that is being replaced is right for as long as it is listed.
    let old = header(signed(OLD_KEY, now(), &body));
    assert_eq!(post(&bench, "stripe", &old, body).await, (200, json!({"status": "taken"})));
    assert_eq!(known(&bench, MEMBER).await, "active");
    let (status, answer) =
        post(&bench, "stripe", &header(signed(NEW_KEY, now(), "what?")), "what?".into()).await;
    assert_eq!((status, &answer["status"]), (200, &json!("unreadable")));
    let log = bench.log();
    assert!(log.contains("clock"), "a signature of another time is told: {log}");
    assert!(![OLD_KEY, NEW_KEY, SHOP_KEY].iter().any(|key| log.contains(key)));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_what_was_answered_is_known_and_old_news_change_nothing() {
    let mut bench = Bench::start(setup(ONLY_PUSHED)).await;
    let at = now();
    let updated = event("evt_2", "updated", at, "active", phone_of_member());
    assert_eq!(stripe(&bench, &updated).await, "taken");
    bench.kill();
    bench.spawn();
    bench.ready().await;
    assert_eq!(known(&bench, MEMBER).await, "active");
    assert_eq!(stripe(&bench, &updated).await, "repeat");
    // Made in the same second and told later: it was not paid yet then.
    assert_eq!(stripe(&bench, &event("evt_1", "created", at, "incomplete", json!({}))).await, "nothing_new");
    assert_eq!(
        stripe(&bench, &event("evt_0", "updated", at - 5, "canceled", json!({}))).await,
        "nothing_new"
    );
    assert_eq!(known(&bench, MEMBER).await, "active");
    assert_eq!(stripe(&bench, &event("evt_3", "deleted", at + 1, "canceled", json!({}))).await, "taken");
    assert_eq!(known(&bench, MEMBER).await, "canceled");
    assert_eq!(stripe(&bench, &updated).await, "repeat");
    assert_eq!(known(&bench, MEMBER).await, "canceled");
    // Another subscription of theirs, whatever becomes of the first.
    let mut second = event("evt_4", "created", at - 60, "trialing", phone_of_member());
    second["data"]["object"]["id"] = "sub_2".into();
    assert_eq!(stripe(&bench, &second).await, "taken");
    assert_eq!(known(&bench, MEMBER).await, "trialing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_a_phone_waits_for_one_and_is_told_once() {
    let bench = Bench::start(setup(ONLY_PUSHED)).await;
    let at = now();
    assert_eq!(stripe(&bench, &event("evt_1", "created", at, "incomplete", json!({}))).await, "nobody");
    assert_eq!(stripe(&bench, &event("evt_2", "updated", at, "active", json!({}))).await, "nobody");
    let alerts = async || {
        let alerts = bench.api("alerts").await["alerts"].as_array().unwrap().clone();
        alerts.into_iter().filter(|alert| alert["kind"] == "payments").collect::<Vec<_>>()
    };
    let told = alerts().await;
    assert_eq!((told.len(), &told[0]["count"]), (1, &json!(1)), "{told:?}");
    assert_eq!(bench.metric(r#"perimeterd_payments_total{provider="stripe",outcome="nobody"}"#).await, 2.0);
    let customer = |id: &str, at: i64, number: u64| {
        let phone = format!("+{number}");
        json!({"id": id, "type": "customer.updated", "created": at,
               "data": {"object": {"id": "cus_1", "object": "customer", "phone": phone}}})
    };
    assert_eq!(stripe(&bench, &customer("evt_3", at + 1, MEMBER)).await, "taken");
    assert_eq!(known(&bench, MEMBER).await, "active");
    // They have another number now.
    assert_eq!(stripe(&bench, &customer("evt_4", at + 2, MEMBER + 2)).await, "taken");
    assert_eq!(known(&bench, MEMBER + 2).await, "active");
    assert_eq!(known(&bench, MEMBER).await, "nothing was pushed about them yet");
    assert_eq!(alerts().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_a_provider_that_nobody_knows_is_unknown_and_one_alert() {
    let bench = Bench::start(setup(ONLY_PUSHED)).await;
    let words = [("evt_1", "gilded"), ("evt_2", "gilded"), ("evt_3", "platinum-plated")];
    for (at, (id, word)) in (now()..).zip(words) {
        assert_eq!(stripe(&bench, &event(id, "updated", at, word, phone_of_member())).await, "taken");
    }
    bench.sim.join(&group(), &[person(MEMBER)], Via::Link).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    let alerts = bench.api("alerts").await["alerts"].take();
    let of = |word: &str| {
        let word = format!("`{word}`");
        let told = alerts.as_array().unwrap().iter();
        let told = told.filter(|alert| alert["text"].as_str().unwrap().contains(&word));
        told.map(|alert| alert["count"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("gilded"), of("platinum-plated")), (vec![1], vec![1]), "{alerts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_but_pushes_nobody_is_unpaid_who_was_never_told_of() {
    let bench = Bench::start(setup(ONLY_PUSHED)).await;
    stripe(&bench, &event("evt_1", "deleted", now(), "canceled", phone_of_member())).await;
    bench.sim.join(&group(), &[person(MEMBER + 2), person(MEMBER)], Via::Link).await;
    bench.until("whoever ended it is out", async || bench.removed() == [MEMBER]).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [MEMBER], "unknown is not unpaid");
    assert_eq!(known(&bench, MEMBER + 2).await, "nothing was pushed about them yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_tells_its_subscriptions() {
    let bench = Bench::start(setup(ONLY_PUSHED)).await;
    let shop = async |body: String| {
        let signature = BASE64_STANDARD.encode(tag(SHOP_KEY, &[&body]));
        let (status, answer) = post(&bench, "shop", &[("X-WC-Webhook-Signature", signature)], body).await;
        assert_eq!(status, 200, "{answer}");
        answer["status"].as_str().unwrap().to_owned()
    };
    // How a shop tries out a new address, unsigned.
    assert_eq!(post(&bench, "shop", &[], "webhook_id=12".into()).await.0, 200);
    let subscription = |modified: &str, status: &str| {
        json!({"id": 1042, "status": status, "billing_period": "month", "date_modified_gmt": modified,
               "next_payment_date_gmt": "2099-11-30T10:00:00", "end_date_gmt": "",
               "billing": {"phone": "0151 00000702", "country": "DE"}, "line_items": [{"name": "Club"}]})
        .to_string()
    };
    assert_eq!(shop(subscription("2026-10-31T10:00:05", "active")).await, "taken");
    assert_eq!(known(&bench, MEMBER).await, "active");
    assert_eq!(shop(subscription("2026-10-31T10:00:05", "active")).await, "repeat");
    assert_eq!(shop(subscription("2026-10-31T09:00:00", "cancelled")).await, "nothing_new");
    assert_eq!(shop(json!({"id": 7, "status": "completed", "billing": {}}).to_string()).await, "ignored");
    assert_eq!(known(&bench, MEMBER).await, "active");
    assert_eq!(shop(json!({"id": 1042}).to_string()).await, "taken");
    assert_eq!(known(&bench, MEMBER).await, "canceled");
}
