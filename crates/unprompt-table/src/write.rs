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
use std::{io::Write, sync::Arc};

/// A column; every row may be without a value.
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
    /// Lists of so many f32.
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
            // A list begins with its first number; one that is not there has a level of its own.
            let mut repeated: Vec<i16> = Vec::new();
            for cell in cells {
                match cell {
                    Cell::Null => {
                        levels.push(0);
                        repeated.push(0);
                    }
                    Cell::Vector(vector) if vector.len() == width && width > 0 => {
                        levels.extend(std::iter::repeat_n(2, width));
                        repeated.push(0);
                        repeated.extend(std::iter::repeat_n(1, width - 1));
                        values.extend(vector);
                    }
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
            nullable: true,
        })
        .collect();
    Ok(arrow_schema::encoded(&columns))
}

fn message_type(fields: &[Field]) -> String {
    let field = |Field { name, kind }: &Field| match kind {
        Kind::Text => format!("OPTIONAL BYTE_ARRAY {name} (STRING);"),
        Kind::Number => format!("OPTIONAL DOUBLE {name};"),
        Kind::Vector(_) => format!(
            "OPTIONAL GROUP {name} (LIST) {{ REPEATED GROUP list {{ REQUIRED FLOAT item; }} }}"
        ),
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("message arrow_schema {{ {} }}", fields.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteArrayType, DoubleType, Table};
    use arrow_array::{Array, FixedSizeListArray, Float32Array, Float64Array, StringArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use std::fs::File;

    fn fields() -> Vec<Field> {
        let field = |name: &str, kind| Field {
            name: name.into(),
            kind,
        };
        vec![
            field("id", Kind::Text),
            field("score", Kind::Number),
            field("embedding", Kind::Vector(3)),
        ]
    }

    fn rows() -> Vec<Vec<Cell>> {
        let text = |text: &str| Cell::Text(text.into());
        vec![
            vec![
                text("a"),
                Cell::Number(0.5),
                Cell::Vector(vec![1.0, 2.0, 3.0]),
            ],
            vec![text("b"), Cell::Null, Cell::Null],
            vec![
                text(""),
                Cell::Number(-1e300),
                Cell::Vector(vec![0.25, -0.5, 9.0]),
            ],
        ]
    }

    fn write(groups: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let notes = [("unprompt.version", "1".to_owned())];
        let mut table = TableWriter::new(&mut bytes, &fields(), &notes).unwrap();
        for _ in 0..groups {
            table.write_group(&rows()).unwrap();
        }
        table.close().unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read_again_by_us_and_by_arrow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let bytes = write(2);
        assert_eq!(write(2), bytes);
        std::fs::write(&path, bytes).unwrap();

        let table = Table::open(&path, File::open(&path).unwrap()).unwrap();
        assert_eq!(table.rows().unwrap(), 6);
        assert_eq!(table.note("unprompt.version"), Some("1"));
        let ids: Vec<_> = table.column::<ByteArrayType>("id", 2).unwrap().collect();
        assert_eq!(ids.len(), 6);
        let mut scores = table.column::<DoubleType>("score", 2).unwrap();
        scores.skip_rows(4).unwrap();
        assert_eq!(scores.next().unwrap().unwrap(), None);
        assert_eq!(scores.next().unwrap().unwrap(), Some(-1e300));
        assert!(scores.next().is_none());
        let vectors = table.vectors("embedding", 2).unwrap();
        let vectors: Vec<_> = vectors.map(|vector| vector.unwrap()).collect();
        assert_eq!(vectors[..3], vectors[3..]);
        assert_eq!(vectors[0], Some(vec![1.0, 2.0, 3.0]));
        assert_eq!(vectors[1], None);
        assert!(table.column::<DoubleType>("id", 1).is_err());
        assert!(table.vectors("score", 1).is_err());
        assert!(table.column::<DoubleType>("none", 1).is_err());

        let file = File::open(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        let ids: &StringArray = batch.column(0).as_any().downcast_ref().unwrap();
        assert_eq!((ids.value(0), ids.value(2)), ("a", ""));
        let scores: &Float64Array = batch.column(1).as_any().downcast_ref().unwrap();
        assert!(scores.is_null(1) && scores.value(0) == 0.5);
        let lists: &FixedSizeListArray = batch.column(2).as_any().downcast_ref().unwrap();
        assert!(lists.is_null(1));
        let last = lists.value(2);
        let last: &Float32Array = last.as_any().downcast_ref().unwrap();
        assert_eq!(last.values(), &[0.25, -0.5, 9.0]);
    }

    #[test]
    fn cells_of_another_kind_are_refused() {
        for wrong in [Cell::Text("x".into()), Cell::Vector(vec![1.0])] {
            let mut bytes = Vec::new();
            let mut table = TableWriter::new(&mut bytes, &fields(), &[]).unwrap();
            let row = vec![Cell::Null, Cell::Null, wrong];
            assert!(table.write_group(&[row]).is_err());
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_wherever_it_is_cut_or_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let whole = write(1);
        let read = |bytes: &[u8]| -> Result<(), crate::TableError> {
            std::fs::write(&path, bytes).unwrap();
            let table = Table::open(&path, File::open(&path).unwrap())?;
            table.rows()?;
            for id in table.column::<ByteArrayType>("id", 2)? {
                id?;
            }
            for vector in table.vectors("embedding", 2)? {
                vector?;
            }
            Ok(())
        };
        assert!(read(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        // Some changes change nothing that is read; none may end in a panic.
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0xff;
            let _ = read(&changed);
        }
    }
}
