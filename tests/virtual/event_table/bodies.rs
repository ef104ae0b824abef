//! Bodies of webhooks, around what a row is about.

use super::Defect;

/// An envelope as the gateway sends it, with an event id of its own.
pub(super) fn event(name: &str, payload: &str) -> String {
    numbered(&format!("evt_{:x}", fastrand::u64(..)), name, payload)
}

pub(super) fn numbered(id: &str, name: &str, payload: &str) -> String {
    format!(
        r#"{{"id":"{id}","timestamp":<ms>,"session":"main","engine":"GOWS","metadata":{{}},"event":"{name}",
            "me":{{"id":"447700900001@c.us","lid":"55501@lid","pushName":"Guard"}},
            "environment":{{"version":"2026.7.1"}},"payload":{payload}}}"#
    )
}

pub(super) const G: &str = r#""group":{"id":"120363000000000001@g.us"}"#;
pub(super) const A: &str = r#"{"id":"77001@lid","pn":"4915111111111@c.us","role":"participant"}"#;

/// The engine's own event of a change of members, its time in milliseconds.
pub(super) fn wire(kind: &str, participants: &str, data: &str) -> String {
    event("group.v2.participants", &wire_payload(kind, participants, data, "<ms>"))
}

pub(super) fn wire_payload(kind: &str, participants: &str, data: &str, time: &str) -> String {
    format!(r#"{{"type":"{kind}","timestamp":{time},{G},"participants":{participants},"_data":{data}}}"#)
}

/// The event as the vendor's pages show it.
pub(super) fn docs(name: &str, participants: &str) -> String {
    event(name, &format!(r#"{{"chatId":"120363000000000001@g.us","participants":{participants}}}"#))
}

/// A row with one body.
pub(super) fn one(
    name: &'static str,
    truth: &'static str,
    body: String,
    came_to: &'static [&'static str],
) -> Defect {
    Defect { name, truth, bodies: vec![body], came_to }
}

pub(super) const A_IN: &[&str] = &["in a unknown -", "a: member"];
/// The same where nobody tells the role.
pub(super) const A_IN_SOMEHOW: &[&str] = &["in a unknown -", "a: unknown"];
