//! People and groups as any engine describes them: one participant, a list of them, a whole group.
//!
//! Used for events (`translate`) and for answers (`answer`). Pure.

use super::wire;
use crate::{
    event::{GroupSnapshot, Participant, Role},
    ids::{GroupId, Jid, Person},
};
use serde_json::Value;

/// The names under which the id of a participant stands, in the order in which they are believed.
const ID_KEYS: &[&str] =
    &["id", "JID", "jid", "_serialized", "participant", "lid", "LID", "pn", "PhoneNumber"];

/// Reads a list of participants of any shape (`wawp-api.md` §3.3); each person stands once, in the order told.
/// Newsletters and broadcasts are no people and are skipped.
///
/// # Errors
/// A sentence that names the position of the first entry that names nobody: half a list would be a silent loss.
pub(crate) fn participants(value: &Value) -> Result<Vec<Participant>, String> {
    let items = wire::list(value).ok_or("the participants are neither a list nor an id")?;
    let mut people = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match participant(item) {
            Reading::Person(participant) => add(&mut people, *participant),
            Reading::NoPerson => {}
            Reading::Unreadable => {
                return Err(format!("participant {} of {} cannot be read", index + 1, items.len()));
            }
        }
    }
    Ok(people)
}

/// What one entry of a list turned out to be.
enum Reading {
    Person(Box<Participant>),
    NoPerson,
    Unreadable,
}

fn participant(value: &Value) -> Reading {
    let primary = if value.is_string() || value.get("user").is_some() {
        wire::id_text(value)
    } else {
        wire::first(value, ID_KEYS).and_then(wire::id_text)
    };
    let named = primary.as_deref().and_then(Jid::parse);
    let is_channel = |text: &str| text.ends_with("@newsletter") || text.ends_with("@broadcast");
    if matches!(named, Some(Jid::Other)) && primary.as_deref().is_some_and(is_channel) {
        return Reading::NoPerson;
    }
    let first = named.and_then(|jid| jid.person()).unwrap_or_default();
    let beside = wire::beside(value);
    let person = wire::believed(first.merged(beside));
    if person.is_nobody() {
        return Reading::Unreadable;
    }
    let told = if first.is_nobody() { person } else { first };
    let name = wire::text(value, &["DisplayName", "displayName", "pushName", "pushname", "notify", "name"]);
    Reading::Person(Box::new(Participant { person, jid: told.jid(), role: role(value), name }))
}

/// The role by any of its spellings: `role`, Baileys' `admin`, the two flags.
fn role(value: &Value) -> Role {
    let word = wire::text(value, &["role", "admin"]).unwrap_or_default().to_ascii_lowercase();
    let superadmin = wire::flag(value, &["isSuperAdmin", "IsSuperAdmin"]);
    let admin = wire::flag(value, &["isAdmin", "IsAdmin", "admin"]);
    match word.as_str() {
        "superadmin" | "creator" | "owner" => Role::Creator,
        _ if superadmin == Some(true) => Role::Creator,
        "admin" => Role::Admin,
        _ if admin == Some(true) => Role::Admin,
        "participant" | "member" => Role::Member,
        // Left is what they were, not what they are.
        "left" => Role::Unknown,
        _ if admin == Some(false) || value.get("admin").is_some_and(Value::is_null) => Role::Member,
        _ => Role::Unknown,
    }
}

/// Adds somebody, or what is new about somebody who is there already: by phone, by LID, or by an entry that joins the two.
fn add(people: &mut Vec<Participant>, mut new: Participant) {
    let mut at = people.len();
    // Backwards, so that the first who was told ends up as the base.
    for index in (0..people.len()).rev() {
        if !people[index].person.same_as(new.person) {
            continue;
        }
        let old = people.remove(index);
        at = index;
        new = Participant {
            person: old.person.merged(new.person),
            jid: old.jid,
            role: if old.role == Role::Unknown { new.role } else { old.role },
            name: old.name.or(new.name),
        };
    }
    people.insert(at.min(people.len()), new);
}

/// Reads a complete roster: like [`participants`], without those that an engine lists as having left.
///
/// # Errors
/// As [`participants`].
pub(crate) fn roster(value: &Value) -> Result<Vec<Participant>, String> {
    let items = wire::list(value).ok_or("the roster is not a list")?;
    let present = items.into_iter().filter(|item| item.get("role").and_then(Value::as_str) != Some("left"));
    participants(&Value::Array(present.map(std::borrow::Cow::into_owned).collect()))
}

