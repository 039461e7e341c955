//! A column of a parquet file.

use crate::{IndexError, Result};
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use unprompt_table::{ByteArrayType, Table, TableError};

/// Rows that are decoded together.
const BATCH: usize = 1024;

pub(super) fn prompts(
    path: PathBuf,
    file: File,
    column: &str,
) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let failed = |error: TableError| IndexError::prompts(&error.path, error.message);
    let table = Table::open(&path, file).map_err(failed)?;
    let columns = table.columns();
    if !columns.iter().any(|one| one.name == column) {
        let found: Vec<&str> = columns.iter().map(|one| one.name.as_str()).collect();
        let found = found[..found.len().min(20)].join(", ");
        let found: String = found.escape_debug().take(300).collect();
        let message = format!("no column `{column}` among {found}; name another with --column");
        return Err(IndexError::prompts(&path, message));
    }
    let column = table
        .column::<ByteArrayType>(column, BATCH)
        .map_err(failed)?;
    Ok(column.map(move |value| {
        let bytes = value.map_err(failed)?;
        text(&path, bytes.as_ref().map_or(&[], |bytes| bytes.data()))
    }))
}

/// A value's text; empty where it is missing.
fn text(path: &Path, bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| IndexError::prompts(path, "a prompt is not UTF-8 text"))
}
