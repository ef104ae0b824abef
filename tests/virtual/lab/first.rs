//! The lab itself: one join, one removal; and equal seeds live equal lives.

use super::{BLACKLISTED, Lab, Setup, blacklist, experiment};
use perimeterd::{
    action::Class,
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Role, Via},
};
use std::time::Duration;

#[test]
fn who_is_on_the_blacklist_is_removed_once_in_virtual_time() {
    experiment(1, async {
        let mut lab = Lab::new(Setup {
            config: BLACKLISTED.into(),
            files: blacklist(
                "+4915100000001
",
            ),
            ..Setup::default()
        });
        let group = GroupId::parse("120363000000000001@g.us").unwrap();
        lab.sim.add_group(&group, "Club", Addressing::Phone, Role::Admin);
        assert!(lab.start().await);
        lab.pass(Duration::from_secs(3600)).await;
        let listed = Person::of_phone(Phone::from_u64(4_915_100_000_001).unwrap());
        lab.sim.join(&group, &[listed], Via::Link).await;
        lab.pass(Duration::from_secs(14 * 24 * 3600)).await;
        assert!(!lab.sim.with(|world| world.is_member(&group, listed)));
        let calls = lab.sim.calls();
        assert_eq!(calls.iter().filter(|call| call.is(Class::Remove)).count(), 1, "{calls:#?}");
    });
}
