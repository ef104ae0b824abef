//! A human's rulings on outbox rows, one by one or all that a brake holds: the use cases, and their handlers.
//!
//! The use cases serve the command line as well. What a ruling means is the store's business ([`crate::store::Ruling`]).

use super::{Api, Refusal, views::read_id};
use crate::{
    clock::Timestamp,
    ids::{GroupId, OutboxId},
    store::{Brake, Pick, Ruled, Ruling, Store},
};
use axum::{
    Json,
    extract::{Path, Query as Ask, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Whose held rows a ruling in bulk is about: a group's, or everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// A group: its id, its name, or the end of its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Every group.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// Rules on one row.
///
/// # Errors
/// If there is no such row, or it is in no state for it.
pub async fn rule(store: &dyn Store, id: &str, ruling: Ruling, now: Timestamp) -> Result<Value, Refusal> {
    let row: OutboxId = read_id(id)?;
    let missing =
        || Refusal::missing(format!("there is no action {row}"), "`perimeterd outbox list` names them");
    match store.rule(Pick::Row(row), ruling, now).await? {
        Ruled::Done(rows) => Ok(json!({ "rows": rows })),
        Ruled::Missing => Err(missing()),
        Ruled::Unfit(_, why) => {
            Err(Refusal::conflict(format!("{row} was left as it is: {why}"), "see `perimeterd outbox list`"))
        }
    }
}

/// Rules on all that a brake holds.
///
/// # Errors
/// If the group is not known, or several are meant.
pub async fn rule_on_held(
    store: &dyn Store,
    which: &Which,
    ruling: Ruling,
    now: Timestamp,
) -> Result<Value, Refusal> {
    let pick = match (&which.group, which.all) {
        (Some(text), false) => Pick::Group(find_group(store, text).await?),
        (None, true) => Pick::All,
        _ => return Err(Refusal::bad("which rows are meant is not clear", "say an id, a group, or all")),
    };
    match store.rule(pick, ruling, now).await? {
        Ruled::Done(rows) => Ok(json!({ "rows": rows })),
        Ruled::Missing | Ruled::Unfit(..) => {
            Err(Refusal::missing("there is no such group", "see the list of groups"))
        }
    }
}

/// The brakes that stand.
///
/// # Errors
/// If the store fails.
pub async fn brakes(store: &dyn Store) -> Result<Value, Refusal> {
    let brakes: Vec<Brake> = store.brakes().await?;
    Ok(json!({ "brakes": brakes }))
}

/// A group by id, by name, or by the end of its id: the form in which logs and alerts name it.
pub(super) async fn find_group(store: &dyn Store, text: &str) -> Result<GroupId, Refusal> {
    let mut known: Vec<(GroupId, String)> =
        store.brakes().await?.into_iter().map(|brake| (brake.group, brake.subject)).collect();
    known.extend(store.groups().await?.into_iter().map(|group| (group.id, group.subject)));
    let text = text.trim().trim_start_matches('…');
    let tail = text.trim_end_matches("@g.us");
    let is_tail = |id: &GroupId| tail.len() >= 4 && id.as_str().trim_end_matches("@g.us").ends_with(tail);
    let mut found: Vec<GroupId> =
        known.into_iter().filter(|(id, subject)| subject == text || is_tail(id)).map(|(id, _)| id).collect();
    found.sort();
    found.dedup();
    match (found.pop(), found.is_empty()) {
        (Some(group), true) => Ok(group),
        (Some(_), false) => Err(Refusal::conflict(
            format!("several groups are called `{text}`"),
            "say the whole id; `GET /api/v1/groups` lists them",
        )),
        (None, _) => {
            Err(Refusal::missing(format!("there is no group `{text}`"), "`GET /api/v1/groups` lists them"))
        }
    }
}

impl Api {
    async fn ruled(&self, answer: Result<Value, Refusal>) -> Result<Json<Value>, Refusal> {
        let answer = answer?;
        self.outbox_bell.send_replace(());
        Ok(Json(answer))
    }
}

/// The handlers of one verb.
macro_rules! verb {
    ($one:ident, $many:ident, $ruling:expr) => {
        pub(super) async fn $one(
            State(api): State<Arc<Api>>,
            Path(id): Path<String>,
        ) -> Result<Json<Value>, Refusal> {
            api.ruled(rule(&*api.store, &id, $ruling, api.clock.now()).await).await
        }

        pub(super) async fn $many(
            State(api): State<Arc<Api>>,
            Ask(which): Ask<Which>,
        ) -> Result<Json<Value>, Refusal> {
            api.ruled(rule_on_held(&*api.store, &which, $ruling, api.clock.now()).await).await
        }
    };
}

verb!(approve, approve_held, Ruling::Approve);
verb!(cancel, cancel_held, Ruling::Cancel);

pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    api.ruled(rule(&*api.store, &id, Ruling::Retry, api.clock.now()).await).await
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Value>, Refusal> {
    brakes(&*api.store).await.map(Json)
}
