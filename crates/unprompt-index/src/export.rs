//! An index as one parquet file, for any vector database.

use crate::{IndexError, PromptIndex, Result, Space, durable, segment::Segment};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use std::{io, path::Path, sync::Arc};

/// The columns, in their order.
const PROMPT: &str = "prompt";
const CLIP: &str = "clip_embedding";
const SENTENCE: &str = "sentence_embedding";

/// Rows in a row group at most: some 50 MB, which is what a writer has to hold.
const GROUP_ROWS: usize = 8192;

/// Rows that are converted together.
const BATCH_ROWS: usize = 1024;

impl PromptIndex {
    /// Writes the whole index to one parquet file, all or nothing: the columns `prompt` (text),
    /// `clip_embedding` and `sentence_embedding` (lists of fixed size of f32, unit length), in the
    /// order of the rows; names and digests of the two models are in the file's metadata. `progress`
    /// is called with the rows of each part.
    ///
    /// # Errors
    /// When a file of the index is damaged or the destination cannot be written.
    pub fn export(&self, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let schema = self.schema()?;
        let models = [
            ("clip", &self.manifest().clip),
            ("sentence", &self.manifest().sentence),
        ];
        let metadata = models.into_iter().flat_map(|(kind, model)| {
            [
                KeyValue::new(format!("unprompt.{kind}.name"), model.name.clone()),
                KeyValue::new(format!("unprompt.{kind}.revision"), model.revision.clone()),
                KeyValue::new(format!("unprompt.{kind}.sha256"), model.sha256.clone()),
            ]
        });
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_key_value_metadata(Some(metadata.collect()))
            .build();
        for segment in self.segments() {
            segment.check()?;
        }
        durable::write(path, |file| {
            let failed = io::Error::other;
            let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
                .map_err(failed)?;
            for segment in self.segments() {
                for first in (0..segment.rows()).step_by(BATCH_ROWS) {
                    let end = segment.rows().min(first + BATCH_ROWS);
                    let batch = batch(&schema, segment, first, end).map_err(io::Error::other)?;
                    writer.write(&batch).map_err(failed)?;
                    progress((end - first) as u64);
                }
                segment.release();
            }
            writer.close().map_err(failed)?;
            Ok(())
        })
    }

    fn schema(&self) -> Result<Arc<Schema>> {
        let list = |name: &str, space| {
            let width = self.manifest().width(space);
            let width = i32::try_from(width).map_err(|_| {
                IndexError::Embedding(format!(
                    "embeddings of {width} numbers are too wide for a list"
                ))
            })?;
            Ok(Field::new(
                name,
                DataType::FixedSizeList(item(), width),
                false,
            ))
        };
        Ok(Arc::new(Schema::new(vec![
            Field::new(PROMPT, DataType::Utf8, false),
            list(CLIP, Space::Clip)?,
            list(SENTENCE, Space::Sentence)?,
        ])))
    }
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

fn batch(
    schema: &Arc<Schema>,
    segment: &Segment,
    first: usize,
    end: usize,
) -> std::result::Result<RecordBatch, ArrowError> {
    let prompts = StringArray::from_iter_values((first..end).map(|row| segment.prompt(row)));
    let list = |space| -> std::result::Result<ArrayRef, ArrowError> {
        let width = segment.width(space);
        let values = (first..end).flat_map(|row| segment.embedding(space, row));
        let values = Float32Array::from_iter_values(values);
        let list = FixedSizeListArray::try_new(item(), width as i32, Arc::new(values), None)?;
        Ok(Arc::new(list))
    };
    let columns = vec![
        Arc::new(prompts) as ArrayRef,
        list(Space::Clip)?,
        list(Space::Sentence)?,
    ];
    RecordBatch::try_new(Arc::clone(schema), columns)
}
