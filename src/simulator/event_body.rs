//! The bodies of webhook events in both dialects, as values. Sends nothing.
//!
//! `wire` is what the engine underneath emits (GOWS on whatsmeow); `docs` is what the vendor's pages show, with
//! participants as an index map (`wawp-api.md` §3.3). Tests that post by themselves at speed call [`Dialect::join_body`]
//! and its sisters; the announcer makes everything else of the same parts.

use super::world::{Addressing, Role, Via};
use crate::{
    clock::Timestamp,
    ids::{GroupId, Person},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Which of the two incompatible shapes group events have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// As the engine sends.
    #[default]
    Wire,
    /// As the vendor documents.
    Docs,
    /// One or the other, by the parity of the event id's last character.
    Mixed,
}

/// What may be missing or different in an event of the `wire` dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quirks {
    /// `_data` was stripped on the way: how somebody came in is unknown.
    pub no_data: bool,
    /// `pn` carries the phone where the session may see it; else null, as GOWS sends it.
    pub fill_pn: bool,
    /// The payload's timestamp in seconds instead of milliseconds.
    pub seconds: bool,
}

/// What stands around an event.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// `evt_` and a lower-case ULID.
    pub id: &'a str,
    /// When it was emitted.
    pub at: Timestamp,
    /// The gateway's name of the session.
    pub session: &'a str,
    /// Whose account it is.
    pub me: Person,
    /// The gateway's quirks.
    pub quirks: Quirks,
}

impl Envelope<'_> {
    fn wrap(&self, event: &str, payload: Value) -> Value {
        json!({
            "id": self.id, "timestamp": self.at.as_millis(), "session": self.session, "metadata": {"user.id": "9"},
            "engine": "GOWS", "event": event, "payload": payload,
            "me": {
                "id": self.me.phone.map(crate::ids::Phone::jid),
                "lid": self.me.lid.map(crate::ids::Lid::jid),
                "pushName": "Guard",
            },
            "environment": {"version": "2026.7.1", "engine": "GOWS", "tier": "PLUS"},
        })
    }

    fn payload_time(&self) -> i64 {
        if self.quirks.seconds { self.at.as_millis() / 1000 } else { self.at.as_millis() }
    }

    fn wire(&self, event: &str, mut payload: Value, data: Value) -> Value {
        payload["timestamp"] = json!(self.payload_time());
        if !self.quirks.no_data {
            payload["_data"] = data;
        }
        self.wrap(event, payload)
    }

    fn docs(&self, event: &str, group: &GroupId, people: &[Person]) -> Value {
        let map: Map<_, _> =
            people.iter().enumerate().map(|(n, person)| (n.to_string(), person.jid().into())).collect();
        self.wrap(event, json!({"chatId": group.as_str(), "participants": map}))
    }
}

/// The id of somebody in a group that names its members that way; the other id where that one is unknown.
pub fn member_jid(person: Person, addressing: Addressing) -> String {
    match (addressing, person.lid) {
        (Addressing::Lid, Some(lid)) => lid.jid(),
        _ => person.jid(),
    }
}

/// A number as the engine's raw data writes it, `…@s.whatsapp.net`; empty if unknown.
pub(super) fn raw_phone(person: Person) -> String {
    person.phone.map(|phone| format!("{}@s.whatsapp.net", phone.digits())).unwrap_or_default()
}

/// The same for the member's id.
pub(super) fn raw_jid(person: Person, addressing: Addressing) -> String {
    match (addressing, person.lid) {
        (Addressing::Lid, Some(lid)) => lid.jid(),
        _ => raw_phone(person),
    }
}

/// A changed key as the engine's raw data has it.
fn raw_change(key: &str, value: &Value) -> (&'static str, Value) {
    let not = json!(value == &Value::Bool(false));
    match key {
        "subject" => ("Name", json!({"Name": value})),
        "description" => ("Topic", json!({"Topic": value, "TopicDeleted": value == ""})),
        "membersCanSendMessages" => ("Announce", json!({"IsAnnounce": not})),
        "membersCanEditInfo" => ("Locked", json!({"IsLocked": not})),
        _ => ("NewInviteLink", value.clone()),
    }
}

fn people(list: &[Person], addressing: Addressing, role: &str, quirks: Quirks) -> Value {
    let one = |person: &Person| {
        let pn = person.phone.filter(|_| quirks.fill_pn).map(crate::ids::Phone::jid);
        json!({"id": member_jid(*person, addressing), "pn": pn, "role": role})
    };
    list.iter().map(one).collect()
}

