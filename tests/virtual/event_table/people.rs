//! Rows of whom an event is about, and how it says so: `whatsapp-reality.md` §1.2, 1.3, 2.4; `wawp-api.md` §3.3–3.5.

use super::{
    Defect,
    bodies::{A, A_IN, A_IN_SOMEHOW, G, docs, event, one, wire, wire_payload},
};

/// Every row.
pub(super) fn defects() -> Vec<Defect> {
    [shapes(), dialects(), places(), ids(), ways(), roles()].into_iter().flatten().collect()
}

/// `participants` in all its shapes.
fn shapes() -> Vec<Defect> {
    let join = |name, people: &str, came_to| one(name, "+a", docs("group.v2.join", people), came_to);
    vec![
        join("an array of texts", r#"["4915111111111@c.us"]"#, A_IN_SOMEHOW),
        join(
            "an array of objects",
            r#"[{"id":"4915111111111@c.us","lid":"77001@lid","role":"participant"}]"#,
            A_IN,
        ),
        join("a map of texts", r#"{"0":"4915111111111@c.us"}"#, A_IN_SOMEHOW),
        join("a map of objects", r#"{"0":{"id":"77001@lid","pn":"4915111111111@c.us"}}"#, A_IN_SOMEHOW),
        join("one text", r#""4915111111111@c.us""#, A_IN_SOMEHOW),
        join("one object", r#"{"id":"77001@lid","pn":"4915111111111@c.us"}"#, A_IN_SOMEHOW),
        join("JSON in a text", r#""[\"4915111111111@c.us\"]""#, A_IN_SOMEHOW),
        join(
            "objects with JID",
            r#"[{"JID":"77001@lid","PhoneNumber":"4915111111111@s.whatsapp.net"}]"#,
            A_IN_SOMEHOW,
        ),
        join("objects with _serialized", r#"[{"_serialized":"4915111111111@c.us"}]"#, A_IN_SOMEHOW),
        join("an id that is an object", r#"[{"id":{"server":"c.us","user":"4915111111111"}}]"#, A_IN_SOMEHOW),
        one(
            "participants that cannot be read",
            "+a",
            docs("group.v2.join", r#"["4915111111111"]"#),
            &["unreadable"],
        ),
        one(
            "no participants",
            "+a",
            event("group.v2.participants", &format!(r#"{{"type":"join",{G}}}"#)),
            &["unreadable"],
        ),
    ]
}

/// Which event means what, and where the change stands.
fn dialects() -> Vec<Defect> {
    vec![
        one("docs: join", "+a", docs("group.v2.join", r#"{"0":"4915111111111@c.us"}"#), A_IN_SOMEHOW),
        one(
            "docs: leave",
            "-b",
            docs("group.v2.leave", r#"{"0":"4915122222222@c.us"}"#),
            &["out b -", "b: out"],
        ),
        one(
            "docs: promote",
            "b^",
            event(
                "group.v2.participants",
                r#"{"chatId":"120363000000000001@g.us","action":"promote","participants":{"0":"4915122222222@c.us"}}"#,
            ),
            &["b: admin"],
        ),
        one(
            "docs: demote",
            "x_",
            event(
                "group.v2.participants",
                r#"{"chatId":"120363000000000001@g.us","action":"demote","participants":{"0":"4915133333333@c.us"}}"#,
            ),
            &["x: member"],
        ),
        one("wire: join", "+a", wire("join", &format!("[{A}]"), "{}"), A_IN),
        one(
            "wire: leave",
            "-b",
            wire("leave", r#"[{"id":"77002@lid","pn":null,"role":"left"}]"#, "{}"),
            &["out b -", "b: out"],
        ),
        one(
            "the phantom name",
            "+a",
            event(
                "group.participants.update",
                r#"{"id":"120363000000000001@g.us","action":"add","participants":["4915111111111@s.whatsapp.net"]}"#,
            ),
            A_IN_SOMEHOW,
        ),
    ]
}

/// Where the group stands.
fn places() -> Vec<Defect> {
    let at = |name, body: &str| one(name, "+a", event("group.v2.participants", body), A_IN);
    vec![
        at("the group in group.id", &format!(r#"{{"type":"join",{G},"participants":[{A}]}}"#)),
        at(
            "the group in chatId",
            &format!(r#"{{"type":"join","chatId":"120363000000000001@g.us","participants":[{A}]}}"#),
        ),
        at(
            "the group in _data.JID",
            &format!(r#"{{"type":"join","participants":[{A}],"_data":{{"JID":"120363000000000001@g.us"}}}}"#),
        ),
        at(
            "the group in group",
            &format!(r#"{{"type":"join","group":"120363000000000001@g.us","participants":[{A}]}}"#),
        ),
        one(
            "no group",
            "+a",
            event("group.v2.participants", &format!(r#"{{"type":"join","participants":[{A}]}}"#)),
            &["unreadable"],
        ),
    ]
}

/// Ids of all forms.
fn ids() -> Vec<Defect> {
    let join = |name, people: &str, came_to| one(name, "+a", wire("join", people, "{}"), came_to);
    vec![
        join("pn null", r#"[{"id":"77001@lid","pn":null,"role":"participant"}]"#, A_IN),
        join("a device behind a phone", r#"["4915111111111:7@s.whatsapp.net"]"#, A_IN_SOMEHOW),
        join("a device behind a LID", r#"["77001:7@lid"]"#, A_IN_SOMEHOW),
        join("an agent behind a LID", r#"["77001.1:0@lid"]"#, A_IN_SOMEHOW),
        join("the protocol's suffix", r#"["4915111111111@s.whatsapp.net"]"#, A_IN_SOMEHOW),
        one(
            "a LID that looks like a phone",
            "+c",
            wire(
                "join",
                r#"[{"id":"923001234567@lid","pn":"923001234567@c.us","role":"participant"}]"#,
                "{}",
            ),
            &["in c unknown -", "c: member"],
        ),
        one(
            "the phone alone under a LID's group",
            "+a",
            wire("join", r#"[{"id":"4915111111111@c.us","pn":null}]"#, "{}"),
            A_IN_SOMEHOW,
        ),
        one(
            "several in one",
            "+a +d",
            wire("join", &format!(r#"[{A},"4915155555555@c.us"]"#), "{}"),
            &["in a unknown -", "in d unknown -", "a: member", "d: unknown"],
        ),
        one(
            "the same person twice in one",
            "+a",
            wire("join", &format!(r#"[{A},"4915111111111@c.us"]"#), "{}"),
            A_IN,
        ),
        one(
            "a newsletter beside a person",
            "+a",
            wire("join", &format!(r#"["1@newsletter",{A}]"#), "{}"),
            A_IN,
        ),
    ]
}

/// How somebody came in, and who did it.
fn ways() -> Vec<Defect> {
    let join = |name, data: &str, came_to| one(name, "+a", wire("join", &format!("[{A}]"), data), came_to);
    let leave = |name, data: &str, came_to| {
        one(name, "-b", wire("leave", r#"[{"id":"77002@lid","pn":null,"role":"left"}]"#, data), came_to)
    };
    vec![
        join(
            "GOWS: by the link",
            r#"{"JoinReason":"invite","Sender":"77001@lid","SenderPN":"4915111111111@s.whatsapp.net"}"#,
            &["in a link -", "a: member"],
        ),
        join(
            "GOWS: added",
            r#"{"JoinReason":"","Sender":"77003@lid","SenderPN":"4915133333333@s.whatsapp.net"}"#,
            &["in a added x", "a: member"],
        ),
        join("GOWS: no word of it", r#"{"JoinReason":"","Sender":null}"#, A_IN),
        join(
            "WEBJS: by the link",
            r#"{"type":"invite","author":"4915111111111@c.us"}"#,
            &["in a link -", "a: member"],
        ),
        join(
            "WEBJS: added",
            r#"{"type":"add","author":"4915133333333@c.us"}"#,
            &["in a added x", "a: member"],
        ),
        join(
            "WEBJS: from a linked group",
            r#"{"type":"linked_group_join","author":"4915133333333@c.us"}"#,
            A_IN,
        ),
        join(
            "NOWEB: added",
            r#"{"author":"77003@lid","authorPn":"4915133333333@s.whatsapp.net"}"#,
            &["in a added x", "a: member"],
        ),
        join("NOWEB: the joiner is the author", r#"{"author":"77001@lid"}"#, A_IN),
        leave("left by themselves", r#"{"Sender":"77002@lid"}"#, &["out b b.lid", "b: out"]),
        leave("put out by somebody", r#"{"Sender":"77003@lid"}"#, &["out b x.lid", "b: out"]),
    ]
}

/// Roles, and changes without a word.
fn roles() -> Vec<Defect> {
    let nothing = |name, payload: String| {
        one(
            name,
            "+a -b",
            event("group.v2.participants", &payload),
            &["in a reconciled -", "out b -", "a: member", "b: out", "roster read"],
        )
    };
    vec![
        one(
            "a promotion",
            "b^",
            wire("promote", r#"[{"id":"77002@lid","pn":null,"role":"admin"}]"#, "{}"),
            &["b: admin"],
        ),
        one(
            "a demotion",
            "x_",
            wire("demote", r#"[{"id":"77003@lid","pn":null,"role":"participant"}]"#, "{}"),
            &["x: member"],
        ),
        one(
            "NOWEB: demoted, and the role says admin",
            "x_",
            wire("demote", r#"[{"id":"77003@lid","role":"admin","admin":"admin"}]"#, "{}"),
            &["x: member"],
        ),
        nothing(
            "NOWEB: no type and no role (a number changed)",
            format!(r#"{{"timestamp":<ms>,{G},"participants":[{{"id":"77001@lid"}}]}}"#),
        ),
        nothing(
            "an unknown type",
            format!(r#"{{"type":"modify","timestamp":<ms>,{G},"participants":["77001@lid"]}}"#),
        ),
        nothing("nobody in it", format!(r#"{{"type":"join","timestamp":<ms>,{G},"participants":[]}}"#)),
        Defect {
            name: "GOWS: leave, join, promote, demote of one notification",
            truth: "-b +a a^ x_",
            bodies: vec![
                wire("leave", r#"[{"id":"77002@lid","pn":null,"role":"left"}]"#, "{}"),
                wire("join", r#"[{"id":"77001@lid","pn":null,"role":"participant"}]"#, "{}"),
                wire("promote", r#"[{"id":"77001@lid","pn":null,"role":"admin"}]"#, "{}"),
                wire("demote", r#"[{"id":"77003@lid","pn":null,"role":"participant"}]"#, "{}"),
            ],
            came_to: &["out b -", "in a unknown -", "a: admin", "b: out", "x: member"],
        },
        Defect {
            name: "a promotion that overtakes its join",
            truth: "+a a^",
            bodies: vec![
                wire("promote", r#"[{"id":"77001@lid","pn":null,"role":"admin"}]"#, "{}"),
                event("group.v2.participants", &wire_payload("join", &format!("[{A}]"), "{}", "<ms-2>")),
            ],
            came_to: &["in a unknown -", "a: admin", "roster read"],
        },
    ]
}
