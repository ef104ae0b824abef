//! Outbox rows that a decision asks for: which of them are written, in which state, due when.
//!
//! What is there already decides with: a twin makes a row needless, the brake holds it, a raid puts it off. What moves a
//! row that stands is in [`super::outbox`].

use super::{
    brake,
    members::At,
    outbox::{about, live_removals},
    people, raid,
    words::{Word, to_json},
};
use crate::{
    action::{Call, Class, RowState},
    clock::Timestamp,
    ids::{DecisionId, OutboxId, PersonId},
    store::{NewRow, StoreError},
};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;

/// Who got a group's link within this time does not get it again, whatever other decisions ask for.
const INVITED_LATELY: Duration = Duration::from_secs(24 * 3600);

/// What became of a new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It stands under that number, in that state (a settings call may be an earlier equal one).
    Row(OutboxId, RowState),
    /// Somebody else's row does the same already.
    Doubled,
}

/// Writes a decision's rows in order, with the dedup rules of [`crate::store::Store::commit`].
pub(super) fn write(
    db: &Connection,
    decision: DecisionId,
    rows: &[NewRow],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut written = Vec::with_capacity(rows.len());
    for row in rows {
        let before = row.after.and_then(|index| written.get(index).copied());
        written.push(write_one(db, decision, row, before, now)?);
    }
    Ok(())
}

fn write_one(
    db: &Connection,
    decision: DecisionId,
    row: &NewRow,
    before: Option<Written>,
    now: Timestamp,
) -> Result<Written, StoreError> {
    let group = match row.call.group() {
        Some(jid) => Some(super::groups::resolve(db, jid)?.id),
        None => None,
    };
    let person = match row.call.member() {
        Some(id) => Some(people::current(db, id)?),
        None => super::provisioning::named(db, &row.call, now)?,
    };
    let at = group.zip(person).map(|(group, person)| At { group, person });
    let mut draft = Draft {
        at,
        state: row.state,
        note: row.note.clone(),
        not_before: row.not_before,
        expires_at: row.expires_at,
    };
    if matches!(row.state, RowState::Waiting | RowState::Held) {
        if let Some(twin) = twin(db, row, group, at)? {
            return Ok(twin);
        }
        draft.shape(db, decision, row, (group, person, before), now)?;
    }
    insert(db, decision, row, (group, person, before), &draft, now)
}

/// What of a new row depends on the rows that are there.
struct Draft {
    at: Option<At>,
    state: RowState,
    note: Option<String>,
    not_before: Timestamp,
    expires_at: Option<Timestamp>,
}

impl Draft {
    /// Makes of a row that is asked for what it comes to.
    fn shape(
        &mut self,
        db: &Connection,
        decision: DecisionId,
        row: &NewRow,
        (group, person, before): (Option<i64>, Option<PersonId>, Option<Written>),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ruled = match (before.and_then(dropped), &row.call, self.at) {
            (Some(why), ..) => Some((RowState::Cancelled, why)),
            (None, Call::Remove { .. }, Some(at)) => brake::restrain(db, decision, row, at, now)?,
            (None, Call::Dm { .. }, _) => {
                raid::silenced(db, decision, person)?.map(|why| (RowState::Cancelled, why))
            }
            _ => None,
        };
        if let Some((state, why)) = ruled {
            (self.state, self.note) = (state, Some(why));
        }
        if let Call::Welcome { .. } = &row.call {
            self.not_before = shared_due(db, row, group)?.unwrap_or(row.not_before);
            if let Some(until) = group.map_or(Ok(None), |group| raid::locked_until(db, group))? {
                self.not_before = until;
                self.expires_at = row.expires_at.map(|at| until + at.since(row.not_before));
            }
        }
        if matches!(before, Some(Written::Row(_, RowState::Held))) {
            // It waits as long as a human takes; its time begins with the approval.
            self.expires_at = None;
        }
        Ok(())
    }
}

