//! From the bytes of a post to journal entries: how many, and under which dedup key.
//!
//! Owns the key (DESIGN §2): session, a zero byte, and the gateway's event id if the whole body parses, else the SHA-256
//! of the bytes. Nothing is refused for its content, and nothing but the id is read: what the event means is found out
//! later, by the pipeline. The bytes are never copied.

use crate::{
    clock::Timestamp,
    ids::SessionName,
    store::{NewEntry, Source},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Longer ids than this are no ids of a gateway.
const MAX_ID_BYTES: usize = 100;

/// What the store takes (see [`NewEntry::key`]).
const MAX_KEY_BYTES: usize = 128;

/// The one field that is read. Any other is skipped, whatever its depth.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// One entry per event in the body: one for an object, one per element for an array, one for whatever else it is.
pub(super) fn entries(session: &SessionName, body: &Bytes, received_at: Timestamp) -> Vec<NewEntry> {
    let entry =
        |key, body| NewEntry { session: session.clone(), source: Source::Webhook, key, body, received_at };
    let whole = |id: Option<Cow<'_, str>>| vec![entry(key(session, id.as_deref(), body), body.clone())];
    let Ok(text) = std::str::from_utf8(body) else { return whole(None) };
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => whole(event_id(text)),
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(elements) if !elements.is_empty() => elements
                .into_iter()
                .map(|element| {
                    let bytes = body.slice_ref(element.get().as_bytes());
                    entry(key(session, event_id(element.get()).as_deref(), &bytes), bytes)
                })
                .collect(),
            _ => whole(None),
        },
        _ => whole(None),
    }
}

/// The event's id, if the text is one well-formed object with a non-empty string `id` that fits.
fn event_id(text: &str) -> Option<Cow<'_, str>> {
    // A sequence would pass for a struct: `["evt_1"]` is no envelope.
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    let raw = serde_json::from_str::<Envelope<'_>>(text).ok()?.id?.get();
    let plain = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let id = match plain {
        Some(id) if !id.contains('\\') => Cow::Borrowed(id),
        _ => Cow::Owned(serde_json::from_str(raw).ok()?),
    };
    (!id.is_empty() && id.len() <= MAX_ID_BYTES).then_some(id)
}

/// Plain concatenation: ids that follow time give keys that follow time, which the store's index likes.
fn key(session: &SessionName, id: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let name = session.as_str().as_bytes();
    let fits = |id: &&str| name.len() + 1 + id.len() <= MAX_KEY_BYTES;
    match id.filter(fits) {
        Some(id) => [name, &[0], id.as_bytes()].concat(),
        None => [name, &[0], Sha256::digest(bytes).as_slice()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(body: &'static [u8]) -> Vec<NewEntry> {
        entries(&SessionName::new("main"), &Bytes::from_static(body), Timestamp(1))
    }

    fn by_id(id: &str) -> Vec<u8> {
        [b"main\0", id.as_bytes()].concat()
    }

    fn by_hash(bytes: &[u8]) -> Vec<u8> {
        [b"main\0", Sha256::digest(bytes).as_slice()].concat()
    }

    #[test]
    fn an_event_is_keyed_by_its_id_if_the_whole_body_parses() {
        let key = |body| split(body).remove(0).key;
        assert_eq!(key(br#" {"event":"x","id":"evt_1","payload":{"id":"other"}} "#), by_id("evt_1"));
        assert_eq!(key(br#"{"id":"evt_\u0031"}"#), by_id("evt_1"));
        for body in [
            br#"{"id":"evt_1","payload":{"#.as_slice(),
            br#"{"id":"evt_1"} trailing"#,
            br#"{"id":""}"#,
            br#"{"id":17}"#,
            br#"{"id":null}"#,
            br#"{"payload":{"id":"evt_1"}}"#,
            br#"{"id":"evt_1","id":"evt_2"}"#,
            b"{\"id\":\"evt_1\",\"name\":\"\xff\"}",
            br#""evt_1""#,
            b"not json",
            b"",
            b"[]",
            br#"["evt_1""#,
        ] {
            let found = split(body);
            assert_eq!(found.len(), 1, "{}", String::from_utf8_lossy(body));
            assert_eq!(found[0].key, by_hash(body), "{}", String::from_utf8_lossy(body));
            assert_eq!(found[0].body, body);
        }
    }

    #[test]
    fn an_array_is_one_entry_per_element() {
        let found = split(br#"[ {"id":"evt_1"}, {"id":"evt_1"} ,["evt_3"], 7]"#);
        let keys: Vec<_> = found.iter().map(|entry| entry.key.clone()).collect();
        assert_eq!(keys, [by_id("evt_1"), by_id("evt_1"), by_hash(br#"["evt_3"]"#), by_hash(b"7")]);
        assert_eq!(found[1].body, br#"{"id":"evt_1"}"#.as_slice());
    }

    #[test]
    fn an_id_that_does_not_fit_is_replaced_by_the_hash() {
        let body = Bytes::from(format!(r#"{{"id":"{}"}}"#, "x".repeat(101)));
        assert_eq!(entries(&SessionName::new("main"), &body, Timestamp(1))[0].key, by_hash(&body));
        let long = SessionName::new(&"s".repeat(60));
        let body = Bytes::from(format!(r#"{{"id":"{}"}}"#, "x".repeat(80)));
        assert_eq!(entries(&long, &body, Timestamp(1))[0].key.len(), 60 + 1 + 32);
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!(r#"{{"id":"evt_1","payload":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
        let found = entries(&SessionName::new("main"), &Bytes::from(deep), Timestamp(1));
        assert_eq!(found[0].key, by_id("evt_1"));
        let found = entries(&SessionName::new("main"), &Bytes::from("[".repeat(400_000)), Timestamp(1));
        assert_eq!(found.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_is_posted_is_kept(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let body = Bytes::from(body);
            let found = entries(&SessionName::new("main"), &body, Timestamp(1));
            prop_assert!(!found.is_empty());
            prop_assert!(found.iter().all(|entry| entry.key.len() <= MAX_KEY_BYTES));
        }
    }
}
