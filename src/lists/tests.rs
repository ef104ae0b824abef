//! What a list's text means, whom it names, and how files come into force.

use super::*;
use crate::{
    clock::Timestamp,
    config::BadLines,
    facts::{ListHit, Lookup},
    ids::{Lid, Person, Phone},
    takeup::Takeup,
};
use jiff::tz::TimeZone;
use std::{fs, path::Path};

const NOW: Timestamp = Timestamp(1_800_000_000_000); // 2027-01-15

fn context(country: Option<&str>) -> ParseContext {
    ParseContext {
        default_country: country.map(Into::into),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
    }
}

fn list(text: &str) -> ListSet {
    let (list, broken) = read(text, &context(Some("DE")));
    assert_eq!(broken, [], "{text}");
    list
}

/// A list from a text that comes in small pieces, and its broken lines.
fn read(text: &str, context: &ParseContext) -> (ListSet, Vec<lines::LineProblem>) {
    let mut reader = std::io::BufReader::with_capacity(7, text.as_bytes());
    let read = lines::read(&mut reader, context, BadLines::Skip).unwrap();
    let broken = read.broken.shown.clone();
    (read.finish(None), broken)
}

fn phone(text: &str) -> Person {
    Person::of_phone(Phone::parse(text).unwrap())
}

fn lid(text: &str) -> Person {
    Person::of_lid(Lid::parse(text).unwrap())
}

#[test]
fn every_spelling_names_its_person() {
    let cases = [
        ("+4915112345678", "4915112345678", "+4915112345678"),
        ("004915112345678", "4915112345678", "+4915112345678"),
        ("4915112345678", "4915112345678", "+4915112345678"),
        ("+49 (151) 123-45678", "4915112345678", "+4915112345678"),
        ("0151 12345678", "4915112345678", "+4915112345678"),
        ("4915112345678:3@s.whatsapp.net", "4915112345678", "+4915112345678"),
        ("  4915112345678@c.us  # one", "4915112345678", "+4915112345678"),
        ("+92*", "923001234567", "+92*"),
        ("0092300*", "923001234567", "+92300*"),
        ("@PK", "923001234567", "@PK"),
        ("@jm", "18765551234", "@JM"),
        ("1234567", "1234567", "+1234567"),
    ];
    for (text, person, entry) in cases {
        let hit = list(text).find(phone(person), NOW).unwrap_or_else(|| panic!("{text} misses {person}"));
        assert_eq!(hit.entry, entry, "{text}");
    }
    assert!(list("@US").find(phone("18765551234"), NOW).is_none(), "Jamaica is not the United States");
    assert!(list("+92*").find(phone("4992300123456"), NOW).is_none());
}

#[test]
fn digits_of_a_lid_match_no_number_prefix_or_country() {
    let text = "27264519544897\n+27*\n@ZA";
    assert!(list(text).find(lid("27264519544897@lid"), NOW).is_none());
    let hit = list("27264519544897@lid").find(lid("27264519544897:7@lid"), NOW).unwrap();
    assert_eq!(hit.entry, "27264519544897@lid");
    assert!(list("27264519544897@lid").find(phone("27264519544897"), NOW).is_none());
}

#[test]
fn reason_end_and_comment_stand_behind_an_entry() {
    let text = "\u{feff}# head\r\n\r\n+4915112345678 reason=sells pills expires=2027-01-31 # seen twice\r\n\
                +4915112345679 expires=2027-01-14\r\n+4915112345670 reason=\"a # and expires=x\"\r\n";
    let list = list(text);
    let hit = list.find(phone("4915112345678"), NOW).unwrap();
    assert_eq!(hit.reason.as_deref(), Some("sells pills"));
    // The end of the 31st in Berlin is 23:00 UTC.
    assert_eq!(hit.expires_at.unwrap().to_string(), "2027-01-31T23:00:00.000Z");
    assert!(list.find(phone("4915112345679"), NOW).is_none(), "it was over on the 14th");
    let hit = list.find(phone("4915112345670"), NOW).unwrap();
    assert_eq!(hit.reason.as_deref(), Some("a # and expires=x"));
    assert_eq!(list.len(), 3);
}