fn insert(
    db: &Connection,
    decision: DecisionId,
    row: &NewRow,
    (group, person, before): (Option<i64>, Option<PersonId>, Option<Written>),
    draft: &Draft,
    now: Timestamp,
) -> Result<Written, StoreError> {
    let Draft { state, note, not_before, expires_at, .. } = draft;
    let after = match before {
        Some(Written::Row(id, _)) => Some(id),
        _ => None,
    };
    let blocked = matches!(before, Some(Written::Row(_, state)) if state != RowState::Done);
    let gate = match state {
        RowState::Waiting if blocked => Some("row"),
        RowState::Waiting if *not_before > now => Some("time"),
        RowState::Waiting => Some("open"),
        _ => None,
    };
    let settled_at = (*state != RowState::Waiting && *state != RowState::Held).then_some(now.0);
    let call = person.map_or_else(|| row.call.clone(), |id| about(row.call.clone(), id));
    // What a sweep asks for comes after all that somebody's coming or going asks for.
    let sql =
        "INSERT INTO outbox (decision_id, session, kind, class, priority, group_id, person_id, state, gate,
                   created_at, not_before, expires_at, settled_at, after_id, line, call, reason, policy, note,
                   established, undo)
               VALUES (?1, ?, ?, ?, CASE WHEN (SELECT sweep_id FROM decisions WHERE id = ?1) IS NULL THEN ?5 ELSE 6 END,
                   ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![
        decision.0,
        row.session.as_str(),
        call.name(),
        call.class().word(),
        call.priority(),
        group,
        person.map(|id| id.0),
        state.word(),
        gate,
        now.0,
        not_before.0,
        expires_at.map(|at| at.0),
        settled_at,
        after.map(|id| id.0),
        row.line,
        to_json(&call)?,
        row.reason,
        row.policy,
        note,
        row.brake.is_some(),
        brake::undo(db, &row.call, draft.at)?
    ])?;
    Ok(Written::Row(OutboxId(db.last_insert_rowid()), *state))
}

/// Why a row is dropped at once because of the one it would wait for.
fn dropped(before: Written) -> Option<String> {
    match before {
        Written::Doubled => Some("another decision asks for it already".into()),
        Written::Row(
            id,
            state @ (RowState::Cancelled
            | RowState::Refused
            | RowState::Dead
            | RowState::Expired
            | RowState::Observed),
        ) => Some(format!("{id} is {state}")),
        Written::Row(..) => None,
    }
}

/// The row that makes this one needless.
fn twin(
    db: &Connection,
    row: &NewRow,
    group: Option<i64>,
    at: Option<At>,
) -> Result<Option<Written>, StoreError> {
    match &row.call {
        Call::Remove { .. } => {
            let live = at.map_or(Ok(Vec::new()), |at| live_removals(db, at))?;
            Ok((!live.is_empty()).then_some(Written::Doubled))
        }
        Call::Add { .. } => {
            let sql =
                "SELECT EXISTS (SELECT 1 FROM outbox WHERE group_id = ? AND person_id = ? AND kind = 'add'
                           AND state IN ('waiting', 'held', 'sending', 'unknown'))";
            let Some(At { group, person }) = at else { return Ok(None) };
            let live: bool = db.prepare_cached(sql)?.query_row(params![group, person.0], |row| row.get(0))?;
            Ok(live.then_some(Written::Doubled))
        }
        Call::Invite { .. } => {
            let sql =
                "SELECT EXISTS (SELECT 1 FROM outbox WHERE group_id = ? AND person_id = ? AND kind = 'invite'
                           AND (state IN ('waiting', 'held', 'sending')
                                OR (state IN ('done', 'unknown') AND created_at > ?)))";
            let Some(At { group, person }) = at else { return Ok(None) };
            let lately = row.not_before - INVITED_LATELY;
            let live: bool =
                db.prepare_cached(sql)?.query_row(params![group, person.0, lately.0], |row| row.get(0))?;
            Ok(live.then_some(Written::Doubled))
        }
        // Each person is promoted by a call of their own, only in a group that we have just made.
        Call::Promote { .. } => Ok(None),
        call if call.class() == Class::Settings => {
            // Only the last one: what was asked for before it was something else is asked for anew.
            let sql =
                "SELECT id, state = 'waiting' AND call = ?3 FROM outbox WHERE group_id = ?1 AND kind = ?2
                       AND class = 'settings' AND state IN ('waiting', 'sending', 'unknown')
                       ORDER BY id DESC LIMIT 1";
            let last: Option<(i64, bool)> = db
                .prepare_cached(sql)?
                .query_row(params![group, call.name(), to_json(call)?], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            Ok(last.filter(|(_, equal)| *equal).map(|(id, _)| Written::Row(OutboxId(id), RowState::Waiting)))
        }
        _ => Ok(None),
    }
}

/// When the welcome of that group and text goes out, if one is being gathered.
fn shared_due(db: &Connection, row: &NewRow, group: Option<i64>) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT not_before FROM outbox WHERE group_id = ?1 AND kind = 'welcome' AND state = 'waiting'
               AND session = ?2 AND call ->> 'text' IS ?3 ORDER BY id LIMIT 1";
    let Call::Welcome { text, .. } = &row.call else { return Ok(None) };
    let found = db
        .prepare_cached(sql)?
        .query_row(params![group, row.session.as_str(), text], |row| row.get(0))
        .optional()?;
    Ok(found.map(Timestamp))
}
