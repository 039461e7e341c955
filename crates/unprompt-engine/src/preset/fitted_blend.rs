//! Fitted weights and a calibration, written into a preset without touching the rest of it.

use crate::{
    error::{EngineError, Result},
    preset::{Preset, calibration::Calibration},
};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

/// What a preset of members alone lacks, as its first lines say.
const UNFINISHED: &str = "\
# Weights that `unprompt blend fit` found. Not a whole preset yet: it wants a name, an encoder, and the
# kind of each member with the fields of that kind. `--preset` sets the weights in a preset that has them.
";

/// What was fitted for a preset.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedBlend {
    /// Members by name, each with its weight.
    pub weights: Vec<(String, f64)>,
    /// Whether the weights count for members of unit length.
    pub normalize_members: bool,
    /// What score to expect; `None` removes what the preset says of it.
    pub calibration: Option<Calibration>,
}

impl FittedBlend {
    /// The text of the preset `base`, a name or a file, with these weights and this calibration, under
    /// the name `name`. Everything else stays as it is, comments too. The result is a valid preset.
    ///
    /// # Errors
    /// When there is no such preset, it has no member of one of the names, or a member that has a
    /// weight there is not among them.
    pub fn write_into(&self, base: &str, name: &str) -> Result<String> {
        let failed = |message: String| EngineError::Preset {
            preset: format!("`{base}`"),
            message,
        };
        let preset = Preset::load(base)?;
        preset.match_members(self.weights.iter().map(|(name, _)| name.as_str()))?;
        let fitted = |name: &str| self.weights.iter().find(|(fitted, _)| fitted == name);
        let text = Preset::text(base)?;
        let document: std::result::Result<DocumentMut, _> = text.parse();
        let mut document = document.map_err(|error| failed(error.to_string()))?;
        set(document.as_table_mut(), "name", name.into());
        if let Some(members) = document
            .get_mut("member")
            .and_then(Item::as_array_of_tables_mut)
        {
            for member in members.iter_mut() {
                let name = member
                    .get("name")
                    .and_then(Item::as_str)
                    .unwrap_or_default();
                if let Some((_, weight)) = fitted(name) {
                    set(member, "weight", (*weight).into());
                }
            }
        } else {
            return Err(failed("its members are not tables of `[[member]]`".into()));
        }
        document.remove("calibration");
        if let Some(calibration) = &self.calibration {
            document.insert("calibration", Item::Table(table(calibration)));
        }
        let text = document.to_string();
        Preset::parse(&format!("`{base}` with the fitted weights"), &text)?;
        Ok(text)
    }

    /// The weights and the calibration alone, as the part of a preset that they are.
    pub fn write_alone(&self) -> String {
        let mut document = DocumentMut::new();
        document.insert("normalize_members", value(self.normalize_members));
        if let Some(mut key) = document.key_mut("normalize_members") {
            key.leaf_decor_mut().set_prefix(UNFINISHED);
        }
        let mut members = ArrayOfTables::new();
        for (name, weight) in &self.weights {
            let mut member = Table::new();
            member.insert("name", value(name));
            member.insert("weight", value(*weight));
            members.push(member);
        }
        document.insert("member", Item::ArrayOfTables(members));
        if let Some(calibration) = &self.calibration {
            document.insert("calibration", Item::Table(table(calibration)));
        }
        document.to_string()
    }
}

impl Preset {
    /// Checks that weights of these members can become its own.
    ///
    /// # Errors
    /// When it has no member of one of the names, or a member that has a weight is not among them.
    pub fn match_members<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let failed = |message: String| EngineError::Preset {
            preset: format!("`{}`", self.name),
            message,
        };
        for name in names.clone() {
            if !self.members.iter().any(|member| member.name == name) {
                let own: Vec<&str> = self.members.iter().map(|m| m.name.as_str()).collect();
                let own = own.join(", ");
                return Err(failed(format!(
                    "it has no member `{name}`, only {own}; NAME=FILE gives a file's member its name"
                )));
            }
        }
        for member in &self.members {
            let (name, weight) = (&member.name, member.weight);
            if weight > 0.0 && !names.clone().any(|given| given == name) {
                return Err(failed(format!(
                    "its member `{name}` has the weight {weight}, and no file says what it gave"
                )));
            }
        }
        Ok(())
    }
}

