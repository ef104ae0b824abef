//! Status, headers and body → what the call ended in. Pure.
//!
//! HTTP 200 proves nothing: refusals of a person come inside it, in a shape of their own for every engine
//! (`wawp-api.md` §2.2, `whatsapp-reality.md` §3.1). And HTTP 500 often is WhatsApp's plain refusal. Where a removal's
//! answer shows neither success nor failure the outcome is unknown, never done.

use super::{
    error::{CallError, Outcome},
    failure::{self, Cause, failing},
    pruned, wire,
};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::{Map, Value};
use std::time::Duration;

/// What was asked; the same answer means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One person out of a group.
    Remove,
    /// One person into a group.
    Add,
    /// A new group.
    Create,
    /// A message to a person.
    Private,
    /// A message to a group.
    Public,
    /// A group setting; may be repeated.
    Setting,
    /// A read; may be repeated.
    Read,
}

impl What {
    /// Whether the call names a person, whose id can have the wrong form.
    fn names_person(self) -> bool {
        matches!(self, Self::Remove | Self::Add | Self::Private)
    }

    /// Sent, outcome unknown; a read may simply be repeated.
    pub(crate) fn unknown(self, why: String) -> CallError {
        if self == Self::Read {
            CallError::Transient { retry_after: None, why }
        } else {
            CallError::Unknown { why }
        }
    }
}

/// A body as far as it can be read.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    /// Not JSON: XML, HTML or plain text.
    Text(String),
    /// Longer than we read, or broken off.
    Partial,
}

impl Body {
    /// What stands in the bytes; of JSON without the values of these keys.
    pub(crate) fn read(bytes: &[u8], complete: bool, without: &[&str]) -> Self {
        if !complete {
            return Self::Partial;
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim();
        if text.is_empty() {
            return Self::Empty;
        }
        pruned::read(text, without).map_or_else(|_| Self::Text(text.to_owned()), Self::Json)
    }

    fn cause(&self) -> Cause {
        match self {
            Self::Json(value) => failure::cause(value),
            Self::Text(text) => failure::cause(&Value::String(without_tags(text))),
            Self::Empty | Self::Partial => Cause::default(),
        }
    }
}

/// XML and HTML errors are read for their words.
fn without_tags(text: &str) -> String {
    let mut inside = false;
    let plain: String = text
        .chars()
        .map(|c| {
            let was_inside = inside;
            inside = (inside || c == '<') && c != '>';
            if inside || was_inside { ' ' } else { c }
        })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Judges an answer. The value is the JSON body; null for an empty one, a string for plain text.
pub(crate) fn classify(status: u16, headers: &HeaderMap, body: Body, what: What) -> Outcome<Value> {
    let verdict = Verdict { what, retry_after: retry_after(headers), cause: body.cause() };
    match status {
        200..=299 => verdict.accepted(body),
        300..=399 => Err(CallError::Fatal {
            why: format!("answered with a redirect (HTTP {status}); is base_url right?"),
        }),
        _ => Err(verdict.failed(status, &body)),
    }
}

/// `Retry-After` in seconds or as a date; a date is counted from the answer's own `Date`, not from our clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let wait = moment(text)?.duration_since(moment(headers.get(DATE)?.to_str().ok()?)?);
    Some(Duration::try_from(wait).unwrap_or_default())
}

struct Verdict {
    what: What,
    retry_after: Option<Duration>,
    cause: Cause,
}

impl Verdict {
    fn accepted(&self, body: Body) -> Outcome<Value> {
        let value = match body {
            Body::Empty if self.what == What::Read => return Err(self.unknown("the answer is empty")),
            Body::Empty => return Ok(Value::Null),
            Body::Partial if self.what == What::Setting => return Ok(Value::Null),
            Body::Partial => return Err(self.unknown("the answer is too long or broke off")),
            Body::Text(text) if text.starts_with('<') => {
                return Err(self.unknown("the answer is markup instead of JSON"));
            }
            Body::Text(text) => Value::String(text),
            Body::Json(value) => value,
        };
        match &value {
            Value::Object(map) if is_error(map) => Err(self.inside(map.contains_key("wawp_upstream_error"))),
            _ if self.what == What::Read => Ok(value),
            Value::Bool(false) => {
                Err(CallError::Refused { code: None, why: "the gateway answered false".into() })
            }
            Value::String(text) => self.words(text.trim()).map(|()| value),
            Value::Array(items) if items.is_empty() => Err(self.unknown("the answer is an empty list")),
            _ if matches!(self.what, What::Remove | What::Add) => self.each_person(&value, 3).map(|()| value),
            _ => Ok(value),
        }
    }

