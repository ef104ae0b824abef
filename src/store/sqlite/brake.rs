//! The brake's side of the outbox: counting removals of established members, holding them, and telling of it once.
//!
//! The rule is [`crate::brake`]'s. What a human makes of held rows is in [`super::rulings`]; a brake lifts by a trigger of
//! the schema once nothing is held any more.

use super::{
    alerts,
    members::At,
    words::{Columns, to_json},
};
use crate::{
    action::{Call, RowState},
    brake::{self, Terms},
    clock::Timestamp,
    facts::Verdict,
    ids::{DecisionId, OutboxId, PersonId},
    store::{
        NewRow, StoreError,
        brake::{Brake, Raised, Undo},
    },
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// What the brake makes of a removal that is about to be written: the state it gets instead, and why.
pub(super) fn restrain(
    db: &Connection,
    decision: DecisionId,
    row: &NewRow,
    at: At,
    now: Timestamp,
) -> Result<Option<(RowState, String)>, StoreError> {
    if let Some(why) = spared(db, at, &row.policy)? {
        return Ok(Some((RowState::Cancelled, why)));
    }
    if row.state == RowState::Held {
        // It is held for a reason of its own: whoever lets it go lets it past the brake.
        return Ok(None);
    }
    let Some(terms) = row.brake else { return Ok(None) };
    if !stands(db, at.group)? {
        let count = count(db, at.group, &terms, now)?;
        if count.removals < count.allowance {
            return Ok(None);
        }
        trip(db, decision, row, at.group, &count, now)?;
    }
    Ok(Some((RowState::Held, "held by the brake: a human decides".into())))
}

/// How much of a group's allowance is used.
struct Count {
    removals: u32,
    allowance: u32,
    size: u32,
}

fn count(db: &Connection, group: i64, terms: &Terms, now: Timestamp) -> Result<Count, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM outbox WHERE established = 1 AND group_id = ?1
                       AND state IN ('waiting', 'sending', 'unknown') AND approved_at IS NULL) AS live,
                   (SELECT count(*) FROM outbox WHERE established = 1 AND group_id = ?1
                       AND state = 'done' AND sent_at > ?2 AND approved_at IS NULL) AS sent,
                   (SELECT size FROM groups WHERE id = ?1) AS size";
    let read = |row: &Row<'_>| Ok((row.count("live")?, row.count("sent")?, row.count("size")?));
    let since = now - terms.window;
    let (live, sent, size) = db.prepare_cached(sql)?.query_row(params![group, since.0], read)?;
    let size = size + sent;
    Ok(Count { removals: live + sent, allowance: terms.allowance(size), size })
}

fn stands(db: &Connection, group: i64) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM brakes WHERE group_id = ?)";
    Ok(db.prepare_cached(sql)?.query_row([group], |row| row.get(0))?)
}

fn trip(
    db: &Connection,
    decision: DecisionId,
    row: &NewRow,
    group: i64,
    count: &Count,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO brakes (group_id, since, decision_id, let_through, size, cause) VALUES (?, ?, ?, ?, ?, ?)";
    let cause = cause(db, decision, row)?;
    db.prepare_cached(sql)?.execute(params![group, now.0, decision.0, count.removals, count.size, cause])?;
    Ok(())
}

/// Policy, line, reason and, where a list named them, its entry.
fn cause(db: &Connection, decision: DecisionId, row: &NewRow) -> Result<String, StoreError> {
    let sql = "SELECT verdict FROM decisions WHERE id = ?";
    let read = |row: &Row<'_>| row.json::<Verdict>("verdict");
    let verdict = db.prepare_cached(sql)?.query_row([decision.0], read).optional()?.flatten();
    let evidence = verdict.map(|verdict| verdict.evidence).unwrap_or_default();
    let entry = evidence.iter().find_map(|fact| fact.value.get("entry")?.as_str());
    let entry = entry.map_or(String::new(), |entry| format!(", entry {entry}"));
    Ok(format!("{}:{} \"{}\"{entry}", row.policy, row.line, row.reason))
}

/// Why a removal that this policy asks for is not even to wait: an operator has cancelled it before.
fn spared(db: &Connection, at: At, policy: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT row_id, at FROM spared WHERE group_id = ? AND person_id = ? AND policy = ?";
    let read = |row: &Row<'_>| Ok((OutboxId(row.get("row_id")?), row.time("at")?));
    let given = params![at.group, at.person.0, policy];
    let found = db.prepare_cached(sql)?.query_row(given, read).optional()?;
    Ok(found.map(|(id, when)| {
        let date = when.to_string();
        let date = date.split('T').next().unwrap_or_default();
        format!(
            "an operator cancelled this removal on {date}; they stay until they enter the group again; \
             `perimeterd outbox retry {id}` takes it back"
        )
    }))
}

