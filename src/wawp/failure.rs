//! The cause of a failure, dug out of whatever the gateway sent.
//!
//! The engines hide it: a refusal by WhatsApp comes as HTTP 500 with `exception.message`, a quota as a 200 with
//! `wawp_upstream_error` (`wawp-api.md` §1, `whatsapp-reality.md` §3.2). Only the fields known to hold a cause are read:
//! the body echoes the request too, and a message text must not be taken for a cause.

use super::wire;
use serde_json::Value;

/// What a body tells of a failure.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cause {
    /// WhatsApp's code, where one stands in a field or in the text.
    pub(crate) code: Option<u16>,
    /// A status told inside the body; weaker than a code, as it often only repeats the HTTP status.
    pub(crate) status: Option<u16>,
    /// The texts, joined.
    pub(crate) text: String,
}

/// The names that WhatsApp gives its codes.
const NAMED: &[(&str, u16)] = &[
    ("rate-overlimit", 429),
    ("rate_overlimit", 429),
    ("not-authorized", 401),
    ("item-not-found", 404),
    ("bad-request", 400),
    ("not-allowed", 405),
    ("not-acceptable", 406),
    ("resource-limit", 419),
    ("internal-server-error", 500),
    ("service-unavailable", 503),
    ("reachout_restricted", 463),
    ("reachout", 463),
    ("reach-out", 463),
];

/// The cause in a body of any kind.
pub(crate) fn cause(body: &Value) -> Cause {
    let mut cause = Cause::default();
    gather(body, &mut cause, 3);
    if cause.code.is_none() {
        cause.code = code_in(&cause.text);
    }
    cause
}

fn gather(value: &Value, cause: &mut Cause, depth: u8) {
    match value {
        Value::String(text) => match nested(text).filter(|_| depth > 0) {
            // Not a level deeper: the text stands for what it holds, and is shorter than what held it.
            Some(inner) => gather(&inner, cause, depth),
            None => say(text, cause),
        },
        Value::Array(items) => {
            items.iter().take(5).for_each(|item| gather(item, cause, depth.saturating_sub(1)))
        }
        Value::Object(map) if depth > 0 => {
            for key in [
                "wawp_upstream_error",
                "exception",
                "error",
                "message",
                "code",
                "data",
                "description",
                "reason",
            ] {
                match map.get(key) {
                    // A gRPC code (2) or a flag is no code of WhatsApp's.
                    Some(number @ (Value::Number(_) | Value::String(_)))
                        if key == "code" || key == "data" =>
                    {
                        code(number, cause);
                    }
                    Some(inner) => gather(inner, cause, depth - 1),
                    None => {}
                }
            }
            for key in ["upstream_status", "statusCode", "status"] {
                cause.status = cause.status.or_else(|| failing(map.get(key)?));
            }
        }
        _ => {}
    }
}

/// A body that was packed into a text on its way.
fn nested(text: &str) -> Option<Value> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

fn say(text: &str, cause: &mut Cause) {
    if text.is_empty() || cause.text.contains(text) {
        return;
    }
    if !cause.text.is_empty() {
        cause.text.push_str("; ");
    }
    cause.text.push_str(text);
}

/// A code field: a number is a code, a word is text.
fn code(value: &Value, cause: &mut Cause) {
    if wire::integer(value).is_some() {
        cause.code = cause.code.or_else(|| failing(value));
    } else if let Some(word) = value.as_str() {
        say(word, cause);
    }
}

/// A number that can be a code of failure.
pub(crate) fn failing(value: &Value) -> Option<u16> {
    wire::integer(value).and_then(|n| u16::try_from(n).ok()).filter(|n| (400..600).contains(n))
}

/// A code in a text: WhatsApp's name of it, or three digits at the end or after `status`, `error` or `code`
/// (`info query returned status 400: bad-request`, `server returned error 463`).
pub(crate) fn code_in(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let is_code = |word: &str| word.len() == 3 && word.parse::<u16>().is_ok_and(|n| (400..600).contains(&n));
    let marked = words.windows(2).rfind(|pair| {
        is_code(pair[1]) && matches!(pair[0], "status" | "error" | "code" | "statuscode" | "errorcode")
    });
    marked
        .map(|pair| pair[1])
        .or_else(|| words.last().copied().filter(|word| is_code(word)))
        .and_then(|word| word.parse().ok())
        .or_else(|| named(text))
}