/// Replaces a value; what stands around it, such as a comment behind it, stays.
fn set(table: &mut Table, key: &str, new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(key, Item::Value(new));
        }
    }
}

fn table(calibration: &Calibration) -> Table {
    let mut points = Array::new();
    for point in &calibration.points {
        let mut corner = Value::from(Array::from_iter(*point));
        corner.decor_mut().set_prefix("\n    ");
        points.push_formatted(corner);
    }
    points.set_trailing("\n");
    points.set_trailing_comma(true);
    let mut table = Table::new();
    // Behind all else, wherever the members stand in the file.
    table.set_position(Some(isize::MAX));
    table.insert("feature", value(calibration.feature.name()));
    table.insert("points", value(points));
    table.decor_mut().set_prefix("\n");
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::calibration::ConfidenceFeature;

    const LABELS: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../unprompt-cli/bench/labels.toml"
    );

    fn fitted(weights: &[(&str, f64)]) -> FittedBlend {
        FittedBlend {
            weights: weights
                .iter()
                .map(|(name, w)| ((*name).to_owned(), *w))
                .collect(),
            normalize_members: true,
            calibration: Some(Calibration {
                feature: ConfidenceFeature::Text,
                points: vec![[0.3, 0.2], [0.5, 0.4]],
            }),
        }
    }

    #[test]
    fn weights_and_calibration_change_and_nothing_else_does() {
        let blend = fitted(&[("labels", 0.25), ("conse", 0.0), ("retrieval", 0.75)]);
        let text = blend.write_into(LABELS, "own").unwrap();
        let preset = Preset::parse("own", &text).unwrap();
        assert_eq!(preset.name, "own");
        let weights: Vec<f64> = preset.members.iter().map(|member| member.weight).collect();
        assert_eq!(weights, [0.25, 0.0, 0.75]);
        assert_eq!(preset.calibration, blend.calibration);
        let before = Preset::text(LABELS).unwrap();
        // What is said of the old calibration goes with it.
        let (before, _) = before.split_once("# Fitted by").unwrap();
        let comments = |text: &str| -> Vec<String> {
            let comments = text.lines().filter(|line| line.starts_with('#'));
            comments.map(String::from).collect()
        };
        assert!(comments(before).len() > 4);
        assert_eq!(comments(&text), comments(before));
        assert!(text.contains("query = \"conse\""));
        // Once more: the same.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        std::fs::write(&path, &text).unwrap();
        assert_eq!(
            blend.write_into(path.to_str().unwrap(), "own").unwrap(),
            text
        );
    }

    #[test]
    fn members_that_do_not_match_are_refused() {
        let message = |weights: &[(&str, f64)]| {
            let error = fitted(weights).write_into(LABELS, "own").unwrap_err();
            error.to_string()
        };
        assert!(message(&[("poem", 1.0)]).contains("no member `poem`"));
        assert!(message(&[("labels", 1.0)]).contains("`retrieval` has the weight 1"));
        assert!(message(&[("retrieval", 0.0)]).contains("every weight is 0"));
    }

    #[test]
    fn weights_alone_say_what_is_missing() {
        let text = fitted(&[("a", 0.25), ("b \"quoted\"", 0.75)]).write_alone();
        assert!(text.starts_with("# Weights that"));
        let parsed: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(parsed["normalize_members"].as_bool(), Some(true));
        assert_eq!(parsed["member"][1]["name"].as_str(), Some("b \"quoted\""));
        assert_eq!(parsed["calibration"]["points"][1][1].as_float(), Some(0.4));
    }
}
