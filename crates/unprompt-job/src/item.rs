//! One thing to be done.

use crate::record::{Column, ERROR, ID};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line of the list: a name of its own, and what a worker has to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its name; no other item of the list has it.
    pub id: String,
    /// Everything else. What is also a column of the records is copied into the record of a failure.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Item {
    /// The record of an item that nothing came of.
    pub(crate) fn failure(&self, columns: &[Column], error: &str) -> String {
        let mut record = Map::new();
        record.insert(ID.into(), self.id.clone().into());
        for column in columns {
            if let Some(value) = self.fields.get(&column.name) {
                record.insert(column.name.clone(), value.clone());
            }
        }
        record.insert(ERROR.into(), error.into());
        Value::Object(record).to_string()
    }
}
