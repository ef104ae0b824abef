//! Sweeps: members inside are looked at again. The use cases that the command line shares, and their handlers.

use super::{Api, Refusal, rulings::find_group, views::read_id};
use crate::{
    clock::Timestamp,
    ids::{Phone, SweepId},
    store::{Store, Sweep, Whom},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many are listed.
const LISTED: u32 = 100;

/// Whom somebody wants to have looked at; everybody, if nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// A group: its id, its name, or the end of its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A person, by phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// Who is meant.
///
/// # Errors
/// If a group or a phone is not clear, or both are said.
pub async fn whom(store: &dyn Store, asked: &Asked) -> Result<Whom, Refusal> {
    match (&asked.group, &asked.member) {
        (None, None) => Ok(Whom::Everybody),
        (Some(group), None) => Ok(Whom::Group(find_group(store, group).await?)),
        (None, Some(phone)) => match Phone::parse(phone) {
            Some(phone) => Ok(Whom::People(vec![phone])),
            None => Err(Refusal::bad("`member` is not a phone", "write it like +4915112345678")),
        },
        (Some(_), Some(_)) => Err(Refusal::bad("a group and a member are two things", "say one of them")),
    }
}

/// What is answered to whoever asked for a sweep.
///
/// # Errors
/// If there is nobody to look at.
pub async fn begun(store: &dyn Store, id: Option<SweepId>) -> Result<Sweep, Refusal> {
    match id {
        Some(id) => one_of(store, &id.to_string()).await,
        None => Err(Refusal::missing(
            "there is nobody to look at",
            "a sweep looks at members of guarded groups whose policies have `on_sweep`; `GET /api/v1/groups` lists the groups",
        )),
    }
}

/// Every sweep that is remembered, newest first.
///
/// # Errors
/// If the store fails.
pub async fn all(store: &dyn Store) -> Result<Value, Refusal> {
    Ok(json!({ "sweeps": store.sweeps(LISTED).await? }))
}

/// One of them, `s17`.
///
/// # Errors
/// If there is none.
pub async fn one_of(store: &dyn Store, id: &str) -> Result<Sweep, Refusal> {
    let id: SweepId = read_id(id)?;
    let missing = || Refusal::missing(format!("there is no sweep {id}"), "`GET /api/v1/sweeps` lists them");
    store.sweep(id).await?.ok_or_else(missing)
}

/// Ends one before its time.
///
/// # Errors
/// If there is none, or it is over.
pub async fn end(store: &dyn Store, id: &str, now: Timestamp) -> Result<Sweep, Refusal> {
    let sweep = one_of(store, id).await?;
    if !store.cancel_sweep(sweep.id, now).await? {
        let why = format!("{} is over", sweep.id);
        return Err(Refusal::conflict(why, "actions that it asked for are in the outbox"));
    }
    one_of(store, id).await
}

pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Sweep>), Refusal> {
    let asked: Asked = match body.trim_ascii() {
        [] => Asked::default(),
        body => serde_json::from_slice(body).map_err(|error| {
            Refusal::bad(
                format!("the body is not what was expected: {error}"),
                "send {\"group\": …} or {\"member\": …}",
            )
        })?,
    };
    let whom = whom(&*api.store, &asked).await?;
    let id = api.owners.sweep(whom).await?;
    Ok((StatusCode::ACCEPTED, Json(begun(&*api.store, id).await?)))
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(all(&*api.store).await?))
}

pub(super) async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<Sweep>, Refusal> {
    Ok(Json(one_of(&*api.store, &id).await?))
}

pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Sweep>, Refusal> {
    Ok(Json(end(&*api.store, &id, api.clock.now()).await?))
}
