//! An index as one parquet file, for any vector database.
//!
//! Written column by column: arrow's arrays, which would do the same, take longer to build than all
//! else that this program knows of parquet.

use crate::{IndexError, PromptIndex, Result, Space, durable, segment::Segment};
use parquet::{
    basic::Compression,
    data_type::{ByteArrayType, FloatType},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::parser::parse_message_type,
};
use std::{
    io::{self, Write},
    iter::repeat_n,
    ops::Range,
    path::Path,
    sync::Arc,
};
use unprompt_table::arrow_schema::{self, ArrowColumn, ArrowKind};

/// The columns, in their order.
const PROMPT: &str = "prompt";
const LISTS: [(&str, Space); 2] = [
    ("clip_embedding", Space::Clip),
    ("sentence_embedding", Space::Sentence),
];

/// Rows in a row group at most: some 50 MB, which is what a reader has to hold.
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
        let properties = Arc::new(self.properties()?);
        for segment in self.segments() {
            segment.check()?;
        }
        durable::write(path, |file| {
            self.write(file, properties, progress)
                .map_err(io::Error::other)
        })
    }

    fn properties(&self) -> Result<WriterProperties> {
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
        let mut metadata: Vec<KeyValue> = metadata.collect();
        let column = |name, kind| ArrowColumn {
            name,
            kind,
            nullable: false,
        };
        let mut columns = vec![column(PROMPT, ArrowKind::Text)];
        for (name, space) in LISTS {
            let width = self.manifest().width(space);
            let width = i32::try_from(width).map_err(|_| {
                IndexError::Embedding(format!(
                    "embeddings of {width} numbers are too wide for a list"
                ))
            })?;
            columns.push(column(name, ArrowKind::Vector(width)));
        }
        metadata.push(KeyValue::new(
            arrow_schema::KEY.to_owned(),
            arrow_schema::encoded(&columns),
        ));
        Ok(WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_dictionary_enabled(false)
            .set_key_value_metadata(Some(metadata))
            .build())
    }

    fn write(
        &self,
        file: impl Write + Send,
        properties: Arc<WriterProperties>,
        progress: &mut dyn FnMut(u64),
    ) -> ParquetResult<()> {
        let schema = Arc::new(parse_message_type(&message_type())?);
        let mut writer = SerializedFileWriter::new(file, schema, properties)?;
        let rows = usize::try_from(self.rows())?;
        for first in (0..rows).step_by(GROUP_ROWS) {
            let rows = first..rows.min(first + GROUP_ROWS);
            let mut group = writer.next_row_group()?;
            for space in [None, Some(Space::Clip), Some(Space::Sentence)] {
                let missing = || ParquetError::General("the schema has too few columns".to_owned());
                let mut column = group.next_column()?.ok_or_else(missing)?;
                match space {
                    None => self.write_prompts(&mut column, rows.clone())?,
                    Some(space) => self.write_embeddings(&mut column, rows.clone(), space)?,
                }
                column.close()?;
            }
            group.close()?;
            self.segments().iter().for_each(Segment::release);
            progress(rows.len() as u64);
        }
        writer.close()?;
        Ok(())
    }

    fn write_prompts(
        &self,
        column: &mut SerializedColumnWriter<'_>,
        rows: Range<usize>,
    ) -> ParquetResult<()> {
        for rows in batches(rows) {
            let prompt = |row| {
                let (segment, row) = self.place(row);
                segment.prompt(row).into()
            };
            let prompts: Vec<_> = rows.map(prompt).collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&prompts, None, None)?;
        }
        Ok(())
    }

    fn write_embeddings(
        &self,
        column: &mut SerializedColumnWriter<'_>,
        rows: Range<usize>,
        space: Space,
    ) -> ParquetResult<()> {
        let width = usize::try_from(self.manifest().width(space))?;
        // A list begins with its first number, and all of them are there.
        let repeated: Vec<i16> = (0..BATCH_ROWS)
            .flat_map(|_| std::iter::once(0).chain(repeat_n(1, width - 1)))
            .collect();
        let defined = vec![1; repeated.len()];
        for rows in batches(rows) {
            let embedding = |row| {
                let (segment, row) = self.place(row);
                segment.embedding(space, row)
            };
            let values: Vec<f32> = rows.flat_map(embedding).collect();
            let count = values.len();
            column.typed::<FloatType>().write_batch(
                &values,
                Some(&defined[..count]),
                Some(&repeated[..count]),
            )?;
        }
        Ok(())
    }

    /// The segment that holds a row, and its row there.
    fn place(&self, row: usize) -> (&Segment, usize) {
        let rows = self.manifest().segment_rows as usize;
        (&self.segments()[row / rows], row % rows)
    }
}

fn batches(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(BATCH_ROWS)
        .map(move |first| first..end.min(first + BATCH_ROWS))
}

fn message_type() -> String {
    let list = |(name, _): (&str, Space)| {
        format!("REQUIRED GROUP {name} (LIST) {{ REPEATED GROUP list {{ REQUIRED FLOAT item; }} }}")
    };
    let lists = LISTS.map(list).join("\n");
    format!("message arrow_schema {{ REQUIRED BYTE_ARRAY {PROMPT} (STRING);\n{lists} }}")
}
