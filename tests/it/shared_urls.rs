//! Shared lists from URLs: the document and its signature are two files of a server that may have one of them only, an old
//! one, or none. Nobody is ever named by a document whose signature did not come with it.

use crate::{
    harness::{Bench, Setup, group, person},
    raw_server::{Answer, RawServer},
    shared_lists::Publisher,
};
use perimeterd::simulator::Via;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex},
};

const LISTED: u64 = 4_915_100_001_901;
const OTHER: u64 = 4_915_100_001_902;
const HEADER_SECRET: &str = "the-key-of-the-shared-list-of-the-test";

/// A server with files, each with a version.
struct Web {
    /// By path; none at all: it hangs up.
    files: Arc<Mutex<BTreeMap<&'static str, Vec<u8>>>>,
    server: RawServer,
}

const LIST: &str = "/lists/eu.list";
const SIGNATURE: &str = "/lists/eu.list.minisig";

impl Web {
    fn start() -> Self {
        let files: Arc<Mutex<BTreeMap<&'static str, Vec<u8>>>> = Arc::default();
        let served = files.clone();
        let server = RawServer::start(move |path, head| {
            let files = served.lock().unwrap();
            if files.is_empty() {
                return None;
            }
            let Some(bytes) = files.get(path) else { return Some(Answer::new(404, "", [])) };
            let sum = bytes.iter().fold(7u64, |sum, b| sum.wrapping_mul(31) ^ u64::from(*b));
            Some(Answer::tagged(head, &format!("{sum:x}"), bytes))
        });
        Self { files, server }
    }

    fn put(&self, files: &[Vec<u8>; 2]) {
        *self.files.lock().unwrap() = [LIST, SIGNATURE].into_iter().zip(files.iter().cloned()).collect();
    }

    fn put_one(&self, path: &'static str, bytes: &[u8]) {
        self.files.lock().unwrap().insert(path, bytes.to_vec());
    }

    fn goes_away(&self) {
        self.files.lock().unwrap().clear();
    }

    /// Answers of that status for that path so far.
    fn count(&self, path: &str, status: u16) -> usize {
        let asked = self.server.asked();
        asked.iter().filter(|asked| (asked.path.as_str(), asked.status) == (path, status)).count()
    }

