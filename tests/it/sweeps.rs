//! Members inside are looked at again, at the front door: what asks for it, how far it is, and that nothing stops it.

use crate::harness::{Bench, FAST_LIMITS, Setup, group, person};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person},
    simulator::{Addressing, Role},
};
use serde_json::Value;

const ANN: u64 = 4_915_100_000_001;
const BEN: u64 = 4_915_100_000_002;
const CEM: u64 = 4_915_100_000_003;

/// The club with three members beside us whom nobody has looked at, all paying.
async fn three_inside(setup: Setup) -> Bench {
    let subscriptions = format!("+{ANN},active,gold,\n+{BEN},active,gold,\n+{CEM},active,gold,\n");
    let mut bench = Bench::prepare(Setup { subscriptions, ..setup }).await;
    bench.sim.seat(&group(), &[ANN, BEN, CEM].map(person), Role::Participant);
    bench.spawn();
    bench.ready().await;
    adopted(&bench, "\"size\":4").await;
    bench
}

fn subscribers() -> Setup {
    Setup {
        chain: r#"["subscribers"]"#,
        config_extra: "[lists]\nmax_shrink = 1.0\n[brake]\nmax = \"100/10m\"\nshare = 1.0\n".into(),
        ..Setup::default()
    }
}

async fn adopted(bench: &Bench, size: &str) {
    let there = async || bench.api("groups").await["groups"].to_string().contains(size);
    bench.until("the group is adopted", there).await;
}

async fn sweeps(bench: &Bench) -> Vec<Value> {
    bench.api("sweeps").await["sweeps"].as_array().cloned().unwrap_or_default()
}

/// Waits until there are so many sweeps and all of them are over; they are in the order of their beginning.
async fn over(bench: &Bench, count: usize) -> Vec<Value> {
    let all = async || {
        let found = sweeps(bench).await;
        found.len() == count && found.iter().all(|sweep| !sweep["finished_at"].is_null())
    };
    bench.until(&format!("{count} sweeps are over"), all).await;
    bench.settled().await;
    let mut found = sweeps(bench).await;
    found.reverse();
    found
}

