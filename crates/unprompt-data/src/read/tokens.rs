//! Flickr8k's and Flickr30k's token files: `PICTURE#N<tab>CAPTION`, five lines a picture.

use super::{Records, list_text, pictures::Pictures};
use crate::{DataError, Limits, RecordError, RecordProblem, SourceSpec};
use indexmap::IndexMap;

/// The pictures are in the folder that `images=` names, or beside the list.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let list = &spec.path;
    let text = list_text(list, limits.list)?;
    let mut captions: IndexMap<String, Vec<String>> = IndexMap::new();
    let mut bad: Vec<Result<_, RecordError>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let parts = line.split_once('\t');
        match parts.and_then(|(key, caption)| Some((key.rsplit_once('#')?.0, caption))) {
            Some((file, caption)) => captions
                .entry(file.into())
                .or_default()
                .push(caption.into()),
            None if line.trim().is_empty() => {}
            None => {
                let message = "a line is PICTURE#N, a tab and a caption";
                let problem = RecordProblem::Malformed(message.into());
                bad.push(Err(problem.of(format!("line {}", index + 1))));
            }
        }
    }
    let records = Pictures::of(spec, list, limits).records(captions);
    Ok(Box::new(bad.into_iter().chain(records)))
}
