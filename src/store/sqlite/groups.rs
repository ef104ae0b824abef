//! Groups, our sessions, and which of them are in which group.

use super::{
    account, apply, people,
    words::{Columns, Word, to_json},
};
use crate::{
    clock::Timestamp,
    directory::Presence,
    event::Role,
    facts::GroupFacts,
    identity::{Learnt, LearntFrom},
    ids::{GroupId, Person, PersonId, SessionName},
    store::{IdForm, KnownGroup, OwnSession, StoreError},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// People that fit into a group.
const CAPACITY: u32 = 1024;

/// A group's row, as far as the directory rules need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) id: i64,
    pub(super) adopted: bool,
    pub(super) roster_asked_at: Option<Timestamp>,
}

/// The group's row, made where missing.
pub(super) fn resolve(db: &Connection, group: &GroupId) -> Result<Group, StoreError> {
    if let Some(found) = find(db, group)? {
        return Ok(found);
    }
    db.prepare_cached("INSERT INTO groups (jid) VALUES (?)")?.execute([group.as_str()])?;
    Ok(Group { id: db.last_insert_rowid(), adopted: false, roster_asked_at: None })
}

/// The group's row.
pub(super) fn find(db: &Connection, group: &GroupId) -> Result<Option<Group>, StoreError> {
    let read = |row: &Row<'_>| {
        let adopted = row.time_or_null("adopted_at")?.is_some();
        Ok(Group { id: row.get("id")?, adopted, roster_asked_at: row.time_or_null("roster_asked_at")? })
    };
    let mut select = db.prepare_cached("SELECT id, adopted_at, roster_asked_at FROM groups WHERE jid = ?")?;
    Ok(select.query_row([group.as_str()], read).optional()?)
}

/// Keeps who made a group, where told.
pub(super) fn owned(db: &Connection, id: i64, owner: Option<Person>) -> Result<(), StoreError> {
    if let Some(owner) = owner {
        db.prepare_cached("UPDATE groups SET owner = ?2 WHERE id = ?1")?
            .execute(params![id, to_json(&owner)?])?;
    }
    Ok(())
}

/// Adds to the count of people in a group.
pub(super) fn resize(db: &Connection, id: i64, by: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE groups SET size = max(0, size + ?2) WHERE id = ?1")?.execute([id, by])?;
    Ok(())
}

/// Notes that the first roster is in.
pub(super) fn adopted(db: &Connection, id: i64, at: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE groups SET adopted_at = ?2 WHERE id = ?1")?.execute([id, at.0])?;
    Ok(())
}

/// Notes that the roster was asked for.
pub(super) fn roster_asked(db: &Connection, id: i64, at: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE groups SET roster_asked_at = ?2 WHERE id = ?1")?.execute([id, at.0])?;
    Ok(())
}

/// Notes the id form that calls about its people must use.
pub(super) fn use_form(db: &Connection, group: &GroupId, form: IdForm) -> Result<(), StoreError> {
    let sql = "UPDATE groups SET id_form = ?2 WHERE jid = ?1";
    db.prepare_cached(sql)?.execute(params![group.as_str(), form.word()])?;
    Ok(())
}

/// Where a session stands with a group.
pub(super) fn presence(
    db: &Connection,
    id: i64,
    session: &SessionName,
) -> Result<Option<Presence>, StoreError> {
    let sql = "SELECT inside, since, announced FROM group_sessions WHERE group_id = ? AND session = ?";
    let read = |row: &Row<'_>| {
        Ok(Presence { inside: row.get(0)?, since: row.time("since")?, announced: row.get("announced")? })
    };
    Ok(db.prepare_cached(sql)?.query_row(params![id, session.as_str()], read).optional()?)
}

/// Notes where a session stands with a group.
pub(super) fn set_presence(
    db: &Connection,
    id: i64,
    session: &SessionName,
    told: Presence,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO group_sessions (group_id, session, inside, since, announced) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET inside = excluded.inside, since = excluded.since,
                                         announced = excluded.announced";
    db.prepare_cached(sql)?.execute(params![
        id,
        session.as_str(),
        told.inside,
        told.since.0,
        told.announced
    ])?;
    Ok(())
}

