//! Reconciliation: what no webhook told is found by reading rosters, and judged like everything else, once.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::{
    ids::GroupId,
    simulator::{Addressing, Delivery, Role, Via},
};
use serde_json::Value;
use std::collections::BTreeSet;

const FIRST: u64 = 4_915_100_001_000;
const WATCHING: &str = r#"
fn on_join(member, group) {
    if group.joins("1h") > 2 { member.remove("a raid"); }
    group.welcome(member);
}
fn on_leave(member, group) { alert(`${member.phone} left`); }
"#;

fn every(length: &str) -> String {
    format!("[reconcile]\nevery = \"{length}\"\n")
}

async fn adopted(bench: &Bench) {
    bench
        .until("the roster is adopted", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
}

/// Whether the directory has a group, and how many it counts in it.
async fn known(bench: &Bench, id: &str) -> Option<u64> {
    let list = bench.api("groups").await;
    let groups = list["groups"].as_array()?.clone();
    groups.iter().find(|group| group["id"] == id)?["size"].as_u64()
}

async fn decisions(bench: &Bench, hook: &str) -> Vec<Value> {
    let list = bench.api("decisions?limit=1000").await;
    let all = list["decisions"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|decision| decision["hook"] == hook).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_500_joins_with_a_tenth_never_told_every_offender_is_out_after_one_reconciliation() {
    let numbers: Vec<u64> = (FIRST..FIRST + 500).collect();
    let offenders: BTreeSet<u64> = numbers.iter().copied().filter(|n| n % 4 == 0).collect();
    let blacklist = offenders.iter().map(|n| format!("{n}\n")).collect();
    let mut bench = Bench::start(Setup {
        chain: r#"["blacklist"]"#,
        blacklist,
        config_extra: every("0s"),
        ..Setup::default()
    })
    .await;
    adopted(&bench).await;
    bench.sim.set_delivery(Delivery { lost: 0.1, ..Delivery::default() });
    for number in &numbers {
        bench.sim.join(&group(), &[person(*number)], Via::Link).await;
    }
    assert!(bench.sim.delivered(std::time::Duration::from_secs(120)).await);
    bench.settled().await;
    let before = bench.removed().len();
    assert!(before > 60 && before < offenders.len(), "{before} of {} were told", offenders.len());

    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.until("all offenders are out", async || bench.removed().len() >= offenders.len()).await;
    bench.settled().await;
    let removed = bench.removed();
    assert_eq!(removed.iter().copied().collect::<BTreeSet<_>>(), offenders);
    assert_eq!(removed.len(), offenders.len(), "nobody twice");
    let inside = bench.sim.with(|world| world.group(&group()).unwrap().members.len());
    assert_eq!(known(&bench, GROUP).await, Some(inside as u64), "the directory is as the truth");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_clock_a_roster_finds_joins_leaves_and_roles_that_nobody_told() {
    let (old, promoted, newcomer, fresh) = (FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4);
    let mut bench = Bench::prepare(Setup {
        chain: r#"["watching"]"#,
        policies: vec![("watching.rhai", WATCHING.into())],
        config_extra: every("1s") + "[welcome]\nwindow = \"0s\"\n",
        ..Setup::default()
    })
    .await;
    bench.sim.seat(&group(), &[person(old), person(promoted)], Role::Participant);
    bench.spawn();
    bench.ready().await;
    adopted(&bench).await;
    bench.sim.join(&group(), &[person(fresh)], Via::Link).await;
    bench.until("the told join is judged", async || decisions(&bench, "on_join").await.len() == 1).await;
    // Nobody is told of this. Two at once would make three joins within the hour, if they counted.
    bench.sim.with(|world| {
        let [old, promoted, newcomer, second, fresh] =
            [old, promoted, newcomer, newcomer + 10, fresh].map(|number| world.person(person(number)));
        let members = &mut world.group_mut(&group()).unwrap().members;
        members.insert(promoted, Role::Admin);
        members.extend([newcomer, second].map(|lid| (lid, Role::Participant)));
        members.remove(&old);
        members.remove(&fresh);
    });
    bench.until("the joins are found", async || decisions(&bench, "on_join").await.len() == 3).await;
    bench.settled().await;
    let explained = bench.api(&format!("explain/{newcomer}")).await.to_string();
    assert!(explained.contains("reconciled"), "{explained}");
    assert!(bench.removed().is_empty(), "found joins do not count as a raid");
    let rows = bench.rows("cancelled").await;
    assert!(rows.len() == 2 && rows.iter().all(|row| row.to_string().contains("not fresh")), "{rows:?}");
    let role = bench.api(&format!("explain/{promoted}")).await.to_string();
    assert!(role.contains("admin"), "{role}");
    // A join that was told only just now stands against a roster without them: it may be an old one.
    let gone: Vec<_> = decisions(&bench, "on_leave").await;
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0]["member"].to_string().contains(&old.to_string()), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_we_are_no_longer_in_is_marked_left_and_told_once() {
    let other = GroupId::parse("120363000000000002@g.us").unwrap();
    let bench = Bench::prepare(Setup { config_extra: every("1s"), ..Setup::default() }).await;
    bench.sim.add_group(&other, "Other", Addressing::Phone, Role::Admin);
    let mut bench = bench;
    bench.spawn();
    bench.ready().await;
    bench.until("both are known", async || known(&bench, other.as_str()).await.is_some()).await;
    bench.sim.with(|world| {
        let me = world.sessions()[0].me;
        world.group_mut(&other).unwrap().members.remove(&me);
    });
    bench.until("the group is left", async || known(&bench, other.as_str()).await.is_none()).await;
    let alerts = bench.api("alerts").await["alerts"].as_array().unwrap().clone();
    let left: Vec<_> = alerts.iter().filter(|alert| alert["kind"] == "left").collect();
    assert_eq!(left.len(), 1, "{alerts:?}");
    assert!(left[0]["text"].as_str().unwrap().contains("no longer in"), "{left:?}");
    // The other one is still read, this one is not.
    let reads = |id: &str| {
        let calls = bench.sim.calls();
        calls.iter().filter(|call| call.path.contains(id) && call.path.contains("participants")).count()
    };
    let (gone, here) = (reads(other.as_str()), reads(GROUP));
    bench.until("another round is over", async || reads(GROUP) > here + 1).await;
    assert_eq!(reads(other.as_str()), gone);
}
