//! The shipped policy of grace over three weeks of nightly sweeps: reminded ahead of the end, told at the end, removed after
//! the days of grace; who pays in between stays, and so does whoever nobody knows anything of.

use crate::lab::{Lab, Setup, experiment};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Role},
};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// Pays until the first of October and no longer.
const ANN: u64 = 4_915_100_000_001;
/// Pays again on the third.
const BEN: u64 = 4_915_100_000_002;
/// Has a status that nobody understands.
const CEM: u64 = 4_915_100_000_003;
/// Does not pay, and never wrote to us.
const DAN: u64 = 4_915_100_000_004;

fn group() -> GroupId {
    GroupId::parse("120363000000000001@g.us").unwrap()
}

fn person(number: u64) -> Person {
    Person::of_phone(Phone::from_u64(number).unwrap())
}

fn file(ben: &str) -> String {
    format!(
        "phone,status,plan,expires_at\n+{ANN},active,gold,2026-10-01\n+{BEN},active,gold,{ben}\n+{CEM},odd,gold,\n"
    )
}

/// The world begins on 21 September 2026, in the afternoon.
fn lab() -> Lab {
    let config = r#"
[[groups]]
name = "club"
match = "120363*@g.us"
chain = ["grace"]
mode = "enforce"
[subscriptions]
source = "file"
path = "subscriptions.csv"
"#
    .into();
    let shipped = [
        ("grace.rhai", include_str!("../../policies/grace.rhai")),
        ("templates/how-to-join.txt", include_str!("../../policies/templates/how-to-join.txt")),
        ("templates/subscription-ends.txt", include_str!("../../policies/templates/subscription-ends.txt")),
        ("templates/subscription-ended.txt", include_str!("../../policies/templates/subscription-ended.txt")),
    ];
    let files = shipped.iter().map(|(name, text)| (format!("policies/{name}"), (*text).to_owned()));
    let files = files.chain([("subscriptions.csv".into(), file("2026-10-01"))]).collect();
    let lab = Lab::new(Setup { config, files, ..Setup::default() });
    lab.sim.add_group(&group(), "Club", Addressing::Phone, Role::Admin);
    lab.sim.seat(&group(), &[ANN, BEN, CEM, DAN].map(person), Role::Participant);
    lab
}

fn is_inside(lab: &Lab, number: u64) -> bool {
    lab.sim.with(|world| world.is_member(&group(), person(number)))
}

/// What somebody was written in private, in order.
fn texts(lab: &Lab, number: u64) -> Vec<String> {
    let calls = lab.sim.calls();
    let to = calls
        .iter()
        .filter(|call| call.chat.as_deref().is_some_and(|chat| chat.starts_with(&number.to_string())));
    to.filter_map(|call| call.text.clone()).collect()
}

#[test]
fn a_member_is_reminded_kept_in_grace_and_then_removed_and_who_pays_in_between_stays() {
    experiment(1, async {
        let mut lab = lab();
        assert!(lab.start().await);
        lab.pass(HOUR).await;
        for number in [ANN, BEN, CEM] {
            lab.sim.message(None, person(number), "Hello").await;
        }
        // To the twenty-fourth, in the afternoon.
        lab.pass(3 * DAY).await;
        assert!(texts(&lab, ANN).is_empty(), "more than a week is left");
        assert!(is_inside(&lab, DAN), "the days of grace are for everybody");
        lab.pass(2 * DAY).await;
        assert_eq!(texts(&lab, ANN).len(), 1);
        assert!(texts(&lab, ANN)[0].contains("2026-10-01"), "{:?}", texts(&lab, ANN));
        assert!(!is_inside(&lab, DAN));
        assert!(texts(&lab, DAN).is_empty(), "strangers are not written to");
        // To the first, in the afternoon.
        lab.pass(5 * DAY).await;
        assert_eq!(texts(&lab, ANN).len(), 2, "a week before, and a day: {:?}", texts(&lab, ANN));
        lab.pass(DAY).await;
        assert!(texts(&lab, ANN)[2].contains("3 days"), "{:?}", texts(&lab, ANN));
        assert_eq!(texts(&lab, BEN), texts(&lab, ANN));
        lab.pass(DAY).await;
        lab.write("subscriptions.csv", &file("2027-10-01")).await;
        // To the fourth: two and a half days of grace.
        lab.pass(DAY).await;
        assert!(is_inside(&lab, ANN));
        lab.pass(2 * DAY).await;
        assert!(!is_inside(&lab, ANN));
        assert_eq!(texts(&lab, ANN).len(), 4, "and told how to come back: {:?}", texts(&lab, ANN));
        lab.pass(14 * DAY).await;
        assert!(is_inside(&lab, BEN), "paid in between");
        assert_eq!(texts(&lab, BEN).len(), 3);
        assert!(is_inside(&lab, CEM), "unknown is not unpaid");
        let removals = lab.sim.calls().iter().filter(|call| call.is(Class::Remove) && call.effect).count();
        assert_eq!(removals, 2, "each once");
    });
}

/// The clock alone has everybody looked at, and no restart makes it late or does it twice.
#[test]
fn the_schedule_comes_round_once_a_day_whatever_restarts() {
    experiment(1, async {
        let mut lab = lab();
        assert!(lab.start().await);
        for _ in 0..3 {
            lab.pass(8 * HOUR).await;
            lab.kill().await;
            lab.pass(HOUR).await;
            assert!(lab.start().await);
        }
        lab.pass(3 * DAY).await;
        let mut sweeps = lab.store.sweeps(100).await.unwrap();
        sweeps.reverse();
        let at: Vec<i64> = sweeps.iter().map(|sweep| sweep.asked_at.0 / 1000 % 86_400 / 60).collect();
        assert_eq!(at, [240; 4], "at four in the morning: {sweeps:?}");
        assert!(sweeps.iter().all(|sweep| sweep.finished_at.is_some() && sweep.looked_at > 0));
    });
}
