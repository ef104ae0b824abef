//! Who is who: a row for each person, found by phone or LID, merged where a pair proves that two rows are one.

use super::{
    pairs, twins,
    words::{Columns, lid_column, phone_column},
};
use crate::{
    clock::Timestamp,
    identity::Learnt,
    ids::{Lid, Person, PersonId, Phone},
    store::StoreError,
};
use rusqlite::{Connection, OptionalExtension, params};

/// A row, as far as finding and merging needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: PersonId,
    pub(super) person: Person,
    pub(super) is_own: bool,
}

fn one(db: &Connection, sql: &str, value: i64) -> Result<Option<Known>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Known {
            id: PersonId(row.get(0)?),
            person: row.person("phone", "lid")?,
            is_own: row.get("is_own")?,
        })
    };
    Ok(db.prepare_cached(sql)?.query_row([value], read).optional()?)
}

fn by_phone(db: &Connection, phone: Phone) -> Result<Option<Known>, StoreError> {
    one(db, "SELECT id, phone, lid, is_own FROM people WHERE phone = ?", phone_column(phone))
}

fn by_lid(db: &Connection, lid: Lid) -> Result<Option<Known>, StoreError> {
    one(db, "SELECT id, phone, lid, is_own FROM people WHERE lid = ?", lid_column(lid))
}

/// The row of a person without touching anything.
pub(super) fn find(db: &Connection, person: Person) -> Result<Option<Known>, StoreError> {
    if let Some(lid) = person.lid
        && let Some(found) = by_lid(db, lid)?
    {
        return Ok(Some(found));
    }
    person.phone.map_or(Ok(None), |phone| by_phone(db, phone))
}

/// The row that a number of ours stands for now: itself, or the one it was merged into.
pub(super) fn current(db: &Connection, id: PersonId) -> Result<PersonId, StoreError> {
    let mut merged = db.prepare_cached("SELECT became FROM people_merged WHERE id = ?")?;
    let became = merged.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(became.map_or(id, PersonId))
}

/// The row of a person, made where missing; what the telling adds is kept. A phone and a LID told together are one person
/// now, whatever was believed before. `None` for nobody.
pub(super) fn resolve(db: &Connection, told: Person, learnt: Learnt) -> Result<Option<Known>, StoreError> {
    if told.is_nobody() {
        return Ok(None);
    }
    let rows = rows(db, told)?;
    if let Some(known) = rows.into_iter().flatten().find(|row| is_all_of(row.person, told)) {
        return Ok(Some(known));
    }
    let (told, rows, learnt) = match pairs::completed(db, told)? {
        Some((told, learnt)) => (told, self::rows(db, told)?, learnt),
        None => (told, rows, learnt),
    };
    let known = settle(db, told, rows)?;
    let before = rows.into_iter().flatten().find(|row| row.id == known.id);
    if let Person { phone: Some(phone), lid: Some(lid) } = known.person
        && before.is_none_or(|row| row.person != known.person)
    {
        pairs::learnt(db, known.id, (phone, lid), learnt, before.is_some())?;
    }
    Ok(Some(known))
}

/// Whether both ids of a person are known, and the telling says nothing else of them.
fn is_all_of(person: Person, told: Person) -> bool {
    let is_whole = person.phone.is_some() && person.lid.is_some();
    is_whole && told.merged(person) == person
}

/// The rows found by phone and by LID.
fn rows(db: &Connection, told: Person) -> Result<[Option<Known>; 2], StoreError> {
    let by_phone = told.phone.map_or(Ok(None), |phone| by_phone(db, phone))?;
    let by_lid = told.lid.map_or(Ok(None), |lid| by_lid(db, lid))?;
    Ok([by_phone, by_lid])
}

/// Makes the one row of the one or two that were found, or of none.
fn settle(db: &Connection, told: Person, rows: [Option<Known>; 2]) -> Result<Known, StoreError> {
    match rows.into() {
        (None, None) => insert(db, told),
        (Some(one), Some(other)) if one.id == other.id => Ok(one),
        (Some(one), None) => match (told.lid, one.person.lid) {
            (None, _) => Ok(one),
            (Some(_), None) => rewrite(db, one, one.person.merged(told)),
            (Some(_), Some(_)) => {
                // The number belongs to another account now.
                rewrite(db, one, Person { phone: None, ..one.person })?;
                insert(db, told)
            }
        },
        // The account has this number now; an older one is given up.
        (None, Some(other)) => match told.phone {
            None => Ok(other),
            Some(_) if other.person.phone == told.phone => Ok(other),
            Some(_) => rewrite(db, other, told),
        },
        (Some(one), Some(other)) if one.person.lid.is_none() => merge(db, one, other, told),
        (Some(one), Some(other)) => {
            rewrite(db, one, Person { phone: None, ..one.person })?;
            rewrite(db, other, told)
        }
    }
}

