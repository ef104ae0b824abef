//! Lists from URLs: fetched by the clock, judged like a file, kept for a start without the network. A server that fails,
//! lies or breaks off never changes whom a list names.

use crate::{
    harness::{Bench, Setup, TOKEN, group, person},
    raw_server::{Answer, RawServer},
};
use perimeterd::simulator::Via;
use serde_json::Value;
use std::sync::{Arc, Mutex};

const LISTED: u64 = 4915100000801;
const OTHER: u64 = 4915100000802;
const HEADER_SECRET: &str = "the-key-of-the-list-of-the-test";

/// What the server answers.
#[derive(Clone, Debug)]
enum Mood {
    /// A list, with its version.
    Serves(String, u32),
    /// A page, calling itself that.
    Page(&'static str),
    Status(u16),
    /// Half of a list, then nothing.
    BreaksOff(String),
    /// Elsewhere, to that path.
    Moved(&'static str),
    /// Nobody is there.
    Gone,
}

impl Mood {
    fn answer(&self, path: &str, head: &str) -> Option<Answer> {
        Some(match self {
            Self::Gone => return None,
            Self::Serves(text, version) => Answer::tagged(head, &format!("v{version}"), text.as_bytes()),
            Self::Page(kind) => {
                Answer::new(200, format!("content-type: {kind}\r\n"), "<html>+4915100000999 is fine</html>")
            }
            Self::Status(status) => Answer::new(*status, "", "+4915100000999\n"),
            Self::BreaksOff(text) => {
                Answer { held_back: 100, ..Answer::new(200, "etag: \"half\"\r\n", text.as_str()) }
            }
            Self::Moved(to) if *to == path => Answer::new(200, "", format!("+{OTHER}\n")),
            Self::Moved(to) => Answer::new(302, format!("location: {to}\r\n"), []),
        })
    }
}

/// A server that publishes a list.
struct Publisher {
    mood: Arc<Mutex<Mood>>,
    server: RawServer,
}

impl Publisher {
    fn start(mood: Mood) -> Self {
        let mood = Arc::new(Mutex::new(mood));
        let shown = mood.clone();
        let server = RawServer::start(move |path, head| shown.lock().unwrap().answer(path, head));
        Self { mood, server }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn count(&self, status: u16) -> usize {
        self.server.asked().iter().filter(|asked| asked.status == status).count()
    }

    fn setup(&self) -> Setup {
        let config_extra = format!(
            "[[blacklists]]\nname = \"web\"\nurl = \"http://127.0.0.1:{}/list.txt\"\nrefresh = \"300ms\"\n\
             headers = {{ X-Key = \"{HEADER_SECRET}\" }}\n",
            self.server.port
        );
        Setup { chain: r#"["blacklist"]"#, config_extra, ..Setup::default() }
    }
}

async fn web(bench: &Bench) -> Value {
    let lists = bench.api("blacklist").await;
    lists["lists"].as_array().unwrap().iter().find(|list| list["name"] == "web").unwrap().clone()
}

async fn has_entries(bench: &Bench, count: u64) {
    bench.until("the list is in force", async || web(bench).await["entries"] == count).await;
}

/// Alerts of that kind.
async fn alerts(bench: &Bench, kind: &str) -> usize {
    let alerts = bench.api("alerts").await;
    alerts["alerts"].as_array().unwrap().iter().filter(|alert| alert["kind"] == kind).count()
}

async fn is_put_out(bench: &Bench, number: u64) {
    bench.sim.join(&group(), &[person(number)], Via::Link).await;
    bench.until("they are out", async || bench.removed().contains(&number)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_from_a_url_survives_a_restart_without_the_network() {
    let publisher = Publisher::start(Mood::Serves(format!("+{LISTED}\n+{OTHER}\n"), 1));
    let mut bench = Bench::start(publisher.setup()).await;
    has_entries(&bench, 2).await;
    is_put_out(&bench, LISTED).await;
    bench.kill();
    publisher.set(Mood::Gone);
    bench.spawn();
    bench.ready().await;
    is_put_out(&bench, OTHER).await;
    bench.until("the failure is told", async || alerts(&bench, "list_source").await == 1).await;
    let told = web(&bench).await;
    assert_eq!(told["entries"], 2, "{told}");
    assert!(told["fetched_at"].is_i64() && told["failing"]["since"].is_i64(), "{told}");
    let ready: Value =
        bench.http.get(format!("{}/readyz", bench.base)).send().await.unwrap().json().await.unwrap();
    assert_eq!(ready["troubles"]["list_source"], 1, "{ready}");
    let asked = publisher.server.asked();
    assert!(asked.iter().all(|asked| asked.head.contains(&format!("x-key: {HEADER_SECRET}"))));
    assert!(asked.iter().all(|asked| asked.head.contains("accept-encoding: gzip")));
    assert!(!bench.log().contains(HEADER_SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_list_costs_a_304() {
    let publisher = Publisher::start(Mood::Serves(format!("+{LISTED}\n"), 1));
    let mut bench = Bench::start(publisher.setup()).await;
    has_entries(&bench, 1).await;
    bench.until("it is asked for again", async || publisher.count(304) >= 2).await;
    assert_eq!(publisher.count(200), 1);
    bench.kill();
    bench.spawn();
    bench.ready().await;
    let before = publisher.count(304);
    bench.until("it is asked for after a restart", async || publisher.count(304) > before).await;
    assert_eq!(publisher.count(200), 1, "a restart remembers which version it has");
    publisher.set(Mood::Serves(format!("+{LISTED}\n+{OTHER}\n"), 2));
    has_entries(&bench, 2).await;
    assert_eq!(publisher.count(200), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_html_is_never_a_list() {
    let publisher = Publisher::start(Mood::Page("text/html; charset=utf-8"));
    let bench = Bench::start(publisher.setup()).await;
    bench.until("the page is told of", async || alerts(&bench, "list_source").await == 1).await;
    bench.sim.join(&group(), &[person(LISTED)], Via::Link).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    assert!(web(&bench).await["refused"].as_str().unwrap().contains("never fetched"));

    publisher.set(Mood::Serves(format!("+{LISTED}\n"), 1));
    bench.until("whom the list names is out", async || bench.removed() == [LISTED]).await;
    bench.until("it is told to be over", async || alerts(&bench, "list_source_over").await == 1).await;
    let broken = [
        Mood::Page("text/plain"),
        Mood::Status(404),
        Mood::Status(500),
        Mood::BreaksOff(format!("+{OTHER}\n")),
    ];
    for mood in broken {
        let text = format!("{mood:?}");
        publisher.set(mood);
        bench.until(&text, async || web(&bench).await["failing"].is_object()).await;
        assert_eq!(web(&bench).await["entries"], 1, "{text}");
        publisher.set(Mood::Serves(format!("+{LISTED}\n"), 1));
        bench.until("it is well again", async || web(&bench).await["failing"].is_null()).await;
    }
    bench.sim.join(&group(), &[person(OTHER)], Via::Link).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [LISTED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_moved_is_followed_and_one_that_shrank_waits_for_accept() {
    let publisher = Publisher::start(Mood::Moved("/elsewhere.txt"));
    let bench = Bench::start(publisher.setup()).await;
    has_entries(&bench, 1).await;
    is_put_out(&bench, OTHER).await;
    publisher.set(Mood::Serves(String::new(), 7));
    bench.until("the empty list waits", async || web(&bench).await["refused"].is_string()).await;
    let told = web(&bench).await;
    assert!(told["refused"].as_str().unwrap().contains("perimeterd blacklist accept web"), "{told}");
    assert_eq!((&told["entries"], told["failing"].is_null()), (&Value::from(1), true), "{told}");
    let url = format!("{}/api/v1/blacklist/web/accept", bench.base);
    let accepted = bench.http.post(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(accepted.status().as_u16(), 200);
    assert_eq!(web(&bench).await["entries"], 0);
}
