//! Outbox rows: everything that moves one from state to state. They are written in [`super::enqueue`].
//!
//! Whatever ends a row goes through [`end`], so rows that wait for it are released or dropped in the same commit.

use super::{
    brake, changes, confirm,
    members::{self, At},
    words::{Word, to_json},
};
use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    ids::{DecisionId, OutboxId, PersonId},
    store::StoreError,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A row as far as moving it needs.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) id: OutboxId,
    pub(super) state: RowState,
    pub(super) call: Call,
    pub(super) group: Option<i64>,
    pub(super) person: Option<PersonId>,
    pub(super) unknown_at: Option<Timestamp>,
    pub(super) note: Option<String>,
}

const HEAD: &str = "SELECT id, state, call, group_id, person_id, unknown_at, note FROM outbox";

fn read_head(row: &Row<'_>) -> rusqlite::Result<Head> {
    use super::words::Columns;
    Ok(Head {
        id: OutboxId(row.get("id")?),
        state: row.word("state")?,
        call: row.json("call")?.ok_or(rusqlite::Error::InvalidQuery)?,
        group: row.get("group_id")?,
        person: row.get::<_, Option<i64>>("person_id")?.map(PersonId),
        unknown_at: row.time_or_null("unknown_at")?,
        note: row.get("note")?,
    })
}

/// One row.
pub(super) fn head(db: &Connection, id: OutboxId) -> Result<Option<Head>, StoreError> {
    Ok(db.prepare_cached(&format!("{HEAD} WHERE id = ?"))?.query_row([id.0], read_head).optional()?)
}

/// The call with another row of the same person.
pub(super) fn about(call: Call, person: PersonId) -> Call {
    match call {
        Call::Remove { group, .. } => Call::Remove { group, member: person },
        Call::Welcome { group, text, .. } => Call::Welcome { group, member: person, text },
        Call::Dm { text, .. } => Call::Dm { to: person, text },
        other => other,
    }
}

/// Removals of somebody that are not over.
pub(super) fn live_removals(db: &Connection, at: At) -> Result<Vec<Head>, StoreError> {
    let sql = format!(
        "{HEAD} WHERE group_id = ? AND person_id = ? AND kind = 'remove'
         AND state IN ('waiting', 'held', 'sending', 'unknown') ORDER BY id"
    );
    let mut select = db.prepare_cached(&sql)?;
    let found = select.query_map([at.group, at.person.0], read_head)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Ends a row in a final state, with everything that hangs on it.
pub(super) fn end(
    db: &Connection,
    row: &Head,
    state: RowState,
    note: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE outbox SET state = ?2, gate = NULL, settled_at = ?3, note = coalesce(?4, note) WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![row.id.0, state.word(), now.0, note])?;
    if state != RowState::Done {
        return drop_dependents(db, row.id, state, now);
    }
    match &row.call {
        Call::Remove { .. } => {
            if let Some((group, person)) = row.group.zip(row.person) {
                members::removed(db, At { group, person }, now)?;
            }
        }
        Call::RevokeInvite { .. } => {
            // The old link is dead: an undo must not offer it.
            db.prepare_cached("UPDATE groups SET invite = NULL WHERE id = ?")?.execute([row.group])?;
        }
        call => {
            if let Some((group, set)) = row.group.zip(call.sets()) {
                changes::set_by_us(db, group, set, now)?;
            }
        }
    }
    release_dependents(db, row.id, now)
}

/// What a row waited for is done (or, for a message, as good as sent: only the order mattered).
pub(super) fn release_dependents(db: &Connection, id: OutboxId, now: Timestamp) -> Result<(), StoreError> {
    let sql =
        "UPDATE outbox SET state = 'cancelled', gate = NULL, settled_at = ?2, note = 'they are in the group'
               WHERE after_id = ?1 AND state = 'waiting' AND kind = 'invite'";
    db.prepare_cached(sql)?.execute([id.0, now.0])?;
    let sql = "UPDATE outbox SET gate = CASE WHEN not_before > ?2 THEN 'time' ELSE 'open' END
               WHERE after_id = ?1 AND state = 'waiting'";
    db.prepare_cached(sql)?.execute([id.0, now.0])?;
    Ok(())
}

/// An addition was refused, and the invitation that the decision asked for instead may go.
pub(super) fn release_invitations(db: &Connection, id: OutboxId, now: Timestamp) -> Result<(), StoreError> {
    let sql =
        "UPDATE outbox SET after_id = NULL, gate = CASE WHEN not_before > ?2 THEN 'time' ELSE 'open' END
               WHERE after_id = ?1 AND state = 'waiting' AND kind = 'invite'";
    db.prepare_cached(sql)?.execute([id.0, now.0])?;
    Ok(())
}