fn insert(db: &Connection, person: Person) -> Result<Known, StoreError> {
    db.prepare_cached("INSERT INTO people (phone, lid) VALUES (?, ?)")?
        .execute(params![person.phone.map(phone_column), person.lid.map(lid_column)])?;
    Ok(Known { id: PersonId(db.last_insert_rowid()), person, is_own: false })
}

fn rewrite(db: &Connection, known: Known, person: Person) -> Result<Known, StoreError> {
    let sql = "UPDATE people SET phone = ?2, lid = ?3,
                   learnt_from = CASE WHEN ?2 IS NULL OR ?3 IS NULL THEN NULL ELSE learnt_from END,
                   learnt_at = CASE WHEN ?2 IS NULL OR ?3 IS NULL THEN NULL ELSE learnt_at END
               WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![
        known.id.0,
        person.phone.map(phone_column),
        person.lid.map(lid_column)
    ])?;
    Ok(Known { person, ..known })
}

/// Marks one of our own numbers.
pub(super) fn mark_own(db: &Connection, id: PersonId) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE people SET is_own = 1 WHERE id = ? AND is_own = 0")?.execute([id.0])?;
    Ok(())
}

/// Two rows become the older one, with the history of both.
fn merge(db: &Connection, one: Known, other: Known, told: Person) -> Result<Known, StoreError> {
    let (stays, goes) = if one.id < other.id { (one, other) } else { (other, one) };
    twins::merge(db, stays.id, goes.id)?;
    let ids = params![stays.id.0, goes.id.0];
    for sql in [
        "INSERT INTO tags SELECT ?1, name, until FROM tags WHERE person_id = ?2
         ON CONFLICT DO UPDATE SET until = CASE WHEN until IS NULL OR excluded.until IS NULL THEN NULL
                                                ELSE max(until, excluded.until) END",
        "UPDATE sessions SET person_id = ?1 WHERE person_id = ?2",
        "UPDATE people_merged SET became = ?1 WHERE became = ?2",
        "INSERT INTO people_merged (became, id) VALUES (?1, ?2)",
        "UPDATE people SET (is_own, removals, wrote_to_us_at) = (
             SELECT max(people.is_own, p.is_own), people.removals + p.removals,
                    max(coalesce(people.wrote_to_us_at, p.wrote_to_us_at),
                        coalesce(p.wrote_to_us_at, people.wrote_to_us_at))
             FROM people p WHERE p.id = ?2) WHERE id = ?1",
    ] {
        db.prepare_cached(sql)?.execute(ids)?;
    }
    for sql in ["DELETE FROM tags WHERE person_id = ?", "DELETE FROM people WHERE id = ?"] {
        db.prepare_cached(sql)?.execute([goes.id.0])?;
    }
    let person = told.merged(stays.person).merged(goes.person);
    rewrite(db, Known { is_own: stays.is_own || goes.is_own, ..stays }, person)
}

/// Keeps that a phone and a LID are one person, if we know either. Answers of how many people it was news.
pub(super) fn learn(db: &Connection, pairs: &[(Phone, Lid)], learnt: Learnt) -> Result<usize, StoreError> {
    let mut news = 0;
    for (phone, lid) in pairs {
        let told = Person { phone: Some(*phone), lid: Some(*lid) };
        let known = find(db, told)?;
        if known.is_some_and(|known| known.person != told) {
            resolve(db, told, learnt)?;
            news += 1;
        }
    }
    Ok(news)
}

/// Notes a private message to us.
pub(super) fn wrote(db: &Connection, id: PersonId, at: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE people SET wrote_to_us_at = max(coalesce(wrote_to_us_at, 0), ?2) WHERE id = ?1",
    )?
    .execute(params![id.0, at.0])?;
    Ok(())
}

/// Remembers a word.
pub(super) fn tag(
    db: &Connection,
    id: PersonId,
    name: &str,
    until: Option<Timestamp>,
) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET until = excluded.until")?
        .execute(params![id.0, name, until.map(|at| at.0)])?;
    Ok(())
}

/// Forgets a word.
pub(super) fn untag(db: &Connection, id: PersonId, name: &str) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM tags WHERE person_id = ? AND name = ?")?.execute(params![id.0, name])?;
    Ok(())
}

/// Words that hold at `now`.
pub(super) fn tags(db: &Connection, id: PersonId, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM tags WHERE person_id = ? AND (until IS NULL OR until > ?) ORDER BY name";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([id.0, now.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}
