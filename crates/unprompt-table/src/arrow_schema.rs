//! What arrow's readers are told of the columns: parquet itself knows no lists of a fixed size.
//!
//! A `Message` with a `Schema` of arrow's format (`Message.fbs` and `Schema.fbs`, version 5), after
//! four bytes of ones and its length, in base64.

use base64::{Engine, prelude::BASE64_STANDARD};
use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, VOffsetT, WIPOffset};

/// The key in a file's metadata.
pub const KEY: &str = "ARROW:schema";

/// Members of the format's enumerations.
const VERSION_5: i16 = 4;
const HEADER_SCHEMA: u8 = 1;
const FLOATING_POINT: u8 = 3;
const UTF8: u8 = 5;
const FIXED_SIZE_LIST: u8 = 16;
const SINGLE: i16 = 1;
const DOUBLE: i16 = 2;

/// Where the tables have their members.
const fn slot(index: VOffsetT) -> VOffsetT {
    4 + 2 * index
}
const FIELD_NAME: VOffsetT = slot(0);
const FIELD_NULLABLE: VOffsetT = slot(1);
const FIELD_TYPE_KIND: VOffsetT = slot(2);
const FIELD_TYPE: VOffsetT = slot(3);
const FIELD_CHILDREN: VOffsetT = slot(5);
const SCHEMA_FIELDS: VOffsetT = slot(1);
const MESSAGE_VERSION: VOffsetT = slot(0);
const MESSAGE_HEADER_KIND: VOffsetT = slot(1);
const MESSAGE_HEADER: VOffsetT = slot(2);
/// The only member of `FloatingPoint` (its precision) and of `FixedSizeList` (its length).
const ONLY: VOffsetT = slot(0);

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct ArrowColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is in it.
    pub kind: ArrowKind,
    /// Whether a row may have no value.
    pub nullable: bool,
}

/// What is in a column.
#[derive(Clone, Copy, Debug)]
pub enum ArrowKind {
    /// Text.
    Text,
    /// f64.
    Double,
    /// Lists of so many f32 each, none of which is missing.
    Vector(i32),
}

type Table = WIPOffset<TableFinishedWIPOffset>;

/// The schema of some columns, in their order.
pub fn encoded(columns: &[ArrowColumn<'_>]) -> String {
    let mut buffer = FlatBufferBuilder::new();
    let fields: Vec<Table> = columns.iter().map(|one| column(&mut buffer, one)).collect();
    let fields = buffer.create_vector(&fields);
    let schema = buffer.start_table();
    buffer.push_slot_always(SCHEMA_FIELDS, fields);
    let schema = buffer.end_table(schema);
    let message = buffer.start_table();
    buffer.push_slot_always(MESSAGE_VERSION, VERSION_5);
    buffer.push_slot_always(MESSAGE_HEADER_KIND, HEADER_SCHEMA);
    buffer.push_slot_always(MESSAGE_HEADER, schema);
    let message = buffer.end_table(message);
    buffer.finish_minimal(message);

    let message = buffer.finished_data();
    let mut bytes = vec![0xff; 4];
    bytes.extend((message.len() as u32).to_le_bytes());
    bytes.extend(message);
    BASE64_STANDARD.encode(bytes)
}

fn column(buffer: &mut FlatBufferBuilder<'_>, column: &ArrowColumn<'_>) -> Table {
    let (name, nullable) = (column.name, column.nullable);
    match column.kind {
        ArrowKind::Text => field(buffer, name, nullable, UTF8, |buffer| {
            (table(buffer, |_| ()), Vec::new())
        }),
        ArrowKind::Double => field(buffer, name, nullable, FLOATING_POINT, |buffer| {
            (precision(buffer, DOUBLE), Vec::new())
        }),
        ArrowKind::Vector(width) => field(buffer, name, nullable, FIXED_SIZE_LIST, |buffer| {
            let item = field(buffer, "item", false, FLOATING_POINT, |buffer| {
                (precision(buffer, SINGLE), Vec::new())
            });
            let list = table(buffer, |buffer| buffer.push_slot_always(ONLY, width));
            (list, vec![item])
        }),
    }
}

fn precision(buffer: &mut FlatBufferBuilder<'_>, precision: i16) -> Table {
    table(buffer, |buffer| buffer.push_slot_always(ONLY, precision))
}

/// A field; the function makes its type and its children.
fn field(
    buffer: &mut FlatBufferBuilder<'_>,
    name: &str,
    nullable: bool,
    kind: u8,
    make: impl FnOnce(&mut FlatBufferBuilder<'_>) -> (Table, Vec<Table>),
) -> Table {
    let name = buffer.create_string(name);
    let (made, children) = make(buffer);
    let children = buffer.create_vector(&children);
    table(buffer, |buffer| {
        buffer.push_slot_always(FIELD_NAME, name);
        if nullable {
            buffer.push_slot_always(FIELD_NULLABLE, true);
        }
        buffer.push_slot_always(FIELD_TYPE_KIND, kind);
        buffer.push_slot_always(FIELD_CHILDREN, children);
        buffer.push_slot_always(FIELD_TYPE, made);
    })
}

fn table<'b>(
    buffer: &mut FlatBufferBuilder<'b>,
    members: impl FnOnce(&mut FlatBufferBuilder<'b>),
) -> Table {
    let start = buffer.start_table();
    members(buffer);
    buffer.end_table(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{DataType, Field, Schema};
    use parquet::{
        arrow::{ArrowSchemaConverter, parquet_to_arrow_schema},
        file::metadata::KeyValue,
    };
    use std::sync::Arc;

    #[test]
    fn arrow_reads_the_columns_that_were_meant() {
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let list = |name, width, nullable| {
            let kind = DataType::FixedSizeList(Arc::clone(&item), width);
            Field::new(name, kind, nullable)
        };
        let schema = Schema::new(vec![
            Field::new("text", DataType::Utf8, false),
            list("wide", 1024, false),
            list("narrow", 3, true),
            Field::new("note", DataType::Utf8, true),
            Field::new("number", DataType::Float64, true),
        ]);
        let columns = ArrowSchemaConverter::new().convert(&schema).unwrap();
        let column = |name, kind, nullable| ArrowColumn {
            name,
            kind,
            nullable,
        };
        let ours = encoded(&[
            column("text", ArrowKind::Text, false),
            column("wide", ArrowKind::Vector(1024), false),
            column("narrow", ArrowKind::Vector(3), true),
            column("note", ArrowKind::Text, true),
            column("number", ArrowKind::Double, true),
        ]);
        let ours = vec![KeyValue::new(KEY.to_owned(), ours)];
        assert_eq!(
            parquet_to_arrow_schema(&columns, Some(&ours)).unwrap(),
            schema
        );
        // Without ours the lists would have no size.
        assert_ne!(parquet_to_arrow_schema(&columns, None).unwrap(), schema);
    }
}