/// An operator cancelled a removal: the same policy asks in vain from now on.
pub(super) fn spare(db: &Connection, id: OutboxId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO spared SELECT group_id, person_id, policy, id, ?2 FROM outbox
               WHERE id = ?1 AND kind = 'remove' AND group_id IS NOT NULL AND person_id IS NOT NULL
               ON CONFLICT DO UPDATE SET row_id = excluded.row_id, at = excluded.at";
    db.prepare_cached(sql)?.execute(params![id.0, now.0])?;
    Ok(())
}

/// They entered anew: what was spared them before is over.
pub(super) fn entered(db: &Connection, at: At) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM spared WHERE group_id = ? AND person_id = ?")?
        .execute([at.group, at.person.0])?;
    Ok(())
}

/// Two people turned out to be one.
pub(super) fn merge_people(db: &Connection, stays: PersonId, goes: PersonId) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE OR REPLACE spared SET person_id = ?1 WHERE person_id = ?2")?
        .execute([stays.0, goes.0])?;
    Ok(())
}

/// Tells of brakes that hold more than was told: the first time as an alert, later in the text of that alert.
pub(super) fn report(db: &Connection, now: Timestamp) -> Result<Vec<Raised>, StoreError> {
    let sql = format!("{BRAKE} WHERE held > told");
    let mut select = db.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| {
        let numbers = (row.get::<_, i64>("id")?, row.count("told")?, row.count("size")?);
        Ok((numbers, read_brake(row)?))
    };
    let grown: Vec<_> = select.query_map([], read)?.collect::<Result<_, _>>()?;
    let mut raised = Vec::new();
    for ((id, told, size), brake) in grown {
        let text = notice(&brake, size);
        let key = format!("{} {id}", brake.group.as_str());
        if told == 0 {
            alerts::keep(db, now, "brake", &key, &text)?;
            raised.push(Raised { kind: "brake", text });
        } else {
            db.prepare_cached("UPDATE alerts SET text = ?2 WHERE key = ?1 AND kind = 'brake'")?
                .execute([&key, &text])?;
        }
        db.prepare_cached("UPDATE brakes SET told = ?2 WHERE id = ?1")?.execute(params![id, brake.held])?;
    }
    Ok(raised)
}

fn notice(brake: &Brake, size: u32) -> String {
    brake::Notice {
        group: &brake.group,
        subject: &brake.subject,
        size,
        let_through: brake.let_through,
        held: brake.held,
        cause: &brake.cause,
    }
    .text()
}

const BRAKE: &str = "SELECT * FROM (SELECT b.*, g.jid, g.subject,
        (SELECT count(*) FROM outbox o WHERE o.group_id = b.group_id AND o.state = 'held') AS held
    FROM brakes b JOIN groups g ON g.id = b.group_id)";

fn read_brake(row: &Row<'_>) -> rusqlite::Result<Brake> {
    Ok(Brake {
        group: row.group("jid")?,
        subject: row.get("subject")?,
        since: row.time("since")?,
        decision: DecisionId(row.get("decision_id")?),
        cause: row.get("cause")?,
        let_through: row.count("let_through")?,
        held: row.count("held")?,
    })
}

/// The brakes that stand, oldest first.
pub(super) fn standing(db: &Connection) -> Result<Vec<Brake>, StoreError> {
    let mut select = db.prepare_cached(&format!("{BRAKE} ORDER BY id"))?;
    let found = select.query_map([], read_brake)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// What the undo of a removal will need, as known now; `None` for another call.
pub(super) fn undo(db: &Connection, call: &Call, at: Option<At>) -> Result<Option<String>, StoreError> {
    let (Call::Remove { group, .. }, Some(at)) = (call, at) else { return Ok(None) };
    let sql = "SELECT p.phone, p.lid, m.jid, coalesce(m.role, 'unknown') AS role, m.joined_at,
                   coalesce(m.via, 'unknown') AS via, g.invite
               FROM groups g JOIN people p ON p.id = ?2
               LEFT JOIN members m ON m.group_id = g.id AND m.person_id = p.id WHERE g.id = ?1";
    let read = |row: &Row<'_>| {
        let person = row.person("phone", "lid")?;
        let told: Option<String> = row.get("jid")?;
        Ok(Undo {
            group: group.clone(),
            jid: told.filter(|jid| !jid.is_empty()).unwrap_or_else(|| person.jid()),
            phone: person.phone,
            lid: person.lid,
            role: row.word("role")?,
            invite: row.get("invite")?,
            joined_at: row.time_or_null("joined_at")?,
            via: row.word("via")?,
        })
    };
    let found = db.prepare_cached(sql)?.query_row([at.group, at.person.0], read).optional()?;
    found.as_ref().map(to_json).transpose()
}
