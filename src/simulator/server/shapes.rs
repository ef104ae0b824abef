//! The gateway's JSON for groups, rosters and the results of member calls, by engine (`wawp-api.md` §2.2).

use crate::{
    ids::{Lid, Person, Phone},
    simulator::{
        announce::scene,
        event_body::{member_jid, raw_jid, raw_phone},
        gateway::Engine,
        world::{Addressing, Group, Role, Source, World},
    },
};
use serde_json::{Map, Value, json};

/// One participant, with the code of what became of it; 0 is none.
pub(super) fn participant(
    person: Person,
    addressing: Addressing,
    role: Role,
    engine: Engine,
    error: u16,
) -> Value {
    let admin = role >= Role::Admin;
    match engine {
        Engine::Gows => json!({
            "JID": raw_jid(person, addressing), "PhoneNumber": raw_phone(person),
            "LID": person.lid.map(Lid::jid).unwrap_or_default(), "IsAdmin": admin,
            "IsSuperAdmin": role == Role::Superadmin, "DisplayName": "", "Error": error,
            "AddRequest": (error == 403).then(|| json!({"Code": "c0de", "Expiration": "2030-01-01T00:00:00Z"})),
        }),
        Engine::Noweb => json!({
            "id": member_jid(person, addressing), "phoneNumber": raw_phone(person),
            "admin": match role { Role::Participant => None, Role::Admin => Some("admin"), Role::Superadmin => Some("superadmin") },
        }),
        Engine::Webjs => {
            let id = member_jid(person, addressing);
            let (user, server) = id.split_once('@').unwrap_or((&id, ""));
            json!({
                "id": {"server": server, "user": user, "_serialized": id},
                "isAdmin": admin, "isSuperAdmin": role == Role::Superadmin,
            })
        }
    }
}

/// The members as the engine lists them.
pub(super) fn roster(world: &World, group: &Group, me: Lid, engine: Engine) -> Value {
    let scene = scene(world, group, me);
    scene
        .members
        .iter()
        .map(|(person, role)| participant(*person, scene.addressing, *role, engine, 0))
        .collect()
}

/// The members, normalised.
pub(super) fn roster_v2(world: &World, group: &Group, me: Lid) -> Value {
    let scene = scene(world, group, me);
    let one = |(person, role): &(Person, Role)| {
        json!({
            "id": member_jid(*person, scene.addressing), "pn": person.phone.map(Phone::jid), "role": role.as_str(),
        })
    };
    scene.members.iter().map(one).collect()
}

/// A group as the engine describes it.
pub(super) fn group(world: &World, group: &Group, me: Lid, engine: Engine, members: bool) -> Value {
    let people = if members { roster(world, group, me, engine) } else { json!([]) };
    let owner = group.owner.map(|lid| world.shown_in(Source::Roster, lid, me));
    match engine {
        Engine::Gows => json!({
            "JID": group.id.as_str(), "OwnerJID": owner.map(|owner| raw_jid(owner, group.addressing)),
            "Name": group.subject, "Topic": group.description, "IsLocked": group.info_locked,
            "IsAnnounce": group.announce_only, "IsJoinApprovalRequired": false, "MemberAddMode": "admin_add",
            "AddressingMode": if group.addressing == Addressing::Lid { "lid" } else { "pn" },
            "ParticipantCount": group.members.len(), "Participants": people,
        }),
        Engine::Noweb => json!({
            "id": group.id.as_str(), "owner": owner.map(|owner| member_jid(owner, group.addressing)),
            "subject": group.subject, "desc": group.description, "restrict": group.info_locked,
            "announce": group.announce_only, "size": group.members.len(), "participants": people,
            "addressingMode": if group.addressing == Addressing::Lid { "lid" } else { "pn" },
        }),
        Engine::Webjs => {
            let id = group.id.as_str();
            json!({
                "id": {"server": "g.us", "user": id.trim_end_matches("@g.us"), "_serialized": id},
                "name": group.subject, "isGroup": true,
                "groupMetadata": {"subject": group.subject, "desc": group.description,
                    "announce": group.announce_only, "restrict": group.info_locked, "participants": people},
            })
        }
    }
}

/// What became of one person in a member call.
pub(super) struct Outcome {
    pub(super) jid: String,
    pub(super) person: Person,
    pub(super) role: Role,
    /// 200 for done.
    pub(super) code: u16,
}

impl Outcome {
    pub(super) fn of(jid: &str, person: Person, role: Role, code: u16) -> Self {
        Self { jid: jid.to_owned(), person, role, code }
    }

    /// As WEBJS tells it; who may only be invited was invited by it already.
    fn webjs(&self) -> Value {
        let message = match self.code {
            200 => "The participant was added successfully",
            403 => "The participant can be added by sending private invitation only",
            404 => "The phone number is not registered on WhatsApp",
            408 => "You cannot add this participant because they recently left the group",
            409 => "The participant is already a group member",
            419 => "The participant can't be added because the group is full",
            _ => "An unknown error occurred while adding a participant",
        };
        json!({"code": self.code, "message": message, "isInviteV4Sent": self.code == 403})
    }
}

/// The answer of creating a group: GOWS lists the refused with their code, NOWEB keeps quiet about them.
pub(super) fn created(world: &World, group: &Group, me: Lid, engine: Engine, asked: &[Outcome]) -> Value {
    let mut shape = self::group(world, group, me, engine, true);
    match engine {
        Engine::Gows => {
            let refused = asked
                .iter()
                .filter(|one| one.code != 200)
                .map(|one| participant(one.person, group.addressing, Role::Participant, engine, one.code));
            shape["Participants"].as_array_mut().into_iter().for_each(|list| list.extend(refused.clone()));
            shape
        }
        Engine::Noweb => shape,
        Engine::Webjs => {
            let people: Map<_, _> = asked
                .iter()
                .map(|one| {
                    let told = json!({
                        "statusCode": one.code, "message": one.webjs()["message"], "isGroupCreator": false,
                        "isInviteV4Sent": one.code == 403,
                    });
                    (one.jid.clone(), told)
                })
                .collect();
            json!({"title": group.subject, "gid": shape["id"], "participants": people})
        }
    }
}

/// The answer of add, remove, promote and demote.
pub(super) fn outcomes(list: &[Outcome], addressing: Addressing, engine: Engine, adding: bool) -> Value {
    match engine {
        Engine::Gows => list
            .iter()
            .map(|one| {
                let error = if one.code == 200 { 0 } else { one.code };
                participant(one.person, addressing, one.role, engine, error)
            })
            .collect(),
        Engine::Noweb => {
            list.iter().map(|one| json!({"status": one.code.to_string(), "jid": one.jid})).collect()
        }
        Engine::Webjs if adding => {
            Value::Object(list.iter().map(|one| (one.jid.clone(), one.webjs())).collect())
        }
        // It says 200 whatever happened (whatsapp-reality.md §3.1).
        Engine::Webjs => json!({"status": 200}),
    }
}
