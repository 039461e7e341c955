//! The parquet file holds what the index holds.
#![allow(missing_docs)]

mod common;

use arrow_array::{Array, RecordBatch, cast::AsArray, types::Float32Type};
use arrow_schema::DataType;
use common::{build_plain, content, embedding, texts};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use unprompt_index::{BuildOptions, IndexError, PromptFile, PromptIndex};

#[test]
fn it_is_read_back_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("index");
    let texts = texts(2500);
    let options = BuildOptions {
        batch: 100,
        segment_rows: 1200,
    };
    build_plain(&folder, &texts, options).unwrap();
    let before = content(&folder);
    let path = place.path().join("prompts.parquet");
    let index = PromptIndex::open(&folder).unwrap();
    let mut rows = 0;
    index.export(&path, &mut |by| rows += by).unwrap();
    assert_eq!(rows, 2500);
    assert_eq!(content(&folder), before);

    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let fields = builder.schema().fields().clone();
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["prompt", "clip_embedding", "sentence_embedding"]);
    let metadata = builder.schema().metadata();
    assert_eq!(metadata["unprompt.clip.name"], "clip");
    assert_eq!(metadata["unprompt.sentence.sha256"], "digest of sentence");
    let mut row = 0;
    for batch in builder.build().unwrap() {
        let batch: RecordBatch = batch.unwrap();
        let prompts = batch.column(0).as_string::<i32>();
        for (column, width) in [(1, 24), (2, 16)] {
            let DataType::FixedSizeList(item, found) = batch.column(column).data_type() else {
                panic!("{:?}", batch.column(column).data_type());
            };
            assert_eq!((item.data_type(), *found), (&DataType::Float32, width));
            let lists = batch.column(column).as_fixed_size_list();
            for i in 0..batch.num_rows() {
                let values = lists.value(i);
                let values = values.as_primitive::<Float32Type>().values();
                let expected = embedding(&texts[row + i], width as usize);
                let norm = expected
                    .iter()
                    .map(|x| f64::from(*x).powi(2))
                    .sum::<f64>()
                    .sqrt();
                for (value, expected) in values.iter().zip(expected) {
                    let unit = (f64::from(expected) / norm) as f32;
                    assert_eq!(*value, half::f16::from_f32(unit).to_f32());
                }
            }
        }
        for i in 0..batch.num_rows() {
            assert_eq!(prompts.value(i), texts[row + i]);
        }
        row += batch.num_rows();
    }
    assert_eq!(row, 2500);

    // It is a list of prompts as well.
    let list = PromptFile::open(&path, "prompt").unwrap();
    let prompts: Result<Vec<String>, IndexError> = list.read().unwrap().collect();
    assert_eq!(prompts.unwrap(), texts);
}

#[test]
fn of_a_damaged_index_nothing_is_written() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("index");
    build_plain(&folder, &texts(30), BuildOptions::default()).unwrap();
    let segment = folder.join("segments/000000.segment");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let path = place.path().join("out.parquet");
    let error = PromptIndex::open(&folder)
        .unwrap()
        .export(&path, &mut |_| ())
        .unwrap_err();
    assert!(matches!(error, IndexError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}
