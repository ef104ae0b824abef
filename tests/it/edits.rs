//! An edit of the owner's files: a good one is in force at once, a bad one never is, and that is said wherever one looks.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::simulator::Via;
use std::{fmt::Write as _, time::Duration};

/// Listed, though they pay.
const LISTED: u64 = 4915100001000;
/// Paying.
const PAYS: u64 = 4915100002000;
/// In no file.
const NOBODY: u64 = 4915100003000;
/// Listed, and on the allowlist.
const FRIEND: u64 = 4915100004000;
const MANY: u64 = 20;

fn blacklist(people: u64) -> String {
    let mut text = String::new();
    for number in (LISTED..LISTED + people).chain(FRIEND..FRIEND + people) {
        let _ = writeln!(text, "+{number} reason=harvests");
    }
    text
}

fn subscriptions(people: u64) -> String {
    let mut text = String::new();
    for number in (LISTED..LISTED + people).chain(PAYS..PAYS + people).chain(FRIEND..FRIEND + people) {
        let _ = writeln!(text, "+{number},active,gold,");
    }
    text
}

fn allowlist(people: u64) -> String {
    (FRIEND..FRIEND + people).map(|number| format!("+{number}\n")).collect()
}

fn setup() -> Setup {
    Setup {
        chain: r#"["blacklist", "subscribers"]"#,
        blacklist: blacklist(MANY),
        subscriptions: subscriptions(MANY),
        allowlist: allowlist(MANY),
        ..Setup::default()
    }
}

/// Four people join, of each kind the n-th: the files as they were at first are in force.
async fn assert_old_ones_in_force(bench: &Bench, n: u64, why: &str) {
    let people = [LISTED + n, PAYS + n, NOBODY + n, FRIEND + n];
    bench.sim.join(&group(), &people.map(person), Via::Link).await;
    assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    bench
        .until(&format!("two are out ({why})"), async || {
            let removed = bench.removed();
            removed.contains(&(LISTED + n)) && removed.contains(&(NOBODY + n))
        })
        .await;
    bench.settled().await;
    let removed = bench.removed();
    assert!(!removed.contains(&(PAYS + n)) && !removed.contains(&(FRIEND + n)), "{why}");
}

async fn refused(bench: &Bench, what: &str) -> f64 {
    bench.metric(&format!("perimeterd_refused{{what=\"{what}\"}}")).await
}

