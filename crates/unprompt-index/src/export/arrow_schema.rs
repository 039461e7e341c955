//! What arrow's readers are told of the columns: parquet itself knows no lists of a fixed size.
//!
//! A `Message` with a `Schema` of arrow's format (`Message.fbs` and `Schema.fbs`, version 5), after
//! four bytes of ones and its length, in base64.

use base64::{Engine, prelude::BASE64_STANDARD};
use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, VOffsetT, WIPOffset};

/// The key in a file's metadata.
pub(super) const KEY: &str = "ARROW:schema";

/// Members of the format's enumerations.
const VERSION_5: i16 = 4;
const HEADER_SCHEMA: u8 = 1;
const FLOATING_POINT: u8 = 3;
const UTF8: u8 = 5;
const FIXED_SIZE_LIST: u8 = 16;
const SINGLE: i16 = 1;

/// Where the tables have their members.
const fn slot(index: VOffsetT) -> VOffsetT {
    4 + 2 * index
}
const FIELD_NAME: VOffsetT = slot(0);
const FIELD_TYPE_KIND: VOffsetT = slot(2);
const FIELD_TYPE: VOffsetT = slot(3);
const FIELD_CHILDREN: VOffsetT = slot(5);
const SCHEMA_FIELDS: VOffsetT = slot(1);
const MESSAGE_VERSION: VOffsetT = slot(0);
const MESSAGE_HEADER_KIND: VOffsetT = slot(1);
const MESSAGE_HEADER: VOffsetT = slot(2);
/// The only member of `FloatingPoint` (its precision) and of `FixedSizeList` (its length).
const ONLY: VOffsetT = slot(0);

type Table = WIPOffset<TableFinishedWIPOffset>;

/// The schema of a text column and of columns of lists of f32, each with its length. Nothing is null.
pub(super) fn encoded(text: &str, lists: &[(&str, i32)]) -> String {
    let mut buffer = FlatBufferBuilder::new();
    let mut fields = vec![text_field(&mut buffer, text)];
    for (name, length) in lists {
        fields.push(list_field(&mut buffer, name, *length));
    }
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

fn text_field(buffer: &mut FlatBufferBuilder<'_>, name: &str) -> Table {
    field(buffer, name, UTF8, |buffer| {
        (table(buffer, |_| ()), Vec::new())
    })
}

fn list_field(buffer: &mut FlatBufferBuilder<'_>, name: &str, length: i32) -> Table {
    field(buffer, name, FIXED_SIZE_LIST, |buffer| {
        let item = field(buffer, "item", FLOATING_POINT, |buffer| {
            let single = table(buffer, |buffer| buffer.push_slot_always(ONLY, SINGLE));
            (single, Vec::new())
        });
        let list = table(buffer, |buffer| buffer.push_slot_always(ONLY, length));
        (list, vec![item])
    })
}

/// A field; the function makes its type and its children.
fn field(
    buffer: &mut FlatBufferBuilder<'_>,
    name: &str,
    kind: u8,
    make: impl FnOnce(&mut FlatBufferBuilder<'_>) -> (Table, Vec<Table>),
) -> Table {
    let name = buffer.create_string(name);
    let (made, children) = make(buffer);
    let children = buffer.create_vector(&children);
    table(buffer, |buffer| {
        buffer.push_slot_always(FIELD_NAME, name);
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
    use std::sync::Arc;

    #[test]
    fn equals_what_arrow_writes() {
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let list = |name, width| {
            let kind = DataType::FixedSizeList(Arc::clone(&item), width);
            Field::new(name, kind, false)
        };
        let text = Field::new("text", DataType::Utf8, false);
        let schema = Schema::new(vec![text, list("wide", 1024), list("narrow", 3)]);
        assert_eq!(
            encoded("text", &[("wide", 1024), ("narrow", 3)]),
            parquet::arrow::encode_arrow_schema(&schema)
        );
    }
}
