//! What a document says, who may have signed it, and which one is in force.

use super::{
    document::Listed,
    publish::{Draft, Either, Own},
    *,
};
use crate::{
    clock::Timestamp,
    config::{Secret, SharedList as Config, Trust},
    ids::{Lid, Person, Phone},
    takeup::Takeup,
};
use std::{fs, sync::Arc, time::Duration};

const NOW: Timestamp = Timestamp(1_800_000_000_000); // 2027-01-15
const DAY: Duration = Duration::from_secs(24 * 3600);
const SHARED: &str = "0123456789abcdef0123456789abcdef";

fn phone(number: u64) -> Phone {
    Phone::from_u64(number).unwrap()
}

fn own(number: u64) -> Own {
    Own { whom: Either::Phone(phone(number)), reason: Some("sells \"pills\"".into()), expires_at: None }
}

fn draft<'a>(own: Vec<Own>, before: Option<&'a Document>, key: Option<&'a HashKey>) -> Draft<'a> {
    Draft {
        name: "eu".into(),
        publisher: "Club Berlin".into(),
        version: None,
        key,
        own,
        before,
        because: Some("not them".into()),
        lasts: 90 * DAY,
        now: NOW,
    }
}

/// A publisher and a subscriber.
struct Place {
    dir: tempfile::TempDir,
    signer: Signer,
    config: Config,
}

impl Place {
    fn new(trust: Trust) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::new(&Signer::invent().unwrap().0, None).unwrap();
        let config = Config {
            name: "eu".into(),
            published_as: "eu".into(),
            path: dir.path().join("eu.list"),
            url: None,
            public_key: signer.verifier().text().to_owned(),
            key: Some(Secret::new(SHARED)),
            trust,
        };
        Self { dir, signer, config }
    }

    fn write(&self, text: &str) {
        self.write_signed(text, &self.signer);
    }

    fn write_signed(&self, text: &str, signer: &Signer) {
        fs::write(&self.config.path, text).unwrap();
        let signature = signer.sign(text.as_bytes(), "eu").unwrap();
        fs::write(memory::signature_of(&self.config.path), signature).unwrap();
    }

    fn publish(&self, numbers: &[u64], before: Option<&Document>) -> Document {
        let own = numbers.iter().map(|number| own(*number)).collect();
        let document = publish(draft(own, before, None)).unwrap().document;
        self.write(&document.text());
        document
    }

    fn open(&self) -> (SharedList, Vec<Takeup>) {
        SharedList::open(&self.config, 0.2, &self.dir.path().join("kept"), NOW, true)
    }
}

/// Looks until the files have stood still.
fn settle(list: &SharedList, now: Timestamp) -> Vec<Takeup> {
    [list.poll(now), list.poll(now)].concat()
}

fn names(list: &SharedList, number: u64) -> bool {
    list.find(Person::of_phone(phone(number)), NOW).unwrap().is_some()
}

const ONE: u64 = 4_915_100_000_001;

#[test]
fn a_document_is_read_as_it_was_written() {
    let lid = Own { whom: Either::Lid(Lid::from_u64(77)), reason: None, expires_at: Some(NOW + DAY) };
    let key = HashKey::new(SHARED).unwrap();
    for key in [None, Some(&key)] {
        let first = publish(draft(vec![own(ONE), own(ONE + 1), lid.clone()], None, key)).unwrap();
        let later =
            publish(Draft { now: NOW + 3 * DAY, ..draft(vec![own(ONE)], Some(&first.document), key) });
        let later = later.unwrap();
        assert_eq!((first.added, first.retracted, later.added, later.retracted), (3, 0, 0, 1));
        for document in [&first.document, &later.document] {
            assert_eq!(&Document::parse(&document.text()).unwrap(), document);
        }
        let read = Document::parse(&first.document.text()).unwrap();
        let mut reasons = read.entries().iter().filter_map(|listed| listed.reason.as_ref());
        let (one, other) = (reasons.next().unwrap(), reasons.next().unwrap());
        assert!(Arc::ptr_eq(one, other), "a reason that many entries have is held once");
        assert_eq!(later.document.header.version, 2);
        let listed: &Listed = &later.document.entries()[0];
        assert_eq!(listed.added.to_string(), "2027-01-15", "listed first on that day");
        assert_eq!(listed.reason.as_deref(), Some("sells 'pills'"));
        assert_eq!(later.document.retractions()[0].reason.as_deref(), Some("not them"));
        assert_eq!(
            key.is_some(),
            !later.document.text().contains("4915100000001"),
            "no number beside a hash"
        );
    }
}

