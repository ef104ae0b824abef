//! Who may see what, over real HTTP.

use super::*;
use crate::{
    clock::ManualClock,
    store::{NewEntry, Source, sqlite},
};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// An owner with one list.
struct OneList;

#[async_trait]
impl Owners for OneList {
    fn lists(&self) -> Vec<ListStatus> {
        vec![ListStatus {
            name: "scrapers".into(),
            entries: 3,
            taken_at: None,
            refused: Some("line 3".into()),
            fetched_at: None,
            failing: None,
            shared: None,
        }]
    }
    async fn accept_list(&self, _name: &str) -> Result<String, String> {
        Ok("2 entries".into())
    }
    fn local_list(&self) -> Value {
        json!({"local": []})
    }
    async fn listing(&self, _entry: &str) -> Result<Value, Refusal> {
        Ok(json!({"state": "unlisted"}))
    }
    async fn list_locally(&self, wanted: Vec<local::Wanted>, who: &str) -> Result<Value, Refusal> {
        Ok(json!({"added": wanted.iter().map(|one| json!([one.entry, who])).collect::<Vec<_>>()}))
    }
    async fn unlist_locally(&self, wanted: local::Wanted, _who: &str) -> Result<Value, Refusal> {
        Ok(json!(wanted))
    }
    async fn preview_list(&self, name: &str) -> Result<serde_json::Value, String> {
        Err(format!("`{name}` is no shared list"))
    }
    async fn accept_subscriptions(&self) -> Result<String, String> {
        Err("the file is not there".into())
    }
    async fn subscription(&self, _phone: Phone) -> Lookup<Subscription> {
        Lookup::Unknown { why: "no source".into() }
    }
    async fn push(&self, _phone: Phone, _subscription: Subscription) -> Result<(), String> {
        Ok(())
    }
    async fn sweep(&self, _whom: Whom) -> Result<Option<SweepId>, StoreError> {
        Ok(None)
    }
    fn status(&self) -> Status {
        Status::default()
    }
    async fn limits(&self) -> Vec<CeilingUse> {
        Vec::new()
    }
}

struct Desk {
    address: SocketAddr,
    _home: tempfile::TempDir,
}

impl Desk {
    async fn open(admin_token: Option<&str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let store = sqlite::open(&home.path().join("perimeterd.db"), Arc::clone(&clock)).unwrap();
        let entry = NewEntry {
            session: SessionName::new("main"),
            source: Source::Webhook,
            key: b"main\0evt_1".to_vec(),
            body: "{}".into(),
            received_at: Timestamp(1),
        };
        store.append(vec![entry]).await.unwrap();
        let router = router(Arc::new(Api {
            store: Arc::new(store),
            owners: Arc::new(OneList),
            clock,
            metrics: Arc::default(),
            bell: Arc::default(),
            outbox_bell: tokio::sync::watch::Sender::new(()),
            admin_token: admin_token.map(str::to_owned),
            metrics_public: false,
            time_zone: "UTC".into(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, _home: home }
    }

    /// Status and body of the answer.
    async fn ask(&self, line: &str, token: &str) -> (u16, String) {
        let address = self.address;
        let head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer";
        let request = format!("{line} {head} {token}\r\n\r\n");
        let talk = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
            (answer[9..12].parse().unwrap(), body)
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_opens_what_is_protected() {
    let desk = Desk::open(Some("letmein")).await;
    for path in ["/metrics", "/api/v1/events", "/api/v1/nothing"] {
        assert_eq!(desk.ask(&format!("GET {path}"), "letmeout").await.0, 401, "{path}");
    }
    assert_eq!(desk.ask("GET /metrics", "letmein").await.0, 200);
    assert_eq!(desk.ask("GET /api/v1/nothing", "letmein").await.0, 404);
    assert_eq!(desk.ask("GET /healthz", "").await.0, 200);
    let closed = Desk::open(None).await;
    for path in ["/metrics", "/api/v1/events"] {
        assert_eq!(closed.ask(&format!("GET {path}"), "").await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_that_webhooks_can_be_stored_and_tells_no_texts() {
    let desk = Desk::open(None).await;
    let (status, body) = desk.ask("GET /readyz", "").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""name":"scrapers""#) && body.contains(r#""refused":true"#), "{body}");
    assert!(!body.contains("line 3"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_answers_with_its_rows_or_a_next_step() {
    let desk = Desk::open(Some("letmein")).await;
    for (line, status, part) in [
        ("GET /api/v1/events?limit=5&state=new", 200, r#""id":"e1""#),
        ("GET /api/v1/events?state=sent", 400, r#""next":"use one of: new"#),
        ("GET /api/v1/events?sideways=1", 400, r#""next""#),
        ("GET /api/v1/events/e1", 200, r#""body":"{}""#),
        ("GET /api/v1/events/evt_1", 200, r#""id":"e1""#),
        ("GET /api/v1/events/e2", 404, "there is no event e2"),
        ("POST /api/v1/events/e2/retry", 404, "there is no event e2"),
        ("GET /api/v1/decisions?member=%2B4915112345678", 200, r#""decisions":[]"#),
        ("GET /api/v1/decisions?event=evt_1", 200, r#""decisions":[]"#),
        ("GET /api/v1/decisions/d1", 404, r#""next""#),
        ("GET /api/v1/outbox?state=waiting", 200, r#""outbox":[]"#),
        ("GET /api/v1/alerts", 200, r#""alerts":[]"#),
        ("GET /api/v1/limits", 200, r#""limits":[]"#),
        ("GET /api/v1/blacklist", 200, r#""entries":3"#),
        ("POST /api/v1/blacklist/scrapers/accept", 200, "2 entries"),
        ("POST /api/v1/blacklist/others/accept", 404, "there is no list"),
        ("POST /api/v1/subscriptions/accept", 409, "the file is not there"),
        ("GET /api/v1/subscriptions/4915112345678", 200, r#""phone":"+4915112345678""#),
        ("GET /api/v1/subscriptions/nobody", 400, r#""next""#),
        ("GET /api/v1/explain/evt_1?format=text", 200, "e1  heard by webhook on session main"),
        ("GET /api/v1/explain/%2B4915112345678", 404, "we never met them"),
    ] {
        let (found, body) = desk.ask(line, "letmein").await;
        assert_eq!(found, status, "{line}: {body}");
        assert!(body.contains(part), "{line}: {body}");
    }
}
