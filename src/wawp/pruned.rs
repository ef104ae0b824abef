//! JSON read without what nobody asks for: the list of our groups tells all their members, too, which is many times as
//! much as the rest. Owns the reading alone; what a value means is [`super::wire`]'s business.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Reads a text; the values of these keys, wherever they stand, are skipped without being kept.
///
/// # Errors
/// If it is not JSON.
pub(super) fn read(text: &str, without: &[&str]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Pruned(without).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Pruned<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Pruned<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pruned<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.0.contains(&key.as_str()) {
                entries.next_value::<IgnoredAny>()?;
            } else {
                map.insert(key, entries.next_value_seed(self)?);
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_but_what_is_named_is_read_as_it_stands() {
        let text = r#" [{"JID":"a","n":-1,"x":null,"f":1.5,"Participants":[{"JID":"b"}],"in":{"t":true,"participants":{}}}, 7] "#;
        let all: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text, &[]).unwrap(), all);
        let pruned = json!([{"JID": "a", "n": -1, "x": null, "f": 1.5, "in": {"t": true}}, 7]);
        assert_eq!(read(text, &["Participants", "participants"]).unwrap(), pruned);
        for broken in ["[1", "[] x", r#"{"Participants":[}"#] {
            assert!(read(broken, &["Participants"]).is_err(), "{broken}");
        }
    }
}
