//! What becomes of a pair of phone and LID: where it was learnt, whom it wakes, and what the gateway said of numbers
//! that lists name. Which rows it makes one is found out in [`super::people`].

use super::{
    people, timers,
    words::{Columns, Word, lid_column, phone_column},
};
use crate::{
    clock::Timestamp,
    identity::{Forward, Hidden, Learnt, LearntFrom, NumberRecord, NumberReply, OnlyId, PersonRecord},
    ids::{DecisionId, Lid, Person, PersonId, Phone, SessionName},
    store::StoreError,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Somebody told by one form, with the other one from what the gateway said of listed numbers.
pub(super) fn completed(db: &Connection, told: Person) -> Result<Option<(Person, Learnt)>, StoreError> {
    let (sql, value) = match (told.phone, told.lid) {
        (None, Some(lid)) => {
            let latest =
                "SELECT phone, lid, asked_at FROM forward WHERE lid = ? ORDER BY asked_at DESC LIMIT 1";
            (latest, lid_column(lid))
        }
        (Some(phone), None) => (
            "SELECT phone, lid, asked_at FROM forward WHERE phone = ? AND lid IS NOT NULL",
            phone_column(phone),
        ),
        _ => return Ok(None),
    };
    let read = |row: &Row<'_>| {
        let learnt = Learnt::new(LearntFrom::List, row.time("asked_at")?);
        Ok((row.person("phone", "lid")?, learnt))
    };
    Ok(db.prepare_cached(sql)?.query_row([value], read).optional()?)
}

/// Somebody's phone and LID are both known from now on. Whoever was known by one of them before has waited for it.
pub(super) fn learnt(
    db: &Connection,
    id: PersonId,
    pair: (Phone, Lid),
    learnt: Learnt,
    known_before: bool,
) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE people SET learnt_from = ?2, learnt_at = ?3 WHERE id = ?1")?
        .execute(params![id.0, learnt.from.word(), learnt.at.0])?;
    // What was said of either before is no longer so.
    let sql = "DELETE FROM forward WHERE (phone = ?1 AND lid IS NOT ?2) OR (lid = ?2 AND phone <> ?1)";
    db.prepare_cached(sql)?.execute([phone_column(pair.0), lid_column(pair.1)])?;
    if known_before { wake(db, id) } else { Ok(()) }
}

/// Runs that wait for something about somebody are due at once; and the last one of those whom nobody would look at any
/// more, because the gateway has been asked in vain for a day.
fn wake(db: &Connection, id: PersonId) -> Result<(), StoreError> {
    let sql = "UPDATE timers SET due_at = 0 WHERE kind = 'recheck'
                   AND decision_id IN (SELECT id FROM decisions WHERE person_id = ?)";
    db.prepare_cached(sql)?.execute([id.0])?;
    let given_up = "SELECT d.id, d.session, d.round FROM decisions d
                    JOIN members m ON m.person_id = d.person_id AND m.group_id = d.group_id AND m.present
                    WHERE d.person_id = ?1 AND d.state = 'decided' AND NOT d.final AND d.round > 0
                      AND d.twin_id IS NULL AND d.hook = 'on_sweep' AND d.verdict ->> 'look_again'
                      AND NOT EXISTS (SELECT 1 FROM timers t WHERE t.kind = 'recheck' AND t.decision_id = d.id)
                      AND NOT EXISTS (SELECT 1 FROM decisions n WHERE n.person_id = ?1
                                      AND n.group_id = d.group_id AND n.id > d.id)";
    let mut select = db.prepare_cached(given_up)?;
    let read = |row: &Row<'_>| Ok((DecisionId(row.get("id")?), row.session("session")?, row.count("round")?));
    let found: Vec<_> = select.query_map([id.0], read)?.collect::<Result<_, _>>()?;
    for (decision, session, round) in found {
        timers::look_again(db, &session, decision, round + 1, Timestamp(0))?;
    }
    Ok(())
}

/// Whether the phone of a run's member is known by now.
pub(super) fn phone_is_known(db: &Connection, run: DecisionId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM decisions d JOIN people p ON p.id = d.person_id
                              WHERE d.id = ? AND p.phone IS NOT NULL)";
    Ok(db.prepare_cached(sql)?.query_row([run.0], |row| row.get(0))?)
}

/// Our record of somebody.
pub(super) fn record(db: &Connection, id: PersonId) -> Result<Option<PersonRecord>, StoreError> {
    let id = people::current(db, id)?;
    let read = |row: &Row<'_>| {
        let from: Option<LearntFrom> = row.word_or_null("learnt_from")?;
        let learnt = from.zip(row.time_or_null("learnt_at")?).map(|(from, at)| Learnt { from, at });
        Ok(PersonRecord { id, person: row.person("phone", "lid")?, learnt })
    };
    let sql = "SELECT phone, lid, learnt_from, learnt_at FROM people WHERE id = ?";
    Ok(db.prepare_cached(sql)?.query_row([id.0], read).optional()?)
}

