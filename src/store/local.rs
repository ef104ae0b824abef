//! The daemon's own list: what operators and policies add to it, and the exceptions that they make from every list.

use super::StoreError;
use crate::{
    clock::Timestamp,
    ids::{DecisionId, Person},
};
use async_trait::async_trait;
use serde::Serialize;

/// What an entry of the local list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalKind {
    /// It lists whom it names.
    Addition,
    /// No list names whom it names.
    Exception,
}

/// An entry of the local list, with who and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalEntry {
    /// What it does.
    pub kind: LocalKind,
    /// As the owner's files spell it: `+49…`, `…@lid`, `+92*`, `@PK`.
    pub entry: String,
    /// Whom it names, as far as known in both forms; nobody for a prefix or a country.
    pub person: Person,
    /// Why.
    pub reason: Option<String>,
    /// Who: an operator's name, `cli`, `api`, or `policy NAME`.
    pub by: String,
    /// A policy's decision.
    pub decision: Option<DecisionId>,
    /// Since when.
    pub added_at: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

/// The use cases of the local list. Part of [`super::Store`].
#[async_trait]
pub trait LocalList: Send + Sync + 'static {
    /// Adds entries, all or none; what stands already is said anew and keeps since when. Exceptions for the same are
    /// ended: whoever adds says so. Answers the entries as they stand.
    async fn list_locally(&self, entries: Vec<LocalEntry>) -> Result<Vec<LocalEntry>, StoreError>;

    /// Ends the additions of what `exception` names, and keeps the exception if `always`, if there was no such addition, or
    /// if a policy made it and would again. Answers the additions that are ended, and whether the exception is kept.
    async fn unlist_locally(
        &self,
        exception: LocalEntry,
        always: bool,
    ) -> Result<(Vec<LocalEntry>, bool), StoreError>;

    /// What stands at `now`, oldest first.
    async fn local_list(&self, now: Timestamp) -> Result<Vec<LocalEntry>, StoreError>;
}
