//! Names for the values of a node: the editor keeps an array, and only the node's code knows what
//! its places mean.

use std::collections::HashMap;

use super::definition::DrawnInput;
use crate::generators::comfyui::classes;
use crate::generators::comfyui::document::{Json, Members};

/// The values set in a node.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    pub named: Vec<(&'a str, &'a Json<'a>)>,
    /// Strings whose names nobody knows, in their order.
    pub loose: Vec<&'a str>,
}

impl<'a> Values<'a> {
    /// The values by their names; of two with one name the first.
    pub fn by_name(&self) -> HashMap<&'a str, &'a Json<'a>> {
        self.named.iter().rev().copied().collect()
    }

    /// Replaces a value, or adds it. Values without a name take the place of all such.
    pub fn set_all(&mut self, values: &[(&'a str, &'a Json<'a>)]) {
        if values.iter().any(|(name, _)| name.is_empty()) {
            self.loose.clear();
        }
        let places = self.named.iter().map(|(name, _)| *name).enumerate();
        let places: HashMap<&str, usize> = places.map(|(at, name)| (name, at)).collect();
        for &(name, value) in values {
            if name.is_empty() {
                self.loose.extend(strings(value));
                continue;
            }
            let place = places.get(name).and_then(|&at| self.named.get_mut(at));
            match place {
                Some(found) => found.1 = value,
                None => self.named.push((name, value)),
            }
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
    json: &'a Members<'a>,
) -> Values<'a> {
    let named = |map: &'a Members<'a>| Values {
        named: map.iter().collect(),
        loose: Vec::new(),
    };
    match (json.get("widgets_values_named"), json.get("widgets_values")) {
        (Some(Json::Object(map)), _) if !map.is_empty() => named(map),
        (_, Some(Json::Object(map))) => named(map),
        (_, Some(Json::Array(values))) => name(class, inputs, values),
        _ => Values::default(),
    }
}

/// Names an array of values.
fn name<'a>(class: &str, inputs: &[DrawnInput<'a>], values: &'a [Json<'a>]) -> Values<'a> {
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
    values: &'a [Json<'a>],
) -> Vec<(&'a str, &'a Json<'a>)> {
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
fn align<'a>(names: &[&'a str], values: &'a [Json<'a>]) -> Option<Vec<(&'a str, &'a Json<'a>)>> {
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
    let empty = |value: &Json<'_>| {
        matches!(value, Json::Null | Json::Bool(_)) || value.as_str() == Some("image")
    };
    (!names.is_empty() && rest.all(empty)).then_some(named)
}

/// The strings of a value; some nodes keep lists of them.
fn strings<'a>(value: &'a Json<'_>) -> Vec<&'a str> {
    match value {
        Json::String(text) => vec![text.as_ref()],
        Json::Array(values) => values.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}
