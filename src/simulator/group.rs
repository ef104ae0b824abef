//! A group, its members and their roles.

use crate::ids::{GroupId, Lid, Person};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing special.
    Participant,
    /// Settings and members.
    Admin,
    /// The creator: cannot be removed or demoted.
    Superadmin,
}

impl Role {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Admin => "admin",
            Self::Superadmin => "superadmin",
        }
    }
}

/// By which kind of id a group names its members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addressing {
    /// `…@lid`, as new groups do.
    #[default]
    Lid,
    /// The phone.
    Phone,
}

/// How somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By the invite link. Refused to people who were once removed.
    Link,
    /// Added by that member.
    AddedBy(Person),
    /// WhatsApp does not say.
    Unknown,
}

/// A group and its members.
#[derive(Clone, Debug)]
pub struct Group {
    /// `…@g.us`.
    pub id: GroupId,
    /// Its name.
    pub subject: String,
    /// Its description.
    pub description: String,
    /// How members are named.
    pub addressing: Addressing,
    /// Only admins may write.
    pub announce_only: bool,
    /// Only admins may edit subject and description.
    pub info_locked: bool,
    /// The code behind `chat.whatsapp.com/`.
    pub invite_code: String,
    /// Who made it.
    pub owner: Option<Lid>,
    /// Members and their roles.
    pub members: BTreeMap<Lid, Role>,
    /// Removed by an admin: the link is dead for them.
    pub link_banned: HashSet<Lid>,
    /// How often somebody went by themselves. Who did so twice cannot be added (408) until this is forgotten.
    pub walked_out: BTreeMap<Lid, u32>,
    /// No roster tells a phone, not even to admins, as in announcement groups of a community.
    pub anonymous: bool,
    /// The most members; 1,024 as the vendor says.
    pub capacity: usize,
}

impl Group {
    /// Whether a member sees the others' phones: an admin does, and everybody where members are named by phone; nobody
    /// where they are hidden.
    pub fn shows_phones(&self, to: Lid) -> bool {
        let role = self.members.get(&to);
        let open = |role: &Role| *role >= Role::Admin || self.addressing == Addressing::Phone;
        !self.anonymous && role.is_some_and(open)
    }

    pub(super) fn empty(id: GroupId, subject: &str, addressing: Addressing, invite_code: String) -> Self {
        Self {
            id,
            subject: subject.to_owned(),
            description: String::new(),
            addressing,
            announce_only: false,
            info_locked: false,
            invite_code,
            owner: None,
            members: BTreeMap::new(),
            link_banned: HashSet::new(),
            walked_out: BTreeMap::new(),
            anonymous: false,
            capacity: 1024,
        }
    }

    /// Whether that person can write here now.
    pub fn may_write(&self, who: Lid) -> bool {
        self.members.contains_key(&who) && (!self.announce_only || self.is_admin(who))
    }

    /// Whether that person may change members and settings.
    pub fn is_admin(&self, who: Lid) -> bool {
        self.members.get(&who).is_some_and(|role| *role >= Role::Admin)
    }
}
