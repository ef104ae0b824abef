//! A script fails on somebody: that run is parked with file and line, everybody else is judged as ever, and after the
//! policy is mended the event is judged again.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::{
    ids::GroupId,
    simulator::{Addressing, Role, Via},
};
use serde_json::Value;

const ENDLESS: u64 = 4915100000201;
const THROWN: u64 = 4915100000202;
const MISSPELT: u64 = 4915100000203;
const ARGUMENT: u64 = 4915100000204;
const ORDINARY: u64 = 4915100000205;
const ELSEWHERE: &str = "120363000000000002@g.us";

/// Breaks on four people, in ways that no check before the event can find; the rest go out.
fn brittle() -> String {
    format!(
        r#"fn on_join(member, group) {{
    if member.phone == "+{ENDLESS}" {{
        let n = 0;
        loop {{ n += 1; }}
    }}
    if member.phone == "+{THROWN}" {{
        throw "the owner's own complaint";
    }}
    if member.phone == "+{MISSPELT}" {{
        let somebody = member;
        log(somebody.subject);
    }}
    if member.phone == "+{ARGUMENT}" {{
        member.tag("guest", "4 " + "parsecs");
    }}
    member.remove("nobody stays");
}}
"#
    )
}

/// Who breaks it, in which line, and a word of the sentence.
const BREAKS: [(u64, u64, &str); 4] = [
    (ENDLESS, 4, "operations"),
    (THROWN, 7, "complaint"),
    (MISSPELT, 11, "subject"),
    (ARGUMENT, 14, "parsecs"),
];

