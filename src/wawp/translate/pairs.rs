//! Who is who, told by the way: phone and LID of one person beside each other, wherever an event carries them.
//!
//! Only fields that are known to be two ids of one person are read together; nothing is paired by standing near.

use super::Telling;
use crate::{event::EventKind, ids::Person, wawp::wire};
use serde_json::Value;

/// A field with one id of somebody, and the fields that hold the other one.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("Sender", &["SenderAlt", "SenderPN"]),
    ("participant", &["participantAlt", "participantPn", "participantLid", "pn"]),
    ("remoteJid", &["remoteJidAlt"]),
    ("senderLid", &["senderPn"]),
    ("author", &["authorAlt", "authorPn"]),
    ("requesterId", &["requesterPn"]),
    ("owner", &["ownerPn"]),
    ("OwnerJID", &["OwnerPN"]),
];

impl Telling<'_> {
    /// An event that needs no action, with what it tells by the way.
    pub(super) fn by_the_way(&self, name: &str) -> EventKind {
        let name = super::shown(name);
        let people = self.pairs();
        if people.is_empty() { EventKind::Ignored { name } } else { EventKind::Met { name, people } }
    }

    /// Everybody of whom the event tells both ids, each once.
    fn pairs(&self) -> Vec<Person> {
        let data = self.data();
        let at = |value: &'_ Value, key: &str| value.get(key).cloned().unwrap_or(Value::Null);
        let mut places = vec![self.payload.clone(), data.clone(), at(data, "Info"), at(data, "key")];
        places.extend([at(self.payload, "key"), at(self.payload, "reaction"), at(self.payload, "group")]);
        let presences = self.payload.get("presences").and_then(wire::list).unwrap_or_default();
        places.extend(presences.into_iter().map(std::borrow::Cow::into_owned));
        let mut people = Vec::new();
        for pair in places.iter().flat_map(pairs_in) {
            if !people.contains(&pair) {
                people.push(pair);
            }
        }
        people
    }
}

fn pairs_in(place: &Value) -> impl Iterator<Item = Person> + '_ {
    OTHER_NAMES.iter().flat_map(move |(name, others)| {
        others.iter().filter_map(move |other| pair(place.get(name)?, place.get(other)?))
    })
}

/// Two ids of one person, if one is a phone and the other a LID.
fn pair(one: &Value, other: &Value) -> Option<Person> {
    let (one, other) = (wire::person(one)?, wire::person(other)?);
    let both = wire::believed(one.merged(other));
    (one != other && both.phone.is_some() && both.lid.is_some()).then_some(both)
}