async fn readyz(bench: &Bench) -> (u16, String) {
    let answer = bench.http.get(format!("{}/readyz", bench.base)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A bad edit: the file, what it says then (`None`: it is gone), whose name is told, and the place or word to be told.
type Bad = (&'static str, Option<String>, &'static str, &'static str);

/// Every bad edit in turn, each taken back afterwards.
async fn each_is_refused(bench: &Bench, edits: Vec<Bad>) {
    assert_eq!(bench.run(&["check"]).0.code(), Some(0), "{}", bench.run(&["check"]).1);
    for (n, (file, text, what, word)) in (0..).zip(edits) {
        let (good, why) = (bench.read(file), format!("{file}: {word}"));
        let before = bench.log().len();
        match text {
            Some(text) => bench.write(file, &text),
            None => std::fs::remove_file(bench.path(file)).unwrap(),
        }
        bench.until(&format!("{why} is refused"), async || refused(bench, what).await == 1.0).await;
        assert_old_ones_in_force(bench, n, &why).await;

        let log = bench.log().split_off(before);
        let said = log.contains("stays in force") || log.contains("stay in force");
        assert!(log.contains(word) && said, "{why} is not in the log:\n{log}");
        let (status, body) = readyz(bench).await;
        let name = what.strip_prefix("blacklist ").unwrap_or(what);
        assert!(status == 200 && body.contains(&format!("\"refused\":[\"{name}\"]")), "{why}: {body}");
        let (status, told, _) = bench.run(&["check"]);
        assert_eq!(status.code(), Some(1), "{why}: {told}");
        assert!(told.contains(word), "{why}: {told}");
        assert!(bench.api("alerts").await.to_string().contains(word), "{why}");

        bench.write(file, &good);
        bench.until(&format!("{file} is good again"), async || refused(bench, what).await == 0.0).await;
        assert!(readyz(bench).await.1.contains("\"refused\":[]"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_policy_or_template_never_comes_into_force() {
    let bench = Bench::start(setup()).await;
    let policy = |body: &str| Some(format!("// Edited\nfn on_join(member, group) {{\n    {body}\n}}\n"));
    let edits: Vec<Bad> = vec![
        ("policies/blacklist.rhai", policy("if member. { }"), "policies", "blacklist.rhai:3"),
        ("policies/blacklist.rhai", policy("if member.blaklist != () { }"), "policies", "blacklist.rhai:3"),
        ("policies/subscribers.rhai", policy("loop { }"), "policies", "subscribers.rhai:3"),
        ("policies/subscribers.rhai", None, "policies", "subscribers"),
        ("policies/subscribers.rhai", Some(String::new()), "policies", "subscribers"),
        ("policies/templates/how-to-join.txt", Some("Join {grupo}".into()), "policies", "grupo"),
    ];
    each_is_refused(&bench, edits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_list_never_comes_into_force() {
    let bench = Bench::start(setup()).await;
    let broken = |good: String| Some(good.replacen(" reason=", " raeson=", 2));
    let edits: Vec<Bad> = vec![
        ("blacklist.txt", broken(blacklist(MANY)), "blacklist scrapers", "blacklist.txt:1"),
        ("blacklist.txt", Some(String::new()), "blacklist scrapers", "blacklist accept scrapers"),
        ("blacklist.txt", None, "blacklist scrapers", "is missing"),
        ("blacklist.txt", Some(blacklist(MANY / 2)), "blacklist scrapers", "shrank from 40 to 20"),
        ("allowlist.txt", Some(allowlist(MANY) + "somebody\n"), "allowlist", "allowlist.txt:21"),
        ("allowlist.txt", Some(String::new()), "allowlist", "blacklist accept allowlist"),
    ];
    each_is_refused(&bench, edits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_subscription_file_never_comes_into_force() {
    let bench = Bench::start(setup()).await;
    let header = "phone,status,plan,expires_at\n";
    let with = |rows: String| Some(format!("{header}{rows}"));
    let edits: Vec<Bad> = vec![
        ("subscriptions.csv", Some(String::new()), "subscriptions", "subscriptions.csv"),
        ("subscriptions.csv", with(String::new()), "subscriptions", "subscriptions accept"),
        ("subscriptions.csv", with("garbage\n".into()), "subscriptions", "subscriptions.csv:2"),
        ("subscriptions.csv", None, "subscriptions", "is missing"),
        ("subscriptions.csv", with(subscriptions(MANY / 2)), "subscriptions", "shrank from 60 to 30"),
    ];
    each_is_refused(&bench, edits).await;
}

/// How often an edit of that kind was taken up.
async fn taken(bench: &Bench, what: &str) -> f64 {
    bench.metric(&format!("perimeterd_takeups_total{{what=\"{what}\",outcome=\"taken\"}}")).await
}

/// Writes a good edit and waits until it is taken up; two seconds are promised, a busy machine is given more.
async fn edit(bench: &Bench, file: &str, text: &str, what: &str) {
    let before = taken(bench, what).await;
    bench.write(file, text);
    bench.until(&format!("{file} is taken up"), async || taken(bench, what).await > before).await;
}

async fn join(bench: &Bench, number: u64) {
    bench.sim.join(&group(), &[person(number)], Via::Link).await;
    assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    bench.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_edits_are_in_force_without_a_restart() {
    let bench = Bench::start(setup()).await;
    let next = |base: u64| base + 2 * MANY;

    // A number that pays and stands on no list.
    edit(
        &bench,
        "subscriptions.csv",
        &format!(
            "{}+{},active,gold,\n+{},active,gold,\n",
            bench.read("subscriptions.csv"),
            next(PAYS),
            next(LISTED)
        ),
        "subscriptions",
    )
    .await;
    join(&bench, next(PAYS)).await;
    assert!(bench.removed().is_empty(), "the new row of the subscription file counts");

    edit(
        &bench,
        "blacklist.txt",
        &format!("{}+{} reason=new\n", blacklist(MANY), next(LISTED)),
        "blacklist scrapers",
    )
    .await;
    join(&bench, next(LISTED)).await;
    assert_eq!(bench.removed(), [next(LISTED)], "the new line of the list counts");

    edit(&bench, "allowlist.txt", &format!("{}+{LISTED}\n", allowlist(MANY)), "allowlist").await;
    join(&bench, LISTED).await;
    assert_eq!(bench.removed().len(), 1, "the new line of the allowlist counts");

    edit(&bench, "policies/templates/how-to-join.txt", "Pay, then come to {group}.\n", "policies").await;
    join(&bench, NOBODY).await;
    assert_eq!(bench.texts(&format!("{NOBODY}@c.us")), ["Pay, then come to Club."]);

    let policy = "fn on_join(member, group) { group.say(\"somebody came\"); }\n";
    std::fs::remove_file(bench.path("policies/tests/subscribers.rhai")).unwrap();
    edit(&bench, "policies/subscribers.rhai", policy, "policies").await;
    join(&bench, NOBODY + 1).await;
    assert_eq!(bench.texts(GROUP), ["somebody came"]);
    assert!(!bench.removed().contains(&(NOBODY + 1)), "the old policy is gone");
    assert!(readyz(&bench).await.1.contains("\"refused\":[]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shrunk_file_comes_into_force_when_it_is_accepted() {
    let bench = Bench::start(setup()).await;
    bench.write("blacklist.txt", &blacklist(1));
    bench.until("the list waits", async || refused(&bench, "blacklist scrapers").await == 1.0).await;
    let (status, told, why) = bench.run(&["blacklist", "accept", "scrapers"]);
    assert!(status.success() && told.contains("2 entries"), "{told}{why}");
    join(&bench, LISTED + 1).await;
    assert!(bench.removed().is_empty(), "no longer listed, and pays");
    assert_eq!(refused(&bench, "blacklist scrapers").await, 0.0, "nothing is refused any more");

    bench.write("subscriptions.csv", &format!("phone,status,plan,expires_at\n+{PAYS},active,gold,\n"));
    bench.until("the file waits", async || refused(&bench, "subscriptions").await == 1.0).await;
    let (status, told, why) = bench.run(&["subscriptions", "accept"]);
    assert!(status.success() && told.contains("1 entries"), "{told}{why}");
    join(&bench, PAYS + 1).await;
    let out = [PAYS + 1, LISTED + 1];
    bench
        .until("who is no longer in the file is out, and who was inside is looked at again", async || {
            let removed = bench.removed();
            removed.len() == 2 && out.iter().all(|number| removed.contains(number))
        })
        .await;
    assert_eq!(refused(&bench, "subscriptions").await, 0.0);
    assert_eq!(bench.run(&["check"]).0.code(), Some(0), "{}", bench.run(&["check"]).1);

    let (status, _, why) = bench.run(&["blacklist", "accept", "scraper"]);
    assert_eq!(status.code(), Some(1));
    assert!(why.contains("scraper"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_bad_files_uses_the_last_good_copies_loudly() {
    let mut bench = Bench::start(setup()).await;
    bench.kill();
    bench.write("policies/blacklist.rhai", "fn on_join(member, group) {\n    member.\n}\n");
    bench.write("blacklist.txt", "what is this\n");
    bench.write("allowlist.txt", "and this\n");
    bench.write("subscriptions.csv", "");
    let before = bench.log().len();
    bench.spawn();
    bench.ready().await;
    assert_old_ones_in_force(&bench, 0, "after a start").await;
    let log = bench.log().split_off(before);
    for word in [
        "blacklist.rhai:",
        "the last good copy is in force",
        "blacklist.txt:1",
        "allowlist.txt:1",
        "subscriptions.csv",
    ] {
        assert!(log.contains(word), "{word} is not in the log:\n{log}");
    }
    let (_, body) = readyz(&bench).await;
    for name in ["policies", "scrapers", "allowlist", "subscriptions"] {
        assert!(body.contains(&format!("\"{name}\"")), "{body}");
    }
    for what in ["policies", "blacklist scrapers", "allowlist", "subscriptions"] {
        assert_eq!(refused(&bench, what).await, 1.0, "{what}");
    }
    let (status, told, _) = bench.run(&["check"]);
    assert_eq!(status.code(), Some(1), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_stops_serve_with_a_sentence_and_the_line() {
    let bench = Bench::prepare(setup()).await;
    let config = bench.read("perimeterd.toml").replace("mode = \"enforce\"", "mode = \"enforced\"");
    bench.write("perimeterd.toml", &config);
    let line = config.lines().position(|line| line.contains("enforced")).unwrap() + 1;
    for verb in ["serve", "check"] {
        let (status, told, why) = bench.run(&[verb]);
        assert_eq!(status.code(), Some(1), "{told}{why}");
        let text = format!("{told}{why}");
        assert!(text.contains(&format!("perimeterd.toml:{line}")) && text.contains("enforce"), "{text}");
    }
}