impl Dialect {
    /// The dialect of one event: itself, or for [`Dialect::Mixed`] one of the two, always the same for the same id.
    #[must_use]
    pub fn of_event(self, id: &str) -> Self {
        match self {
            Self::Mixed if id.bytes().last().is_some_and(|b| b % 2 == 0) => Self::Docs,
            Self::Mixed => Self::Wire,
            other => other,
        }
    }

    /// Others came in.
    pub fn join_body(
        self,
        around: &Envelope<'_>,
        group: &GroupId,
        addressing: Addressing,
        who: &[Person],
        via: Via,
    ) -> Value {
        if self.of_event(around.id) == Self::Docs {
            return around.docs("group.v2.join", group, who);
        }
        let ids: Vec<_> = who.iter().map(|person| raw_jid(*person, addressing)).collect();
        let (reason, sender) = match via {
            Via::Link => ("invite", who.first().copied()),
            Via::AddedBy(by) => ("", Some(by)),
            Via::Unknown => ("", None),
        };
        let data = json!({
            "JID": group.as_str(), "JoinReason": reason, "Join": ids, "Timestamp": around.at.to_string(),
            "Sender": sender.map(|person| raw_jid(person, addressing)),
            "SenderPN": sender.map(raw_phone),
        });
        let payload = json!({
            "type": "join", "group": {"id": group.as_str()},
            "participants": people(who, addressing, "participant", around.quirks),
        });
        around.wire("group.v2.participants", payload, data)
    }

    /// Others went (`by` is `None` or themselves) or were put out.
    pub fn leave_body(
        self,
        around: &Envelope<'_>,
        group: &GroupId,
        addressing: Addressing,
        who: &[Person],
        by: Option<Person>,
    ) -> Value {
        if self.of_event(around.id) == Self::Docs {
            return around.docs("group.v2.leave", group, who);
        }
        let sender = by.or(who.first().copied());
        let ids: Vec<_> = who.iter().map(|person| raw_jid(*person, addressing)).collect();
        let data = json!({
            "JID": group.as_str(), "Leave": ids, "Timestamp": around.at.to_string(),
            "Sender": sender.map(|person| raw_jid(person, addressing)), "SenderPN": sender.map(raw_phone),
        });
        let payload = json!({
            "type": "leave", "group": {"id": group.as_str()},
            "participants": people(who, addressing, "left", around.quirks),
        });
        around.wire("group.v2.participants", payload, data)
    }

    /// Somebody became an admin, or is one no more.
    pub fn role_body(
        self,
        around: &Envelope<'_>,
        group: &GroupId,
        addressing: Addressing,
        who: &[Person],
        (up, by): (bool, Person),
    ) -> Value {
        let (word, role) = if up { ("promote", "admin") } else { ("demote", "participant") };
        if self.of_event(around.id) == Self::Docs {
            let mut body = around.docs("group.v2.participants", group, who);
            body["payload"]["action"] = word.into();
            return body;
        }
        let data = json!({
            "JID": group.as_str(), "Sender": raw_jid(by, addressing), "SenderPN": raw_phone(by),
            "Timestamp": around.at.to_string(),
        });
        let payload = json!({
            "type": word, "group": {"id": group.as_str()},
            "participants": people(who, addressing, role, around.quirks),
        });
        around.wire("group.v2.participants", payload, data)
    }

    /// We came in: `group` is what a session sees of it (see `shapes::scene`). The docs dialect shows only ourselves.
    pub fn self_join_body(self, around: &Envelope<'_>, group: &Scene<'_>, via: Via) -> Value {
        if self.of_event(around.id) == Self::Docs {
            return around.docs("group.v2.join", group.id, &[around.me]);
        }
        let roster: Vec<_> = group
            .members
            .iter()
            .map(|(person, role)| {
                json!({
                    "id": member_jid(*person, group.addressing),
                    "pn": person.phone.map(crate::ids::Phone::jid), "role": role.as_str(),
                })
            })
            .collect();
        let (reason, sender) = match via {
            Via::Link => ("invite", None),
            Via::AddedBy(by) => ("", Some(by)),
            Via::Unknown => ("", None),
        };
        let data = json!({
            "JID": group.id.as_str(), "Reason": reason, "Type": "", "Timestamp": around.at.to_string(),
            "Sender": sender.map(|person| raw_jid(person, group.addressing)), "SenderPN": sender.map(raw_phone),
        });
        // GOWS computes membersCanSendMessages inverted in this one event (wawp-api.md §3.5).
        let payload = json!({"group": {
            "id": group.id.as_str(), "subject": group.subject, "description": group.description,
            "membersCanAddNewMember": false, "membersCanSendMessages": group.announce_only,
            "newMembersApprovalRequired": false, "participants": roster,
        }});
        around.wire("group.v2.join", payload, data)
    }

