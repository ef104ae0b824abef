//! The domain event: what happened, in our words.
//!
//! `wawp::translate` makes these from both dialects of the vendor; timers, roster reads and rechecks make them too, and
//! then their serde form is the body of a journal entry. Nothing after the journal knows vendor JSON.

use crate::{
    clock::Timestamp,
    ids::{DecisionId, GroupId, Person, SessionName, SweepId},
};
use serde::{Deserialize, Serialize};

/// One thing that happened, told to or noticed by one of our sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which of our numbers heard it.
    pub session: SessionName,
    /// When it happened, by the teller's clock; the time of receipt where the teller gave none.
    pub at: Timestamp,
    /// Who we are on that session, as far as the event told.
    #[serde(default)]
    pub me: Person,
    /// What happened.
    pub kind: EventKind,
}

/// Nobody who never wrote to the number may be written to until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// Its end; `None` where it is not told.
    pub until: Option<Timestamp>,
    /// What was told, without any number.
    pub why: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// Other people entered a group.
    Joined {
        /// The group.
        group: GroupId,
        /// Who entered.
        people: Vec<Participant>,
        /// How, where the event tells.
        via: Via,
        /// Who added or approved them, where the event tells.
        by: Option<Person>,
    },
    /// Other people left a group or were removed from it.
    Left {
        /// The group.
        group: GroupId,
        /// Who is gone.
        people: Vec<Participant>,
        /// Who removed them; themselves if they left; `None` if the event does not tell.
        by: Option<Person>,
    },
    /// People were promoted or demoted; each participant carries the new role.
    RolesChanged {
        /// The group.
        group: GroupId,
        /// Whose role changed.
        people: Vec<Participant>,
    },
    /// This session entered a group. The roster is there if the event carried one.
    SelfJoined {
        /// The group as far as the event tells.
        group: GroupSnapshot,
    },
    /// This session left a group or was removed from it.
    SelfLeft {
        /// The group.
        group: GroupId,
    },
    /// Subject, description or settings changed; only what changed is `Some`.
    GroupChanged {
        /// The new values.
        group: GroupSnapshot,
        /// Who changed it, where the event tells.
        #[serde(default)]
        by: Option<Person>,
        /// It tells something that some engines tell wrongly: the group must be read.
        #[serde(default)]
        doubtful: bool,
    },
    /// Something about the membership changed and the event does not say what (a number change, a missing type):
    /// the roster must be read.
    MembershipUnclear {
        /// The group.
        group: GroupId,
    },
    /// Somebody wrote to this session in private.
    DirectMessage {
        /// The writer.
        from: Person,
    },
    /// Somebody wrote in a group.
    GroupMessage {
        /// The group.
        group: GroupId,
        /// The writer.
        from: Person,
    },
    /// The session's own state, `WORKING`, `STOPPED`, …
    SessionStatus {
        /// The vendor's word, upper case.
        status: String,
    },
    /// An event that says it is our own, sent to prove the whole path. Only one with an id that we posted counts.
    Canary {
        /// Its event id.
        nonce: String,
    },
    /// WhatsApp restricts the account of the session. Told again and again while it lasts.
    Restricted {
        /// How.
        restriction: Restriction,
    },
    /// A roster that we fetched. The first one of a group is adopted silently, later ones correct the directory.
    Roster {
        /// The group with its complete list of participants, as of [`Event::at`] (taken before the request was sent).
        group: GroupSnapshot,
    },
    /// A run that met an unknown fact is to be looked at again.
    Recheck {
        /// That run.
        decision: DecisionId,
        /// How many times it has been looked at again.
        round: u32,
    },
    /// A lockdown's time is over.
    LockdownDue {
        /// The group.
        group: GroupId,
    },
    /// The next members of a group are to be looked at again.
    Sweep {
        /// The group.
        group: GroupId,
        /// The sweep, which knows who is next. `None` in entries of the version that kept no sweeps.
        #[serde(default)]
        sweep: Option<SweepId>,
    },
    /// An event that needs no action, and told by the way that phones and LIDs are one person each.
    Met {
        /// The vendor's name of it.
        name: String,
        /// Who, with both ids.
        people: Vec<Person>,
    },
    /// An event that we know of and need not act on.
    Ignored {
        /// The vendor's name of it.
        name: String,
    },
}

/// One person in an event or a roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    /// Who.
    pub person: Person,
    /// The id exactly as told, with device and agent parts dropped: the form that calls must use.
    pub jid: String,
    /// Their role, where told.
    #[serde(default)]
    pub role: Role,
    /// A display name, where told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Participant {
    /// Somebody of whom only the ids are known.
    pub fn new(person: Person) -> Self {
        Self { person, jid: person.jid(), role: Role::Unknown, name: None }
    }
}

