//! Tables written and read again, by us and by arrow.

use arrow_array::{Array, FixedSizeListArray, Float32Array, Float64Array, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use unprompt_table::{
    ByteArrayType, Cell, DoubleType, Field, Kind, Table, TableError, TableWriter,
};

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
    assert_eq!(vectors[0], vectors[3]);
    assert_eq!(vectors[0], Some(vec![1.0, 2.0, 3.0]));
    assert!(
        vectors[1]
            .as_ref()
            .unwrap()
            .iter()
            .all(|value| value.is_nan())
    );
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
    assert_eq!((lists.len(), lists.null_count()), (6, 0));
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
    let read = |bytes: &[u8]| -> Result<(), TableError> {
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

#[test]
fn structures_that_cost_more_than_their_length_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.parquet");
    let bytes = write(1);
    let footer_end = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[footer_end..][..4].try_into().unwrap());
    assert_eq!(bytes[footer_end - 1], 0);
    // Lists that are unknown, each of two thousand million booleans, before the footer's end.
    let lists = [0x59, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07].repeat(20);
    let length = length + lists.len() as u32;
    let [head, tail] = [&bytes[..footer_end - 1], &bytes[bytes.len() - 4..]];
    let slow = [head, &lists, &[0], &length.to_le_bytes(), tail].concat();
    std::fs::write(&path, slow).unwrap();
    let error = Table::open(&path, File::open(&path).unwrap())
        .err()
        .unwrap();
    assert_eq!(error.message, "Parquet error: the footer is damaged");

    // The type of a page said to be a list.
    let mut pages = bytes;
    assert_eq!(pages[4] & 0xf, 5);
    pages[4] = 0x19;
    std::fs::write(&path, pages).unwrap();
    let table = Table::open(&path, File::open(&path).unwrap()).unwrap();
    let first = table.column::<ByteArrayType>("id", 2).unwrap().next();
    let error = first.unwrap().err().unwrap();
    assert_eq!(
        error.message,
        "Parquet error: the header of a page is damaged"
    );
    assert!(
        table
            .column::<DoubleType>("score", 2)
            .unwrap()
            .next()
            .unwrap()
            .is_ok()
    );
}