fn rows(people: &[(u64, &str)]) -> String {
    let rows: String = people.iter().map(|(number, status)| format!("+{number},{status},gold,\n")).collect();
    format!("phone,status,plan,expires_at\n{rows}")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_sweeps_those_of_whom_it_says_something_else() {
    let mut bench = three_inside(subscribers()).await;
    bench.write("subscriptions.csv", &rows(&[(ANN, "active"), (BEN, "canceled"), (CEM, "active")]));
    let first = over(&bench, 1).await.remove(0);
    assert_eq!((&first["cause"], &first["scope"]), (&"subscriptions".into(), &"people".into()));
    assert_eq!(
        (&first["members"], &first["looked_at"], &first["actions"]),
        (&1.into(), &1.into(), &2.into())
    );
    assert_eq!(bench.removed(), [BEN]);

    // While no daemon runs.
    bench.signal("TERM");
    bench.stopped().await;
    bench.write("subscriptions.csv", &rows(&[(ANN, "active")]));
    bench.spawn();
    bench.ready().await;
    let second = over(&bench, 2).await.remove(1);
    assert_eq!(second["looked_at"], 1, "{second}");
    assert_eq!(bench.removed(), [BEN, CEM]);

    // What has been swept is not swept again.
    bench.signal("TERM");
    bench.stopped().await;
    bench.spawn();
    bench.ready().await;
    bench.write("subscriptions.csv", &rows(&[(ANN, "none")]));
    let third = over(&bench, 3).await.remove(2);
    assert_eq!(third["looked_at"], 1, "{third}");
    assert_eq!(bench.removed(), [BEN, CEM, ANN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_sweeps_that_person() {
    let mut bench = three_inside(subscribers()).await;
    let url = format!("{}/api/v1/subscriptions/+{CEM}", bench.base);
    let put =
        bench.http.put(url).bearer_auth(crate::harness::TOKEN).json(&serde_json::json!({"status": "none"}));
    assert!(put.send().await.unwrap().status().is_success());
    let swept = over(&bench, 1).await.remove(0);
    assert_eq!((&swept["cause"], &swept["looked_at"]), (&"subscriptions".into(), &1.into()));
    assert_eq!(bench.removed(), [CEM]);
    // It still counts after a restart, and has been followed.
    bench.kill();
    bench.spawn();
    bench.ready().await;
    let (status, text, error) = bench.run(&["sweep", "--member", &format!("+{ANN}"), "--wait"]);
    assert!(status.success(), "{text}{error}");
    assert_eq!(over(&bench, 2).await[1]["cause"], "operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_members_looked_at_and_see_how_far_it_is() {
    let bench = three_inside(subscribers()).await;
    let (status, text, error) = bench.run(&["sweep", "--wait", "--json"]);
    assert!(status.success(), "{text}{error}");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["looked_at"], &last["members"], &last["decided"]), (&3.into(), &3.into(), &3.into()));
    assert!(!last["finished_at"].is_null());
    let (status, text, _) = bench.run(&["sweep", "--group", "Club", "--wait"]);
    assert!(status.success() && text.contains("s2: done; 3 of 3 looked at"), "{text}");
    let (status, text, _) = bench.run(&["sweep", "--list"]);
    assert!(status.success() && text.contains("operator") && text.contains("done"), "{text}");
    for (arguments, said) in [
        (["sweep", "--member", "+4915100009999"], "nobody to look at"),
        (["sweep", "--group", "Nothing"], "there is no group"),
        (["sweep", "--cancel", "s1"], "s1 is over"),
    ] {
        let (status, _, error) = bench.run(&arguments);
        assert!(!status.success() && error.contains(said), "{error}");
    }
    assert_eq!(bench.metric("perimeterd_sweeps{what=\"running\"}").await, 0.0);
    assert!(bench.removed().is_empty());
}

/// Without a daemon the store is asked; the next start goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_asked_for_without_a_daemon_begins_with_the_next_one() {
    let mut bench = three_inside(subscribers()).await;
    bench.signal("TERM");
    bench.stopped().await;
    let (status, text, error) = bench.run(&["sweep"]);
    assert!(status.success() && text.contains("0 of 3"), "{text}{error}");
    bench.spawn();
    bench.ready().await;
    assert_eq!(over(&bench, 1).await[0]["looked_at"], 3);
}

const GROUPS: u64 = 100;
const EACH: u64 = 1000;
/// One in so many is on the list.
const MATCHING: u64 = 50;

/// Whoever is on the list has a number of their own kind: a prefix needs no look-up ahead.
fn number(n: u64) -> u64 {
    n + if n.is_multiple_of(MATCHING) { 4_916_000_000_000 } else { 4_915_100_000_000 }
}

fn group_of(n: u64) -> GroupId {
    GroupId::parse(&format!("1203630000000{:05}@g.us", 10_000 + n)).unwrap()
}

fn seat_everybody(bench: &Bench) {
    for n in 0..GROUPS {
        let id = group_of(n);
        bench.sim.add_group(&id, &format!("Club {n}"), Addressing::Phone, Role::Admin);
        let members: Vec<Person> = (n * EACH..(n + 1) * EACH).map(|n| person(number(n))).collect();
        bench.sim.seat(&id, &members, Role::Participant);
    }
}

async fn looked_at(bench: &Bench) -> u64 {
    sweeps(bench).await.first().and_then(|sweep| sweep["looked_at"].as_u64()).unwrap_or(0)
}

/// A hundred groups whose rosters the daemon has read from the simulator, nobody of them judged.
async fn a_hundred_groups() -> Bench {
    let mut bench = Bench::prepare(Setup {
        chain: r#"["blacklist"]"#,
        blacklist: "+4917000000000\n".into(),
        limits: FAST_LIMITS.into(),
        config_extra: "[brake]\nmax = \"1000000/10m\"\nshare = 1.0\n".into(),
        ..Setup::default()
    })
    .await;
    // A busy machine needs a while for the roster of a thousand.
    let configuration = bench.read("perimeterd.toml");
    bench.write("perimeterd.toml", &configuration.replace("timeout = \"2s\"", "timeout = \"60s\""));
    seat_everybody(&bench);
    bench.spawn();
    bench.ready().await;
    bench
        .until("every group is adopted", async || {
            let groups = bench.api("groups").await["groups"].as_array().cloned().unwrap_or_default();
            groups.iter().filter(|group| group["size"] == EACH + 1).count() as u64 == GROUPS
        })
        .await;
    bench.settled().await;
    bench
}

/// Who was put out at the gateway, each as often as it had an effect.
fn put_out(bench: &Bench) -> Vec<u64> {
    let calls = bench.sim.calls();
    let removals = calls.iter().filter(|call| call.is(Class::Remove) && call.effect);
    let mut people: Vec<u64> =
        removals.filter_map(|call| call.person?.phone).map(|phone| phone.as_u64()).collect();
    people.sort_unstable();
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_members_are_swept_though_the_daemon_is_killed_twice() {
    let all = GROUPS * EACH;
    let mut bench = a_hundred_groups().await;
    bench.write("blacklist.txt", "+4916* reason=\"harvests numbers\"\n");
    let mut seen = 0;
    for share in [3, 6, 10] {
        bench
            .until("it is under way", async || {
                let now = looked_at(&bench).await;
                assert!(now >= seen, "never backwards: {now} after {seen}");
                seen = now;
                seen >= all * share / 10
            })
            .await;
        if share < 10 {
            assert!(seen < all, "killed too late");
            bench.kill();
            bench.spawn();
            bench.ready().await;
        }
    }
    let expected: Vec<u64> = (0..all).filter(|n| n.is_multiple_of(MATCHING)).map(number).collect();
    bench.until("everybody listed is out", async || put_out(&bench).len() >= expected.len()).await;
    bench.settled().await;
    assert_eq!(put_out(&bench), expected, "each once, and nobody else");
    let sweep = sweeps(&bench).await.remove(0);
    assert!(!sweep["finished_at"].is_null(), "{sweep}");
    for figure in ["members", "looked_at", "decided"] {
        assert_eq!(sweep[figure], all, "{figure}");
    }

    // Each was looked at, and once: what the store says of it.
    bench.signal("TERM");
    bench.stopped().await;
    let db = rusqlite::Connection::open(bench.path("data/perimeterd.db")).unwrap();
    let sql = "SELECT count(*), count(DISTINCT group_id * 1000000000 + person_id) FROM decisions
               WHERE sweep_id IS NOT NULL AND state = 'decided'";
    let counts: (i64, i64) = db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(counts, (all as i64, all as i64));
}
