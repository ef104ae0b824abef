//! One fixture per kind and shape of body, each with the events it must become; and what no body may do.

use super::*;
use crate::{
    event::{GroupSnapshot, Participant, Role},
    ids::{GroupId, Jid, Lid, Phone},
};
use proptest::prelude::*;
use serde_json::json;
use std::{collections::BTreeSet, fs, path::PathBuf};

/// When the fixtures were received: a little after their envelopes' time.
const RECEIVED: Timestamp = Timestamp(1_771_000_000_500);
/// The fixtures' envelopes' time.
const SENT: i64 = 1_771_000_000_123;

/// Who we are before any body told it: the phone as this session's, the LID from an earlier event.
fn own() -> [Person; 2] {
    let both = Person { phone: phone("4930111000111"), lid: Lid::parse("55501@lid") };
    [both, Person::of_lid(Lid::parse("99999@lid").unwrap())]
}

fn phone(digits: &str) -> Option<Phone> {
    Phone::parse(digits)
}

fn read(body: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let session = SessionName::new("main");
    let context = Context {
        session: &session,
        received_at: RECEIVED,
        own: &own(),
        me: Person::of_phone(phone("4930111000111").unwrap()),
    };
    translate(body, &context)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wawp")
}

/// A person in full: `jid (phone lid)`, with role and name where told.
fn person(one: &Participant) -> String {
    let mut text = format!("{}={}", one.jid, ids(one.person));
    if one.role != Role::Unknown {
        text += &format!(" {}", one.role.as_str());
    }
    if let Some(name) = &one.name {
        text += &format!(" {name}");
    }
    text
}

fn ids(person: Person) -> String {
    format!(
        "{}/{}",
        person.phone.map(Phone::digits).unwrap_or_default(),
        person.lid.map(Lid::as_u64).unwrap_or_default()
    )
}

fn people(people: &[Participant]) -> String {
    people.iter().map(person).collect::<Vec<_>>().join(", ")
}

/// The group without its id if it is the usual one.
fn group(id: &GroupId) -> &str {
    if id.as_str() == "120363000000000001@g.us" { "G" } else { id.as_str() }
}

fn snapshot(told: &GroupSnapshot) -> String {
    let mut text = group(&told.id).to_owned();
    let mut say = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!(" {name}={value}");
        }
    };
    say("subject", told.subject.clone());
    say("description", told.description.clone());
    say("announce", told.announce_only.map(|on| on.to_string()));
    say("locked", told.info_locked.map(|on| on.to_string()));
    say("owner", told.owner.map(ids));
    say("invite", told.invite.clone());
    say("roster", told.participants.as_deref().map(people));
    text
}

