//! Runs: what they need, and committing what they came to.

use super::{
    alerts, brake, causes, changes, enqueue, groups, local,
    members::{self, At},
    pairs, people, sweep, timers, watch,
    words::{Columns, Word, to_json},
};
use crate::{
    clock::Timestamp,
    facts::GroupFacts,
    identity::PersonRecord,
    ids::{DecisionId, EntryId, PersonId, SessionName, SweepId},
    store::{Effect, LocalEntry, LocalKind, Raised, RunInput, RunRecord, StoreError},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;

/// Runs to be made, oldest first.
pub(super) fn pending(db: &Connection) -> Result<Vec<DecisionId>, StoreError> {
    let mut select = db.prepare_cached("SELECT id FROM decisions WHERE state = 'pending' ORDER BY id")?;
    let found = select.query_map([], |row| row.get(0).map(DecisionId))?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// What these runs need.
pub(super) fn inputs(
    db: &Connection,
    ids: &[DecisionId],
    now: Timestamp,
) -> Result<Vec<RunInput>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    let mut groups = HashMap::new();
    for id in ids {
        found.extend(input(db, *id, now, &mut groups)?);
    }
    Ok(found)
}

/// One run's input. `seen` keeps the groups of a batch: its runs are mostly about one.
fn input(
    db: &Connection,
    id: DecisionId,
    now: Timestamp,
    seen: &mut HashMap<i64, GroupFacts>,
) -> Result<Option<RunInput>, StoreError> {
    let sql = "SELECT entry_id, hook, session, group_id, person_id, received_at, round, state, sweep_id
               FROM decisions WHERE id = ?";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let group: i64 = row.get("group_id")?;
    let person = row.get::<_, Option<i64>>("person_id")?.map(PersonId);
    let member = match person {
        Some(person) => members::facts(db, At { group, person }, now)?,
        None => None,
    };
    let facts = match seen.get(&group) {
        Some(facts) => facts.clone(),
        None if group == watch::NO_GROUP => watch::no_group(),
        None => seen.entry(group).or_insert(groups::facts(db, group)?).clone(),
    };
    Ok(Some(RunInput {
        id,
        entry: EntryId(row.get("entry_id")?),
        hook: row.word("hook")?,
        session: row.session("session")?,
        now: row.time("received_at")?,
        round: row.count("round")?,
        state: row.word("state")?,
        member,
        group: facts,
        change: changes::of_run(db, id)?,
        sweep: row.get::<_, Option<i64>>("sweep_id")?.map(SweepId),
    }))
}

/// Commits finished runs; the alerts that were kept on the way.
pub(super) fn commit(db: &Connection, records: &[RunRecord]) -> Result<Vec<Raised>, StoreError> {
    for record in records {
        commit_one(db, record)?;
    }
    records.last().map_or(Ok(Vec::new()), |last| brake::report(db, last.decided_at))
}

fn commit_one(db: &Connection, record: &RunRecord) -> Result<(), StoreError> {
    let sql =
        "UPDATE decisions SET state = ?2, chain = ?3, mode = ?4, block = ?5, verdict = ?6, failure = ?7,
                   decided_at = ?8, final = ?9
               WHERE id = ?1 AND state = 'pending' RETURNING session, round, group_id, sweep_id";
    let run: Option<(SessionName, u32, i64, Option<i64>)> = db
        .prepare_cached(sql)?
        .query_row(
            params![
                record.id.0,
                record.state.word(),
                to_json(&record.chain)?,
                record.mode.word(),
                record.block,
                to_json(&record.verdict)?,
                record.failure.as_ref().map(to_json).transpose()?,
                record.decided_at.0,
                record.verdict.final_action().is_some()
            ],
            |row: &Row<'_>| {
                Ok((row.session("session")?, row.count("round")?, row.get("group_id")?, row.get("sweep_id")?))
            },
        )
        .optional()?;
    let Some((session, round, group, sweep)) = run else { return Ok(()) };
    if group == watch::NO_GROUP {
        return watch::decided(db, record.id, &session, record.decided_at);
    }
    changes::decided(db, record)?;
    enqueue::write(db, record.id, &record.rows, record.decided_at)?;
    causes::note(db, record)?;
    for effect in &record.effects {
        take_effect(db, record, effect)?;
    }
    if let Some(at) = record.recheck_at {
        let learnt = record.hidden && pairs::phone_is_known(db, record.id)?;
        let at = if learnt { Timestamp(0) } else { at };
        timers::look_again(db, &session, record.id, round + 1, at)?;
    }
    match sweep {
        Some(id) => sweep::decided(db, SweepId(id), record.rows.len(), record.decided_at),
        None => Ok(()),
    }
}

fn take_effect(db: &Connection, record: &RunRecord, effect: &Effect) -> Result<(), StoreError> {
    match effect {
        Effect::Tag { member, name, until } => people::tag(db, people::current(db, *member)?, name, *until),
        Effect::Untag { member, name } => people::untag(db, people::current(db, *member)?, name),
        Effect::ListLocally { member, reason, policy, until } => {
            list_locally(db, record, people::current(db, *member)?, (reason, policy, *until))
        }
        Effect::Lockdown { .. } => timers::lock_down(db, record.id, effect, record.decided_at),
        Effect::Alert { kind, key, text } => alerts::keep(db, record.decided_at, kind, key, text),
    }
}

fn list_locally(
    db: &Connection,
    record: &RunRecord,
    member: PersonId,
    (reason, policy, until): (&str, &str, Option<Timestamp>),
) -> Result<(), StoreError> {
    let Some(PersonRecord { person, .. }) = pairs::record(db, member)? else { return Ok(()) };
    local::by_policy(
        db,
        &LocalEntry {
            kind: LocalKind::Addition,
            entry: person.phone.map_or_else(|| person.jid(), |phone| phone.e164()),
            person,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            by: format!("policy {policy}"),
            decision: Some(record.id),
            added_at: record.decided_at,
            expires_at: until,
        },
    )
}

/// Puts failed runs of an entry, or the entry itself if nobody could read it, back in line.
pub(super) fn retry(db: &Connection, id: EntryId) -> Result<usize, StoreError> {
    let runs = "UPDATE decisions SET state = 'pending', failure = NULL WHERE entry_id = ? AND state = 'policy_error'";
    let entry = "UPDATE entries SET state = 'new', note = NULL WHERE id = ? AND state = 'unreadable'";
    Ok(db.prepare_cached(runs)?.execute([id.0])? + db.prepare_cached(entry)?.execute([id.0])?)
}
