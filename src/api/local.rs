//! The local list over HTTP: what is asked of it, and its handlers. What it does is its keeper's business
//! ([`super::Owners`]); these are the shapes.

use super::{Api, Refusal};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query as Ask, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// An entry that is to be added or taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// In any form that a list file may have.
    pub entry: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when: `30d`, `2027-01-31`, or a moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Entries that are to be added together, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Which.
    pub entries: Vec<Wanted>,
}

/// What stands beside an entry in the query of a removal.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    reason: Option<String>,
    expires: Option<String>,
    by: Option<String>,
}

pub(super) async fn lists(State(api): State<Arc<Api>>) -> Json<Value> {
    let mut told = api.owners.local_list();
    told["lists"] = json!(api.owners.lists());
    Json(told)
}

pub(super) async fn listing(
    State(api): State<Arc<Api>>,
    Path(entry): Path<String>,
) -> Result<Json<Value>, Refusal> {
    api.owners.listing(&entry).await.map(Json)
}

pub(super) async fn add(State(api): State<Arc<Api>>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let wanted: Wanted = read(&body, r#"send {"entry":"+4915…","reason":"…","expires":"30d","by":"Ada"}"#)?;
    let mut added = api.owners.list_locally(vec![wanted], "api").await?;
    Ok(Json(added["added"][0].take()))
}

pub(super) async fn import(State(api): State<Arc<Api>>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let Import { entries } = read(&body, r#"send {"entries":[{"entry":"+4915…"}]}"#)?;
    api.owners.list_locally(entries, "api").await.map(Json)
}

pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Path(entry): Path<String>,
    Ask(words): Ask<Words>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let told: Words = match body.is_empty() {
        true => Words::default(),
        false => read(&body, r#"send {"reason":"…","expires":"30d","by":"Ada"}, or the same in the query"#)?,
    };
    let wanted = Wanted {
        entry,
        reason: words.reason.or(told.reason),
        expires: words.expires.or(told.expires),
        by: words.by.or(told.by),
    };
    api.owners.unlist_locally(wanted, "api").await.map(Json)
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8], shape: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(error.to_string(), shape))
}
