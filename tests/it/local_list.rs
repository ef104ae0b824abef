//! The daemon's own list: what operators and policies put on it is in force at once and for good, and an exception spares
//! from every list for as long as it stands. Who and why is on record.

use crate::harness::{Bench, FAST_LIMITS, Setup, TOKEN, group, person};
use perimeterd::simulator::{Role, Via};
use serde_json::{Value, json};

const ADA: u64 = 4915100000901;
const BEN: u64 = 4915100000902;
const CAT: u64 = 4915100000903;

fn setup() -> Setup {
    Setup { chain: r#"["blacklist"]"#, ..Setup::default() }
}

/// A verb that must succeed, for machines.
fn told(bench: &Bench, arguments: &[&str]) -> Value {
    let (status, out, error) = bench.run(&[&["--json", "blacklist"], arguments].concat());
    assert!(status.success(), "{arguments:?}: {out}{error}");
    serde_json::from_str(&out).unwrap()
}

fn number(number: u64) -> String {
    format!("+{number}")
}

fn check(bench: &Bench, who: u64) -> Value {
    told(bench, &["check", &number(who)])["checked"][0].clone()
}

/// Somebody comes and is judged.
async fn come_in(bench: &Bench, who: u64) {
    let before = decided(bench).await;
    bench.sim.join(&group(), &[person(who)], Via::Link).await;
    bench.until("they are judged", async || decided(bench).await > before).await;
    bench.settled().await;
}

/// Joins that were judged.
async fn decided(bench: &Bench) -> usize {
    let decisions = bench.api("decisions?limit=1000").await;
    let decisions = decisions["decisions"].as_array().unwrap();
    let is_join = |one: &&Value| one["state"] == "decided" && one["hook"] == "on_join";
    decisions.iter().filter(is_join).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_added_by_hand_is_out_and_stays_listed_over_a_restart() {
    let mut bench = Bench::start(setup()).await;
    come_in(&bench, ADA).await;
    assert!(bench.removed().is_empty());
    let added =
        told(&bench, &["add", &number(ADA), "--reason", "sells numbers", "--by", "Eve", "--expires", "30d"]);
    assert_eq!(added["by"], "Eve", "{added}");
    bench.until("who is inside is looked at", async || bench.removed() == [ADA]).await;
    bench.settled().await;
    let removal = &bench.rows("done").await[0];
    assert_eq!(removal["reason"], "on the blacklist local: sells numbers");

    for who in [BEN, CAT] {
        told(&bench, &["add", &number(who), "--reason", "sells numbers", "--by", "Eve", "--expires", "30d"]);
    }
    bench.kill();
    bench.spawn();
    bench.ready().await;
    come_in(&bench, BEN).await;
    bench.until("they are out too", async || bench.removed() == [ADA, BEN]).await;
    let hit = check(&bench, BEN)["hits"][0].clone();
    assert_eq!((&hit["list"], &hit["entry"]), (&json!("local"), &json!(number(BEN))), "{hit}");
    assert_eq!(hit["reason"], "sells numbers");
    assert!(hit["added_at"].is_i64() && hit["expires_at"].is_i64(), "{hit}");

    let taken = told(&bench, &["remove", &number(CAT), "--reason", "was somebody else"]);
    assert!(taken["exception"].is_null() && taken["ended"][0]["by"] == "Eve", "{taken}");
    assert_eq!(check(&bench, CAT)["state"], "unlisted");
    come_in(&bench, CAT).await;
    assert_eq!(bench.removed(), [ADA, BEN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_spares_whom_a_file_lists_until_it_expires() {
    let blacklist = format!("+{ADA} reason=\"sells numbers\"\n+{BEN}\n");
    let bench = Bench::start(Setup { blacklist, ..setup() }).await;
    let taken = told(&bench, &["remove", &number(ADA), "--reason", "promised to stop", "--expires", "15s"]);
    assert_eq!(taken["exception"]["reason"], "promised to stop", "{taken}");
    come_in(&bench, ADA).await;
    let told_now = check(&bench, ADA);
    assert_eq!((&told_now["state"], &told_now["hits"][0]["list"]), (&json!("excepted"), &json!("scrapers")));
    assert!(bench.removed().is_empty());
    bench.until("the exception is over", async || bench.removed() == [ADA]).await;
    assert_eq!(check(&bench, ADA)["state"], "listed");
    // And without an end, until somebody says otherwise.
    assert!(told(&bench, &["remove", &number(BEN)])["exception"].is_object());
    come_in(&bench, BEN).await;
    assert_eq!(bench.removed(), [ADA]);
    told(&bench, &["add", &number(BEN)]);
    bench.until("they are out", async || bench.removed() == [ADA, BEN]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_waits_is_lifted_by_an_exception_and_the_allowlist_beats_an_addition() {
    let limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/1h"]"#);
    let blacklist = format!("+{ADA}\n+{BEN}\n");
    let allowlist = format!("+{CAT}\n");
    let bench = Bench::start(Setup { blacklist, allowlist, limits, ..setup() }).await;
    bench.sim.join(&group(), &[person(ADA)], Via::Link).await;
    bench.until("one is out", async || bench.removed() == [ADA]).await;
    bench.sim.join(&group(), &[person(BEN)], Via::Link).await;
    bench.until("the other waits", async || !bench.rows("waiting").await.is_empty()).await;
    told(&bench, &["remove", &number(BEN)]);
    bench.until("it is cancelled", async || bench.rows("cancelled").await.len() == 1).await;
    assert!(bench.rows("waiting").await.is_empty());

    told(&bench, &["add", &number(CAT)]);
    assert_eq!(check(&bench, CAT)["state"], "allowlisted");
    come_in(&bench, CAT).await;
    assert_eq!(bench.removed(), [ADA]);
    assert!(bench.rows("waiting").await.is_empty());
}

const LISTER: &str = r#"
fn on_join(member, group) {
    if !member.is_blacklisted {
        member.blacklist_locally("came uninvited", "30d");
        member.remove("came uninvited");
    }
}
"#;

fn lister(mode: &'static str) -> Setup {
    let policies = vec![("lister.rhai", LISTER.to_owned())];
    Setup { chain: r#"["lister"]"#, mode, policies, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_lists_locally_only_in_enforce() {
    let bench = Bench::start(lister("observe")).await;
    come_in(&bench, ADA).await;
    let decision = bench.api("decisions").await["decisions"][0].clone();
    assert!(decision["verdict"]["asked"].to_string().contains("blacklist_locally"), "{decision}");
    assert_eq!(bench.api("blacklist").await["local"], json!([]));

    let bench = Bench::start(lister("enforce")).await;
    bench.sim.join(&group(), &[person(ADA)], Via::Link).await;
    // Its own entry does not talk the chain out of the removal.
    bench.until("they are out", async || bench.removed() == [ADA]).await;
    let local = bench.api("blacklist").await["local"].clone();
    assert_eq!(local.as_array().unwrap().len(), 1, "{local}");
    let decision = bench.api("decisions").await["decisions"][0].clone();
    let entry = &local[0];
    assert_eq!(
        (&entry["by"], &entry["reason"]),
        (&json!("policy lister"), &json!("came uninvited")),
        "{entry}"
    );
    assert!(entry["decision"].is_string() && entry["expires_at"].is_i64(), "{entry} {decision}");
    // A policy would do it again, so that an operator's word is an exception.
    assert!(told(&bench, &["remove", &number(ADA)])["exception"].is_object());
    assert_eq!(check(&bench, ADA)["state"], "excepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_same_verbs_work_on_the_store() {
    let mut bench = Bench::prepare(setup()).await;
    told(&bench, &["add", "+92*", "--reason", "a wave of spam"]);
    let added = told(&bench, &["add", &number(ADA)]);
    assert_eq!(added["by"], "cli");
    assert_eq!(check(&bench, 923001234567)["hits"][0]["entry"], "+92*");
    let listed = told(&bench, &["list"]);
    assert_eq!((&listed["local_entries"], &listed["lists"][0]["name"]), (&json!(2), &json!("scrapers")));
    bench.spawn();
    bench.ready().await;
    bench.sim.join(&group(), &[person(ADA), person(923001234567), person(BEN)], Via::Link).await;
    bench.until("both are out", async || bench.removed().len() == 2).await;
    bench.settled().await;
    assert!(!bench.removed().contains(&BEN));
    let (status, out, _) = bench.run(&["blacklist", "list"]);
    assert!(status.success() && out.contains("a wave of spam") && out.contains("by cli"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_imported_from_what_people_have_and_each_bad_line_is_told() {
    let bench = Bench::start(setup()).await;
    bench.write("crm.csv", "Name;Phone;Reason\nAda;0151 00000901;rude\nBen;nobody\nCat;+49 151 00000903\n");
    bench.write(
        "contacts.vcf",
        "BEGIN:VCARD\nFN:Dan\nitem1.TEL;type=CELL;waid=4915100000904:+49 151 0000\n 0904\nTEL:12\nEND:VCARD\n",
    );
    bench.write("list.txt", "# of last week\n+4915100000905 reason=\"spam\" expires=2099-01-31\nwhat\n@PK\n");
    let read = told(&bench, &["import", "crm.csv", "--country", "DE", "--dry-run"]);
    assert_eq!((&read["entries"], &read["added"]), (&json!(2), &json!(0)), "{read}");
    assert_eq!(read["unreadable"].as_array().unwrap().len(), 1, "{read}");
    assert_eq!(read["unreadable"][0]["line"], 3, "{read}");
    assert_eq!(bench.api("blacklist").await["local_entries"], 0);
    told(&bench, &["import", "crm.csv", "--country", "DE", "--reason", "from the CRM"]);
    let (status, out, _) = bench.run(&["blacklist", "import", "contacts.vcf"]);
    assert!(status.success() && out.contains("line 5:") && out.contains("1 entries added"), "{out}");
    let read = told(&bench, &["import", "list.txt"]);
    assert_eq!((&read["added"], &read["unreadable"][0]["line"]), (&json!(2), &json!(3)), "{read}");
    let local = bench.api("blacklist").await["local"].clone();
    let reason = |entry: &str| {
        let found = local.as_array().unwrap().iter().find(|one| one["entry"] == entry);
        found.map(|one| one["reason"].clone()).unwrap_or_else(|| panic!("{entry} in {local}"))
    };
    assert_eq!(reason(&number(ADA)), "rude");
    assert_eq!(reason(&number(CAT)), "from the CRM");
    assert_eq!(reason("+4915100000904"), Value::Null);
    assert_eq!(reason("+4915100000905"), "spam");
    assert_eq!(reason("@PK"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_adds_tells_and_takes_back_under_the_token() {
    let bench = Bench::start(setup()).await;
    let url = |path: &str| format!("{}/api/v1/blacklist{path}", bench.base);
    let entry = json!({"entry": number(ADA), "reason": "rude", "by": "Eve"});
    let refused = bench.http.post(url("")).json(&entry).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    let ask = async |request: reqwest::RequestBuilder| {
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, added) = ask(bench.http.post(url("")).json(&entry)).await;
    assert_eq!((status, &added["by"], &added["entry"]), (200, &json!("Eve"), &json!(number(ADA))), "{added}");
    let (_, again) =
        ask(bench.http.post(url("")).json(&json!({"entry": number(ADA), "expires": "30d"}))).await;
    assert_eq!((&again["by"], &again["added_at"]), (&json!("api"), &added["added_at"]), "{again}");
    let (status, told) = ask(bench.http.get(url(&format!("/{}", number(ADA))))).await;
    assert_eq!((status, &told["state"]), (200, &json!("listed")), "{told}");
    for wrong in
        [json!({"entry": "nobody"}), json!({"entry": number(BEN), "expires": "soon"}), json!({"x": 1})]
    {
        let (status, told) = ask(bench.http.post(url("")).json(&wrong)).await;
        assert!(status == 400 && told["next"].is_string(), "{wrong}: {told}");
    }
    let path = format!("/%2B{ADA}?reason=a%20mistake&by=Eve");
    let (status, taken) = ask(bench.http.delete(url(&path))).await;
    assert_eq!((status, taken["ended"].as_array().unwrap().len()), (200, 1), "{taken}");
    assert_eq!(bench.api("blacklist").await["local"], json!([]));
}

/// Members inside, whom nobody has looked at.
async fn inside(setup: Setup, people: &[u64]) -> Bench {
    let mut bench = Bench::prepare(setup).await;
    let people: Vec<_> = people.iter().copied().map(person).collect();
    bench.sim.seat(&group(), &people, Role::Participant);
    bench.spawn();
    bench.ready().await;
    let size = format!("\"size\":{}", people.len() + 1);
    bench.until("adopted", async || bench.api("groups").await["groups"].to_string().contains(&size)).await;
    bench.settled().await;
    bench
}

/// The sweeps that are over, oldest first: how wide, of how many.
async fn swept(bench: &Bench) -> Vec<(String, u64)> {
    let mut sweeps = bench.api("sweeps").await["sweeps"].as_array().cloned().unwrap_or_default();
    sweeps.retain(|sweep| !sweep["finished_at"].is_null());
    sweeps.reverse();
    let told =
        |sweep: &Value| (sweep["scope"].as_str().unwrap().into(), sweep["looked_at"].as_u64().unwrap());
    sweeps.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_has_those_looked_at_whom_it_can_name() {
    let mut bench = inside(setup(), &[ADA, BEN, CAT]).await;
    // Nobody inside: nobody is looked at, and nothing is left for later.
    told(&bench, &["add", "+4915100000999"]);
    told(&bench, &["add", &number(ADA)]);
    bench.until("one is out", async || bench.removed() == [ADA]).await;
    let people = |count| ("people".to_owned(), count);
    let everybody = |count| ("everybody".to_owned(), count);
    bench.until("a sweep of one", async || swept(&bench).await == [people(1)]).await;
    told(&bench, &["add", "+92*"]);
    bench.until("a rule is about all", async || swept(&bench).await == [people(1), everybody(2)]).await;
    // A file and an entry together are about all, and so is what changed while no daemon ran.
    bench.signal("TERM");
    bench.stopped().await;
    told(&bench, &["add", &number(BEN)]);
    bench.spawn();
    bench.ready().await;
    bench.until("they are out", async || bench.removed() == [ADA, BEN]).await;
    let all = [people(1), everybody(2), everybody(2)];
    bench.until("all were looked at", async || swept(&bench).await == all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_taken_off_is_off_though_a_prefix_of_the_same_list_names_them() {
    let bench = Bench::start(setup()).await;
    told(&bench, &["add", "+9230*", "--reason", "a wave of spam"]);
    told(&bench, &["add", "+923001234567"]);
    let taken = told(&bench, &["remove", "+923001234567"]);
    assert_eq!(taken["ended"].as_array().unwrap().len(), 1, "{taken}");
    assert_eq!(check(&bench, 923_001_234_567)["state"], "excepted", "{taken}");
    assert_eq!(check(&bench, 923_001_234_568)["state"], "listed");
    bench.sim.join(&group(), &[person(923_001_234_567), person(923_001_234_568)], Via::Link).await;
    bench.until("the other is out", async || bench.removed() == [923_001_234_568]).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [923_001_234_568]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_that_ends_takes_the_removal_back_that_waits_for_it() {
    let limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/1h"]"#);
    let bench = inside(Setup { limits, ..setup() }, &[ADA, BEN]).await;
    told(&bench, &["add", &number(ADA)]);
    bench.until("one is out", async || bench.removed() == [ADA]).await;
    told(&bench, &["add", &number(BEN), "--expires", "15s"]);
    bench.until("the other waits", async || !bench.rows("waiting").await.is_empty()).await;
    bench.until("it is taken back", async || bench.rows("cancelled").await.len() == 1).await;
    assert!(bench.rows("waiting").await.is_empty());
    assert_eq!(bench.removed(), [ADA]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_lines_are_imported_and_a_second_time_change_nothing() {
    const LINES: u64 = 100_000;
    let bench = Bench::start(setup()).await;
    let lines: String = (0..LINES - 2).map(|n| format!("+{}\n", 4_916_000_000_000 + n)).collect();
    let national = "0151 00000901 reason=\"rude\" expires=2099-01-31\n0151/00000902\n+49 160 00000000\n";
    bench.write("many.txt", &format!("{lines}{national}"));
    let import = ["import", "many.txt", "--country", "DE", "--reason", "bought a list", "--by", "Eve"];
    let read = told(&bench, &import);
    assert_eq!((&read["added"], &read["unreadable"]), (&json!(LINES), &json!([])), "{read}");
    assert_eq!(bench.api("blacklist").await["local_entries"], LINES);
    told(&bench, &import);
    assert_eq!(bench.api("blacklist").await["local_entries"], LINES);
    let hit = check(&bench, ADA)["hits"][0].clone();
    assert_eq!((&hit["reason"], hit["expires_at"].is_i64()), (&json!("rude"), true), "{hit}");
    let hit = check(&bench, BEN)["hits"][0].clone();
    assert_eq!((&hit["reason"], &hit["expires_at"]), (&json!("bought a list"), &Value::Null), "{hit}");
    come_in(&bench, ADA).await;
    bench.until("they are out", async || bench.removed() == [ADA]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_allowlist_names_too_late_the_operators_are_told_of_once() {
    let mut bench = Bench::start(Setup { blacklist: format!("+{ADA}\n+{BEN}\n"), ..setup() }).await;
    for who in [ADA, BEN] {
        come_in(&bench, who).await;
    }
    bench.until("both are out", async || bench.removed() == [ADA, BEN]).await;
    bench.settled().await;
    let alerts = async |bench: &Bench| {
        let alerts = bench.api("alerts").await["alerts"].as_array().cloned().unwrap_or_default();
        alerts.into_iter().filter(|alert| alert["kind"] == "allowlist").collect::<Vec<_>>()
    };
    bench.write("allowlist.txt", &format!("+{ADA}\n"));
    bench.until("it is told", async || !alerts(&bench).await.is_empty()).await;
    let of_ada =
        bench.rows("done").await.into_iter().find(|row| row["jid"] == format!("{ADA}@c.us")).unwrap();
    let text = alerts(&bench).await[0]["text"].as_str().unwrap().to_owned();
    let next = format!("`perimeterd explain {}`", of_ada["decision"].as_str().unwrap());
    assert!(text.contains("names 1 people") && text.contains(&next), "{text}");
    let (status, explained, _) = bench.run(&["explain", of_ada["decision"].as_str().unwrap()]);
    assert!(status.success() && explained.contains("to take it back"), "{explained}");

    // Neither a restart nor another list tells it again; somebody else is told of.
    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.write("allowlist.txt", &format!("+{ADA}\n+{BEN}\n"));
    bench.until("the other is told of", async || alerts(&bench).await.len() == 2).await;
    assert!(alerts(&bench).await.iter().all(|alert| alert["count"] == 1), "{:?}", alerts(&bench).await);
}
