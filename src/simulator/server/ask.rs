//! A request as the gateway reads it: parameters from the query, the JSON or form body, and the headers.

use crate::simulator::calls::Placement;
use axum::http::{HeaderMap, Method, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A request, decoded.
pub(super) struct Ask {
    pub(super) method: Method,
    /// Percent-decoded, without the query.
    pub(super) path: String,
    query: Vec<(String, String)>,
    body: Value,
    headers: HeaderMap,
}

/// Who asks.
pub(super) struct Credentials {
    pub(super) instance: String,
    pub(super) token: String,
    pub(super) placement: Placement,
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

impl Ask {
    pub(super) fn read(parts: &Parts, body: &[u8]) -> Self {
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let body = if kind.starts_with("application/x-www-form-urlencoded") {
            Value::Object(pairs(body).into_iter().map(|(key, value)| (key, value.into())).collect())
        } else {
            serde_json::from_slice(body).unwrap_or(Value::Null)
        };
        Self {
            method: parts.method.clone(),
            path: percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned(),
            query: pairs(parts.uri.query().unwrap_or("").as_bytes()),
            body,
            headers: parts.headers.clone(),
        }
    }

    fn in_query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A parameter; the query wins over the body.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let in_body = || match self.body.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        self.in_query(key).map(str::to_owned).or_else(in_body)
    }

    /// A parameter that is a whole number.
    pub(super) fn number(&self, key: &str) -> Option<usize> {
        self.text(key)?.parse().ok()
    }

    /// A parameter that is yes or no, in any spelling.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.text(key)?.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// The text of a message; the vendor's field is `message`, the engine's `text`.
    pub(super) fn message(&self) -> Option<String> {
        self.text("message").or_else(|| self.text("text"))
    }

    /// The body as it came.
    pub(super) fn body(&self) -> &Value {
        &self.body
    }

    /// The ids under `participants`: objects or strings, in the body or as a JSON string in the query.
    pub(super) fn people(&self) -> Vec<String> {
        let from_query = self.in_query("participants").and_then(|text| serde_json::from_str(text).ok());
        let list = match from_query.as_ref().or_else(|| self.body.get("participants")) {
            Some(Value::Array(list)) => list.clone(),
            Some(Value::String(text)) => {
                serde_json::from_str(text).unwrap_or_else(|_| vec![text.as_str().into()])
            }
            _ => Vec::new(),
        };
        let id = |one: &Value| one.get("id").unwrap_or(one).as_str().map(str::to_owned);
        list.iter().filter_map(id).collect()
    }

    /// Both credentials, from the query, else the body, else the headers; each on its own, and the placement is that of
    /// the token.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        let body = |key: &str| self.body.get(key).and_then(Value::as_str);
        let bearer = || self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let (token, placement) = None
            .or_else(|| self.in_query("access_token").map(|token| (token, Placement::Query)))
            .or_else(|| body("access_token").map(|token| (token, Placement::Body)))
            .or_else(|| {
                self.header("access-token").or_else(bearer).map(|token| (token, Placement::Header))
            })?;
        let instance = self
            .in_query("instance_id")
            .or_else(|| body("instance_id"))
            .or_else(|| self.header("x-instance-id"))?;
        Some(Credentials { instance: instance.to_owned(), token: token.to_owned(), placement })
    }
}
