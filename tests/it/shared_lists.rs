//! Lists that communities share, at the front door: one real binary publishes, another one subscribes.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::simulator::{Role, Via};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};
use tempfile::TempDir;

const FIRST: u64 = 4_915_100_001_000;
const MEMBERS: u64 = 30;

/// Another community: a folder with a configuration, a list of its own, and keys.
pub(crate) struct Publisher {
    dir: TempDir,
    pub(crate) public_key: String,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = "[server]\ndata_dir = \"data\"\n[[sessions]]\nname = \"main\"\ninstance_id = \"A1B2C3D4E5F6\"\n\
                      access_token = \"t\"\nwebhook_secret = \"s\"\n[[blacklists]]\nname = \"own\"\npath = \"own.txt\"\n";
        fs::write(dir.path().join("perimeterd.toml"), config).unwrap();
        let mut publisher = Self { dir, public_key: String::new() };
        let made = publisher.run(&["--new-key", "--hash-key-file", "hash.key"]);
        publisher.public_key = made["public_key"].as_str().unwrap().to_owned();
        publisher
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perimeterd"));
        command.args(["--json", "blacklist", "publish", "--key-file", "sign.key"]).args(arguments);
        command.current_dir(self.dir.path()).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let output = self.output(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Publishes these, in place.
    pub(crate) fn publish(&self, numbers: impl IntoIterator<Item = u64>, more: &[&str]) -> Value {
        let lines = numbers.into_iter().map(|number| format!("+{number} reason=harvests\n"));
        fs::write(self.path("own.txt"), lines.collect::<String>()).unwrap();
        self.run(&[&["--name", "eu", "--out", "out"], more].concat())
    }

    /// The two files as they are.
    pub(crate) fn files(&self) -> [Vec<u8>; 2] {
        ["out/eu.list", "out/eu.list.minisig"].map(|name| fs::read(self.path(name)).unwrap())
    }

    fn put(&self, files: &[Vec<u8>; 2]) {
        for (name, bytes) in ["out/eu.list", "out/eu.list.minisig"].into_iter().zip(files) {
            fs::write(self.path(name), bytes).unwrap();
        }
    }

    fn subscription(&self, trust: &str) -> String {
        format!(
            "[[shared_lists]]\nname = \"eu\"\npath = \"{}\"\npublic_key = \"{}\"\ntrust = \"{trust}\"\nkey = {{ file = \
             \"{}\" }}\n",
            self.path("out/eu.list").display(),
            self.public_key,
            self.path("hash.key").display()
        )
    }
}

/// A subscriber with a group of so many beside us, adopted: they are looked at once a list changes from then on.
async fn subscriber(publisher: &Publisher, trust: &str, admins: &[u64], more: Setup) -> Bench {
    let mut bench = Bench::prepare(Setup {
        chain: if more.policies.is_empty() { r#"["blacklist"]"# } else { r#"["listed"]"# },
        config_extra: publisher.subscription(trust) + more.config_extra.as_str(),
        ..more
    })
    .await;
    for number in FIRST..FIRST + MEMBERS {
        let role = if admins.contains(&number) { Role::Admin } else { Role::Participant };
        bench.sim.seat(&group(), &[person(number)], role);
    }
    bench.spawn();
    bench.ready().await;
    let size = format!("\"size\":{}", MEMBERS + 1);
    bench
        .until("the group is adopted", async || {
            bench.api("groups").await["groups"].to_string().contains(&size)
        })
        .await;
    bench
}

async fn status(bench: &Bench) -> Value {
    let lists = bench.api("blacklist").await;
    let found = lists["lists"].as_array().unwrap().iter().find(|list| list["name"] == "eu");
    found.cloned().unwrap()
}

async fn has_version(bench: &Bench, version: u64) {
    bench
        .until("the version is in force", async || status(bench).await["shared"]["version"] == version)
        .await;
}

/// Whom the preview says the list would touch, by number.
fn previewed(bench: &Bench) -> BTreeSet<u64> {
    let (status, said, why) = bench.run(&["--json", "blacklist", "preview", "eu"]);
    assert!(status.success(), "{why}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let touched = said["members"].as_array().unwrap().iter().filter(|member| member["touched"] == true);
    touched.map(|member| member["phone"].as_str().unwrap().trim_start_matches('+').parse().unwrap()).collect()
}

async fn alerts(bench: &Bench, word: &str) -> Vec<String> {
    let alerts = bench.api("alerts").await["alerts"].as_array().cloned().unwrap_or_default();
    let texts = alerts.iter().filter_map(|alert| alert["text"].as_str());
    texts.filter(|text| text.contains(word)).map(str::to_owned).collect()
}

fn accept(bench: &Bench) {
    let (status, _, why) = bench.run(&["blacklist", "accept", "eu"]);
    assert!(status.success(), "{why}");
}

/// Numbers of removals in that state.
async fn numbers(bench: &Bench, state: &str) -> BTreeSet<u64> {
    let rows = bench.rows(state).await;
    let jids =
        rows.iter().filter(|row| row["call"]["call"] == "remove").map(|row| row["jid"].as_str().unwrap());
    jids.map(|jid| jid.split('@').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_relied_on_is_refused_and_shown_and_the_last_good_one_stays() {
    let publisher = Publisher::new();
    publisher.publish([FIRST], &[]);
    let old = publisher.files();
    publisher.publish([FIRST, FIRST + 1], &[]);
    let good = publisher.files();
    fs::remove_dir_all(publisher.path("out")).unwrap();
    let bench = subscriber(&publisher, "ask", &[], Setup::default()).await;
    fs::create_dir(publisher.path("out")).unwrap();
    publisher.put(&good);
    has_version(&bench, 2).await;
    let stranger = Publisher::new();
    stranger.publish([FIRST + 9], &["--version", "3"]);
    let foreign = stranger.files();
    let text = String::from_utf8(good[0].clone()).unwrap();
    let forged = text.replace(&FIRST.to_string(), &(FIRST + 9).to_string()).into_bytes();
    publisher.publish([FIRST + 9], &["--lasts", "0s", "--because", "over"]);
    let expired = publisher.files();
    let cases = [
        ("its signature is bad", [forged, good[1].clone()]),
        ("older than version 2", old),
        ("signed by another key", foreign),
        ("has expired", expired),
        ("not one of minisign", [good[0].clone(), b"?".to_vec()]),
    ];
    for (says, files) in cases {
        publisher.put(&files);
        bench
            .until(says, async || {
                status(&bench).await["refused"].as_str().is_some_and(|why| why.contains(says))
            })
            .await;
        let shown =
            bench.http.get(format!("{}/readyz", bench.base)).send().await.unwrap().text().await.unwrap();
        assert!(shown.contains("\"eu\""), "{says}: {shown}");
        assert_eq!(status(&bench).await["shared"]["version"], 2, "{says}");
        let (code, said, _) = bench.run(&["check"]);
        assert!(!code.success() && said.contains(says), "{says}: {said}");
        let (code, _, why) = bench.run(&["blacklist", "accept", "eu"]);
        assert!(!code.success() && why.contains(says), "{says}: {why}");
        let told = alerts(&bench, says).await;
        assert_eq!(told.len(), 1, "{says}: {told:?}");
    }
    publisher.put(&good);
    bench.until("nothing is refused", async || status(&bench).await["refused"].is_null()).await;
    bench.settled().await;
    let held = numbers(&bench, "held").await;
    assert_eq!((held, bench.removed()), (BTreeSet::from([FIRST, FIRST + 1]), vec![]), "nobody of the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_watches_touches_nobody_and_is_told() {
    let publisher = Publisher::new();
    let bench = subscriber(&publisher, "watch", &[], Setup::default()).await;
    publisher.publish([FIRST, FIRST + 1, FIRST + 100], &["--hash-key-file", "hash.key"]);
    has_version(&bench, 1).await;
    bench
        .until("the count is told", async || {
            !alerts(&bench, "names 2 of those who are inside").await.is_empty()
        })
        .await;
    bench.sim.join(&group(), &[person(FIRST + 100)], Via::Link).await;
    assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    bench
        .until("who enters is told", async || !alerts(&bench, "it only watches, so nothing").await.is_empty())
        .await;
    bench.settled().await;
    assert!(bench.removed().is_empty() && bench.rows("held").await.is_empty());
    let (_, said, _) = bench.run(&["explain", &format!("+{}", FIRST + 100)]);
    assert!(said.contains("watched: eu"), "{said}");
    assert_eq!(previewed(&bench), BTreeSet::from([FIRST, FIRST + 1, FIRST + 100]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_asks_has_each_removal_held_until_an_operator_lets_it_go() {
    let publisher = Publisher::new();
    let bench = subscriber(&publisher, "ask", &[], Setup::default()).await;
    publisher.publish([FIRST, FIRST + 1], &[]);
    let expected = BTreeSet::from([FIRST, FIRST + 1]);
    bench.until("both are held", async || numbers(&bench, "held").await == expected).await;
    assert_eq!(previewed(&bench), expected);
    bench.sim.join(&group(), &[person(FIRST + 50)], Via::Link).await;
    publisher.publish([FIRST, FIRST + 1, FIRST + 50], &[]);
    bench.until("the third is held", async || bench.rows("held").await.len() == 3).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    assert_eq!(alerts(&bench, "trusted to ask").await.len(), 1);
    let row = bench.rows("held").await.into_iter().find(|row| row["jid"].as_str().unwrap().contains("1000@"));
    let (status, _, why) = bench.run(&["outbox", "approve", row.unwrap()["id"].as_str().unwrap()]);
    assert!(status.success(), "{why}");
    bench.until("the one let go is out", async || bench.removed() == vec![FIRST]).await;
    let (status, said, why) = bench.run(&["outbox", "cancel", "--all"]);
    assert!(status.success() && said.contains("2 actions"), "{said}{why}");
    bench.settled().await;
    assert_eq!(bench.removed(), vec![FIRST]);
}

/// The preview of a list that is to be enforced names exactly those whom it touches once it is accepted.
async fn the_preview_comes_true(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut some =
        |of: u64| -> Vec<u64> { (FIRST..FIRST + MEMBERS).filter(|_| random.u64(..of) == 0).collect() };
    let (listed, friends, own, admins) = (some(2), some(6), some(6), some(6));
    let lines = |numbers: &[u64]| numbers.iter().map(|number| format!("+{number}\n")).collect::<String>();
    let publisher = Publisher::new();
    let more: &[&str] = if seed.is_multiple_of(2) { &["--hash-key-file", "hash.key"] } else { &[] };
    let setup = Setup {
        allowlist: lines(&friends),
        config_extra: "[brake]\nmax = \"1000/10m\"\nshare = 1.0\n".into(),
        ..Setup::default()
    };
    let bench = subscriber(&publisher, "enforce", &admins, setup).await;
    bench.write("blacklist.txt", &lines(&own));
    publisher.publish(listed.clone(), more);
    has_version(&bench, 1).await;
    let spared: Vec<u64> = [&friends[..], &admins].concat();
    let by_own: BTreeSet<u64> = own.iter().copied().filter(|number| !spared.contains(number)).collect();
    bench
        .until("the own list has had its effect", async || {
            bench.removed().into_iter().collect::<BTreeSet<_>>() == by_own
        })
        .await;
    bench.settled().await;
    assert_eq!(status(&bench).await["shared"]["in_effect"], "watch", "seed {seed}");
    let preview = previewed(&bench);
    accept(&bench);
    let expected: BTreeSet<u64> = preview.union(&by_own).copied().collect();
    bench
        .until(&format!("whom the preview names are out, seed {seed}"), async || {
            bench.removed().into_iter().collect::<BTreeSet<_>>().is_superset(&expected)
        })
        .await;
    // A later version is in force when somebody it alone names is out: everybody was looked at in between.
    let last = FIRST + 500;
    bench.sim.join(&group(), &[person(last)], Via::Link).await;
    assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    publisher.publish(listed.iter().copied().chain([last]), more);
    bench.until("the later version took effect by itself", async || bench.removed().contains(&last)).await;
    bench.settled().await;
    let removed: BTreeSet<u64> = bench.removed().into_iter().filter(|number| *number != last).collect();
    assert_eq!(removed, expected, "seed {seed}: {preview:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preview_names_exactly_the_members_who_are_touched_once_it_is_accepted() {
    for seed in 1..=4 {
        the_preview_comes_true(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retraction_cancels_what_waits_takes_tags_back_and_tells_who_is_out() {
    let publisher = Publisher::new();
    let policy = "fn on_sweep(member, group) {\n    if member.is_blacklisted { member.tag(\"listed\"); \
                  member.remove(\"listed\"); }\n}\nfn on_join(member, group) { on_sweep(member, group); }\n";
    let setup = Setup { policies: vec![("listed.rhai", policy.into())], ..Setup::default() };
    let bench = subscriber(&publisher, "ask", &[], setup).await;
    publisher.publish([FIRST, FIRST + 1, FIRST + 2], &[]);
    bench.until("three are held", async || bench.rows("held").await.len() == 3).await;
    let out = bench
        .rows("held")
        .await
        .into_iter()
        .find(|row| row["jid"].as_str().unwrap().contains("1000@"))
        .unwrap();
    assert!(bench.run(&["outbox", "approve", out["id"].as_str().unwrap()]).0.success());
    bench.until("the one let go is out", async || !bench.rows("done").await.is_empty()).await;

    let published = publisher.publish([FIRST + 2], &["--because", "a mistake"]);
    assert_eq!(published["retracted"], 2, "{published}");
    bench.until("one is no longer held", async || bench.rows("held").await.len() == 1).await;
    assert_eq!(numbers(&bench, "cancelled").await, BTreeSet::from([FIRST + 1]));
    let note = bench.rows("cancelled").await[0]["note"].as_str().unwrap().to_owned();
    assert_eq!(note, "shared list eu (version 2): it retracts the entry: a mistake");
    let told = alerts(&bench, "has taken back").await;
    let next = format!("`perimeterd explain {}`", out["decision"].as_str().unwrap());
    assert!(told.len() == 1 && told[0].contains(&next) && told[0].contains("a mistake"), "{told:?}");
    let (_, said, _) = bench.run(&["explain", out["decision"].as_str().unwrap()]);
    assert!(said.contains(&FIRST.to_string()) && said.contains("invite"), "{said}");
    let (_, said, _) = bench.run(&["explain", &format!("+{}", FIRST + 1)]);
    assert!(!said.contains("tags: listed"), "{said}");
    bench.settled().await;
    assert_eq!((bench.removed(), numbers(&bench, "held").await), (vec![FIRST], BTreeSet::from([FIRST + 2])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retraction_cancels_removals_that_wait_for_their_turn() {
    let publisher = Publisher::new();
    let limits = crate::harness::FAST_LIMITS.replace("remove = [\"100000/1m\"]", "remove = [\"1/1d\"]");
    let bench = subscriber(&publisher, "enforce", &[], Setup { limits, ..Setup::default() }).await;
    publisher.publish([FIRST, FIRST + 1, FIRST + 2], &["--hash-key-file", "hash.key"]);
    has_version(&bench, 1).await;
    accept(&bench);
    bench
        .until("two wait", async || bench.removed().len() == 1 && bench.rows("waiting").await.len() == 2)
        .await;
    publisher.publish([], &["--hash-key-file", "hash.key", "--because", "all wrong"]);
    bench.until("nobody waits", async || bench.rows("cancelled").await.len() == 2).await;
    for row in bench.rows("cancelled").await {
        assert_eq!(row["note"], "shared list eu (version 2): it retracts the entry: all wrong");
    }
    bench.settled().await;
    assert_eq!(bench.removed().len(), 1);
    assert_eq!(alerts(&bench, "has taken back").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_another_list_too_is_not_told_to_be_asked_back() {
    let publisher = Publisher::new();
    let bench = subscriber(&publisher, "enforce", &[], Setup::default()).await;
    publisher.publish([FIRST, FIRST + 1], &[]);
    has_version(&bench, 1).await;
    accept(&bench);
    bench.until("both are out", async || bench.rows("done").await.len() == 2).await;
    bench.write("blacklist.txt", &format!("+{FIRST}\n"));
    let own = async || bench.api("blacklist").await["lists"][0]["entries"] == 1;
    bench.until("the own list is in force", own).await;
    publisher.publish([], &["--because", "a mistake"]);
    bench.until("it is told", async || !alerts(&bench, "has taken back").await.is_empty()).await;
    let told = alerts(&bench, "has taken back").await.concat();
    assert!(told.contains("1 people") && told.matches("explain").count() == 1, "{told}");
    let rows = bench.rows("done").await;
    let other = rows.iter().find(|row| row["jid"].as_str().unwrap().contains("1001@")).unwrap();
    assert!(
        told.contains(&format!("`perimeterd explain {}`", other["decision"].as_str().unwrap())),
        "{told}"
    );
}

/// Somebody of whom only the LID is told.
async fn enters_hidden(bench: &Bench, lid: u64) {
    let event = json!({
        "id": format!("evt_{lid}"), "event": "group.v2.participants", "session": "main", "timestamp": 1_790_000_000_000u64,
        "payload": {
            "type": "join", "group": {"id": GROUP},
            "participants": [{"id": format!("{lid}@lid"), "pn": null, "role": "participant"}]
        },
        "me": {"id": "447700900001@c.us", "lid": "55501@lid"}
    });
    assert_eq!(bench.post(&event).await, 202);
    bench.settled().await;
}

/// Ids of those whom the preview says the list would touch, and how many it cannot tell of.
fn preview_by_id(bench: &Bench) -> (BTreeSet<String>, Value) {
    let (status, said, why) = bench.run(&["--json", "blacklist", "preview", "eu"]);
    assert!(status.success(), "{why}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let touched = said["members"].as_array().unwrap().iter().filter(|member| member["touched"] == true);
    let id = |member: &Value| {
        [&member["phone"], &member["lid"]].into_iter().find_map(Value::as_str).unwrap().to_owned()
    };
    (touched.map(id).collect(), said["hidden"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preview_counts_whom_it_cannot_tell_of_and_names_nobody_once_the_document_is_over() {
    let publisher = Publisher::new();
    let bench = subscriber(&publisher, "ask", &[], Setup::default()).await;
    enters_hidden(&bench, 77_001).await;
    enters_hidden(&bench, 77_002).await;
    let lines = format!("+{FIRST}\n77001@lid\n");
    fs::write(publisher.path("own.txt"), &lines).unwrap();
    publisher.run(&["--name", "eu", "--out", "out", "--hash-key-file", "hash.key"]);
    has_version(&bench, 1).await;
    let (named, hidden) = preview_by_id(&bench);
    assert_eq!(named, BTreeSet::from([format!("+{FIRST}"), "77001@lid".to_owned()]));
    assert_eq!(hidden, 1, "the list may name the number of the other one");
    bench.until("both are held", async || bench.rows("held").await.len() == 2).await;
    let jids = bench.rows("held").await;
    assert!(jids.iter().any(|row| row["jid"] == "77001@lid"), "{jids:?}");

    publisher.run(&["--name", "eu", "--out", "out", "--hash-key-file", "hash.key", "--lasts", "5s"]);
    has_version(&bench, 2).await;
    let over =
        async || status(&bench).await["refused"].as_str().is_some_and(|why| why.contains("has expired"));
    bench.until("it is over", over).await;
    assert_eq!(preview_by_id(&bench).0, BTreeSet::new());
    let (_, said, _) = bench.run(&["blacklist", "preview", "eu"]);
    assert!(said.contains("is stale") && said.contains("1 others hide their number"), "{said}");
    let (code, said, _) = bench.run(&["check"]);
    assert!(!code.success() && said.contains("has expired"), "{said}");
}

#[test]
fn who_is_spared_here_is_not_published_and_a_list_cut_short_takes_back_nothing() {
    let publisher = Publisher::new();
    let numbers: Vec<u64> = (FIRST..FIRST + 10).collect();
    publisher.publish(numbers.clone(), &[]);
    let spare = |entry: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perimeterd"));
        let output =
            command.args(["blacklist", "remove", entry]).current_dir(publisher.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    spare(&format!("+{}", FIRST + 3));
    let published = publisher.publish(numbers.clone(), &[]);
    assert_eq!((&published["entries"], &published["retracted"]), (&json!(9), &json!(1)), "{published}");
    let text = String::from_utf8(publisher.files()[0].clone()).unwrap();
    assert!(text.contains(&format!("\nretract +{} ", FIRST + 3)), "{text}");

    fs::write(publisher.path("own.txt"), format!("+{FIRST}\n")).unwrap();
    let refused = publisher.output(&["--name", "eu", "--out", "out"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("8 of 9 entries") && why.contains("--because"),
        "{why}"
    );
    assert_eq!(publisher.files()[0], text.as_bytes(), "nothing is written");
    let published = publisher.publish([FIRST], &["--because", "we begin anew"]);
    assert_eq!((&published["version"], &published["retracted"]), (&json!(3), &json!(8)), "{published}");
}
