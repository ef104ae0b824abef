//! What the store shows of itself: groups, sessions, alerts, counts, and how lists of it are asked for.

use crate::{
    action::RowState,
    clock::Timestamp,
    event::Restriction,
    facts::Subscription,
    ids::{EntryId, GroupId, Person, PersonId, Phone, SessionName},
};
use serde::Serialize;
use std::time::Duration;

/// A group as the delivery and the start see it.
#[derive(Clone, Debug)]
pub struct KnownGroup {
    /// The group.
    pub id: GroupId,
    /// Its name.
    pub subject: String,
    /// Whether its first roster was adopted.
    pub adopted: bool,
    /// People in it.
    pub size: u32,
    /// Our sessions in it.
    pub sessions: Vec<SessionName>,
}

/// One of our sessions as stored.
#[derive(Clone, Debug)]
pub struct OwnSession {
    /// Its name.
    pub name: SessionName,
    /// Who it is.
    pub me: Person,
    /// When it was first started.
    pub first_started_at: Timestamp,
    /// When it was paired anew.
    pub repaired_at: Option<Timestamp>,
    /// What WhatsApp restricted last, perhaps over by now; its end is set.
    pub restriction: Option<Restriction>,
}

impl OwnSession {
    /// Since when the number is young: the ramp counts from here.
    pub fn young_since(&self) -> Timestamp {
        self.repaired_at.map_or(self.first_started_at, |at| at.max(self.first_started_at))
    }
}

/// A subscription that the payment side pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Whose.
    pub phone: Phone,
    /// What it says.
    pub subscription: Subscription,
    /// When it was pushed.
    pub at: Timestamp,
}

/// An alert as kept.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// First time.
    pub at: Timestamp,
    /// Last time.
    pub last_at: Timestamp,
    /// Kind.
    pub kind: String,
    /// What people read.
    pub text: String,
    /// How often since.
    pub count: u32,
}

/// Messages to people who never wrote to us are locked for a session: WhatsApp answered 463, or told a restriction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColdLock {
    /// Since when, in schedule time.
    pub since: Timestamp,
    /// Until when; after it one message goes as a probe.
    pub until: Timestamp,
    /// How long a failed probe closes the way again.
    pub wait: Duration,
    /// What was said last.
    pub why: String,
}

/// What to list. Newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// At most so many (0: 100).
    pub limit: u32,
    /// Only with a smaller number than this: for paging.
    pub before: Option<i64>,
    /// Only in this state (its fixed word).
    pub state: Option<String>,
    /// Only about this person.
    pub member: Option<PersonId>,
    /// Only of this entry.
    pub entry: Option<EntryId>,
}

/// Counts for `/metrics` and `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Depths {
    /// Entries not taken yet, and the age basis: the oldest one's receipt.
    pub unread: u64,
    /// Receipt of the oldest of them.
    pub oldest_unread: Option<Timestamp>,
    /// Runs pending.
    pub pending_runs: u64,
    /// Runs parked.
    pub parked_runs: u64,
    /// Outbox rows by state and call name.
    pub outbox: Vec<(RowState, String, u64)>,
    /// The oldest waiting row's due time.
    pub oldest_waiting: Option<Timestamp>,
    /// Brakes that stand.
    pub brakes: u64,
    /// Sweeps that run.
    pub sweeps: u64,
    /// Memberships that these have looked at.
    pub sweeps_looked: u64,
    /// And those they have still to look at.
    pub sweeps_left: u64,
}
