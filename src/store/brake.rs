//! What the store tells and takes about the brake: removals with their undo, brakes that stand, a human's rulings.

use super::StoreError;
use crate::{
    action::RowState,
    clock::Timestamp,
    event::{Role, Via},
    ids::{DecisionId, GroupId, Lid, OutboxId, Phone},
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What is known of a removal besides its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The brake counts it: it is of an established member.
    pub established: bool,
    /// When a human let it go; the brake counts it no more.
    pub approved_at: Option<Timestamp>,
    /// What taking it back needs; `None` for rows that an older version wrote.
    pub undo: Option<Undo>,
}

/// What taking a removal back needs, as known when it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Where they were.
    pub group: GroupId,
    /// The id form that group and calls used for them.
    pub jid: String,
    /// Their number, unless WhatsApp hid it.
    pub phone: Option<Phone>,
    /// Their LID, where told.
    pub lid: Option<Lid>,
    /// What they were.
    pub role: Role,
    /// The group's invite link or code; `None`: nobody told it.
    pub invite: Option<String>,
    /// When they entered; first seen, if no join was told.
    pub joined_at: Option<Timestamp>,
    /// How they entered.
    pub via: Via,
}

/// A brake that stands: removals of established members of that group are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Brake {
    /// Where.
    pub group: GroupId,
    /// The group's name.
    pub subject: String,
    /// Since when.
    pub since: Timestamp,
    /// The decision that tripped it.
    pub decision: DecisionId,
    /// What that decision says: policy, line, reason, list entry.
    pub cause: String,
    /// How many removals were let through before.
    pub let_through: u32,
    /// How many rows it holds now.
    pub held: u32,
}

/// An alert that a use case raised in its own commit. It is kept already; log and counters are the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What kind.
    pub kind: &'static str,
    /// What people read.
    pub text: String,
}

/// Which rows a human rules on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    Row(OutboxId),
    /// All that the brake of that group holds.
    Group(GroupId),
    /// All that any brake holds.
    All,
}

/// What a human rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Held rows go out, past the brake; ceilings and the look just before sending stand.
    Approve,
    /// Held and waiting rows are not sent. A person whose removal is cancelled is spared: the same policy asks in vain
    /// until they enter the group again. Of a group also what its brake has counted and nobody has begun to send.
    Cancel,
    /// A row that ended unsent or failed waits again, past the brake, with what was dropped because of it; nobody is
    /// spared any more. A message that may have reached people is never sent again.
    Retry,
}

/// What became of a ruling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruled {
    /// It was done to these rows; for a group or all there may be none.
    Done(Vec<OutboxId>),
    /// There is no such row.
    Missing,
    /// The row is in that state, and why that is not ruled on so.
    Unfit(RowState, String),
}

/// The use cases. Part of [`super::Store`].
#[async_trait]
pub trait Brakes: Send + Sync + 'static {
    /// Does what a human rules, all or nothing; `now` is the wall clock's, for people to read.
    async fn rule(&self, pick: Pick, ruling: Ruling, now: Timestamp) -> Result<Ruled, StoreError>;

    /// The brakes that stand, oldest first.
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError>;
}