#[test]
fn an_entry_says_where_it_comes_from() {
    let text = "+4915112345678 reason=sells pills source=Anna of the Kiel group expires=2027-01-31\n\
                +4915112345679 source=\"report = 7\" reason=spam\n+4915112345679 source=another";
    let list = list(text);
    let hit = |number| list.find(phone(number), NOW).unwrap();
    let said = |hit: ListHit| (hit.reason.unwrap(), hit.source.unwrap(), hit.expires_at.is_some());
    assert_eq!(said(hit("4915112345678")), ("sells pills".into(), "Anna of the Kiel group".into(), true));
    assert_eq!(said(hit("4915112345679")), ("spam".into(), "report = 7".into(), false));
}

#[test]
fn whatever_space_stands_before_a_key_it_is_a_key() {
    for space in ["\t", "  ", "\u{a0}", " \t", "\u{3000}"] {
        let text = format!(
            "+4915112345678{space}reason=sells{space}pills{space}source=Kiel{space}expires=2027-01-31"
        );
        let hit = list(&text).find(phone("4915112345678"), NOW).unwrap();
        let reason = format!("sells{space}pills");
        assert_eq!((hit.reason, hit.source.as_deref()), (Some(reason), Some("Kiel")), "{space:?}");
        assert!(hit.expires_at.is_some(), "{space:?}");
    }
    let plain = list("+4915112345678 reason=said xreason=1 and 👩🏽‍🚒=2");
    let hit = plain.find(phone("4915112345678"), NOW).unwrap();
    assert_eq!(hit.reason.as_deref(), Some("said xreason=1 and 👩🏽‍🚒=2"));
}

#[test]
fn line_ends_of_another_system_hide_nobody() {
    let cases = [
        ("+4915112345678 reason=spam\r+4915112345679\r", 27),
        ("# numbers\r+4915112345679\r", 10),
        ("+4915112345678 reason=spam\u{85}+4915112345679", 27),
        ("# numbers\u{2028}+4915112345679", 10),
        ("+\x004\x009\x001\x005\x001\x001\x002\x003\x004\x005\x006\x007\x008\x00", 2),
        ("+4915112345678 \u{1b}[2Jx", 16),
    ];
    for (text, column) in cases {
        let (set, problems) = read(text, &context(None));
        let [problem] = &problems[..] else { panic!("{text:?}: {problems:?}") };
        assert_eq!((problem.column, set.len()), (column, 0), "{text:?}");
        assert!(
            problem.message.starts_with("the line has a control character"),
            "{text:?}: {}",
            problem.message
        );
        assert!(!problem.snippet.contains(char::is_control), "{text:?}: {:?}", problem.snippet);
        assert!(!problem.snippet.contains("12345678"), "{text:?}: {}", problem.snippet);
    }
}

#[test]
fn the_longer_of_two_lines_counts() {
    let twice = list("+4915112345678\n+4915112345678 reason=spam expires=2027-01-01");
    assert_eq!(twice.find(phone("4915112345678"), NOW).unwrap().reason.as_deref(), Some("spam"));
    assert_eq!(twice.len(), 1);
    let longest = list("+92* reason=a\n+92300* reason=b expires=2027-01-01\n+9230* reason=c");
    assert_eq!(longest.find(phone("923001234567"), NOW).unwrap().reason.as_deref(), Some("c"));
}

#[test]
fn a_broken_line_has_its_sentence_and_shows_no_number() {
    let cases = [
        (
            "+49151x12345678",
            None,
            1,
            "this is not a number, id, prefix or country; write +49…, …@lid, +92* or @PK",
        ),
        (
            "0151 12345678",
            None,
            1,
            "this is not an international number; write +49…, or set `default_country` in [lists] for national \
             spellings",
        ),
        ("0151", Some("DE"), 1, "this is neither an international number nor one of DE"),
        ("@XX", None, 1, "this is not a country; codes are like @PK"),
        (
            "1203630@g.us",
            None,
            1,
            "this is not the id of a person; ids end in @c.us, @s.whatsapp.net or @lid",
        ),
        ("+*", None, 1, "this is not a prefix; prefixes are like +92*"),
        ("+4915112345678 expires=soon", None, 24, "this is not a date; dates are like 2027-01-31"),
        ("+4915112345678 reason=\"a", None, 23, "the quoted reason has no closing quote"),
        (
            "+4915112345678 until=2027-01-31",
            None,
            16,
            "only `reason=…`, `source=…`, `expires=2027-01-31` and `# comments` may stand here",
        ),
        (
            "+4915112345678 reason=spam Expires=2027-01-31",
            None,
            28,
            "write `expires=` in small letters and without a space, or quote the text",
        ),
        (
            "+4915112345678 reason=spam expires = 2027-01-31",
            None,
            28,
            "write `expires=` in small letters and without a space, or quote the text",
        ),
        (
            "+4915112345678 expires=2027-01-31 expires=2028-01-31",
            None,
            35,
            "`expires=…` stands twice on the line; leave one",
        ),
        ("+4915112345678 expires=\"2027", None, 24, "the quoted expires has no closing quote"),
        ("reason=spam", None, 1, "a line must begin with whom it names"),
    ];
    for (text, country, column, message) in cases {
        let (_, problems) = read(&format!("# fine\n{text}\n"), &context(country));
        let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
        assert_eq!((problem.line, problem.column, problem.message.as_str()), (2, column, message), "{text}");
        assert!(!problem.snippet.contains("12345678"), "{}", problem.snippet);
    }
}

