//! Whoever hides behind an id: found within seconds once known, spared where an allowlist might mean them. The routes by
//! which a pair is learnt are in `tests/it/identity.rs`.

use crate::lab::{self, Lab};
use perimeterd::{
    ids::{GroupId, Lid, Person, Phone},
    simulator::{Addressing, Role, Source, Via},
};
use std::time::Duration;

const LISTED: u64 = 4_915_100_000_601;

fn phone(number: u64) -> Phone {
    Phone::from_u64(number).unwrap()
}

fn hiding() -> GroupId {
    GroupId::parse("120363000000000002@g.us").unwrap()
}

/// The lab with one group whose members are named by LID, and two lists.
fn lab_of_hidden(allowlist: &str) -> Lab {
    let config = format!("{}[allowlist]\npath = \"allowlist.txt\"\n", lab::BLACKLISTED);
    let listed: String = (0..8).map(|n| format!("+{}\n", LISTED + n)).collect();
    let mut files = lab::blacklist(&format!("{listed}923001234999@lid\n"));
    files.push(("allowlist.txt".into(), allowlist.into()));
    let lab = Lab::new(lab::Setup { config, files, ..lab::Setup::default() });
    lab.sim.add_group(&hiding(), "Hidden", Addressing::Lid, Role::Admin);
    lab
}

fn open() -> GroupId {
    GroupId::parse("120363000000000007@g.us").unwrap()
}

fn hidden_in(lab: &Lab, number: u64, lid: u64) -> Person {
    let person = Person { phone: Some(phone(number)), lid: Some(Lid::from_u64(lid)) };
    lab.sim.with(|world| {
        world.person(person);
        world.profile_mut(person.lid.unwrap()).unwrap().shown_in.clear();
    });
    person
}

#[test]
fn whoever_becomes_known_is_out_within_seconds_at_default_ceilings() {
    lab::experiment(7, async {
        let mut lab = lab_of_hidden("# nobody\n");
        let seconds = Duration::from_secs;
        assert!(lab.start().await);
        lab.pass(seconds(3600)).await;
        for (n, place) in [Source::Message, Source::Lid, Source::Number].into_iter().enumerate() {
            let n = n as u64;
            let person = hidden_in(&lab, LISTED + n, 923_001_234_000 + n);
            lab.sim.join(&hiding(), &[person], Via::Link).await;
            lab.pass(seconds(10)).await;
            let inside = || lab.sim.with(|world| world.is_member(&hiding(), person));
            assert!(inside(), "{place:?}: nobody knows them yet");
            lab.sim.with(|world| {
                world.profile_mut(person.lid.unwrap()).unwrap().shown_in.insert(place);
            });
            if place == Source::Message {
                lab.sim.message(Some(&hiding()), person, "hello").await;
            }
            // Well before the first recheck; a number is asked about in its turn, days after it was asked in vain.
            let patience = if place == Source::Number { 2 * 24 * 3600 } else { 20 };
            lab.pass(seconds(patience)).await;
            assert!(!inside(), "{place:?}");
            lab.pass(seconds(3600)).await;
        }
    });
}

#[test]
fn an_allowlist_with_an_unknown_account_protects_everybody_hidden() {
    lab::experiment(8, async {
        let friend = LISTED + 20;
        // The second number is on WhatsApp, and the gateway never tells its account.
        let mut lab = lab_of_hidden(&format!("+{friend}\n+{}\n", friend + 1));
        assert!(lab.start().await);
        hidden_in(&lab, friend, 923_001_234_001);
        let unknown = hidden_in(&lab, friend + 1, 923_001_234_002);
        let stranger = hidden_in(&lab, friend + 2, 923_001_234_999);
        lab.sim.join(&hiding(), &[stranger], Via::Link).await;
        lab.pass(Duration::from_secs(600)).await;
        let inside = |person| lab.sim.with(|world| world.is_member(&hiding(), person));
        assert!(inside(stranger), "they could be the one whose account is unknown");
        lab.sim.with(|world| {
            world.profile_mut(unknown.lid.unwrap()).unwrap().shown_in.insert(Source::Number);
        });
        lab.pass(Duration::from_secs(1800)).await;
        assert!(inside(stranger), "and the other account is unknown still");
    });
}

#[test]
fn whom_the_allowlist_names_by_lid_is_spared_in_a_group_of_phones() {
    lab::experiment(9, async {
        let friend = Person { phone: Some(phone(LISTED)), lid: Some(Lid::from_u64(923_001_234_001)) };
        let other = Person { phone: Some(phone(LISTED + 1)), lid: Some(Lid::from_u64(923_001_234_002)) };
        let mut lab = lab_of_hidden(&format!("{}\n", friend.lid.unwrap().jid()));
        lab.sim.add_group(&open(), "Open", Addressing::Phone, Role::Admin);
        assert!(lab.start().await);
        let seconds = Duration::from_secs;
        lab.pass(seconds(3600)).await;
        lab.sim.join(&open(), &[friend, other], Via::Link).await;
        lab.pass(seconds(30)).await;
        let inside = |person| lab.sim.with(|world| world.is_member(&open(), person));
        assert_eq!((inside(friend), inside(other)), (true, false), "the gateway knows whose number is whose");
        lab.pass(seconds(2 * 3600)).await;
        assert!(inside(friend));
    });
}

#[test]
fn whom_a_blacklist_names_by_lid_is_found_in_a_group_of_phones() {
    lab::experiment(10, async {
        let listed = Person { phone: Some(phone(LISTED + 30)), lid: Some(Lid::from_u64(923_001_234_999)) };
        let mut lab = lab_of_hidden("# nobody\n");
        lab.sim.add_group(&open(), "Open", Addressing::Phone, Role::Admin);
        assert!(lab.start().await);
        // Before anybody has told whose number that is, and after.
        for hours in [0, 2] {
            lab.pass(Duration::from_secs(hours * 3600)).await;
            lab.sim.join(&open(), &[listed], Via::Link).await;
            lab.pass(Duration::from_secs(if hours == 0 { 6 * 3600 } else { 20 })).await;
            assert!(!lab.sim.with(|world| world.is_member(&open(), listed)), "after {hours} hours");
        }
    });
}

#[test]
fn who_is_listed_before_a_roster_tells_their_role_is_out() {
    lab::experiment(11, async {
        let person = Person { phone: Some(phone(LISTED + 30)), lid: Some(Lid::from_u64(923_001_234_001)) };
        let mut lab = lab_of_hidden("# nobody\n");
        lab.sim.add_group(&open(), "Open", Addressing::Phone, Role::Admin);
        assert!(lab.start().await);
        lab.pass(Duration::from_secs(3600)).await;
        lab.sim.join(&open(), &[person], Via::Link).await;
        lab.pass(Duration::from_secs(5)).await;
        let listed: String = (0..40).map(|n| format!("+{}\n", LISTED + n)).collect();
        lab.write("blacklist.txt", &format!("{listed}923001234999@lid\n")).await;
        lab.pass(Duration::from_secs(3600)).await;
        assert!(!lab.sim.with(|world| world.is_member(&open(), person)));
    });
}
