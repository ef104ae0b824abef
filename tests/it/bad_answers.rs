//! Every way in which an HTTP source can answer with something else than who pays: unknown, nobody is removed, and the
//! operators hear of it once.

use crate::harness::{Bench, Setup, group, person};
use axum::{Router, extract::Query, routing::get};
use perimeterd::simulator::Via;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const FIRST: u64 = 4_915_100_000_700;
const NONE: &str = r#"{"status":"none"}"#;

/// What is sent to a question, byte by byte, and then.
#[derive(Clone, Debug)]
enum Then {
    /// The connection is closed.
    Closes,
    /// These bytes again and again.
    GoesOn(&'static [u8]),
    /// A byte now and then.
    Drips,
}

/// What is answered about whom.
type Answers = HashMap<u64, (Vec<u8>, Then)>;

/// A server that says exactly what it is told to, whether that is HTTP or not.
#[derive(Clone, Default)]
struct Source {
    answers: Arc<Mutex<Answers>>,
    /// The heads of all requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Source {
    async fn start() -> (Self, u16) {
        let source = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = source.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (source, port)
    }

    /// What is answered about somebody from now on.
    fn says(&self, number: u64, answer: impl Into<Vec<u8>>, then: Then) {
        self.answers.lock().unwrap().insert(number, (answer.into(), then));
    }

