//! The action: what a script asked for, in our words, and what the outbox makes of it.
//!
//! Owns the tables that the whole way out relies on: which actions are calls, their class for the ceilings, their
//! priority, whether a call may be repeated, and the states of an outbox row.

use crate::ids::{GroupId, PersonId};
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
            Self::AnnounceOnly { .. } => "announce_only",
            Self::RevokeInvite { .. } => "revoke_invite",
            Self::Lockdown { .. } => "lockdown",
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
}

impl Class {
    /// Every class, in the order of the configuration.
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
        /// The text, see [`Action::Welcome`].
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
        }
    }

    /// The class it counts under; a private message's coldness is known only when it is sent.
    pub fn class(&self) -> Class {
        match self {
            Self::Remove { .. } => Class::Remove,
            Self::Dm { .. } => Class::Dm,
            Self::Welcome { .. } | Self::Say { .. } => Class::GroupMessage,
            Self::AnnounceOnly { .. } | Self::RevokeInvite { .. } => Class::Settings,
        }
    }

    /// Smaller goes first: lockdown, removal, private message, group message, welcome.
    pub fn priority(&self) -> u8 {
        match self {
            Self::AnnounceOnly { .. } | Self::RevokeInvite { .. } => 0,
            Self::Remove { .. } => 1,
            Self::Dm { .. } => 2,
            Self::Say { .. } => 3,
            Self::Welcome { .. } => 4,
        }
    }

    /// Whether sending it again after an unknown outcome does no harm by itself (settings), as opposed to messages,
    /// which are never repeated, and removals, which are repeated only while roster or directory show the person.
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Dm { .. } | Self::Say { .. } | Self::Welcome { .. })
    }

    /// The group it touches, if it touches one.
    pub fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Remove { group, .. }
            | Self::Welcome { group, .. }
            | Self::Say { group, .. }
            | Self::AnnounceOnly { group, .. }
            | Self::RevokeInvite { group } => Some(group),
            Self::Dm { .. } => None,
        }
    }

    /// The person it touches, if it touches one.
    pub fn member(&self) -> Option<PersonId> {
        match self {
            Self::Remove { member, .. } | Self::Welcome { member, .. } => Some(*member),
            Self::Dm { to, .. } => Some(*to),
            Self::Say { .. } | Self::AnnounceOnly { .. } | Self::RevokeInvite { .. } => None,
        }
    }

    /// How long it may wait unsent.
    pub fn lifetime(&self) -> Option<Duration> {
        match self {
            Self::Dm { .. } => Some(Duration::from_secs(24 * 3600)),
            Self::Say { .. } => Some(Duration::from_secs(3600)),
            Self::Welcome { .. } => Some(Duration::from_secs(600)),
            Self::Remove { .. } | Self::AnnounceOnly { .. } | Self::RevokeInvite { .. } => None,
        }
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
