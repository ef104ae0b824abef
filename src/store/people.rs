//! The use cases of who is who: pairs of phone and LID, who is still hidden, what was asked about listed numbers.

use super::StoreError;
use crate::{
    clock::Timestamp,
    identity::{Hidden, Learnt, NumberRecord, NumberReply, PersonRecord},
    ids::{GroupId, Lid, PersonId, Phone, SessionName},
};
use async_trait::async_trait;

/// The form of an id that a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdForm {
    /// `…@c.us`.
    Phone,
    /// `…@lid`.
    Lid,
}

/// The use cases. Part of [`super::Store`].
#[async_trait]
pub trait People: Send + Sync + 'static {
    /// Learns that a phone and a LID are one person, of those whom we know by either; two rows become one, with the
    /// history of both; what was told of both counts once, and one judgement of a join stands. Runs that waited for
    /// their phone are due at once. Answers of how many people something was learnt.
    async fn learn(&self, pairs: Vec<(Phone, Lid)>, learnt: Learnt) -> Result<usize, StoreError>;

    /// Our record of somebody.
    async fn record(&self, id: PersonId) -> Result<Option<PersonRecord>, StoreError>;

    /// Whose phone is unknown while a run of this session, told since then, waits to be looked at again, or a removal
    /// waits; and with `lids_too` whose LID is unknown while a removal waits. Latest first.
    async fn hidden(
        &self,
        session: &SessionName,
        since: Timestamp,
        lids_too: bool,
        limit: u32,
    ) -> Result<Vec<Hidden>, StoreError>;

    /// What is known of the LIDs of these numbers, from answers and from pairs, in the order given.
    async fn numbers(&self, numbers: Vec<Phone>) -> Result<Vec<NumberRecord>, StoreError>;

    /// Those of these LIDs whose phone nobody told.
    async fn unpaired(&self, lids: Vec<Lid>) -> Result<Vec<Lid>, StoreError>;

    /// Keeps what the gateway said of a number. A LID is learnt as in [`People::learn`], and remembered for somebody
    /// whom we do not know yet. Answers of how many people something was learnt.
    async fn keep_reply(&self, reply: NumberReply) -> Result<usize, StoreError>;

    /// Remembers which form of ids calls about the people of a group must use, whatever events and rosters use.
    async fn use_form(&self, group: &GroupId, form: IdForm) -> Result<(), StoreError>;
}
