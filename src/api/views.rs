//! The reading and changing use cases behind the API and the command line: the same functions, whether a daemon answers
//! over HTTP or the command line has opened the store itself.
//!
//! Owns how a request's words become a [`Filter`] and how rows become JSON. It writes nothing but `retry`.

use super::Refusal;
use crate::{
    action::RowState,
    clock::Timestamp,
    ids::{DecisionId, EntryId, Lid, OutboxId, Person, PersonId, Phone, SessionName},
    store::{Entry, EntryState, Filter, Source, Store},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::str::FromStr;

/// Rows of one answer at most.
const MAX_ROWS: u32 = 1000;

/// Rows of an answer where nobody asked for a number.
const ROWS: u32 = 100;

/// What a list is asked for, as it stands in a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only older ones than this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Only in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only about this person: a phone, a LID, or `p17`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Only of this event: `e17`, or the gateway's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

/// A journal entry as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventView {
    /// Its number.
    pub id: EntryId,
    /// Who heard it.
    pub session: SessionName,
    /// How it came to be.
    pub source: Source,
    /// Where it stands.
    pub state: EntryState,
    /// Why it is ignored or unreadable.
    pub note: Option<String>,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its length.
    pub bytes: usize,
    /// The raw body, where one entry was asked for; bytes that are no UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl EventView {
    /// Without the body.
    pub fn brief(entry: &Entry) -> Self {
        Self {
            id: entry.id,
            session: entry.session.clone(),
            source: entry.source,
            state: entry.state,
            note: entry.note.clone(),
            received_at: entry.received_at,
            bytes: entry.body.len(),
            body: None,
        }
    }

    /// With it.
    pub fn full(entry: &Entry) -> Self {
        Self { body: Some(String::from_utf8_lossy(&entry.body).into_owned()), ..Self::brief(entry) }
    }
}

impl Query {
    /// The store's filter without person and event. `words` are the states there are.
    fn filter<Id: FromStr<Err = String>>(
        &self,
        words: &[&str],
        number: fn(Id) -> i64,
    ) -> Result<Filter, Refusal> {
        if let Some(state) = &self.state
            && !words.contains(&state.as_str())
        {
            return Err(Refusal::bad(
                format!("`{state}` is not a state here"),
                format!("use one of: {}", words.join(", ")),
            ));
        }
        let before = self.before.as_deref().map(read_id::<Id>).transpose()?.map(number);
        let limit = self.limit.filter(|limit| *limit > 0).unwrap_or(ROWS).min(MAX_ROWS);
        Ok(Filter { limit, before, state: self.state.clone(), member: None, entry: None })
    }

    /// Refuses what this list cannot be asked for.
    fn only_rows(&self) -> Result<(), Refusal> {
        match (&self.member, &self.event) {
            (None, None) => Ok(()),
            _ => Err(Refusal::bad("this list has no `member` and no `event`", "ask `decisions` for those")),
        }
    }
}

/// Reads `e17` or `17`.
pub(super) fn read_id<Id: FromStr<Err = String>>(text: &str) -> Result<Id, Refusal> {
    text.parse().map_err(|error: String| Refusal::bad(error, "copy the id from a list"))
}

/// A page of a list, and what to ask for the next one with.
fn page<T: Serialize>(name: &str, rows: &[T], limit: u32, last: Option<String>) -> Value {
    let more = (rows.len() as u64 >= u64::from(limit)).then_some(last).flatten();
    json!({ name: rows, "next_before": more })
}

/// The journal, newest first.
pub async fn events(store: &dyn Store, query: &Query) -> Result<Value, Refusal> {
    query.only_rows()?;
    let filter =
        query.filter::<EntryId>(&["new", "applied", "ignored", "unreadable", "policy_error"], |id| id.0)?;
    let limit = filter.limit;
    let rows: Vec<_> = store.entries(filter).await?.iter().map(EventView::brief).collect();
    Ok(page("events", &rows, limit, rows.last().map(|row| row.id.to_string())))
}

/// One entry with its body.
pub async fn event(store: &dyn Store, id: &str) -> Result<EventView, Refusal> {
    let id = event_id(store, id).await?;
    match store.entry(id).await? {
        Some(entry) => Ok(EventView::full(&entry)),
        None => Err(no_event(&id.to_string())),
    }
}