/// What somebody is in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nobody told.
    #[default]
    Unknown,
    /// An ordinary member.
    Member,
    /// May manage the group.
    Admin,
    /// Made the group (or is its superadmin): can be neither removed nor demoted.
    Creator,
}

impl Role {
    /// The word that scripts see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Creator => "creator",
        }
    }

    /// Whether they may manage the group.
    pub fn is_admin(self) -> bool {
        matches!(self, Self::Admin | Self::Creator)
    }
}

/// How somebody entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The event does not tell.
    #[default]
    Unknown,
    /// By an invite link.
    Link,
    /// Somebody added them.
    Added,
    /// An admin approved their request.
    Approved,
    /// No event told it; a roster did.
    Reconciled,
}

impl Via {
    /// The word that scripts see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Link => "link",
            Self::Added => "added",
            Self::Approved => "approved",
            Self::Reconciled => "reconciled",
        }
    }
}

/// What is known of a group at one moment; `None` means not told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSnapshot {
    /// The group.
    pub id: GroupId,
    /// Its name.
    #[serde(default)]
    pub subject: Option<String>,
    /// Its description.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether only admins may write.
    #[serde(default)]
    pub announce_only: Option<bool>,
    /// Whether only admins may edit subject and description.
    #[serde(default)]
    pub info_locked: Option<bool>,
    /// Who made it.
    #[serde(default)]
    pub owner: Option<Person>,
    /// The invite link or code.
    #[serde(default)]
    pub invite: Option<String>,
    /// Everybody in it, if the source carried the complete list.
    #[serde(default)]
    pub participants: Option<Vec<Participant>>,
}

impl GroupSnapshot {
    /// A group of which only the id is known.
    pub fn new(id: GroupId) -> Self {
        Self {
            id,
            subject: None,
            description: None,
            announce_only: None,
            info_locked: None,
            owner: None,
            invite: None,
            participants: None,
        }
    }
}

/// Something about a group that people can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Its name: a text.
    Subject,
    /// Its description: a text.
    Description,
    /// Whether only admins may write.
    AnnounceOnly,
    /// Whether only admins may edit subject and description.
    InfoLocked,
    /// The invite link or code: a text.
    Invite,
}

impl Aspect {
    /// Every one, in the order in which they are judged.
    pub const ALL: [Self; 5] =
        [Self::Subject, Self::Description, Self::AnnounceOnly, Self::InfoLocked, Self::Invite];

    /// The word that scripts see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Description => "description",
            Self::AnnounceOnly => "announce_only",
            Self::InfoLocked => "info_locked",
            Self::Invite => "invite",
        }
    }
}

impl GroupSnapshot {
    /// What it tells of one aspect: a text or a switch; `None` if it is silent.
    pub fn told(&self, aspect: Aspect) -> Option<serde_json::Value> {
        match aspect {
            Aspect::Subject => self.subject.as_deref().map(Into::into),
            Aspect::Description => self.description.as_deref().map(Into::into),
            Aspect::AnnounceOnly => self.announce_only.map(Into::into),
            Aspect::InfoLocked => self.info_locked.map(Into::into),
            Aspect::Invite => self.invite.as_deref().map(Into::into),
        }
    }
}

/// The hook that a run calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// A person entered.
    OnJoin,
    /// A person left.
    OnLeave,
    /// A present member is looked at again.
    OnSweep,
    /// We entered a group.
    OnGroupJoined,
    /// Something about a group was changed by somebody else.
    OnGroupChanged,
}

impl Hook {
    /// Every hook, in the order of the documentation.
    pub const ALL: [Self; 5] =
        [Self::OnJoin, Self::OnLeave, Self::OnSweep, Self::OnGroupJoined, Self::OnGroupChanged];

    /// The function's name in a script.
    pub fn function(self) -> &'static str {
        match self {
            Self::OnJoin => "on_join",
            Self::OnLeave => "on_leave",
            Self::OnSweep => "on_sweep",
            Self::OnGroupJoined => "on_group_joined",
            Self::OnGroupChanged => "on_group_changed",
        }
    }

    /// The names of its parameters.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::OnJoin | Self::OnLeave | Self::OnSweep => &["member", "group"],
            Self::OnGroupJoined => &["group"],
            Self::OnGroupChanged => &["group", "change"],
        }
    }

    /// Whether a run of it is about one person.
    pub fn has_member(self) -> bool {
        match self {
            Self::OnJoin | Self::OnLeave | Self::OnSweep => true,
            Self::OnGroupJoined | Self::OnGroupChanged => false,
        }
    }

    /// The reverse of [`Hook::function`].
    pub fn from_function(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.function() == name)
    }
}
