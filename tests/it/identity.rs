//! A LID is not a phone number, however much its digits look like one; and a number that can be learnt is learnt.

use crate::harness::{Bench, GROUP, Setup, group, phone};
use perimeterd::{
    ids::{GroupId, Lid, Person},
    simulator::{Addressing, Engine, Gateway, Role, Source, Via},
};
use serde_json::{Value, json};

const LISTED: u64 = 4915100000601;

fn setup() -> Setup {
    Setup {
        chain: r#"["blacklist", "countries"]"#,
        blacklist: format!("+{LISTED}\n+4915*\n@PK\n"),
        group_extra: "params = { deny = [\"DE\", \"PK\"] }\n".into(),
        ..Setup::default()
    }
}

/// Somebody of whom only the LID is told.
fn join(id: &str, lid: u64) -> Value {
    json!({
        "id": id, "event": "group.v2.participants", "session": "main", "timestamp": 1_790_000_000_000u64,
        "payload": {"type": "join", "group": {"id": GROUP}, "participants": [{"id": format!("{lid}@lid"), "pn": null, "role": "participant"}]},
        "me": {"id": "447700900001@c.us", "lid": "55501@lid"}
    })
}

async fn adopted(bench: &Bench) {
    bench
        .until("the group is adopted", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
}

async fn decisions(bench: &Bench) -> Vec<Value> {
    bench.api("decisions").await["decisions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lid_that_looks_like_a_listed_number_is_left_alone() {
    let told = r#"fn on_join(member, group) {
        alert(`told: ${member.phone} ${member.country} ${member.subscription.status} ${member.name}`);
    }"#;
    let bench = Bench::start(Setup {
        chain: r#"["told", "blacklist", "countries"]"#,
        policies: vec![("told.rhai", told.into())],
        blacklist: format!("+{LISTED}\n+4915*\n+1*\n@PK\n@US\n"),
        ..setup()
    })
    .await;
    adopted(&bench).await;
    // The listed number itself, one under the prefix, two of denied countries.
    let lids = [LISTED, 4915177777777, 923001234567, 12025550123];
    for (n, lid) in lids.into_iter().enumerate() {
        assert_eq!(bench.post(&join(&format!("evt_{n}"), lid)).await, 202);
    }
    bench.until("all are judged", async || decisions(&bench).await.len() == lids.len()).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    let alerts = bench.api("alerts").await.to_string();
    assert!(alerts.contains("told:   unknown "), "{alerts}");
    assert!(lids.iter().all(|lid| !alerts.contains(&lid.to_string())), "{alerts}");
    // Nothing that names a person by digits alone leaves us, whatever is asked about them.
    for call in bench.sim.calls() {
        let said =
            format!("{} {} {}", call.path, call.chat.unwrap_or_default(), call.text.unwrap_or_default());
        for lid in lids {
            let bare = said.replace(&format!("{lid}@lid"), "");
            let asked_ahead = call.path == format!("/v2/lids/pn/{LISTED}") && lid == LISTED;
            assert!(asked_ahead || !bare.contains(&lid.to_string()), "{said}");
        }
    }
    for decision in decisions(&bench).await {
        assert_eq!(decision["state"], "decided", "{decision}");
        assert_eq!(decision["rows"].as_array().map(Vec::len), Some(0), "{decision}");
        assert_eq!(decision["member"]["phone"], Value::Null, "{decision}");
        assert_eq!(decision["verdict"]["look_again"], true, "the number may become known: {decision}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_phone_behind_a_lid_is_found_and_removed() {
    let bench = Bench::start(setup()).await;
    adopted(&bench).await;
    let lid = 277_038_292_303_944;
    let both = Person { phone: Some(phone(LISTED)), lid: Some(Lid::from_u64(lid)) };
    bench.sim.seat(&group(), &[both], Role::Participant);
    assert_eq!(bench.post(&join("evt_lid", lid)).await, 202);
    bench.until("they are out", async || bench.removed() == [LISTED]).await;
    bench.settled().await;
    let asked = bench.sim.calls();
    assert!(
        asked.iter().any(|call| call.path.starts_with("/v2/lids/")),
        "the gateway was asked for the phone"
    );
}

/// A group whose members are named by LID.
const HIDING: &str = "120363000000000002@g.us";

fn hiding() -> GroupId {
    GroupId::parse(HIDING).unwrap()
}

/// The bench with that group, and so many people whose pair no place tells.
async fn among_hidden(setup: Setup, numbers: &[u64]) -> (Bench, Vec<Person>) {
    let mut bench = Bench::prepare(setup).await;
    bench.sim.add_group(&hiding(), "Hidden", Addressing::Lid, Role::Admin);
    let people: Vec<Person> = numbers
        .iter()
        .enumerate()
        .map(|(n, number)| Person {
            phone: Some(phone(*number)),
            lid: Some(Lid::from_u64(923_001_234_000 + n as u64)),
        })
        .collect();
    for person in &people {
        bench.sim.with(|world| world.person(*person));
        shown_in(&bench, *person, &[]);
    }
    bench.spawn();
    bench.ready().await;
    bench
        .until("both groups are adopted", async || {
            let groups = bench.api("groups").await;
            let groups = groups["groups"].as_array().cloned().unwrap_or_default();
            groups.iter().filter(|group| group["adopted"] == true).count() == 2
        })
        .await;
    (bench, people)
}

/// From now on only these places tell the pair.
fn shown_in(bench: &Bench, person: Person, places: &[Source]) {
    let places = places.iter().copied().collect();
    bench.sim.with(|world| world.profile_mut(person.lid.unwrap()).unwrap().shown_in = places);
}

/// All have joined hidden, and were judged as far as that goes.
async fn joined_hidden(bench: &Bench, people: &[Person]) {
    bench.sim.join(&hiding(), people, Via::Link).await;
    bench
        .until("all are judged", async || {
            let decisions = decisions(bench).await;
            let judged = decisions.iter().filter(|one| one["state"] == "decided" && one["hook"] == "on_join");
            judged.count() == people.len()
        })
        .await;
    assert!(bench.removed().is_empty());
}

async fn learnt_from(bench: &Bench, person: Person) -> Value {
    bench.api(&format!("explain/{}", person.lid.unwrap().jid())).await["record"]["learnt"]["from"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_phone_is_out_as_soon_as_its_pair_is_told_anywhere() {
    let numbers = [LISTED, LISTED + 1, LISTED + 2];
    let lines: String = numbers.iter().map(|number| format!("+{number}\n")).collect();
    let setup = Setup { chain: r#"["blacklist"]"#, blacklist: lines, ..Setup::default() };
    let (bench, people) = among_hidden(setup, &numbers).await;
    joined_hidden(&bench, &people).await;
    // By a message of theirs.
    shown_in(&bench, people[0], &[Source::Message]);
    bench.sim.message(Some(&hiding()), people[0], "hello").await;
    bench.until("the writer is out", async || bench.removed() == numbers[..1]).await;
    // By a roster, read because an event was unclear.
    shown_in(&bench, people[1], &[Source::Roster]);
    let unclear = json!({"id": "evt_unclear", "event": "group.v2.participants", "session": "main",
        "payload": {"group": {"id": HIDING}, "participants": [{"id": people[1].lid.unwrap().jid()}]}});
    assert_eq!(bench.post(&unclear).await, 202);
    bench.until("the one of the roster is out", async || bench.removed() == numbers[..2]).await;
    // By the gateway alone, whom nobody told that anything has changed.
    shown_in(&bench, people[2], &[Source::Lid]);
    bench.until("the one of the route is out", async || bench.removed() == numbers).await;
    let mut told = Vec::new();
    for person in &people {
        told.push(learnt_from(&bench, *person).await);
    }
    assert_eq!(told, ["message", "roster", "gateway"]);
    bench.settled().await;
    assert_eq!(bench.removed(), numbers, "nobody twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_hidden_people_are_looked_up_together() {
    let numbers: Vec<u64> = (0..12).map(|n| LISTED + n).collect();
    let setup = Setup { chain: r#"["blacklist"]"#, blacklist: "+4915*\n".into(), ..Setup::default() };
    let (bench, people) = among_hidden(setup, &numbers).await;
    joined_hidden(&bench, &people).await;
    people.iter().for_each(|person| shown_in(&bench, *person, &[Source::List]));
    bench.until("all are out", async || bench.removed().len() == numbers.len()).await;
    let calls = bench.sim.calls();
    let alone = calls.iter().filter(|call| call.path.starts_with("/v2/lids/")).count();
    assert!(alone <= 2 * numbers.len(), "each was asked about alone, again and again: {alone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_pairs_that_lacks_some_is_not_the_last_word() {
    let numbers: Vec<u64> = (0..6).map(|n| LISTED + n).collect();
    let setup = Setup { chain: r#"["blacklist"]"#, blacklist: "+4915*\n".into(), ..Setup::default() };
    let (bench, people) = among_hidden(setup, &numbers).await;
    joined_hidden(&bench, &people).await;
    bench
        .until("the list was read", async || bench.sim.calls().iter().any(|call| call.path == "/v2/lids"))
        .await;
    people.iter().for_each(|person| shown_in(&bench, *person, &[Source::Lid]));
    bench.until("all are out", async || bench.removed().len() == numbers.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowlist_of_numbers_is_known_by_accounts_though_nobody_tells_a_phone() {
    let account = |n: u64| format!("{}@lid\n", 923_001_234_000 + n);
    let setup = Setup {
        chain: r#"["blacklist"]"#,
        blacklist: format!("{}{}", account(0), account(1)),
        allowlist: format!("+{LISTED}\n"),
        ..Setup::default()
    };
    let (bench, people) = among_hidden(setup, &[LISTED, LISTED + 1]).await;
    let (friend, stranger) = (people[0], people[1]);
    joined_hidden(&bench, &people).await;
    // Until the friend's account is known, anybody could be the friend.
    bench.until("both removals wait", async || bench.rows("waiting").await.len() == 2).await;
    shown_in(&bench, friend, &[Source::Number]);
    bench.until("the stranger is out", async || bench.removed() == [LISTED + 1]).await;
    bench.settled().await;
    assert_eq!(bench.rows("refused").await.len(), 1, "the friend is protected");
    assert_eq!(bench.removed(), [LISTED + 1]);
    assert_eq!(learnt_from(&bench, friend).await, "list");
    assert_eq!(learnt_from(&bench, stranger).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_id_that_a_group_takes_is_remembered() {
    let numbers = [LISTED, LISTED + 1, LISTED + 2];
    let setup = Setup { chain: r#"["blacklist"]"#, blacklist: "+4915*\n".into(), ..Setup::default() };
    let (mut bench, people) = among_hidden(setup, &numbers).await;
    let strict = Gateway { engine: Engine::Webjs, strict_ids: true, ..Gateway::default() };
    bench.sim.with(|world| world.gateway = strict);
    // The event names by LID whom the group knows by phone.
    let calls = async |bench: &Bench, n: usize| {
        bench.sim.seat(&group(), &people[n..=n], Role::Participant);
        shown_in(bench, people[n], &[Source::Lid]);
        let lid = people[n].lid.unwrap().as_u64();
        assert_eq!(bench.post(&join(&format!("evt_form_{n}"), lid)).await, 202);
        bench
            .until("they are out", async || bench.sim.with(|world| !world.is_member(&group(), people[n])))
            .await;
        bench.settled().await;
        let calls = bench.sim.calls();
        calls.iter().filter(|call| call.is(perimeterd::action::Class::Remove)).count()
    };
    assert_eq!(calls(&bench, 0).await, 2, "the form that was told, then the other one");
    assert_eq!(calls(&bench, 1).await, 3, "the one that worked");
    bench.kill();
    bench.spawn();
    bench.ready().await;
    assert_eq!(calls(&bench, 2).await, 4, "after a restart as well");
}