#[test]
fn what_is_listed_again_is_no_longer_retracted() {
    let with = |own: Vec<Own>, before: &Document| publish(draft(own, Some(before), None)).unwrap().document;
    let first = publish(draft(vec![own(ONE)], None, None)).unwrap().document;
    let second = with(vec![], &first);
    let third = with(vec![own(ONE)], &second);
    assert_eq!((second.retractions().len(), third.retractions().len()), (1, 0));
    let late = publish(Draft { version: Some(2), ..draft(vec![], Some(&third), None) });
    assert!(late.unwrap_err().starts_with("version 3 was published already"));
    let last =
        publish(Draft { version: Some(u64::MAX), ..draft(vec![], Some(&third), None) }).unwrap().document;
    assert!(publish(draft(vec![], Some(&last), None)).unwrap_err().contains("no version after"));
}

#[test]
fn a_broken_document_is_refused_with_its_line_and_shows_no_number() {
    let good = publish(draft(vec![own(ONE)], None, None)).unwrap().document.text();
    let cases = [
        (good.replace("perimeterd-list 1", "perimeterd-list 2"), "format 2"),
        (good.replace("version: 1", "version: one"), "`version` is not a number"),
        (good.replace("entries: 1", "entries: 2"), "announces 2 entries"),
        (good.replace("added=2027-01-15", "added=soon"), "line 11: this is not a date"),
        (good.replace(" added=2027-01-15", ""), "`added=…` is missing"),
        (good.replace("added=2027", "colour=red added=2027"), "does not know"),
        (good.replace("+4915100000001", "+49151*"), "neither a number"),
        (good.replace("+4915100000001", "h:00000001-00000002-00000003-00000004"), "mixes numbers and hashes"),
        (good[..good.len() - 3].to_owned(), "no closing quote"),
        (good.replace("sells", "\u{1b}[2Jsells"), "line 11: the line has a control character"),
        (good.replace("Club Berlin", "Club\u{7}Berlin"), "line 3: the line has a control character"),
        (good.replace("Club Berlin", &"Club ".repeat(1000)), "line 3: the line is too long"),
        (good.replace("sells", &"sells ".repeat(1000)), "line 11: the line is too long"),
        (String::new(), "does not begin with"),
    ];
    for (text, says) in cases {
        let why = Document::parse(&text).unwrap_err();
        assert!(why.contains(says), "{why}");
        assert!(!why.contains("4915100000001"), "{why}");
    }
}

#[test]
fn hashes_need_the_right_key_and_keep_phones_and_lids_apart() {
    let key = HashKey::new(SHARED).unwrap();
    let other = HashKey::new(&SHARED.replace('0', "1")).unwrap();
    assert_ne!((key.id(), key.phone(phone(ONE))), (other.id(), other.phone(phone(ONE))));
    assert!(HashKey::new("short").is_err());
    let place = Place::new(Trust::Ask);
    let lid = Own { whom: Either::Lid(Lid::from_u64(ONE)), ..own(1_234_567) };
    place.write(&publish(draft(vec![lid, own(ONE + 1)], None, Some(&key))).unwrap().document.text());
    let (list, _) = place.open();
    let by_lid = list.find(Person::of_lid(Lid::from_u64(ONE)), NOW).unwrap().unwrap();
    assert!(by_lid.hit.entry.starts_with("l:"), "{by_lid:?}");
    assert!(names(&list, ONE + 1) && !names(&list, ONE), "digits of a LID are never a phone");
    let hidden = Person::of_lid(Lid::from_u64(5));
    assert!(
        list.find(hidden, NOW).is_err() && list.find_in_preview(hidden, NOW).is_err(),
        "the phone could be on it"
    );
    let config = Config { key: Some(Secret::new(SHARED.replace('0', "1"))), ..place.config.clone() };
    let (_, told) = SharedList::open(&config, 0.2, &place.dir.path().join("other"), NOW, true);
    assert!(
        matches!(&told[..], [Takeup::Refused { why, .. }] if why.contains("made with the key")),
        "{told:?}"
    );
}

