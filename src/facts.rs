//! The facts given to a policy run, and what a run comes to.
//!
//! Facts are three-valued: known, unknown, or not looked up yet. The directory's share ([`MemberFacts`],
//! [`GroupFacts`]) is always at hand; the rest is asked for by [`Need`] and answered by [`Answer`].

use crate::{
    action::Asked,
    clock::Timestamp,
    event::{Aspect, Hook, Role, Via},
    ids::{GroupId, Person, PersonId, SessionName},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the directory knows of the member a run is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberFacts {
    /// Our row.
    pub id: PersonId,
    /// Who.
    pub person: Person,
    /// The id by which the group's roster or the event names them; what calls must use.
    pub jid: String,
    /// Display name.
    pub name: Option<String>,
    /// Role in this group.
    pub role: Role,
    /// Whether they are in the group now.
    pub present: bool,
    /// How they entered last.
    pub via: Via,
    /// Who added them.
    pub added_by: Option<Person>,
    /// Who removed them, or themselves.
    pub left_by: Option<Person>,
    /// When they entered last (first seen, if no join was told).
    pub joined_at: Option<Timestamp>,
    /// Part of the first roster, or in since before it: established.
    pub adopted: bool,
    /// How often they entered this group.
    pub joins: u32,
    /// How often we removed them from any group.
    pub removals: u32,
    /// Guarded groups they are in.
    pub groups: Vec<GroupId>,
    /// Messages in this group.
    pub messages: u32,
    /// Their last message in this group.
    pub last_message_at: Option<Timestamp>,
    /// Their last private message to us.
    pub wrote_to_us_at: Option<Timestamp>,
    /// Tags of the person.
    pub tags: Vec<String>,
    /// One of our own numbers.
    pub is_own: bool,
}

/// What directory and configuration know of the group a run is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// The group.
    pub id: GroupId,
    /// Its name; empty if not told yet.
    pub subject: String,
    /// Its description.
    pub description: String,
    /// People in it now.
    pub size: u32,
    /// How many fit.
    pub capacity: u32,
    /// Whether only admins may write; `None` if not told yet.
    pub announce_only: Option<bool>,
    /// Archived on our side.
    pub archived: bool,
    /// We made it.
    pub created_by_us: bool,
    /// Who made it, where known.
    pub owner: Option<Person>,
    /// Tags of the group.
    pub tags: Vec<String>,
    /// Which of our sessions are in it, with their roles.
    pub sessions: Vec<(SessionName, Role)>,
    /// The group's parameters from the configuration.
    #[serde(default)]
    pub params: serde_json::Map<String, serde_json::Value>,
}

impl GroupFacts {
    /// Whether one of our sessions is admin there.
    pub fn we_are_admin(&self) -> bool {
        self.sessions.iter().any(|(_, role)| role.is_admin())
    }
}

/// One thing about a group that somebody else changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupChange {
    /// What.
    pub what: Aspect,
    /// What it was: a text or a switch; null if nobody told. If we are putting an earlier change back, what it will be then.
    pub before: serde_json::Value,
    /// What it is now.
    pub after: serde_json::Value,
    /// Who did it, where told.
    pub by: Option<Person>,
    /// Their role in the group.
    pub by_role: Role,
    /// How often changes of this thing in this group were answered with a call within the last hour.
    pub answered: u32,
}

/// A fact that has to be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The member's phone, where only the LID is known.
    Phone,
    /// Whether a list names the member.
    Blacklist,
    /// Whether the allowlist names the member.
    Allowlist,
    /// The member's subscription.
    Subscription,
    /// Joins into the group in the window up to `now`, reconciled ones aside.
    Joins(Duration),
    /// Departures in the window up to `now`.
    Leaves(Duration),
}

/// A looked-up value with its age and source, or the reason why nobody knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lookup<T> {
    /// Known.
    Known {
        /// The value.
        value: T,
        /// When it was true.
        as_of: Timestamp,
        /// Who said so.
        source: String,
        /// Served although its time is over, because the source is down.
        stale: bool,
    },
    /// Not known now.
    Unknown {
        /// Why, for `explain`.
        why: String,
    },
}

impl<T> Lookup<T> {
    /// The value, if known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// Whether a removal may rest on it: known and not stale.
    pub fn is_evidence(&self) -> bool {
        matches!(self, Self::Known { stale: false, .. })
    }
}

/// The entry of a list that names somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListHit {
    /// The list's name.
    pub list: String,
    /// The entry as it stands there.
    pub entry: String,
    /// Its reason.
    pub reason: Option<String>,
    /// Where it comes from, where the list says so: who added it, who publishes it, or what stands behind the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When we first saw the entry.
    pub added_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// A subscription's state (*fixed* words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Pays.
    Active,
    /// Tries it out.
    Trialing,
    /// A payment failed.
    PastDue,
    /// Ended it.
    Canceled,
    /// Never had one.
    None,
    /// Nobody can tell.
    Unknown,
}

