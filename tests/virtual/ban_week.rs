//! A week of mixed work before a meter that loses patience with numbers: at default settings the number is never
//! restricted, and all work gets done; with the ceilings off the same week costs the number.
//!
//! Virtual time, the whole daemon. What the meter holds against a number stands in the simulator's `meter`.

use crate::lab::{Lab, Setup, experiment};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Options, Role, Via, meter::Meter},
};
use std::time::Duration;

const CLUB: &str = "120363000000000001@g.us";
const DAYS: u64 = 7;
const RAIDERS: u64 = 60;
const LAPSED: u64 = 30;
const NEWCOMERS: u64 = 10;
const FOUNDERS: u64 = 5;
const COUPLES: u64 = 4;

/// Whoever comes under +49152 gets a circle of their own; whoever comes under +49153 brings a partner under +49154.
const PROVISION: &str = r#"
fn on_join(member, group) {
    let phone = member.phone;
    if phone == () { return; }
    if phone.starts_with("+49152") {
        create_group(#{ subject: "A circle", members: [phone] });
    }
    if phone.starts_with("+49153") {
        group.add("+49154" + phone.sub_string(6));
    }
}
"#;

/// All raiders. By prefix: numbers by themselves are looked up ahead, which is not what this is about.
const BLACKLIST: &str = "+49160* reason=\"harvests numbers\"\n";

const NO_CEILINGS: &str = r#"
[limits]
group_create = ["100000/1m"]
add = ["100000/1m"]
remove = ["100000/1m"]
dm = ["100000/1m"]
cold_dm = ["100000/1m"]
group_message = ["100000/1m"]
settings = ["100000/1m"]
read = ["100000/1m"]
[pacing]
gap = "0s"
ramp = "0s"
"#;

/// The people of the week, told apart by the beginning of their numbers: this many hundred millions.
#[derive(Clone, Copy)]
enum Kind {
    Member = 49_151,
    Founder = 49_152,
    Couple = 49_153,
    Partner = 49_154,
    Newcomer = 49_155,
    Lapsed = 49_156,
    Raider = 49_160,
}

fn person(kind: Kind, number: u64) -> Person {
    Person::of_phone(Phone::from_u64(u64::from(kind as u32) * 100_000_000 + number).unwrap())
}

fn club() -> GroupId {
    GroupId::parse(CLUB).unwrap()
}

/// A world and its daemon; `settings` are sections of the configuration, and none means the defaults.
fn world(settings: &str) -> Lab {
    let simulator = Options { meter: Meter::on(), ..Options::default() };
    let config = format!(
        r#"
[[groups]]
name = "club"
match = "{CLUB}"
chain = ["raid", "blacklist", "subscribers", "provision", "welcome"]
mode = "enforce"
[[blacklists]]
name = "scrapers"
path = "blacklist.txt"
[subscriptions]
source = "http"
url = "http://crm.lab/members/{{digits}}"
{settings}
"#
    );
    let shipped = [
        ("raid.rhai", include_str!("../../policies/raid.rhai")),
        ("blacklist.rhai", include_str!("../../policies/blacklist.rhai")),
        ("subscribers.rhai", include_str!("../../policies/subscribers.rhai")),
        ("welcome.rhai", include_str!("../../policies/welcome.rhai")),
        ("provision.rhai", PROVISION),
        ("templates/how-to-join.txt", include_str!("../../policies/templates/how-to-join.txt")),
    ];
    let files = shipped.iter().map(|(name, text)| (format!("policies/{name}"), (*text).to_owned()));
    let files = files.chain([("blacklist.txt".into(), BLACKLIST.into())]).collect();
    let lab = Lab::new(Setup { config, files, simulator, ..Setup::default() });
    lab.sim.add_group(&club(), "Club", Addressing::Lid, Role::Admin);
    lab.sim.seat(&club(), &[person(Kind::Member, 0)], Role::Superadmin);
    let members: Vec<_> = (1..100).map(|number| person(Kind::Member, number)).collect();
    lab.sim.seat(&club(), &members, Role::Participant);
    for (kind, people, status) in [
        (Kind::Member, 100, "active"),
        (Kind::Founder, DAYS * FOUNDERS, "active"),
        (Kind::Couple, DAYS * COUPLES, "active"),
        (Kind::Partner, DAYS * COUPLES, "active"),
        (Kind::Newcomer, DAYS * NEWCOMERS, "active"),
        (Kind::Lapsed, DAYS * LAPSED, "canceled"),
        (Kind::Raider, DAYS * RAIDERS, "none"),
    ] {
        for number in 0..people {
            lab.crm.set(person(kind, number).phone.unwrap(), status);
        }
    }
    lab
}

/// People come by the link, each so long after the last.
async fn come(lab: &Lab, day: u64, kind: Kind, each: u64, pause: u64) {
    for number in day * each..(day + 1) * each {
        lab.sim.join(&club(), &[person(kind, number)], Via::Link).await;
        lab.pass(Duration::from_secs(pause)).await;
    }
}

/// Day after day, until the week or the number is over.
async fn live(lab: &mut Lab) {
    assert!(lab.start().await);
    lab.pass(Duration::from_secs(3600)).await;
    for day in 0..DAYS {
        if lab.sim.with(|world| world.meter().is_restricted()) {
            return;
        }
        let midnight = lab.elapsed();
        // Who wants something of us writes first; so do some of those who lapsed.
        for (kind, people, each) in [
            (Kind::Founder, FOUNDERS, FOUNDERS),
            (Kind::Partner, COUPLES, COUPLES),
            (Kind::Lapsed, 3, LAPSED),
        ] {
            for number in day * each..day * each + people {
                lab.sim.message(None, person(kind, number), "Hello").await;
            }
        }
        come(lab, day, Kind::Founder, FOUNDERS, 600).await;
        come(lab, day, Kind::Couple, COUPLES, 600).await;
        // Not together with the raid: those who come in a raid are not written to one by one.
        come(lab, day, Kind::Lapsed, LAPSED, 600).await;
        come(lab, day, Kind::Newcomer, NEWCOMERS, 60).await;
        come(lab, day, Kind::Raider, RAIDERS, 1).await;
        let rest = Duration::from_secs(24 * 3600) - (lab.elapsed() - midnight);
        lab.pass(rest).await;
    }
}

/// Calls of a class that had their effect.
fn done(lab: &Lab, class: Class) -> usize {
    lab.sim.calls().iter().filter(|call| call.effect && call.is(class)).count()
}

/// Points at their highest, and whether the number was restricted.
fn verdict(lab: &Lab) -> (f64, bool) {
    lab.sim.with(|world| (world.meter().highest(), world.meter().is_restricted()))
}

#[test]
fn a_week_of_mixed_work_at_default_settings_never_restricts_the_number() {
    experiment(11, async {
        let mut lab = world("");
        live(&mut lab).await;
        let (points, restricted) = verdict(&lab);
        assert!(!restricted, "{points} points");
        let inside = |kind, people: u64| {
            let there = |number: &u64| lab.sim.with(|world| world.is_member(&club(), person(kind, *number)));
            (0..people).filter(there).count()
        };
        assert_eq!(inside(Kind::Raider, DAYS * RAIDERS), 0);
        assert_eq!(inside(Kind::Lapsed, DAYS * LAPSED), 0);
        assert_eq!(done(&lab, Class::Remove) as u64, DAYS * (RAIDERS + LAPSED), "nobody is removed twice");
        let others =
            [Class::Dm, Class::ColdDm, Class::GroupMessage, Class::GroupCreate, Class::Add, Class::Settings];
        let counts = others.map(|class| (class.as_str(), done(&lab, class)));
        assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
    });
}

#[test]
fn the_same_week_with_the_ceilings_off_costs_the_number() {
    experiment(11, async {
        let mut lab = world(NO_CEILINGS);
        live(&mut lab).await;
        let (points, restricted) = verdict(&lab);
        assert!(restricted, "{points} points");
    });
}
