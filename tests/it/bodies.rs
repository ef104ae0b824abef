//! Bodies that nobody should send: each gets its answer, what was stored is shown, and the daemon goes on as before.

use crate::harness::{Bench, GROUP, SECRET, Setup, group, person};
use perimeterd::simulator::{Via, webhook};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

const OFFENDER: u64 = 4915100000501;

fn setup() -> Setup {
    let bouncer = "fn on_join(member, group) { member.remove(\"not here\"); }\n";
    Setup { chain: r#"["bouncer"]"#, policies: vec![("bouncer.rhai", bouncer.into())], ..Setup::default() }
}

/// A join by hand, in the documented dialect.
fn join(id: &str, participant: &str) -> Value {
    json!({
        "id": id, "event": "group.v2.participants", "session": "main", "timestamp": 1_790_000_000_000u64,
        "payload": {"type": "join", "group": {"id": GROUP}, "participants": [{"id": participant, "role": "participant"}]},
        "me": {"id": "447700900001@c.us"}
    })
}

/// An honest join is still acted on.
async fn assert_unharmed(bench: &Bench) {
    let ready = bench.http.get(format!("{}/readyz", bench.base)).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    bench.sim.join(&group(), &[person(OFFENDER)], Via::Link).await;
    bench.until("a join is acted on", async || bench.removed().contains(&OFFENDER)).await;
    bench.settled().await;
}

async fn unreadable(bench: &Bench) -> Vec<Value> {
    let list = bench.api("events?state=unreadable&limit=1000").await;
    list["events"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_kept_and_shown() {
    let bench = Bench::start(setup()).await;
    let deep = 200_000;
    let in_payload = format!(
        r#"{{"id":"evt_deep","event":"group.v2.join","payload":{}{}}}"#,
        "[".repeat(deep),
        "]".repeat(deep)
    );
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("white space", b" \n ".to_vec()),
        ("no JSON", b"hello".to_vec()),
        ("half a JSON", br#"{"id":"evt_half","event":"group.v2.join","pay"#.to_vec()),
        ("not UTF-8", b"{\"id\":\"evt_\xff\xfe\",\"event\":\"group.v2.join\"}".to_vec()),
        ("zero bytes", vec![0; 64]),
        ("a number", b"17".to_vec()),
        ("null", b"null".to_vec()),
        ("a text", br#""group.v2.join""#.to_vec()),
        ("an empty list", b"[]".to_vec()),
        ("an open list", b"[{},".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("no payload", br#"{"id":"evt_1","event":"group.v2.join"}"#.to_vec()),
        ("a wrong payload", br#"{"id":"evt_2","event":"group.v2.join","payload":[1,2]}"#.to_vec()),
        ("wrong people", join("evt_3", "nobody").to_string().into_bytes()),
        ("deep lists", "[".repeat(deep).into_bytes()),
        ("deep objects", "{\"a\":".repeat(deep).into_bytes()),
        ("a deep payload", in_payload.into_bytes()),
    ];
    for (name, body) in &bodies {
        assert_eq!(bench.post_bytes(body.clone()).await, 202, "{name}");
        assert_eq!(bench.post_bytes(body.clone()).await, 202, "{name}, again");
    }
    bench.until("all are read", async || bench.metric("perimeterd_journal_unread ").await == 0.0).await;
    assert_unharmed(&bench).await;

    let kept = unreadable(&bench).await;
    assert_eq!(kept.len(), bodies.len(), "each once: {kept:#?}");
    assert!(kept.iter().all(|event| !event["note"].as_str().unwrap_or_default().is_empty()), "{kept:#?}");
    let counted = bench.metric(r#"perimeterd_entries_total{outcome="unreadable"}"#).await;
    assert_eq!(counted, f64::from(u32::try_from(bodies.len()).unwrap()));
    let half = kept.iter().find(|event| event["bytes"] == bodies[3].1.len()).unwrap();
    let whole = bench.api(&format!("events/{}", half["id"].as_str().unwrap())).await;
    assert_eq!(whole["body"].as_str().unwrap().as_bytes(), bodies[3].1, "the bytes as they came");
    let (status, listed, _) = bench.run(&["journal", "--state", "unreadable", "--limit", "100"]);
    assert!(status.success());
    assert_eq!(listed.matches("unreadable").count(), bodies.len(), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_events_is_stored_one_by_one_and_a_bad_one_spoils_no_other() {
    let bench = Bench::start(setup()).await;
    bench.sim.seat(
        &group(),
        &[person(OFFENDER + 1), person(OFFENDER + 2)],
        perimeterd::simulator::Role::Participant,
    );
    let list = json!([
        join("evt_a", &format!("{}@c.us", OFFENDER + 1)),
        17,
        join("evt_b", &format!("{}@c.us", OFFENDER + 2)),
    ]);
    assert_eq!(bench.post(&list).await, 202);
    assert_eq!(bench.post(&list[2]).await, 202, "a repeat");
    bench.until("both are out", async || bench.removed().len() == 2).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [OFFENDER + 1, OFFENDER + 2]);
    assert_eq!(unreadable(&bench).await.len(), 1);
    assert_unharmed(&bench).await;
}

/// Speaks HTTP by hand; answers the status line, empty if the line was closed.
fn raw(bench: &Bench, parts: &[&[u8]], hang_up: bool) -> String {
    let address = bench.base.trim_start_matches("http://");
    let mut line = TcpStream::connect(address).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for part in parts {
        // The other side may have answered and closed already.
        if line.write_all(part).is_err() {
            break;
        }
    }
    if hang_up {
        let _ = line.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(2).any(|two| two == b"\r\n") {
        match line.read(&mut buffer) {
            Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_and_truncated_bodies_are_refused_and_leave_nothing_behind() {
    let bench = Bench::start(setup()).await;
    let five_mib = vec![b' '; 5 << 20];
    assert_eq!(bench.post_bytes(five_mib.clone()).await, 413);
    let head = format!("POST /webhooks/main?secret={SECRET} HTTP/1.1\r\nHost: guard\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", five_mib.len());
    let told = raw(&bench, &[chunked.as_bytes(), &five_mib, b"\r\n0\r\n\r\n"], false);
    assert!(told.contains("413"), "{told}");
    let claimed = format!("{head}Content-Length: 1000\r\n\r\n{{\"id\":\"evt_cut\"");
    let told = raw(&bench, &[claimed.as_bytes()], true);
    assert!(told.is_empty() || told.contains("400"), "{told}");
    let told = raw(&bench, &[b"\x16\x03\x01 no HTTP at all\r\n\r\n"], true);
    assert!(told.is_empty() || told.contains("400"), "{told}");
    assert_unharmed(&bench).await;
    assert!(unreadable(&bench).await.is_empty());
    assert_eq!(bench.metric(r#"perimeterd_events_total{source="webhook",outcome="too_large"}"#).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_and_methods_and_proofs_have_their_answers() {
    let bench = Bench::start(setup()).await;
    let body = join("evt_x", &format!("{}@c.us", OFFENDER + 9)).to_string();
    let ask = async |method: &str, path: &str, header: Option<(&str, &str)>| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = bench.http.request(method, format!("{}{path}", bench.base)).body(body.clone());
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for (method, path, header, expected) in [
        ("POST", "/webhooks/main", None, 401),
        ("POST", "/webhooks/main?secret=", None, 401),
        ("POST", "/webhooks/main?secret=wrong", None, 401),
        ("POST", "/webhooks/main", Some(("x-webhook-secret", "wrong")), 401),
        ("POST", "/webhooks/main", Some(("authorization", "Bearer wrong")), 401),
        ("POST", "/webhooks/other?secret=wrong", None, 404),
        ("POST", "/webhooks/", None, 404),
        ("POST", "/webhooks", None, 404),
        ("POST", "/webhooks/main/more?secret=x", None, 404),
        ("GET", "/webhooks/main?secret=wrong", None, 405),
        ("PUT", "/webhooks/main?secret=wrong", None, 405),
        ("POST", "/healthz", None, 405),
        ("GET", "/nothing", None, 404),
        ("GET", "/api/v1/events", None, 401),
        ("GET", "/metrics", None, 401),
        ("GET", "/api/v1/events", Some(("authorization", "Bearer wrong")), 401),
        ("POST", "/webhooks/main", Some(("x-webhook-secret", SECRET)), 202),
    ] {
        assert_eq!(ask(method, path, header).await, expected, "{method} {path} {header:?}");
    }
    assert_unharmed(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_sessions_take_what_is_signed_and_nothing_else() {
    let sessions = r#"
[[sessions]]
name = "signed"
instance_id = "B1B2C3D4E5F6"
access_token = "another-access-token"
hmac = { key = "the-key-of-sha512" }
[[sessions]]
name = "short"
instance_id = "C1B2C3D4E5F6"
access_token = "a-third-access-token"
webhook_secret = "both-are-asked-for"
hmac = { key = "the-key-of-sha256", header = "X-Hub-Signature-256", algorithm = "sha256" }
"#;
    let bench = Bench::start(Setup { config_extra: sessions.into(), ..setup() }).await;
    let body = join("evt_s", &format!("{}@c.us", OFFENDER + 9)).to_string();
    let long = webhook::signature("the-key-of-sha512", webhook::Algorithm::Sha512, body.as_bytes());
    let short = webhook::signature("the-key-of-sha256", webhook::Algorithm::Sha256, body.as_bytes());
    let post = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = bench.http.post(format!("{}/webhooks/{path}", bench.base)).body(body.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let prefixed = format!("sha256={short}");
    let (own, other) = ("X-Webhook-Hmac", "X-Hub-Signature-256");
    assert_eq!(post("signed", &[(own, &long)]).await, 202);
    assert_eq!(post("signed", &[(own, &format!("sha512={long}"))]).await, 202);
    assert_eq!(post("short?secret=both-are-asked-for", &[(other, &prefixed)]).await, 202);
    assert_eq!(post("short?secret=both-are-asked-for", &[(other, &short.to_uppercase())]).await, 202);
    for (path, headers) in [
        ("signed", vec![]),
        ("signed", vec![(own, &*short)]),
        ("signed", vec![(own, "")]),
        ("signed", vec![(other, &*long)]),
        ("signed", vec![(own, &*short), ("X-Webhook-Hmac-Algorithm", "sha256")]),
        ("short", vec![(other, &*prefixed)]),
        ("short?secret=both-are-asked-for", vec![]),
        ("short?secret=both-are-asked-for", vec![(other, &*long)]),
        ("short?secret=wrong", vec![(other, &*prefixed)]),
    ] {
        assert_eq!(post(path, &headers).await, 401, "{path} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_without_proof_is_slowed_down_and_authentic_posts_never_are() {
    let bench = Bench::start(setup()).await;
    let wrong = format!("{}/webhooks/main?secret=guess", bench.base);
    let mut answers = Vec::new();
    for n in 0..60 {
        let answer = bench.http.post(&wrong).body("x".repeat(1000)).send().await.unwrap();
        if answer.status().as_u16() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
        }
        answers.push(answer.status().as_u16());
        if n % 10 == 9 {
            let event = join(&format!("evt_{n}"), &format!("{}@c.us", OFFENDER + 100 + n));
            assert_eq!(bench.post(&event).await, 202, "authentic, from the same address");
        }
    }
    assert_eq!(answers[0], 401);
    assert!(answers.iter().filter(|status| **status == 429).count() >= 20, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 401 | 429)), "{answers:?}");
    assert!(bench.metric(r#"perimeterd_events_total{source="webhook",outcome="limited"}"#).await >= 20.0);
    bench.settled().await;
    assert_unharmed(&bench).await;
}