    /// A bare text: several words are a sentence, and a sentence is an excuse; so is WhatsApp's name of a code. One word
    /// else is an id, an invite code or `OK`, and of these only the last proves a removal.
    fn words(&self, text: &str) -> Outcome<()> {
        let is_yes = matches!(&*text.to_ascii_lowercase(), "ok" | "true" | "success" | "done" | "removed");
        if text.contains(char::is_whitespace) || failure::named(text).is_some() || self.by_words().is_some() {
            return Err(self.inside(false));
        }
        if matches!(self.what, What::Remove | What::Add) && !is_yes {
            return Err(self.unknown("the answer does not show whether it was done"));
        }
        Ok(())
    }

    /// Whether the answer shows that every person it names was done. One was asked for.
    fn each_person(&self, value: &Value, depth: u8) -> Outcome<()> {
        match value {
            Value::Null | Value::Bool(true) => Ok(()),
            Value::Array(items) if items.is_empty() => Err(self.unknown("the answer is an empty list")),
            Value::Array(items) => items.iter().try_for_each(|item| self.one_person(item)),
            Value::Object(map) if depth > 0 => {
                let mut by_id = map.iter().filter(|(key, _)| key.contains('@')).peekable();
                if by_id.peek().is_some() {
                    return by_id.try_for_each(|(_, item)| self.one_person(item));
                }
                let wrapped = ["participants", "results", "result", "data", "response"];
                match wire::first(value, &wrapped).filter(|inner| inner.is_array() || inner.is_object()) {
                    Some(inner) => self.each_person(inner, depth - 1),
                    None => self.one_person(value),
                }
            }
            _ => Err(self.unknown("the answer does not show whether it was done")),
        }
    }

    fn one_person(&self, item: &Value) -> Outcome<()> {
        let cause = failure::cause(item);
        if item.get("error").is_some_and(|error| is_truthy(error) && wire::integer(error).is_none()) {
            return Err(Self { what: self.what, retry_after: self.retry_after, cause }.inside(false));
        }
        let told = ["Error", "status", "code", "statusCode", "upstream_status", "error"];
        let number = wire::integer(item)
            .or_else(|| told.iter().find_map(|key| wire::integer(item.get(key)?)))
            .and_then(|number| u16::try_from(number).ok());
        let word = wire::text(item, &["status"]).unwrap_or_default().to_ascii_lowercase();
        match (number, wire::flag(item, &["success", "ok"])) {
            (Some(0 | 200..=299), _) => Ok(()),
            (Some(code), _) if cause.text.is_empty() => Err(self.by_code(code, format!("code {code}"))),
            (Some(code), _) => Err(self.by_code(code, format!("code {code}: {}", cause.text))),
            (None, Some(false)) => {
                Err(CallError::Refused { code: None, why: "the gateway answered false".into() })
            }
            (None, Some(true)) => Ok(()),
            (None, None) if matches!(&*word, "success" | "ok") => Ok(()),
            (None, None) => Err(self.unknown("the answer does not show whether it was done")),
        }
    }

    /// An error inside a 2xx.
    fn inside(&self, is_upstream: bool) -> CallError {
        if let Some(error) = self.by_words() {
            return error;
        }
        match self.cause.code.or(self.cause.status) {
            Some(code) => self.by_code(code, self.why(None)),
            // The vendor's own case for a repetition with back-off.
            None if is_upstream => {
                CallError::Transient { retry_after: self.retry_after, why: self.why(None) }
            }
            None => CallError::Refused { code: None, why: self.why(None) },
        }
    }