    /// We are out. On the wire this event carries no participants.
    pub fn self_leave_body(self, around: &Envelope<'_>, group: &GroupId) -> Value {
        if self.of_event(around.id) == Self::Docs {
            return around.docs("group.v2.leave", group, &[around.me]);
        }
        around.wire(
            "group.v2.leave",
            json!({"group": {"id": group.as_str()}}),
            json!({"JID": group.as_str()}),
        )
    }

    /// The group changed; `what` holds upstream's keys. `None` if the docs dialect knows no event for it.
    pub fn update_body(
        self,
        around: &Envelope<'_>,
        group: &GroupId,
        addressing: Addressing,
        what: &Map<String, Value>,
        by: Option<Person>,
    ) -> Option<Value> {
        let mut inner = what.clone();
        if self.of_event(around.id) == Self::Docs {
            inner.retain(|key, _| key == "subject" || key == "description");
            if inner.is_empty() {
                return None;
            }
            inner.insert("chatId".into(), group.as_str().into());
            return Some(around.wrap("group.v2.update", Value::Object(inner)));
        }
        inner.insert("id".into(), group.as_str().into());
        let mut data = json!({
            "JID": group.as_str(), "Timestamp": around.at.to_string(),
            "Sender": by.map(|person| raw_jid(person, addressing)), "SenderPN": by.map(raw_phone),
        });
        for (key, value) in what {
            let (name, inside) = raw_change(key, value);
            data[name] = inside;
        }
        Some(around.wire("group.v2.update", json!({"group": inner}), data))
    }

    /// The session came into another state; `payload` as the engine writes it. The docs dialect tells name and state only.
    pub(super) fn status_body(self, around: &Envelope<'_>, mut payload: Value) -> Value {
        if self.of_event(around.id) == Self::Docs
            && let Some(map) = payload.as_object_mut()
        {
            map.retain(|key, _| key == "name" || key == "status");
        }
        around.wrap("session.status", payload)
    }

    /// Somebody wrote, to us or into a group. The same in both dialects.
    pub fn message_body(
        self,
        around: &Envelope<'_>,
        group: Option<(&GroupId, Addressing)>,
        from: Person,
        text: &str,
    ) -> Value {
        let sender = group.map(|(_, addressing)| member_jid(from, addressing));
        let chat = group.map_or_else(|| from.jid(), |(id, _)| id.as_str().to_owned());
        let suffix = sender.as_ref().map(|sender| format!("_{sender}")).unwrap_or_default();
        let tail = around.id.trim_start_matches("evt_").to_uppercase();
        let mut payload = json!({
            "id": format!("false_{chat}_{tail}{suffix}"), "timestamp": around.at.as_millis() / 1000, "from": chat,
            "fromMe": false, "source": "app", "to": around.me.jid(), "body": text, "hasMedia": false, "ack": 1,
            "ackName": "SERVER", "participant": sender, "author": sender,
        });
        if !around.quirks.no_data {
            let lid = from.lid.map(crate::ids::Lid::jid).unwrap_or_default();
            let (id, other) = match group {
                Some((_, Addressing::Phone)) => (raw_phone(from), lid),
                _ => (lid, raw_phone(from)),
            };
            payload["_data"] = json!({"Info": {
                "ID": tail, "Sender": id, "SenderAlt": other, "IsFromMe": false, "PushName": "",
            }});
        }
        around.wrap("message", payload)
    }
}

/// A group as a session sees it.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// Which.
    pub id: &'a GroupId,
    /// How members are named.
    pub addressing: Addressing,
    /// Its name.
    pub subject: &'a str,
    /// Its description.
    pub description: &'a str,
    /// Only admins write.
    pub announce_only: bool,
    /// Everybody in it, as far as the session may see them.
    pub members: Vec<(Person, Role)>,
}
