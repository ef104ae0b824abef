//! The client against a real server on the loopback: what stands on the wire, and what becomes of silence.

use super::*;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method as HttpMethod, StatusCode, Uri},
    response::IntoResponse,
};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const TOKEN: &str = "tok/en+secret=42";
const INSTANCE: &str = "A1B2C3D4E5F6";

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Heard {
    line: String,
    query: String,
    token: String,
    body: String,
}

type Answer = fn(&str) -> (StatusCode, Vec<(&'static str, String)>, String);

#[derive(Clone)]
struct Gateway {
    heard: Arc<Mutex<Vec<Heard>>>,
    answer: Answer,
}

async fn serve(
    State(gateway): State<Gateway>,
    method: HttpMethod,
    uri: Uri,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let token =
        headers.get("access-token").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    gateway.heard.lock().unwrap().push(Heard {
        line: format!("{method} {}", uri.path()),
        query: uri.query().unwrap_or_default().to_owned(),
        token,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let (status, headers, body) = (gateway.answer)(uri.path());
    let headers: axum::http::HeaderMap =
        headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    (status, headers, body)
}

async fn gateway(answer: Answer) -> (Client, Arc<Mutex<Vec<Heard>>>) {
    let heard = Arc::default();
    let gateway = Gateway { heard: Arc::clone(&heard), answer };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        async move { axum::serve(listener, Router::new().fallback(serve).with_state(gateway)).await },
    );
    (client(&format!("http://{address}/"), Duration::from_secs(20)), heard)
}

fn client(base_url: &str, timeout: Duration) -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new(Arc::new(http_client()), base_url, timeout, INSTANCE, TOKEN)
}

fn group() -> GroupId {
    GroupId::parse("120363000000000001@g.us").unwrap()
}

fn ok(body: &str) -> (StatusCode, Vec<(&'static str, String)>, String) {
    (StatusCode::OK, Vec::new(), body.to_owned())
}

/// Accepts connections, reads a request from each and answers with these bytes before it closes them.
async fn raw_gateway(answer: &'static [u8]) -> (Client, Arc<Mutex<u32>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                *count.lock().unwrap() += 1;
            }
            let _ = stream.write_all(answer).await;
        }
    });
    (client(&format!("http://{address}"), Duration::from_secs(20)), requests)
}

