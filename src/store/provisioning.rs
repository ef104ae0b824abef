//! What the store keeps of groups that grow: whom we may add, groups of our own, invitations in place of additions.

use super::{CallId, Settled, StoreError};
use crate::{
    action::Call,
    clock::Timestamp,
    ids::{GroupId, OutboxId, Phone},
};
use async_trait::async_trait;

/// A group that we made, and what is to be done in it next.
#[derive(Clone, Debug)]
pub struct MadeGroup {
    /// Its id.
    pub group: GroupId,
    /// The name that it was given.
    pub subject: String,
    /// Who was left out, if anybody was.
    pub note: Option<String>,
    /// Calls of the same decision that had to wait for the group's id.
    pub then: Vec<Call>,
}

/// The use cases of groups that grow.
#[async_trait]
pub trait Provisioning: Send + Sync + 'static {
    /// When each of these people wrote to us last, in their order.
    async fn last_written(&self, phones: Vec<Phone>) -> Result<Vec<Option<Timestamp>>, StoreError>;

    /// Ends a refused addition like [`super::Store::settle`], except that an invitation which the decision asked for
    /// instead may go now; otherwise it falls with the addition.
    async fn invite_instead(
        &self,
        call: Option<CallId>,
        row: (OutboxId, Settled),
        now: Timestamp,
        ledger_now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Ends the call that made a group, in one commit: the row is done, the group is known as made by us, and the calls
    /// that had to wait for its id are written.
    async fn group_made(
        &self,
        call: CallId,
        row: OutboxId,
        made: MadeGroup,
        now: Timestamp,
        ledger_now: Timestamp,
    ) -> Result<(), StoreError>;
}
