//! The use cases of who is who, each in the writer's transaction or on a reader's view.

use super::{SqliteStore, groups, pairs, people};
use crate::{
    clock::Timestamp,
    identity::{Hidden, Learnt, NumberRecord, NumberReply, PersonRecord},
    ids::{GroupId, Lid, PersonId, Phone, SessionName},
    store::{IdForm, People, StoreError},
};
use async_trait::async_trait;

#[async_trait]
impl People for SqliteStore {
    async fn learn(&self, pairs: Vec<(Phone, Lid)>, learnt: Learnt) -> Result<usize, StoreError> {
        self.writer.run(move |db| people::learn(db, &pairs, learnt)).await
    }

    async fn record(&self, id: PersonId) -> Result<Option<PersonRecord>, StoreError> {
        self.readers.read(move |db| pairs::record(db, id)).await
    }

    async fn hidden(
        &self,
        session: &SessionName,
        since: Timestamp,
        lids_too: bool,
        limit: u32,
    ) -> Result<Vec<Hidden>, StoreError> {
        let session = session.clone();
        self.readers.read(move |db| pairs::hidden(db, &session, since, lids_too, limit)).await
    }

    async fn numbers(&self, numbers: Vec<Phone>) -> Result<Vec<NumberRecord>, StoreError> {
        self.readers.read(move |db| pairs::numbers(db, &numbers)).await
    }

    async fn unpaired(&self, lids: Vec<Lid>) -> Result<Vec<Lid>, StoreError> {
        self.readers.read(move |db| pairs::unpaired(db, lids)).await
    }

    async fn keep_reply(&self, reply: NumberReply) -> Result<usize, StoreError> {
        self.writer.run(move |db| pairs::keep_reply(db, reply)).await
    }

    async fn use_form(&self, group: &GroupId, form: IdForm) -> Result<(), StoreError> {
        let group = group.clone();
        self.writer.run(move |db| groups::use_form(db, &group, form)).await
    }
}