#[test]
fn a_hundred_thousand_numbers_are_found_and_their_neighbours_are_not() {
    let text: String = (0..100_000).rev().map(|n| format!("+49151{:08}\n", n * 3)).collect();
    let list = list(&text);
    assert_eq!(list.len(), 100_000);
    for n in [0, 1, 50_000, 99_999] {
        assert!(list.find(phone(&format!("49151{:08}", n * 3)), NOW).is_some());
        assert!(list.find(phone(&format!("49151{:08}", n * 3 + 1)), NOW).is_none());
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([+@*#= \u{3000}\"0-9a-zé\n]|reason=|expires=|2027-01-31|@lid){0,40}") {
        let (_, problems) = read(&text, &context(Some("DE")));
        proptest::prop_assert!(problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
    }

    #[test]
    fn a_number_is_found_exactly(numbers in proptest::collection::vec(1_000_000_u64..9_999_999, 1..50), other: u32) {
        let text: String = numbers.iter().map(|number| format!("+{number}\n")).collect();
        let set = list(&text);
        let stranger = Phone::from_u64(1_000_000 + u64::from(other) % 9_000_000).unwrap();
        proptest::prop_assert!(numbers.iter().all(|n| set.find(phone(&n.to_string()), NOW).is_some()));
        let listed = numbers.contains(&stranger.as_u64());
        proptest::prop_assert_eq!(set.find(Person::of_phone(stranger), NOW).is_some(), listed);
    }
}

/// A folder with a configuration of one blacklist and an allowlist.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).unwrap();
    }

    fn open(&self) -> (ListBook, Vec<Takeup>) {
        self.open_with("")
    }

    fn open_with(&self, more: &str) -> (ListBook, Vec<Takeup>) {
        let text = "[[sessions]]\nname = \"m\"\ninstance_id = \"A\"\naccess_token = \"t\"\nwebhook_secret = \"s\"\n\
                    [[blacklists]]\nname = \"scrapers\"\npath = \"scrapers.txt\"\n[allowlist]\npath = \"allow.txt\"\n";
        let path = self.0.path().join("perimeterd.toml");
        let config = crate::config::parse(format!("{text}{more}"), &path, []).unwrap();
        ListBook::open(&config, self.0.path().join("kept/lists"), NOW)
    }
}

/// Polls often enough for a change to be judged, also one that comes while the file is being written.
fn settle(book: &ListBook) -> Vec<Takeup> {
    (0..9).flat_map(|_| book.poll(NOW)).collect()
}

fn why(takeups: &[Takeup]) -> &str {
    match takeups {
        [Takeup::Refused { why, .. }] => why,
        other => panic!("not one refusal: {other:?}"),
    }
}

fn is_listed(book: &ListBook, text: &str) -> Option<bool> {
    book.blacklist(phone(text), NOW).value().map(Option::is_some)
}

const FIVE: &str = "+4915100000001\n+4915100000002\n+4915100000003\n+4915100000004\n+4915100000005\n";

#[test]
fn a_change_is_taken_when_it_stands_still() {
    let place = Place::new();
    place.write("scrapers.txt", FIVE);
    place.write("allow.txt", "");
    let (book, takeups) = place.open();
    assert!(takeups.iter().all(|takeup| matches!(takeup, Takeup::Taken { .. })), "{takeups:?}");
    assert_eq!(is_listed(&book, "4915100000006"), Some(false));
    assert!(settle(&book).is_empty());
    let generation = book.generation();
    place.write("scrapers.txt", &format!("{FIVE}+4915100000006 reason=new\n"));
    assert!((0..2).all(|_| book.poll(NOW).is_empty()), "it may still be written to");
    let detail = "6 entries, before 5".to_owned();
    assert_eq!(book.poll(NOW), [Takeup::Taken { what: "blacklist scrapers".into(), detail, flaw: None }]);
    assert!(book.generation() > generation);
    let Lookup::Known { value: Some(hit), source, stale: false, .. } =
        book.blacklist(phone("4915100000006"), NOW)
    else {
        panic!("not listed");
    };
    assert_eq!(
        (hit.list.as_str(), source.as_str(), hit.reason.as_deref()),
        ("scrapers", "scrapers", Some("new"))
    );
}

#[test]
fn a_bad_edit_leaves_the_last_good_list_in_force() {
    let broken = format!("{FIVE}+49x\n");
    let edits = [
        ("broken", Some(broken.as_str()), "scrapers.txt:6:1: this is not a number, id, prefix or country"),
        (
            "empty",
            Some(""),
            "is empty, it had 5 entries; fill it, or if that is meant: perimeterd blacklist accept scrapers",
        ),
        ("only comments", Some("# none\n"), "is empty, it had 5 entries"),
        (
            "shrunk",
            Some("+4915100000001\n+4915100000002\n"),
            "shrank from 5 to 2 entries, more than the 20 %",
        ),
        ("missing", None, "is missing; put it back"),
        ("not text", Some("\u{0}"), "the line has a control character"),
    ];
    for (name, edit, sentence) in edits {
        let place = Place::new();
        place.write("scrapers.txt", FIVE);
        place.write("allow.txt", "");
        let (book, _) = place.open();
        match edit {
            Some(text) => place.write("scrapers.txt", text),
            None => place.remove("scrapers.txt"),
        }
        let takeups = settle(&book);
        assert!(why(&takeups).contains(sentence), "{name}: {takeups:?}");
        assert!(why(&takeups).ends_with("the last good one stays in force: 5 entries"), "{name}");
        assert_eq!(is_listed(&book, "4915100000005"), Some(true), "{name}");
        assert_eq!(book.waiting().len(), 1, "{name}");
        assert!(settle(&book).is_empty(), "{name}: said once");
        // A start with the bad file uses the kept copy, and says so.
        let (again, takeups) = place.open();
        assert!(takeups.iter().any(|takeup| matches!(takeup, Takeup::Refused { .. })), "{name}: {takeups:?}");
        assert_eq!(is_listed(&again, "4915100000005"), Some(true), "{name}");
        // The old file back: in force without further ado.
        place.write("scrapers.txt", FIVE);
        assert!(matches!(settle(&book)[..], [Takeup::Taken { .. }]), "{name}");
        assert!(book.waiting().is_empty(), "{name}");
    }
}

#[test]
fn accept_takes_an_emptied_list_and_never_a_missing_or_broken_one() {
    let place = Place::new();
    place.write("scrapers.txt", FIVE);
    place.write("allow.txt", "+4915100000009\n");
    let (book, _) = place.open();
    place.remove("scrapers.txt");
    assert!(book.accept("scrapers", NOW).unwrap_err().contains("is missing; put it back, then accept it"));
    place.write("scrapers.txt", "nonsense");
    assert!(book.accept("scrapers", NOW).unwrap_err().contains("scrapers.txt:1:1: "));
    assert_eq!(
        book.accept("spam", NOW).unwrap_err(),
        "there is no list `spam`; there are: scrapers, allowlist"
    );
    place.write("scrapers.txt", "");
    settle(&book);
    assert_eq!(is_listed(&book, "4915100000001"), Some(true));
    assert_eq!(book.accept("scrapers", NOW).unwrap(), "blacklist scrapers: 0 entries, before 5");
    assert_eq!(is_listed(&book, "4915100000001"), Some(false));
    assert!(book.waiting().is_empty() && settle(&book).is_empty());
    let (again, _) = place.open();
    assert_eq!(is_listed(&again, "4915100000001"), Some(false), "accepted for good");
}

#[test]
fn nobody_is_known_to_be_unlisted_by_a_list_that_was_never_good() {
    let place = Place::new();
    place.write("allow.txt", "+4915100000009\n");
    let (book, takeups) = place.open();
    assert_eq!(takeups.iter().filter(|takeup| matches!(takeup, Takeup::Refused { .. })).count(), 1);
    assert_eq!(is_listed(&book, "4915100000001"), None);
    assert_eq!(book.allowlisted(phone("4915100000009"), NOW).value(), Some(&true));
    assert_eq!(book.allowlisted(phone("4915100000001"), NOW).value(), Some(&false));
    assert_eq!(book.summary()[0].entries, None);
    place.write("scrapers.txt", FIVE);
    settle(&book);
    assert_eq!(is_listed(&book, "4915100000001"), Some(true));
}

#[test]
fn a_hidden_phone_is_unknown_where_a_list_names_phones() {
    let place = Place::new();
    place.write("scrapers.txt", &format!("{FIVE}77001@lid\n"));
    place.write("allow.txt", "77002@lid\n");
    let (book, _) = place.open();
    assert!(book.blacklist(lid("77009@lid"), NOW).value().is_none());
    assert!(matches!(book.blacklist(lid("77001@lid"), NOW).value(), Some(Some(_))));
    assert_eq!(book.allowlisted(lid("77009@lid"), NOW).value(), Some(&false), "it names no phones");
    assert_eq!(book.allowlisted(lid("77002@lid"), NOW).value(), Some(&true));
}

#[test]
fn an_unknown_lid_is_spared_where_the_allowlist_names_lids() {
    let place = Place::new();
    place.write("scrapers.txt", &format!("{FIVE}77001@lid\n"));
    place.write("allow.txt", "77002@lid\n+4915100000009\n");
    let (book, _) = place.open();
    let stranger = phone("4915100000008");
    assert!(book.allowlisted(stranger, NOW).value().is_none(), "they could be 77002@lid");
    assert_eq!(book.allowlisted(phone("4915100000009"), NOW).value(), Some(&true));
    let both = Person { phone: stranger.phone, ..lid("77008@lid") };
    assert_eq!(book.allowlisted(both, NOW).value(), Some(&false));
    assert!(matches!(book.blacklist(stranger, NOW).value(), Some(None)), "no reason against anybody");
    assert_eq!((book.spares_by_lid(), book.lids().len()), (true, 2));
}

#[test]
fn a_copy_is_kept_whole() {
    let place = Place::new();
    place.write("scrapers.txt", FIVE);
    place.write("allow.txt", "");
    let _book = place.open();
    let kept: Vec<_> = fs::read_dir(place.0.path().join("kept/lists")).unwrap().flatten().collect();
    assert_eq!(kept.len(), 2, "no leftovers: {kept:?}");
    assert_eq!(fs::read_to_string(Path::new(&place.0.path().join("kept/lists/scrapers.txt"))).unwrap(), FIVE);
}

#[test]
fn the_buffer_and_the_length_of_a_line_do_not_matter() {
    let long = format!("+4915100000001 reason={}\n", "x".repeat(1_000_000));
    let text =
        format!("\u{feff}+4915100000000\r\n{long}+4915100000002\n{}\n+4915100000003", "9".repeat(5000));
    for size in [1, 2, 3, 64, 1 << 20] {
        let mut reader = std::io::BufReader::with_capacity(size, text.as_bytes());
        let lines = lines::read(&mut reader, &context(None), BadLines::Skip).unwrap();
        let places: Vec<_> =
            lines.broken.shown.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(2, 1), (4, 1)], "{size}");
        for problem in &lines.broken.shown {
            assert_eq!(problem.message, "the line is longer than 4096 bytes; a list has one entry a line");
            assert!(problem.snippet.len() < 200 && !problem.snippet.contains("4915100000001"), "{problem:?}");
        }
        let list = lines.finish(None);
        assert_eq!(list.len(), 3, "{size}");
        assert!(list.find(phone("4915100000003"), NOW).is_some());
    }
}

