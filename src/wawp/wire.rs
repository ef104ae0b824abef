//! The vendor's JSON as it stands on the wire: tolerant readers, no meaning.
//!
//! Four engines stand behind one gateway and none of them agrees with the documentation, so nothing here is a strict
//! serde type: a field is looked for under all the names it is known by, a number may be a string, an id may be an object,
//! and a list may be an index map or JSON inside a string. What a value means is decided in `translate` and `answer`.
//!
//! Depth is bounded by `serde_json` (128): deeper nesting is an error, not a stack overflow.

use crate::ids::{Jid, Lid, Person, Phone};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The names under which a phone stands beside another id.
const PHONE_KEYS: &[&str] = &["pn", "PhoneNumber", "phoneNumber", "phone", "number"];
/// The names under which a LID stands beside another id.
const LID_KEYS: &[&str] = &["lid", "LID"];

/// The first of `keys` that is there and not null. `None` if `value` is no object.
pub(crate) fn first<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().filter_map(|key| value.get(key)).find(|found| !found.is_null())
}

/// The first of `keys` that is a string and not empty.
pub(crate) fn text(value: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().filter_map(|key| value.get(key)?.as_str()).find(|text| !text.is_empty()).map(str::to_owned)
}

/// The first of `keys` that is a boolean.
pub(crate) fn flag(value: &Value, keys: &[&str]) -> Option<bool> {
    keys.iter().find_map(|key| value.get(key)?.as_bool())
}

/// A whole number, also as a string or with a fraction; the fraction is dropped.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| truncate(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| truncate(text.parse().ok()?))
        }
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded to what both types hold exactly")]
fn truncate(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

/// The text of an id: a string, `{"_serialized": …}`, or `{"user": …, "server": …}`.
pub(crate) fn id_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Object(map) => match map.get("_serialized") {
            Some(Value::String(text)) => Some(Cow::Borrowed(text)),
            _ => Some(Cow::Owned(format!("{}@{}", map.get("user")?.as_str()?, map.get("server")?.as_str()?))),
        },
        _ => None,
    }
}

/// An id in any of its spellings.
pub(crate) fn jid(value: &Value) -> Option<Jid> {
    Jid::parse(&id_text(value)?)
}

/// The person that an id names. Bare digits name nobody: they could be a phone or a LID.
pub(crate) fn person(value: &Value) -> Option<Person> {
    jid(value)?.person()
}

/// A phone from a field whose *name* says that it is one: only there may digits stand without a suffix.
pub(crate) fn phone(value: &Value) -> Option<Phone> {
    match value {
        Value::Number(number) => Phone::from_u64(number.as_u64()?),
        _ => {
            let text = id_text(value)?;
            if text.contains('@') { person(value)?.phone } else { Phone::parse(text.trim()) }
        }
    }
}

/// What the fields beside an id tell of the same person: `pn`, `PhoneNumber`, `lid`, …
pub(crate) fn beside(value: &Value) -> Person {
    let lid = LID_KEYS.iter().filter_map(|key| value.get(key)).find_map(|found| Lid::parse(&id_text(found)?));
    Person { phone: PHONE_KEYS.iter().filter_map(|key| value.get(key)).find_map(phone), lid }
}

/// A person without the phone that some gateways make up of the digits of a LID.
pub(crate) fn believed(person: Person) -> Person {
    let made_up =
        person.phone.map(Phone::as_u64).is_some_and(|phone| Some(phone) == person.lid.map(Lid::as_u64));
    if made_up { Person { phone: None, ..person } } else { person }
}

/// A list in any of its spellings: an array, an index map `{"0": …}`, JSON of either inside a string, or one value alone.
/// `None` if there is nothing that could be a list.
pub(crate) fn list(value: &Value) -> Option<Vec<Cow<'_, Value>>> {
    match value {
        Value::Array(items) => Some(items.iter().map(Cow::Borrowed).collect()),
        Value::Object(map) if is_index_map(map) => Some(by_index(map).map(Cow::Borrowed).collect()),
        Value::Object(_) => Some(vec![Cow::Borrowed(value)]),
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            let inner: Value = serde_json::from_str(text).ok()?;
            if inner.is_string() {
                return None;
            }
            Some(list(&inner)?.into_iter().map(|item| Cow::Owned(item.into_owned())).collect())
        }
        Value::String(_) => Some(vec![Cow::Borrowed(value)]),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn is_index_map(map: &Map<String, Value>) -> bool {
    map.keys().all(|key| key.parse::<u32>().is_ok())
}

fn by_index(map: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let mut items: Vec<_> =
        map.iter().map(|(key, value)| (key.parse::<u32>().unwrap_or(u32::MAX), value)).collect();
    items.sort_by_key(|(index, _)| *index);
    items.into_iter().map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_map_is_read_in_numeric_order() {
        let mut map = Map::new();
        for index in (0..12).rev() {
            map.insert(index.to_string(), json!(index));
        }
        let read: Vec<_> =
            list(&Value::Object(map)).unwrap().into_iter().map(|v| v.as_i64().unwrap()).collect();
        assert_eq!(read, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn digits_are_a_phone_only_where_the_field_says_so() {
        assert_eq!(person(&json!("4915112345678")), None);
        assert_eq!(beside(&json!({"pn": "4915112345678"})).phone, Phone::parse("4915112345678"));
        assert_eq!(beside(&json!({"number": 4_915_112_345_678_u64})).phone, Phone::parse("4915112345678"));
        assert_eq!(beside(&json!({"pn": "77001234567@lid"})).phone, None);
        assert_eq!(beside(&json!({"lid": "77001234567"})).lid, None);
    }

    #[test]
    fn numbers_are_read_from_strings_and_fractions() {
        for value in
            [json!(1_771_000_000), json!("1771000000"), json!(1_771_000_000.7), json!(" 1771000000.2")]
        {
            assert_eq!(integer(&value), Some(1_771_000_000), "{value}");
        }
        for value in [json!(null), json!("soon"), json!(1e300), json!("NaN"), json!(true)] {
            assert_eq!(integer(&value), None, "{value}");
        }
    }
}
