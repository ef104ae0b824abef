//! What it means to know who somebody is: where a phone and a LID were learnt to be one person, who is still hidden, and
//! when to ask again. Pure; the pairs themselves are the store's, the asking is the delivery's.

use crate::{
    clock::Timestamp,
    ids::{Lid, Person, PersonId, Phone},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who told that a phone and a LID are one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearntFrom {
    /// A webhook about a group, or about ourselves.
    Event,
    /// A group's roster or settings.
    Roster,
    /// A message, a reaction, or another sign of somebody.
    Message,
    /// The gateway, asked for the phone behind a LID.
    Gateway,
    /// The gateway, asked for the LID of a number that a list names.
    List,
}

impl LearntFrom {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Roster => "roster",
            Self::Message => "message",
            Self::Gateway => "gateway",
            Self::List => "list",
        }
    }
}

/// Where and when something was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// Who told it.
    pub from: LearntFrom,
    /// When we were told.
    pub at: Timestamp,
}

impl Learnt {
    /// Told by `from` at that moment.
    pub fn new(from: LearntFrom, at: Timestamp) -> Self {
        Self { from, at }
    }
}

/// Our record of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PersonRecord {
    /// Our number for them.
    pub id: PersonId,
    /// Phone and LID, as far as known.
    pub person: Person,
    /// Where and when the two were learnt to be one person; `None` while one of them is unknown.
    pub learnt: Option<Learnt>,
}

/// The one id that is known of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnlyId {
    /// The phone is not known.
    Lid(Lid),
    /// The LID is not known.
    Phone(Phone),
}

/// Somebody one of whose ids is unknown while a run or a removal waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// All that is known of them.
    pub id: OnlyId,
    /// When the oldest run that waits for the other id was received.
    pub since: Timestamp,
}

/// How long after a join somebody hidden is asked about again and again; later the rechecks of their runs do it.
pub const PRESSING_FOR: Duration = Duration::from_secs(5 * 60);
/// A gateway learns a pair a moment after it told the join.
const JUST_JOINED: Duration = Duration::from_secs(15);

/// How long to wait between two questions about somebody hidden who joined so long ago; `None`: no longer pressing.
pub fn ask_again_after(age: Duration) -> Option<Duration> {
    match age {
        _ if age < JUST_JOINED => Some(Duration::from_secs(4)),
        _ if age < PRESSING_FOR => Some(Duration::from_secs(12)),
        _ => None,
    }
}

/// What the gateway says of a number, asked for its LID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// It belongs to this account.
    Lid(Lid),
    /// Nobody on WhatsApp has it.
    Absent,
    /// It does not tell.
    Untold,
}

/// An answer about a number, and when it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberReply {
    /// The number.
    pub phone: Phone,
    /// What was said.
    pub answer: Forward,
    /// When.
    pub at: Timestamp,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl NumberReply {
    /// Until when the answer proves something. Somebody without WhatsApp may get it any day; an account rarely changes.
    pub fn holds_until(&self) -> Timestamp {
        match self.answer {
            Forward::Lid(_) => self.at + DAY * 30,
            Forward::Absent => self.at + DAY,
            Forward::Untold => self.at,
        }
    }

    /// When to ask again: before the answer is worth nothing.
    pub fn ask_again_at(&self) -> Timestamp {
        match self.answer {
            Forward::Lid(_) => self.at + DAY * 15,
            Forward::Absent => self.at + DAY / 2,
            Forward::Untold => self.at + DAY / 4,
        }
    }
}

/// All that is known of a number's LID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRecord {
    /// The number.
    pub phone: Phone,
    /// What the gateway said last, asked for it.
    pub said: Option<NumberReply>,
    /// The pair that was learnt otherwise.
    pub paired: Option<NumberReply>,
}

impl NumberRecord {
    /// What proves something for longest.
    pub fn best(&self) -> Option<NumberReply> {
        self.said.into_iter().chain(self.paired).max_by_key(NumberReply::holds_until)
    }

    /// When the gateway is to be asked; in the past for one of whom nothing is known.
    pub fn ask_at(&self) -> Timestamp {
        let known = self.said.into_iter().chain(self.paired);
        known.map(|reply| reply.ask_again_at()).max().unwrap_or(Timestamp(0))
    }
}
