//! The rules of the world.

use super::meter::Meter;
use super::world::{Addressing, Change, Via, World};
use crate::{
    clock::Timestamp,
    ids::{GroupId, Person, Phone},
};
use std::time::Duration;

fn phone(text: &str) -> Person {
    Person::of_phone(Phone::parse(text).unwrap())
}

fn club() -> (World, GroupId) {
    let mut world = World::new(1, Meter::default());
    let id = GroupId::parse("120363000000000001@g.us").unwrap();
    world.add_group(id.clone(), "Club", Addressing::Lid);
    (world, id)
}

#[test]
fn one_person_has_one_lid_and_equal_seeds_give_equal_ones() {
    let (mut world, _) = club();
    let ann = world.person(phone("447700900101"));
    assert_eq!(world.person(phone("447700900101")), ann);
    assert_eq!(world.person(Person::of_lid(ann)), ann);
    assert_eq!(world.find("447700900101:3@s.whatsapp.net"), Some(ann));
    assert_eq!(club().0.person(phone("447700900101")), ann);
}

#[test]
fn a_full_group_lets_nobody_in_and_nobody_comes_in_twice() {
    let (mut world, group) = club();
    let people: Vec<_> = (0..3).map(|n| world.person(phone(&format!("44770090010{n}")))).collect();
    world.group_mut(&group).unwrap().capacity = 2;
    let change = world.join(&group, &people, Via::Link);
    assert_eq!(
        change,
        Some(Change::Joined { group: group.clone(), who: people[..2].to_vec(), via: Via::Link })
    );
    assert_eq!(world.join(&group, &people, Via::Link), None);
}

#[test]
fn the_link_is_dead_for_the_removed_until_an_admin_adds_them() {
    let (mut world, group) = club();
    let (ann, owner) = (world.person(phone("447700900101")), world.person(phone("447700900010")));
    world.join(&group, &[ann, owner], Via::Link);
    world.leave(&group, &[ann], Some(owner));
    assert_eq!(world.join(&group, &[ann], Via::Link), None);
    let by = world.both_ids(owner);
    assert!(world.join(&group, &[ann], Via::AddedBy(by)).is_some());
    world.leave(&group, &[ann], None);
    assert!(world.join(&group, &[ann], Via::Link).is_some(), "who went by themselves may come back");
}

#[test]
fn phones_are_seen_by_admins_and_contacts_only() {
    let (mut world, group) = club();
    let (ann, us) = (world.person(phone("447700900101")), world.person(phone("447700900001")));
    world.join(&group, &[ann, us], Via::Link);
    assert_eq!(world.shown(ann, us), Person::of_lid(ann));
    assert!(world.set_role(&group, us, true, ann).is_some());
    assert_eq!(world.shown(ann, us), world.both_ids(ann));
    assert_eq!(world.shown_members(world.group(&group).unwrap(), us).len(), 2);
    world.leave(&group, &[us], None);
    assert_eq!(world.shown(ann, us), Person::of_lid(ann));
    world.befriend(ann);
    assert_eq!(world.pairs(us).len(), 2);
}

#[test]
fn somebody_is_a_stranger_again_after_28_days() {
    let (mut world, _) = club();
    let ann = world.person(phone("447700900101"));
    let day = Duration::from_secs(86_400);
    let wrote = Timestamp(1_771_000_000_000);
    assert!(world.is_cold(ann, wrote));
    world.write(None, None, ann, "hi", wrote);
    assert!(!world.is_cold(ann, wrote + 28 * day));
    assert!(world.is_cold(ann, wrote + 29 * day));
}
