//! What people and the API look at: decisions, outbox rows, memberships, counts. Reads only.

use super::{
    groups,
    members::{self, At},
    words::Columns,
};
use crate::{
    clock::Timestamp,
    facts::{GroupFacts, MemberFacts},
    ids::{DecisionId, EntryId, OutboxId, Person, PersonId},
    store::{Decision, Depths, Filter, IdForm, Removal, Row, StoreError},
};
use rusqlite::{Connection, Row as Columned, params};

/// An outbox row with what is known of its person; `WHERE` follows.
pub(super) const ROW: &str = "SELECT o.id, o.decision_id, o.session, o.call, o.state, o.attempts, o.created_at,
        o.not_before, o.expires_at, o.settled_at, o.reason, o.policy, o.line, o.note,
        o.kind = 'remove' AS is_removal, o.established, o.approved_at, o.undo,
        o.person_id, o.group_id, p.phone, p.lid, p.wrote_to_us_at, m.jid, m.present, g.id_form, o.silences,
        (SELECT CASE WHEN me.present AND me.role IN ('admin', 'creator') THEN 'admin'
                     WHEN me.present AND me.role = 'member' THEN 'none' END
         FROM group_sessions gs JOIN sessions s ON s.name = gs.session
         LEFT JOIN members me ON me.group_id = gs.group_id AND me.person_id = s.person_id
         WHERE gs.group_id = o.group_id AND gs.session = o.session) AS authority,
        coalesce(m.name, (SELECT n.name FROM members n WHERE n.person_id = o.person_id AND n.name IS NOT NULL LIMIT 1))
            AS name
    FROM outbox o LEFT JOIN people p ON p.id = o.person_id
    LEFT JOIN groups g ON g.id = o.group_id
    LEFT JOIN members m ON m.group_id = o.group_id AND m.person_id = o.person_id";

/// How many to list at most.
pub(super) fn limit(filter: &Filter) -> u32 {
    if filter.limit == 0 { 100 } else { filter.limit }
}

pub(super) fn read_row(row: &Columned<'_>) -> rusqlite::Result<Row> {
    let person = match row.get::<_, Option<i64>>("person_id")? {
        Some(_) => Some(row.person("phone", "lid")?),
        None => None,
    };
    // What the group is known to want comes before what was told there.
    let wanted = match (row.word_or_null("id_form")?, person.unwrap_or_default()) {
        (Some(IdForm::Phone), Person { phone: Some(phone), .. }) => Some(phone.jid()),
        (Some(IdForm::Lid), Person { lid: Some(lid), .. }) => Some(lid.jid()),
        _ => None,
    };
    let told: Option<String> = wanted.or(row.get("jid")?);
    let in_group = row.get::<_, Option<i64>>("group_id")?.is_some() && person.is_some();
    Ok(Row {
        id: OutboxId(row.get("id")?),
        decision: DecisionId(row.get("decision_id")?),
        session: row.session("session")?,
        call: row.json("call")?.ok_or(rusqlite::Error::InvalidQuery)?,
        state: row.word("state")?,
        attempts: row.count("attempts")?,
        created_at: row.time("created_at")?,
        not_before: row.time("not_before")?,
        expires_at: row.time_or_null("expires_at")?,
        settled_at: row.time_or_null("settled_at")?,
        reason: row.get("reason")?,
        policy: row.get("policy")?,
        line: row.count("line")?,
        note: row.get("note")?,
        jid: told.filter(|jid| !jid.is_empty()).or(person.map(|person| person.jid())).unwrap_or_default(),
        name: row.get("name")?,
        person,
        present: in_group.then_some(row.get::<_, Option<bool>>("present")?.unwrap_or(false)),
        wrote_to_us_at: row.time_or_null("wrote_to_us_at")?,
        removal: read_removal(row)?,
        silences: row.count("silences")?,
        authority: row.word_or_null("authority")?.unwrap_or_default(),
    })
}

fn read_removal(row: &Columned<'_>) -> rusqlite::Result<Option<Removal>> {
    if !row.get::<_, bool>("is_removal")? {
        return Ok(None);
    }
    Ok(Some(Removal {
        established: row.get("established")?,
        approved_at: row.time_or_null("approved_at")?,
        undo: row.json("undo")?,
    }))
}

/// These rows, in this order.
pub(super) fn rows_by_id(db: &Connection, ids: &[i64]) -> Result<Vec<Row>, StoreError> {
    let mut select = db.prepare_cached(&format!("{ROW} WHERE o.id = ?"))?;
    let found = ids.iter().map(|id| select.query_row([id], read_row)).collect::<Result<_, _>>()?;
    Ok(found)
}

