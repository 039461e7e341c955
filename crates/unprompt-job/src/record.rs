//! Records as lines of JSON and as rows of a table.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unprompt_table::{Cell, Field, Kind};

/// The first column of every record.
pub(crate) const ID: &str = "id";
/// The last one: why nothing came of the item.
pub(crate) const ERROR: &str = "error";

/// A column of the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The key in the records.
    pub name: String,
    /// What its values are.
    pub kind: ColumnKind,
}

/// What the values of a column are; each may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// Text.
    Text,
    /// f64.
    Number,
    /// So many f32, at least one. A table has NaN where there is none.
    Vector(usize),
    /// Anything, which a table holds as its JSON.
    Json,
}

impl Column {
    /// A column.
    pub fn new(name: &str, kind: ColumnKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
        }
    }
}

/// `id`, the work's own columns, and `error`.
pub(crate) fn all(columns: &[Column]) -> Vec<Column> {
    let mut all = vec![Column::new(ID, ColumnKind::Text)];
    all.extend_from_slice(columns);
    all.push(Column::new(ERROR, ColumnKind::Text));
    all
}

/// The fields of a table of [`all`] columns.
pub(crate) fn fields(columns: &[Column]) -> Vec<Field> {
    let field = |column: &Column| Field {
        name: column.name.clone(),
        kind: match column.kind {
            ColumnKind::Text | ColumnKind::Json => Kind::Text,
            ColumnKind::Number => Kind::Number,
            ColumnKind::Vector(width) => Kind::Vector(width),
        },
    };
    columns.iter().map(field).collect()
}

/// The row of a line of JSON, of [`all`] columns; other keys are left out.
pub(crate) fn row(columns: &[Column], line: &str) -> Result<Vec<Cell>, String> {
    let mut record: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let cell = |column: &Column| -> Result<Cell, String> {
        let wrong = || format!("`{}` is not {:?}", column.name, column.kind);
        Ok(match (record.remove(&column.name), column.kind) {
            (None | Some(Value::Null), _) => Cell::Null,
            (Some(Value::String(text)), ColumnKind::Text) => Cell::Text(text),
            (Some(value), ColumnKind::Json) => Cell::Text(value.to_string()),
            (Some(value), ColumnKind::Number) => Cell::Number(value.as_f64().ok_or_else(wrong)?),
            (Some(value), ColumnKind::Vector(width)) => {
                let vector: Vec<f32> = serde_json::from_value(value).map_err(|_| wrong())?;
                if vector.len() != width {
                    return Err(wrong());
                }
                Cell::Vector(vector)
            }
            (Some(_), ColumnKind::Text) => return Err(wrong()),
        })
    };
    columns.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_row() {
        let columns = all(&[
            Column::new("embedding", ColumnKind::Vector(2)),
            Column::new("labels", ColumnKind::Json),
            Column::new("score", ColumnKind::Number),
        ]);
        let line = r#"{"id":"a","embedding":[0.1,-2],"labels":[{"a":1}],"score":3,"other":1}"#;
        let expected = [
            Cell::Text("a".into()),
            Cell::Vector(vec![0.1, -2.0]),
            Cell::Text(r#"[{"a":1}]"#.into()),
            Cell::Number(3.0),
            Cell::Null,
        ];
        assert_eq!(row(&columns, line).unwrap(), expected);
        for wrong in [
            r#"{"embedding":[1]}"#,
            r#"{"score":"x"}"#,
            r#"{"id":1}"#,
            "{",
        ] {
            assert!(row(&columns, wrong).is_err(), "{wrong}");
        }
    }
}
