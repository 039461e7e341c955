//! One file a layout.

pub(crate) mod coco;
pub(crate) mod csv;
pub(crate) mod diffusiondb;
pub(crate) mod jsonl;
mod members;
pub(crate) mod parquet;
mod pictures;
pub(crate) mod shards;
pub(crate) mod sidecar;
pub(crate) mod stored;
pub(crate) mod tokens;

use crate::{DataError, Layout, RecordError, Sample, limits::read_at_most};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use unprompt_files::open_regular;

/// Records before the clean-up.
pub(crate) type Records = Box<dyn Iterator<Item = Result<Sample, RecordError>> + Send>;

/// The layout of what is there.
pub(crate) fn layout_of(path: &Path) -> Result<Layout, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.contains('*') && name.ends_with(".tar") {
        return Ok(Layout::Shards);
    }
    let metadata = fs::metadata(path).map_err(|error| DataError::io(path, error))?;
    if metadata.is_dir() {
        if csv::NAMES.iter().any(|name| path.join(name).is_file()) {
            return Ok(Layout::Csv);
        }
        let (mut has_tar, mut has_zip, mut has_parquet) = (false, false, false);
        for entry in fs::read_dir(path).map_err(|error| DataError::io(path, error))? {
            let path = entry.map_err(|error| DataError::io(path, error))?.path();
            has_tar |= path.extension().is_some_and(|ending| ending == "tar");
            has_zip |= path.extension().is_some_and(|ending| ending == "zip");
            has_parquet |= path.extension().is_some_and(|ending| ending == "parquet");
        }
        return Ok(match (has_tar, has_zip, has_parquet) {
            (true, _, _) => Layout::Shards,
            (false, true, _) => Layout::DiffusionDb,
            (false, false, true) => Layout::Parquet,
            (false, false, false) => Layout::Sidecar,
        });
    }
    let ending = name.rsplit('.').next().unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok(Layout::Csv),
        "tar" => Ok(Layout::Shards),
        "zip" => Ok(Layout::DiffusionDb),
        "parquet" => Ok(Layout::Parquet),
        "jsonl" | "ndjson" => Ok(Layout::Jsonl),
        "json" => Ok(Layout::Coco),
        "token" => Ok(Layout::Tokens),
        _ if name.ends_with(".token.txt") => Ok(Layout::Tokens),
        _ => Err(DataError::list(
            path,
            "what it is cannot be told from its name; say it with `layout=`",
        )),
    }
}

/// The text of a list that has to be read whole; a mark of byte order at its beginning goes.
pub(crate) fn list_text(path: &Path, most: u64) -> Result<String, DataError> {
    let file = open_regular(path).map_err(|error| DataError::io(path, error))?;
    let bytes = read_at_most(io::BufReader::new(file), most)
        .map_err(|error| DataError::io(path, error))?
        .ok_or_else(|| DataError::list(path, format!("longer than {most} bytes")))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| DataError::list(path, format!("not UTF-8: {error}")))?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// A file, or the files of a folder with this ending, in order of their names.
fn files_of(path: &Path, ending: &str) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error| DataError::io(path, error);
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(failed)?;
    let entries: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = entries.map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    Ok(paths)
}

/// The folder of a file, also of a name by itself.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
