//! The JSON of a graph, in bounded memory.
//!
//! A graph may hold whole pictures as base64 (nodes that take or mask one), far more than all the
//! rest. They are left out while the text is read, so that a graph is as large as its nodes; strings
//! without escapes stay where they are in the text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::json::{Budget, without_non_numbers};
use crate::limits::{MAX_GRAPH_BYTES, MAX_PROMPT_BYTES, MAX_TEXT_BYTES};

/// A value of a graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Members<'a>),
}

/// The members of an object, in their order. Graphs have few in an object; where one has many, it is
/// gone through once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Members<'a> {
    /// The first member of this name.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        let mut members = self.0.iter();
        members.find(|(key, _)| key == name).map(|(_, json)| json)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(key, json)| (key.as_ref(), json))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a Map<String, Value>> for Members<'a> {
    fn from(map: &'a Map<String, Value>) -> Self {
        let members = map.iter();
        Self(members.map(|(key, v)| (key.into(), v.into())).collect())
    }
}

impl<'a> From<&'a Value> for Json<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::String(text.into()),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(map) => Self::Object(map.into()),
        }
    }
}

impl<'a> Json<'a> {
    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.as_object()?.get(name)
    }

    pub fn as_object(&self) -> Option<&Members<'a>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Json<'a>]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }
}

/// Hands the object that a text holds to `read`; strings longer than any prompt are empty in it.
/// `None` when the text is no object as `json::object` parses it, or when its values take more memory
/// than those of any graph, or than the budget has left.
pub(super) fn with_object<T>(
    text: &str,
    budget: &Budget,
    read: impl FnOnce(&Members<'_>) -> T,
) -> Option<T> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    if !text.starts_with('{') || text.len() > MAX_TEXT_BYTES {
        return None;
    }
    if let Some(members) = parse(text, budget) {
        return Some(read(&members));
    }
    match without_non_numbers(text) {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => parse(&text, budget).map(|members| read(&members)),
    }
}

fn parse<'a>(text: &'a str, budget: &Budget) -> Option<Members<'a>> {
    let most = MAX_GRAPH_BYTES.min(budget.left());
    let mut room = most;
    let mut reader = serde_json::Deserializer::from_str(text);
    let json = Bounded(&mut room).deserialize(&mut reader);
    budget.take(most - room);
    let json = json.ok()?;
    reader.end().ok()?;
    match json {
        Json::Object(members) => Some(members),
        _ => None,
    }
}

/// What a list costs beside its items, and an item, with the room that a growing list keeps.
const LIST_BYTES: usize = 32;
const ITEM_BYTES: usize = 48;
const MEMBER_BYTES: usize = 84;

/// Members that only say how a node looks.
const LOOKS: [&str; 6] = [
    "bgcolor",
    "bounding",
    "flags",
    "groups",
    "localized_name",
    "slot_index",
];

/// Makes a value and counts its memory.
struct Bounded<'r>(&'r mut usize);

impl Bounded<'_> {
    fn take<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        let left = self.0.checked_sub(bytes);
        *self.0 = left.ok_or_else(|| E::custom("more values than a graph has"))?;
        Ok(())
    }
}

/// The name of a member.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Json<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Json<'de>, E> {
        let text = if text.len() > MAX_PROMPT_BYTES {
            ""
        } else {
            text
        };
        Ok(Json::String(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Json<'de>, E> {
        if text.len() > MAX_PROMPT_BYTES {
            return Ok(Json::String(Cow::Borrowed("")));
        }
        self.take(text.len() + LIST_BYTES)?;
        Ok(Json::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Json<'de>, A::Error> {
        self.take(LIST_BYTES)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Bounded(self.0))? {
            self.take(ITEM_BYTES)?;
            list.push(item);
        }
        list.shrink_to_fit();
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Json<'de>, A::Error> {
        self.take(LIST_BYTES)?;
        let mut list = Vec::new();
        while let Some(key) = members.next_key_seed(Key)? {
            if LOOKS.contains(&key.as_ref()) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            self.take(MEMBER_BYTES)?;
            list.push((key, members.next_value_seed(Bounded(self.0))?));
        }
        list.shrink_to_fit();
        Ok(Json::Object(Members(list)))
    }
}
