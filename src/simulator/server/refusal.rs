//! WhatsApp's refusals as each engine passes them on (`whatsapp-reality.md` §3.2). Decides nothing.

use super::{
    act::{Answer, Body},
    ask::Ask,
};
use crate::{clock::Timestamp, simulator::gateway::Engine};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// What the engine threw, wrapped as 500. The query, and with it the token, is echoed, as upstream does.
pub(super) fn thrown(exception: &Value, engine: Engine, ask: &Ask, now: Timestamp) -> Answer {
    let token = ask.credentials().map(|credentials| credentials.token);
    let body = json!({
        "statusCode": 500, "timestamp": now.to_string(), "exception": exception,
        "request": {"path": ask.path, "method": ask.method.as_str(), "query": {"access_token": token}},
        "version": {"version": "2026.7.1", "engine": engine, "tier": "PLUS"},
    });
    Answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, Body::Json(body))
}

/// The name of WhatsApp's code.
fn name(code: u16) -> &'static str {
    match code {
        400 => "bad-request",
        401 => "not-authorized",
        403 => "forbidden",
        404 => "item-not-found",
        405 => "not-allowed",
        406 => "not-acceptable",
        409 => "conflict",
        419 => "resource-limit",
        429 => "rate-overlimit",
        _ => "internal-server-error",
    }
}

/// A query that WhatsApp refused.
pub(super) fn query(code: u16, engine: Engine) -> Value {
    let name = name(code);
    match engine {
        Engine::Gows => {
            json!({"message": format!("2 UNKNOWN: info query returned status {code}: {name}"), "code": 2})
        }
        Engine::Noweb => json!({"message": name, "data": code}),
        Engine::Webjs => {
            json!({"message": format!("Evaluation failed: ServerStatusCodeError: {code} {name}")})
        }
    }
}

/// A message that WhatsApp's server refused.
pub(super) fn message(code: u16, engine: Engine) -> Value {
    match engine {
        Engine::Gows => json!({"message": format!("2 UNKNOWN: server returned error {code}"), "code": 2}),
        Engine::Noweb => json!({"message": format!("server returned error {code}"), "data": code}),
        Engine::Webjs => {
            json!({"message": format!("Evaluation failed: Error: server returned error {code}")})
        }
    }
}

/// Nobody whom the engine knows was named.
pub(super) fn nobody_left() -> Value {
    json!({"message": "Evaluation failed: Error: expected at least 1 children, but found 0"})
}

/// A chat with a phone whose hidden id the engine does not know.
pub(super) fn no_lid() -> Value {
    json!({"message": "Evaluation failed: Error: No LID for user"})
}
