//! Handlers of what the daemon remembers: thin, the work is in [`super::views`] and [`super::explain`].

use super::{
    Api, Refusal,
    explain::{Explained, look_up},
    views::{self, EventView, Query},
};
use crate::store::{Decision, KnownGroup};
use axum::{
    Json,
    extract::{Path, Query as Ask, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A list's query, or what is wrong with it.
type Asked = Result<Ask<Query>, QueryRejection>;

/// The query's words.
fn read(asked: Asked) -> Result<Query, Refusal> {
    match asked {
        Ok(Ask(query)) => Ok(query),
        Err(wrong) => {
            Err(Refusal::bad(wrong.body_text(), "a list takes limit, before, state, member and event"))
        }
    }
}

pub(super) async fn events(State(api): State<Arc<Api>>, asked: Asked) -> Result<Json<Value>, Refusal> {
    views::events(&*api.store, &read(asked)?).await.map(Json)
}

pub(super) async fn event(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<EventView>, Refusal> {
    views::event(&*api.store, &id).await.map(Json)
}

pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let answer = views::retry(&*api.store, &id).await?;
    api.bell.notify_one();
    Ok(Json(answer))
}

pub(super) async fn decisions(State(api): State<Arc<Api>>, asked: Asked) -> Result<Json<Value>, Refusal> {
    views::decisions(&*api.store, &read(asked)?).await.map(Json)
}

pub(super) async fn decision(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Decision>, Refusal> {
    match api.store.decision(views::read_id(&id)?).await? {
        Some(decision) => Ok(Json(decision)),
        None => Err(Refusal::missing(format!("there is no decision {id}"), "copy the id from a list")),
    }
}

pub(super) async fn outbox(State(api): State<Arc<Api>>, asked: Asked) -> Result<Json<Value>, Refusal> {
    views::outbox(&*api.store, &read(asked)?).await.map(Json)
}

pub(super) async fn alerts(State(api): State<Arc<Api>>, asked: Asked) -> Result<Json<Value>, Refusal> {
    views::alerts(&*api.store, &read(asked)?).await.map(Json)
}

/// `?format=text` for people.
#[derive(Deserialize)]
pub(super) struct Format {
    format: Option<String>,
}

pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Ask(Format { format }): Ask<Format>,
) -> Result<Response, Refusal> {
    let explained: Explained = look_up(&*api.store, &reference).await?;
    match format.as_deref() {
        Some("text") => Ok(explained.text(api.clock.now()).into_response()),
        None | Some("json") => Ok(Json(explained).into_response()),
        Some(other) => Err(Refusal::bad(format!("there is no format `{other}`"), "use text or json")),
    }
}

pub(super) async fn groups(State(api): State<Arc<Api>>) -> Result<Json<Value>, Refusal> {
    let groups = api.store.groups().await?;
    Ok(Json(json!({ "groups": groups.iter().map(shown).collect::<Vec<_>>() })))
}

pub(super) async fn group(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let groups = api.store.groups().await?;
    let found = groups.iter().find(|group| group.id.as_str() == id);
    let missing = || Refusal::missing(format!("there is no group {id}"), "GET /api/v1/groups names them");
    found.map(|group| Json(shown(group))).ok_or_else(missing)
}

fn shown(group: &KnownGroup) -> Value {
    json!({
        "id": group.id, "subject": group.subject, "size": group.size, "adopted": group.adopted,
        "sessions": group.sessions,
    })
}