fn drop_dependents(db: &Connection, id: OutboxId, state: RowState, now: Timestamp) -> Result<(), StoreError> {
    let mut ended = vec![(id, state)];
    while let Some((id, state)) = ended.pop() {
        let sql = "UPDATE outbox SET state = 'cancelled', gate = NULL, settled_at = ?2, note = ?3
                   WHERE after_id = ?1 AND state = 'waiting' RETURNING id";
        let mut update = db.prepare_cached(sql)?;
        let note = format!("{id} is {state}");
        let dropped = update.query_map(params![id.0, now.0, note], |row| row.get(0))?;
        for row in dropped {
            ended.push((OutboxId(row?), RowState::Cancelled));
        }
    }
    Ok(())
}

/// Puts a row back in line.
pub(super) fn wait(
    db: &Connection,
    id: OutboxId,
    not_before: Timestamp,
    note: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE outbox SET state = 'waiting', not_before = ?2, note = coalesce(?3, note), unknown_at = NULL,
                   settled_at = NULL,
                   gate = CASE WHEN gate = 'row' THEN gate WHEN ?2 > ?4 THEN 'time' ELSE 'open' END
               WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.0, not_before.0, note, now.0])?;
    Ok(())
}

/// Nobody knows whether the call took effect. The doubt counts from its first moment, however often it is looked at.
pub(super) fn doubt(
    db: &Connection,
    row: &Head,
    not_before: Timestamp,
    note: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let settled_at = row.call.is_once().then_some(now.0);
    let sql = "UPDATE outbox SET state = 'unknown', gate = NULL, not_before = ?2, note = coalesce(?3, note),
                   unknown_at = coalesce(unknown_at, ?4), settled_at = ?5 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![row.id.0, not_before.0, note, now.0, settled_at])?;
    if row.call.is_message() {
        release_dependents(db, row.id, now)?;
    }
    Ok(())
}

/// What somebody's absence meant for our removals of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absence {
    /// Rows were settled.
    pub(super) changed: bool,
    /// It was our own doing.
    pub(super) ours: bool,
}

/// What was said of a row, and what has become known since.
pub(super) fn noted(said: Option<&str>, known: &str) -> String {
    said.map_or_else(|| known.to_owned(), |said| format!("{said}; {known}"))
}

/// What settles a removal that was under way.
const OUT: &str = "they are out";

/// What settled a removal whose person is out: all that was said of it still explains it.
fn found_out(row: &Head) -> String {
    noted(row.note.as_deref(), OUT)
}

/// A removal was settled by its leave before its call gave up: the row tells of both.
pub(super) fn doubted_late(db: &Connection, row: &Head, said: &str) -> Result<(), StoreError> {
    let Some(before) = row.note.as_deref().and_then(|note| note.strip_suffix(OUT)) else { return Ok(()) };
    let note = format!("{before}{said}; {OUT}");
    db.prepare_cached("UPDATE outbox SET note = ?2 WHERE id = ?1")?.execute(params![row.id.0, note])?;
    Ok(())
}

/// Somebody is out: a removal that was under way is done, one that only waited is needless.
pub(super) fn absent(db: &Connection, at: At, now: Timestamp) -> Result<Absence, StoreError> {
    let mut absence = Absence::default();
    confirm::close(db, at)?;
    for row in live_removals(db, at)? {
        absence.changed = true;
        if matches!(row.state, RowState::Sending | RowState::Unknown) {
            absence.ours = true;
            end(db, &row, RowState::Done, Some(&found_out(&row)), now)?;
        } else {
            end(db, &row, RowState::Cancelled, Some("left before the removal"), now)?;
        }
    }
    Ok(absence)
}

/// Whether a removal of somebody has been of unknown outcome since before `moment`.
pub(super) fn is_doubted(db: &Connection, at: At, moment: Timestamp) -> Result<bool, StoreError> {
    let doubted =
        |row: &Head| row.state == RowState::Unknown && row.unknown_at.is_none_or(|since| since <= moment);
    Ok(live_removals(db, at)?.iter().any(doubted))
}

