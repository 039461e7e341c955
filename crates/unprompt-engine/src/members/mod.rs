//! The members of a preset: one file a kind, from its fields to its result.
//!
//! To add a kind, write its file after the pattern of `prior.rs` and name it in [`KINDS`].

mod captioner;
mod head;
mod interrogator;
pub(crate) mod kind;
mod knn;
mod label_mean;
mod label_text;
pub(crate) mod loader;
mod prior;
mod regressor;
mod remote;
mod retrieval;

use kind::{Before, MemberKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{borrow::Cow, sync::Arc};

/// Every kind, by the name that presets give it.
const KINDS: [(&str, Parse, Fields); 10] = [
    (
        "label-text",
        parse::<label_text::LabelText>,
        fields::<label_text::LabelText>,
    ),
    (
        "label-mean",
        parse::<label_mean::LabelMean>,
        fields::<label_mean::LabelMean>,
    ),
    (
        "head",
        parse::<head::HeadMember>,
        fields::<head::HeadMember>,
    ),
    (
        "regressor",
        parse::<regressor::Regressor>,
        fields::<regressor::Regressor>,
    ),
    (
        "captioner",
        parse::<captioner::CaptionerMember>,
        fields::<captioner::CaptionerMember>,
    ),
    (
        "remote",
        parse::<remote::RemoteMember>,
        fields::<remote::RemoteMember>,
    ),
    (
        "interrogator",
        parse::<interrogator::InterrogatorMember>,
        fields::<interrogator::InterrogatorMember>,
    ),
    ("prior", parse::<prior::Prior>, fields::<prior::Prior>),
    (
        "retrieval",
        parse::<retrieval::Retrieval>,
        fields::<retrieval::Retrieval>,
    ),
    ("knn", parse::<knn::Knn>, fields::<knn::Knn>),
];

/// From a member's table, without name, weight and kind, to its fields.
type Parse = fn(toml::Table) -> Result<Arc<dyn MemberKind>, toml::de::Error>;

fn parse<K: MemberKind + DeserializeOwned + 'static>(
    table: toml::Table,
) -> Result<Arc<dyn MemberKind>, toml::de::Error> {
    Ok(Arc::new(K::deserialize(table)?))
}

/// A kind's fields as a JSON schema, without name, weight and kind.
type Fields = fn(&mut SchemaGenerator) -> Schema;

fn fields<K: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    K::json_schema(generator)
}

/// One member of a preset.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct MemberSpec {
    /// Its name, as records show it and other members refer to it.
    pub name: String,
    /// Its weight in the blend, not negative. With 0 it is still computed: its text may become the
    /// prompt, and others may build upon it.
    pub weight: f64,
    pub(crate) kind: Arc<dyn MemberKind>,
}

impl TryFrom<toml::Table> for MemberSpec {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let name = match table.remove("name") {
            Some(toml::Value::String(name)) => name,
            _ => return Err("a member has no `name`".into()),
        };
        let named = |message: &str| format!("member `{name}`: {message}");
        let weight = match table.remove("weight") {
            Some(toml::Value::Float(weight)) => weight,
            Some(toml::Value::Integer(weight)) => weight as f64,
            _ => return Err(named("`weight` is not a number")),
        };
        let kind = match table.remove("kind") {
            Some(toml::Value::String(kind)) => kind,
            _ => return Err(named("it has no `kind`")),
        };
        let Some((_, parse, _)) = KINDS.iter().find(|(known, ..)| *known == kind) else {
            let known: Vec<&str> = KINDS.iter().map(|(known, ..)| *known).collect();
            let known = known.join(", ");
            return Err(named(&format!("unknown kind `{kind}`; known are {known}")));
        };
        let kind = parse(table).map_err(|error| named(error.message()))?;
        Ok(Self { name, weight, kind })
    }
}

