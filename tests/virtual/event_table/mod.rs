//! The defects of events, as a table ([`people`], [`course`]): each row posts the literal webhooks that an engine or the vendor's pages
//! would, through the real door and pipeline in virtual time, and tells what came of it. What WhatsApp itself knows is set
//! beside them: events are posted by the test alone, so truth and telling may differ.

mod bodies;
mod course;
mod people;

use crate::lab::{Lab, SECRET, Setup, experiment};
use perimeterd::{
    ids::{GroupId, Lid, Person, Phone},
    simulator::{self, Addressing},
    store::{EntryState, Filter, Source},
};
use std::{collections::BTreeMap, time::Duration};

const GROUP: &str = "120363000000000001@g.us";
/// One that we are not in at first.
const OTHER: &str = "120363000000000002@g.us";

/// Who may appear: a name, the phone, the LID. At first `b` is a member and `x` an admin; we are `me`.
const PEOPLE: &[(&str, u64, u64)] = &[
    ("a", 4_915_111_111_111, 77_001),
    ("b", 4_915_122_222_222, 77_002),
    ("x", 4_915_133_333_333, 77_003),
    // A LID whose digits are a phone in Pakistan.
    ("c", 4_915_144_444_444, 923_001_234_567),
    ("d", 4_915_155_555_555, 77_005),
];

/// Says in the group what it was asked about.
const POLICY: &str = r#"
fn who(member) { member.phone ?? member.lid }
fn on_join(member, group) { group.say(`in ${who(member)} ${member.via} ${member.added_by ?? "-"}`); }
fn on_leave(member, group) { group.say(`out ${who(member)} ${member.left_by ?? "-"}`); }
fn on_group_joined(group) { group.say("we are in"); }
fn on_group_changed(group, change) { group.say(`changed ${change.what} ${change.after}`); }
"#;

/// A defect.
struct Defect {
    name: &'static str,
    /// What is true at WhatsApp when the events come: `+a` is in, `-b` is out, `b^` is an admin, `x_` is none.
    truth: &'static str,
    /// The bodies in their order. `<ms>` and `<s>` are the time, `<ms-90>` 90 seconds ago, `<iso-90>` that as text.
    bodies: Vec<String>,
    /// What was said in the group, in order (names for ids); who is in and was not, or the reverse, or has another role;
    /// whether the roster was asked for; what entries came to that changed nothing.
    came_to: &'static [&'static str],
}

fn person(name: &str) -> Person {
    let (_, phone, lid) = PEOPLE.iter().find(|(known, ..)| *known == name).unwrap();
    Person { phone: Phone::from_u64(*phone), lid: Some(Lid::from_u64(*lid)) }
}

fn group(id: &str) -> GroupId {
    GroupId::parse(id).unwrap()
}

async fn world() -> Lab {
    let config = "[[groups]]\nname = \"club\"\nmatch = \"120363*@g.us\"\nchain = [\"scribe\"]\nmode = \"enforce\"\n\
         [pacing]\ngap = \"0s\"\nramp = \"0s\"\n[limits]\ngroup_message = [\"1000/1m\"]\nread = [\"100/1m\"]\n"
    .into();
    let files = vec![("policies/scribe.rhai".into(), POLICY.to_owned())];
    let mut lab = Lab::new(Setup { config, files, ..Setup::default() });
    lab.sim.add_group(&group(GROUP), "Club", Addressing::Lid, simulator::Role::Admin);
    lab.sim.seat(&group(GROUP), &[person("b")], simulator::Role::Participant);
    lab.sim.seat(&group(GROUP), &[person("x")], simulator::Role::Admin);
    for (name, ..) in PEOPLE {
        lab.sim.with(|world| world.person(person(name)));
    }
    assert!(lab.start().await);
    lab.pass(Duration::from_secs(600)).await;
    lab.sim.set_webhook(None);
    lab
}

/// Makes it true at WhatsApp, and tells nobody.
fn set(lab: &Lab, truth: &str) {
    for word in truth.split_whitespace() {
        let name = word.trim_matches(['+', '-', '^', '_']);
        let role = if word.ends_with('^') { simulator::Role::Admin } else { simulator::Role::Participant };
        if name == "me" && !word.starts_with('-') {
            lab.sim.add_group(&group(OTHER), "Other", Addressing::Lid, simulator::Role::Admin);
        } else if word.starts_with('-') {
            let who = if name == "me" { lab.sim.me() } else { person(name) };
            lab.sim.with(|world| {
                let lid = world.person(who);
                world.leave(&group(GROUP), &[lid], None)
            });
        } else {
            lab.sim.seat(&group(GROUP), &[person(name)], role);
        }
    }
}

