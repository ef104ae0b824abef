//! Groups that grow: the SQL of [`crate::store::Provisioning`].

use super::{
    SqliteStore, changes, delivery, enqueue, groups, ledger, outbox, people,
    words::{Columns, phone_column},
};
use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    event::Aspect,
    identity::{Learnt, LearntFrom},
    ids::{DecisionId, OutboxId, Person, PersonId, Phone},
    store::{CallId, MadeGroup, NewRow, Provisioning, Settled, StoreError},
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

#[async_trait]
impl Provisioning for SqliteStore {
    async fn last_written(&self, phones: Vec<Phone>) -> Result<Vec<Option<Timestamp>>, StoreError> {
        self.readers.read(move |db| phones.iter().map(|phone| last_written(db, *phone)).collect()).await
    }

    async fn invite_instead(
        &self,
        call: Option<CallId>,
        row: (OutboxId, Settled),
        now: Timestamp,
        ledger_now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer
            .run(move |db| {
                outbox::release_invitations(db, row.0, ledger_now)?;
                delivery::settle(db, call, std::slice::from_ref(&row), now, ledger_now)
            })
            .await
    }

    async fn group_made(
        &self,
        call: CallId,
        row: OutboxId,
        made: MadeGroup,
        now: Timestamp,
        ledger_now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.run(move |db| group_made(db, call, row, &made, (now, ledger_now))).await
    }
}

fn last_written(db: &Connection, phone: Phone) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT wrote_to_us_at FROM people WHERE phone = ?";
    let read = |row: &rusqlite::Row<'_>| row.time_or_null("wrote_to_us_at");
    Ok(db.prepare_cached(sql)?.query_row([phone_column(phone)], read).optional()?.flatten())
}

fn group_made(
    db: &Connection,
    call: CallId,
    id: OutboxId,
    made: &MadeGroup,
    (now, ledger_now): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    ledger::end(db, call, ledger_now)?;
    let group = groups::resolve(db, &made.group)?.id;
    db.prepare_cached("UPDATE groups SET created_by_us = 1 WHERE id = ?")?.execute([group])?;
    changes::set_by_us(db, group, (Aspect::Subject, made.subject.as_str().into()), now)?;
    let sql = "SELECT decision_id, session, reason, policy, line FROM outbox WHERE id = ?";
    let read = |row: &rusqlite::Row<'_>| {
        let template = NewRow {
            call: Call::RevokeInvite { group: made.group.clone() },
            state: RowState::Waiting,
            session: row.session("session")?,
            not_before: ledger_now,
            expires_at: None,
            after: None,
            reason: row.get("reason")?,
            policy: row.get("policy")?,
            line: row.count("line")?,
            note: None,
            brake: None,
        };
        Ok((DecisionId(row.get("decision_id")?), template))
    };
    let (decision, template) = db.prepare_cached(sql)?.query_row(params![id.0], read)?;
    if let Some(row) = outbox::head(db, id)? {
        outbox::end(db, &row, RowState::Done, made.note.as_deref(), now)?;
    }
    let rows: Vec<NewRow> =
        made.then.iter().map(|call| NewRow { call: call.clone(), ..template.clone() }).collect();
    enqueue::write(db, decision, &rows, ledger_now)
}

/// The row of the person whom a call names by phone, made where missing.
pub(super) fn named(db: &Connection, call: &Call, now: Timestamp) -> Result<Option<PersonId>, StoreError> {
    let Some(phone) = call.phone() else { return Ok(None) };
    let learnt = Learnt::new(LearntFrom::List, now);
    Ok(people::resolve(db, Person::of_phone(phone), learnt)?.map(|known| known.id))
}