fn rows_of(db: &Connection, decision: DecisionId) -> Result<Vec<Row>, StoreError> {
    let mut select = db.prepare_cached(&format!("{ROW} WHERE o.decision_id = ? ORDER BY o.id"))?;
    let found = select.query_map([decision.0], read_row)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Outbox rows, newest first.
pub(super) fn outbox(db: &Connection, filter: &Filter) -> Result<Vec<Row>, StoreError> {
    let sql = format!(
        "{ROW} WHERE o.kind <> 'canary' AND (?1 IS NULL OR o.id < ?1) AND (?2 IS NULL OR o.state = ?2)
         AND (?3 IS NULL OR o.person_id = ?3)
         AND (?4 IS NULL OR o.decision_id IN (SELECT id FROM decisions WHERE entry_id = ?4))
         ORDER BY o.id DESC LIMIT ?5"
    );
    let mut select = db.prepare_cached(&sql)?;
    let asked = params![
        filter.before,
        filter.state,
        filter.member.map(|id| id.0),
        filter.entry.map(|id| id.0),
        limit(filter)
    ];
    let found = select.query_map(asked, read_row)?.collect::<Result<_, _>>()?;
    Ok(found)
}

const DECISION: &str =
    "SELECT d.id, d.entry_id, d.hook, d.state, g.jid AS group_jid, g.subject, d.person_id, p.phone,
        p.lid, m.name, d.received_at, d.decided_at, d.chain, d.mode, d.block, d.verdict, d.failure
    FROM decisions d JOIN groups g ON g.id = d.group_id LEFT JOIN people p ON p.id = d.person_id
    LEFT JOIN members m ON m.group_id = d.group_id AND m.person_id = d.person_id";

fn read_decision(row: &Columned<'_>) -> rusqlite::Result<Decision> {
    let member_id = row.get::<_, Option<i64>>("person_id")?.map(PersonId);
    let member = match member_id {
        Some(_) => Some(row.person("phone", "lid")?),
        None => None,
    };
    Ok(Decision {
        id: DecisionId(row.get("id")?),
        entry: EntryId(row.get("entry_id")?),
        hook: row.word("hook")?,
        state: row.word("state")?,
        group: row.group("group_jid")?,
        subject: row.get("subject")?,
        member,
        member_name: row.get("name")?,
        member_id,
        received_at: row.time("received_at")?,
        decided_at: row.time_or_null("decided_at")?,
        chain: row.json("chain")?.unwrap_or_default(),
        mode: row.word_or_null("mode")?,
        block: row.get("block")?,
        verdict: row.json("verdict")?.unwrap_or_default(),
        failure: row.json("failure")?,
        rows: Vec::new(),
    })
}

fn with_rows(db: &Connection, decisions: Vec<Decision>) -> Result<Vec<Decision>, StoreError> {
    let fill = |decision: Decision| {
        let rows = rows_of(db, decision.id)?;
        Ok(Decision { rows, ..decision })
    };
    decisions.into_iter().map(fill).collect()
}

/// Decisions with their rows, newest first.
pub(super) fn decisions(db: &Connection, filter: &Filter) -> Result<Vec<Decision>, StoreError> {
    let sql = format!(
        "{DECISION} WHERE (?1 IS NULL OR d.id < ?1) AND (?2 IS NULL OR d.state = ?2)
         AND (?3 IS NULL OR d.person_id = ?3) AND (?4 IS NULL OR d.entry_id = ?4)
         ORDER BY d.id DESC LIMIT ?5"
    );
    let mut select = db.prepare_cached(&sql)?;
    let asked = params![
        filter.before,
        filter.state,
        filter.member.map(|id| id.0),
        filter.entry.map(|id| id.0),
        limit(filter)
    ];
    let found: Vec<_> = select.query_map(asked, read_decision)?.collect::<Result<_, _>>()?;
    with_rows(db, found)
}

/// One decision with its rows.
pub(super) fn decision(db: &Connection, id: DecisionId) -> Result<Option<Decision>, StoreError> {
    let mut select = db.prepare_cached(&format!("{DECISION} WHERE d.id = ?"))?;
    let found: Vec<_> = select.query_map([id.0], read_decision)?.collect::<Result<_, _>>()?;
    Ok(with_rows(db, found)?.pop())
}

/// What the directory knows of somebody, group by group.
pub(super) fn memberships(
    db: &Connection,
    person: PersonId,
    now: Timestamp,
) -> Result<Vec<(GroupFacts, MemberFacts)>, StoreError> {
    let person = super::people::current(db, person)?;
    let mut found = Vec::new();
    for group in members::groups_of(db, person)? {
        if let Some(facts) = members::facts(db, At { group, person }, now)? {
            found.push((groups::facts(db, group)?, facts));
        }
    }
    Ok(found)
}

/// Counts, from indexes that hold live rows only and from the counted table.
pub(super) fn depths(db: &Connection) -> Result<Depths, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> {
        let rows: i64 = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    };
    let moment = |sql: &str| -> Result<Option<Timestamp>, StoreError> {
        let at = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(Option::<i64>::map(at, Timestamp))
    };
    let sweeping =
        |what: &str| format!("SELECT {what} FROM sweeps WHERE finished_at IS NULL AND cancelled_at IS NULL");
    let mut select =
        db.prepare_cached("SELECT state, kind, rows FROM outbox_counts WHERE rows > 0 AND kind <> 'canary'")?;
    let read = |row: &Columned<'_>| Ok((row.word("state")?, row.get("kind")?, u64::from(row.count("rows")?)));
    Ok(Depths {
        unread: count("SELECT count(*) FROM entries WHERE state = 'new'")?,
        oldest_unread: moment(
            "SELECT (SELECT received_at FROM entries WHERE state = 'new' ORDER BY id LIMIT 1)",
        )?,
        pending_runs: count("SELECT count(*) FROM decisions WHERE state = 'pending'")?,
        parked_runs: count("SELECT count(*) FROM decisions WHERE state = 'policy_error'")?,
        outbox: select.query_map([], read)?.collect::<Result<_, _>>()?,
        oldest_waiting: moment(
            "SELECT min(not_before) FROM outbox WHERE state = 'waiting' AND kind <> 'canary'",
        )?,
        brakes: count("SELECT count(*) FROM brakes")?,
        sweeps: count(&sweeping("count(*)"))?,
        sweeps_looked: count(&sweeping("coalesce(sum(looked), 0)"))?,
        sweeps_left: count(&sweeping("coalesce(sum(max(people - looked, 0)), 0)"))?,
    })
}
