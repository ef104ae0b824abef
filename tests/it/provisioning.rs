//! Groups grow by people who wrote to us; others get the link at most, and no group is made twice.

use crate::harness::{Bench, FAST_LIMITS, GROUP, Setup, group, person, phone};
use perimeterd::{
    action::Class,
    ids::Phone,
    simulator::{Fault, Kind, Via},
};
use serde_json::Value;

const WARM: u64 = 4915100000800;
const SHY: u64 = 4915100000801;
const COLD: u64 = 4915100000802;
const JOINER: u64 = 4915100000803;

/// A bench whose policy asks for that whenever somebody comes by the link.
async fn asking(what: &str) -> Bench {
    let script = format!("fn on_join(member, group) {{ if member.via != \"link\" {{ return; }} {what} }}");
    let bench = Bench::start(Setup {
        chain: r#"["grow"]"#,
        policies: vec![("grow.rhai", script)],
        limits: format!("{FAST_LIMITS}add = [\"100/1m\"]\ngroup_create = [\"100/1m\"]\n"),
        ..Setup::default()
    })
    .await;
    for warm in [WARM, SHY] {
        bench.sim.message(None, person(warm), "Hello").await;
    }
    bench.until("their messages are known", async || written(&bench).await).await;
    bench.settled().await;
    bench
}

/// Whether both messages and the group's name have been taken in.
async fn written(bench: &Bench) -> bool {
    let events = bench.api("events?limit=1000").await;
    let list = events["events"].as_array().cloned().unwrap_or_default();
    let taken = |source: &str| {
        list.iter().filter(|event| event["source"] == source && event["state"] != "new").count()
    };
    taken("webhook") >= 2 && taken("roster") >= 2
}

/// Somebody joins, and everything that follows from it happens.
async fn join(bench: &Bench, who: u64) {
    bench.sim.join(&group(), &[person(who)], Via::Link).await;
    bench.until("it is judged", async || !rows(bench).await.is_empty()).await;
    bench.settled().await;
}

async fn rows(bench: &Bench) -> Vec<Value> {
    bench.api("outbox?limit=1000").await["outbox"].as_array().cloned().unwrap_or_default()
}

/// State and note of the rows of a kind.
async fn outcomes(bench: &Bench, call: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = rows(bench).await;
    let mine = all.iter().filter(|row| row["call"]["call"] == call);
    mine.map(|row| (text(&row["state"]), text(&row["note"]))).collect()
}

fn is_inside(bench: &Bench, who: u64) -> bool {
    bench.sim.with(|world| {
        let lid = world.known(person(who));
        lid.is_some_and(|lid| world.group(&group()).unwrap().members.contains_key(&lid))
    })
}

fn calls(bench: &Bench, class: Class) -> usize {
    bench.sim.calls().iter().filter(|call| call.is(class)).count()
}

