//! Memberships as rows: loading what the rules read, writing what they ruled.

use super::{
    brake, groups, people,
    words::{Columns, Word, to_json},
};
use crate::{
    clock::Timestamp,
    directory::Membership,
    event::{Participant, Role, Via},
    facts::MemberFacts,
    ids::{Person, PersonId},
    store::StoreError,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A person in a group, by our numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) group: i64,
    pub(super) person: PersonId,
}

/// What the rules read; the default for somebody never seen there.
pub(super) fn load(db: &Connection, at: At) -> Result<Membership, StoreError> {
    let sql = "SELECT present, joined_at, seen_at, left_at, removed_at, removal_open, adopted, told_at, leave_told_at
               FROM members
               WHERE group_id = ? AND person_id = ?";
    let found = db.prepare_cached(sql)?.query_row([at.group, at.person.0], membership).optional()?;
    Ok(found.unwrap_or_default())
}

fn membership(row: &Row<'_>) -> rusqlite::Result<Membership> {
    Ok(Membership {
        present: row.get(0)?,
        joined_at: row.get::<_, Option<i64>>(1)?.map(Timestamp),
        seen_at: row.get::<_, Option<i64>>(2)?.map(Timestamp),
        left_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        removed_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        removal_open: row.get(5)?,
        adopted: row.get(6)?,
        told_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        leave_told_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
    })
}

/// The role of somebody who is in and has rights there.
pub(super) fn rights(db: &Connection, at: At) -> Result<Option<Role>, StoreError> {
    let sql = "SELECT role FROM members
               WHERE group_id = ? AND person_id = ? AND present AND role IN ('admin', 'creator')";
    let found =
        db.prepare_cached(sql)?.query_row([at.group, at.person.0], |row| row.word("role")).optional()?;
    Ok(found)
}

/// A way in that ended in a membership.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance<'a> {
    pub(super) who: &'a Participant,
    pub(super) via: Via,
    pub(super) by: Option<&'a Person>,
    pub(super) moment: Timestamp,
    /// Taken in with the first roster.
    pub(super) adopted: bool,
    /// When the join was received, if one was told.
    pub(super) received: Option<Timestamp>,
}

/// They are in from now on. A role that nobody told is not carried over from an earlier membership; one that the first
/// roster told stands if only its join was late, and so does one told for a later moment: it overtook the join.
pub(super) fn enter(db: &Connection, at: At, entrance: Entrance<'_>) -> Result<(), StoreError> {
    brake::entered(db, at)?;
    let sql = "INSERT INTO members (group_id, person_id, jid, name, role, role_at, present, via, added_by, joined_at,
                                    seen_at, adopted, joins, told_at)
               VALUES (?1, ?2, ?3, ?4, ?5, CASE ?5 WHEN 'unknown' THEN NULL ELSE ?8 END, 1, ?6, ?7, ?8, ?8, ?9, 1, ?10)
               ON CONFLICT DO UPDATE SET
                   jid = excluded.jid, name = coalesce(excluded.name, name), present = 1,
                   role = CASE WHEN role_at / 1000 >= excluded.joined_at / 1000
                                 OR (excluded.role = 'unknown' AND adopted AND present) THEN role
                               ELSE excluded.role END,
                   role_at = CASE WHEN role_at / 1000 >= excluded.joined_at / 1000
                                    OR (excluded.role = 'unknown' AND adopted AND present) THEN role_at
                                  ELSE excluded.role_at END,
                   joins = joins + NOT (adopted AND present),
                   via = excluded.via, added_by = excluded.added_by, left_by = NULL,
                   joined_at = excluded.joined_at, seen_at = max(coalesce(seen_at, 0), excluded.seen_at),
                   removal_open = 0, adopted = excluded.adopted, told_at = excluded.told_at";
    db.prepare_cached(sql)?.execute(params![
        at.group,
        at.person.0,
        entrance.who.jid,
        entrance.who.name,
        entrance.who.role.word(),
        entrance.via.word(),
        entrance.by.map(to_json).transpose()?,
        entrance.moment.0,
        entrance.adopted,
        entrance.received.map(|at| at.0)
    ])?;
    Ok(())
}

