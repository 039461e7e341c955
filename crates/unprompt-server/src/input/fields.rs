//! The options beside the pictures or texts of a request.

use crate::error::ServeError;
use serde_json::{Map, Value};

/// Options by name. In JSON they have their types; in multipart all are texts.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) Map<String, Value>);

impl Fields {
    /// A switch.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub(crate) fn switch(&mut self, name: &str) -> Result<Option<bool>, ServeError> {
        self.take(name, "true or false", |value| match value {
            Value::Bool(value) => Some(value),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
    }

    /// A count.
    ///
    /// # Errors
    /// When it is no whole number from 0 up to `most`.
    pub(crate) fn count(&mut self, name: &str, most: usize) -> Result<Option<usize>, ServeError> {
        let needed = format!("a whole number up to {most}");
        self.take(name, &needed, |value| {
            let number = match value {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.parse().ok(),
                _ => None,
            };
            let number = usize::try_from(number?).ok()?;
            (number <= most).then_some(number)
        })
    }

    /// A text.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ServeError> {
        self.take(name, "a text", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// Nothing may be left that nobody asked for.
    ///
    /// # Errors
    /// When something is.
    pub(crate) fn finish(self) -> Result<(), ServeError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name = Value::from(name.as_str());
                Err(ServeError::invalid(format!(
                    "there is no option {name} here; see /docs"
                )))
            }
        }
    }

    fn take<T>(
        &mut self,
        name: &str,
        needed: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, ServeError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(ServeError::invalid(format!("`{name}`: {needed} is needed"))),
            },
        }
    }
}
