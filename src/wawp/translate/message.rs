//! Messages: only who wrote, and where. Texts are not read.

use super::{Telling, Unreadable};
use crate::{
    event::EventKind,
    ids::{Jid, Person},
    wawp::wire,
};
use serde_json::Value;

impl Telling<'_> {
    pub(super) fn message(&self, name: &str) -> Result<EventKind, Unreadable> {
        let ignored = || self.by_the_way(name);
        if wire::flag(self.payload, &["fromMe"]) == Some(true) {
            return Ok(ignored());
        }
        let from = wire::first(self.payload, &["from"])
            .and_then(wire::id_text)
            .ok_or_else(|| Unreadable(format!("the event {name} does not tell who wrote (`from`)")))?;
        let kind = match Jid::parse(&from) {
            Some(Jid::Group(group)) => self.writer().map(|from| EventKind::GroupMessage { group, from }),
            Some(jid) => jid.person().map(|from| EventKind::DirectMessage {
                from: wire::believed(from.merged(self.other_identity(from))),
            }),
            None => None,
        };
        // Status posts, channels, WhatsApp's own notices: nobody of ours.
        Ok(kind.unwrap_or_else(ignored))
    }

    /// The writer of a group message.
    fn writer(&self) -> Option<Person> {
        let writer = ["participant", "author"].iter().find_map(|key| wire::person(self.payload.get(key)?))?;
        Some(wire::believed(writer.merged(self.other_identity(writer))))
    }

    /// The writer's other identity: the phone of a LID or the LID of a phone, where the engine tells it.
    fn other_identity(&self, writer: Person) -> Person {
        let info = self.data().get("Info").unwrap_or(&Value::Null);
        let key = self.data().get("key").unwrap_or(&Value::Null);
        let told = [
            info.get("SenderAlt"),
            info.get("SenderPN"),
            self.payload.get("participantAlt"),
            key.get("participantAlt"),
            key.get("participantPn"),
            key.get("participantLid"),
            key.get("remoteJidAlt"),
            key.get("senderPn"),
            key.get("senderLid"),
        ];
        let other = |person: &Person| match (writer.phone, writer.lid) {
            (None, _) => person.phone.is_some(),
            (_, None) => person.lid.is_some(),
            _ => false,
        };
        told.into_iter().flatten().filter_map(wire::person).find(other).unwrap_or_default()
    }
}
