//! One JSON object a line: the picture's file, and its caption or captions.

use super::{Records, pictures::Pictures};
use crate::{DataError, Limits, RecordError, RecordProblem, Sample, SourceSpec};
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
};

/// Names that are used for the same by different writers; other keys are ignored.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "file_name", alias = "image", alias = "path")]
    file: String,
    #[serde(alias = "caption", alias = "text", alias = "captions")]
    prompt: OneOrMore,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Lines are read one at a time; a line that is too long is passed over.
pub(crate) fn open(spec: &SourceSpec, limits: Limits) -> Result<Records, DataError> {
    let list = &spec.path;
    let file = File::open(list).map_err(|error| DataError::io(list, error))?;
    let pictures = Pictures::of(spec, list, limits);
    let mut reader = BufReader::new(file);
    let mut number = 0;
    let mut ended = false;
    Ok(Box::new(std::iter::from_fn(move || {
        while !ended {
            number += 1;
            match next_line(&mut reader, limits.text) {
                Ok(None) => return None,
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => return Some(sample(&line, number, &pictures)),
                Err(problem) => {
                    ended = matches!(problem, RecordProblem::Io(_));
                    return Some(Err(problem.of(format!("line {number}"))));
                }
            }
        }
        None
    })))
}

/// The next line without more memory than `most`; of a longer one the rest is skipped.
fn next_line(reader: &mut impl BufRead, most: u64) -> Result<Option<Vec<u8>>, RecordProblem> {
    let mut line = Vec::new();
    let read = reader
        .by_ref()
        .take(most + 1)
        .read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.len() as u64 > most && !line.ends_with(b"\n") {
        reader.skip_until(b'\n')?;
        return Err(RecordProblem::TooLarge { most });
    }
    Ok(Some(line))
}

fn sample(line: &[u8], number: usize, pictures: &Pictures) -> Result<Sample, RecordError> {
    let line: Line = serde_json::from_slice(line).map_err(|error| {
        RecordProblem::Malformed(error.to_string()).of(format!("line {number}"))
    })?;
    let captions = match line.prompt {
        OneOrMore::One(caption) => vec![caption],
        OneOrMore::More(captions) => captions,
    };
    match pictures.read(&line.file) {
        Ok(picture) => Ok(Sample {
            id: line.file,
            picture,
            captions,
        }),
        Err(problem) => Err(problem.of(line.file)),
    }
}
