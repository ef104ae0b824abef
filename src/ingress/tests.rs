//! The way in over real HTTP, into a real store.

use super::*;
use crate::{
    clock::{ManualClock, Timestamp},
    store::{Filter, sqlite},
};
use bytes::Bytes;
use std::net::SocketAddr;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

struct Door {
    address: SocketAddr,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    _home: tempfile::TempDir,
}

const CONFIG: &str = r#"
[server]
max_body = "1KiB"
[[sessions]]
name = "main"
instance_id = "A1B2C3D4E5F6"
access_token = "token"
webhook_secret = "s3cret"
"#;

impl Door {
    async fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = config::parse(CONFIG.into(), &home.path().join("perimeterd.toml"), []).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let store: Arc<dyn Store> =
            Arc::new(sqlite::open(&home.path().join("perimeterd.db"), Arc::clone(&clock)).unwrap());
        let metrics = Arc::new(Metrics::new());
        let ingress = Ingress::new(
            &config,
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::default(),
            Arc::clone(&metrics),
            Arc::new(Pulse::new(clock, [])),
        )
        .unwrap();
        let service = router(Arc::new(ingress)).into_make_service_with_connect_info::<SocketAddr>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, store, metrics, _home: home }
    }

    /// The status of the answer to these bytes.
    async fn raw(&self, request: String) -> u16 {
        let address = self.address;
        let talk = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> u16 {
        let length = body.len();
        self.raw(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")).await
    }

    async fn bodies(&self) -> Vec<Bytes> {
        let mut entries = self.store.entries(Filter::default()).await.unwrap();
        entries.reverse();
        entries.into_iter().map(|entry| entry.body).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentic_post_is_stored_whatever_it_says() {
    let door = Door::open().await;
    let path = "/webhooks/main?secret=s3cret";
    let event = r#"{"id":"evt_1"}"#;
    for body in [event, event, r#"[{"id":"evt_2"},{"id":"evt_1"}]"#, "not json", ""] {
        assert_eq!(door.post(path, body).await, 202, "{body}");
    }
    let expected: [&str; 4] = [event, r#"{"id":"evt_2"}"#, "not json", ""];
    assert_eq!(door.bodies().await, expected);
    let numbers = door.metrics.render();
    assert!(numbers.contains(r#"events_total{source="webhook",outcome="stored"} 4"#), "{numbers}");
    assert!(numbers.contains(r#"events_total{source="webhook",outcome="repeat"} 2"#), "{numbers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_bound_is_refused_with_and_without_a_length() {
    let door = Door::open().await;
    let body = "x".repeat(1025);
    assert_eq!(door.post("/webhooks/main?secret=s3cret", &body).await, 413);
    let chunked = |bytes: usize| {
        let chunk = "x".repeat(bytes / 2);
        let head =
            "POST /webhooks/main?secret=s3cret HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let size = chunk.len();
        format!("{head}{size:x}\r\n{chunk}\r\n{size:x}\r\n{chunk}\r\n0\r\n\r\n")
    };
    assert_eq!(door.raw(chunked(1026)).await, 413);
    assert_eq!(door.raw(chunked(1024)).await, 202);
    assert_eq!(door.bodies().await, ["x".repeat(1024)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_failures_is_limited_and_authentic_posts_are_not() {
    let door = Door::open().await;
    for _ in 0..10 {
        assert_eq!(door.post("/webhooks/main?secret=wrong", "{}").await, 401);
        assert_eq!(door.post("/webhooks/other?secret=s3cret", "{}").await, 404);
    }
    assert_eq!(door.post("/webhooks/main", "{}").await, 429);
    assert_eq!(door.post("/webhooks/other", "{}").await, 429);
    assert_eq!(door.post("/webhooks/main?secret=s3cret", "{}").await, 202);
    assert_eq!(door.bodies().await, ["{}"]);
}
