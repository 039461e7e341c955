//! A part's configuration file, of which every switch is either built or refused by name.

use crate::error::{Result, configuration};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use unprompt_models::parts::read_json;

/// A configuration file.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    path: PathBuf,
    values: Map<String, Value>,
}

impl Configuration {
    /// Reads a JSON object.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let values = read_json(path)?;
        Ok(Self::new(path, values))
    }

    /// Of values that were read otherwise.
    pub(crate) fn new(path: &Path, values: Map<String, Value>) -> Self {
        Self {
            path: path.to_owned(),
            values,
        }
    }

    /// A setting, or `default` where it is not there or null.
    pub(crate) fn or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// A setting, or `None` where it is not there or null.
    pub(crate) fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match serde_json::from_value(value.clone()) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(self.refuse(&format!("`{key}`: {error}"))),
            },
        }
    }

    /// A setting that is one value for all `levels`, or a list of one for each.
    pub(crate) fn by_level<T: DeserializeOwned + Clone>(
        &self,
        key: &str,
        default: T,
        levels: usize,
    ) -> Result<Vec<T>> {
        if !matches!(self.values.get(key), Some(Value::Array(_))) {
            return Ok(vec![self.or(key, default)?; levels]);
        }
        let list: Vec<T> = self.or(key, Vec::new())?;
        if list.len() != levels {
            let found = list.len();
            return Err(self.refuse(&format!("`{key}` has {found} values for {levels} levels")));
        }
        Ok(list)
    }

    /// Refuses a setting that is there with another value than the one that is built.
    pub(crate) fn only(&self, key: &str, built: &Value) -> Result<()> {
        let same = match (self.values.get(key), built) {
            (None | Some(Value::Null), _) => true,
            (Some(Value::Number(found)), Value::Number(built)) => found.as_f64() == built.as_f64(),
            (Some(found), built) => found == built,
        };
        if same {
            return Ok(());
        }
        let found = self.values.get(key).unwrap_or(&Value::Null);
        Err(self.refuse(&format!("`{key}` {found} is not built; {built} is")))
    }

    /// An error about this file.
    pub(crate) fn refuse(&self, message: &str) -> crate::DiffusionError {
        configuration(&self.path, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(values: &Value) -> Configuration {
        let values = values.as_object().cloned().unwrap();
        Configuration::new(Path::new("unet/config.json"), values)
    }

    #[test]
    fn what_is_not_built_is_named_with_the_file() {
        let found = of(&json!({"a": "mish", "scale": 1.0, "none": null, "odd": 2}));
        assert!(found.only("absent", &json!("silu")).is_ok());
        assert!(found.only("none", &json!("silu")).is_ok());
        assert!(found.only("scale", &json!(1)).is_ok());
        let error = found.only("a", &json!("silu")).unwrap_err().to_string();
        assert_eq!(
            error,
            "unet/config.json: `a` \"mish\" is not built; \"silu\" is"
        );
        let error = found.or("a", 3usize).unwrap_err().to_string();
        assert!(error.starts_with("unet/config.json: `a`: "), "{error}");
        assert_eq!(found.or("none", 3usize).unwrap(), 3);
        assert_eq!(found.by_level("odd", 1, 3).unwrap(), [2, 2, 2]);
    }

    #[test]
    fn a_list_has_a_value_for_each_level() {
        let found = of(&json!({"heads": [5, 10]}));
        assert_eq!(found.by_level("heads", 8, 2).unwrap(), [5, 10]);
        assert!(found.by_level("heads", 8, 3).is_err());
    }
}
