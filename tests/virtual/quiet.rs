//! What takes hours to notice, in virtual time: times of 422, rosters that fail, quiet days, two numbers in one group.

use crate::lab::{BLACKLISTED, Lab, SECRET, Setup, blacklist, experiment};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Fault, Kind, Options, Role, Target, Via},
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const LISTED: [u64; 2] = [4_915_100_000_001, 4_915_100_000_002];
const SECOND: &str = "B1B2C3D4E5F6";

fn group() -> GroupId {
    GroupId::parse("120363000000000001@g.us").unwrap()
}

fn person(number: u64) -> Person {
    Person::of_phone(Phone::from_u64(number).unwrap())
}

/// A guarded group and more configuration.
fn lab(more: &str) -> Lab {
    let config = format!("{BLACKLISTED}{more}");
    let list = LISTED.map(|number| format!("+{number}\n")).concat();
    let lab = Lab::new(Setup { config, files: blacklist(&list), ..Setup::default() });
    lab.sim.add_group(&group(), "Club", Addressing::Phone, Role::Admin);
    lab
}

fn is_inside(lab: &Lab, number: u64) -> bool {
    lab.sim.with(|world| world.is_member(&group(), person(number)))
}

fn removals(lab: &Lab) -> usize {
    lab.sim.calls().iter().filter(|call| call.is(Class::Remove) && call.effect).count()
}

#[test]
fn after_a_time_of_422_what_nobody_told_is_found() {
    experiment(1, async {
        let mut lab = lab("[reconcile]\nevery = \"0s\"\n");
        assert!(lab.start().await);
        lab.pass(HOUR).await;
        lab.sim.add_fault(Fault::new(Target::default(), Kind::NotWorking));
        lab.sim.join(&group(), &[person(LISTED[0])], Via::Link).await;
        lab.sim.seat(&group(), &[person(LISTED[1])], Role::Participant);
        lab.pass(HOUR).await;
        assert!(is_inside(&lab, LISTED[0]) && is_inside(&lab, LISTED[1]));
        let told = lab.store.alerts(100).await.unwrap();
        assert_eq!(told.iter().filter(|alert| alert.kind == "session").count(), 1, "{told:?}");
        lab.sim.faults().clear();
        lab.pass(HOUR).await;
        assert!(!is_inside(&lab, LISTED[0]) && !is_inside(&lab, LISTED[1]));
        assert_eq!(removals(&lab), 2, "nobody twice");
        assert!(lab.store.troubles().await.unwrap().iter().all(|trouble| trouble.kind != "session"));
    });
}

#[test]
fn a_roster_that_cannot_be_read_is_read_once_it_can() {
    experiment(2, async {
        let mut lab = lab("");
        assert!(lab.start().await);
        lab.pass(4 * HOUR).await;
        lab.sim.add_fault(Fault::new(Target::default(), Kind::Drop { effect: false }));
        lab.sim.seat(&group(), &[person(LISTED[0])], Role::Participant);
        lab.pass(6 * HOUR).await;
        assert!(is_inside(&lab, LISTED[0]));
        lab.sim.faults().clear();
        // Less than a round: the one that failed is what is asked for again.
        lab.pass(HOUR).await;
        assert!(!is_inside(&lab, LISTED[0]));
        assert_eq!(removals(&lab), 1);
    });
}

#[test]
fn two_quiet_days_are_told_once_and_end_with_the_first_word() {
    experiment(3, async {
        let mut lab = lab("");
        assert!(lab.start().await);
        lab.sim.set_mute(true);
        lab.pass(24 * HOUR).await;
        // Another start does not tell it again.
        assert!(lab.start().await);
        lab.pass(24 * HOUR).await;
        let kinds = |alerts: &[perimeterd::store::Alert], kind: &str| -> u32 {
            alerts.iter().filter(|alert| alert.kind == kind).map(|alert| alert.count).sum()
        };
        let alerts = lab.store.alerts(100).await.unwrap();
        assert_eq!((kinds(&alerts, "silence"), kinds(&alerts, "silence_over")), (1, 0), "{alerts:?}");
        let asked = lab.sim.calls().iter().filter(|call| call.route == "session_info").count();
        assert_eq!(asked, 1, "asked before it is told, and not for ever");
        lab.sim.set_mute(false);
        lab.sim.join(&group(), &[person(4_915_100_000_009)], Via::Link).await;
        lab.pass(HOUR / 60).await;
        let alerts = lab.store.alerts(100).await.unwrap();
        assert_eq!(kinds(&alerts, "silence_over"), 1, "{alerts:?}");
    });
}

#[test]
fn of_two_numbers_in_a_group_one_reads_its_roster() {
    experiment(4, async {
        let token = Options::default().session.token;
        let mut lab = lab(&format!(
            "[[sessions]]\nname = \"second\"\ninstance_id = \"{SECOND}\"\naccess_token = \"{token}\"\n\
             webhook_secret = \"{SECRET}\"\n"
        ));
        lab.sim.with(|world| {
            let second = world.named(person(447_700_900_002), "Second");
            let mut session = world.sessions()[0].clone();
            (session.name, session.instance_id, session.me) = ("second".into(), SECOND.into(), second);
            world.add_session(session);
            world.group_mut(&group()).unwrap().members.insert(second, Role::Admin);
        });
        assert!(lab.start().await);
        lab.pass(HOUR).await;
        let reads = |lab: &Lab, second: bool| {
            let calls = lab.sim.calls();
            let rosters = calls.iter().filter(|call| call.path.contains("participants"));
            rosters.filter(|call| (call.session.as_deref() == Some(SECOND)) == second).count()
        };
        let before = (reads(&lab, false), reads(&lab, true));
        assert_eq!(before, (1, 1), "at a start both look: each has to know that it is in");
        lab.pass(3 * 24 * HOUR).await;
        assert!((9..=17).contains(&(reads(&lab, false) - before.0)), "{}", reads(&lab, false));
        assert_eq!(reads(&lab, true), before.1);
    });
}