/// The same join told once more: fills in what was missing.
pub(super) fn fill(db: &Connection, at: At, told: Entrance<'_>) -> Result<(), StoreError> {
    let sql = "UPDATE members SET name = coalesce(name, ?3), added_by = coalesce(added_by, ?6),
                   role = CASE role WHEN 'unknown' THEN ?4 ELSE role END,
                   role_at = CASE WHEN role = 'unknown' AND ?4 <> 'unknown' THEN ?7 ELSE role_at END,
                   via = CASE WHEN via IN ('unknown', 'reconciled') AND ?5 <> 'unknown' THEN ?5 ELSE via END,
                   seen_at = max(coalesce(seen_at, 0), ?7)
               WHERE group_id = ?1 AND person_id = ?2 AND present";
    db.prepare_cached(sql)?.execute(params![
        at.group,
        at.person.0,
        told.who.name,
        told.who.role.word(),
        told.via.word(),
        told.by.map(to_json).transpose()?,
        told.moment.0
    ])?;
    Ok(())
}

/// A roster lists somebody who is in: id, name and role are as it says, but for a role told for a later moment.
pub(super) fn confirm(
    db: &Connection,
    at: At,
    who: &Participant,
    moment: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE members SET jid = ?3, name = coalesce(?4, name), seen_at = max(coalesce(seen_at, 0), ?6),
                   role = CASE WHEN ?5 = 'unknown' OR role_at / 1000 > ?6 / 1000 THEN role ELSE ?5 END,
                   role_at = CASE WHEN ?5 = 'unknown' OR role_at / 1000 > ?6 / 1000 THEN role_at ELSE ?6 END
               WHERE group_id = ?1 AND person_id = ?2";
    db.prepare_cached(sql)?.execute(params![
        at.group,
        at.person.0,
        who.jid,
        who.name,
        who.role.word(),
        moment.0
    ])?;
    Ok(())
}

/// They are known to have been out at that moment, as we heard at another, and are out now.
pub(super) fn leave(
    db: &Connection,
    at: At,
    who: &Participant,
    by: Option<&Person>,
    (moment, told): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO members (group_id, person_id, jid, name, role, present, via, left_by, left_at, leave_told_at)
               VALUES (?1, ?2, ?3, ?4, 'unknown', 0, 'unknown', ?5, ?6, ?7)
               ON CONFLICT DO UPDATE SET present = 0, removal_open = 0, name = coalesce(name, excluded.name),
                   left_by = coalesce(excluded.left_by, left_by),
                   left_at = max(coalesce(left_at, 0), excluded.left_at),
                   leave_told_at = max(coalesce(leave_told_at, 0), excluded.leave_told_at)";
    db.prepare_cached(sql)?.execute(params![
        at.group,
        at.person.0,
        who.jid,
        who.name,
        by.map(to_json).transpose()?,
        moment.0,
        told.0
    ])?;
    Ok(())
}

/// We removed them. Whoever was still in is out, and their leave has yet to be told. A second removal since they joined
/// is the first one once more.
pub(super) fn removed(db: &Connection, at: At, moment: Timestamp) -> Result<(), StoreError> {
    let known = load(db, at)?;
    let entered = known.told_at.or(known.joined_at);
    if known.present || known.removed_at.is_none() || known.removed_at < entered {
        db.prepare_cached("UPDATE people SET removals = removals + 1 WHERE id = ?")?
            .execute([at.person.0])?;
    }
    let sql = "UPDATE members SET removal_open = max(removal_open, present), present = 0,
                   removed_at = max(coalesce(removed_at, ?3), ?3)
               WHERE group_id = ?1 AND person_id = ?2";
    db.prepare_cached(sql)?.execute([at.group, at.person.0, moment.0])?;
    if known.present {
        groups::resize(db, at.group, -1)?;
    }
    Ok(())
}

/// Our removal had no effect: they are in as they were before it, and were not removed.
pub(super) fn still_in(
    db: &Connection,
    at: At,
    who: &Participant,
    moment: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE members SET present = 1, removal_open = 0, removed_at = NULL WHERE group_id = ? AND person_id = ?")?
        .execute([at.group, at.person.0])?;
    db.prepare_cached("UPDATE people SET removals = max(0, removals - 1) WHERE id = ?")?
        .execute([at.person.0])?;
    confirm(db, at, who, moment)
}

