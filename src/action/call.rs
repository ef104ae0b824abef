//! The calls that actions become: one request each, the content of an outbox row.
//!
//! Owns what follows from the kind of a call: its class, priority, lifetime, and whether it may be repeated.

use super::Class;
use crate::{
    event::Aspect,
    ids::{GroupId, PersonId, Phone},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// One call to the gateway: what an outbox row holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Remove one person.
    Remove {
        /// From which group.
        group: GroupId,
        /// Whom.
        member: PersonId,
    },
    /// Write to one person.
    Dm {
        /// To whom.
        to: PersonId,
        /// What.
        text: String,
    },
    /// One person's share of a welcome; rows of the same group, text and due time go out as one message.
    Welcome {
        /// Where.
        group: GroupId,
        /// Whom.
        member: PersonId,
        /// The text, see [`super::Action::Welcome`].
        text: Option<String>,
    },
    /// Write to a group.
    Say {
        /// Where.
        group: GroupId,
        /// What.
        text: String,
        /// Ids mentioned in it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<String>,
    },
    /// Set who may write.
    AnnounceOnly {
        /// Where.
        group: GroupId,
        /// Only admins.
        on: bool,
    },
    /// Kill the invite link.
    RevokeInvite {
        /// Of which group.
        group: GroupId,
    },
    /// Name a group.
    SetSubject {
        /// Which one.
        group: GroupId,
        /// Its name.
        text: String,
    },
    /// Describe a group.
    SetDescription {
        /// Which one.
        group: GroupId,
        /// Its description.
        text: String,
    },
    /// Set who may edit subject and description.
    LockInfo {
        /// Where.
        group: GroupId,
        /// Only admins.
        on: bool,
    },
    /// Add one person. The person's row is found by the phone when the call is written.
    Add {
        /// To which group.
        group: GroupId,
        /// Whom.
        phone: Phone,
    },
    /// Send one person the group's invite link in private: what is left when an addition is refused.
    Invite {
        /// To which group.
        group: GroupId,
        /// Whom.
        phone: Phone,
    },
    /// Make one person admin.
    Promote {
        /// Where.
        group: GroupId,
        /// Whom.
        phone: Phone,
    },
    /// Make a group.
    CreateGroup {
        /// Its name.
        subject: String,
        /// Who is to be in it from the start, as far as they may be added.
        members: Vec<Phone>,
        /// Who of them is to be admin.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        admins: Vec<Phone>,
        /// Its description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
}

impl Call {
    /// The word for it in the API and the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Remove { .. } => "remove",
            Self::Dm { .. } => "dm",
            Self::Welcome { .. } => "welcome",
            Self::Say { .. } => "say",
            Self::AnnounceOnly { .. } => "announce_only",
            Self::RevokeInvite { .. } => "revoke_invite",
            Self::SetSubject { .. } => "set_subject",
            Self::SetDescription { .. } => "set_description",
            Self::LockInfo { .. } => "lock_info",
            Self::Add { .. } => "add",
            Self::Invite { .. } => "invite",
            Self::Promote { .. } => "promote",
            Self::CreateGroup { .. } => "create_group",
        }
    }

    /// The class it counts under; a private message's coldness is known only when it is sent.
    pub fn class(&self) -> Class {
        match self {
            Self::Remove { .. } => Class::Remove,
            Self::Dm { .. } | Self::Invite { .. } => Class::Dm,
            Self::Welcome { .. } | Self::Say { .. } => Class::GroupMessage,
            Self::AnnounceOnly { .. }
            | Self::RevokeInvite { .. }
            | Self::SetSubject { .. }
            | Self::SetDescription { .. }
            | Self::LockInfo { .. }
            | Self::Promote { .. } => Class::Settings,
            Self::Add { .. } => Class::Add,
            Self::CreateGroup { .. } => Class::GroupCreate,
        }
    }

    /// Smaller goes first: settings (a lockdown, a name put back), removal, private message, group message, welcome,
    /// and at last what makes groups grow.
    pub fn priority(&self) -> u8 {
        match self.class() {
            Class::Settings => 0,
            Class::Remove => 1,
            Class::Dm | Class::ColdDm => 2,
            Class::GroupMessage if matches!(self, Self::Welcome { .. }) => 4,
            Class::GroupMessage => 3,
            Class::Add | Class::GroupCreate | Class::Read | Class::GroupRead | Class::LookUp => 5,
        }
    }

    /// Whether it reaches people as a message.
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Dm { .. } | Self::Say { .. } | Self::Welcome { .. } | Self::Invite { .. })
    }

    /// Whether it is never sent again once its outcome is unknown: a message would be read twice, and a second group of
    /// the same name would stand beside the first. Settings do no harm by being made again; removals and additions are
    /// repeated only while roster or directory show that they had no effect.
    pub fn is_once(&self) -> bool {
        self.is_message() || matches!(self, Self::CreateGroup { .. })
    }

    /// Whether only an admin of its group may make it. Members may change name and description of some groups, but nothing
    /// is known for sure of which.
    pub fn needs_admin(&self) -> bool {
        match self {
            Self::Remove { .. }
            | Self::AnnounceOnly { .. }
            | Self::RevokeInvite { .. }
            | Self::SetSubject { .. }
            | Self::SetDescription { .. }
            | Self::LockInfo { .. }
            | Self::Add { .. }
            | Self::Promote { .. } => true,
            Self::Dm { .. }
            | Self::Welcome { .. }
            | Self::Say { .. }
            | Self::Invite { .. }
            | Self::CreateGroup { .. } => false,
        }
    }

    /// What of a group it sets, and to which value.
    pub fn sets(&self) -> Option<(Aspect, Value)> {
        match self {
            Self::SetSubject { text, .. } => Some((Aspect::Subject, text.as_str().into())),
            Self::SetDescription { text, .. } => Some((Aspect::Description, text.as_str().into())),
            Self::AnnounceOnly { on, .. } => Some((Aspect::AnnounceOnly, (*on).into())),
            Self::LockInfo { on, .. } => Some((Aspect::InfoLocked, (*on).into())),
            _ => None,
        }
    }

    /// The group it touches, if it touches one.
    pub fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Remove { group, .. }
            | Self::Welcome { group, .. }
            | Self::Say { group, .. }
            | Self::AnnounceOnly { group, .. }
            | Self::RevokeInvite { group }
            | Self::SetSubject { group, .. }
            | Self::SetDescription { group, .. }
            | Self::LockInfo { group, .. }
            | Self::Add { group, .. }
            | Self::Invite { group, .. }
            | Self::Promote { group, .. } => Some(group),
            Self::Dm { .. } | Self::CreateGroup { .. } => None,
        }
    }

    /// The person it touches, if it names one by our row.
    pub fn member(&self) -> Option<PersonId> {
        match self {
            Self::Remove { member, .. } | Self::Welcome { member, .. } => Some(*member),
            Self::Dm { to, .. } => Some(*to),
            _ => None,
        }
    }

    /// The person it touches, if it names one by phone: our row is made where missing when the call is written.
    pub fn phone(&self) -> Option<Phone> {
        match self {
            Self::Add { phone, .. } | Self::Invite { phone, .. } | Self::Promote { phone, .. } => {
                Some(*phone)
            }
            _ => None,
        }
    }

    /// How long it may wait unsent.
    pub fn lifetime(&self) -> Option<Duration> {
        const HOUR: Duration = Duration::from_secs(3600);
        match self {
            Self::Dm { .. } => Some(24 * HOUR),
            // It may have to wait for the addition that it stands in for.
            Self::Invite { .. } => Some(72 * HOUR),
            // A name that was put back a day late would undo somebody's work of meanwhile.
            Self::SetSubject { .. } | Self::SetDescription { .. } => Some(24 * HOUR),
            // Two days: the ceiling of the first may be used up. Nobody is warm so much longer anyway.
            Self::Add { .. } | Self::CreateGroup { .. } => Some(48 * HOUR),
            Self::Say { .. } => Some(HOUR),
            Self::Welcome { .. } => Some(Duration::from_secs(600)),
            Self::Remove { .. }
            | Self::AnnounceOnly { .. }
            | Self::RevokeInvite { .. }
            | Self::LockInfo { .. }
            | Self::Promote { .. } => None,
        }
    }
}