fn setup() -> Setup {
    Setup { chain: r#"["brittle"]"#, policies: vec![("brittle.rhai", brittle())], ..Setup::default() }
}

async fn parked(bench: &Bench) -> Vec<Value> {
    let list = bench.api("decisions?state=policy_error").await;
    list["decisions"].as_array().unwrap().clone()
}

fn phone_of(decision: &Value) -> u64 {
    decision["member"]["phone"].as_str().unwrap().trim_start_matches('+').parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_parked_with_file_and_line_and_touches_nobody_else() {
    let bench = Bench::prepare(setup()).await;
    let elsewhere = GroupId::parse(ELSEWHERE).unwrap();
    bench.sim.add_group(&elsewhere, "Elsewhere", Addressing::Phone, Role::Admin);
    let mut bench = bench;
    bench.spawn();
    bench.ready().await;

    let all = [ENDLESS, THROWN, MISSPELT, ARGUMENT, ORDINARY].map(person);
    bench.sim.join(&group(), &all, Via::Link).await;
    bench.sim.join(&elsewhere, &[person(ORDINARY)], Via::Link).await;
    bench.until("the four are parked", async || parked(&bench).await.len() == 4).await;
    bench.until("the others are out", async || bench.removed().len() == 2).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [ORDINARY, ORDINARY], "one in each group");

    let decisions = parked(&bench).await;
    let (log, alerts) = (bench.log(), bench.api("alerts").await.to_string());
    for (number, line, word) in BREAKS {
        let decision = decisions.iter().find(|decision| phone_of(decision) == number).unwrap();
        let failure = &decision["failure"];
        assert_eq!(failure["file"], "brittle.rhai", "{failure}");
        assert_eq!(failure["line"], line, "{failure}");
        assert!(failure["message"].as_str().unwrap().contains(word), "{failure}");
        assert!(!failure["snippet"].as_str().unwrap().is_empty(), "{failure}");
        assert_eq!(decision["rows"].as_array().map(Vec::len), Some(0), "all or nothing: {decision}");
        let place = format!("brittle.rhai:{line}");
        assert!(log.contains(&place), "{place} is not in the log:\n{log}");
        assert!(alerts.contains(&place), "{place} is not among the alerts: {alerts}");
        let id = decision["id"].as_str().unwrap();
        let (status, told, _) = bench.run(&["explain", id]);
        assert!(status.success() && told.contains(&place), "{told}");
    }
    assert_eq!(bench.metric(r#"perimeterd_runs{state="parked"}"#).await, 4.0);
    let failed = r#"perimeterd_decisions_total{hook="on_join",outcome="policy_error",final="none"}"#;
    assert_eq!(bench.metric(failed).await, 4.0);
    assert_eq!(bench.metric(r#"perimeterd_alerts_total{kind="policy_error"}"#).await, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_policy_is_mended_a_retry_judges_the_event_again() {
    let bench = Bench::start(setup()).await;
    for number in [ENDLESS, THROWN] {
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
    }
    bench.until("both are parked", async || parked(&bench).await.len() == 2).await;
    let event = parked(&bench).await[0]["entry"].as_str().unwrap().to_owned();

    // Not mended: it fails again, and nothing else happens.
    let (status, told, why) = bench.run(&["journal", "retry", &event]);
    assert!(status.success(), "{told}{why}");
    let failed = r#"perimeterd_decisions_total{hook="on_join",outcome="policy_error",final="none"}"#;
    bench.until("it failed again", async || bench.metric(failed).await == 3.0).await;
    assert!(bench.removed().is_empty());

    bench.write(
        "policies/brittle.rhai",
        "fn on_join(member, group) {\n    member.remove(\"nobody stays\");\n}\n",
    );
    bench
        .until("the mended policy is in force", async || {
            bench.metric(r#"perimeterd_takeups_total{what="policies",outcome="taken"}"#).await >= 2.0
        })
        .await;
    for decision in parked(&bench).await {
        let (status, told, why) = bench.run(&["journal", "retry", decision["entry"].as_str().unwrap()]);
        assert!(status.success(), "{told}{why}");
    }
    bench.until("both are out", async || bench.removed().len() == 2).await;
    bench.settled().await;
    assert!(parked(&bench).await.is_empty());
    let mut removed = bench.removed();
    removed.sort_unstable();
    assert_eq!(removed, [ENDLESS, THROWN], "each once");
    assert_eq!(bench.metric(r#"perimeterd_runs{state="parked"}"#).await, 0.0);

    // What was acted on is not acted on again.
    let (status, _, why) = bench.run(&["journal", "retry", &event]);
    assert_eq!(status.code(), Some(1), "{why}");
    assert!(why.contains("nothing of") && why.contains("explain"), "{why}");
    bench.settled().await;
    assert_eq!(bench.removed().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_is_still_parked_after_a_restart_and_can_be_retried_then() {
    let mut bench = Bench::start(setup()).await;
    bench.sim.join(&group(), &[person(THROWN)], Via::Link).await;
    bench.until("it is parked", async || parked(&bench).await.len() == 1).await;
    bench.kill();
    bench.write("policies/brittle.rhai", "fn on_join(member, group) { member.remove(\"nobody stays\"); }\n");
    // With no daemon running the verb takes the store itself.
    let event = "e1";
    let (_, listed, _) = bench.run(&["journal", "--json"]);
    assert!(listed.contains(event), "{listed}");
    bench.spawn();
    bench.ready().await;
    let decisions = parked(&bench).await;
    assert_eq!(decisions.len(), 1, "a start retries nothing by itself");
    bench.kill();
    let (status, told, why) = bench.run(&["journal", "retry", decisions[0]["entry"].as_str().unwrap()]);
    assert!(status.success(), "{told}{why}");
    bench.spawn();
    bench.ready().await;
    bench.until("it is acted on", async || bench.removed() == [THROWN]).await;
    assert_eq!(bench.api(&format!("groups/{GROUP}")).await["id"], GROUP);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_that_can_be_found_before_are_refused_at_the_edit_and_the_old_policy_judges_on() {
    let old = "fn on_join(member, group) { member.remove(\"nobody stays\"); }\n";
    let setup =
        Setup { chain: r#"["bouncer"]"#, policies: vec![("bouncer.rhai", old.into())], ..Setup::default() };
    let bench = Bench::start(setup).await;
    let mut number = 4915100000300;
    for (body, word) in [
        ("let n = 0; loop { n += 1; }", "operations"),
        ("throw \"no\";", "no"),
        ("if member.phone == \"+1\" { member.blaklist; }", "blaklist"),
        ("if params.get(\"x\") == 1 { log(params.gracedays); }", "gracedays"),
        ("member.remove(17);", "remove"),
        ("member.tag(\"x\", \"soon\");", "soon"),
    ] {
        bench.write("policies/bouncer.rhai", &format!("fn on_join(member, group) {{\n    {body}\n}}\n"));
        let place = "bouncer.rhai:2";
        bench
            .until("the edit is refused", async || {
                bench.metric(r#"perimeterd_refused{what="policies"}"#).await == 1.0
            })
            .await;
        let (status, told, _) = bench.run(&["check"]);
        assert_eq!(status.code(), Some(1), "{body}: {told}");
        assert!(told.contains(place) && told.contains(word), "{body}: {told}");
        assert!(bench.log().contains(place), "{body}");
        number += 1;
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
        bench.until("the old policy judges", async || bench.removed().contains(&number)).await;
        bench.write("policies/bouncer.rhai", &format!("{old}// {number}\n"));
        bench
            .until("the good one is taken", async || {
                bench.metric(r#"perimeterd_refused{what="policies"}"#).await == 0.0
            })
            .await;
    }
}
