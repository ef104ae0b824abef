//! How somebody came in and who did it: only the engine's own `_data` tells, and each engine differently.
//!
//! The answer is three-valued. Where the engine is silent it is [`Via::Unknown`], never a guess.

use crate::{
    event::{Participant, Via},
    ids::Person,
    wawp::wire,
};
use serde_json::Value;

/// How the people came in, and who added them.
pub(super) fn of_join(data: &Value, people: &[Participant]) -> (Via, Option<Person>) {
    let reason = wire::text(data, &["JoinReason", "Reason"]).unwrap_or_default();
    let kind = wire::text(data, &["type"]).unwrap_or_default();
    if reason == "invite" || kind == "invite" {
        return (Via::Link, None);
    }
    // A linked group's members come by themselves, yet not by a link.
    if kind == "linked_group_join" {
        return (Via::Unknown, None);
    }
    let is_joiner = |by: &Person| people.iter().any(|one| one.person.same_as(*by));
    match sender(data) {
        Some(by) if !is_joiner(&by) => (Via::Added, Some(by)),
        // whatsapp-web.js says `add` even where it does not say who.
        None if kind == "add" => (Via::Added, None),
        _ => (Via::Unknown, None),
    }
}

/// Who caused the change: whatsmeow's `Sender` (and `SenderPN`), the others' `author`.
pub(super) fn sender(data: &Value) -> Option<Person> {
    let read = |keys: &[&str]| keys.iter().find_map(|key| wire::person(data.get(key)?));
    let person = read(&["Sender", "author", "Author"])
        .unwrap_or_default()
        .merged(read(&["SenderPN", "SenderAlt", "authorPn", "authorAlt"]).unwrap_or_default());
    let person = wire::believed(person);
    (!person.is_nobody()).then_some(person)
}

/// Who changed something about a group: the sender, else whom whatsmeow names beside the new name or description.
pub(super) fn changer(data: &Value) -> Option<Person> {
    let beside = |change: &str, by: &str, pn: &str| {
        let change = data.get(change)?;
        let read = |key: &str| wire::person(change.get(key)?);
        read(by).into_iter().chain(read(pn)).reduce(Person::merged)
    };
    sender(data)
        .or_else(|| beside("Name", "NameSetBy", "NameSetByPN"))
        .or_else(|| beside("Topic", "TopicSetBy", "TopicSetByPN"))
}