    fn setup(&self, publisher: &Publisher) -> Setup {
        let config_extra = format!(
            "[[shared_lists]]\nname = \"eu\"\nurl = \"http://127.0.0.1:{}{LIST}?who=us\"\nrefresh = \"1s\"\ntrust = \"ask\"\n\
             headers = {{ X-Key = \"{HEADER_SECRET}\" }}\npublic_key = \"{}\"\n",
            self.server.port, publisher.public_key
        );
        Setup { chain: r#"["blacklist"]"#, config_extra, ..Setup::default() }
    }
}

async fn eu(bench: &Bench) -> Value {
    let lists = bench.api("blacklist").await;
    lists["lists"].as_array().unwrap().iter().find(|list| list["name"] == "eu").unwrap().clone()
}

async fn has_version(bench: &Bench, version: u64) {
    bench.until("the version is in force", async || eu(bench).await["shared"]["version"] == version).await;
}

/// Texts of alerts of that kind.
async fn alerts(bench: &Bench, kind: &str) -> Vec<String> {
    let alerts = bench.api("alerts").await;
    let alerts = alerts["alerts"].as_array().unwrap().iter().filter(|alert| alert["kind"] == kind);
    alerts.map(|alert| alert["text"].as_str().unwrap().to_owned()).collect()
}

/// Numbers whose removals are held.
async fn held(bench: &Bench) -> BTreeSet<u64> {
    let rows = bench.rows("held").await;
    rows.iter().map(|row| row["jid"].as_str().unwrap().split('@').next().unwrap().parse().unwrap()).collect()
}

async fn is_held(bench: &Bench, number: u64) {
    bench.sim.join(&group(), &[person(number)], Via::Link).await;
    bench.until("the removal is held", async || held(bench).await.contains(&number)).await;
}

/// Two versions of a list, the second one naming one more.
fn two_versions(publisher: &Publisher) -> [[Vec<u8>; 2]; 2] {
    publisher.publish([LISTED], &[]);
    let first = publisher.files();
    publisher.publish([LISTED, OTHER], &[]);
    [first, publisher.files()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_list_from_a_url_is_fetched_when_it_changed_and_kept_for_a_start_without_the_network() {
    let (publisher, web) = (Publisher::new(), Web::start());
    let [first, second] = two_versions(&publisher);
    web.put(&first);
    let mut bench = Bench::start(web.setup(&publisher)).await;
    has_version(&bench, 1).await;
    is_held(&bench, LISTED).await;
    let unchanged = async || web.count(LIST, 304) >= 2 && web.count(SIGNATURE, 304) >= 2;
    bench.until("it is asked for again", unchanged).await;
    assert_eq!((web.count(LIST, 200), web.count(SIGNATURE, 200)), (1, 1));
    bench.kill();
    bench.spawn();
    bench.ready().await;
    let before = web.count(SIGNATURE, 304);
    bench.until("it is asked for after a restart", async || web.count(SIGNATURE, 304) > before).await;
    assert_eq!((web.count(LIST, 200), web.count(SIGNATURE, 200)), (1, 1), "a restart remembers what it has");
    web.put(&second);
    has_version(&bench, 2).await;

    bench.kill();
    web.goes_away();
    bench.spawn();
    bench.ready().await;
    is_held(&bench, OTHER).await;
    let failure = async || alerts(&bench, "list_source").await.len() == 1;
    bench.until("the failure is told", failure).await;
    let told = eu(&bench).await;
    assert_eq!((&told["shared"]["version"], &told["refused"]), (&Value::from(2), &Value::Null), "{told}");
    assert!(told["fetched_at"].is_i64() && told["failing"]["since"].is_i64(), "{told}");
    let (code, said, why) = bench.run(&["blacklist", "list"]);
    assert!(code.success() && said.contains("fetched"), "{said}{why}");
    web.put(&second);
    bench.until("it is over", async || alerts(&bench, "list_source_over").await.len() == 1).await;
    assert_eq!(alerts(&bench, "refused").await, Vec::<String>::new());
    let asked = web.server.asked();
    for needed in [&format!("x-key: {HEADER_SECRET}"), "accept-encoding: gzip", "?who=us"] {
        assert!(asked.iter().all(|asked| asked.head.contains(needed)), "{needed}");
    }
    assert!(!bench.log().contains(HEADER_SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_comes_late_is_waited_for_without_a_word() {
    let (publisher, web) = (Publisher::new(), Web::start());
    let [first, second] = two_versions(&publisher);
    web.put_one(LIST, &first[0]);
    let bench = Bench::start(web.setup(&publisher)).await;
    bench.until("it is told", async || alerts(&bench, "list_source").await.len() == 1).await;
    let told = alerts(&bench, "list_source").await;
    assert!(
        told[0].starts_with("shared list eu cannot be fetched: its signature: 127.0.0.1 answered 404"),
        "{told:?}"
    );
    assert!(eu(&bench).await["refused"].as_str().unwrap().contains("never fetched"));
    let (code, said, _) = bench.run(&["check"]);
    assert!(!code.success() && said.contains("refuses an edit of eu"), "{said}");
    assert!(
        !said.contains("shared list eu"),
        "what was never fetched is nothing that could be looked at: {said}"
    );
    web.put_one(SIGNATURE, &first[1]);
    has_version(&bench, 1).await;

    for (path, early, late) in [(LIST, 0, 1), (SIGNATURE, 1, 0)] {
        web.put(&first);
        let before = web.count(path, 200);
        web.put_one(path, &second[early]);
        bench.until("it was looked at", async || web.count(path, 200) > before).await;
        assert_eq!(eu(&bench).await["shared"]["version"], 1);
        if late == 1 {
            web.put(&first);
            let before = web.count(LIST, 304);
            bench.until("all is as it was", async || web.count(LIST, 304) > before).await;
        }
    }
    web.put_one(LIST, &second[0]);
    has_version(&bench, 2).await;
    is_held(&bench, OTHER).await;
    assert_eq!(alerts(&bench, "refused").await, Vec::<String>::new());
    assert_eq!(alerts(&bench, "list_source").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_bad_signature_is_refused_after_a_while_and_told_once() {
    let (publisher, stranger, web) = (Publisher::new(), Publisher::new(), Web::start());
    let [first, second] = two_versions(&publisher);
    web.put(&first);
    let mut bench = Bench::start(web.setup(&publisher)).await;
    has_version(&bench, 1).await;
    stranger.publish([OTHER], &["--version", "9"]);
    let unfit = [second[0].clone(), first[1].clone()];
    for (says, files) in [("signed by another key", stranger.files()), ("its signature is bad", unfit)] {
        web.put(&files);
        let refused = async || eu(&bench).await["refused"].as_str().is_some_and(|why| why.contains(says));
        bench.until(says, refused).await;
        let before = web.count(LIST, 304);
        bench.until("it is asked for again", async || web.count(LIST, 304) > before).await;
        bench.kill();
        bench.spawn();
        bench.ready().await;
        let told = eu(&bench).await;
        assert!(told["refused"].as_str().is_some_and(|why| why.contains(says)), "{told}");
        assert_eq!((&told["shared"]["version"], &told["failing"]), (&Value::from(1), &Value::Null), "{told}");
        let (code, _, why) = bench.run(&["blacklist", "accept", "eu"]);
        assert!(!code.success() && why.contains(says), "{why}");
        let told = alerts(&bench, "refused").await;
        assert_eq!(told.iter().filter(|told| told.contains(says)).count(), 1, "{told:?}");
    }
    bench.sim.join(&group(), &[person(OTHER)], Via::Link).await;
    bench.settled().await;
    assert!(held(&bench).await.is_empty() && bench.removed().is_empty());
    web.put(&second);
    has_version(&bench, 2).await;
    assert!(eu(&bench).await["refused"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_between_the_two_files_leaves_the_last_good_version_in_force() {
    let (publisher, web) = (Publisher::new(), Web::start());
    let [first, second] = two_versions(&publisher);
    web.put(&first);
    let mut bench = Bench::start(web.setup(&publisher)).await;
    has_version(&bench, 1).await;
    bench.kill();
    web.goes_away();
    let fetched = bench.path("data/kept/fetched/eu.list");
    fs::write(&fetched, &second[0]).unwrap();
    fs::remove_file(fetched.with_extension("list.minisig")).unwrap();
    bench.spawn();
    bench.ready().await;
    is_held(&bench, LISTED).await;
    assert_eq!(alerts(&bench, "refused").await, Vec::<String>::new());
    web.put(&first);
    bench.until("both are fetched again", async || fs::read(&fetched).unwrap() == first[0]).await;
    bench.until("nothing waits", async || eu(&bench).await["refused"].is_null()).await;
    web.put(&second);
    has_version(&bench, 2).await;
}
