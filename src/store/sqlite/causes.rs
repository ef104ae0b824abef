//! What lists cause: noted with the decision, found when an entry is taken back.

use super::{
    SqliteStore, alerts, people, withdrawal,
    words::{Columns, Word},
};
use crate::{
    action::{Action, RowState},
    clock::Timestamp,
    facts::Verdict,
    ids::{DecisionId, GroupId, OutboxId, Person, PersonId},
    store::{
        Raised, RunRecord, StoreError,
        causes::{Caused, Causes, Lifted, PutOut},
    },
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

#[async_trait]
impl Causes for SqliteStore {
    async fn caused_by(&self, list: &str) -> Result<Vec<Caused>, StoreError> {
        let list = list.to_owned();
        self.readers.read(move |db| caused_by(db, &list)).await
    }

    async fn lift(
        &self,
        lifted: Vec<Lifted>,
        alert: Option<(Raised, String)>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let rings = alert.is_some();
        let cancelled = self.writer.run(move |db| lift(db, &lifted, alert.as_ref(), now)).await?;
        if rings {
            self.alert_bell.notify_one();
        }
        Ok(cancelled)
    }

    async fn put_out(&self, since: Timestamp) -> Result<Vec<PutOut>, StoreError> {
        self.readers.read(move |db| put_out(db, since)).await
    }

    async fn present(&self) -> Result<Vec<(GroupId, PersonId, Person)>, StoreError> {
        self.readers.read(present).await
    }
}

/// List and entry that a verdict rests on, where a policy that read them asked for a removal or a tag.
fn cause(verdict: &Verdict) -> Option<(&str, &str)> {
    let read = verdict.evidence.iter().find(|fact| fact.fact == "member.blacklist")?;
    let (list, entry) = (read.value.get("list")?.as_str()?, read.value.get("entry")?.as_str()?);
    let counts = |action: &Action| matches!(action, Action::Remove { .. } | Action::Tag { .. });
    let asked =
        verdict.asked.iter().any(|asked| counts(&asked.action) && read.readers.contains(&asked.policy));
    asked.then_some((list, entry))
}

/// Notes with a decision what it rests on.
pub(super) fn note(db: &Connection, record: &RunRecord) -> Result<(), StoreError> {
    if let Some((list, entry)) = cause(&record.verdict) {
        let sql = "INSERT OR REPLACE INTO causes (decision_id, list, entry) VALUES (?, ?, ?)";
        db.prepare_cached(sql)?.execute(params![record.id.0, list, entry])?;
    }
    Ok(())
}

fn caused_by(db: &Connection, list: &str) -> Result<Vec<Caused>, StoreError> {
    let sql = "SELECT c.decision_id, c.entry, g.jid, g.subject, p.phone, p.lid,
                   (SELECT o.state FROM outbox o WHERE o.decision_id = d.id AND o.kind = 'remove'
                    ORDER BY o.id DESC LIMIT 1) AS removal
               FROM causes c JOIN decisions d ON d.id = c.decision_id JOIN groups g ON g.id = d.group_id
               JOIN people p ON p.id = d.person_id
               WHERE c.list = ? AND c.lifted_at IS NULL ORDER BY c.decision_id";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let removal: Option<String> = row.get("removal")?;
        Ok(Caused {
            decision: DecisionId(row.get("decision_id")?),
            entry: row.get("entry")?,
            group: row.group("jid")?,
            subject: row.get("subject")?,
            person: row.person("phone", "lid")?,
            removal: removal.and_then(|word| RowState::from_word(&word)),
        })
    };
    let found = select.query_map([list], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn lift(
    db: &Connection,
    lifted: &[Lifted],
    alert: Option<&(Raised, String)>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut cancelled = 0;
    for Lifted { decision, removals, tags } in lifted {
        let sql = "UPDATE causes SET lifted_at = ?2 WHERE decision_id = ?1 AND lifted_at IS NULL";
        if db.prepare_cached(sql)?.execute(params![decision.0, now.0])? == 0 {
            continue;
        }
        cancelled += withdrawal::withdraw(db, removals, now)?;
        if *tags {
            untag(db, *decision)?;
        }
    }
    if let Some((Raised { kind, text }, key)) = alert {
        alerts::keep(db, now, kind, key, text)?;
    }
    Ok(cancelled)
}

/// Takes away the tags that the decision set on the list's word.
fn untag(db: &Connection, decision: DecisionId) -> Result<(), StoreError> {
    let sql = "SELECT verdict FROM decisions WHERE id = ?";
    let read = |row: &Row<'_>| row.json::<Verdict>("verdict");
    let verdict = db.prepare_cached(sql)?.query_row([decision.0], read).optional()?.flatten();
    let Some(verdict) = verdict else { return Ok(()) };
    let Some(read) = verdict.evidence.iter().find(|fact| fact.fact == "member.blacklist") else {
        return Ok(());
    };
    for asked in verdict.asked.iter().filter(|asked| read.readers.contains(&asked.policy)) {
        if let Action::Tag { member, name, .. } = &asked.action {
            people::untag(db, people::current(db, *member)?, name)?;
        }
    }
    Ok(())
}

fn put_out(db: &Connection, since: Timestamp) -> Result<Vec<PutOut>, StoreError> {
    let sql = "SELECT max(o.id) AS id, o.decision_id, g.subject, p.phone, p.lid FROM outbox o
               JOIN groups g ON g.id = o.group_id JOIN people p ON p.id = o.person_id
               LEFT JOIN members m ON m.group_id = o.group_id AND m.person_id = o.person_id
               WHERE o.kind = 'remove' AND o.state = 'done' AND o.settled_at >= ? AND NOT coalesce(m.present, 0)
               GROUP BY o.group_id, o.person_id ORDER BY 1 DESC";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        Ok(PutOut {
            row: OutboxId(row.get("id")?),
            decision: DecisionId(row.get("decision_id")?),
            subject: row.get("subject")?,
            person: row.person("phone", "lid")?,
        })
    };
    let found = select.query_map([since.0], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn present(db: &Connection) -> Result<Vec<(GroupId, PersonId, Person)>, StoreError> {
    let sql = "SELECT g.jid, p.id, p.phone, p.lid FROM members m JOIN groups g ON g.id = m.group_id
               JOIN people p ON p.id = m.person_id
               WHERE m.present AND g.adopted_at IS NOT NULL AND NOT p.is_own ORDER BY g.id, p.id";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((row.group("jid")?, PersonId(row.get("id")?), row.person("phone", "lid")?));
    let found = select.query_map([], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}
