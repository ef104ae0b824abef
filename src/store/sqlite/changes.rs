//! Changes of a group: what it says of itself, whose doing a change was, and the runs that judge it.
//!
//! The rules are [`crate::group_info`]'s. A change that we made ourselves makes no run, so no guard answers itself.

use super::{
    apply::{Outcome, Step},
    groups, outbox, people,
    words::{Columns, Word, to_json},
};
use crate::{
    action::RowState,
    clock::Timestamp,
    directory::ROSTER_LAG,
    event::{Aspect, Event, GroupSnapshot, Hook, Role},
    facts::GroupChange,
    group_info::{INSISTENCE, Known, Manner, Ruling, rule},
    identity::LearntFrom,
    ids::{DecisionId, OutboxId, Person, PersonId},
    store::{NewRow, RunRecord, StoreError},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

impl Step<'_> {
    /// An event tells that a group was changed.
    pub(super) fn group_changed(
        &mut self,
        event: &Event,
        told: &GroupSnapshot,
        by: Option<Person>,
        doubtful: bool,
    ) -> Outcome {
        let known = self.group(event, &told.id)?;
        self.harvest(told.owner, LearntFrom::Event)?;
        let news = self.info(event, known.id, told, (Manner::Event, by))?;
        if doubtful {
            distrust_switches(self.db, known.id)?;
            self.want_roster(&event.session, &told.id);
        }
        Ok((!news && !doubtful).then(|| "the group is as known".into()))
    }

    /// Takes what a snapshot tells of a group itself. Says whether anything of it was new.
    pub(super) fn info(
        &mut self,
        event: &Event,
        group: i64,
        told: &GroupSnapshot,
        (manner, by): (Manner, Option<Person>),
    ) -> Result<bool, StoreError> {
        groups::owned(self.db, group, told.owner)?;
        let by =
            by.map(|by| people::resolve(self.db, by, self.learnt(LearntFrom::Event))).transpose()?.flatten();
        let mut news = false;
        for aspect in Aspect::ALL {
            let Some(value) = told.told(aspect) else { continue };
            let known = known(self.db, group, aspect)?;
            let ruling = rule(known.as_ref(), &value, event.at, manner);
            match ruling {
                Ruling::Stale => continue,
                // What a call of ours was to bring about is believed of a read as well.
                Ruling::Doubtful if !is_ours(self.db, group, aspect, &value, event.at)? => continue,
                Ruling::Doubtful | Ruling::First | Ruling::Same | Ruling::Changed => {}
            }
            let at = known.as_ref().map_or(event.at, |known| known.at.max(event.at));
            let was_told =
                manner != Manner::Read || (ruling == Ruling::Same && known.as_ref().is_some_and(|k| k.told));
            let now = Known { value, at, told: was_told };
            let ours = by.is_some_and(|by| by.is_own) || is_ours(self.db, group, aspect, &now.value, now.at)?;
            keep(self.db, group, aspect, &now)?;
            self.applied.outbox_changed |= fulfil(self.db, group, aspect, &now.value, self.now)?;
            news |= ruling != Ruling::Same;
            if ruling == Ruling::Changed && !ours {
                self.run(event, Hook::OnGroupChanged, group, None, 0)?;
                let before = known.map_or(Value::Null, |known| known.value);
                let by = by.filter(|by| !by.is_own).map(|by| by.id);
                note(self.db, (group, aspect), (&before, &now.value), by, self.received_at)?;
            }
        }
        Ok(news)
    }
}

/// What is known of an aspect.
fn known(db: &Connection, group: i64, aspect: Aspect) -> Result<Option<Known>, StoreError> {
    let sql = "SELECT value, at, told FROM group_info WHERE group_id = ? AND what = ?";
    let read = |row: &Row<'_>| {
        let value = row.json("value")?.unwrap_or_default();
        Ok(Known { value, at: row.time("at")?, told: row.get("told")? })
    };
    Ok(db.prepare_cached(sql)?.query_row(params![group, aspect.word()], read).optional()?)
}

/// Keeps the value of an aspect, where the rules look for it and where facts are read.
fn keep(db: &Connection, group: i64, aspect: Aspect, known: &Known) -> Result<(), StoreError> {
    let sql = "INSERT INTO group_info (group_id, what, value, at, told) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET value = excluded.value, at = excluded.at, told = excluded.told";
    db.prepare_cached(sql)?.execute(params![
        group,
        aspect.word(),
        to_json(&known.value)?,
        known.at.0,
        known.told
    ])?;
    let (sql, text, switch) = match aspect {
        Aspect::Subject => ("UPDATE groups SET subject = ?2 WHERE id = ?1", known.value.as_str(), None),
        Aspect::Description => {
            ("UPDATE groups SET description = ?2 WHERE id = ?1", known.value.as_str(), None)
        }
        Aspect::Invite => ("UPDATE groups SET invite = ?2 WHERE id = ?1", known.value.as_str(), None),
        Aspect::AnnounceOnly => {
            ("UPDATE groups SET announce_only = ?2 WHERE id = ?1", None, known.value.as_bool())
        }
        Aspect::InfoLocked => {
            ("UPDATE groups SET info_locked = ?2 WHERE id = ?1", None, known.value.as_bool())
        }
    };
    let mut update = db.prepare_cached(sql)?;
    match (text, switch) {
        (Some(text), _) => update.execute(params![group, text])?,
        (None, switch) => update.execute(params![group, switch])?,
    };
    Ok(())
}

