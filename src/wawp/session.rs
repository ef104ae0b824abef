//! What the gateway says of a session itself: its state, and where its events go. One request each, like every call.

use super::{
    answer::What,
    client::{Client, SHORT},
    error::{CallError, Outcome},
    wire,
};
use reqwest::Method;
use serde_json::Value;
use std::{sync::atomic::Ordering, time::Duration};

/// A registered webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to, with its query: it may hold a secret.
    pub url: String,
    /// Which events.
    pub events: Vec<String>,
    /// Switched on.
    pub active: bool,
}

impl Client {
    /// The session's state in the vendor's word, upper case. Answered in every state.
    ///
    /// # Errors
    /// [`CallError`]. The route is told as POST and as GET: a gateway without the first answers once with `Transient` and no
    /// wait, and the next call of this client takes the second.
    pub async fn state(&self) -> Outcome<String> {
        let by_get = self.info_by_get().load(Ordering::Relaxed);
        let method = if by_get { Method::GET } else { Method::POST };
        let value = match self.call(method, "/v2/session/info", None, What::Read, SHORT).await {
            Err(CallError::Unsupported { why } | CallError::Refused { code: Some(404), why }) if !by_get => {
                self.info_by_get().store(true, Ordering::Relaxed);
                let why = format!("{why}; the other method comes next");
                return Err(CallError::Transient { retry_after: Some(Duration::ZERO), why });
            }
            answer => answer?,
        };
        let told = value.get("data").filter(|data| data.is_object()).unwrap_or(&value);
        wire::text(told, &["status", "state"]).map(|word| word.to_ascii_uppercase()).ok_or_else(|| {
            CallError::Transient { retry_after: None, why: "the answer names no `status`".into() }
        })
    }

    /// Where the session's events go. Paying instances only.
    ///
    /// # Errors
    /// [`CallError`]; `Fatal` or `Refused` with 403 or 404 where the gateway does not tell.
    pub async fn webhooks(&self) -> Outcome<Vec<Webhook>> {
        let value = self.call(Method::GET, "/v2/session/webhook", None, What::Read, SHORT).await?;
        let told = wire::first(&value, &["webhooks", "data"]).unwrap_or(&value);
        let list = told.get("webhooks").unwrap_or(told);
        let list = wire::list(list).ok_or_else(|| CallError::Transient {
            retry_after: None,
            why: "the answer holds no list of webhooks".into(),
        })?;
        Ok(list.iter().filter_map(|item| webhook(item)).collect())
    }
}

fn webhook(value: &Value) -> Option<Webhook> {
    let url = wire::text(value, &["url"])?;
    let events = value.get("events").and_then(wire::list).unwrap_or_default();
    let events = events.iter().filter_map(|event| event.as_str().map(str::to_owned)).collect();
    let off = ["is_active", "isActive", "active", "enabled"]
        .iter()
        .filter_map(|key| value.get(key))
        .any(|flag| flag == &Value::Bool(false) || wire::integer(flag) == Some(0));
    Some(Webhook { url, events, active: !off })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_webhook_is_read_in_every_spelling() {
        let read = |value| webhook(&value).unwrap();
        let told = read(
            json!({"url": "https://a", "events": {"0": "message", "1": "group.v2.join"}, "is_active": 1}),
        );
        assert_eq!((told.events.len(), told.active), (2, true));
        assert!(!read(json!({"url": "https://a", "events": ["*"], "is_active": "0"})).active);
        assert!(!read(json!({"url": "https://a", "enabled": false})).active);
        assert_eq!(webhook(&json!({"events": ["*"]})), None);
    }
}