#[test]
fn broken_lines_are_skipped_where_that_is_configured_and_told_each_time() {
    let broken = format!("{FIVE}+49x\n\u{fffd}\n+4915100000006\n");
    let place = Place::new();
    place.write("scrapers.txt", FIVE);
    place.write("allow.txt", FIVE);
    let (book, _) = place.open_with("[lists]\nbad_lines = \"skip\"");
    place.write("scrapers.txt", &broken);
    place.write("allow.txt", &broken);
    let takeups = settle(&book);
    let [Takeup::Taken { detail, flaw: Some(flaw), .. }, Takeup::Refused { what, .. }] = &takeups[..] else {
        panic!("the allowlist is never without a line of it: {takeups:?}");
    };
    assert_eq!((detail.as_str(), what.as_str()), ("6 entries, before 5", "allowlist"));
    assert!(flaw.contains("scrapers.txt:6:1: ") && flaw.ends_with("one more line is broken"), "{flaw}");
    assert_eq!(is_listed(&book, "4915100000006"), Some(true));
    // A page that says why there is no list is no list.
    place.write("scrapers.txt", &"<p>Not found</p>\n".repeat(30));
    let takeups = settle(&book);
    assert!(
        why(&takeups).contains("scrapers.txt:1:1: ") && why(&takeups).contains("29 more lines"),
        "{takeups:?}"
    );
    assert_eq!(is_listed(&book, "4915100000006"), Some(true));
    // One list may be stricter than the others.
    let place = Place::new();
    place.write("scrapers.txt", &broken);
    place.write("allow.txt", "");
    let (_, takeups) = place.open_with(
        "[lists]\nbad_lines = \"skip\"\n[[blacklists]]\nname = \"strict\"\n\
                                        path = \"scrapers.txt\"\nbad_lines = \"refuse\"",
    );
    let refused = takeups.iter().filter_map(|takeup| match takeup {
        Takeup::Refused { what, .. } => Some(what.as_str()),
        Takeup::Taken { .. } => None,
    });
    assert_eq!(refused.collect::<Vec<_>>(), ["blacklist strict"]);
}