/// Puts an entry's failed runs, or the unreadable entry itself, back in line.
pub async fn retry(store: &dyn Store, id: &str) -> Result<Value, Refusal> {
    let id = event_id(store, id).await?;
    if store.entry(id).await?.is_none() {
        return Err(no_event(&id.to_string()));
    }
    match store.retry(id).await? {
        0 => Err(Refusal::conflict(
            format!("nothing of {id} has failed"),
            format!("see `perimeterd explain {id}` for what became of it"),
        )),
        count => Ok(json!({"id": id, "retried": count})),
    }
}

/// Decisions, newest first.
pub async fn decisions(store: &dyn Store, query: &Query) -> Result<Value, Refusal> {
    let mut filter = query.filter::<DecisionId>(&["pending", "decided", "policy_error"], |id| id.0)?;
    let limit = filter.limit;
    if let Some(text) = &query.member {
        match member_id(store, text).await? {
            Some(id) => filter.member = Some(id),
            None => return Ok(page::<()>("decisions", &[], limit, None)),
        }
    }
    if let Some(text) = &query.event {
        filter.entry = Some(event_id(store, text).await?);
    }
    let rows = store.decisions(filter).await?;
    Ok(page("decisions", &rows, limit, rows.last().map(|row| row.id.to_string())))
}

/// The outbox, newest first.
pub async fn outbox(store: &dyn Store, query: &Query) -> Result<Value, Refusal> {
    query.only_rows()?;
    let filter = query.filter::<OutboxId>(&RowState::ALL.map(RowState::as_str), |id| id.0)?;
    let limit = filter.limit;
    let rows = store.outbox(filter).await?;
    Ok(page("outbox", &rows, limit, rows.last().map(|row| row.id.to_string())))
}

/// Alerts, newest first.
pub async fn alerts(store: &dyn Store, query: &Query) -> Result<Value, Refusal> {
    let rows = store.alerts(query.limit.unwrap_or(ROWS).min(MAX_ROWS)).await?;
    Ok(json!({ "alerts": rows }))
}

/// The entry behind `e17`, `17` or the gateway's own id.
pub(super) async fn event_id(store: &dyn Store, text: &str) -> Result<EntryId, Refusal> {
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => store.entry_by_event_id(text).await?.ok_or_else(|| no_event(text)),
    }
}

/// Somebody as people write them: `+4915…`, `4915…`, `…@c.us`, `…@lid`, or our `p17`. `None` if we never met them.
pub(super) async fn member_id(store: &dyn Store, text: &str) -> Result<Option<PersonId>, Refusal> {
    // In a query a plain `+` means a blank, and everybody writes it all the same.
    let text = text.trim_start();
    if text.starts_with('p') {
        return read_id(text).map(Some);
    }
    let person = read_person(text).ok_or_else(|| {
        Refusal::bad(
            format!("`{text}` names nobody"),
            "write an international number (+4915…), a LID (…@lid) or p17",
        )
    })?;
    Ok(store.person(person).await?)
}

/// A phone in any of its spellings, or a LID.
pub(super) fn read_person(text: &str) -> Option<Person> {
    let bare = text.strip_suffix("@c.us").or_else(|| text.strip_suffix("@s.whatsapp.net")).unwrap_or(text);
    Phone::parse(bare).map(Person::of_phone).or_else(|| Lid::parse(text).map(Person::of_lid))
}

fn no_event(id: &str) -> Refusal {
    Refusal::missing(format!("there is no event {id}"), "`perimeterd journal` lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_a_bounded_filter() {
        let ask = |query: Query| query.filter::<OutboxId>(&["waiting"], |id| id.0);
        assert_eq!(ask(Query::default()).unwrap().limit, 100);
        assert_eq!(ask(Query { limit: Some(1_000_000), ..Query::default() }).unwrap().limit, 1000);
        for spelling in ["o17", "17"] {
            let before = Some(spelling.to_owned());
            assert_eq!(ask(Query { before, ..Query::default() }).unwrap().before, Some(17));
        }
        let wrong = ask(Query { state: Some("sent".into()), ..Query::default() }).unwrap_err();
        assert_eq!(wrong.to_string(), "`sent` is not a state here; use one of: waiting");
        assert!(ask(Query { before: Some("d17".into()), ..Query::default() }).is_err());
    }

    #[test]
    fn a_person_is_read_as_people_write_them() {
        let phone = Phone::parse("4915112345678").map(Person::of_phone);
        for spelling in ["+4915112345678", "4915112345678", "004915112345678", "4915112345678@c.us"] {
            assert_eq!(read_person(spelling), phone, "{spelling}");
        }
        assert_eq!(read_person("77001@lid"), Lid::parse("77001@lid").map(Person::of_lid));
        assert_eq!(read_person("Ann"), None);
    }
}