/// Writes the times into a body.
fn timed(body: &str, now: i64) -> String {
    let mut parts = body.split('<');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (mark, rest) = part.split_once('>').unwrap();
        let (unit, ago) = mark.split_once('-').unwrap_or((mark, "0"));
        let at = now - ago.parse::<i64>().unwrap() * 1000;
        text += &match unit {
            "ms" => at.to_string(),
            "s" => (at / 1000).to_string(),
            "iso" => jiff::Timestamp::from_second(at / 1000).unwrap().to_string(),
            other => panic!("no unit: {other}"),
        };
        text += rest;
    }
    text
}

/// Names for ids.
fn named(text: &str) -> String {
    PEOPLE.iter().fold(text.to_owned(), |text, (name, phone, lid)| {
        text.replace(&format!("+{phone}"), name).replace(&format!("{lid}@lid"), &format!("{name}.lid"))
    })
}

/// Everybody's role in the group, of those who are in by the directory.
async fn members(lab: &Lab) -> BTreeMap<&'static str, &'static str> {
    let mut members = BTreeMap::new();
    for (name, ..) in PEOPLE {
        let Some(id) = lab.store.person(person(name)).await.unwrap() else { continue };
        for (place, facts) in lab.store.memberships(id).await.unwrap() {
            if place.id == group(GROUP) && facts.present {
                members.insert(*name, facts.role.as_str());
            }
        }
    }
    members
}

async fn ours(lab: &Lab) -> Vec<String> {
    let groups = lab.store.groups().await.unwrap();
    groups
        .into_iter()
        .filter(|group| !group.sessions.is_empty())
        .map(|group| group.id.as_str().to_owned())
        .collect()
}

async fn newest_entry(lab: &Lab) -> i64 {
    let newest = lab.store.entries(Filter { limit: 1, ..Filter::default() }).await.unwrap();
    newest.first().map_or(0, |entry| entry.id.0)
}

/// Plays a row.
async fn play(defect: &Defect) -> Vec<String> {
    let lab = world().await;
    let (before, we_were, newest) = (members(&lab).await, ours(&lab).await, newest_entry(&lab).await);
    let calls = lab.sim.calls().len();
    set(&lab, defect.truth);
    for body in &defect.bodies {
        let now = perimeterd::clock::Clock::now(lab.clock.as_ref()).0;
        let path = format!("/webhooks/main?secret={SECRET}");
        let (status, answer) = lab.ask("POST", &path, &timed(body, now)).await.unwrap();
        assert_eq!(status, 202, "{}: {answer}", defect.name);
        lab.pass(Duration::from_millis(100)).await;
    }
    lab.pass(Duration::from_secs(20)).await;
    let made = lab.sim.calls().split_off(calls);
    let mut came_to: Vec<_> = made.iter().filter_map(|call| call.text.as_deref().map(named)).collect();
    let after = members(&lab).await;
    for (name, ..) in PEOPLE {
        let (was, is) = (before.get(name), after.get(name));
        if was != is {
            came_to.push(format!("{name}: {}", is.unwrap_or(&"out")));
        }
    }
    let we_are = ours(&lab).await;
    came_to.extend(we_are.iter().filter(|id| !we_were.contains(id)).map(|id| format!("we entered {id}")));
    came_to.extend(we_were.iter().filter(|id| !we_are.contains(id)).map(|id| format!("we left {id}")));
    if made.iter().any(|call| call.route.starts_with("roster") || call.route == "group") {
        came_to.push("roster read".into());
    }
    let mut entries = lab.store.entries(Filter { limit: 100, ..Filter::default() }).await.unwrap();
    entries.sort_by_key(|entry| entry.id);
    let told = entries.iter().filter(|entry| entry.id.0 > newest && entry.source == Source::Webhook);
    let idle = told.filter(|entry| entry.state != EntryState::Applied);
    came_to.extend(idle.map(|entry| format!("{:?}", entry.state).to_lowercase()));
    came_to
}

#[test]
fn every_defect_of_an_event_comes_to_what_is_true() {
    let mut wrong = Vec::new();
    for (seed, defect) in (1..).zip(people::defects().into_iter().chain(course::defects())) {
        let came_to = experiment(seed, play(&defect));
        if came_to != defect.came_to {
            wrong.push(format!("{}: {came_to:?}\n    not {:?}", defect.name, defect.came_to));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
