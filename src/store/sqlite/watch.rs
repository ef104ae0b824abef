//! Troubles, states of sessions, canaries: the rows by which silence is noticed.

use super::{
    SqliteStore, alerts,
    apply::{Outcome, Step},
    groups,
    words::{Columns, Word},
};
use crate::{
    action::RowState,
    clock::Timestamp,
    event::{Event, Hook, Role},
    facts::GroupFacts,
    ids::{DecisionId, EntryId, GroupId, SessionName},
    store::{Canary, Noticed, Rights, SessionState, StoreError, Trouble, Watch},
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The group of a canary's decision: no row has it, so none of its decisions is ever listed.
pub(super) const NO_GROUP: i64 = 0;

/// How many of the newest entries are looked through for a session's last webhook.
const LOOKED_AT: u32 = 20_000;

#[async_trait]
impl Watch for SqliteStore {
    async fn trouble_begins(
        &self,
        at: Timestamp,
        kind: &str,
        key: &str,
        text: &str,
    ) -> Result<bool, StoreError> {
        let (kind, key, text) = (kind.to_owned(), key.to_owned(), text.to_owned());
        let new = self.writer.run(move |db| begins(db, at, &kind, &key, &text)).await?;
        if new {
            self.alert_bell.notify_one();
        }
        Ok(new)
    }

    async fn trouble_ends(
        &self,
        at: Timestamp,
        kind: &str,
        key: &str,
        text: &str,
    ) -> Result<bool, StoreError> {
        let (kind, key, text) = (kind.to_owned(), key.to_owned(), text.to_owned());
        let was_open = self.writer.run(move |db| ends(db, at, &kind, &key, &text)).await?;
        if was_open {
            self.alert_bell.notify_one();
        }
        Ok(was_open)
    }

    async fn troubles(&self) -> Result<Vec<Trouble>, StoreError> {
        self.readers.read(troubles).await
    }

    async fn session_states(&self) -> Result<Vec<SessionState>, StoreError> {
        self.readers.read(states).await
    }

    async fn last_webhook(&self, session: &SessionName) -> Result<Option<Timestamp>, StoreError> {
        let session = session.clone();
        self.readers.read(move |db| last_webhook(db, &session)).await
    }

    async fn canary_begins(
        &self,
        session: &SessionName,
        nonce: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (session, nonce) = (session.clone(), nonce.to_owned());
        let sql = "INSERT INTO canaries (nonce, session, posted_at) VALUES (?, ?, ?)";
        let begin = move |db: &Connection| {
            db.prepare_cached(sql)?.execute(params![nonce, session.as_str(), now.0])?;
            Ok(())
        };
        self.writer.run(begin).await
    }

    async fn take_canaries(
        &self,
        session: &SessionName,
        now: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let (asked, taker) = (session.clone(), session.clone());
        if !self.readers.read(move |db| any_waits(db, &asked)).await? {
            return Ok(Vec::new());
        }
        self.writer.run(move |db| take(db, &taker, now)).await
    }

    async fn canaries(&self, session: &SessionName, limit: u32) -> Result<Vec<Canary>, StoreError> {
        let session = session.clone();
        self.readers.read(move |db| newest(db, &session, limit)).await
    }

    async fn forget_canaries(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.writer.run(move |db| forget(db, before)).await
    }
}

fn begins(db: &Connection, at: Timestamp, kind: &str, key: &str, text: &str) -> Result<bool, StoreError> {
    let sql = "INSERT INTO troubles (kind, key, at, text) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let new = db.prepare_cached(sql)?.execute(params![kind, key, at.0, text])? > 0;
    if new {
        alerts::keep(db, at, kind, key, text)?;
    }
    Ok(new)
}

fn ends(db: &Connection, at: Timestamp, kind: &str, key: &str, text: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM troubles WHERE kind = ? AND key = ?";
    let was_open = db.prepare_cached(sql)?.execute([kind, key])? > 0;
    if was_open {
        alerts::keep(db, at, &format!("{kind}_over"), key, text)?;
    }
    Ok(was_open)
}

fn troubles(db: &Connection) -> Result<Vec<Trouble>, StoreError> {
    let mut select = db.prepare_cached("SELECT kind, key, at, text FROM troubles ORDER BY at, kind, key")?;
    let read = |row: &Row<'_>| {
        Ok(Trouble {
            kind: row.get("kind")?,
            key: row.get("key")?,
            at: row.time("at")?,
            text: row.get("text")?,
        })
    };
    let found = select.query_map([], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn read_state(row: &Row<'_>) -> rusqlite::Result<SessionState> {
    Ok(SessionState { session: row.session("session")?, state: row.get("state")?, at: row.time("at")? })
}

fn states(db: &Connection) -> Result<Vec<SessionState>, StoreError> {
    let mut select = db.prepare_cached("SELECT session, state, at FROM session_states ORDER BY session")?;
    let found = select.query_map([], read_state)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Keeps the state; `false` if a later one is known.
fn note_state(db: &Connection, told: &SessionState) -> Result<bool, StoreError> {
    let sql = "INSERT INTO session_states (session, state, at) VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET state = excluded.state, at = excluded.at WHERE excluded.at >= at";
    Ok(db.prepare_cached(sql)?.execute(params![told.session.as_str(), told.state, told.at.0])? > 0)
}

fn last_webhook(db: &Connection, session: &SessionName) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT e.received_at FROM (SELECT id, session, source, received_at FROM entries
                   ORDER BY id DESC LIMIT ?2) AS e
               WHERE e.session = ?1 AND e.source = 'webhook'
               AND NOT EXISTS (SELECT 1 FROM canaries c WHERE c.entry_id = e.id) ORDER BY e.id DESC LIMIT 1";
    let read = |row: &Row<'_>| row.time("received_at");
    Ok(db.prepare_cached(sql)?.query_row(params![session.as_str(), LOOKED_AT], read).optional()?)
}

fn subject(db: &Connection, group: &GroupId) -> Result<String, StoreError> {
    let mut select = db.prepare_cached("SELECT subject FROM groups WHERE jid = ?")?;
    Ok(select.query_row([group.as_str()], |row| row.get(0)).optional()?.unwrap_or_default())
}

impl Step<'_> {
    /// A session tells what it is.
    pub(super) fn session_state(&mut self, event: &Event, state: &str) -> Outcome {
        let told = SessionState { session: event.session.clone(), state: state.to_owned(), at: event.at };
        if note_state(self.db, &told)? {
            self.applied.noticed.push(Noticed::State(told));
        }
        Ok(Some(format!("the session is {state}")))
    }

    /// Whether we are admin of a group, as far as anybody told.
    pub(super) fn our_rights(&self, group: &GroupId) -> Result<Option<bool>, StoreError> {
        let Some(known) = groups::find(self.db, group)? else { return Ok(None) };
        let roles = groups::sessions_in(self.db, known.id)?;
        let is_admin = roles.iter().any(|(_, role)| role.is_admin());
        Ok((is_admin || roles.iter().any(|(_, role)| *role == Role::Member)).then_some(is_admin))
    }

    /// Notices what an event made of our rights in a group.
    pub(super) fn note_rights(&mut self, group: &GroupId, before: Option<bool>) -> Result<(), StoreError> {
        if let Some(now) = self.our_rights(group)? {
            let subject = subject(self.db, group)?;
            self.applied.noticed.push(Noticed::Rights(Rights { group: group.clone(), subject, before, now }));
        }
        Ok(())
    }

    /// Notices that a session is no longer in a group.
    pub(super) fn note_left(&mut self, session: &SessionName, group: &GroupId) -> Result<(), StoreError> {
        let subject = subject(self.db, group)?;
        let (session, group) = (session.clone(), group.clone());
        self.applied.noticed.push(Noticed::Left { session, group, subject });
        Ok(())
    }

    /// An event that calls itself a canary. One that we did not post does nothing but stand in the journal.
    pub(super) fn canary(&mut self, event: &Event, nonce: &str) -> Outcome {
        let sql = "SELECT 1 FROM canaries WHERE nonce = ? AND session = ? AND entry_id IS NULL";
        let ours = self.db.prepare_cached(sql)?.query_row([nonce, event.session.as_str()], |_| Ok(()));
        if ours.optional()?.is_none() {
            return Ok(Some("a canary that we did not post".into()));
        }
        self.run(event, Hook::OnGroupJoined, NO_GROUP, None, 0)?;
        let decision = self.applied.runs.last().map(|id| id.0);
        let sql = "UPDATE canaries SET entry_id = ?2, decision_id = ?3, applied_at = ?4 WHERE nonce = ?1";
        let entry: EntryId = self.entry;
        self.db.prepare_cached(sql)?.execute(params![nonce, entry.0, decision, self.now.0])?;
        Ok(None)
    }
}

/// What a canary's run is given: a group that is none.
pub(super) fn no_group() -> GroupFacts {
    GroupFacts {
        id: GroupId::none(),
        subject: String::new(),
        description: String::new(),
        size: 0,
        capacity: 0,
        announce_only: None,
        archived: false,
        created_by_us: false,
        owner: None,
        tags: Vec::new(),
        sessions: Vec::new(),
        params: serde_json::Map::new(),
    }
}

/// A canary's run is decided: its row goes to the delivery.
pub(super) fn decided(
    db: &Connection,
    decision: DecisionId,
    session: &SessionName,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO outbox (decision_id, session, kind, class, priority, state, gate, created_at, not_before,
                                   line, call, reason, policy)
               VALUES (?1, ?2, 'canary', 'canary', 0, ?3, 'open', ?4, ?4, 0, '{}', 'the canary', '')";
    let state = RowState::Waiting.word();
    db.prepare_cached(sql)?.execute(params![decision.0, session.as_str(), state, now.0])?;
    db.prepare_cached("UPDATE canaries SET decided_at = ?2 WHERE decision_id = ?1")?
        .execute([decision.0, now.0])?;
    Ok(())
}

const WAITING: &str =
    "SELECT id, decision_id FROM outbox WHERE gate = 'open' AND session = ? AND class = 'canary'";

fn any_waits(db: &Connection, session: &SessionName) -> Result<bool, StoreError> {
    Ok(db.prepare_cached(WAITING)?.exists([session.as_str()])?)
}

fn take(db: &Connection, session: &SessionName, now: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
    let mut select = db.prepare_cached(WAITING)?;
    let rows: Vec<(i64, i64)> = select
        .query_map([session.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut taken = Vec::with_capacity(rows.len());
    for (row, decision) in rows {
        db.prepare_cached("UPDATE outbox SET state = ?2, gate = NULL, settled_at = ?3 WHERE id = ?1")?
            .execute(params![row, RowState::Observed.word(), now.0])?;
        let sql = "UPDATE canaries SET delivered_at = ?2 WHERE decision_id = ?1 RETURNING posted_at";
        let posted =
            db.prepare_cached(sql)?.query_row([decision, now.0], |row| row.time("posted_at")).optional()?;
        taken.extend(posted);
    }
    Ok(taken)
}

fn newest(db: &Connection, session: &SessionName, limit: u32) -> Result<Vec<Canary>, StoreError> {
    let sql = "SELECT session, nonce, posted_at, applied_at, decided_at, delivered_at FROM canaries
               WHERE session = ? ORDER BY posted_at DESC LIMIT ?";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        Ok(Canary {
            session: row.session("session")?,
            nonce: row.get("nonce")?,
            posted_at: row.time("posted_at")?,
            applied_at: row.time_or_null("applied_at")?,
            decided_at: row.time_or_null("decided_at")?,
            delivered_at: row.time_or_null("delivered_at")?,
        })
    };
    let found = select.query_map(params![session.as_str(), limit], read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// The newest entry stays, as in every pruning: its number must not be given again.
fn forget(db: &Connection, before: Timestamp) -> Result<usize, StoreError> {
    let old = "SELECT decision_id FROM canaries WHERE posted_at < ?1 AND decision_id IS NOT NULL";
    db.execute(&format!("DELETE FROM outbox WHERE decision_id IN ({old})"), [before.0])?;
    db.execute(&format!("DELETE FROM decisions WHERE id IN ({old})"), [before.0])?;
    let sql = "DELETE FROM entries WHERE id IN (SELECT entry_id FROM canaries WHERE posted_at < ?1)
               AND id < (SELECT max(id) FROM entries)";
    db.execute(sql, [before.0])?;
    Ok(db.execute("DELETE FROM canaries WHERE posted_at < ?1", [before.0])?)
}