impl JsonSchema for MemberSpec {
    fn schema_name() -> Cow<'static, str> {
        "Member".into()
    }

    /// One of the kinds, each with its own fields.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kind = |(kind, _, fields): &(&str, Parse, Fields)| -> Value {
            let mut schema = fields(generator);
            let object = schema.ensure_object();
            object.insert("title".into(), (*kind).into());
            for (name, field) in [
                (
                    "name",
                    json!({ "type": "string", "description": "What records call it." }),
                ),
                (
                    "weight",
                    json!({ "type": "number", "minimum": 0, "description": "Its weight in the blend." }),
                ),
                ("kind", json!({ "const": kind })),
            ] {
                let properties = object.entry("properties").or_insert_with(|| json!({}));
                properties[name] = field;
                let required = object.entry("required").or_insert_with(|| json!([]));
                required
                    .as_array_mut()
                    .into_iter()
                    .for_each(|required| required.push(name.into()));
            }
            schema.to_value()
        };
        let kinds: Vec<Value> = KINDS.iter().map(kind).collect();
        json_schema!({ "oneOf": kinds })
    }
}

impl MemberSpec {
    /// The models it runs, as the preset names them.
    pub fn models(&self) -> Vec<&str> {
        self.kind.models()
    }

    /// The list of prompts whose sentence embeddings it needs, if any.
    pub fn prompts(&self) -> Option<&str> {
        self.kind.prompts()
    }

    /// What is wrong with it, given the members that stand before it.
    pub(crate) fn check(&self, before: &[Self]) -> Result<(), String> {
        if !(self.weight >= 0.0 && self.weight.is_finite()) {
            return Err(format!("weight {}", self.weight));
        }
        self.kind.check(&Self::before(before))
    }

    /// Members as the next one sees them.
    pub(crate) fn before(members: &[Self]) -> Before<'_> {
        let members = members.iter();
        Before {
            members: members
                .map(|member| (member.name.as_str(), &*member.kind))
                .collect(),
        }
    }
}

/// What a soft-max may divide by.
fn check_temperature(temperature: f64) -> Result<(), String> {
    if temperature > 0.0 && temperature.is_finite() {
        Ok(())
    } else {
        Err(format!("temperature {temperature}, which must be above 0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../../../../docs/presets.md");

    /// The names of a kind's fields, from what serde says of one that is none.
    fn names(parse: Parse) -> Vec<String> {
        let mut table = toml::Table::new();
        table.insert("?".into(), 0.into());
        let error = parse(table).unwrap_err();
        let (_, expected) = error.message().split_once("expected").unwrap();
        let quoted = expected.split('`').skip(1).step_by(2);
        quoted.map(String::from).collect()
    }

    #[test]
    fn the_documentation_has_every_kind_with_every_field() {
        for (kind, parse, _) in KINDS {
            let start = format!("| `{kind}` |");
            let row = DOCS.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("docs/presets.md has no row of `{kind}`"));
            let fields = names(parse);
            assert!(!fields.is_empty());
            for field in fields {
                assert!(row.contains(&format!("`{field}`")), "{kind}: `{field}`");
            }
        }
    }

    #[test]
    fn a_member_is_its_name_its_weight_and_the_fields_of_its_kind() {
        let parse = |text: &str| MemberSpec::try_from(toml::from_str::<toml::Table>(text).unwrap());
        let spec = parse("name = 'p'\nweight = 1\nkind = 'prior'\nprompts = 'parti'").unwrap();
        assert_eq!((spec.name.as_str(), spec.weight), ("p", 1.0));
        assert_eq!(spec.prompts(), Some("parti"));
        for (text, expected) in [
            ("weight = 1\nkind = 'prior'\nprompts = 'parti'", "no `name`"),
            ("name = 'p'\nkind = 'prior'\nprompts = 'parti'", "`weight`"),
            ("name = 'p'\nweight = 1\nprompts = 'parti'", "no `kind`"),
            (
                "name = 'p'\nweight = 1\nkind = 'poem'",
                "`poem`; known are label-text,",
            ),
            ("name = 'p'\nweight = 1\nkind = 'prior'", "prompts"),
            (
                "name = 'p'\nweight = 1\nkind = 'prior'\nprompts = 'a'\ntop = 1",
                "`top`",
            ),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