/// What an object tells of a group, whichever engine wrote it. `membersCanSendMessages` is never read: three engines of
/// four send it inverted (`whatsapp-reality.md` §1.3).
pub(crate) fn snapshot(id: GroupId, value: &Value) -> GroupSnapshot {
    let inner = value.get("groupMetadata").filter(|inner| inner.is_object()).unwrap_or(value);
    let mut group = GroupSnapshot::new(id);
    group.subject = wire::text(inner, &["subject", "Name", "name"]).or_else(|| wire::text(value, &["name"]));
    group.description = description(inner);
    group.announce_only = setting(inner, &["announce", "IsAnnounce", "isAnnounce"], "Announce", "IsAnnounce");
    group.info_locked = setting(inner, &["restrict", "IsLocked", "isLocked"], "Locked", "IsLocked");
    group.owner = owner(inner);
    group.invite = wire::text(inner, &["invite", "inviteCode", "NewInviteLink"]);
    group
}

/// A description may be set to nothing, so an empty one is told too.
fn description(value: &Value) -> Option<String> {
    ["description", "desc", "Topic"].iter().find_map(|key| {
        let found = value.get(key)?;
        found.as_str().or_else(|| found.get("Topic")?.as_str()).map(str::to_owned)
    })
}

/// A switch under its plain name, or inside whatsmeow's change object.
fn setting(value: &Value, plain: &[&str], nested: &str, key: &str) -> Option<bool> {
    wire::flag(value, plain).or_else(|| wire::flag(value.get(nested)?, &[key]))
}

fn owner(value: &Value) -> Option<Person> {
    let read = |keys: &[&str]| keys.iter().find_map(|key| wire::person(value.get(key)?));
    let by_id = read(&["owner", "OwnerJID"]).unwrap_or_default();
    let person = wire::believed(by_id.merged(read(&["ownerPn", "OwnerPN"]).unwrap_or_default()));
    (!person.is_nobody()).then_some(person)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_that_names_phone_and_lid_joins_two_that_named_one_each() {
        let people = participants(&json!(["77@lid", "4915112345678@c.us", "4915199999999@c.us",
            {"id": "77@lid", "pn": "4915112345678@c.us", "role": "admin"}]))
        .unwrap();
        assert_eq!(people.len(), 2);
        assert_eq!(people[0].jid, "77@lid");
        assert_eq!(people[0].person.jid(), "4915112345678@c.us");
        assert_eq!(people[0].role, Role::Admin);
    }

    #[test]
    fn one_unreadable_entry_makes_the_list_unreadable_and_is_named() {
        let why = participants(&json!(["4915112345678@c.us", {"name": "x"}])).unwrap_err();
        assert_eq!(why, "participant 2 of 2 cannot be read");
        assert!(participants(&json!(["4915112345678"])).is_err(), "bare digits could be a phone or a LID");
        assert!(participants(&json!(7)).is_err());
    }

    #[test]
    fn channels_are_no_people() {
        let people = participants(&json!(["123@newsletter", "status@broadcast", "77@lid"])).unwrap();
        assert_eq!(people.len(), 1);
    }

    #[test]
    fn roles_are_read_in_every_engines_spelling() {
        for (entry, role) in [
            (json!({"JID": "77@lid", "IsAdmin": true, "IsSuperAdmin": false}), Role::Admin),
            (json!({"JID": "77@lid", "IsAdmin": true, "IsSuperAdmin": true}), Role::Creator),
            (json!({"JID": "77@lid", "IsAdmin": false, "IsSuperAdmin": false}), Role::Member),
            (json!({"id": "77@lid", "admin": null}), Role::Member),
            (json!({"id": "77@lid", "admin": "superadmin"}), Role::Creator),
            (json!({"id": "77@lid", "admin": "admin"}), Role::Admin),
            (
                json!({"id": {"_serialized": "49151@c.us", "user": "4915112345678", "server": "c.us"},
                "lid": "77@lid", "isAdmin": true, "isSuperAdmin": false}),
                Role::Admin,
            ),
            (json!({"id": "77@lid", "role": "participant"}), Role::Member),
            (json!({"id": "77@lid", "role": "left"}), Role::Unknown),
            (json!("77@lid"), Role::Unknown),
        ] {
            assert_eq!(participants(&json!([entry])).unwrap()[0].role, role, "{entry}");
        }
    }

    #[test]
    fn a_roster_leaves_out_those_who_left() {
        let people =
            roster(&json!([{"id": "77@lid", "role": "left"}, {"id": "78@lid", "role": "participant"}]))
                .unwrap();
        assert_eq!(people.iter().map(|p| p.jid.as_str()).collect::<Vec<_>>(), ["78@lid"]);
    }

    #[test]
    fn the_inverted_setting_is_never_believed() {
        let id = GroupId::parse("1203@g.us").unwrap();
        let group = snapshot(id.clone(), &json!({"membersCanSendMessages": true, "subject": "Club"}));
        assert_eq!((group.announce_only, group.subject.as_deref()), (None, Some("Club")));
        assert_eq!(
            snapshot(id.clone(), &json!({"Announce": {"IsAnnounce": true}})).announce_only,
            Some(true)
        );
        assert_eq!(snapshot(id, &json!({"groupMetadata": {"announce": false}})).announce_only, Some(false));
    }
}