/// A call of ours set something: it is so from now on.
pub(super) fn set_by_us(
    db: &Connection,
    group: i64,
    (aspect, value): (Aspect, Value),
    now: Timestamp,
) -> Result<(), StoreError> {
    keep(db, group, aspect, &Known { value, at: now, told: true })
}

/// Somebody may have turned a switch, and the event does not tell which way: the next read is believed.
fn distrust_switches(db: &Connection, group: i64) -> Result<(), StoreError> {
    let sql =
        "UPDATE group_info SET told = 0 WHERE group_id = ? AND what IN ('announce_only', 'info_locked')";
    db.prepare_cached(sql)?.execute([group])?;
    Ok(())
}

/// Whether a call of ours set an aspect to that value, or may have.
fn is_ours(
    db: &Connection,
    group: i64,
    aspect: Aspect,
    value: &Value,
    at: Timestamp,
) -> Result<bool, StoreError> {
    if aspect == Aspect::Invite {
        // What the new link is, only the gateway knows.
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE group_id = ? AND kind = 'revoke_invite'
                       AND (state IN ('sending', 'unknown') OR (state = 'waiting' AND attempts > 0)
                            OR (state = 'done' AND settled_at >= ?)))";
        let lately = at - ROSTER_LAG;
        return Ok(db.prepare_cached(sql)?.query_row(params![group, lately.0], |row| row.get(0))?);
    }
    Ok(tried(db, group, aspect, value)?
        .iter()
        .any(|(_, state, attempts)| matches!(state, RowState::Sending | RowState::Unknown) || *attempts > 0))
}

/// Calls of ours that set an aspect to that value and are not over: number, state, attempts.
fn tried(
    db: &Connection,
    group: i64,
    aspect: Aspect,
    value: &Value,
) -> Result<Vec<(OutboxId, RowState, u32)>, StoreError> {
    let Some(kind) = kind(aspect) else { return Ok(Vec::new()) };
    let sql = "SELECT id FROM outbox WHERE group_id = ? AND kind = ? AND class = 'settings'
               AND state IN ('waiting', 'sending', 'unknown')";
    let mut select = db.prepare_cached(sql)?;
    let ids: Vec<i64> =
        select.query_map(params![group, kind], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for id in ids {
        let Some(row) = outbox::head(db, OutboxId(id))? else { continue };
        let attempts = db.query_row("SELECT attempts FROM outbox WHERE id = ?", [id], |row| row.get(0))?;
        if row.call.sets().is_some_and(|(_, set)| set == *value) {
            found.push((row.id, row.state, attempts));
        }
    }
    Ok(found)
}

/// The call that sets an aspect.
fn kind(aspect: Aspect) -> Option<&'static str> {
    match aspect {
        Aspect::Subject => Some("set_subject"),
        Aspect::Description => Some("set_description"),
        Aspect::AnnounceOnly => Some("announce_only"),
        Aspect::InfoLocked => Some("lock_info"),
        Aspect::Invite => None,
    }
}

/// The group shows what calls of ours were to bring about: those need not be made any more. One that is under way ends by
/// itself; a lockdown's calls belong to the lockdown.
fn fulfil(
    db: &Connection,
    group: i64,
    aspect: Aspect,
    value: &Value,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if aspect == Aspect::AnnounceOnly {
        return Ok(false);
    }
    let mut changed = false;
    for (id, state, attempts) in tried(db, group, aspect, value)? {
        let Some(row) = outbox::head(db, id)?.filter(|_| state != RowState::Sending) else { continue };
        changed = true;
        if attempts > 0 || state == RowState::Unknown {
            outbox::end(db, &row, RowState::Done, Some("the group shows it"), now)?;
        } else {
            outbox::end(db, &row, RowState::Cancelled, Some("it is so already"), now)?;
        }
    }
    Ok(changed)
}