/// A roster read from `moment` on still lists somebody: removals whose outcome nobody knew before that did not happen.
pub(super) fn still_there(db: &Connection, at: At, moment: Timestamp) -> Result<bool, StoreError> {
    let mut changed = false;
    for row in live_removals(db, at)? {
        if row.state == RowState::Unknown && row.unknown_at.is_none_or(|doubted| doubted <= moment) {
            // Schedule time, which `now` is not: a moment that is surely over.
            let created = row_time(db, row.id.0)?;
            let note = noted(row.note.as_deref(), "the roster still lists them, so it is made again");
            wait(db, row.id, created, Some(&note), created)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Two people turned out to be one: their rows name the one that stays, and one live removal in a group is enough.
pub(super) fn merge_people(db: &Connection, stays: PersonId, goes: PersonId) -> Result<(), StoreError> {
    let mut select = db.prepare_cached(&format!("{HEAD} WHERE person_id = ?"))?;
    let rows: Vec<Head> = select.query_map([goes.0], read_head)?.collect::<Result<_, _>>()?;
    for row in rows {
        let call = to_json(&about(row.call.clone(), stays))?;
        db.prepare_cached("UPDATE outbox SET person_id = ?2, call = ?3 WHERE id = ?1")?
            .execute(params![row.id.0, stays.0, call])?;
    }
    brake::merge_people(db, stays, goes)?;
    let doubled =
        "SELECT max(id) FROM outbox WHERE person_id = ? AND kind = 'remove' AND state IN ('waiting', 'held')
                   AND EXISTS (SELECT 1 FROM outbox o WHERE o.group_id = outbox.group_id
                               AND o.person_id = outbox.person_id AND o.kind = 'remove' AND o.id <> outbox.id
                               AND o.state IN ('waiting', 'held', 'sending', 'unknown'))";
    while let Some(id) =
        db.prepare_cached(doubled)?.query_row([stays.0], |row| row.get::<_, Option<i64>>(0))?
    {
        let Some(row) = head(db, OutboxId(id))? else { break };
        end(db, &row, RowState::Cancelled, Some("another decision removes them already"), row_time(db, id)?)?;
    }
    Ok(())
}

/// Somebody whose two rows became one is out: what only waited is needless, a removal under way is done.
pub(super) fn merged_away(db: &Connection, at: At, by_us: bool) -> Result<(), StoreError> {
    let note = if by_us { "another decision removed them already" } else { "left already" };
    for row in live_removals(db, at)? {
        let (state, note) = match row.state {
            RowState::Sending | RowState::Unknown => (RowState::Done, found_out(&row)),
            _ => (RowState::Cancelled, note.to_owned()),
        };
        end(db, &row, state, Some(&note), row_time(db, row.id.0)?)?;
    }
    let sql =
        format!("{HEAD} WHERE group_id = ? AND person_id = ? AND kind = 'welcome' AND state = 'waiting'");
    cancel(db, &sql, &[&at.group, &at.person.0], "they are no longer in the group")
}

/// Calls of two judgements of one join, each a person's from that run on: what one of them asks for the other need not.
/// Nothing that was begun is touched.
pub(super) fn drop_doubled(
    db: &Connection,
    stands: (PersonId, DecisionId),
    falls: (PersonId, DecisionId),
    group: i64,
) -> Result<(), StoreError> {
    let given: [&dyn rusqlite::ToSql; 5] = [&group, &stands.0.0, &stands.1.0, &falls.0.0, &falls.1.0];
    let mine =
        "decision_id IN (SELECT id FROM decisions WHERE group_id = ?1 AND person_id = ?2 AND id >= ?3)";
    let theirs =
        "decision_id IN (SELECT id FROM decisions WHERE group_id = ?1 AND person_id = ?4 AND id >= ?5)";
    for (these, those, first) in [(theirs, mine, false), (mine, theirs, true)] {
        // Of two that both wait, those of the judgement that stands are kept.
        let states = if first { "" } else { "'waiting', 'held', " };
        let begun = |columns: &str| {
            format!("EXISTS (SELECT 1 FROM outbox o WHERE o.{those} AND o.state IN ({states}'sending', 'unknown', 'done')
                     AND {columns})")
        };
        let removals = begun("o.kind = 'remove'");
        let sql = format!(
            "{HEAD} WHERE {these} AND kind = 'remove' AND state IN ('waiting', 'held') AND {removals}"
        );
        cancel(db, &sql, &given, "another decision removes them already")?;
        let told = begun("o.kind = outbox.kind AND o.call ->> 'text' IS outbox.call ->> 'text'");
        let sql = format!(
            "{HEAD} WHERE {these} AND kind IN ('dm', 'welcome', 'say') AND state IN ('waiting', 'held') AND {told}"
        );
        cancel(db, &sql, &given, "another decision says it already")?;
    }
    for (these, those) in [(theirs, mine), (mine, theirs)] {
        let sql = format!(
            "{HEAD} WHERE {these} AND kind = 'welcome' AND state = 'waiting' AND EXISTS (
                 SELECT 1 FROM outbox o WHERE o.{those} AND o.kind = 'remove'
                 AND o.state IN ('waiting', 'sending', 'unknown', 'done'))"
        );
        cancel(db, &sql, &given, "another decision removes them")?;
    }
    Ok(())
}

/// Cancels the rows that a query names. An earlier one of them may have taken a later one with it.
fn cancel(db: &Connection, sql: &str, given: &[&dyn rusqlite::ToSql], note: &str) -> Result<(), StoreError> {
    let mut select = db.prepare_cached(sql)?;
    let rows: Vec<Head> = select.query_map(given, read_head)?.collect::<Result<_, _>>()?;
    for row in rows {
        if head(db, row.id)?.is_some_and(|now| matches!(now.state, RowState::Waiting | RowState::Held)) {
            end(db, &row, RowState::Cancelled, Some(note), row_time(db, row.id.0)?)?;
        }
    }
    Ok(())
}

fn row_time(db: &Connection, id: i64) -> Result<Timestamp, StoreError> {
    let created = db.query_row("SELECT created_at FROM outbox WHERE id = ?", [id], |row| row.get(0))?;
    Ok(Timestamp(created))
}

/// A human decides.
pub(super) fn hold(db: &Connection, id: OutboxId, note: Option<&str>) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET state = 'held', gate = NULL, note = coalesce(?2, note) WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.0, note])?;
    Ok(())
}
