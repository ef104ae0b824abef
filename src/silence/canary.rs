//! The canary's body, and how it is told from everybody else's events. Pure.

use crate::{clock::Timestamp, ids::SessionName, wawp::translate::CANARY};
use serde_json::json;

/// How the event id of every canary begins.
const PREFIX: &str = "perimeterd-canary-";

/// A new event id.
pub(super) fn nonce() -> String {
    format!("{PREFIX}{:032x}", fastrand::u128(..))
}

/// The envelope, as the vendor's look.
pub(super) fn body(session: &SessionName, nonce: &str, now: Timestamp) -> Vec<u8> {
    json!({
        "id": nonce, "timestamp": now.as_millis(), "event": CANARY, "session": session.as_str(),
        "engine": "PERIMETERD", "payload": {},
    })
    .to_string()
    .into_bytes()
}

/// Whether a journal key is a canary's, ours or forged: neither shows that the gateway still speaks.
pub fn is_own_key(key: &[u8]) -> bool {
    let id = key.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    id.starts_with(PREFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_told_by_the_beginning_of_its_id() {
        assert!(is_own_key(format!("main\0{}", nonce()).as_bytes()));
        for key in ["main\0evt_1", "perimeterd-canary-\0evt_1", "main", "main\0xperimeterd-canary-1"] {
            assert!(!is_own_key(key.as_bytes()), "{key:?}");
        }
    }
}