fn jid(number: u64) -> String {
    Phone::jid(phone(number))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_lately_is_added_and_a_stranger_is_not() {
    let bench = asking(&format!("group.add(\"+{WARM}\"); group.add(\"+{COLD}\");")).await;
    join(&bench, JOINER).await;
    assert!(is_inside(&bench, WARM) && !is_inside(&bench, COLD));
    assert_eq!(calls(&bench, Class::Add), 1, "nobody is asked to add a stranger");
    let told = outcomes(&bench, "add").await;
    assert!(
        told.iter().any(|(state, note)| state == "refused" && note.starts_with("warm-up rule")),
        "{told:?}"
    );
    assert!(bench.texts(&jid(COLD)).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_addition_becomes_one_invite_link() {
    let ask = |who: u64| format!("group.add(\"+{who}\", #{{ otherwise: \"invite\" }});");
    let bench = asking(&format!("{}{}{}", ask(SHY), ask(COLD), ask(WARM))).await;
    bench.sim.with(|world| {
        let shy = world.known(person(SHY)).unwrap();
        world.profile_mut(shy).unwrap().refuses_adds = true;
        let cold = world.person(person(COLD));
        assert!(world.profile(cold).is_some());
    });
    join(&bench, JOINER).await;
    let link = bench.sim.with(|world| world.group(&group()).unwrap().invite_code.clone());
    let link = format!("https://chat.whatsapp.com/{link}");
    for invited in [SHY, COLD] {
        let texts = bench.texts(&jid(invited));
        assert!(texts.len() == 1 && texts[0].contains(&link), "{invited}: {texts:?}");
    }
    assert!(is_inside(&bench, WARM) && bench.texts(&jid(WARM)).is_empty());
    let mut states: Vec<String> =
        outcomes(&bench, "invite").await.into_iter().map(|(state, _)| state).collect();
    states.sort();
    assert_eq!(states, ["cancelled", "done", "done"]);
    assert_eq!(calls(&bench, Class::Dm), 2);

    // Another decision asks for the same: nobody gets the link twice a day.
    join(&bench, JOINER + 1).await;
    assert_eq!(calls(&bench, Class::Dm), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_not_on_whatsapp_is_not_written_to() {
    let bench = asking(&format!("group.add(\"+{WARM}\", #{{ otherwise: \"invite\" }});")).await;
    bench.sim.add_fault(Fault::on_class(Class::Add, Kind::PerPerson { code: 404 }));
    join(&bench, JOINER).await;
    assert_eq!(outcomes(&bench, "add").await[0].0, "refused");
    assert_eq!(outcomes(&bench, "invite").await[0].0, "cancelled");
    assert_eq!(calls(&bench, Class::Dm), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_of_unknown_outcome_is_made_again_only_while_they_are_outside() {
    for effect in [true, false] {
        let bench = asking(&format!("group.add(\"+{WARM}\");")).await;
        bench.sim.add_fault(Fault::on_class(Class::Add, Kind::Drop { effect }).times(1));
        join(&bench, JOINER).await;
        assert!(is_inside(&bench, WARM));
        let told = outcomes(&bench, "add").await;
        assert_eq!(told[0].0, "done", "{told:?}");
        assert_eq!(calls(&bench, Class::Add), if effect { 1 } else { 2 }, "it took effect: {effect}");
    }
}

fn guild() -> String {
    format!(
        "create_group(#{{ subject: \"Guild\", members: [\"+{WARM}\", \"+{COLD}\"], admins: [\"+{WARM}\"], \
         description: \"For us\" }});"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_with_those_who_wrote_and_set_up() {
    let bench = asking(&guild()).await;
    join(&bench, JOINER).await;
    let hooks = async || {
        let decisions = bench.api("decisions?limit=1000").await;
        decisions["decisions"].as_array().unwrap().iter().any(|one| one["hook"] == "on_group_joined")
    };
    bench.until("the new group is known", hooks).await;
    bench.settled().await;
    bench.sim.with(|world| {
        let made: Vec<_> = world.groups().filter(|group| group.id.as_str() != GROUP).collect();
        assert_eq!(made.len(), 1);
        let (warm, cold) = (world.known(person(WARM)).unwrap(), world.known(person(COLD)));
        assert_eq!((made[0].subject.as_str(), made[0].description.as_str()), ("Guild", "For us"));
        assert!(made[0].is_admin(warm) && cold.is_none_or(|cold| !made[0].members.contains_key(&cold)));
    });
    let told = outcomes(&bench, "create_group").await;
    assert_eq!(told, [("done".into(), "left out: 1 who did not write to us within 24 hours".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_once_even_if_the_answer_is_lost() {
    let mut bench = asking(&guild()).await;
    bench.sim.add_fault(Fault::on_class(Class::GroupCreate, Kind::Drop { effect: true }));
    join(&bench, JOINER).await;
    bench.until("it is shown", async || outcomes(&bench, "create_group").await[0].0 == "unknown").await;
    bench.sim.faults().clear();
    bench.kill();
    bench.spawn();
    bench.ready().await;
    bench.settled().await;
    assert_eq!(outcomes(&bench, "create_group").await[0].0, "unknown");
    assert_eq!(calls(&bench, Class::GroupCreate), 1);
    assert!(bench.log().contains("create_group unknown"), "the operator is told");
}
