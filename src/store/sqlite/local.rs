//! The local list: rows that stand until they are ended or over. Who ended one, and why, stays beside it.

use super::{
    SqliteStore, people,
    words::{Columns, Word, lid_column, phone_column},
};
use crate::{
    clock::Timestamp,
    ids::{DecisionId, Person},
    store::{LocalEntry, LocalKind, LocalList, StoreError},
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "kind, entry, phone, lid, reason, who, decision_id, added_at, expires_at";

/// Rows about the same: the entry itself, or the same person by either form. Each by an index of its own, which one
/// condition with `OR` would not take: a long list is looked through at each of its entries then.
const ABOUT: &str = "id IN (SELECT id FROM local_list WHERE ended_at IS NULL AND kind = ?1 AND entry = ?2
                UNION ALL SELECT id FROM local_list WHERE ended_at IS NULL AND kind = ?1 AND phone = ?3
                UNION ALL SELECT id FROM local_list WHERE ended_at IS NULL AND kind = ?1 AND lid = ?4)";

#[async_trait]
impl LocalList for SqliteStore {
    async fn list_locally(&self, entries: Vec<LocalEntry>) -> Result<Vec<LocalEntry>, StoreError> {
        self.writer.run(move |db| entries.iter().map(|entry| by_hand(db, entry)).collect()).await
    }

    async fn unlist_locally(
        &self,
        exception: LocalEntry,
        always: bool,
    ) -> Result<(Vec<LocalEntry>, bool), StoreError> {
        self.writer.run(move |db| unlist(db, &exception, always)).await
    }

    async fn local_list(&self, now: Timestamp) -> Result<Vec<LocalEntry>, StoreError> {
        self.readers.read(move |db| standing(db, now)).await
    }
}

fn standing(db: &Connection, now: Timestamp) -> Result<Vec<LocalEntry>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM local_list WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
         ORDER BY id"
    );
    let mut select = db.prepare_cached(&sql)?;
    let found = select.query_map([now.0], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<LocalEntry> {
    Ok(LocalEntry {
        kind: row.word("kind")?,
        entry: row.get("entry")?,
        person: row.person("phone", "lid")?,
        reason: row.get("reason")?,
        by: row.get("who")?,
        decision: row.get::<_, Option<i64>>("decision_id")?.map(DecisionId),
        added_at: row.time("added_at")?,
        expires_at: row.time_or_null("expires_at")?,
    })
}

/// Adds what somebody says.
fn by_hand(db: &Connection, said: &LocalEntry) -> Result<LocalEntry, StoreError> {
    let said = LocalEntry { person: whole(db, said.person)?, ..said.clone() };
    end_what_is_over(db, said.added_at)?;
    let exception = LocalEntry { kind: LocalKind::Exception, ..said.clone() };
    end(db, &exception, "listed again")?;
    put(db, &said)
}

/// Adds what a policy asks for. What somebody said by hand stands as it is.
pub(super) fn by_policy(db: &Connection, said: &LocalEntry) -> Result<(), StoreError> {
    end_what_is_over(db, said.added_at)?;
    match about(db, said)?.into_iter().next() {
        None => put(db, said).map(drop),
        Some(stands) if stands.decision.is_none() => Ok(()),
        Some(stands) => {
            // The first decision stays the one that did it; the later end counts.
            let both = stands.expires_at.zip(said.expires_at);
            let later = LocalEntry { expires_at: both.map(|(one, other)| one.max(other)), ..stands };
            put(db, &LocalEntry { person: later.person.merged(said.person), ..later }).map(drop)
        }
    }
}

fn unlist(
    db: &Connection,
    exception: &LocalEntry,
    always: bool,
) -> Result<(Vec<LocalEntry>, bool), StoreError> {
    let exception = LocalEntry { person: whole(db, exception.person)?, ..exception.clone() };
    end_what_is_over(db, exception.added_at)?;
    let addition = LocalEntry { kind: LocalKind::Addition, ..exception.clone() };
    let ended = end(db, &addition, exception.reason.as_deref().unwrap_or("taken out"))?;
    let keeps = always || ended.is_empty() || ended.iter().any(|entry| entry.decision.is_some());
    if keeps {
        put(db, &exception)?;
    }
    Ok((ended, keeps))
}

/// The person in both forms, where the directory knows them.
fn whole(db: &Connection, person: Person) -> Result<Person, StoreError> {
    Ok(people::find(db, person)?.map_or(person, |known| known.person))
}

fn ids(person: Person) -> (Option<i64>, Option<i64>) {
    (person.phone.map(phone_column), person.lid.map(lid_column))
}

/// What stands about the same.
fn about(db: &Connection, said: &LocalEntry) -> Result<Vec<LocalEntry>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM local_list WHERE {ABOUT} ORDER BY id");
    let (phone, lid) = ids(said.person);
    let mut select = db.prepare_cached(&sql)?;
    let found = select.query_map(params![said.kind.word(), said.entry, phone, lid], read)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Ends what stands about the same; what that was.
fn end(db: &Connection, said: &LocalEntry, why: &str) -> Result<Vec<LocalEntry>, StoreError> {
    let sql = format!(
        "UPDATE local_list SET ended_at = ?5, ended_who = ?6, ended_why = ?7 WHERE {ABOUT} RETURNING {COLUMNS}"
    );
    let (phone, lid) = ids(said.person);
    let given = params![said.kind.word(), said.entry, phone, lid, said.added_at.0, said.by, why];
    let mut update = db.prepare_cached(&sql)?;
    let found = update.query_map(given, read)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Entries whose time has come make room for new ones of the same name.
fn end_what_is_over(db: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE local_list SET ended_at = expires_at, ended_who = 'time', ended_why = 'expired'
               WHERE ended_at IS NULL AND expires_at <= ?";
    db.prepare_cached(sql)?.execute([now.0])?;
    Ok(())
}

/// Writes an entry, or says anew what stands about the same, which keeps its name and since when.
fn put(db: &Connection, said: &LocalEntry) -> Result<LocalEntry, StoreError> {
    let (phone, lid) = ids(said.person);
    let decision = said.decision.map(|id| id.0);
    let expires = said.expires_at.map(|at| at.0);
    let anew = format!(
        "UPDATE local_list SET phone = coalesce(?3, phone), lid = coalesce(?4, lid), reason = ?5, who = ?6,
             decision_id = ?7, expires_at = ?8
         WHERE id = (SELECT id FROM local_list WHERE {ABOUT} ORDER BY id LIMIT 1) RETURNING {COLUMNS}"
    );
    let given = params![said.kind.word(), said.entry, phone, lid, said.reason, said.by, decision, expires];
    if let Some(stands) = db.prepare_cached(&anew)?.query_row(given, read).optional()? {
        return Ok(stands);
    }
    let sql =
        "INSERT INTO local_list (kind, entry, phone, lid, reason, who, decision_id, expires_at, added_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let kind = said.kind.word();
    db.prepare_cached(sql)?.execute(params![
        kind,
        said.entry,
        phone,
        lid,
        said.reason,
        said.by,
        decision,
        expires,
        said.added_at.0
    ])?;
    Ok(said.clone())
}