/// Keeps the change that the run just made is about.
fn note(
    db: &Connection,
    (group, aspect): (i64, Aspect),
    (before, after): (&Value, &Value),
    by: Option<PersonId>,
    received_at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO group_changes (decision_id, group_id, what, before, after, by_id, received_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let decision = db.last_insert_rowid();
    db.prepare_cached(sql)?.execute(params![
        decision,
        group,
        aspect.word(),
        to_json(before)?,
        to_json(after)?,
        by.map(|by| by.0),
        received_at.0
    ])?;
    Ok(())
}

/// The change that a run is about.
pub(super) fn of_run(db: &Connection, id: DecisionId) -> Result<Option<GroupChange>, StoreError> {
    let sql =
        "SELECT group_id, what, before, after, by_id, received_at FROM group_changes WHERE decision_id = ?";
    let read = |row: &Row<'_>| {
        let value = |column| Ok::<Value, rusqlite::Error>(row.json(column)?.unwrap_or_default());
        let change = GroupChange {
            what: row.word("what")?,
            before: value("before")?,
            after: value("after")?,
            by: None,
            by_role: Role::Unknown,
            answered: 0,
        };
        let by = row.get::<_, Option<i64>>("by_id")?.map(PersonId);
        Ok((row.get::<_, i64>("group_id")?, change, by, row.time("received_at")?))
    };
    let found = db.prepare_cached(sql)?.query_row([id.0], read).optional()?;
    let Some((group, mut change, by, received_at)) = found else { return Ok(None) };
    if let Some(answer) = answer_to(db, (group, change.what), id, &change.before)? {
        change.before = answer;
    }
    let since = received_at - INSISTENCE;
    let sql = "SELECT count(*) FROM group_changes WHERE group_id = ? AND what = ? AND decision_id < ?
               AND received_at > ? AND answer IS NOT NULL";
    change.answered = db
        .prepare_cached(sql)?
        .query_row(params![group, change.what.word(), id.0, since.0], |row| row.get(0))?;
    if let Some(by) = by {
        (change.by, change.by_role) = changer(db, group, by)?;
    }
    Ok(Some(change))
}

/// What the group was meant to be before: where the change before this one was answered, that answer, done or on its way.
/// Else somebody who is quicker than our calls would have us put back their own words.
fn answer_to(
    db: &Connection,
    (group, what): (i64, Aspect),
    id: DecisionId,
    before: &Value,
) -> Result<Option<Value>, StoreError> {
    let sql = "SELECT after, answer FROM group_changes WHERE group_id = ? AND what = ? AND decision_id < ?
               ORDER BY decision_id DESC LIMIT 1";
    let read = |row: &Row<'_>| Ok((row.json::<Value>("after")?, row.json::<Value>("answer")?));
    let last = db.prepare_cached(sql)?.query_row(params![group, what.word(), id.0], read).optional()?;
    Ok(last.filter(|(after, _)| after.as_ref() == Some(before)).and_then(|(_, answer)| answer))
}

/// Who somebody is, and what they are in the group.
fn changer(db: &Connection, group: i64, id: PersonId) -> Result<(Option<Person>, Role), StoreError> {
    let sql = "SELECT p.phone, p.lid, m.role FROM people p
               LEFT JOIN members m ON m.person_id = p.id AND m.group_id = ?2 AND m.present WHERE p.id = ?1";
    let read = |row: &Row<'_>| Ok((row.person("phone", "lid")?, row.word_or_null::<Role>("role")?));
    let id = people::current(db, id)?;
    let found = db.prepare_cached(sql)?.query_row(params![id.0, group], read).optional()?;
    Ok(found.map_or((None, Role::Unknown), |(person, role)| (Some(person), role.unwrap_or_default())))
}

/// A run about a change is decided: what it asked to set is the answer. If it let the change stand, calls that were to
/// answer earlier ones and still wait are withdrawn, or they would undo it.
pub(super) fn decided(db: &Connection, record: &RunRecord) -> Result<(), StoreError> {
    let sql = "SELECT group_id, what FROM group_changes WHERE decision_id = ?";
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.word::<Aspect>("what")?));
    let about = db.prepare_cached(sql)?.query_row([record.id.0], read).optional()?;
    let Some((group, what)) = about else { return Ok(()) };
    let sets = |row: &NewRow| {
        row.call.sets().filter(|(aspect, _)| *aspect == what && row.state == RowState::Waiting)
    };
    if let Some((_, answer)) = record.rows.iter().find_map(sets) {
        let sql = "UPDATE group_changes SET answer = ? WHERE decision_id = ?";
        db.prepare_cached(sql)?.execute(params![to_json(&answer)?, record.id.0])?;
        return Ok(());
    }
    if record.failure.is_some() {
        return Ok(());
    }
    let sql = "SELECT id FROM outbox WHERE group_id = ?1 AND kind = ?2 AND class = 'settings' AND state = 'waiting'
               AND decision_id < ?3 AND decision_id IN (SELECT decision_id FROM group_changes WHERE group_id = ?1)";
    let mut select = db.prepare_cached(sql)?;
    let ids: Vec<i64> = select
        .query_map(params![group, kind(what), record.id.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        if let Some(row) = outbox::head(db, OutboxId(id))? {
            let note = Some("a later change was let stand");
            outbox::end(db, &row, RowState::Cancelled, note, record.decided_at)?;
        }
    }
    Ok(())
}