/// An event in one line, in full digits, with its distance from the envelope's time if there is one.
fn line(event: &Event) -> String {
    let what = match &event.kind {
        EventKind::Joined { group: id, people: who, via, by } => {
            let by = by.map(|by| format!(" by {}", ids(by))).unwrap_or_default();
            format!("joined {} [{}] via {}{by}", group(id), people(who), via.as_str())
        }
        EventKind::Left { group: id, people: who, by } => {
            let by = by.map(|by| format!(" by {}", ids(by))).unwrap_or_default();
            format!("left {} [{}]{by}", group(id), people(who))
        }
        EventKind::RolesChanged { group: id, people: who } => {
            format!("roles {} [{}]", group(id), people(who))
        }
        EventKind::SelfJoined { group: told } => format!("self-joined {}", snapshot(told)),
        EventKind::SelfLeft { group: id } => format!("self-left {}", group(id)),
        EventKind::GroupChanged { group: told, by, doubtful } => {
            let by = by.map(|by| format!(" by {}", ids(by))).unwrap_or_default();
            format!("changed {}{by}{}", snapshot(told), if *doubtful { " doubtful" } else { "" })
        }
        EventKind::MembershipUnclear { group: id } => format!("unclear {}", group(id)),
        EventKind::DirectMessage { from } => format!("private from {}", ids(*from)),
        EventKind::GroupMessage { group: id, from } => format!("message {} from {}", group(id), ids(*from)),
        EventKind::Restricted { .. } => "restricted".into(),
        EventKind::SessionStatus { status } => format!("status {status}"),
        EventKind::Ignored { name } => format!("ignored {name}"),
        EventKind::Met { name, people } => {
            format!("met by {name}: {}", people.iter().map(|one| ids(*one)).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    };
    match event.at.as_millis() - SENT {
        0 => what,
        off => format!("{what} @{off}"),
    }
}

/// Fixture → its events; `unreadable: …` for those that are to be kept and shown.
const EXPECTED: &[(&str, &[&str])] = &[
    // The documented dialect.
    ("docs_join_vendor_example", &["self-joined 1234567890@g.us @-136432110000"]),
    (
        "docs_join_map",
        &["joined G [4915111111111@c.us=4915111111111/0, 4915122222222@c.us=4915122222222/0] via unknown"],
    ),
    ("docs_join_array", &["joined G [4915111111111@c.us=4915111111111/0] via unknown"]),
    ("docs_join_map_of_objects", &["joined G [77001@lid=4915111111111/77001] via unknown"]),
    ("docs_join_single_string", &["joined G [4915111111111@c.us=4915111111111/0] via unknown"]),
    ("docs_join_single_object", &["joined G [77001@lid=/77001 member] via unknown"]),
    ("docs_join_json_string", &["joined G [4915111111111@c.us=4915111111111/0] via unknown"]),
    (
        "docs_join_me_among_others",
        &["self-joined G", "joined G [4915111111111@c.us=4915111111111/0] via unknown"],
    ),
    ("docs_join_me_by_lid", &["self-joined G"]),
    ("docs_join_without_me", &["self-joined G"]),
    ("docs_leave", &["left G [4915111111111@c.us=4915111111111/0]"]),
    ("docs_leave_me", &["self-left G"]),
    ("docs_promote", &["roles G [4915111111111@c.us=4915111111111/0 admin]"]),
    ("docs_demote", &["roles G [4915111111111@c.us=4915111111111/0 member]"]),
    ("docs_add_by_alias", &["joined G [4915111111111@c.us=4915111111111/0] via unknown"]),
    ("docs_remove_by_alias", &["left G [4915111111111@c.us=4915111111111/0]"]),
    ("docs_update", &["changed G subject=Club description="]),
    ("docs_session_status", &["status WORKING"]),
    // The engines' dialect.
    (
        "wire_self_join",
        &[
            "self-joined G subject=Club description=rules announce=false locked=true owner=4915111111111/77001 \
           invite=https://chat.whatsapp.com/AbC \
           roster=77001@lid=4915111111111/77001 creator, 55501@lid=4930111000111/55501 member @-1000",
        ],
    ),
    ("wire_self_join_odd_roster", &["self-joined G"]),
    ("wire_self_leave", &["self-left G"]),
    ("wire_join_by_link", &["joined G [77001@lid=/77001 member] via link @-2000"]),
    ("wire_join_by_link_with_number", &["joined G [77001@lid=4915111111111/77001 member] via link @-2000"]),
    (
        "wire_join_added",
        &["joined G [77001@lid=4915111111111/77001 member] via added by 4915133333333/77010"],
    ),
    ("wire_join_own_sender", &["joined G [77001@lid=/77001 member] via unknown"]),
    ("wire_join_without_data", &["joined G [77001@lid=/77001 member] via unknown @-1123"]),
    ("wire_join_me", &["self-joined G"]),
    ("wire_leave_by_oneself", &["left G [77001@lid=/77001] by /77001"]),
    ("wire_leave_removed", &["left G [77001@lid=/77001] by 4915133333333/77010"]),
    ("wire_leave_me", &["self-left G"]),
    ("wire_promote", &["roles G [77001@lid=/77001 admin]"]),
    ("noweb_demote_says_admin", &["roles G [77001@lid=/77001 member]"]),
    ("noweb_type_missing", &["unclear G"]),
    (
        "noweb_join_added",
        &["joined G [77001@lid=4915111111111/77001 member] via added by 4915133333333/77010"],
    ),
    (
        "webjs_join_added",
        &["joined G [4915111111111@c.us=4915111111111/0 member] via added by 4915133333333/0 @-1123"],
    ),
    ("webjs_join_by_link", &["joined G [4915111111111@c.us=4915111111111/0] via link @-1123"]),
    ("webjs_linked_group_join", &["joined G [4915111111111@c.us=4915111111111/0 member] via unknown @-1123"]),
    ("gows_raw_participants", &["joined G [77001@lid=4915111111111/77001 member Ada] via unknown"]),
    ("group_only_in_data", &["left G [4915111111111@c.us=4915111111111/0]"]),
    ("wire_same_person_twice", &["joined G [77001@lid=4915111111111/77001] via unknown"]),
    ("wire_newsletter_skipped", &["joined G [4915111111111@c.us=4915111111111/0] via unknown"]),
    ("mixed_join", &["joined G [4915111111111@c.us=4915111111111/0 member] via unknown"]),
    (
        "mixed_join_me",
        &["self-joined G subject=Club roster=4930111000111@c.us=4930111000111/0 member, \
           4915122222222@c.us=4915122222222/0 member"],
    ),
    ("wire_update_invite", &["changed G invite=https://chat.whatsapp.com/New"]),
    ("wire_update_announce", &["changed G announce=true locked=false"]),
    ("wire_session_status", &["status STOPPED"]),
    ("v1_session_status", &["status SCAN_QR_CODE @-1123"]),
    // Messages.
    ("message_private", &["private from 4915111111111/0 @-1123"]),
    ("message_private_by_lid", &["private from 4915111111111/77001 @-1123"]),
    ("message_in_group", &["message G from 4915111111111/77001 @-1123"]),
    ("message_own", &["ignored message.any @-1123"]),
    ("message_status_post", &["ignored message @-1123"]),
    ("message_newsletter", &["ignored message @-1123"]),
    // The rest.
    ("presence", &["ignored presence.update"]),
    ("unknown_event", &["ignored community.v9.sparkle"]),
    ("deprecated_join", &["joined G [4915111111111@c.us=4915111111111/0] via unknown @-1123"]),
    ("deprecated_leave_without_people", &["unclear G @-1123"]),
    ("event_from_the_future", &["left G [4915111111111@c.us=4915111111111/0] @377"]),
    ("no_people_listed", &["unclear G"]),
    ("unreadable_no_group", &["unreadable: the event names no group (an id that ends in @g.us)"]),
    ("unreadable_no_participants", &["unreadable: the event group.v2.participants names no participants"]),
    ("unreadable_docs_join_without_people", &["unreadable: the event group.v2.join names no participants"]),
    (
        "unreadable_third_participant",
        &["unreadable: in the event group.v2.join, participant 3 of 3 cannot be read"],
    ),
    (
        "unreadable_bare_digits",
        &["unreadable: in the event group.v2.join, participant 1 of 1 cannot be read"],
    ),
    ("unreadable_no_event", &["unreadable: the body names no `event`"]),
];

#[test]
fn every_fixture_becomes_the_events_it_tells() {
    for (name, expected) in EXPECTED {
        let body = fs::read(folder().join(format!("{name}.json"))).unwrap();
        let lines = match read(&body) {
            Ok(events) => events.iter().map(line).collect(),
            Err(why) => vec![format!("unreadable: {why}")],
        };
        assert_eq!(lines, *expected, "{name}");
    }
}

#[test]
fn no_fixture_is_left_out() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, EXPECTED.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn the_envelope_tells_who_we_are_and_what_was_known_completes_it() {
    let me = |body: &[u8]| ids(read(body).unwrap()[0].me);
    let file = |name: &str| fs::read(folder().join(name)).unwrap();
    assert_eq!(me(&file("docs_join_without_me.json")), "4930111000111/55501");
    assert_eq!(me(&file("docs_join_me_by_lid.json")), "4930111000111/55501");
    assert_eq!(me(&file("docs_join_vendor_example.json")), "11111111111/123", "another number than before");
}

/// Everybody in the events of whom both ids are told.
fn known_in_full(events: &[Event]) -> BTreeSet<String> {
    let mut found = Vec::new();
    for event in events {
        found.push(event.me);
        let snapshot = |group: &GroupSnapshot, found: &mut Vec<Person>| {
            found.extend(group.owner);
            found.extend(group.participants.iter().flatten().map(|one| one.person));
        };
        match &event.kind {
            EventKind::Joined { people, by, .. } | EventKind::Left { people, by, .. } => {
                found.extend(people.iter().map(|one| one.person).chain(*by));
            }
            EventKind::RolesChanged { people, .. } => found.extend(people.iter().map(|one| one.person)),
            EventKind::SelfJoined { group } | EventKind::GroupChanged { group, .. } => {
                snapshot(group, &mut found);
            }
            EventKind::GroupMessage { from, .. } | EventKind::DirectMessage { from } => found.push(*from),
            EventKind::Met { people, .. } => found.extend(people),
            _ => {}
        }
    }
    found.retain(|person| person.phone.is_some() && person.lid.is_some());
    found.into_iter().map(ids).filter(|pair| !pair.ends_with("/55501")).collect()
}

#[test]
fn a_pair_is_read_wherever_it_stands() {
    let (lid, pn, raw) = ("77001@lid", "4915112345678@c.us", "4915112345678:3@s.whatsapp.net");
    let group = json!({"id": "120363000000000001@g.us"});
    let joined = |participant: Value| json!({"type": "join", "group": group, "participants": [participant]});
    let message = |data: Value| json!({"from": "120363000000000001@g.us", "participant": lid, "_data": data});
    let ours = |data: Value| json!({"from": lid, "fromMe": true, "_data": data});
    let participants = "group.v2.participants";
    let cases = [
        (participants, joined(json!({"id": lid, "pn": pn, "role": "participant"}))),
        (participants, joined(json!({"id": pn, "lid": lid}))),
        (participants, joined(json!({"id": lid, "phoneNumber": raw, "admin": null}))),
        (participants, joined(json!({"JID": lid, "PhoneNumber": raw, "LID": lid, "IsAdmin": false}))),
        (participants, joined(json!({"JID": raw, "LID": lid, "PhoneNumber": raw}))),
        (
            participants,
            json!({"type": "join", "group": group, "participants": [{"id": lid, "pn": null}],
            "_data": {"Sender": lid, "SenderPN": raw}}),
        ),
        (
            participants,
            json!({"type": "leave", "group": group, "participants": ["88@lid"],
            "_data": {"Sender": lid, "SenderPN": raw}}),
        ),
        (
            "group.v2.join",
            json!({"group": {"id": group["id"], "owner": lid, "ownerPn": pn, "participants": []}}),
        ),
        ("group.v2.join", json!({"group": {"id": group["id"], "participants": [{"id": lid, "pn": pn}]}})),
        ("group.v2.join", json!({"group": group, "_data": {"OwnerJID": lid, "OwnerPN": raw}})),
        (
            "group.v2.participants.join-request",
            json!({"group": group, "requesterId": lid, "requesterPn": pn}),
        ),
        ("message", message(json!({"Info": {"Sender": lid, "SenderAlt": raw}}))),
        ("message", message(json!({"Info": {"Sender": lid, "SenderPN": raw}}))),
        ("message.any", message(json!({"key": {"participant": lid, "participantAlt": raw}}))),
        ("message", message(json!({"key": {"participant": lid, "participantPn": raw}}))),
        ("message", json!({"from": lid, "_data": {"key": {"remoteJid": lid, "senderPn": raw}}})),
        ("message", json!({"from": pn, "_data": {"key": {"remoteJid": pn, "senderLid": lid}}})),
        ("message.any", ours(json!({"key": {"remoteJid": lid, "remoteJidAlt": raw}}))),
        ("message.reaction", message(json!({"Info": {"Sender": lid, "SenderAlt": raw}}))),
        ("message.ack", json!({"_data": {"key": {"participant": raw, "participantLid": lid}}})),
        ("message.revoked", json!({"key": {"participant": lid, "participantPn": raw}})),
        ("presence.update", json!({"id": group["id"], "presences": [{"participant": lid, "pn": pn}]})),
    ];
    for (event, payload) in cases {
        let body = json!({"id": "evt_1", "event": event, "timestamp": SENT, "payload": payload});
        let events = read(body.to_string().as_bytes()).unwrap_or_else(|why| panic!("{why}: {body}"));
        assert_eq!(known_in_full(&events), ["4915112345678/77001".to_owned()].into(), "{body}");
    }
}

#[test]
fn digits_of_a_lid_are_no_phone_whatever_field_they_stand_in() {
    let lid = "923001234567@lid";
    for pn in [json!("923001234567"), json!("923001234567@c.us"), json!(923_001_234_567_u64), json!(lid)] {
        let body = json!({"event": "group.v2.participants", "payload": {"type": "join",
            "group": {"id": "120363000000000001@g.us"}, "participants": [{"id": lid, "pn": pn}],
            "_data": {"Sender": lid, "SenderPN": pn}}});
        let events = read(body.to_string().as_bytes()).unwrap();
        let EventKind::Joined { people, by, .. } = &events[0].kind else { panic!("{events:?}") };
        assert_eq!((people[0].person.phone, by.and_then(|by| by.phone)), (None, None), "{body}");
    }
    assert_eq!(
        known_in_full(
            &read(
                json!({"event": "message.reaction", "payload": {"_data": {"Info":
        {"Sender": lid, "SenderAlt": "923001234567@s.whatsapp.net"}}}})
                .to_string()
                .as_bytes()
            )
            .unwrap()
        ),
        BTreeSet::new()
    );
}

#[test]
fn only_a_whole_element_with_a_text_id_has_an_event_id() {
    assert_eq!(event_id(r#"{"id":"evt_1","payload":{"id":"no"}}"#).as_deref(), Some("evt_1"));
    assert_eq!(event_id(r#"{"id":"evt_\u0031"}"#).as_deref(), Some("evt_1"));
    for bad in
        ["", "[]", r#"{"id":7}"#, r#"{"id":""}"#, r#"{"id":"evt_1""#, r#"{"event":"x"}"#, r#"["evt_1"]"#]
    {
        assert_eq!(event_id(bad), None, "{bad}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    for unit in ["[", "{\"payload\":"] {
        let why = read(unit.repeat(100_000).as_bytes()).unwrap_err();
        assert!(why.0.contains("nested too deeply"), "{why}");
    }
    let inner = "[".repeat(100_000);
    let body = serde_json::json!({"event": "group.v2.join",
        "payload": {"chatId": "1203@g.us", "participants": inner}});
    assert!(read(body.to_string().as_bytes()).is_err());
}

#[test]
fn a_word_that_will_be_shown_is_cut_and_holds_no_full_number() {
    let event = serde_json::json!({"event": format!("to.4915112345678.{}", "x".repeat(5000))});
    let EventKind::Ignored { name } = &read(event.to_string().as_bytes()).unwrap()[0].kind else { panic!() };
    assert!(name.starts_with("to.49…78.x") && name.len() < 100, "{name}");
}

#[test]
fn what_is_no_json_object_is_unreadable_with_a_sentence() {
    for (body, why) in [
        (&b""[..], "the body ends too early to be JSON (line 1, column 0)"),
        (b"[]", "the body is not a JSON object"),
        (b"{\"event\":7}", "the field `event` is not a name"),
        (b"<xml/>", "the body is not JSON (line 1, column 1)"),
        (b"{\"event\":\"\xff\"}", "the body is not JSON (line 1, column 11)"),
    ] {
        assert_eq!(read(body).unwrap_err().0, why);
    }
}

/// JSON whose keys and texts are the ones that the readers look for, in every wrong place.
fn vendor_like() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec![
        "1203@g.us",
        "77001@lid",
        "4915111111111@c.us",
        "4930111000111:1@s.whatsapp.net",
        "@",
        "x@newsletter",
        "join",
        "leave",
        "promote",
        "invite",
        "[\"77001@lid\"]",
        "{\"0\":\"1@lid\"}",
        "17",
        "",
        "admin",
        "left",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "chatId",
        "group",
        "id",
        "participants",
        "0",
        "1",
        "_data",
        "JID",
        "type",
        "action",
        "timestamp",
        "from",
        "fromMe",
        "participant",
        "pn",
        "lid",
        "user",
        "server",
        "_serialized",
        "role",
        "Sender",
        "status",
        "Info",
        "SenderAlt",
        "me",
    ]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = event_id(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_payload_makes_it_panic_or_tells_a_person_twice_or_a_later_time(
        event in prop::sample::select(vec!["group.v2.join", "group.v2.leave", "group.v2.participants", "group.v2.update",
            "message", "session.status", "group.join"]),
        payload in vendor_like(),
        me in vendor_like(),
    ) {
        let body = serde_json::json!({"event": event, "payload": payload, "me": me}).to_string();
        for event in read(body.as_bytes()).unwrap_or_default() {
            prop_assert!(event.at <= RECEIVED);
            let (EventKind::Joined { people, .. } | EventKind::Left { people, .. } | EventKind::RolesChanged { people, .. })
                = &event.kind else { continue };
            prop_assert!(!people.is_empty());
            for (index, one) in people.iter().enumerate() {
                prop_assert!(Jid::parse(&one.jid).unwrap().person().unwrap().same_as(one.person));
                prop_assert!(people[..index].iter().all(|other| !other.person.same_as(one.person)));
            }
        }
    }
}
