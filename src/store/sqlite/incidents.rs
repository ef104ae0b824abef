//! Telling the operators: which alerts are news, the messages made of them, and the posts under way.

use super::{
    enqueue, people,
    words::{Columns, to_json},
};
use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    identity::{Learnt, LearntFrom},
    ids::{DecisionId, Person},
    store::{AlertNews, Chat, ChatMessage, NewRow, News, Post, PostOutcome, StoreError, Telling},
};
use rusqlite::{Connection, Row, params};

/// Alerts at once; the others are news at the next look.
const MOST: u32 = 1000;

/// Posts at once.
const POSTS: u32 = 20;

/// What there is to tell of alerts raised after `since`, and what was told after that.
pub(super) fn news(db: &Connection, since: Timestamp) -> Result<News, StoreError> {
    let sql = "SELECT id, kind, text, at, last_at, count, told_at, told_count FROM alerts
               WHERE told_count < count AND last_at > ? ORDER BY id LIMIT ?";
    let read = |row: &Row<'_>| {
        Ok(AlertNews {
            id: row.get("id")?,
            kind: row.get("kind")?,
            text: row.get("text")?,
            first_at: row.time("at")?,
            last_at: row.time("last_at")?,
            count: row.count("count")?,
            told_at: row.time_or_null("told_at")?,
            told_count: row.count("told_count")?,
        })
    };
    let mut select = db.prepare_cached(sql)?;
    let alerts: Vec<_> = select.query_map(params![since.0, MOST], read)?.collect::<Result<_, _>>()?;
    if alerts.is_empty() {
        return Ok(News::default());
    }
    let mut select =
        db.prepare_cached("SELECT kind, told_at FROM incidents WHERE told_at > ? ORDER BY id")?;
    let read = |row: &Row<'_>| Ok((row.get("kind")?, row.time("told_at")?));
    let told = select.query_map([since.0], read)?.collect::<Result<_, _>>()?;
    Ok(News { alerts, told })
}

/// Keeps a message to the operators with everything that sends it.
pub(super) fn tell(db: &Connection, telling: &Telling, now: Timestamp) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO incidents (kind, follow_up, first_at, last_at, count, lines, told_at, post, post_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, iif(?8 IS NULL, NULL, ?7))";
    db.prepare_cached(sql)?.execute(params![
        telling.kind,
        telling.follow_up,
        telling.first_at.0,
        telling.last_at.0,
        telling.count,
        to_json(&telling.lines)?,
        now.0,
        telling.post.then_some("waiting")
    ])?;
    let mut mark = db.prepare_cached("UPDATE alerts SET told_at = ?2, told_count = ?3 WHERE id = ?1")?;
    for (id, count) in &telling.alerts {
        mark.execute(params![id, now.0, count])?;
    }
    match &telling.message {
        Some(message) => write(db, message, &telling.kind, now),
        None => Ok(()),
    }
}

/// The outbox row: decision 0 is the daemon itself.
fn write(db: &Connection, message: &ChatMessage, kind: &str, now: Timestamp) -> Result<(), StoreError> {
    let text = message.text.clone();
    let call = match &message.chat {
        Chat::Group(group) => Call::Say { group: group.clone(), text, mentions: Vec::new() },
        Chat::Person(phone) => {
            // A phone alone teaches nothing: no pair is kept from it.
            let person = people::resolve(db, Person::of_phone(*phone), Learnt::new(LearntFrom::List, now))?;
            let nobody = || StoreError::Broken("a phone is nobody's".into());
            Call::Dm { to: person.ok_or_else(nobody)?.id, text }
        }
    };
    let row = NewRow {
        call,
        state: RowState::Waiting,
        session: message.session.clone(),
        not_before: now,
        expires_at: Some(message.expires_at),
        after: None,
        reason: format!("alert: {kind}"),
        policy: "perimeterd".into(),
        line: 0,
        note: None,
        brake: None,
    };
    enqueue::write(db, DecisionId(0), &[row], now)
}

/// Posts that are due, oldest first, and when the next of the others is.
pub(super) fn posts(db: &Connection, now: Timestamp) -> Result<(Vec<Post>, Option<Timestamp>), StoreError> {
    let sql = "SELECT id, kind, follow_up, first_at, last_at, count, lines, told_at, attempts FROM incidents
               WHERE post = 'waiting' AND post_at <= ? ORDER BY post_at, id LIMIT ?";
    let read = |row: &Row<'_>| {
        Ok(Post {
            id: row.get("id")?,
            kind: row.get("kind")?,
            follow_up: row.get("follow_up")?,
            first_at: row.time("first_at")?,
            last_at: row.time("last_at")?,
            count: row.count("count")?,
            lines: row.json("lines")?.unwrap_or_default(),
            told_at: row.time("told_at")?,
            attempts: row.count("attempts")?,
        })
    };
    let mut select = db.prepare_cached(sql)?;
    let due: Vec<_> = select.query_map(params![now.0, POSTS], read)?.collect::<Result<_, _>>()?;
    if due.len() == POSTS as usize {
        return Ok((due, Some(now)));
    }
    let sql = "SELECT min(post_at) FROM incidents WHERE post = 'waiting' AND post_at > ?";
    let next = db.prepare_cached(sql)?.query_row([now.0], |row| row.get(0))?;
    Ok((due, Option::<i64>::map(next, Timestamp)))
}

/// Keeps what an attempt came to.
pub(super) fn posted(db: &Connection, id: i64, outcome: PostOutcome) -> Result<(), StoreError> {
    let (word, again) = match outcome {
        PostOutcome::Done => ("done", None),
        PostOutcome::Again(at) => ("waiting", Some(at.0)),
        PostOutcome::GivenUp => ("given_up", None),
    };
    let sql = "UPDATE incidents SET post = ?2, post_at = ?3, attempts = attempts + 1 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id, word, again])?;
    Ok(())
}