/// The code whose name stands in the text.
pub(crate) fn named(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    NAMED.iter().find(|(name, _)| lower.contains(name)).map(|(_, code)| *code)
}

impl Cause {
    /// The call was slowed down, whatever status it came with.
    pub(crate) fn is_rate(&self) -> bool {
        self.code == Some(429)
            || self.says(&[
                "rate-overlimit",
                "rate limit",
                "rate-limit",
                "rate_limit",
                "ratelimit",
                "too many requests",
                "quota",
                "daily cap",
                "daily_cap",
                "per_minute",
                "slow down",
            ])
    }

    /// The number may not start chats.
    pub(crate) fn is_locked(&self) -> bool {
        self.code == Some(463)
            || self.says(&["reachout", "reach-out", "time-lock", "timelock", "error 463", "status 463"])
    }

    /// The session is not WORKING, or is not there at all.
    pub(crate) fn is_session(&self) -> bool {
        self.says(&[
            "session status is not",
            "session is not",
            "session not",
            "websocket not connected",
            "not logged in",
            "scan_qr",
            "session does not exist",
            "is not started",
            "not connected",
            "instance is not ready",
            "instance not ready",
        ]) || (self.says(&["session"]) && self.says(&["not found", "stopped", "starting", "disconnected"]))
    }

    /// The engine or the gateway lacks the call.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.says(&["not implemented", "notimplemented", "not supported", "unsupported", "not available in"])
    }

    /// The gateway has no such route (NestJS, WordPress).
    pub(crate) fn is_route(&self) -> bool {
        self.says(&[
            "cannot get /",
            "cannot post /",
            "cannot put /",
            "rest_no_route",
            "no route",
            "route not found",
        ])
    }

    /// The id named nobody in the form it was given (`whatsapp-reality.md` §2.4).
    pub(crate) fn is_identity(&self) -> bool {
        self.says(&[
            "expected at least 1 children",
            "no lid for user",
            "lid is missing",
            "wid error",
            "invalid wid",
            "invalid jid",
            "bad-request",
        ])
    }

    /// Nobody answered the engine in time, or the line broke while it waited: the effect may have happened.
    pub(crate) fn is_silence(&self) -> bool {
        self.says(&[
            "timed out",
            "timeout",
            "time-out",
            "deadline exceeded",
            "connection closed",
            "connection lost",
            "disconnected before",
            "socket hang up",
            "econnreset",
        ])
    }

    /// Our right to call at all: token, plan.
    pub(crate) fn is_credentials(&self) -> bool {
        self.says(&["subscription", "token", "api key", "api-key"])
    }

    /// We lack the right in this group.
    pub(crate) fn is_not_admin(&self) -> bool {
        self.says(&["admin", "not-authorized", "participant", "not a member", "permission"])
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let lower = self.text.to_ascii_lowercase();
        phrases.iter().any(|phrase| lower.contains(phrase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_code_is_read_from_the_text_only_where_it_is_one() {
        for (text, code) in [
            ("2 UNKNOWN: info query returned status 400: bad-request", Some(400)),
            ("server returned error 463", Some(463)),
            ("rate-overlimit", Some(429)),
            ("Request failed with status code 403", Some(403)),
            ("upstream said 502", Some(502)),
            ("500 members are too many", None),
            ("wait 450 seconds please", None),
            ("code 200", None),
            ("", None),
        ] {
            assert_eq!(code_in(text), code, "{text}");
        }
    }

    #[test]
    fn the_echo_of_our_request_is_no_cause() {
        let cause =
            cause(&json!({"statusCode": 500, "exception": {"message": "boom", "stack": "status 403"},
            "request": {"body": {"message": "rate limit, error 463"}}}));
        assert_eq!((cause.text.as_str(), cause.code, cause.status), ("boom", None, Some(500)));
    }

    #[test]
    fn a_cause_inside_a_text_is_found() {
        let packed = cause(&json!({"error": "{\"exception\":{\"message\":\"no\",\"data\":463}}"}));
        assert_eq!((packed.text.as_str(), packed.code), ("no", Some(463)));
        assert!(packed.is_locked());
    }

    #[test]
    fn a_code_deep_inside_beats_the_status_around_it() {
        let cause = cause(
            &json!({"statusCode": 500, "exception": {"message": "rate-overlimit", "data": 429, "code": 2}}),
        );
        assert_eq!((cause.code, cause.status), (Some(429), Some(500)));
    }
}
