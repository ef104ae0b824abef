//! The edges of the straight way, through the front door: two sessions in one group, the welcome's window, private
//! messages cold and warm, chains that only observe, lockdowns, roles that nobody told.

use crate::harness::{ACCESS, Bench, FAST_LIMITS, GROUP, Setup, group, person};
use perimeterd::{
    action::Class,
    ids::GroupId,
    simulator::{Addressing, CallRecord, Fault, Kind, Role, Target, Via},
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

const LAPSED: u64 = 4915100000002;
const SCRAPER: u64 = 4915100000003;
const SECOND: u64 = 447_700_900_002;
const SECOND_INSTANCE: &str = "B1B2C3D4E5F6";

fn policy(name: &'static str, text: &str) -> Setup {
    let chain = match name {
        "one.rhai" => r#"["one"]"#,
        other => panic!("{other} is in no chain"),
    };
    Setup { chain, policies: vec![(name, text.into())], ..Setup::default() }
}

fn welcoming(window: &str) -> Setup {
    Setup {
        chain: r#"["welcome"]"#,
        config_extra: format!("[welcome]\nwindow = \"{window}\"\n"),
        ..Setup::default()
    }
}

/// A vendor event of the newer dialect about somebody, told by the main session.
fn told(id: &str, kind: &str, number: u64) -> Value {
    json!({
        "id": format!("evt_{id}"), "event": "group.v2.participants", "session": "main",
        "timestamp": 1_790_000_000_000u64,
        "payload": {"type": kind, "group": {"id": GROUP}, "participants": [{"id": format!("{number}@c.us")}]},
        "me": {"id": "447700900001@c.us"}
    })
}

async fn adopted(bench: &Bench) {
    bench
        .until("the roster is adopted", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
}

fn removals(bench: &Bench) -> Vec<CallRecord> {
    bench.sim.calls().into_iter().filter(|call| call.is(Class::Remove)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sessions_the_first_that_is_admin_acts_and_neither_removes_the_other() {
    let mut setup = policy("one.rhai", "fn on_join(member, group) { member.remove(\"everyone goes\"); }\n");
    setup.config_extra = format!(
        "[[sessions]]\nname = \"second\"\ninstance_id = \"{SECOND_INSTANCE}\"\naccess_token = \"{ACCESS}\"\n\
         webhook_secret = \"the-other-secret-of-the-test\"\n"
    );
    let mut bench = Bench::prepare(setup).await;
    bench.sim.with(|world| {
        let me = world.sessions()[0].me;
        let second = world.named(person(SECOND), "Second");
        let mut session = world.sessions()[0].clone();
        (session.name, session.instance_id, session.me) = ("second".into(), SECOND_INSTANCE.into(), second);
        world.add_session(session);
        let group = world.group_mut(&group()).unwrap();
        group.members.insert(second, Role::Admin);
        group.members.insert(me, Role::Participant);
    });
    bench.spawn();
    bench.ready().await;
    bench
        .until("both have introduced themselves", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await >= 2.0
        })
        .await;
    bench.sim.join(&group(), &[person(LAPSED)], Via::Link).await;
    bench.until("somebody removes them", async || !removals(&bench).is_empty()).await;
    for (id, number) in [("a", SECOND), ("b", 447_700_900_001)] {
        assert_eq!(bench.post(&told(id, "join", number)).await, 202);
    }
    bench.settled().await;
    let by: Vec<_> = removals(&bench).iter().map(|call| call.session.clone().unwrap()).collect();
    assert_eq!(by, [SECOND_INSTANCE], "one removal, by the one that may");
    assert_eq!(bench.removed(), [LAPSED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_in_one_window_are_one_message_with_twenty_names() {
    let mut bench = Bench::start(welcoming("12s")).await;
    adopted(&bench).await;
    for n in 0..25u64 {
        bench.sim.join(&group(), &[person(4915100000100 + n)], Via::Link).await;
        if n == 12 {
            bench.until("half are decided", async || bench.rows("waiting").await.len() == 13).await;
            bench.kill();
            bench.spawn();
            bench.ready().await;
            // Whom the roster of the start found before their join was told would not be fresh.
            adopted(&bench).await;
        }
    }
    bench.until("all are sent", async || bench.rows("done").await.len() == 25).await;
    let texts = bench.texts(GROUP);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].ends_with(" and 5 others!") && texts[0].matches('@').count() == 20, "{texts:?}");
    let done = bench.rows("done").await;
    let dues: std::collections::BTreeSet<_> = done.iter().map(|row| row["not_before"].to_string()).collect();
    assert_eq!((done.len(), dues.len()), (25, 1), "one due time: the first join's");
}

#[tokio::test(flavor = "multi_thread")]
async fn differing_texts_are_differing_messages_and_who_left_or_came_twice_is_not_named_or_once() {
    let text = "fn on_join(member, group) {\n  if member.phone == \"+447700900111\" { group.welcome(member, \"Hello {names}\"); }\n  \
                else { group.welcome(member, \"Hallo {names}\"); }\n}\n";
    let mut setup = policy("one.rhai", text);
    setup.config_extra = "[welcome]\nwindow = \"6s\"\n".into();
    let bench = Bench::start(setup).await;
    adopted(&bench).await;
    let (british, german, gone, twice) = (447_700_900_111, 4915100000101, 4915100000102, 4915100000103);
    for number in [british, german, gone, twice] {
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
    }
    bench.until("all are decided", async || bench.rows("waiting").await.len() == 4).await;
    bench.sim.leave(&group(), &[person(gone), person(twice)], None).await;
    bench.sim.join(&group(), &[person(twice)], Via::Link).await;
    bench.until("who left is dropped", async || bench.rows("cancelled").await.len() == 1).await;
    bench.settled().await;
    let mut texts = bench.texts(GROUP);
    texts.sort_unstable();
    assert_eq!(texts, [format!("Hallo @{german} and @{twice}"), format!("Hello @{british}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_message_that_is_switched_off_is_refused_and_a_warm_one_goes() {
    let mut setup = policy("one.rhai", "fn on_join(member, group) { member.dm(\"hello\"); }\n");
    setup.limits = FAST_LIMITS.replace("cold_dm = [\"100000/1m\"]", "cold_dm = [\"0/1d\"]");
    let bench = Bench::start(setup).await;
    adopted(&bench).await;
    let (stranger, friend) = (4915100000101, 4915100000102);
    bench.sim.message(None, person(friend), "may I come in?").await;
    bench.sim.join(&group(), &[person(stranger)], Via::Link).await;
    bench.until("it is refused", async || bench.rows("refused").await.len() == 1).await;
    bench.sim.join(&group(), &[person(friend)], Via::Link).await;
    bench.until("the warm one is sent", async || bench.rows("done").await.len() == 1).await;
    assert_eq!(bench.texts(&format!("{friend}@c.us")), ["hello"]);
    assert!(bench.texts(&format!("{stranger}@c.us")).is_empty());
    let refused = bench.rows("refused").await;
    assert!(refused[0]["note"].as_str().unwrap().contains("cold_dm"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_only_observes_does_not_end_the_chain() {
    let setup = Setup {
        chain: r#"[{ policy = "first", mode = "observe" }, "later"]"#,
        policies: vec![
            ("first.rhai", "fn on_join(member, group) { member.remove(\"on trial\"); }\n".into()),
            (
                "later.rhai",
                "fn on_join(member, group) { member.remove(\"in earnest\"); member.dm(\"bye\"); }\n".into(),
            ),
        ],
        ..Setup::default()
    };
    let bench = Bench::start(setup).await;
    bench.sim.join(&group(), &[person(LAPSED)], Via::Link).await;
    bench.until("they are out and told", async || bench.rows("done").await.len() == 2).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [LAPSED]);
    assert_eq!(bench.texts(&format!("{LAPSED}@c.us")), ["bye"]);
    let observed = bench.rows("observed").await;
    assert_eq!((observed.len(), observed[0]["reason"].as_str()), (1, Some("on trial")), "{observed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_announce_only_is_so_again_after_a_lockdown() {
    let setup = policy("one.rhai", "fn on_join(member, group) { group.lockdown(\"1s\", \"raid\"); }\n");
    let bench = Bench::prepare(setup).await;
    bench.sim.with(|world| world.group_mut(&group()).unwrap().announce_only = true);
    let mut bench = bench;
    bench.spawn();
    bench.ready().await;
    adopted(&bench).await;
    bench.sim.join(&group(), &[person(LAPSED)], Via::Link).await;
    bench.until("it is over", async || bench.rows("done").await.len() == 3).await;
    assert!(bench.sim.with(|world| world.group(&group()).unwrap().announce_only));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_became_admin_meanwhile_is_not_removed() {
    let mut setup = policy("one.rhai", "fn on_join(member, group) { member.remove(\"everyone goes\"); }\n");
    setup.limits = FAST_LIMITS.replace("remove = [\"100000/1m\"]", "remove = [\"1/4s\"]");
    let bench = Bench::start(setup).await;
    adopted(&bench).await;
    let (first, promoted) = (4915100000101, 4915100000102);
    bench.sim.join(&group(), &[person(first)], Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [first]).await;
    bench.sim.join(&group(), &[person(promoted)], Via::Link).await;
    bench.until("the second waits for its place", async || bench.rows("waiting").await.len() == 1).await;
    bench.sim.set_role(&group(), person(promoted), true, bench.sim.me()).await;
    bench.until("it is refused", async || bench.rows("refused").await.len() == 1).await;
    bench.settled().await;
    assert_eq!(bench.removed(), [first]);
    assert!(bench.rows("refused").await[0]["note"].as_str().unwrap().contains("admin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_fails_keeps_its_back_off_while_others_go_through() {
    let other = GroupId::parse("120363000000000002@g.us").unwrap();
    let setup = policy("one.rhai", "fn on_join(member, group) { member.remove(\"everyone goes\"); }\n");
    let bench = Bench::prepare(setup).await;
    bench.sim.add_group(&other, "Broken", Addressing::Phone, Role::Admin);
    let mut bench = bench;
    bench.spawn();
    bench.ready().await;
    adopted(&bench).await;
    let down = Kind::Status { status: 500, body: "{}".into(), effect: false };
    bench.sim.add_fault(Fault::new(Target::Path(format!("{}/participants/remove", other.as_str())), down));
    bench.sim.join(&other, &[person(SCRAPER)], Via::Link).await;
    let to_broken =
        |bench: &Bench| removals(bench).iter().filter(|call| call.group.as_ref() == Some(&other)).count();
    bench.until("the broken one fails", async || to_broken(&bench) > 0).await;
    for n in 0..40u64 {
        bench.sim.join(&group(), &[person(4915100000200 + n)], Via::Link).await;
        bench.until("the next one is out", async || bench.removed().contains(&(4915100000200 + n))).await;
    }
    let tries = to_broken(&bench);
    assert!(tries <= 6, "{tries} tries while 40 others went through in a few seconds");
}

/// A payment side that can be switched off.
async fn payments(up: Arc<AtomicBool>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move || {
        let up = up.load(Ordering::SeqCst);
        async move {
            let status = if up { 200 } else { 500 };
            (
                axum::http::StatusCode::from_u16(status).unwrap(),
                axum::Json(json!({"status": "canceled", "expires_at": "2020-01-31"})),
            )
        }
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/{{phone}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_evidence_is_missing_holds_up_nobody_else() {
    let up = Arc::new(AtomicBool::new(true));
    let url = payments(up.clone()).await;
    let bench = Bench::start(Setup {
        chain: r#"["blacklist", "subscribers"]"#,
        blacklist: format!("+{SCRAPER}\n"),
        limits: FAST_LIMITS.replace("remove = [\"100000/1m\"]", "remove = [\"1/3s\"]"),
        config_extra: format!(
            "[policies]\nfresh_for = \"500ms\"\n[subscriptions]\nsource = \"http\"\nurl = \"{url}\"\ncache_ttl = \"1ms\"\n"
        ),
        ..Setup::default()
    })
    .await;
    adopted(&bench).await;
    let first = 4915100000101;
    bench.sim.join(&group(), &[person(first)], Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [first]).await;
    bench.sim.join(&group(), &[person(LAPSED)], Via::Link).await;
    bench
        .until("the second is decided", async || {
            bench.rows("waiting").await.iter().any(|row| row["call"].to_string().contains("remove"))
        })
        .await;
    up.store(false, Ordering::SeqCst);
    bench.sim.join(&group(), &[person(SCRAPER)], Via::Link).await;
    bench.until("the scraper is out", async || bench.removed().contains(&SCRAPER)).await;
    assert!(!bench.removed().contains(&LAPSED), "unknown is not unpaid");
    up.store(true, Ordering::SeqCst);
    bench.until("the evidence is there", async || bench.removed().contains(&LAPSED)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_joiner_whose_role_nobody_told_is_judged_when_the_fact_is_known() {
    let text = "fn on_join(member, group) { let s = member.subscription; if s.known { member.remove(\"x\"); } }\n\
                fn on_sweep(member, group) { member.remove(\"swept\"); }\n";
    let up = Arc::new(AtomicBool::new(false));
    let url = payments(up.clone()).await;
    let mut setup = policy("one.rhai", text);
    setup.config_extra =
        format!("[subscriptions]\nsource = \"http\"\nurl = \"{url}\"\ncache_ttl = \"1ms\"\n");
    let bench = Bench::start(setup).await;
    adopted(&bench).await;
    // Told to us alone: no roster lists them, so nobody tells their role.
    assert_eq!(bench.post(&told("a", "join", LAPSED)).await, 202);
    bench
        .until("it is decided", async || {
            !bench.api("decisions").await["decisions"].as_array().unwrap().is_empty()
        })
        .await;
    up.store(true, Ordering::SeqCst);
    bench.until("the later look removes", async || removals(&bench).len() == 1).await;
}
