//! Parses the JSON of a graph in bounded memory.
//!
//! A graph may hold whole pictures as base64 (nodes that take or mask one), far more than all the
//! rest. They are left out while the text is read, so that a graph is as large as its nodes.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::json::without_non_numbers;
use crate::limits::{MAX_GRAPH_BYTES, MAX_PROMPT_BYTES, MAX_TEXT_BYTES};

/// Parses a JSON object as `json::object` does, strings longer than any prompt being empty. `None`
/// also when its values take more memory than any graph.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    if !text.starts_with('{') || text.len() > MAX_TEXT_BYTES {
        return None;
    }
    let parse = |text: &str| {
        let mut room = MAX_GRAPH_BYTES;
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Bounded(&mut room).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(value)
    };
    let parsed = parse(text).or_else(|| match without_non_numbers(text) {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(text) => parse(&text),
    });
    match parsed {
        Some(Value::Object(map)) => Some(map),
        _ => None,
    }
}

/// What a value costs beside its characters, and what the first member of an object does: a node of
/// a tree with room for eleven.
const VALUE_BYTES: usize = 48;
const OBJECT_BYTES: usize = 640;

/// Makes a value and counts its memory.
struct Bounded<'r>(&'r mut usize);

impl Bounded<'_> {
    fn take<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        let left = self.0.checked_sub(bytes);
        *self.0 = left.ok_or_else(|| E::custom("more values than a graph has"))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Value, E> {
        if text.len() > MAX_PROMPT_BYTES {
            return Ok(Value::String(String::new()));
        }
        self.take(text.len())?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Bounded(self.0))? {
            self.take(2 * VALUE_BYTES)?; // a list that grows has room for twice its items
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let own = if map.is_empty() {
                OBJECT_BYTES
            } else {
                3 * VALUE_BYTES
            };
            self.take(own + key.len())?;
            let value = members.next_value_seed(Bounded(self.0))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