impl Status {
    /// The fixed word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trialing => "trialing",
            Self::PastDue => "past_due",
            Self::Canceled => "canceled",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }

    /// The reverse of [`Status::as_str`]; `None` for a foreign word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Trialing, Self::PastDue, Self::Canceled, Self::None, Self::Unknown]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// What the payment side says of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The state.
    pub status: Status,
    /// The plan's name.
    pub plan: Option<String>,
    /// The end; a date lasts to the end of its day in the configured time zone.
    pub expires_at: Option<Timestamp>,
}

impl Subscription {
    /// Whether they are entitled at `now` (DESIGN §4): active or trialing with no end or an end ahead, past due or
    /// cancelled while the end is ahead.
    pub fn is_active(&self, now: Timestamp) -> bool {
        match self.status {
            Status::Active | Status::Trialing => self.expires_at.is_none_or(|end| end > now),
            Status::PastDue | Status::Canceled => self.expires_at.is_some_and(|end| end > now),
            Status::None | Status::Unknown => false,
        }
    }

    /// How far it reaches, to choose between two of the same person: the later counts. None at all reaches nowhere,
    /// whatever end it names; one that nobody understands may be for good.
    pub fn reach(&self) -> i64 {
        match (self.status, self.expires_at) {
            (Status::None, _) => i64::MIN,
            (_, Some(at)) => at.as_millis(),
            (Status::Active | Status::Trialing, None) => i64::MAX,
            (Status::Unknown, None) => i64::MAX - 1,
            (Status::PastDue | Status::Canceled, None) => i64::MIN + 1,
        }
    }
}

/// The answer to a [`Need`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Need::Phone`].
    Phone(Lookup<crate::ids::Phone>),
    /// To [`Need::Blacklist`]: the first entry that names them, if any. Known-none while the phone is unknown must be
    /// answered as unknown unless their LID is listed.
    Blacklist(Lookup<Option<ListHit>>),
    /// To [`Need::Allowlist`].
    Allowlist(Lookup<bool>),
    /// To [`Need::Subscription`].
    Subscription(Lookup<Subscription>),
    /// To [`Need::Joins`] and [`Need::Leaves`].
    Count(u64),
}

/// Everything a run may read.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The hook to call.
    pub hook: Hook,
    /// When the event was received: the script's `now`.
    pub now: Timestamp,
    /// The member, for hooks that have one.
    pub member: Option<MemberFacts>,
    /// The group.
    pub group: GroupFacts,
    /// What was changed about the group, for the hook that tells it.
    pub change: Option<GroupChange>,
    /// IANA name of the group's time zone.
    pub time_zone: String,
    /// Language for templates, if the group sets one.
    pub language: Option<String>,
    /// What has been looked up so far.
    pub answers: Vec<(Need, Answer)>,
}

impl Facts {
    /// The answer to a need, if it has been looked up.
    pub fn answer(&self, need: &Need) -> Option<&Answer> {
        self.answers.iter().find(|(asked, _)| asked == need).map(|(_, answer)| answer)
    }
}

/// One fact that a run read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its name as the script spells it, `member.subscription`.
    pub fact: String,
    /// The value; `null` for unknown.
    pub value: serde_json::Value,
    /// When it was true.
    pub as_of: Timestamp,
    /// Who said so: `directory`, `event`, a list's name, `subscriptions.csv`, …
    pub source: String,
    /// The policies that read it: a removal rests on what the policy that asked for it has read.
    #[serde(default)]
    pub readers: Vec<String>,
    /// Nobody could tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// Served stale.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// What the second look at a removal came to, just before it is sent (P5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Still asked for, on fresh evidence, and no rail stands against it.
    Asked,
    /// No longer asked for; and why.
    Withdrawn(String),
    /// A guard rail stands against it; and which.
    Refused(String),
    /// Nobody can tell now; and why. It waits.
    Unclear(String),
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What the chain asked for, in order.
    pub asked: Vec<Asked>,
    /// The facts it read, in order of first reading.
    pub evidence: Vec<Evidence>,
    /// The policies that ran, with the content hash of their files.
    pub policies: Vec<(String, String)>,
    /// An unknown fact was read and no final action was taken: to be looked at again.
    pub look_again: bool,
}

impl Verdict {
    /// The final action that counts: not one of an observing policy.
    pub fn final_action(&self) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.action.is_final() && !asked.observe)
    }
}
