//! Rows into a file, a row group at a time.

use crate::arrow_schema::{self, ArrowColumn, ArrowKind};
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, DoubleType, FloatType},
    errors::{ParquetError, Result},
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::parser::parse_message_type,
};
use std::{io::Write, iter::repeat_n, sync::Arc};

/// A column; every row may be without a value. A vector that is not there is written as one of NaN:
/// arrow's readers before 2025 refuse a file in which a list of fixed size is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// What is in it.
    pub kind: Kind,
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// f64.
    Number,
    /// Lists of so many f32, at least one.
    Vector(usize),
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// Of a column of texts.
    Text(String),
    /// Of a column of numbers.
    Number(f64),
    /// Of a column of vectors.
    Vector(Vec<f32>),
}

/// A file that is being written.
pub struct TableWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    fields: Vec<Field>,
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a file with notes of its own, keys and values.
    ///
    /// # Errors
    /// When the fields make no schema or nothing can be written.
    pub fn new(output: W, fields: &[Field], notes: &[(&str, String)]) -> Result<Self> {
        let notes = notes.iter();
        let notes = notes.map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let mut notes: Vec<KeyValue> = notes.collect();
        let schema = KeyValue::new(arrow_schema::KEY.to_owned(), arrow_columns(fields)?);
        notes.push(schema);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_dictionary_enabled(false)
            .set_key_value_metadata(Some(notes))
            .build();
        let schema = Arc::new(parse_message_type(&message_type(fields))?);
        Ok(Self {
            writer: SerializedFileWriter::new(output, schema, Arc::new(properties))?,
            fields: fields.to_owned(),
        })
    }

    /// Writes rows as one row group; each has one cell a field.
    ///
    /// # Errors
    /// When a cell is not of its field's kind or nothing can be written.
    pub fn write_group(&mut self, rows: &[Vec<Cell>]) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for (index, field) in self.fields.iter().enumerate() {
            let missing = || ParquetError::General("the schema has too few columns".to_owned());
            let mut column = group.next_column()?.ok_or_else(missing)?;
            let cells = rows.iter().map(|row| row.get(index).unwrap_or(&Cell::Null));
            write_column(&mut column, field, cells)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn close(self) -> Result<()> {
        self.writer.close()?;
        Ok(())
    }
}

fn write_column<'a>(
    column: &mut SerializedColumnWriter<'_>,
    field: &Field,
    cells: impl Iterator<Item = &'a Cell>,
) -> Result<()> {
    let refused = |cell: &Cell| {
        ParquetError::General(format!("{cell:?} does not belong in `{}`", field.name))
    };
    let mut levels: Vec<i16> = Vec::new();
    match field.kind {
        Kind::Text => {
            let mut values: Vec<ByteArray> = Vec::new();
            for cell in cells {
                levels.push(i16::from(*cell != Cell::Null));
                match cell {
                    Cell::Null => {}
                    Cell::Text(text) => values.push(text.as_str().into()),
                    other => return Err(refused(other)),
                }
            }
            let column = column.typed::<ByteArrayType>();
            column.write_batch(&values, Some(&levels), None)?;
        }
        Kind::Number => {
            let mut values: Vec<f64> = Vec::new();
            for cell in cells {
                levels.push(i16::from(*cell != Cell::Null));
                match cell {
                    Cell::Null => {}
                    Cell::Number(number) => values.push(*number),
                    other => return Err(refused(other)),
                }
            }
            let column = column.typed::<DoubleType>();
            column.write_batch(&values, Some(&levels), None)?;
        }
        Kind::Vector(width) => {
            let mut values: Vec<f32> = Vec::new();
            for cell in cells {
                match cell {
                    Cell::Null => values.extend(repeat_n(f32::NAN, width)),
                    Cell::Vector(vector) if vector.len() == width => values.extend(vector),
                    Cell::Vector(vector) => {
                        let message = format!(
                            "`{}` has {} numbers where {width} are expected",
                            field.name,
                            vector.len()
                        );
                        return Err(ParquetError::General(message));
                    }
                    other => return Err(refused(other)),
                }
            }
            // A list begins with its first number, and all of them are there.
            levels.resize(values.len(), 1);
            let repeated = (0..values.len()).map(|place| i16::from(place % width != 0));
            let repeated: Vec<i16> = repeated.collect();
            let column = column.typed::<FloatType>();
            column.write_batch(&values, Some(&levels), Some(&repeated))?;
        }
    }
    Ok(())
}

fn arrow_columns(fields: &[Field]) -> Result<String> {
    let column = |field: &Field| {
        let kind = match field.kind {
            Kind::Text => ArrowKind::Text,
            Kind::Number => ArrowKind::Double,
            Kind::Vector(width) => ArrowKind::Vector(i32::try_from(width)?),
        };
        Ok((field.name.clone(), kind))
    };
    let columns: Result<Vec<_>> = fields.iter().map(column).collect();
    let columns = columns?;
    let columns: Vec<ArrowColumn<'_>> = columns
        .iter()
        .map(|(name, kind)| ArrowColumn {
            name,
            kind: *kind,
            nullable: !matches!(kind, ArrowKind::Vector(_)),
        })
        .collect();
    Ok(arrow_schema::encoded(&columns))
}

fn message_type(fields: &[Field]) -> String {
    let field = |Field { name, kind }: &Field| match kind {
        Kind::Text => format!("OPTIONAL BYTE_ARRAY {name} (STRING);"),
        Kind::Number => format!("OPTIONAL DOUBLE {name};"),
        Kind::Vector(_) => format!(
            "REQUIRED GROUP {name} (LIST) {{ REPEATED GROUP list {{ REQUIRED FLOAT item; }} }}"
        ),
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("message arrow_schema {{ {} }}", fields.join("\n"))
}
