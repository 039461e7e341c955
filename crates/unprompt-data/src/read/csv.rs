//! A folder of pictures with `pairs.csv` or `prompts.csv`: a column of files and one of texts.

use super::{Records, list_text, pictures::Pictures};
use crate::{DataError, Limits, RecordError, RecordProblem, SourceSpec};
use indexmap::IndexMap;

/// The lists that are looked for in a folder, the first one first.
pub(crate) const NAMES: [&str; 2] = ["pairs.csv", "prompts.csv"];
/// Names of the column of pictures. A competition's ids are the files' stems.
const FILES: [&str; 6] = ["file", "file_name", "image", "path", "imgId", "id"];
const TEXTS: [&str; 3] = ["prompt", "caption", "text"];

/// Several rows of one picture are several captions.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let mut list = spec.path.clone();
    if list.is_dir() {
        let names = NAMES.iter().map(|name| list.join(name));
        let found = names.into_iter().find(|path| path.is_file());
        list = found.ok_or_else(|| {
            DataError::list(
                &spec.path,
                format!("neither {} is there", NAMES.join(" nor ")),
            )
        })?;
    }
    let text = list_text(&list, limits.list)?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader
        .headers()
        .map_err(|error| DataError::list(&list, error))?
        .clone();
    let column = |names: &[&str]| {
        let found = names
            .iter()
            .find_map(|name| header.iter().position(|field| field == *name));
        found.ok_or_else(|| {
            DataError::list(&list, format!("no column is called {}", names.join(", ")))
        })
    };
    let (file, caption) = (column(&FILES)?, column(&TEXTS)?);
    let mut captions: IndexMap<String, Vec<String>> = IndexMap::new();
    let mut bad: Vec<Result<_, RecordError>> = Vec::new();
    for (row, record) in reader.into_records().enumerate() {
        let malformed =
            |message: String| RecordProblem::Malformed(message).of(format!("row {}", row + 2));
        match record {
            Ok(record) => match (record.get(file), record.get(caption)) {
                (Some(file), Some(text)) if !file.is_empty() => {
                    captions.entry(file.into()).or_default().push(text.into());
                }
                _ => bad.push(Err(malformed("too few fields".into()))),
            },
            Err(error) => bad.push(Err(malformed(error.to_string()))),
        }
    }
    let records = Pictures::of(spec, &list, limits).records(captions);
    Ok(Box::new(bad.into_iter().chain(records)))
}
