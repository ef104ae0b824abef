//! The use cases of what lists cause: which decisions rest on an entry, and lifting what they did when it is taken back.

use super::{Raised, StoreError};
use crate::{
    action::RowState,
    clock::Timestamp,
    ids::{DecisionId, GroupId, OutboxId, Person, PersonId},
};
use async_trait::async_trait;

/// A decision that rests on an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caused {
    /// The decision.
    pub decision: DecisionId,
    /// The entry, as evidence has it.
    pub entry: String,
    /// Where.
    pub group: GroupId,
    /// The group's name.
    pub subject: String,
    /// Who.
    pub person: Person,
    /// How their removal stands, if one was asked for.
    pub removal: Option<RowState>,
}

/// What is lifted of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// The decision.
    pub decision: DecisionId,
    /// Its removals that are cancelled, as far as they have not begun, each with why.
    pub removals: Vec<(OutboxId, String)>,
    /// Whether the tags that it set on the list's word go too.
    pub tags: bool,
}

/// Somebody whom we put out and who has not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOut {
    /// The removal.
    pub row: OutboxId,
    /// Whose it is.
    pub decision: DecisionId,
    /// The group's name.
    pub subject: String,
    /// Who.
    pub person: Person,
}

/// The use cases. Part of [`super::Store`].
#[async_trait]
pub trait Causes: Send + Sync + 'static {
    /// Decisions that rest on an entry of that list and were not lifted yet, oldest first. Those with neither a removal
    /// nor a tag are not kept.
    async fn caused_by(&self, list: &str) -> Result<Vec<Caused>, StoreError>;

    /// Lifts what these decisions did, once, and keeps the alert (kind, key and text) if there is one: all in one commit.
    /// Answers how many removals were cancelled.
    async fn lift(
        &self,
        lifted: Vec<Lifted>,
        alert: Option<(Raised, String)>,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Whom we have put out since then and who is not back, once for each group, latest first.
    async fn put_out(&self, since: Timestamp) -> Result<Vec<PutOut>, StoreError>;

    /// Everybody who is in a group now whose first roster is read, our own numbers apart; by group and number.
    async fn present(&self) -> Result<Vec<(GroupId, PersonId, Person)>, StoreError>;
}