    /// Who was asked about, in order.
    fn asked(&self) -> Vec<u64> {
        let heads = self.asked.lock().unwrap();
        heads.iter().filter_map(|head| number_in(head)).collect()
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let number = number_in(&head);
        self.asked.lock().unwrap().push(head);
        let answer = number.and_then(|number| self.answers.lock().unwrap().get(&number).cloned());
        let (bytes, then) = answer.unwrap_or_else(|| (as_json(r#"{"status":"active"}"#), Then::Closes));
        stream.write_all(&bytes).await.ok()?;
        match then {
            Then::Closes => stream.shutdown().await.ok(),
            Then::GoesOn(more) => loop {
                stream.write_all(more).await.ok()?;
            },
            Then::Drips => loop {
                stream.write_all(b" ").await.ok()?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            },
        }
    }
}

fn number_in(head: &str) -> Option<u64> {
    let path = head.split_whitespace().nth(1)?;
    path.rsplit("%2B").next()?.parse().ok()
}

/// An answer with its length.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

const AS_JSON: &str = "Content-Type: application/json\r\n";

fn as_json(body: &str) -> Vec<u8> {
    answer("200 OK", AS_JSON, body.as_bytes())
}

/// A megabyte for each kilobyte.
fn bomb() -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b' '; 64 * 1024 * 1024]).unwrap();
    packed.finish().unwrap()
}

fn setup(port: u16, more: &str) -> Setup {
    Setup {
        chain: r#"["subscribers"]"#,
        config_extra: format!(
            "[subscriptions]\nsource = \"http\"\nurl = \"http://127.0.0.1:{port}/members/{{phone}}\"\ntimeout = \"1s\"\n\
             headers = {{ Authorization = \"Bearer of-the-test\" }}\ncache_ttl = \"1h\"\nnegative_ttl = \"1s\"\n{more}\n"
        ),
        ..Setup::default()
    }
}

async fn subscription(bench: &Bench, number: u64) -> Value {
    bench.api(&format!("subscriptions/+{number}")).await["subscription"].take()
}

async fn why(bench: &Bench, number: u64) -> String {
    let answer = subscription(bench, number).await;
    answer["unknown"]["why"].as_str().map_or_else(|| answer.to_string(), str::to_owned)
}

async fn alerts(bench: &Bench, kind: &str) -> u64 {
    bench.metric(&format!("perimeterd_alerts_total{{kind=\"{kind}\"}}")).await as u64
}

async fn judged(bench: &Bench) -> usize {
    let decisions = bench.api("decisions?limit=1000").await["decisions"].take();
    decisions.as_array().unwrap().iter().filter(|decision| decision["state"] == "decided").count()
}

/// Somebody comes and is judged.
async fn come_in(bench: &Bench, numbers: &[u64]) {
    let before = judged(bench).await;
    let people: Vec<_> = numbers.iter().copied().map(person).collect();
    bench.sim.join(&group(), &people, Via::Link).await;
    bench.until("they are judged", async || judged(bench).await >= before + numbers.len()).await;
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_about_the_person_puts_nobody_out() {
    let (source, port) = Source::start().await;
    let (elsewhere, other_port) = Source::start().await;
    let redirect = format!("Location: http://127.0.0.1:{other_port}/members/%2B{FIRST}\r\n{AS_JSON}");
    let gzip = format!("{AS_JSON}Content-Encoding: gzip\r\n");
    let chunked = format!("HTTP/1.1 200 OK\r\n{AS_JSON}Transfer-Encoding: chunked\r\n\r\n");
    let endless = format!("HTTP/1.1 200 OK\r\n{AS_JSON}\r\n");
    let cases: Vec<(&str, Vec<u8>, Then, &str)> = vec![
        (
            "a page",
            answer("200 OK", "Content-Type: text/html\r\n", b"<h1>Log in</h1>"),
            Then::Closes,
            "text/html",
        ),
        (
            "as a page",
            answer("200 OK", "Content-Type: text/html\r\n", NONE.as_bytes()),
            Then::Closes,
            "text/html",
        ),
        ("as nothing", answer("200 OK", "", NONE.as_bytes()), Then::Closes, "no content type"),
        ("null", as_json("null"), Then::Closes, "without a status"),
        ("an array", as_json("[]"), Then::Closes, "without a status"),
        ("an empty object", as_json("{}"), Then::Closes, "without a status"),
        ("a null status", as_json(r#"{"status":null}"#), Then::Closes, "without a status"),
        ("an empty status", as_json(r#"{"status":""}"#), Then::Closes, "without a status"),
        ("a word", as_json(r#""none""#), Then::Closes, "without a status"),
        ("no time", as_json(r#"{"status":"canceled","expires_at":"soon"}"#), Then::Closes, "cannot be read"),
        (
            "somebody else",
            as_json(r#"{"status":"none","phone":"0049 151 99999999"}"#),
            Then::Closes,
            "another person",
        ),
        (
            "a number of somebody",
            as_json(r#"{"status":"none","phone":4915199999999}"#),
            Then::Closes,
            "another person",
        ),
        (
            "a national number of somebody",
            as_json(r#"{"status":"none","phone":"0151 99999999"}"#),
            Then::Closes,
            "another person",
        ),
        ("half of it", as_json(r#"{"status":"none""#), Then::Closes, "something else than JSON"),
        (
            "Latin-1",
            answer("200 OK", AS_JSON, b"{\"status\":\"none\",\"plan\":\"\xe9\"}"),
            Then::Closes,
            "something else",
        ),
        ("nothing", answer("204 No Content", "", b""), Then::Closes, "no content type"),
        (
            "no such page",
            answer("404 Not Found", "Content-Type: text/html\r\n", b"<h1>?</h1>"),
            Then::Closes,
            "404",
        ),
        ("a wrong number", answer("400 Bad Request", AS_JSON, NONE.as_bytes()), Then::Closes, "400"),
        ("not packed", answer("200 OK", &gzip, NONE.as_bytes()), Then::Closes, "broke off"),
        ("a bomb", answer("200 OK", &gzip, &bomb()), Then::Closes, "more than"),
        ("without an end", endless.clone().into(), Then::GoesOn(b"          "), "more than"),
        ("a drip", endless.into(), Then::Drips, "in time"),
        ("broken off", format!("{chunked}5\r\n{{\"sta").into(), Then::Closes, "broke off"),
        (
            "shorter than said",
            answer("200 OK", AS_JSON, NONE.as_bytes())[..90].into(),
            Then::Closes,
            "broke off",
        ),
        ("no HTTP", b"220 mail.example ESMTP\r\n".to_vec(), Then::Closes, "broke off"),
        ("elsewhere", answer("302 Found", &redirect, NONE.as_bytes()), Then::Closes, "302"),
        (
            "for good",
            answer("308 Permanent Redirect", &redirect, NONE.as_bytes()),
            Then::Closes,
            "final address",
        ),
        (
            "without rights",
            answer("403 Forbidden", AS_JSON, NONE.as_bytes()),
            Then::Closes,
            "check the secret",
        ),
    ];
    let bench = Bench::start(setup(port, "")).await;
    for (number, (what, bytes, then, expected)) in (FIRST..).zip(&cases) {
        source.says(number, bytes.clone(), then.clone());
        // A source that failed is left alone for a moment.
        let mut told = String::new();
        bench
            .until(&format!("{what} is unknown: {expected}"), async || {
                told = why(&bench, number).await;
                !told.contains("failed a moment ago")
            })
            .await;
        assert!(told.contains(expected), "{what}: {told}");
    }
    let numbers: Vec<u64> = (FIRST..).take(cases.len()).collect();
    come_in(&bench, &numbers).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    assert!(elsewhere.asked().is_empty(), "a redirect was followed");
    let authorized = source.asked.lock().unwrap().iter().all(|head| head.contains("Bearer of-the-test"));
    assert!(authorized && !bench.log().contains("of-the-test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spelled_otherwise_is_understood() {
    let (source, port) = Source::start().await;
    let bench =
        Bench::start(setup(port, "status_map = { \"true\" = \"active\", \"2\" = \"canceled\" }")).await;
    for (number, body, expected) in [
        (FIRST, r#"{"status":"active","phone":"0049 151 00000700"}"#.to_owned(), "active"),
        (FIRST + 1, format!(r#"{{"status":"active","phone":{}}}"#, FIRST + 1), "active"),
        (FIRST + 2, r#"{"status":" Active ","phone":"0151 / 00000-702"}"#.into(), "active"),
        (FIRST + 3, r#"{"status":true}"#.into(), "active"),
        (FIRST + 4, r#"{"status":2}"#.into(), "canceled"),
    ] {
        source.says(number, as_json(&body), Then::Closes);
        let told = subscription(&bench, number).await;
        assert_eq!(told["known"]["value"]["status"], expected, "{body}: {told}");
    }
    // What has no end is written in many ways; none of them is 1970.
    for (number, end) in (FIRST + 10..).zip(["0", "null", "\"\"", "\"0\"", "\"0000-00-00 00:00:00\""]) {
        source.says(number, as_json(&format!(r#"{{"status":"active","expires_at":{end}}}"#)), Then::Closes);
        let told = subscription(&bench, number).await;
        assert_eq!(told["known"]["value"]["expires_at"], Value::Null, "{end}: {told}");
    }
    for (number, end) in
        (FIRST + 20..).zip(["1801440000", "\"1801440000\"", "1801440000.5", "\"2027-01-31\""])
    {
        source.says(number, as_json(&format!(r#"{{"status":"active","expires_at":{end}}}"#)), Then::Closes);
        let told = subscription(&bench, number).await;
        assert_eq!(told["known"]["value"]["expires_at"], 1_801_440_000_000_u64, "{end}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_there_is_no_empty_list() {
    let (source, port) = Source::start().await;
    let bench = Bench::start(setup(port, "pointers = { people = \"\", phone = \"/phone\" }")).await;
    // What a shop says whose plugin for subscriptions is switched off.
    let missing = r#"{"code":"rest_no_route","data":{"status":404}}"#;
    source.says(FIRST, answer("404 Not Found", AS_JSON, missing.as_bytes()), Then::Closes);
    source.says(FIRST + 1, as_json("[]"), Then::Closes);
    come_in(&bench, &[FIRST, FIRST + 1]).await;
    bench.until("who is not on the list is out", async || bench.removed() == [FIRST + 1]).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [FIRST + 1]);
    assert!(why(&bench, FIRST).await.contains("404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_request_for_several_nobody_is_put_out_for_what_is_said_of_another() {
    // Each is told to be somebody else, by a side that mixes its records up.
    let mixed = |Query(asked): Query<HashMap<String, String>>| async move {
        let told = json!({"status": "none", "phone": format!("+{}", FIRST + 90)});
        let phones = asked["phones"].split(',').map(|phone| (phone.to_owned(), told.clone()));
        axum::Json(Value::Object(phones.collect()))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/several", get(mixed));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let several = format!("batch_url = \"http://127.0.0.1:{port}/several?phones={{phones}}\"");
    let bench = Bench::start(setup(port, &several)).await;
    let numbers: Vec<u64> = (FIRST..FIRST + 5).collect();
    come_in(&bench, &numbers).await;
    bench.settled().await;
    let decisions = bench.api("decisions?limit=1000").await.to_string();
    assert!(decisions.contains("answered for another person"), "{decisions}");
    assert!(bench.removed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broken_record_is_one_alert_however_many_others_are_asked_about() {
    let (source, port) = Source::start().await;
    let broken = FIRST;
    source.says(broken, as_json(r#"{"status":"canceled","expires_at":"soon"}"#), Then::Closes);
    let mut bench = Bench::start(setup(port, "")).await;
    come_in(&bench, &[broken]).await;
    bench.until("the operators are told", async || alerts(&bench, "subscriptions").await == 1).await;
    for n in 1..4 {
        come_in(&bench, &[FIRST + n]).await;
        bench.settled().await;
    }
    let of_broken = source.asked().into_iter().filter(|number| *number == broken).count();
    // With each of the others it was asked about again; by itself it is, ever less often.
    assert!(of_broken <= 3, "{of_broken} times");
    assert_eq!((alerts(&bench, "subscriptions").await, alerts(&bench, "subscriptions_over").await), (1, 0));
    // Nor does a restart tell it again.
    bench.kill();
    bench.spawn();
    bench.ready().await;
    come_in(&bench, &[FIRST + 4]).await;
    assert!(why(&bench, broken).await.contains("cannot be read"));
    bench.settled().await;
    assert!(bench.removed().is_empty());
    source.says(broken, as_json(NONE), Then::Closes);
    bench.until("it is mended", async || bench.removed() == [broken]).await;
    bench.until("and that is told", async || alerts(&bench, "subscriptions_over").await == 1).await;
    let kept = bench.api("alerts").await["alerts"].take();
    let told = kept.as_array().unwrap().iter().filter(|alert| alert["kind"] == "subscriptions");
    assert_eq!(told.map(|alert| alert["count"].as_u64().unwrap()).sum::<u64>(), 1, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_wants_to_be_left_alone_is() {
    let (source, port) = Source::start().await;
    let busy = answer("429 Too Many Requests", "Retry-After: 120\r\n", b"");
    for number in FIRST..FIRST + 10 {
        source.says(number, busy.clone(), Then::Closes);
    }
    let bench = Bench::start(setup(port, "")).await;
    come_in(&bench, &[FIRST]).await;
    // By then it would long have been asked again.
    bench.until("the operators are told", async || alerts(&bench, "subscriptions").await == 1).await;
    come_in(&bench, &[FIRST + 1, FIRST + 2]).await;
    assert!(why(&bench, FIRST + 3).await.contains("failed a moment ago"));
    assert_eq!(source.asked(), [FIRST]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_word_in_the_file_is_one_alert_until_it_is_mended() {
    let row = |status: &str| {
        format!("phone,status,plan,expires_at\n+{FIRST},{status},,\n+{},{status},,\n", FIRST + 1)
    };
    let subscriptions = row("platinum-plated").split_once('\n').unwrap().1.to_owned();
    let setup = Setup { chain: r#"["subscribers"]"#, subscriptions, ..Setup::default() };
    let bench = Bench::start(setup).await;
    bench.until("the word is told", async || alerts(&bench, "status_word").await == 1).await;
    come_in(&bench, &[FIRST, FIRST + 1]).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    bench.write("subscriptions.csv", &row("canceled"));
    bench.until("it is over", async || alerts(&bench, "status_word_over").await == 1).await;
    bench.until("they are judged", async || bench.removed().len() == 2).await;
    assert_eq!(alerts(&bench, "status_word").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_word_is_one_alert_and_over_once_it_is_named() {
    let (source, port) = Source::start().await;
    for number in FIRST..FIRST + 4 {
        let word = if number < FIRST + 3 { "platinum-plated" } else { "gold" };
        source.says(number, as_json(&format!(r#"{{"status":"{word}"}}"#)), Then::Closes);
    }
    let mut bench = Bench::start(setup(port, "")).await;
    let words = async |bench: &Bench| alerts(bench, "status_word").await;
    come_in(&bench, &[FIRST, FIRST + 1]).await;
    bench.until("the word is told", async || words(&bench).await == 1).await;
    come_in(&bench, &[FIRST + 2, FIRST + 3]).await;
    bench.until("the other word, too", async || words(&bench).await == 2).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    let told = bench.api("alerts").await.to_string();
    assert!(told.contains("`platinum-plated`") && told.contains("status_map"), "{told}");
    bench.kill();
    let config = bench.read("perimeterd.toml");
    bench.write("perimeterd.toml", &format!("{config}\nstatus_map = {{ gold = \"active\" }}\n"));
    bench.spawn();
    bench.ready().await;
    bench.until("one of them is over", async || alerts(&bench, "status_word_over").await == 1).await;
    assert!(why(&bench, FIRST).await.contains("name it in `status_map`"));
    come_in(&bench, &[FIRST + 4]).await;
    bench.settled().await;
    assert_eq!(
        (words(&bench).await, alerts(&bench, "status_word_over").await),
        (0, 1),
        "a restart tells nothing twice"
    );
}