#[tokio::test]
async fn calls_stand_on_the_wire_as_the_vendor_documents_them() {
    let (client, heard) = gateway(|path| {
        ok(match path {
            path if path.ends_with("/revoke") => "\"https://chat.whatsapp.com/NewCode\"",
            path if path.ends_with("/messages-admin-only") => r#"{"adminsOnly":true}"#,
            path if path.ends_with("/remove") => r#"{"status":200}"#,
            _ => "{}",
        })
    })
    .await;
    client.remove(&group(), "77@lid").await.unwrap();
    client.send_text("4915112345678@c.us", "hello", &[]).await.unwrap();
    client.send_text(group().as_str(), "@77", &["77@lid".into()]).await.unwrap();
    client.announce_only(&group(), true).await.unwrap();
    assert!(client.announce_state(&group()).await.unwrap());
    assert_eq!(client.revoke_invite(&group()).await.unwrap(), "NewCode");

    let heard = heard.lock().unwrap().clone();
    let at = "/v2/groups/120363000000000001%40g.us";
    let expected = [
        (format!("POST {at}/participants/remove"), r#"{"participants":[{"id":"77@lid"}]}"#),
        ("POST /v2/send/text".into(), r#"{"chatId":"4915112345678@c.us","message":"hello"}"#),
        (
            "POST /v2/send/text".into(),
            r#"{"chatId":"120363000000000001@g.us","mentions":["77@lid"],"message":"@77"}"#,
        ),
        (format!("PUT {at}/settings/security/messages-admin-only"), r#"{"adminsOnly":true}"#),
        (format!("GET {at}/settings/security/messages-admin-only"), ""),
        (format!("POST {at}/invite-code/revoke"), ""),
    ];
    assert_eq!(heard.len(), expected.len());
    for (heard, (line, body)) in heard.iter().zip(expected) {
        assert_eq!((heard.line.as_str(), heard.body.as_str()), (line.as_str(), body));
        assert_eq!(heard.query, "instance_id=A1B2C3D4E5F6&access_token=tok%2Fen%2Bsecret%3D42");
        assert_eq!(heard.token, TOKEN);
    }
}

#[tokio::test]
async fn groups_lids_and_ourselves_are_read_in_any_engines_shape() {
    let (client, _) = gateway(|path| {
        ok(match path {
            "/v2/session/me" => {
                r#"{"id":"4930111000111:3@s.whatsapp.net","lid":"55501@lid","pushName":"Guard"}"#
            }
            "/v2/lids/77%40lid" => r#"{"lid":"77@lid","pn":"4915112345678@c.us"}"#,
            "/v2/lids/78%40lid" => r#"{"lid":"78@lid","pn":null}"#,
            path if path.ends_with("/participants/v2") => {
                r#"[{"id":"77@lid","pn":null,"role":"superadmin"}]"#
            }
            _ => {
                r#"{"JID":"120363000000000001@g.us","Name":"Club","OwnerJID":"77@lid","IsAnnounce":true,
                    "Participants":[{"JID":"77@lid","IsAdmin":true,"IsSuperAdmin":true}]}"#
            }
        })
    })
    .await;
    let me = client.me().await.unwrap();
    assert_eq!((me.person.jid().as_str(), me.person.lid), ("4930111000111@c.us", Lid::parse("55501@lid")));
    assert_eq!(client.phone_of(Lid::from_u64(77)).await.unwrap(), Phone::parse("4915112345678"));
    assert_eq!(client.phone_of(Lid::from_u64(78)).await.unwrap(), None);
    let told = client.group(&group()).await.unwrap();
    assert_eq!((told.subject.as_deref(), told.announce_only), (Some("Club"), Some(true)));
    assert_eq!(told.participants.unwrap().len(), 1);
    assert_eq!(client.roster(&group()).await.unwrap()[0].jid, "77@lid");
}

/// A hundred full groups, as an engine tells them with everybody in them: 25 MB.
#[tokio::test]
async fn the_groups_of_a_large_community_are_listed_whoever_is_told_with_them() {
    let (client, _) = gateway(|_| {
        let member = |n: u64| {
            format!(
                r#"{{"JID":"{0}@lid","PhoneNumber":"{1}@s.whatsapp.net","LID":"{0}@lid","IsAdmin":false,
                    "IsSuperAdmin":false,"DisplayName":"","Error":0,"AddRequest":null,
                    "profile":"https://pps.whatsapp.net/v/t61.24694-24/{0}_{1}_n.jpg"}}"#,
                77_000_000_000_000 + n,
                4_915_100_000_000 + n
            )
        };
        let group = |n: u64| {
            let members: Vec<String> = (n * 1000..(n + 1) * 1000).map(member).collect();
            format!(r#"{{"JID":"12036300000000{n:04}@g.us","Participants":[{}]}}"#, members.join(","))
        };
        ok(&format!("[{}]", (0..100).map(group).collect::<Vec<_>>().join(",")))
    })
    .await;
    let groups = client.groups().await.unwrap();
    assert_eq!(groups.len(), 100);
    assert_eq!(groups[99].as_str(), "120363000000000099@g.us");
}

#[tokio::test]
async fn without_the_new_roster_route_the_next_call_takes_the_plain_one() {
    let (client, heard) = gateway(|path| match path.ends_with("/v2") {
        true => (StatusCode::NOT_FOUND, Vec::new(), r#"{"message":"Cannot GET /v2/…"}"#.into()),
        false => ok(r#"[{"JID":"77@lid","PhoneNumber":"4915112345678@s.whatsapp.net","IsAdmin":false}]"#),
    })
    .await;
    let first = client.roster(&group()).await.unwrap_err();
    assert!(matches!(first, CallError::Transient { retry_after: Some(Duration::ZERO), .. }), "{first}");
    assert_eq!(client.roster(&group()).await.unwrap()[0].person.phone, Phone::parse("4915112345678"));
    assert_eq!(heard.lock().unwrap().len(), 2, "one request a call");
}

#[tokio::test]
async fn a_missing_group_is_not_taken_for_a_missing_route() {
    let (client, heard) =
        gateway(|_| (StatusCode::NOT_FOUND, Vec::new(), r#"{"message":"item-not-found"}"#.into())).await;
    assert_eq!(client.roster(&group()).await.unwrap_err().name(), "transient");
    assert_eq!(client.roster(&group()).await.unwrap_err().name(), "refused");
    assert_eq!(client.roster(&group()).await.unwrap_err().name(), "transient");
    let heard = heard.lock().unwrap();
    let routes: Vec<_> = heard.iter().map(|heard| heard.line.ends_with("/v2")).collect();
    assert_eq!(routes, [true, false, true]);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_unknown_for_a_write_and_transient_for_a_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Nobody accepts: the kernel takes the connection and the request, and no answer ever comes.
    let client = client(&format!("http://{}", listener.local_addr().unwrap()), Duration::from_millis(100));
    assert_eq!(client.remove(&group(), "77@lid").await.unwrap_err().name(), "unknown");
    assert_eq!(client.send_text("77@lid", "hello", &[]).await.unwrap_err().name(), "unknown");
    assert_eq!(client.roster(&group()).await.unwrap_err().name(), "transient");
}

#[tokio::test]
async fn a_dropped_connection_is_unknown_and_the_request_is_not_repeated() {
    let (client, requests) = raw_gateway(b"").await;
    assert_eq!(client.send_text("77@lid", "hello", &[]).await.unwrap_err().name(), "unknown");
    assert_eq!(*requests.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_proves_nothing_but_an_error_status_still_counts() {
    let (client, _) = raw_gateway(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"status\":200}").await;
    assert_eq!(client.remove(&group(), "77@lid").await.unwrap_err().name(), "unknown");
    let (client, _) = raw_gateway(b"HTTP/1.1 401 No\r\ncontent-length: 99\r\n\r\n{").await;
    assert_eq!(client.remove(&group(), "77@lid").await.unwrap_err().name(), "fatal");
}

#[tokio::test]
async fn a_connection_that_was_never_established_may_be_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = client(&format!("http://{address}"), Duration::from_secs(20));
    assert_eq!(refused.send_text("77@lid", "hello", &[]).await.unwrap_err().name(), "transient");
    let nowhere = client("http://no-such-host.invalid", Duration::from_secs(20));
    assert_eq!(nowhere.remove(&group(), "77@lid").await.unwrap_err().name(), "transient");
    let malformed = client("not a url", Duration::from_secs(20));
    assert_eq!(malformed.remove(&group(), "77@lid").await.unwrap_err().name(), "fatal");
}

#[tokio::test]
async fn redirects_are_not_followed_with_our_credentials() {
    let (client, heard) =
        gateway(|_| (StatusCode::TEMPORARY_REDIRECT, vec![("location", "/elsewhere".into())], String::new()))
            .await;
    assert_eq!(client.remove(&group(), "77@lid").await.unwrap_err().name(), "fatal");
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn retry_after_reaches_the_caller() {
    let (client, _) =
        gateway(|_| (StatusCode::TOO_MANY_REQUESTS, vec![("retry-after", "7".into())], "slow down".into()))
            .await;
    let error = client.group(&group()).await.unwrap_err();
    assert!(
        matches!(error, CallError::SlowDown { retry_after: Some(wait), .. } if wait == Duration::from_secs(7)),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_longer_than_the_cap_is_not_read_to_its_end() {
    let (client, _) = gateway(|_| ok(&format!("[{}]", "1,".repeat(LONG)))).await;
    let error = client.roster(&group()).await.unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[tokio::test]
async fn no_error_shows_the_token_the_instance_or_a_full_number() {
    let (echoing, _) = gateway(|path| {
        let text = format!(
            "cannot {path}?instance_id={INSTANCE}&access_token=tok%2Fen%2Bsecret%3D42 of {INSTANCE} with {TOKEN} for 4915112345678@c.us"
        );
        let status = if path.ends_with("remove") { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        (status, Vec::new(), json!({"error": "bad", "message": text}).to_string())
    })
    .await;
    let refused = client("http://127.0.0.1:1", Duration::from_secs(5));
    for error in [
        echoing.remove(&group(), "77@lid").await.unwrap_err(),
        echoing.send_text("77@lid", "hello", &[]).await.unwrap_err(),
        echoing.roster(&group()).await.unwrap_err(),
        refused.remove(&group(), "4915112345678@c.us").await.unwrap_err(),
    ] {
        let shown = format!("{error} {error:?}");
        for secret in [TOKEN, INSTANCE, "tok%2F", "4915112345678", "120363000000000001"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert!(!format!("{echoing:?}").contains("secret=42"));
}