proptest::proptest! {
    /// What stands behind a number is what its lines come to, one after the other.
    #[test]
    fn many_lines_about_one_number_come_to_one_note(
        lines in proptest::collection::vec((0_u64..6, 0_u8..4, 0_u8..4), 0..40),
    ) {
        let mut model: std::collections::BTreeMap<u64, (Option<String>, Option<u8>)> = Default::default();
        let mut text = String::new();
        for (number, reason, end) in lines {
            let reason = (reason > 0).then(|| format!("reason {reason}"));
            let end = (end > 0).then_some(end);
            text += &format!("+491510000000{number}");
            text += &reason.as_ref().map_or(String::new(), |reason| format!(" reason={reason}"));
            text += &end.map_or(String::new(), |end| format!(" expires=2027-02-0{end}"));
            text.push('\n');
            model
                .entry(number)
                .and_modify(|held| {
                    held.0 = held.0.take().or(reason.clone());
                    held.1 = held.1.zip(end).map(|(one, two)| one.max(two));
                })
                .or_insert((reason, end));
        }
        let set = list(&text);
        proptest::prop_assert_eq!(set.len(), model.len());
        for (number, (reason, end)) in model {
            let hit = set.find(phone(&format!("491510000000{number}")), NOW).unwrap();
            proptest::prop_assert_eq!(hit.reason, reason, "{} in {}", number, &text);
            let day = hit.expires_at.map(|end| end.to_string()[..10].to_owned());
            // The end of a day in Berlin is 23:00 UTC of it.
            proptest::prop_assert_eq!(day, end.map(|end| format!("2027-02-0{end}")), "{} in {}", number, &text);
        }
    }

    /// The longest prefix that stands, whatever the others are.
    #[test]
    fn the_longest_prefix_is_found(
        prefixes in proptest::collection::btree_set("[1-3][0-2]{0,13}", 0..60),
        number in "[1-3][0-2]{6,14}",
    ) {
        let text: String = prefixes.iter().map(|prefix| format!("+{prefix}*\n")).collect();
        let longest = prefixes.iter().filter(|prefix| number.starts_with(prefix.as_str())).max_by_key(|p| p.len());
        let hit = list(&text).find(phone(&number), NOW).map(|hit| hit.entry);
        proptest::prop_assert_eq!(hit, longest.map(|prefix| format!("+{prefix}*")));
    }
}
