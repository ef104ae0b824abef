//! Operators are told: an incident is one message in their chat and one signed post, and neither is lost or doubled.

use crate::harness::{Bench, GROUP, Setup, group, person};
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use hmac::{Hmac, KeyInit, Mac};
use perimeterd::{
    ids::GroupId,
    simulator::{Addressing, Role, Via},
};
use serde_json::Value;
use sha2::Sha256;
use std::sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering};

const OPERATORS: &str = "120364000000000009@g.us";
const KEY: &str = "the-alerts-secret-of-the-test";

/// The operators' receiver: it keeps what it got, and answers 500 as long as it is told to.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    fails: Arc<AtomicBool>,
}

impl Receiver {
    async fn serve(&self) -> String {
        let take = async |State(me): State<Receiver>, headers: HeaderMap, body: Bytes| {
            me.got.lock().unwrap().push((headers, body));
            if me.fails.load(Ordering::SeqCst) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
        };
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/hook")
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// The bodies, in order; every signature is right.
    fn bodies(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        let read = |(headers, body): &(HeaderMap, Bytes)| {
            let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
            mac.update(body);
            let right = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
            assert_eq!(headers["x-perimeterd-signature"], right);
            serde_json::from_slice(body).unwrap()
        };
        got.iter().map(read).collect()
    }
}

const BRITTLE: &str = r#"fn on_join(member, group) {
    if member.is_blacklisted { alert(`${member.phone} came back`); return; }
    let phone = member.phone;
    if phone != () && phone.starts_with("+49151000003") { throw `cannot bear ${phone}`; }
}
"#;

const SCRAPER: u64 = 4915100000399;

async fn bench(receiver: &Receiver, chat: &str) -> Bench {
    let url = receiver.serve().await;
    let bench = Bench::prepare(Setup {
        chain: r#"["brittle"]"#,
        policies: vec![("brittle.rhai", BRITTLE.into())],
        blacklist: format!("+{SCRAPER}\n"),
        config_extra: format!(
            "[alerts]\nchat = \"{chat}\"\nurl = \"{url}\"\nsecret = \"{KEY}\"\nwindow = \"3s\"\n"
        ),
        ..Setup::default()
    })
    .await;
    let operators = GroupId::parse(OPERATORS).unwrap();
    bench.sim.add_group(&operators, "Operators", Addressing::Phone, Role::Admin);
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_errors_are_one_message_and_one_signed_post_and_another_kind_is_another() {
    let receiver = Receiver::default();
    let mut bench = bench(&receiver, OPERATORS).await;
    bench.spawn();
    bench.ready().await;
    let raid: Vec<_> = (0..50).map(|n| person(4915100000300 + n)).collect();
    bench.sim.join(&group(), &raid, Via::Link).await;
    bench.sim.join(&group(), &[person(SCRAPER)], Via::Link).await;
    bench.until("both kinds are posted", async || receiver.count() >= 2).await;
    bench.until("both kinds are said", async || bench.texts(OPERATORS).len() >= 2).await;
    bench.settled().await;

    let texts = bench.texts(OPERATORS);
    assert_eq!(texts.len(), 2, "{texts:?}");
    let errors = texts.iter().find(|text| text.contains("policy error")).unwrap();
    assert!(errors.contains("(50 times)") && errors.contains("brittle.rhai:4"), "{errors}");
    assert!(!errors.contains("49151000003"), "a full number: {errors}");
    assert!(texts.iter().any(|text| text.contains("came back")), "{texts:?}");
    assert!(bench.texts(GROUP).is_empty(), "members read nothing of it");

    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    let errors = bodies.iter().find(|body| body["kind"] == "policy_error").unwrap();
    assert_eq!((&errors["count"], &errors["follow_up"]), (&Value::from(50), &Value::from(false)));
    assert_eq!(errors["lines"].as_array().unwrap().len(), 1, "{errors}");
    assert!(!errors.to_string().contains("49151000003"), "a full number: {errors}");
    let (status, rows, _) = bench.run(&["outbox", "list"]);
    assert!(status.success() && rows.contains("say"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_are_to_be_told_survives_a_500_and_kill_9() {
    let receiver = Receiver::default();
    let mut bench = bench(&receiver, "+4915100000777").await;
    receiver.fails.store(true, Ordering::SeqCst);
    bench.spawn();
    bench.ready().await;
    bench.sim.join(&group(), &[person(4915100000301)], Via::Link).await;
    bench.until("it was posted in vain", async || receiver.count() >= 2).await;
    bench.until("it is said", async || !bench.texts("4915100000777@c.us").is_empty()).await;
    bench.settled().await;
    bench.kill();
    let before = receiver.count();
    receiver.fails.store(false, Ordering::SeqCst);
    bench.spawn();
    bench.ready().await;
    bench.until("it is posted", async || receiver.count() > before).await;
    bench.settled().await;
    let bodies = receiver.bodies();
    assert!(bodies.iter().all(|body| body == &bodies[0]), "each attempt is the same post: {bodies:?}");
    assert_eq!(bench.texts("4915100000777@c.us").len(), 1, "nothing is said twice");
    let (_, rows, _) = bench.run(&["explain", "+4915100000777"]);
    assert!(!rows.contains("error"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_a_chat_that_members_read() {
    let receiver = Receiver::default();
    let bench = bench(&receiver, GROUP).await;
    let (_, told, _) = bench.run(&["check"]);
    assert!(told.contains("[[groups]] club guards"), "{told}");
}
