//! Rows of ourselves, the group, times, order and repeats, and what an envelope lacks: `whatsapp-reality.md` §1.1, 1.3, 1.5;
//! `wawp-api.md` §3.5, 5.

use super::{
    Defect,
    bodies::{A, A_IN, A_IN_SOMEHOW, G, docs, event, numbered, one, wire, wire_payload},
};

/// Every row.
pub(super) fn defects() -> Vec<Defect> {
    [we_go(), we_come(), settings(), order(), repeats(), others()].into_iter().flatten().collect()
}

/// We ourselves go.
fn we_go() -> Vec<Defect> {
    let left = &["we left 120363000000000001@g.us"];
    vec![
        one(
            "we left, by our LID",
            "-me",
            wire("leave", r#"[{"id":"55501@lid","pn":null,"role":"left"}]"#, "{}"),
            left,
        ),
        one("we left, by our phone", "-me", wire("leave", r#"["447700900001@c.us"]"#, "{}"), left),
        one("docs: we left", "-me", docs("group.v2.leave", r#"{"0":"447700900001@c.us"}"#), left),
        one(
            "wire: we left",
            "-me",
            event("group.v2.leave", &format!(r#"{{"timestamp":<ms>,{G},"_data":{{}}}}"#)),
            left,
        ),
        one(
            "we left, and the event does not say who we are",
            "-me",
            wire("leave", r#"["55501:3@lid"]"#, "{}").replace(
                r#""me":{"id":"447700900001@c.us","lid":"55501@lid","pushName":"Guard"}"#,
                r#""me":null"#,
            ),
            left,
        ),
    ]
}

/// We ourselves come.
fn we_come() -> Vec<Defect> {
    let entered = &["we are in", "we entered 120363000000000002@g.us", "roster read"];
    vec![
        one(
            "we came, by our LID",
            "me",
            event(
                "group.v2.participants",
                r#"{"type":"join","group":{"id":"120363000000000002@g.us"},"participants":[{"id":"55501@lid","pn":null}]}"#,
            ),
            entered,
        ),
        one(
            "docs: we came",
            "me",
            event(
                "group.v2.join",
                r#"{"chatId":"120363000000000002@g.us","participants":{"0":"447700900001@c.us"}}"#,
            ),
            entered,
        ),
        one(
            "wire: we came, without a roster",
            "me",
            event("group.v2.join", r#"{"timestamp":<ms>,"group":{"id":"120363000000000002@g.us"}}"#),
            entered,
        ),
        one(
            "we came, and it comes by two names",
            "me",
            format!(
                "[{},{}]",
                event("group.v2.join", r#"{"timestamp":<ms>,"group":{"id":"120363000000000002@g.us"}}"#),
                event(
                    "group.v2.participants",
                    r#"{"type":"join","group":{"id":"120363000000000002@g.us"},"participants":["55501@lid"]}"#
                ),
            ),
            &["we are in", "we entered 120363000000000002@g.us", "roster read", "ignored"],
        ),
    ]
}

/// What is told of the group.
fn settings() -> Vec<Defect> {
    let update = |name, told: &str, came_to| {
        let payload = format!(r#"{{"timestamp":<ms>,"group":{{"id":"120363000000000001@g.us",{told}}}}}"#);
        one(name, "", event("group.v2.update", &payload), came_to)
    };
    vec![
        update(
            "membersCanSendMessages is inverted: the group is read",
            r#""membersCanSendMessages":true"#,
            &["roster read"],
        ),
        update(
            "membersCanSendMessages, the other way round",
            r#""membersCanSendMessages":false"#,
            &["roster read"],
        ),
        update(
            "approval cannot be switched off by its flag",
            r#""newMembersApprovalRequired":true"#,
            &["ignored"],
        ),
        update("a subject", r#""subject":"Klub""#, &["changed subject Klub"]),
        one(
            "docs: a subject",
            "",
            event("group.v2.update", r#"{"chatId":"120363000000000001@g.us","subject":"Klub"}"#),
            &["changed subject Klub"],
        ),
    ]
}

/// Times, and what comes out of order.
fn order() -> Vec<Defect> {
    let join = |time: &str, data: &str| {
        event("group.v2.participants", &wire_payload("join", &format!("[{A}]"), data, time))
    };
    let leave = |time: &str| {
        event(
            "group.v2.participants",
            &wire_payload("leave", r#"[{"id":"77001@lid","pn":"4915111111111@c.us"}]"#, "{}", time),
        )
    };
    vec![
        one("times in milliseconds", "+a", join("<ms>", "{}"), A_IN),
        one("times in seconds", "+a", join("<s>", "{}"), A_IN),
        one("a time as a text", "+a", join(r#""<s>""#, "{}"), A_IN),
        one("an absurd time", "+a", join("99999999999999", "{}"), A_IN),
        Defect {
            name: "a leave before its join, with their times",
            truth: "",
            bodies: vec![leave("<ms-10>"), join("<ms-20>", "{}")],
            came_to: &["ignored", "ignored"],
        },
        Defect {
            name: "a leave before its join, in seconds",
            truth: "",
            bodies: vec![leave("<s-10>"), join("<s-20>", "{}")],
            came_to: &["ignored", "ignored"],
        },
        Defect {
            name: "an old replay after a reconnect: the time is old",
            truth: "",
            bodies: vec![join("<ms-300>", "{}"), leave("<ms-200>"), join("<s-300>", "{}")],
            came_to: &["in a unknown -", "out a -", "ignored"],
        },
        Defect {
            name: "GOWS: an old replay whose own time is new, and the true one is in the raw data",
            truth: "",
            bodies: vec![
                join("<ms-300>", r#"{"Timestamp":"<iso-300>"}"#),
                leave("<ms-200>"),
                join("<ms>", r#"{"Timestamp":"<iso-300>"}"#),
            ],
            came_to: &["in a unknown -", "out a -", "ignored"],
        },
        one("GOWS: no true time", "+a", join("<ms>", r#"{"Timestamp":"0001-01-01T00:00:00Z"}"#), A_IN),
    ]
}

/// The same told more than once.
fn repeats() -> Vec<Defect> {
    let join = wire_payload("join", &format!("[{A}]"), "{}", "<ms>");
    let by_name = |name: &str| event(name, &join);
    let same = || numbered("evt_same", "group.v2.participants", &join);
    let twice = |name, bodies| Defect { name, truth: "+a", bodies, came_to: A_IN };
    vec![
        Defect { name: "a retry", truth: "+a", bodies: vec![same(), same(), same()], came_to: A_IN },
        Defect {
            name: "the same under two ids",
            truth: "+a",
            bodies: vec![by_name("group.v2.participants"), by_name("group.v2.participants")],
            came_to: &["in a unknown -", "a: member", "ignored"],
        },
        Defect {
            name: "the same by two names, by LID and by phone",
            truth: "+a",
            bodies: vec![
                docs("group.v2.join", r#"{"0":"4915111111111@c.us"}"#),
                wire("join", r#"["77001@lid"]"#, "{}"),
            ],
            came_to: A_IN_SOMEHOW,
        },
        twice("an array", vec![format!("[{}]", same())]),
        twice("an array with a retry in it", vec![format!("[{},{}]", same(), same())]),
        Defect {
            name: "an array of two",
            truth: "+a -b",
            bodies: vec![format!("[{},{}]", same(), docs("group.v2.leave", r#"["4915122222222@c.us"]"#))],
            came_to: &["in a unknown -", "out b -", "a: member", "b: out"],
        },
    ]
}

/// Envelopes that lack something, and what concerns nobody.
fn others() -> Vec<Defect> {
    let join = wire("join", &format!("[{A}]"), "{}");
    let me = r#""me":{"id":"447700900001@c.us","lid":"55501@lid","pushName":"Guard"},"#;
    let ignored = &["ignored"];
    let message =
        |from: &str| format!(r#"{{"id":"m1","timestamp":<s>,"from":"{from}","fromMe":false,"body":"hi"}}"#);
    vec![
        one("me null", "+a", join.replace(me, r#""me":null,"#), A_IN),
        one("me missing", "+a", join.replace(me, ""), A_IN),
        one(
            "no metadata, no environment",
            "+a",
            join.replace(r#""metadata":{},"#, "").replace(r#""environment":{"version":"2026.7.1"},"#, ""),
            A_IN,
        ),
        one("another engine's label", "+a", join.replace("GOWS", "WEBJS"), A_IN),
        one("no _data", "+a", join.replace(r#","_data":{}"#, ""), A_IN),
        one("an event nobody knows", "", event("community.v9.sparkle", "{}"), ignored),
        one("no event", "", r#"{"id":"evt_none","payload":{}}"#.into(), &["unreadable"]),
        one("a newsletter", "", event("message", &message("120363999@newsletter")), ignored),
        one("a status post", "", event("message", &message("status@broadcast")), ignored),
        one("not JSON", "", "no JSON at all".into(), &["unreadable"]),
        one(
            "a request to join",
            "",
            event(
                "group.v2.participants.join-request",
                &format!(
                    r#"{{{G},"action":"created","requesterId":"77001@lid","requesterPn":"4915111111111@c.us"}}"#
                ),
            ),
            ignored,
        ),
    ]
}