    fn failed(&self, status: u16, body: &Body) -> CallError {
        let why = self.why(Some(status));
        let cause = &self.cause;
        match status {
            429 => self.slow_down(why),
            463 => CallError::Locked { why },
            401 | 402 => CallError::Fatal { why },
            405 | 501 => CallError::Unsupported { why },
            _ if cause.is_rate() => self.slow_down(why),
            _ if cause.is_locked() => CallError::Locked { why },
            // From a machine between us and the gateway: what it did with the request is not known.
            408 | 502 | 504 => self.what.unknown(why),
            403 if cause.is_credentials() || !cause.is_not_admin() => CallError::Fatal { why },
            404 if cause.is_route() || !matches!(body, Body::Json(_)) => CallError::Unsupported { why },
            403 | 406 | 409 | 412 | 417 | 419 => CallError::Refused { code: Some(status), why },
            404 if !cause.is_session() => CallError::Refused { code: Some(404), why },
            423 | 425 => self.transient(why),
            _ => self.by_words().or_else(|| self.by_hidden_code(status)).unwrap_or_else(|| match status {
                422 if cause.text.is_empty() => CallError::NotReady { why },
                // What is wrong is in this call's own words: the id's form, or a text that cannot be sent.
                400 if self.what.names_person() => CallError::WrongIdentity { why },
                400 => CallError::Refused { code: Some(400), why },
                401..=499 => CallError::Fatal { why },
                // Answered by the gateway itself, or never reached it (521, 523, 525, 526 of a proxy).
                500 | 503 | 507 | 521 | 523 | 525 | 526 | 530 => self.transient(why),
                _ => self.what.unknown(why),
            }),
        }
    }

    /// What the words tell, whatever number came with them.
    fn by_words(&self) -> Option<CallError> {
        let why = self.why(None);
        let cause = &self.cause;
        Some(match () {
            () if cause.is_rate() => self.slow_down(why),
            () if cause.is_locked() => CallError::Locked { why },
            () if cause.is_unsupported() => CallError::Unsupported { why },
            () if cause.is_session() => CallError::NotReady { why },
            () if self.what.names_person() && cause.is_identity() => CallError::WrongIdentity { why },
            () if cause.is_silence() => self.what.unknown(why),
            () => return None,
        })
    }

    /// WhatsApp's code inside an answer with another status; the status repeated in the body is none.
    fn by_hidden_code(&self, status: u16) -> Option<CallError> {
        let code = self.cause.code.filter(|code| *code != status)?;
        Some(self.by_code(code, self.why(Some(status))))
    }

    /// WhatsApp's own code (`whatsapp-reality.md` §3.3): it concerns this person or this group, not our credentials.
    fn by_code(&self, code: u16, why: String) -> CallError {
        match code {
            429 => self.slow_down(why),
            463 => CallError::Locked { why },
            400 if self.what.names_person() => CallError::WrongIdentity { why },
            423 | 500 | 503 | 530 => self.transient(why),
            501 => CallError::Unsupported { why },
            502 | 504 => self.what.unknown(why),
            _ => CallError::Refused { code: Some(code), why },
        }
    }

    fn slow_down(&self, why: String) -> CallError {
        CallError::SlowDown { retry_after: self.retry_after, why }
    }

    fn transient(&self, why: String) -> CallError {
        CallError::Transient { retry_after: self.retry_after, why }
    }

    fn unknown(&self, why: &str) -> CallError {
        self.what.unknown(why.to_owned())
    }

    fn why(&self, status: Option<u16>) -> String {
        let text = if self.cause.text.is_empty() { "no reason given" } else { &self.cause.text };
        match status {
            Some(status) => format!("HTTP {status}: {text}"),
            None => text.to_owned(),
        }
    }
}

/// Whether an object that came with a 2xx is an error all the same (`wawp-api.md` §1). Only its own fields count.
fn is_error(map: &Map<String, Value>) -> bool {
    let has = |key: &str| map.get(key).is_some_and(is_truthy);
    let is_false = |key: &str| map.get(key) == Some(&Value::Bool(false));
    let word = map.get("status").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    has("wawp_upstream_error")
        || has("error")
        || has("exception")
        || matches!(&*word, "error" | "failed" | "fail" | "failure")
        || ["status", "success", "sent", "ok"].iter().any(|key| is_false(key))
        || ["status", "statusCode", "upstream_status", "code"].iter().any(|key| map.get(*key).and_then(failing).is_some())
        // WordPress: a code that is a word, with a message.
        || (map.get("code").is_some_and(|code| code.is_string() && wire::integer(code).is_none())
            && map.get("message").is_some_and(Value::is_string))
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
