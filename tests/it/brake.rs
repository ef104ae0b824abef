//! The brake at the front door: a bad edit costs a few members their seat, not the group its members.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::simulator::{Role, Via};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

const FIRST: u64 = 4_915_100_001_000;
/// The brake's allowance in a group of 500: the smaller of 20 and a tenth.
const ALLOWANCE: usize = 20;

/// So many of the 499 members beside us, each with a reason.
fn matching(count: u64) -> String {
    (FIRST..FIRST + count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "+{number} reason=typo");
        text
    })
}

async fn a_group_of_500() -> Bench {
    let mut bench = Bench::prepare(Setup {
        chain: r#"["blacklist"]"#,
        blacklist: "+4915199999999\n".into(),
        ..Setup::default()
    })
    .await;
    let members: Vec<_> = (FIRST..FIRST + 499).map(person).collect();
    bench.sim.seat(&group(), &members, Role::Participant);
    bench.spawn();
    bench.ready().await;
    bench
        .until("the group is adopted", async || {
            bench.api("groups").await["groups"].to_string().contains("\"size\":500")
        })
        .await;
    bench
}

async fn is_held(bench: &Bench, count: usize) {
    bench.until("the rest is held", async || bench.rows("held").await.len() == count).await;
}

async fn alerts(bench: &Bench) -> Vec<Value> {
    let alerts = bench.api("alerts").await["alerts"].as_array().cloned().unwrap_or_default();
    alerts.into_iter().filter(|alert| alert["kind"] == "brake").collect()
}

/// Edits the list and waits until everybody was looked at again.
async fn edit(bench: &Bench, text: &str) {
    let before = sweeps(bench).await;
    // Who is held already is passed over: their removal is asked for.
    let held = bench.rows("held").await.len();
    let others = bench.sim.with(|world| world.group(&group()).unwrap().members.len()) - 1 - held;
    bench.write("blacklist.txt", text);
    bench.until("the members are swept", async || sweeps(bench).await >= before + others).await;
    bench.settled().await;
}