/// Whatever is wrong: refused once with that sentence, and what was in force stays.
#[test]
fn what_cannot_be_relied_on_is_refused_and_the_last_good_one_stays() {
    let place = Place::new(Trust::Ask);
    let first = place.publish(&[ONE], None);
    let second = publish(draft(vec![own(ONE), own(ONE + 1)], Some(&first), None)).unwrap().document;
    place.write(&second.text());
    let (list, told) = place.open();
    assert!(matches!(&told[..], [Takeup::Taken { .. }]), "{told:?}");
    let stranger = Signer::new(&Signer::invent().unwrap().0, None).unwrap();
    let third = publish(draft(vec![own(ONE + 5)], Some(&second), None)).unwrap().document;
    let renamed = third.text().replace("name: eu", "name: us");
    let over = publish(Draft { lasts: Duration::ZERO, ..draft(vec![own(ONE)], Some(&second), None) });
    let forged = second.text().replace("4915100000002", "4915100000003");
    type Deed<'a> = Box<dyn Fn() + 'a>;
    let cases: Vec<(&str, Deed<'_>)> = vec![
        ("its signature is bad", Box::new(|| fs::write(&place.config.path, third.text()).unwrap())),
        ("signed by another key", Box::new(|| place.write_signed(&third.text(), &stranger))),
        ("older than version 2", Box::new(|| place.write(&first.text()))),
        ("another version 2", Box::new(|| place.write(&forged))),
        ("the list `us`, not `eu`", Box::new(|| place.write(&renamed))),
        ("has expired", Box::new(|| place.write(&over.as_ref().unwrap().document.text()))),
        (
            "not one of minisign",
            Box::new(|| fs::write(memory::signature_of(&place.config.path), "x").unwrap()),
        ),
        ("is missing", Box::new(|| fs::remove_file(memory::signature_of(&place.config.path)).unwrap())),
        ("is missing", Box::new(|| fs::remove_file(&place.config.path).unwrap())),
    ];
    for (says, spoil) in cases {
        spoil();
        let told = settle(&list, NOW);
        assert!(matches!(&told[..], [Takeup::Refused { why, .. }] if why.contains(says)), "{says}: {told:?}");
        assert!(list.waiting().unwrap().contains("version 2 stays in force"), "{says}");
        assert!(settle(&list, NOW).is_empty(), "{says}: told once");
        assert!(list.accept(NOW).unwrap_err().contains(says), "{says}: not even if accepted");
        let (again, _) = place.open();
        for list in [&list, &again] {
            assert!(names(list, ONE) && names(list, ONE + 1) && !names(list, ONE + 5), "{says}");
        }
    }
    place.write(&third.text());
    assert!(matches!(&settle(&list, NOW)[..], [Takeup::Taken { .. }]));
    assert!(list.waiting().is_none() && names(&list, ONE + 5) && !names(&list, ONE));
}

#[test]
fn an_older_version_is_refused_even_after_a_restart_without_the_document() {
    let place = Place::new(Trust::Ask);
    let first = place.publish(&[ONE], None);
    place.publish(&[ONE, ONE + 1], Some(&first));
    drop(place.open());
    fs::remove_file(place.dir.path().join("kept/shared/eu.list")).unwrap();
    place.write(&first.text());
    let (list, told) = place.open();
    assert!(matches!(&told[..], [Takeup::Refused { why, .. }] if why.contains("older")), "{told:?}");
    assert!(list.find(Person::of_phone(phone(ONE)), NOW).is_err(), "unknown, not unlisted");
}

