//! Names for the values of a node: the editor keeps an array, and only the node's code knows what
//! its places mean.

use serde_json::{Map, Value};

use super::definition::DrawnInput;
use crate::generators::comfyui::classes;

/// The values set in a node.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    pub named: Vec<(&'a str, &'a Value)>,
    /// Strings whose names nobody knows, in their order.
    pub loose: Vec<&'a str>,
}

impl<'a> Values<'a> {
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.named.iter().find(|(of, _)| *of == name);
        found.map(|(_, value)| *value)
    }

    /// Replaces a value, or adds it. Values without a name take the place of all such.
    pub fn set_all(&mut self, values: &[(&'a str, &'a Value)]) {
        if values.iter().any(|(name, _)| name.is_empty()) {
            self.loose.clear();
        }
        for &(name, value) in values {
            if name.is_empty() {
                self.loose.extend(strings(value));
            } else {
                self.set(name, value);
            }
        }
    }

    fn set(&mut self, name: &'a str, value: &'a Value) {
        match self.named.iter_mut().find(|(of, _)| *of == name) {
            Some(found) => found.1 = value,
            None => self.named.push((name, value)),
        }
    }
}

/// Reads a node's values.
///
/// Names come, in this order, from the file itself (newer editors keep them beside the array, or an
/// object in its place), from the inputs that stand for values if every value has one, and from the
/// class table.
pub(super) fn read<'a>(
    class: &str,
    inputs: &[DrawnInput<'a>],
    json: &'a Map<String, Value>,
) -> Values<'a> {
    let named = |map: &'a Map<String, Value>| Values {
        named: map.iter().map(|(name, v)| (name.as_str(), v)).collect(),
        loose: Vec::new(),
    };
    match (json.get("widgets_values_named"), json.get("widgets_values")) {
        (Some(Value::Object(map)), _) if !map.is_empty() => named(map),
        (_, Some(Value::Object(map))) => named(map),
        (_, Some(Value::Array(values))) => name(class, inputs, values),
        _ => Values::default(),
    }
}

/// Names an array of values.
fn name<'a>(class: &str, inputs: &[DrawnInput<'a>], values: &'a [Value]) -> Values<'a> {
    let widgets: Vec<&'a str> = inputs
        .iter()
        .filter(|input| input.is_widget)
        .map(|input| input.name)
        .collect();
    if let Some(named) = align(&widgets, values) {
        return Values {
            named,
            loose: Vec::new(),
        };
    }
    if let Some(row) = classes::find(class)
        && !row.widgets.is_empty()
    {
        let named = row.widgets.split(',').zip(values);
        return Values {
            named: named.filter(|(name, _)| *name != "_").collect(),
            loose: Vec::new(),
        };
    }
    Values {
        named: Vec::new(),
        loose: values.iter().flat_map(strings).collect(),
    }
}

/// Names the values of a part of a group node, from which those that became inputs are left out.
/// Values without a known name get an empty one.
pub(super) fn name_without<'a>(
    class: &str,
    left_out: &[&str],
    values: &'a [Value],
) -> Vec<(&'a str, &'a Value)> {
    let widgets = classes::find(class).map_or("", |row| row.widgets);
    let names = widgets.split(',').filter(|name| !left_out.contains(name));
    let mut names = names.filter(|_| !widgets.is_empty());
    let named = values
        .iter()
        .map(|value| (names.next().unwrap_or_default(), value));
    named.filter(|(name, _)| *name != "_").collect()
}

/// Gives every value a name, if the names are those of all values. After a seed the editor keeps
/// what to do with it after a run.
fn align<'a>(names: &[&'a str], values: &'a [Value]) -> Option<Vec<(&'a str, &'a Value)>> {
    const AFTER_A_SEED: [&str; 4] = ["fixed", "increment", "decrement", "randomize"];
    let mut spare = values.len().checked_sub(names.len())?;
    let mut rest = values.iter().peekable();
    let mut named = Vec::with_capacity(names.len());
    for name in names {
        named.push((*name, rest.next()?));
        let control = rest.peek().and_then(|value| value.as_str());
        if spare > 0 && control.is_some_and(|value| AFTER_A_SEED.contains(&value)) {
            rest.next();
            spare -= 1;
        }
    }
    // Buttons and previews keep empty values at the end.
    let empty = |value: &Value| matches!(value, Value::Null | Value::Bool(_)) || value == "image";
    (!names.is_empty() && rest.all(empty)).then_some(named)
}

/// The strings of a value; some nodes keep lists of them.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