async fn sweeps(bench: &Bench) -> usize {
    let text = bench.metrics().await;
    let lines = text.lines().filter(|line| line.starts_with("perimeterd_decisions_total{hook=\"on_sweep\""));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_removes_the_allowance_holds_the_rest_and_tells_once() {
    let bench = a_group_of_500().await;
    edit(&bench, &matching(300)).await;
    is_held(&bench, 300 - ALLOWANCE).await;
    let removed = bench.removed();
    assert_eq!(removed.len(), ALLOWANCE);

    let told = alerts(&bench).await;
    assert_eq!((told.len(), &told[0]["count"]), (1, &Value::from(1)), "{told:?}");
    let text = told[0]["text"].as_str().unwrap();
    for word in
        ["280", "20 of 500", "on the blacklist scrapers: typo", "entry +", "outbox cancel --group 000001"]
    {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    assert_eq!(bench.metric("perimeterd_brakes ").await, 1.0);
    let ready = bench.http.get(format!("{}/readyz", bench.base)).send().await.unwrap().text().await.unwrap();
    assert!(ready.contains("\"held\":280") && ready.contains("\"brakes\":1"), "{ready}");
    let (_, listed, _) = bench.run(&["outbox", "list", "--state", "held", "--limit", "1000"]);
    assert!(listed.contains("the brake holds 280") && listed.lines().count() == 281, "{listed}");

    for row in bench.rows("done").await {
        let undo = &row["removal"]["undo"];
        assert_eq!((undo["group"].as_str(), undo["role"].as_str()), (Some(GROUP), Some("member")), "{row}");
        assert_eq!(undo["jid"], row["jid"]);
        assert!(undo["phone"].is_string() && undo["joined_at"].is_number(), "{undo}");
        assert!(undo.get("lid").is_some() && undo.get("invite").is_some(), "{undo}");
    }

    let (status, said, why) = bench.run(&["outbox", "cancel", "--group", "000001"]);
    assert!(status.success() && said.contains("280 actions: cancelled"), "{said}{why}");
    assert_eq!(bench.metric("perimeterd_brakes ").await, 0.0);
    edit(&bench, &(matching(300) + "+4915188888888\n")).await;
    edit(&bench, &matching(300)).await;
    assert_eq!(bench.removed(), removed, "nobody else is touched, however often a sweep comes round");
    assert_eq!(alerts(&bench).await.len(), 1);

    // Who enters again is judged again.
    let spared = FIRST + 299;
    bench.sim.leave(&group(), &[person(spared)], None).await;
    bench.sim.join(&group(), &[person(spared)], Via::Link).await;
    bench.until("who entered again is out", async || bench.removed().contains(&spared)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_outlives_a_restart_and_goes_when_it_is_approved() {
    let mut bench = a_group_of_500().await;
    edit(&bench, &matching(60)).await;
    is_held(&bench, 60 - ALLOWANCE).await;
    bench.kill();
    let (status, said, why) = bench.run(&["outbox", "cancel", "--group", "999999"]);
    assert!(!status.success() && why.contains("no group `999999`"), "{said}{why}");
    // With no daemon running the verb takes the store's lock.
    let held = {
        let (_, listed, _) = bench.run(&["--json", "outbox", "list", "--state", "held"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["outbox"][0]["id"].as_str().unwrap().to_owned()
    };
    let (status, said, why) = bench.run(&["outbox", "cancel", &held]);
    assert!(status.success() && said.contains("cancelled"), "{said}{why}");
    bench.spawn();
    bench.ready().await;

    // A raid of listed people is no business of the brake's, although it stands.
    let raiders: Vec<u64> = (0..10).map(|n| 4_915_100_005_000 + n).collect();
    let mut text = matching(60);
    raiders.iter().for_each(|number| text += &format!("+{number}\n"));
    edit(&bench, &text).await;
    bench.sim.join(&group(), &raiders.iter().copied().map(person).collect::<Vec<_>>(), Via::Link).await;
    assert!(bench.sim.delivered(Duration::from_secs(60)).await);
    bench.until("the raiders are out", async || bench.removed().len() == ALLOWANCE + raiders.len()).await;

    let (status, said, why) = bench.run(&["outbox", "approve", "--all"]);
    assert!(status.success() && said.contains("39 actions: approved"), "{said}{why}");
    bench.until("who was held is out", async || bench.removed().len() == 59 + raiders.len()).await;
    bench.settled().await;
    let (_, _, why) = bench.run(&["outbox", "approve", &held]);
    assert!(why.contains("it is cancelled"), "{why}");
    let (status, _, why) = bench.run(&["outbox", "retry", &held]);
    assert!(status.success(), "{why}");
    bench.until("the one taken back is out", async || bench.removed().len() == 60 + raiders.len()).await;
    let removed = bench.removed();
    assert_eq!(removed.iter().collect::<BTreeSet<_>>().len(), removed.len(), "nobody twice");
    assert_eq!(alerts(&bench).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_changed_while_no_daemon_ran_is_heeded_at_the_next_start_once() {
    let mut bench = a_group_of_500().await;
    bench.kill();
    bench.write("blacklist.txt", &matching(3));
    bench.spawn();
    bench.ready().await;
    bench.until("the three are out", async || bench.removed().len() == 3).await;
    bench.until("all are looked at", async || sweeps(&bench).await >= 499).await;
    bench.settled().await;
    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.sim.join(&group(), &[person(FIRST + 5_000)], Via::Link).await;
    bench
        .until("somebody who joins is judged", async || {
            bench.api("decisions?limit=1").await["decisions"][0]["hook"] == "on_join"
        })
        .await;
    assert_eq!(sweeps(&bench).await, 0, "nothing has changed since");
}
