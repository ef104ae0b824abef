//! Handlers of what belongs to the owner: lists, subscriptions, ceilings.

use super::{Api, Refusal};
use crate::{
    clock::Timestamp,
    facts::{Status, Subscription},
    ids::Phone,
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn limits(State(api): State<Arc<Api>>) -> Json<Value> {
    let locks = api.store.cold_locks().await.unwrap_or_default();
    let locks = locks.into_iter().map(|(session, lock)| {
        json!({"session": session, "since": lock.since, "until": lock.until, "why": lock.why})
    });
    let locks: Vec<Value> = locks.collect();
    Json(json!({ "limits": api.owners.limits().await, "cold_locks": locks }))
}

pub(super) async fn accept_list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    if !api.owners.lists().iter().any(|list| list.name == name) {
        return Err(Refusal::missing(
            format!("there is no list `{name}`"),
            "GET /api/v1/blacklist names them",
        ));
    }
    let accepted = api.owners.accept_list(&name).await;
    accepted.map(|detail| Json(json!({"name": name, "detail": detail}))).map_err(not_accepted)
}

pub(super) async fn preview_list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let preview = api.owners.preview_list(&name).await;
    preview
        .map(Json)
        .map_err(|why| Refusal::missing(why, "GET /api/v1/blacklist names every list and how it stands"))
}

pub(super) async fn accept_subscriptions(State(api): State<Arc<Api>>) -> Result<Json<Value>, Refusal> {
    let accepted = api.owners.accept_subscriptions().await;
    accepted.map(|detail| Json(json!({"name": "subscriptions", "detail": detail}))).map_err(not_accepted)
}

fn not_accepted(why: String) -> Refusal {
    Refusal::conflict(why, "mend the file, or leave what is in force")
}

pub(super) async fn subscription(
    State(api): State<Arc<Api>>,
    Path(phone): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let phone = read_phone(&phone)?;
    Ok(Json(json!({"phone": phone, "subscription": api.owners.subscription(phone).await})))
}

/// What the payment side sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pushed {
    status: String,
    plan: Option<String>,
    expires_at: Option<String>,
}

pub(super) async fn push(
    State(api): State<Arc<Api>>,
    Path(phone): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let phone = read_phone(&phone)?;
    let subscription = read_subscription(&body, &api.time_zone)?;
    api.owners
        .push(phone, subscription.clone())
        .await
        .map_err(|why| Refusal::conflict(why, "send it again later"))?;
    Ok(Json(json!({"phone": phone, "subscription": subscription})))
}

fn read_phone(text: &str) -> Result<Phone, Refusal> {
    Phone::parse(text).ok_or_else(|| {
        Refusal::bad("that is not an international number", "write +, country code and number: %2B4915…")
    })
}

/// Reads a pushed subscription.
fn read_subscription(body: &[u8], time_zone: &str) -> Result<Subscription, Refusal> {
    let shape = r#"send {"status":"active","plan":"gold","expires_at":"2027-01-31"}; plan and expires_at may be left out"#;
    let pushed: Pushed = serde_json::from_slice(body).map_err(|e| Refusal::bad(e.to_string(), shape))?;
    let known = Status::parse(&pushed.status).filter(|status| *status != Status::Unknown);
    let status = known.ok_or_else(|| {
        let next = "use active, trialing, past_due, canceled or none";
        Refusal::bad(format!("`{}` is not a status", pushed.status), next)
    })?;
    let expires_at = pushed.expires_at.as_deref().map(|text| read_end(text, time_zone)).transpose()?;
    Ok(Subscription { status, plan: pushed.plan, expires_at })
}

/// A moment, or a date that lasts to the end of its day there.
fn read_end(text: &str, time_zone: &str) -> Result<Timestamp, Refusal> {
    let moment = text.parse::<jiff::Timestamp>().or_else(|_| {
        let next_day = text.parse::<jiff::civil::Date>()?.tomorrow()?;
        Ok::<_, jiff::Error>(next_day.in_tz(time_zone)?.timestamp())
    });
    match moment {
        Ok(moment) => Ok(Timestamp(moment.as_millisecond())),
        Err(_) => Err(Refusal::bad(
            format!("`{text}` is neither a date nor a time"),
            "write 2027-01-31 or 2027-01-31T18:00:00Z",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_subscription_is_read_or_refused_with_a_step() {
        let read = |body: &str| read_subscription(body.as_bytes(), "Europe/Berlin");
        let full = read(r#"{"status":"active","plan":"gold","expires_at":"2027-01-31"}"#).unwrap();
        assert_eq!(full.expires_at.unwrap().to_string(), "2027-01-31T23:00:00.000Z");
        let exact = read(r#"{"status":"canceled","expires_at":"2027-01-31T18:00:00Z"}"#).unwrap();
        assert_eq!(exact.expires_at.unwrap().to_string(), "2027-01-31T18:00:00.000Z");
        for wrong in ["", "{}", r#"{"status":"unknown"}"#, r#"{"status":"none","x":1}"#] {
            assert!(!read(wrong).unwrap_err().next.is_empty(), "{wrong}");
        }
        assert!(read(r#"{"status":"active","expires_at":"soon"}"#).is_err());
    }
}
