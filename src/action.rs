//! The action: what a script asked for, in our words, and what the outbox makes of it.
//!
//! Owns the tables that the whole way out relies on: which actions are calls, their class for the ceilings, their
//! priority, whether a call may be repeated, and the states of an outbox row.

mod call;

pub use call::Call;

use crate::ids::{GroupId, PersonId, Phone};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// Something a script asked for. Member actions name the person by our row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Out of the group. Final.
    Remove {
        /// From which group.
        group: GroupId,
        /// Whom.
        member: PersonId,
    },
    /// Stays; the rest of the chain is skipped. Final.
    Admit,
    /// A private message.
    Dm {
        /// To whom.
        to: PersonId,
        /// What it says.
        text: String,
    },
    /// A public welcome, gathered with the others of the window.
    Welcome {
        /// Where.
        group: GroupId,
        /// Whom.
        member: PersonId,
        /// The text; `{names}` stands for the names. `None`: the default text of the group's language.
        text: Option<String>,
    },
    /// A message to the group.
    Say {
        /// Where.
        group: GroupId,
        /// What it says.
        text: String,
        /// Ids mentioned in it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<String>,
    },
    /// Remember a word for a person, everywhere.
    Tag {
        /// Whom.
        member: PersonId,
        /// The word.
        name: String,
        /// Until forgotten again; `None` for good.
        #[serde(default, with = "millis", skip_serializing_if = "Option::is_none")]
        lasts: Option<Duration>,
    },
    /// Forget a word.
    Untag {
        /// Whom.
        member: PersonId,
        /// The word.
        name: String,
    },
    /// Onto the daemon's own list.
    BlacklistLocally {
        /// Whom.
        member: PersonId,
        /// Until when it stands; `None` for good.
        #[serde(default, with = "millis", skip_serializing_if = "Option::is_none")]
        lasts: Option<Duration>,
    },
    /// Who may write.
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
    /// Announce-only and a new link; opened again after the time.
    Lockdown {
        /// Where.
        group: GroupId,
        /// For how long.
        #[serde(with = "millis")]
        lasts: Option<Duration>,
    },
    /// Name the group.
    SetSubject {
        /// Which group.
        group: GroupId,
        /// Its name from now on.
        text: String,
    },
    /// Describe the group.
    SetDescription {
        /// Which group.
        group: GroupId,
        /// What it says from now on; empty clears it where the engine can.
        text: String,
    },
    /// Who may edit subject and description.
    LockInfo {
        /// Where.
        group: GroupId,
        /// Only admins.
        on: bool,
    },
    /// Into the group.
    Add {
        /// Into which group.
        group: GroupId,
        /// Whom.
        phone: Phone,
        /// If they cannot be added, the invite link goes to them by private message.
        #[serde(default)]
        invite: bool,
    },
    /// Make a group.
    CreateGroup {
        /// Its name.
        subject: String,
        /// Who is to be in it; admins among them.
        members: Vec<Phone>,
        /// Who of them is to be admin.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        admins: Vec<Phone>,
        /// Its description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Tell the operators.
    Alert {
        /// What.
        text: String,
    },
    /// A line in the log.
    Log {
        /// What.
        text: String,
    },
}

/// Durations as milliseconds in stored JSON.
mod millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

impl Action {
    /// The word for it in the API, the metrics and `explain`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Remove { .. } => "remove",
            Self::Admit => "admit",
            Self::Dm { .. } => "dm",
            Self::Welcome { .. } => "welcome",
            Self::Say { .. } => "say",
            Self::Tag { .. } => "tag",
            Self::Untag { .. } => "untag",
            Self::BlacklistLocally { .. } => "blacklist_locally",
            Self::AnnounceOnly { .. } => "announce_only",
            Self::RevokeInvite { .. } => "revoke_invite",
            Self::Lockdown { .. } => "lockdown",
            Self::SetSubject { .. } => "set_subject",
            Self::SetDescription { .. } => "set_description",
            Self::LockInfo { .. } => "lock_info",
            Self::Add { .. } => "add",
            Self::CreateGroup { .. } => "create_group",
            Self::Alert { .. } => "alert",
            Self::Log { .. } => "log",
        }
    }

    /// Whether it ends the chain for that member.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Remove { .. } | Self::Admit)
    }
}

/// An action with who asked for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What is asked.
    #[serde(flatten)]
    pub action: Action,
    /// Why, in the owner's words; may be empty for actions without a reason.
    #[serde(default)]
    pub reason: String,
    /// The policy that asked.
    pub policy: String,
    /// The line of its file.
    pub line: u32,
    /// Asked by a policy that only observes: recorded, never sent.
    #[serde(default)]
    pub observe: bool,
}

/// The class of a call, for the ceilings in `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Making a group.
    GroupCreate,
    /// Adding a person.
    Add,
    /// Removing a person.
    Remove,
    /// A private message.
    Dm,
    /// A private message to somebody who never wrote to us, or not for 28 days. Also counts as [`Class::Dm`].
    ColdDm,
    /// A message to a group.
    GroupMessage,
    /// Settings, roles, labels, links.
    Settings,
    /// Reading rosters, groups, identities.
    Read,
    /// A read about a group: also counts as [`Class::Read`]. No key of the configuration's; the gateway's caps count it.
    GroupRead,
    /// A number or a LID looked up: also counts as [`Class::Read`]. No key of the configuration's, likewise.
    LookUp,
}

impl Class {
    /// What a read about a group counts under.
    pub const READ_OF_GROUP: &[Self] = &[Self::Read, Self::GroupRead];

    /// What a look-up of somebody counts under.
    pub const READ_OF_PERSON: &[Self] = &[Self::Read, Self::LookUp];

    /// Every class that the configuration names, in its order.
    pub const ALL: [Self; 8] = [
        Self::GroupCreate,
        Self::Add,
        Self::Remove,
        Self::Dm,
        Self::ColdDm,
        Self::GroupMessage,
        Self::Settings,
        Self::Read,
    ];

    /// The key in `[limits]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GroupCreate => "group_create",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Dm => "dm",
            Self::ColdDm => "cold_dm",
            Self::GroupMessage => "group_message",
            Self::Settings => "settings",
            Self::Read => "read",
            Self::GroupRead => "group_read",
            Self::LookUp => "look_up",
        }
    }
}

impl FromStr for Class {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a class of calls"))
    }
}

/// Where an outbox row stands (*fixed* words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// To be sent, perhaps later.
    Waiting,
    /// A human decides.
    Held,
    /// The call is under way.
    Sending,
    /// The gateway did it.
    Done,
    /// A guard rail or the gateway said no.
    Refused,
    /// Sent, and nobody knows whether it took effect.
    Unknown,
    /// No longer asked for.
    Cancelled,
    /// Too old to be worth sending.
    Expired,
    /// Failed for good.
    Dead,
    /// Would have been sent in `enforce`.
    Observed,
}

impl RowState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Held,
        Self::Sending,
        Self::Done,
        Self::Refused,
        Self::Unknown,
        Self::Cancelled,
        Self::Expired,
        Self::Dead,
        Self::Observed,
    ];

    /// The fixed word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Sending => "sending",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Dead => "dead",
            Self::Observed => "observed",
        }
    }
}

impl fmt::Display for RowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RowState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a state of an outbox row"))
    }
}
