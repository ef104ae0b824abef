//! A disk without room: what cannot be begun waits, is not asked for without end, and is done once there is room.

use crate::lab::{BLACKLISTED, Lab, Setup, blacklist, experiment};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Role, Via},
};
use std::time::Duration;

const LISTED: [u64; 3] = [4_915_100_000_001, 4_915_100_000_002, 4_915_100_000_003];

#[test]
fn removals_that_cannot_begin_on_a_full_disk_wait_quietly_and_are_made_once() {
    experiment(1, async {
        let group = GroupId::parse("120363000000000001@g.us").unwrap();
        let people = LISTED.map(|number| Person::of_phone(Phone::from_u64(number).unwrap()));
        let list = LISTED.map(|number| format!("+{number}\n")).concat();
        let config =
            format!("{BLACKLISTED}[limits]\nremove = [\"1/10m\"]\n[pacing]\ngap = \"0s\"\nramp = \"0s\"\n");
        let mut lab = Lab::new(Setup { config, files: blacklist(&list), ..Setup::default() });
        lab.sim.add_group(&group, "Club", Addressing::Phone, Role::Admin);
        assert!(lab.start().await);
        lab.pass(Duration::from_secs(3600)).await;
        lab.sim.join(&group, &people, Via::Link).await;
        lab.pass(Duration::from_secs(60)).await;
        let removed = || lab.sim.calls().iter().filter(|call| call.is(Class::Remove)).count();
        assert_eq!(removed(), 1, "the others wait for a place");
        lab.disk.set_full(true);
        // The disk ends the daemon that asks it without end.
        lab.pass(Duration::from_secs(3600)).await;
        assert!(lab.is_up() && !lab.disk.spun());
        assert_eq!(removed(), 1, "nothing is begun that cannot be written down");
        lab.disk.set_full(false);
        lab.pass(Duration::from_secs(3600)).await;
        assert_eq!(removed(), 3);
        assert!(people.iter().all(|person| !lab.sim.with(|world| world.is_member(&group, *person))));
    });
}