/// Our sessions in a group; the role is that of the session's own person there.
pub(super) fn sessions_in(db: &Connection, id: i64) -> Result<Vec<(SessionName, Role)>, StoreError> {
    let sql = "SELECT gs.session, coalesce(m.role, 'unknown') AS role FROM group_sessions gs
               LEFT JOIN sessions s ON s.name = gs.session
               LEFT JOIN members m ON m.group_id = gs.group_id AND m.person_id = s.person_id AND m.present
               WHERE gs.group_id = ? AND gs.inside ORDER BY gs.session";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((row.session("session")?, row.word("role")?));
    let found = select.query_map([id], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// What is known of a group.
pub(super) fn facts(db: &Connection, id: i64) -> Result<GroupFacts, StoreError> {
    let sql = "SELECT jid, subject, description, size, announce_only, archived, created_by_us, owner
               FROM groups WHERE id = ?";
    let read = |row: &Row<'_>| {
        Ok(GroupFacts {
            id: row.group("jid")?,
            subject: row.get("subject")?,
            description: row.get("description")?,
            size: row.count("size")?,
            capacity: CAPACITY,
            announce_only: row.get("announce_only")?,
            archived: row.get("archived")?,
            created_by_us: row.get("created_by_us")?,
            owner: row.json::<Person>("owner")?,
            tags: Vec::new(),
            sessions: Vec::new(),
            params: serde_json::Map::new(),
        })
    };
    let mut facts = db.prepare_cached(sql)?.query_row([id], read)?;
    facts.sessions = sessions_in(db, id)?;
    Ok(facts)
}

/// Groups that one of our sessions is in.
pub(super) fn known(db: &Connection) -> Result<Vec<KnownGroup>, StoreError> {
    let sql = "SELECT id, jid, subject, adopted_at, size FROM groups
               WHERE id IN (SELECT group_id FROM group_sessions WHERE inside) ORDER BY id";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let group = KnownGroup {
            id: row.group("jid")?,
            subject: row.get("subject")?,
            adopted: row.time_or_null("adopted_at")?.is_some(),
            size: row.count("size")?,
            sessions: Vec::new(),
        };
        Ok((row.get(0)?, group))
    };
    let found: Vec<(i64, KnownGroup)> = select.query_map([], read)?.collect::<Result<_, _>>()?;
    let fill = |(id, group): (i64, KnownGroup)| {
        let sessions = sessions_in(db, id)?.into_iter().map(|(name, _)| name).collect();
        Ok(KnownGroup { sessions, ..group })
    };
    found.into_iter().map(fill).collect()
}

const SESSION: &str =
    "SELECT s.name, s.first_started_at, s.repaired_at, s.account, s.person_id, p.phone, p.lid FROM sessions s
                       LEFT JOIN people p ON p.id = s.person_id";

fn read_session(row: &Row<'_>) -> rusqlite::Result<(Option<PersonId>, OwnSession)> {
    let session = OwnSession {
        name: row.session("name")?,
        me: row.person("phone", "lid")?,
        first_started_at: row.time_or_null("first_started_at")?.unwrap_or(Timestamp(0)),
        repaired_at: row.time_or_null("repaired_at")?,
        restriction: row.json("account")?,
    };
    Ok((row.get::<_, Option<i64>>("person_id")?.map(PersonId), session))
}

/// Notes who a session is. What is known already costs one look-up.
pub(super) fn note_me(
    db: &Connection,
    name: &SessionName,
    me: Person,
    learnt: Learnt,
) -> Result<Option<PersonId>, StoreError> {
    let mut select = db.prepare_cached(&format!("{SESSION} WHERE s.name = ?"))?;
    let known = select.query_row([name.as_str()], read_session).optional()?;
    let known = known.and_then(|(id, session)| id.map(|id| (id, session.me)));
    let adds = known.is_none_or(|(_, person)| {
        (me.phone.is_some() && me.phone != person.phone) || (me.lid.is_some() && me.lid != person.lid)
    });
    if !adds || me.is_nobody() {
        return Ok(known.map(|(id, _)| id));
    }
    let Some(found) = people::resolve(db, me, learnt)? else { return Ok(None) };
    people::mark_own(db, found.id)?;
    db.prepare_cached(
        "INSERT INTO sessions (name, person_id) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET person_id = excluded.person_id",
    )?
    .execute(params![name.as_str(), found.id.0])?;
    Ok(Some(found.id))
}

/// Whether that is another number than the session was known to have: a LID may be learnt late, a phone is not changed.
pub(super) fn is_another(db: &Connection, name: &SessionName, me: Person) -> Result<bool, StoreError> {
    let Some(told) = me.phone else { return Ok(false) };
    let mut select = db.prepare_cached(&format!("{SESSION} WHERE s.name = ?"))?;
    let known = select.query_row([name.as_str()], read_session).optional()?;
    Ok(known.and_then(|(_, session)| session.me.phone).is_some_and(|phone| phone != told))
}

/// Notes that a session was started.
pub(super) fn session_started(
    db: &Connection,
    name: &SessionName,
    me: Person,
    now: Timestamp,
) -> Result<OwnSession, StoreError> {
    db.prepare_cached(
        "INSERT INTO sessions (name, first_started_at) VALUES (?, ?) ON CONFLICT DO UPDATE
         SET first_started_at = coalesce(first_started_at, excluded.first_started_at)",
    )?
    .execute(params![name.as_str(), now.0])?;
    if is_another(db, name, me)? {
        account::paired(db, name, apply::ANOTHER, now)?;
    }
    note_me(db, name, me, Learnt::new(LearntFrom::Gateway, now))?;
    let mut select = db.prepare_cached(&format!("{SESSION} WHERE s.name = ?"))?;
    Ok(select.query_row([name.as_str()], read_session)?.1)
}

/// Every session noted so far.
pub(super) fn own_sessions(db: &Connection) -> Result<Vec<OwnSession>, StoreError> {
    let mut select = db.prepare_cached(&format!("{SESSION} ORDER BY s.name"))?;
    let found = select.query_map([], read_session)?.map(|row| row.map(|(_, session)| session));
    Ok(found.collect::<Result<_, _>>()?)
}

/// Joins and departures since then.
pub(super) fn arrivals(
    db: &Connection,
    since: Timestamp,
) -> Result<Vec<(GroupId, Timestamp, bool)>, StoreError> {
    let sql = "SELECT g.jid, a.at, a.joined FROM arrivals a JOIN groups g ON g.id = a.group_id
               WHERE a.at >= ? ORDER BY a.at";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((row.group("jid")?, row.time("at")?, row.get("joined")?));
    let found = select.query_map([since.0], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}
