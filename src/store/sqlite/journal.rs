//! The journal: appending, taking up, marking and looking up entries.

use super::words::{Columns, Word};
use crate::{
    ids::EntryId,
    store::{Appended, Entry, EntryState, Filter, NewEntry, StoreError},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "id, session, source, body, received_at, state AS shown, note";

/// The same as people see it: an entry with a parked run is one that needs them.
const SHOWN: &str = "SELECT id, session, source, body, received_at,
    coalesce(note, (SELECT CASE failure ->> 'file' WHEN '' THEN '' ELSE (failure ->> 'file') || ':' || (failure ->> 'line') || ': ' END
                           || (failure ->> 'message')
                    FROM decisions WHERE entry_id = entries.id AND state = 'policy_error' ORDER BY id LIMIT 1)) AS note,
    CASE WHEN state = 'applied'
              AND EXISTS (SELECT 1 FROM decisions WHERE entry_id = entries.id AND state = 'policy_error')
         THEN 'policy_error' ELSE state END AS shown FROM entries";

pub(super) fn append(db: &Connection, entries: &[NewEntry]) -> Result<Vec<Appended>, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO entries (session, source, key, received_at, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    let mut answers = Vec::with_capacity(entries.len());
    for entry in entries {
        let stored = insert.execute(params![
            entry.session.as_str(),
            entry.source.word(),
            entry.key,
            entry.received_at.0,
            &entry.body[..]
        ])?;
        answers.push(if stored == 0 {
            Appended::Repeat
        } else {
            Appended::New(EntryId(db.last_insert_rowid()))
        });
    }
    Ok(answers)
}

pub(super) fn probe(db: &Connection) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO probe VALUES (1, 1) ON CONFLICT DO UPDATE SET times = times + 1")?
        .execute([])?;
    Ok(())
}

pub(super) fn unread(db: &Connection, after: EntryId, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM entries WHERE state = 'new' AND id > ? ORDER BY id LIMIT ?");
    let mut select = db.prepare_cached(&sql)?;
    let found = select.query_map(params![after.0, limit], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

pub(super) fn entry(db: &Connection, id: EntryId) -> Result<Option<Entry>, StoreError> {
    let sql = format!("{SHOWN} WHERE id = ?");
    Ok(db.prepare_cached(&sql)?.query_row([id.0], read).optional()?)
}

pub(super) fn mark(
    db: &Connection,
    id: EntryId,
    state: EntryState,
    note: Option<&str>,
) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE entries SET state = ?2, note = ?3 WHERE id = ?1")?.execute(params![
        id.0,
        state.word(),
        note
    ])?;
    Ok(())
}

pub(super) fn entries(db: &Connection, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
    let sql = format!(
        "{SHOWN} WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR shown = ?2)
         AND NOT EXISTS (SELECT 1 FROM canaries c WHERE c.entry_id = entries.id)
         AND (?3 IS NULL OR id IN (SELECT entry_id FROM decisions WHERE person_id = ?3))
         AND (?4 IS NULL OR id = ?4) ORDER BY id DESC LIMIT ?5"
    );
    let mut select = db.prepare_cached(&sql)?;
    let asked = params![
        filter.before,
        filter.state,
        filter.member.map(|id| id.0),
        filter.entry.map(|id| id.0),
        super::views::limit(filter)
    ];
    let found = select.query_map(asked, read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// The key is session, a zero byte and the event id, so each session's key is looked up.
pub(super) fn entry_by_event_id(db: &Connection, event_id: &str) -> Result<Option<EntryId>, StoreError> {
    let sql = "SELECT id FROM entries WHERE key IN (
                   SELECT CAST(name || char(0) || ?1 AS BLOB) FROM sessions
                   UNION SELECT CAST(session || char(0) || ?1 AS BLOB) FROM (
                       SELECT DISTINCT session FROM (SELECT session FROM entries ORDER BY id DESC LIMIT 1000)))
               ORDER BY id DESC LIMIT 1";
    let found = db.prepare_cached(sql)?.query_row([event_id], |row| row.get(0)).optional()?;
    Ok(found.map(EntryId))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: EntryId(row.get("id")?),
        session: row.session("session")?,
        source: row.word("source")?,
        body: row.get::<_, Vec<u8>>("body")?.into(),
        received_at: row.time("received_at")?,
        state: row.word("shown")?,
        note: row.get("note")?,
    })
}