#[test]
fn a_list_to_be_enforced_watches_until_it_is_accepted_once() {
    let place = Place::new(Trust::Enforce);
    let first = place.publish(&[ONE], None);
    let (list, told) = place.open();
    assert!(
        matches!(&told[..], [Takeup::Taken { .. }, Takeup::Refused { why, .. }] if why.contains("accept eu"))
    );
    assert_eq!(list.trust(), Trust::Watch);
    list.accept(NOW).unwrap();
    assert_eq!((list.trust(), list.waiting()), (Trust::Enforce, None));
    let (again, _) = place.open();
    assert_eq!(again.trust(), Trust::Enforce, "for good");
    place.publish(&[ONE, ONE + 1], Some(&first));
    assert!(matches!(&settle(&again, NOW)[..], [Takeup::Taken { .. }]), "later versions come by themselves");
    assert!(names(&again, ONE + 1));
    // Another list of the same publisher has its own versions, and was not accepted.
    let other = Config { published_as: "us".into(), ..place.config.clone() };
    let us = publish(Draft { name: "us".into(), ..draft(vec![own(ONE + 2)], None, None) }).unwrap().document;
    let text = fs::read(&place.config.path).unwrap();
    place.write(&us.text());
    let (us, _) = SharedList::open(&other, 0.2, &place.dir.path().join("kept"), NOW, false);
    assert_eq!((us.trust(), names(&us, ONE + 2)), (Trust::Watch, true), "{:?}", us.waiting());
    place.write(std::str::from_utf8(&text).unwrap());
    let stranger = Signer::new(&Signer::invent().unwrap().0, None).unwrap();
    let config = Config { public_key: stranger.verifier().text().to_owned(), ..place.config.clone() };
    let (changed, _) = SharedList::open(&config, 0.2, &place.dir.path().join("kept"), NOW, true);
    assert_eq!(changed.trust(), Trust::Watch, "another publisher is another list");
    assert!(changed.entries().is_none());
}

#[test]
fn entries_that_are_lost_wait_for_accept_and_retracted_ones_do_not() {
    let place = Place::new(Trust::Ask);
    let all: Vec<u64> = (0..10).map(|n| ONE + n).collect();
    let first = place.publish(&all, None);
    let (list, _) = place.open();
    // As a publisher does who lost the version before.
    let lost = publish(Draft { version: Some(2), ..draft(vec![own(ONE)], None, None) }).unwrap().document;
    place.write(&lost.text());
    let told = settle(&list, NOW);
    assert!(matches!(&told[..], [Takeup::Refused { why, .. }] if why.contains("9 of 10 entries are gone")));
    assert!(names(&list, ONE + 9), "{told:?}");
    let unseen =
        publish(Draft { version: Some(3), ..draft(vec![own(ONE + 1)], None, None) }).unwrap().document;
    place.write(&unseen.text());
    assert!(
        list.accept(NOW).unwrap_err().contains("version 3 has come just now"),
        "nobody has seen its preview"
    );
    place.write(&lost.text());
    assert!(
        list.find_in_preview(Person::of_phone(phone(ONE + 9)), NOW).unwrap().is_none(),
        "the preview is of it"
    );
    list.accept(NOW).unwrap();
    assert!(names(&list, ONE) && !names(&list, ONE + 9));
    let place = Place::new(Trust::Ask);
    place.write(&first.text());
    let (list, _) = place.open();
    place.publish(&[ONE], Some(&first));
    assert!(matches!(&settle(&list, NOW)[..], [Takeup::Taken { .. }]), "each was taken back by name");
    let gone = list.gone("+4915100000002", NOW).unwrap();
    assert_eq!(gone.why, "shared list eu (version 2): it retracts the entry: not them");
    assert!(list.gone("+4915100000001", NOW).is_none());
}

#[test]
fn a_document_whose_time_is_over_puts_nobody_out() {
    let place = Place::new(Trust::Ask);
    place.publish(&[ONE], None);
    let (list, _) = place.open();
    let later = NOW + 91 * DAY;
    let told = settle(&list, later);
    assert!(matches!(&told[..], [Takeup::Refused { why, .. }] if why.contains("has expired")), "{told:?}");
    assert!(settle(&list, later).is_empty(), "told once");
    assert!(list.find(Person::of_phone(phone(ONE)), later).unwrap().unwrap().stale);
    let (_, again) = SharedList::open(&place.config, 0.2, &place.dir.path().join("kept"), later, true);
    assert!(again.iter().any(|takeup| told.contains(takeup)), "the same words, so the same alert: {again:?}");
    place.write(&fs::read_to_string(&place.config.path).unwrap());
    assert!(settle(&list, later).is_empty(), "touched, not changed");
    assert!(list.waiting().unwrap().contains("has expired"));
}
