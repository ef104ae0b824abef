//! Sweeps: the members of a group are looked at again, some at a time.
//!
//! Where a sweep stands in a group is a number of a person, and moves in the commit that makes the runs; so a stop in
//! between loses nothing. Passed over is whoever has a run of another cause pending, which will see the same facts, and
//! whose removal is asked for already; and a group that we have left. Asked for again while it runs, it goes on to the end
//! and then once more up to where it was.

use super::{
    SqliteStore,
    apply::{Outcome, Step},
    groups, journal,
    members::At,
    outbox::live_removals,
    words::{Columns, Word, phone_column, to_json},
};
use crate::{
    clock::Timestamp,
    event::{Event, EventKind, Hook},
    ids::{GroupId, Person, PersonId, Phone, SessionName, SweepId},
    store::{Cause, Mark, NewEntry, NewSweep, Scope, Source, StoreError, Sweep, Sweeps, Whom},
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Members looked at in one step.
const STEP: u32 = 200;

/// Steps that were put into the journal and had no effect: then something is broken, and more would be no better.
const LOST_STEPS: i64 = 3;

const RUNNING: &str = "finished_at IS NULL AND cancelled_at IS NULL";

#[async_trait]
impl Sweeps for SqliteStore {
    async fn begin_sweep(&self, sweep: NewSweep) -> Result<Option<SweepId>, StoreError> {
        self.writer.run(move |db| begin(db, &sweep)).await
    }

    async fn sweep_on(&self, now: Timestamp) -> Result<bool, StoreError> {
        let any = format!("SELECT EXISTS (SELECT 1 FROM sweeps WHERE {RUNNING})");
        let look = move |db: &Connection| Ok(db.prepare_cached(&any)?.query_row([], |row| row.get(0))?);
        if !self.readers.read(look).await? {
            return Ok(false);
        }
        self.writer.run(move |db| go_on(db, now)).await
    }

    async fn sweeps(&self, limit: u32) -> Result<Vec<Sweep>, StoreError> {
        self.readers.read(move |db| list(db, limit)).await
    }

    async fn sweep(&self, id: SweepId) -> Result<Option<Sweep>, StoreError> {
        self.readers.read(move |db| one(db, id)).await
    }

    async fn cancel_sweep(&self, id: SweepId, now: Timestamp) -> Result<bool, StoreError> {
        self.writer.run(move |db| cancel(db, id, now, None)).await
    }

    async fn sweep_mark(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.readers.read(move |db| mark(db, &name)).await
    }

    async fn keep_sweep_mark(&self, mark: Mark) -> Result<(), StoreError> {
        self.writer.run(move |db| keep_mark(db, &mark)).await
    }
}

fn mark(db: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let mut select = db.prepare_cached("SELECT mark FROM sweep_marks WHERE name = ?")?;
    Ok(select.query_row([name], |row| row.get(0)).optional()?)
}

fn keep_mark(db: &Connection, (name, mark): &Mark) -> Result<(), StoreError> {
    let sql = "INSERT INTO sweep_marks VALUES (?, ?) ON CONFLICT DO UPDATE SET mark = excluded.mark";
    db.prepare_cached(sql)?.execute(params![name, mark])?;
    Ok(())
}

fn begin(db: &Connection, new: &NewSweep) -> Result<Option<SweepId>, StoreError> {
    if let Some(mark) = &new.mark {
        keep_mark(db, mark)?;
    }
    let scope = match new.whom {
        Whom::Everybody => Scope::Everybody,
        Whom::Group(_) => Scope::Group,
        Whom::People(_) => Scope::People,
    };
    let jid = if let Whom::Group(group) = &new.whom { Some(group.as_str()) } else { None };
    let same = format!("SELECT id FROM sweeps WHERE {RUNNING} AND cause = ? AND scope = ? AND jid IS ?");
    let running = params![new.cause.word(), scope.word(), jid];
    let running = db.prepare_cached(&same)?.query_row(running, |row| row.get(0)).optional()?;
    let id = match running {
        Some(id) => SweepId(id),
        None if new.places.is_empty() => return Ok(None),
        None => {
            let sql = "INSERT INTO sweeps (cause, scope, jid, asked_at) VALUES (?, ?, ?, ?)";
            let given = params![new.cause.word(), scope.word(), jid, new.asked_at.0];
            db.prepare_cached(sql)?.execute(given)?;
            SweepId(db.last_insert_rowid())
        }
    };
    for (session, jid) in &new.places {
        let Some(group) = groups::find(db, jid)?.filter(|group| group.adopted) else { continue };
        match &new.whom {
            Whom::People(phones) => add_people(db, id, (session, group.id), phones)?,
            Whom::Group(only) if only != jid => {}
            Whom::Everybody | Whom::Group(_) => add_group(db, id, (session, group.id))?,
        }
    }
    let left = remaining(db, id)?;
    if left == 0 && running.is_none() {
        db.prepare_cached("DELETE FROM sweeps WHERE id = ?")?.execute([id.0])?;
        return Ok(None);
    }
    db.prepare_cached("UPDATE sweeps SET people = looked + ?2 WHERE id = ?1")?
        .execute(params![id.0, left])?;
    Ok(Some(id))
}

/// The whole group; where it is being looked through, once more up to where that stands.
fn add_group(db: &Connection, id: SweepId, (session, group): (&SessionName, i64)) -> Result<(), StoreError> {
    let sql = "INSERT INTO sweep_groups (sweep_id, group_id, session) VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET upto = NULL, again = nullif(after, 0)";
    db.prepare_cached(sql)?.execute(params![id.0, group, session.as_str()])?;
    Ok(())
}

fn add_people(
    db: &Connection,
    id: SweepId,
    (session, group): (&SessionName, i64),
    phones: &[Phone],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO sweep_phones SELECT ?, m.group_id, p.phone, ? FROM people p
               JOIN members m ON m.person_id = p.id AND m.group_id = ?
               WHERE p.phone = ? AND m.present AND NOT p.is_own ON CONFLICT DO NOTHING";
    let mut insert = db.prepare_cached(sql)?;
    for phone in phones {
        insert.execute(params![id.0, session.as_str(), group, phone_column(*phone)])?;
    }
    Ok(())
}

/// Memberships that a sweep has still to look at.
fn remaining(db: &Connection, id: SweepId) -> Result<i64, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM sweep_phones WHERE sweep_id = ?1)
                   + (SELECT count(*) FROM sweep_groups g JOIN members m ON m.group_id = g.group_id
                      JOIN people p ON p.id = m.person_id
                      WHERE g.sweep_id = ?1 AND m.present AND NOT p.is_own
                      AND ((m.person_id > g.after AND (g.upto IS NULL OR m.person_id <= g.upto))
                           OR m.person_id <= g.again))";
    Ok(db.prepare_cached(sql)?.query_row([id.0], |row| row.get(0))?)
}