/// Whose phone a run waits for, or a removal whose other id.
pub(super) fn hidden(
    db: &Connection,
    session: &SessionName,
    since: Timestamp,
    lids_too: bool,
    limit: u32,
) -> Result<Vec<Hidden>, StoreError> {
    // Counted from the event itself, not from a later look at it; and for a removal that waits, from its decision.
    let sql = "SELECT phone, lid, max(since) AS since FROM (
                   SELECT p.phone, p.lid, (SELECT max(j.received_at) FROM decisions j
                                  WHERE j.person_id = d.person_id AND j.group_id = d.group_id AND j.round = 0
                                      AND j.id <= d.id) AS since
                   FROM timers t JOIN decisions d ON d.id = t.decision_id JOIN people p ON p.id = d.person_id
                   WHERE t.kind = 'recheck' AND t.session = ?1 AND d.received_at >= ?2
                       AND p.phone IS NULL AND p.lid IS NOT NULL
                   UNION ALL
                   SELECT p.phone, p.lid, o.created_at FROM outbox o JOIN people p ON p.id = o.person_id
                   WHERE o.state = 'waiting' AND o.kind = 'remove' AND o.session = ?1 AND o.created_at >= ?2
                       AND (p.phone IS NULL AND p.lid IS NOT NULL
                            OR ?4 AND p.lid IS NULL AND p.phone IS NOT NULL))
               GROUP BY phone, lid HAVING max(since) >= ?2 ORDER BY since DESC, lid, phone LIMIT ?3";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let person = row.person("phone", "lid")?;
        let id = person.lid.map(OnlyId::Lid).or(person.phone.map(OnlyId::Phone));
        let since = row.time("since")?;
        Ok(id.map(|id| Hidden { id, since }))
    };
    let found = select.query_map(params![session.as_str(), since.0, limit, lids_too], read)?;
    Ok(found.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// What is known of these numbers' LIDs.
pub(super) fn numbers(db: &Connection, numbers: &[Phone]) -> Result<Vec<NumberRecord>, StoreError> {
    let sql = "SELECT f.lid, f.absent, f.asked_at, p.lid AS paired, p.learnt_at FROM (SELECT ?1 AS phone) n
               LEFT JOIN forward f ON f.phone = n.phone
               LEFT JOIN people p ON p.phone = n.phone AND p.lid IS NOT NULL";
    let mut select = db.prepare_cached(sql)?;
    let one = |phone: &Phone| {
        let phone = *phone;
        let reply = |answer, at| NumberReply { phone, answer, at };
        let read = |row: &Row<'_>| {
            let said = match (lid(row, "lid")?, row.get::<_, Option<bool>>("absent")?) {
                (Some(lid), _) => Forward::Lid(lid),
                (None, Some(true)) => Forward::Absent,
                (None, _) => Forward::Untold,
            };
            let said = row.time_or_null("asked_at")?.map(|at| reply(said, at));
            let paired = lid(row, "paired")?.zip(row.time_or_null("learnt_at")?);
            let paired = paired.map(|(lid, at)| reply(Forward::Lid(lid), at));
            Ok(NumberRecord { phone, said, paired })
        };
        select.query_row([phone_column(phone)], read)
    };
    Ok(numbers.iter().map(one).collect::<Result<_, _>>()?)
}

/// Those of these LIDs whose phone nobody told.
pub(super) fn unpaired(db: &Connection, lids: Vec<Lid>) -> Result<Vec<Lid>, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM people WHERE lid = ?1 AND phone IS NOT NULL)
                   OR EXISTS (SELECT 1 FROM forward WHERE lid = ?1)";
    let mut select = db.prepare_cached(sql)?;
    let mut unpaired = Vec::new();
    for lid in lids {
        if !select.query_row([lid_column(lid)], |row| row.get::<_, bool>(0))? {
            unpaired.push(lid);
        }
    }
    Ok(unpaired)
}

fn lid(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Lid>> {
    let number: Option<i64> = row.get(column)?;
    Ok(number.map(|number| Lid::from_u64(number.cast_unsigned())))
}

/// Keeps what the gateway said of a number; what it says last counts.
pub(super) fn keep_reply(db: &Connection, reply: NumberReply) -> Result<usize, StoreError> {
    let lid = match reply.answer {
        Forward::Lid(lid) => Some(lid),
        Forward::Absent | Forward::Untold => None,
    };
    let sql = "INSERT INTO forward (phone, lid, absent, asked_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET lid = excluded.lid, absent = excluded.absent, asked_at = excluded.asked_at";
    db.prepare_cached(sql)?.execute(params![
        phone_column(reply.phone),
        lid.map(lid_column),
        reply.answer == Forward::Absent,
        reply.at.0
    ])?;
    match lid {
        Some(lid) => people::learn(db, &[(reply.phone, lid)], Learnt::new(LearntFrom::List, reply.at)),
        None => Ok(0),
    }
}
