//! A column of a parquet file.

use crate::{IndexError, Result};
use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::DataType;
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Rows that are decoded together.
const BATCH: usize = 1024;

pub(super) fn prompts(
    path: PathBuf,
    file: File,
    column: &str,
) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let failed = |error: String| IndexError::prompts(&path, error);
    // Without the types of arrow, which the file may carry too: text is then always text.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(|error| failed(error.to_string()))?;
    let fields = builder.schema().fields();
    let Some(index) = fields.iter().position(|field| field.name() == column) else {
        let found: Vec<_> = fields
            .iter()
            .take(20)
            .map(|field| field.name().as_str())
            .collect();
        let found: String = found.join(", ").escape_debug().take(300).collect();
        let message = format!("no column `{column}` among {found}; name another with --column");
        return Err(failed(message));
    };
    let found = fields[index].data_type();
    if !matches!(
        found,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    ) {
        return Err(failed(format!(
            "the column `{column}` is {found}, expected text"
        )));
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    Ok(Column {
        path,
        reader,
        batch: None,
        row: 0,
    })
}

struct Column {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    row: usize,
}

impl Iterator for Column {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = &self.batch
                && self.row < batch.num_rows()
            {
                self.row += 1;
                return Some(text(&self.path, batch.column(0), self.row - 1));
            }
            self.row = 0;
            match self.reader.next()? {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => {
                    return Some(Err(IndexError::prompts(&self.path, error.to_string())));
                }
            }
        }
    }
}

/// The text of a row; empty where it is missing.
fn text(path: &Path, column: &dyn Array, row: usize) -> Result<String> {
    if column.is_null(row) {
        return Ok(String::new());
    }
    match column.data_type() {
        DataType::Utf8 => Ok(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Ok(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Ok(column.as_string_view().value(row).to_owned()),
        other => Err(IndexError::prompts(
            path,
            format!("a column of {other}, expected text"),
        )),
    }
}
