//! The straight way, end to end: a join is heard, judged by the owner's script, and acted on.

use crate::harness::{Bench, GROUP, Setup, group, person};
use perimeterd::{
    action::Class,
    simulator::{Role, Via},
};
use serde_json::{Value, json};

const PAYS: u64 = 4915100000001;
const LAPSED: u64 = 4915100000002;
const SCRAPER: u64 = 4915100000003;

fn setup() -> Setup {
    Setup {
        blacklist: format!("+{SCRAPER} reason=harvests numbers\n"),
        subscriptions: format!("+{PAYS},active,gold,\n+{LAPSED},canceled,gold,2020-01-31\n"),
        config_extra: "[welcome]\nwindow = \"1s\"\n".into(),
        ..Setup::default()
    }
}

/// The vendor's only literal payload, from its documentation.
fn vendor_example(participant: &str) -> Value {
    json!({
        "id": "evt_01...", "timestamp": 1634567890123u64, "session": "default",
        "metadata": {"user.id": "123", "user.email": "email@example.com"},
        "engine": "WEBJS", "event": "group.v2.join",
        "payload": {"chatId": "1234567890@g.us", "participants": {"0": participant}},
        "me": {"id": "11111111111@c.us", "lid": "123@lid", "pushName": "Instance"}
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_members_are_welcomed_lapsed_ones_removed_and_told_scrapers_removed() {
    let bench = Bench::start(setup()).await;
    bench.sim.join(&group(), &[person(PAYS), person(LAPSED), person(SCRAPER)], Via::Link).await;
    bench.until("two are out", async || bench.removed().len() == 2).await;
    bench.until("the welcome is sent", async || !bench.texts(GROUP).is_empty()).await;
    bench.settled().await;

    let mut removed = bench.removed();
    removed.sort_unstable();
    assert_eq!(removed, [LAPSED, SCRAPER]);
    assert_eq!(bench.texts(GROUP).len(), 1, "one welcome");
    assert_eq!(bench.texts(&format!("{LAPSED}@c.us")).len(), 1, "told how to join");
    assert!(bench.texts(&format!("{SCRAPER}@c.us")).is_empty());
    let rows = bench.rows("done").await;
    let scraper = rows.iter().find(|row| row["policy"] == "blacklist").unwrap();
    assert!(
        scraper["line"].as_u64().unwrap() > 0 && !scraper["reason"].as_str().unwrap().is_empty(),
        "{scraper}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_literal_example_ends_in_the_self_joins_calls() {
    let mut setup = setup();
    setup.config_extra += "[[groups]]\nname = \"vendor\"\nmatch = \"1234567890@g.us\"\nchain = [\"subscribers\"]\nmode = \"enforce\"\n";
    let bench = Bench::start(setup).await;
    assert_eq!(bench.post(&vendor_example("11111111111@c.us")).await, 202);
    bench
        .until("the group is read", async || {
            let calls = bench.sim.calls();
            calls.iter().any(|call| call.class == Some(Class::Read) && call.path.contains("1234567890@g.us"))
        })
        .await;
    assert!(bench.removed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_body_with_another_participant_ends_in_the_policys_call() {
    let mut setup = setup();
    setup.config_extra += "[[groups]]\nname = \"vendor\"\nmatch = \"1234567890@g.us\"\nchain = [\"subscribers\"]\nmode = \"enforce\"\n";
    let bench = Bench::start(setup).await;
    assert_eq!(bench.post(&vendor_example("4915100000009@c.us")).await, 202);
    bench
        .until("the removal is called", async || {
            let calls = bench.sim.calls();
            calls.iter().any(|call| call.is(Class::Remove) && call.path.contains("1234567890@g.us"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_observe_nothing_is_sent_and_everything_is_recorded() {
    let bench = Bench::start(Setup { mode: "observe", ..setup() }).await;
    bench.sim.join(&group(), &[person(LAPSED)], Via::Link).await;
    bench.until("the removal is recorded", async || !bench.rows("observed").await.is_empty()).await;
    bench.settled().await;
    assert!(
        bench.sim.calls().iter().all(|call| matches!(call.class, None | Some(Class::Read))),
        "only reads"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_the_creator_the_allowlist_and_we_ourselves_are_never_removed() {
    let (admin, creator, friend) = (4915100000011, 4915100000012, 4915100000013);
    let everyone = "fn on_join(member, group) { member.remove(\"everyone goes\"); }\n";
    let setup = Setup {
        chain: r#"["everyone"]"#,
        policies: vec![("everyone.rhai", everyone.into())],
        allowlist: format!("+{friend}\n"),
        ..setup()
    };
    let bench = Bench::prepare(setup).await;
    bench.sim.seat(&group(), &[person(admin)], Role::Admin);
    bench.sim.seat(&group(), &[person(creator)], Role::Superadmin);
    let mut bench = bench;
    bench.spawn();
    bench.ready().await;
    bench
        .until("the roster is adopted", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
    bench.sim.seat(&group(), &[person(PAYS)], Role::Participant);
    for (number, id) in [(admin, "a"), (creator, "b"), (friend, "c"), (447_700_900_001, "d"), (PAYS, "e")] {
        let event = json!({
            "id": format!("evt_{id}"), "event": "group.v2.participants", "session": "main", "timestamp": 1_790_000_000_000u64,
            "payload": {"type": "join", "group": {"id": GROUP}, "participants": [{"id": format!("{number}@c.us"), "role": "participant"}]},
            "me": {"id": "447700900001@c.us"}
        });
        assert_eq!(bench.post(&event).await, 202);
    }
    bench.until("the stranger is out", async || bench.removed().contains(&PAYS)).await;
    bench.settled().await;
    assert!(!bench.removed().contains(&friend) && !bench.removed().contains(&447_700_900_001));
    let refused = bench.rows("refused").await;
    assert!(refused.iter().any(|row| row["note"].as_str().unwrap().contains("allowlist")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_roster_is_adopted_silently() {
    let bench = Bench::prepare(setup()).await;
    bench.sim.seat(&group(), &[person(LAPSED), person(SCRAPER), person(PAYS)], Role::Participant);
    let mut bench = bench;
    bench.spawn();
    bench.ready().await;
    bench
        .until("the roster is read", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    let decisions = bench.api("decisions").await;
    assert_eq!(decisions["decisions"].as_array().map(Vec::len), Some(0), "{decisions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raid_is_answered_by_one_lockdown_that_opens_again_even_after_a_restart() {
    let raid = r#"
fn on_join(member, group) {
    if group.joins("60s") >= 5 { group.lockdown("4s", "raid"); }
}
"#;
    let setup = Setup { chain: r#"["onrush"]"#, policies: vec![("onrush.rhai", raid.into())], ..setup() };
    let mut bench = Bench::start(setup).await;
    for number in 0..20 {
        bench.sim.join(&group(), &[person(4915100000100 + number)], Via::Link).await;
    }
    let announce = |bench: &Bench| bench.sim.with(|world| world.group(&group()).unwrap().announce_only);
    bench
        .until("the group is locked", async || announce(&bench) && bench.rows("done").await.len() == 2)
        .await;
    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.until("the group opens again", async || !announce(&bench)).await;
    bench.settled().await;
    let calls = bench.sim.calls();
    let settings = calls.iter().filter(|call| call.is(Class::Settings)).count();
    assert_eq!(settings, 3, "locked, revoked, opened: once each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_message_follows_its_removal_and_dies_with_it() {
    let bench = Bench::start(setup()).await;
    bench.sim.add_fault(perimeterd::simulator::Fault::on_class(
        Class::Remove,
        perimeterd::simulator::Kind::PerPerson { code: 403 },
    ));
    bench.sim.join(&group(), &[person(LAPSED)], Via::Link).await;
    bench.until("the removal is refused", async || !bench.rows("refused").await.is_empty()).await;
    bench.settled().await;
    assert!(bench.texts(&format!("{LAPSED}@c.us")).is_empty());
    assert_eq!(bench.rows("cancelled").await.len(), 1);
}
