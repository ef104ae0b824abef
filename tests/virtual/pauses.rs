//! The pause between calls, as the gateway sees it: however long each of them was on its way.

use crate::lab::{BLACKLISTED, Lab, Setup, blacklist, experiment};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Role, Via},
};
use std::time::Duration;

const GAP: Duration = Duration::from_secs(2);
const LISTED: std::ops::Range<u64> = 4_915_100_000_001..4_915_100_000_021;

#[test]
fn the_gateway_sees_no_two_removals_nearer_than_the_gap() {
    experiment(1, async {
        let group = GroupId::parse("120363000000000001@g.us").unwrap();
        let people: Vec<Person> = LISTED.map(|n| Person::of_phone(Phone::from_u64(n).unwrap())).collect();
        let list: String = LISTED.map(|number| format!("+{number}\n")).collect();
        let config = format!(
            "{BLACKLISTED}[limits]\nremove = [\"100/1h\"]\n[pacing]\ngap = \"{}s\"\nramp = \"0s\"\n",
            GAP.as_secs()
        );
        let mut lab = Lab::new(Setup { config, files: blacklist(&list), ..Setup::default() });
        lab.sim.add_group(&group, "Club", Addressing::Phone, Role::Admin);
        assert!(lab.start().await);
        lab.pass(Duration::from_secs(3600)).await;
        lab.sim.join(&group, &people, Via::Link).await;
        lab.pass(Duration::from_secs(3600)).await;
        let calls = lab.sim.calls();
        let at: Vec<Duration> =
            calls.iter().filter(|call| call.is(Class::Remove)).map(|call| call.at).collect();
        assert_eq!(at.len(), people.len());
        let gaps: Vec<Duration> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= GAP), "{gaps:?}");
        // Nor longer than the call takes besides: the pause is not doubled.
        assert!(gaps.iter().all(|gap| *gap < GAP + Duration::from_secs(1)), "{gaps:?}");
    });
}