/// Their role is as told, unless one was told for a later moment; `false` if they are not known to be in. It is
/// remembered even then: a promotion may overtake the join, and an admin must not be removed for it.
pub(super) fn set_role(
    db: &Connection,
    at: At,
    who: &Participant,
    moment: Timestamp,
) -> Result<bool, StoreError> {
    // Some of the moments are told in whole seconds.
    let sql = "INSERT INTO members (group_id, person_id, jid, role, role_at, present, via)
               VALUES (?1, ?2, ?3, ?4, ?5, 0, 'unknown')
               ON CONFLICT DO UPDATE SET
                   role = CASE WHEN role_at / 1000 > ?5 / 1000 THEN role ELSE ?4 END,
                   role_at = max(coalesce(role_at, ?5), ?5)
               RETURNING present";
    let told = params![at.group, at.person.0, who.jid, who.role.word(), moment.0];
    Ok(db.prepare_cached(sql)?.query_row(told, |row| row.get(0))?)
}

/// Counts a message; `false` if they are not known to be in.
pub(super) fn count_message(db: &Connection, at: At, moment: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE members SET messages = messages + 1,
                   last_message_at = max(coalesce(last_message_at, 0), ?3)
               WHERE group_id = ?1 AND person_id = ?2 AND present";
    Ok(db.prepare_cached(sql)?.execute([at.group, at.person.0, moment.0])? > 0)
}

/// Everybody in a group, with what the rules read.
pub(super) fn present(db: &Connection, group: i64) -> Result<Vec<(PersonId, bool, Membership)>, StoreError> {
    let sql = "SELECT m.present, m.joined_at, m.seen_at, m.left_at, m.removed_at, m.removal_open, m.adopted,
                      m.told_at, m.leave_told_at, p.id, p.is_own
               FROM members m JOIN people p ON p.id = m.person_id WHERE m.group_id = ? AND m.present";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((PersonId(row.get(9)?), row.get(10)?, membership(row)?));
    let found = select.query_map([group], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// What is known of a person in a group, `None` for an unknown person. Tags are those that hold at `now`.
pub(super) fn facts(db: &Connection, at: At, now: Timestamp) -> Result<Option<MemberFacts>, StoreError> {
    let sql = "SELECT p.phone, p.lid, p.is_own, p.removals, p.wrote_to_us_at, m.jid, m.name,
                   coalesce(m.role, 'unknown') AS role, coalesce(m.present, 0) AS present,
                   coalesce(m.via, 'unknown') AS via, m.added_by, m.left_by, m.joined_at,
                   coalesce(m.adopted, 0) AS adopted, coalesce(m.joins, 0) AS joins,
                   coalesce(m.messages, 0) AS messages, m.last_message_at
               FROM people p LEFT JOIN members m ON m.person_id = p.id AND m.group_id = ?1 WHERE p.id = ?2";
    let read = |row: &Row<'_>| {
        let person = row.person("phone", "lid")?;
        let told: Option<String> = row.get("jid")?;
        Ok(MemberFacts {
            id: at.person,
            person,
            jid: told.filter(|jid| !jid.is_empty()).unwrap_or_else(|| person.jid()),
            name: row.get("name")?,
            role: row.word("role")?,
            present: row.get("present")?,
            via: row.word("via")?,
            added_by: row.json("added_by")?,
            left_by: row.json("left_by")?,
            joined_at: row.time_or_null("joined_at")?,
            adopted: row.get("adopted")?,
            joins: row.count("joins")?,
            removals: row.count("removals")?,
            groups: Vec::new(),
            messages: row.count("messages")?,
            last_message_at: row.time_or_null("last_message_at")?,
            wrote_to_us_at: row.time_or_null("wrote_to_us_at")?,
            tags: Vec::new(),
            is_own: row.get("is_own")?,
        })
    };
    let found = db.prepare_cached(sql)?.query_row([at.group, at.person.0], read).optional()?;
    let Some(mut facts) = found else { return Ok(None) };
    facts.tags = people::tags(db, at.person, now)?;
    let sql = "SELECT g.jid FROM members m JOIN groups g ON g.id = m.group_id
               WHERE m.person_id = ? AND m.present ORDER BY g.id";
    let mut select = db.prepare_cached(sql)?;
    facts.groups = select.query_map([at.person.0], |row| row.group("jid"))?.collect::<Result<_, _>>()?;
    Ok(Some(facts))
}

/// The groups somebody is or was in.
pub(super) fn groups_of(db: &Connection, person: PersonId) -> Result<Vec<i64>, StoreError> {
    let mut select =
        db.prepare_cached("SELECT group_id FROM members WHERE person_id = ? ORDER BY group_id")?;
    let found = select.query_map([person.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}