/// Puts the next step into the journal.
fn go_on(db: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    let sql = format!("SELECT id FROM sweeps WHERE {RUNNING}");
    let running: Vec<i64> =
        db.prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in running {
        finish(db, SweepId(id), now)?;
    }
    for table in ["sweep_phones", "sweep_groups"] {
        let sql = format!(
            "SELECT x.sweep_id, g.jid, x.session, s.steps, s.taken FROM {table} x JOIN groups g ON g.id = x.group_id
             JOIN sweeps s ON s.id = x.sweep_id ORDER BY x.sweep_id, x.group_id LIMIT 1"
        );
        let read = |row: &Row<'_>| {
            let (steps, taken): (i64, i64) = (row.get("steps")?, row.get("taken")?);
            Ok((SweepId(row.get("sweep_id")?), row.group("jid")?, row.session("session")?, steps, taken))
        };
        let next = db.prepare_cached(&sql)?.query_row([], read).optional()?;
        let Some((id, group, session, steps, taken)) = next else { continue };
        if steps - taken >= LOST_STEPS {
            cancel(db, id, now, Some("its steps had no effect; the journal tells why"))?;
            return Ok(true);
        }
        db.prepare_cached("UPDATE sweeps SET steps = steps + 1 WHERE id = ?")?.execute([id.0])?;
        let key = format!("{session}\0sweep {id} {steps}").into_bytes();
        let kind = EventKind::Sweep { group, sweep: Some(id) };
        let event = Event { session: session.clone(), at: now, me: Person::default(), kind };
        let body = to_json(&event)?.into();
        journal::append(db, &[NewEntry { session, source: Source::Sweep, key, body, received_at: now }])?;
        return Ok(true);
    }
    Ok(false)
}

/// A sweep is over when nobody is left and every run that it made is judged.
fn finish(db: &Connection, id: SweepId, now: Timestamp) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE sweeps SET finished_at = ?2, people = looked WHERE id = ?1 AND {RUNNING}
         AND NOT EXISTS (SELECT 1 FROM sweep_groups WHERE sweep_id = ?1)
         AND NOT EXISTS (SELECT 1 FROM sweep_phones WHERE sweep_id = ?1)
         AND NOT EXISTS (SELECT 1 FROM decisions WHERE state = 'pending' AND sweep_id IS NOT NULL AND sweep_id = ?1)"
    );
    db.prepare_cached(&sql)?.execute(params![id.0, now.0])?;
    Ok(())
}

