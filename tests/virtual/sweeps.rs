//! Sweeps that are cut off at every step of their work, twice: nobody is missed and nothing is done again.

use crate::lab::{BLACKLISTED, Lab, Setup, blacklist, experiment};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Role},
    store::{Filter, Sweep},
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MEMBERS: u64 = 6;
const FIRST: u64 = 4_915_100_000_001;

fn groups() -> [GroupId; 2] {
    ["120363000000000001@g.us", "120363000000000002@g.us"].map(|id| GroupId::parse(id).unwrap())
}

fn person(number: u64) -> Person {
    Person::of_phone(Phone::from_u64(number).unwrap())
}

/// Two groups with the same members.
fn lab(config: &str, files: Vec<(String, String)>) -> Lab {
    let lab = Lab::new(Setup { config: config.to_owned(), files, ..Setup::default() });
    let people: Vec<Person> = (FIRST..FIRST + MEMBERS).map(person).collect();
    for id in groups() {
        lab.sim.add_group(&id, "Club", Addressing::Phone, Role::Admin);
        lab.sim.seat(&id, &people, Role::Participant);
    }
    lab
}

/// Lets the fuse that is lit burn down, then one of half its length, then none. Whether the sweep was over at the first end.
async fn cut_off_twice(lab: &mut Lab, half_steps: u16) -> bool {
    lab.pass(HOUR).await;
    let was_over = lab.store.sweeps(1).await.unwrap().iter().any(|sweep| !sweep.is_running());
    lab.disk.fuse(half_steps / 2 + 40);
    lab.start().await;
    lab.pass(HOUR).await;
    lab.disk.no_fuse();
    if !lab.is_up() {
        assert!(lab.start().await);
    }
    lab.pass(HOUR).await;
    was_over
}

async fn only_sweep(lab: &Lab, half_steps: u16) -> Sweep {
    let sweeps = lab.store.sweeps(10).await.unwrap();
    assert_eq!(sweeps.len(), 1, "cut off after {half_steps}: {sweeps:?}");
    sweeps.into_iter().next().unwrap()
}

#[test]
fn a_sweep_that_is_cut_off_at_any_step_looks_at_everybody_and_removes_each_once() {
    let mut over = Vec::new();
    for half_steps in (0..400).step_by(5) {
        let was_over = experiment(u64::from(half_steps), async {
            let mut lab =
                lab(&format!("{BLACKLISTED}[sweep]\nevery = \"0s\"\n"), blacklist("+4917000000000\n"));
            assert!(lab.start().await);
            lab.pass(HOUR).await;
            lab.disk.fuse(half_steps);
            lab.write("blacklist.txt", &format!("+{FIRST}\n+{}\n", FIRST + 1)).await;
            let was_over = cut_off_twice(&mut lab, half_steps).await;
            let sweep = only_sweep(&lab, half_steps).await;
            assert!(sweep.finished_at.is_some(), "cut off after {half_steps}: {sweep:?}");
            assert_eq!(
                (sweep.members, sweep.looked_at),
                (2 * MEMBERS, 2 * MEMBERS),
                "{half_steps}: {sweep:?}"
            );
            assert_eq!(sweep.decided, 2 * MEMBERS, "cut off after {half_steps}: {sweep:?}");
            let calls = lab.sim.calls();
            let removed = calls.iter().filter(|call| call.is(Class::Remove) && call.effect).count();
            assert_eq!(removed, 4, "cut off after {half_steps}");
            was_over
        });
        over.push(was_over);
    }
    assert!(over.contains(&false) && over.contains(&true), "cut off before its end, and after: {over:?}");
}

const GRACE: &str = r#"
[[groups]]
name = "club"
match = "120363*@g.us"
chain = ["grace"]
mode = "enforce"
params = { write_strangers = true, remind_days = [7, 1] }
[subscriptions]
source = "file"
path = "subscriptions.csv"
[limits]
cold_dm = ["100/1h"]
dm = ["100/1h"]
[pacing]
gap = "0s"
ramp = "0s"
"#;

/// Everybody in two groups, each reminded by one message, whatever died while it was asked for or sent.
#[test]
fn a_reminder_goes_out_once_though_the_sweep_is_cut_off_at_any_step() {
    for half_steps in (0..600).step_by(13) {
        experiment(u64::from(half_steps), async {
            let grace = [
                ("policies/grace.rhai", include_str!("../../policies/grace.rhai").to_owned()),
                ("policies/templates/how-to-join.txt", "Join".into()),
                ("policies/templates/subscription-ends.txt", "Ends on {date}".into()),
                ("policies/templates/subscription-ended.txt", "Ended".into()),
            ];
            let rows: String = (FIRST..FIRST + MEMBERS)
                .map(|number| format!("+{number},active,gold,2026-09-25\n"))
                .collect();
            let subscriptions = format!("phone,status,plan,expires_at\n{rows}");
            let files = grace.into_iter().chain([("subscriptions.csv", subscriptions)]);
            let mut lab = lab(GRACE, files.map(|(name, text)| (name.to_owned(), text)).collect());
            assert!(lab.start().await);
            // To shortly before four in the morning of the twenty-second.
            lab.pass(11 * HOUR).await;
            lab.disk.fuse(half_steps);
            lab.pass(2 * HOUR).await;
            cut_off_twice(&mut lab, half_steps).await;
            lab.pass(5 * HOUR).await;
            let calls = lab.sim.calls();
            let sent = calls.iter().filter(|call| call.effect && call.chat.is_some());
            let mut chats: Vec<_> = sent.filter_map(|call| call.chat.clone()).collect();
            let count = chats.len();
            chats.sort();
            chats.dedup();
            assert_eq!(chats.len(), count, "cut off after {half_steps}");
            // One that was under way when the daemon died is never sent again, and is shown.
            let unknown = Filter { state: Some("unknown".into()), ..Filter::default() };
            let unknown = lab.store.outbox(unknown).await.unwrap().len();
            assert!(
                count + unknown >= MEMBERS as usize && unknown <= 2,
                "cut off after {half_steps}: {count} sent, {unknown} unknown"
            );
        });
    }
}
