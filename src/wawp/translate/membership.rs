//! Group events: who came, who left, whose role changed, what became of the group itself.

use super::{Telling, Unreadable, origin};
use crate::{
    event::{EventKind, GroupSnapshot, Participant, Role},
    ids::GroupId,
    wawp::{roster, wire},
};
use serde_json::Value;

/// What happened to the people of an event.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Join,
    Leave,
    Promote,
    Demote,
}

impl Change {
    fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "join" | "add" | "invite" | "linked_group_join" => Some(Self::Join),
            "leave" | "remove" => Some(Self::Leave),
            "promote" => Some(Self::Promote),
            "demote" => Some(Self::Demote),
            _ => None,
        }
    }

    /// Action, type and event name, in that order (`wawp-api.md` §5, 4). `None`: the event does not tell, as NOWEB
    /// leaves the type out at a number change.
    fn of(payload: &Value, event: &str) -> Option<Self> {
        let told = ["action", "type"].iter().find_map(|key| Self::from_word(payload.get(key)?.as_str()?));
        told.or_else(|| Self::from_word(event.rsplit('.').next().unwrap_or(event)))
    }
}

impl Telling<'_> {
    pub(super) fn membership(&self, event: &str) -> Result<Vec<EventKind>, Unreadable> {
        let group = self.group_id()?;
        let change = Change::of(self.payload, event);
        let Some(value) = self.people() else { return self.without_people(group, change, event) };
        let people =
            roster::participants(value).map_err(|why| Unreadable(format!("in the event {event}, {why}")))?;
        let Some(change) = change.filter(|_| !people.is_empty()) else {
            return Ok(vec![EventKind::MembershipUnclear { group }]);
        };
        Ok(match change {
            Change::Join => self.joined(group, people),
            Change::Leave => self.left(group, people),
            Change::Promote | Change::Demote => {
                vec![EventKind::RolesChanged { group, people: with_roles(people, change) }]
            }
        })
    }

    /// Where the people of the change stand. Not `group.participants`: that is a roster.
    fn people(&self) -> Option<&Value> {
        wire::first(self.payload, &["participants", "recipientIds"])
    }

    /// The engine's own dialect: `group.v2.join` and `group.v2.leave` with a `group` and without people are about us.
    fn without_people(
        &self,
        group: GroupId,
        change: Option<Change>,
        event: &str,
    ) -> Result<Vec<EventKind>, Unreadable> {
        let of_engine = self.payload.get("group").is_some_and(Value::is_object);
        match (event, change) {
            ("group.v2.join", Some(Change::Join)) if of_engine => {
                Ok(vec![EventKind::SelfJoined { group: self.entered(group) }])
            }
            ("group.v2.leave", Some(Change::Leave)) if of_engine => Ok(vec![EventKind::SelfLeft { group }]),
            ("group.join" | "group.leave", _) => Ok(vec![EventKind::MembershipUnclear { group }]),
            _ => Err(Unreadable(format!("the event {event} names no participants"))),
        }
    }

    fn joined(&self, group: GroupId, people: Vec<Participant>) -> Vec<EventKind> {
        let (ours, others): (Vec<_>, Vec<_>) = people.into_iter().partition(|one| self.is_me(one.person));
        let mut kinds = Vec::new();
        if !ours.is_empty() {
            kinds.push(EventKind::SelfJoined { group: self.entered(group.clone()) });
        }
        let others = self.with_senders_ids(others);
        if !others.is_empty() {
            let (via, by) = origin::of_join(self.data(), &others);
            kinds.push(EventKind::Joined { group, people: others, via, by });
        }
        kinds
    }

    fn left(&self, group: GroupId, people: Vec<Participant>) -> Vec<EventKind> {
        let (ours, others): (Vec<_>, Vec<_>) = people.into_iter().partition(|one| self.is_me(one.person));
        let mut kinds = Vec::new();
        let others = self.with_senders_ids(others);
        if !others.is_empty() {
            let by = origin::sender(self.data());
            kinds.push(EventKind::Left { group: group.clone(), people: others, by });
        }
        if !ours.is_empty() {
            kinds.push(EventKind::SelfLeft { group });
        }
        kinds
    }

    /// In a group that names its members by LID only the sender comes with a phone beside it, and who joins by a link, or
    /// goes, is the sender. It spares the gateway a question for each of them.
    fn with_senders_ids(&self, people: Vec<Participant>) -> Vec<Participant> {
        let Some(sender) = origin::sender(self.data()) else { return people };
        let both = |one: Participant| match one.person.same_as(sender) {
            true => Participant { person: one.person.merged(sender), ..one },
            false => one,
        };
        people.into_iter().map(both).collect()
    }

    /// The group that we entered, with its roster if the event carried a readable one; the roster is fetched otherwise, so
    /// an odd entry in it is no reason to lose the event.
    fn entered(&self, id: GroupId) -> GroupSnapshot {
        let told = wire::first(self.payload, &["group"]).unwrap_or(self.payload);
        let raw = roster::snapshot(id.clone(), self.data());
        let mut group = roster::snapshot(id, told);
        group.subject = group.subject.or(raw.subject);
        group.description = group.description.or(raw.description);
        group.announce_only = group.announce_only.or(raw.announce_only);
        group.info_locked = group.info_locked.or(raw.info_locked);
        group.owner = group.owner.map(|owner| owner.merged(raw.owner.unwrap_or_default())).or(raw.owner);
        let list = told.get("participants").filter(|_| self.payload.get("group").is_some());
        group.participants = list.and_then(|list| roster::roster(list).ok()).filter(|list| !list.is_empty());
        group
    }

    /// `group.v2.update`: only what changed, of either dialect.
    pub(super) fn group_changed(&self) -> Result<EventKind, Unreadable> {
        let id = self.group_id()?;
        let told = self.payload.get("group").filter(|group| group.is_object()).unwrap_or(self.payload);
        let mut group = roster::snapshot(id.clone(), told);
        let raw = roster::snapshot(id, self.data());
        group.announce_only = group.announce_only.or(raw.announce_only);
        group.info_locked = group.info_locked.or(raw.info_locked);
        let flags = ["membersCanSendMessages", "membersCanEditInfo"];
        // Where whatsmeow itself is silent, nothing of the kind changed: the flag beside it is always there.
        let silent =
            group.announce_only.is_none() && group.info_locked.is_none() && self.data().get("JID").is_none();
        // Three engines of four send these inverted, so what they tell is only that something is to be read.
        let doubtful = silent && flags.iter().any(|key| told.get(key).is_some());
        Ok(EventKind::GroupChanged { group, by: origin::changer(self.data()), doubtful })
    }

    /// The group's id: `chatId`, `group.id`, `id`, `_data.JID`, the first that is a group's.
    fn group_id(&self) -> Result<GroupId, Unreadable> {
        let payload = self.payload;
        let group = payload.get("group");
        [
            payload.get("chatId"),
            group.and_then(|group| group.get("id")),
            group,
            payload.get("id"),
            self.data().get("JID"),
            self.data().get("id"),
        ]
        .into_iter()
        .flatten()
        .find_map(|value| GroupId::parse(&wire::id_text(value)?))
        .ok_or_else(|| Unreadable("the event names no group (an id that ends in @g.us)".into()))
    }

    /// What the engine itself said; null if the gateway took it out.
    pub(super) fn data(&self) -> &Value {
        self.payload.get("_data").unwrap_or(&Value::Null)
    }
}

/// The role after the change. The change decides, not the role told beside it: NOWEB says `admin` of somebody demoted.
fn with_roles(people: Vec<Participant>, change: Change) -> Vec<Participant> {
    let role = |told: Role| match change {
        Change::Promote if told == Role::Creator => Role::Creator,
        Change::Promote => Role::Admin,
        _ => Role::Member,
    };
    people.into_iter().map(|one| Participant { role: role(one.role), ..one }).collect()
}