fn cancel(db: &Connection, id: SweepId, now: Timestamp, note: Option<&str>) -> Result<bool, StoreError> {
    let sql = format!("UPDATE sweeps SET cancelled_at = ?2, note = ?3 WHERE id = ?1 AND {RUNNING}");
    let done = db.prepare_cached(&sql)?.execute(params![id.0, now.0, note])? > 0;
    if done {
        for table in ["sweep_groups", "sweep_phones"] {
            db.prepare_cached(&format!("DELETE FROM {table} WHERE sweep_id = ?"))?.execute([id.0])?;
        }
    }
    Ok(done)
}

/// A run of a sweep is judged.
pub(super) fn decided(
    db: &Connection,
    id: SweepId,
    actions: usize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE sweeps SET decided = decided + 1, actions = actions + ?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.0, i64::try_from(actions).unwrap_or(i64::MAX)])?;
    finish(db, id, now)
}

/// Two rows become one, of the smaller number. Where a sweep has passed that number and not the other, it would never
/// come to the person: it looks at them by their phone.
pub(super) fn merged(db: &Connection, stays: PersonId, goes: PersonId) -> Result<(), StoreError> {
    let sql = "INSERT INTO sweep_phones
               SELECT g.sweep_id, g.group_id, p.phone, g.session FROM sweep_groups g
               JOIN members m ON m.group_id = g.group_id AND m.person_id = ?2
               JOIN people p ON p.id IN (?1, ?2) AND p.phone IS NOT NULL
               WHERE g.after >= ?1 AND g.after < ?2 AND m.present ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute([stays.0, goes.0])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Sweep> {
    let number = |column: &str| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(Sweep {
        id: SweepId(row.get("id")?),
        cause: row.word("cause")?,
        scope: row.word("scope")?,
        group: row.get::<_, Option<String>>("jid")?.as_deref().and_then(GroupId::parse),
        asked_at: row.time("asked_at")?,
        members: number("people")?,
        looked_at: number("looked")?,
        decided: number("decided")?,
        actions: number("actions")?,
        finished_at: row.time_or_null("finished_at")?,
        cancelled_at: row.time_or_null("cancelled_at")?,
        note: row.get("note")?,
    })
}

fn list(db: &Connection, limit: u32) -> Result<Vec<Sweep>, StoreError> {
    let mut select = db.prepare_cached("SELECT * FROM sweeps ORDER BY id DESC LIMIT ?")?;
    let found = select.query_map([limit], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn one(db: &Connection, id: SweepId) -> Result<Option<Sweep>, StoreError> {
    let mut select = db.prepare_cached("SELECT * FROM sweeps WHERE id = ?")?;
    Ok(select.query_row([id.0], read).optional()?)
}

impl Step<'_> {
    /// Makes a run for each of the next members of the group and moves the sweep on behind them.
    pub(super) fn sweep(&mut self, event: &Event, jid: &GroupId, sweep: Option<SweepId>) -> Outcome {
        let Some(id) = sweep else { return self.sweep_of_old(event, jid) };
        let sql = format!("UPDATE sweeps SET taken = taken + 1 WHERE id = ? AND {RUNNING}");
        if self.db.prepare_cached(&sql)?.execute([id.0])? == 0 {
            return Ok(Some(format!("{id} is over")));
        }
        let Some(group) = groups::find(self.db, jid)? else {
            return Ok(Some("there is no such group".into()));
        };
        if groups::sessions_in(self.db, group.id)?.is_empty() {
            self.leave_out(id, group.id)?;
            return Ok(Some("we are no longer in the group".into()));
        }
        let mut members = self.next_people(id, group.id)?;
        if members.is_empty() {
            members = self.next_members(id, group.id)?;
        }
        for member in &members {
            let at = At { group: group.id, person: *member };
            if self.is_pending(at)? || !live_removals(self.db, at)?.is_empty() {
                continue;
            }
            self.run_of(event, Hook::OnSweep, group.id, Some(*member), 0, Some(id))?;
        }
        self.db
            .prepare_cached(
                "UPDATE sweeps SET looked = looked + ?2, people = max(people, looked + ?2) WHERE id = ?1",
            )?
            .execute(params![id.0, members.len() as i64])?;
        finish(self.db, id, self.received_at)?;
        Ok(members.is_empty().then(|| "nobody (else) is in it".into()))
    }

    /// A group of which nobody is looked at any more.
    fn leave_out(&self, id: SweepId, group: i64) -> Result<(), StoreError> {
        for table in ["sweep_groups", "sweep_phones"] {
            let sql = format!("DELETE FROM {table} WHERE sweep_id = ? AND group_id = ?");
            self.db.prepare_cached(&sql)?.execute([id.0, group])?;
        }
        let left = remaining(self.db, id)?;
        let sql = "UPDATE sweeps SET people = looked + ?2 WHERE id = ?1";
        self.db.prepare_cached(sql)?.execute([id.0, left])?;
        finish(self.db, id, self.received_at)
    }

    /// Whether somebody is about to be judged as a member anyway, by a run that no sweep made.
    fn is_pending(&self, At { group, person }: At) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM decisions WHERE person_id = ? AND group_id = ? AND state = 'pending'
                       AND sweep_id IS NULL AND hook IN ('on_join', 'on_sweep'))";
        Ok(self.db.prepare_cached(sql)?.query_row([person.0, group], |row| row.get(0))?)
    }

    /// The next of the single people who are still inside.
    fn next_people(&self, id: SweepId, group: i64) -> Result<Vec<PersonId>, StoreError> {
        let sql = "SELECT s.phone, p.id, coalesce(m.present, 0) AS present FROM sweep_phones s
                   LEFT JOIN people p ON p.phone = s.phone
                   LEFT JOIN members m ON m.person_id = p.id AND m.group_id = s.group_id
                   WHERE s.sweep_id = ? AND s.group_id = ? ORDER BY s.phone LIMIT ?";
        let mut select = self.db.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get(2)?));
        let found: Vec<(i64, Option<i64>, bool)> =
            select.query_map(params![id.0, group, STEP], read)?.collect::<Result<_, _>>()?;
        if let Some((last, ..)) = found.last() {
            let sql = "DELETE FROM sweep_phones WHERE sweep_id = ? AND group_id = ? AND phone <= ?";
            self.db.prepare_cached(sql)?.execute(params![id.0, group, last])?;
        }
        let inside = found.into_iter().filter(|(_, _, present)| *present);
        Ok(inside.filter_map(|(_, person, _)| person.map(PersonId)).collect())
    }

    /// The next members of the group, by number.
    fn next_members(&self, id: SweepId, group: i64) -> Result<Vec<PersonId>, StoreError> {
        let sql = "SELECT after, upto, again FROM sweep_groups WHERE sweep_id = ? AND group_id = ?";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let place = self.db.prepare_cached(sql)?.query_row([id.0, group], read).optional()?;
        let Some((after, upto, again)): Option<(i64, Option<i64>, Option<i64>)> = place else {
            return Ok(Vec::new());
        };
        let sql = "SELECT m.person_id FROM members m JOIN people p ON p.id = m.person_id
                   WHERE m.group_id = ? AND m.person_id > ? AND m.person_id <= ? AND m.present AND NOT p.is_own
                   ORDER BY m.person_id LIMIT ?";
        let mut select = self.db.prepare_cached(sql)?;
        let given = params![group, after, upto.unwrap_or(i64::MAX), STEP];
        let members: Vec<PersonId> =
            select.query_map(given, |row| row.get(0).map(PersonId))?.collect::<Result<_, _>>()?;
        let next = match (members.last(), again) {
            (Some(last), _) if members.len() == STEP as usize => Some((last.0, upto, again)),
            (_, Some(again)) => Some((0, Some(again), None)),
            (_, None) => None,
        };
        match next {
            Some((after, upto, again)) => {
                let sql = "UPDATE sweep_groups SET after = ?3, upto = ?4, again = ?5 WHERE sweep_id = ?1 AND group_id = ?2";
                self.db.prepare_cached(sql)?.execute(params![id.0, group, after, upto, again])?;
            }
            None => {
                let sql = "DELETE FROM sweep_groups WHERE sweep_id = ? AND group_id = ?";
                self.db.prepare_cached(sql)?.execute([id.0, group])?;
            }
        }
        Ok(members)
    }

    /// A step of the version before, which kept no sweeps: it becomes one.
    fn sweep_of_old(&self, event: &Event, jid: &GroupId) -> Outcome {
        let new = NewSweep {
            cause: Cause::Lists,
            whom: Whom::Group(jid.clone()),
            places: vec![(event.session.clone(), jid.clone())],
            asked_at: self.received_at,
            mark: None,
        };
        let begun = begin(self.db, &new)?;
        Ok(begun.is_none().then(|| "nobody is in it, or its first roster is not read yet".into()))
    }
}
