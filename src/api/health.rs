//! `/healthz`, `/readyz`, `/metrics`: for supervisors and scrapers. The first two are open to all, so they tell names and
//! counts and no texts.

use super::Api;
use crate::action::RowState;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Longer than this a store that can write does not take.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// The process answers; nothing more is claimed.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// 200 exactly when webhooks can be stored; the body tells the rest.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let ready = matches!(tokio::time::timeout(PROBE_LIMIT, api.store.probe()).await, Ok(Ok(())));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let parts = api.owners.status();
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    let sessions: Vec<_> = parts
        .sessions
        .iter()
        .map(|vital| {
            json!({
                "name": vital.session, "state": vital.state, "last_event_age": seconds(vital.last_event_age),
                "canary_age": seconds(vital.canary_age),
            })
        })
        .collect();
    // The oldest of them; none while one session's never came through.
    let canaries: Option<Vec<Duration>> = parts.sessions.iter().map(|vital| vital.canary_age).collect();
    let canary_age = seconds(canaries.and_then(|ages| ages.into_iter().max()));
    let now = api.clock.now();
    let lists: Vec<_> = api
        .owners
        .lists()
        .into_iter()
        .map(|list| {
            let mut told =
                json!({"name": list.name, "entries": list.entries, "refused": list.refused.is_some()});
            if let Some(at) = list.fetched_at {
                told["fetched_age"] = json!(now.since(at).as_secs());
            }
            if let Some(failing) = list.failing {
                told["failing_for"] = json!(now.since(failing.since).as_secs());
            }
            told
        })
        .collect();
    let refused: Vec<_> = parts.refused.iter().map(|(what, _)| what).collect();
    let depths = if ready { api.store.depths().await.unwrap_or_default() } else { Default::default() };
    let held: u64 = depths.outbox.iter().filter(|row| row.0 == RowState::Held).map(|row| row.2).sum();
    let alerts = if ready { api.store.alerts(100).await.map_or(0, |alerts| alerts.len()) } else { 0 };
    let open = if ready { api.store.troubles().await.unwrap_or_default() } else { Vec::new() };
    let mut troubles: BTreeMap<String, u32> = BTreeMap::new();
    for trouble in open {
        *troubles.entry(trouble.kind).or_default() += 1;
    }
    let body = json!({
        "ready": ready,
        "canary_age": canary_age,
        "sessions": sessions,
        "lists": lists,
        "policies_refused": refused.iter().any(|what| what.as_str() == "policies"),
        "refused": refused,
        "alerts": alerts,
        "troubles": troubles,
        "held": held,
        "brakes": depths.brakes,
    });
    (status, Json(body)).into_response()
}

/// Depths and ceilings are read at the scrape, everything else was counted as it happened.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    if let Ok(depths) = api.store.depths().await {
        api.metrics.set_depths(&depths, api.clock.now());
    }
    api.owners.count();
    for ceiling in api.owners.limits().await {
        api.metrics.set_ceiling(
            &ceiling.session,
            ceiling.class,
            &ceiling.window,
            ceiling.used,
            ceiling.limit,
        );
    }
    for vital in api.owners.status().sessions {
        let works = vital.state.as_deref().map(|state| state == "WORKING");
        api.metrics.set_session(&vital.session, works, vital.last_event_age, vital.canary_age);
    }
    if let Ok(open) = api.store.troubles().await {
        api.metrics.set_troubles(open.iter().map(|trouble| trouble.kind.as_str()));
    }
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], api.metrics.render()).into_response()
}
