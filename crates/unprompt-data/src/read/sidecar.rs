//! A folder of pictures, each with its caption in a text file of the same stem beside it.

use super::{Records, pictures::read_file};
use crate::{DataError, Limits, RecordError, RecordProblem, Sample, SourceSpec};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Pictures in order of their paths, folders below included; links are not followed.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let folder = spec.path.clone();
    std::fs::read_dir(&folder).map_err(|error| DataError::io(&folder, error))?;
    let files = WalkDir::new(&folder).sort_by_file_name().into_iter();
    Ok(Box::new(files.filter_map(move |found| {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let id = error
                    .path()
                    .map_or_else(String::new, |path| id_of(&folder, path));
                return Some(Err(RecordProblem::Malformed(error.to_string()).of(id)));
            }
        };
        let path = found.path();
        let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
        let is_picture = found.file_type().is_file() && PICTURES.contains(&ending.as_str());
        is_picture.then(|| sample(path, id_of(&folder, path), limits))
    })))
}

fn id_of(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// `a.jpg` has its caption in `a.txt`, or in `a.jpg.txt`.
fn sample(path: &Path, id: String, limits: Limits) -> Result<Sample, RecordError> {
    let mut longer = path.as_os_str().to_owned();
    longer.push(".txt");
    let texts = [path.with_extension("txt"), PathBuf::from(longer)];
    let Some(text) = texts.iter().find(|text| text.is_file()) else {
        return Err(RecordProblem::NoCaption.of(id));
    };
    let read = || {
        let caption = read_file(text, limits.text)?;
        let caption = String::from_utf8(caption)
            .map_err(|_| RecordProblem::Malformed("the caption is not UTF-8".into()))?;
        Ok((read_file(path, limits.picture)?, caption))
    };
    match read() {
        Ok((picture, caption)) => Ok(Sample {
            id,
            picture,
            captions: vec![caption],
        }),
        Err(problem) => Err(RecordProblem::of(problem, id)),
    }
}
