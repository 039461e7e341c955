//! The table of prompts: CSV with the columns `imgId,prompt` and its relatives, in any case of letters.

use crate::{
    answers::{Answer, Answers, image_id},
    csv_rows::{Row, Rows},
    error::{Error, Problem},
};
use std::{io::BufRead, path::Path};

/// Columns that hold ids, the first that is there counting.
const IDS: [&str; 2] = ["imgId", "id"];
/// Columns that hold files, whose stems are the ids: `image` is that of clip-interrogator,
/// `filename` that of its extension for the web UI.
const PATHS: [&str; 4] = ["file", "path", "image", "filename"];

/// Where a table keeps its ids and prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Columns {
    id: usize,
    id_is_path: bool,
    prompt: usize,
    generator: Option<usize>,
    count: usize,
}

/// The columns of a table of prompts, or `None` if the header is another's.
pub(crate) fn columns(header: &Row) -> Option<Columns> {
    let is_name =
        |field: &[u8], name: &str| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
    let find = |name: &&str| header.fields().position(|field| is_name(field, name));
    let prompt = find(&"prompt")?;
    let plain = IDS.iter().find_map(find);
    let id = plain.or_else(|| PATHS.iter().find_map(find))?;
    Some(Columns {
        id,
        id_is_path: plain.is_none(),
        prompt,
        generator: find(&"generator"),
        count: header.len(),
    })
}

/// Reads the rows after the header.
pub(crate) fn read<R: BufRead>(
    answers: &mut Answers,
    mut rows: Rows<R>,
    columns: Columns,
) -> Result<(), Error> {
    while rows.advance(answers)? {
        let (row, line) = (rows.row(), rows.row().line);
        if row.len() != columns.count {
            let problem = Problem::FieldCount {
                found: row.len(),
                expected: columns.count,
            };
            return Err(answers.error(line, problem));
        }
        let text = |column: usize, field| match std::str::from_utf8(row.field(column)) {
            Ok(text) => Ok(text),
            Err(_) => Err(answers.error(line, Problem::NotUtf8 { field })),
        };
        let id = text(columns.id, "image id")?;
        let id = if columns.id_is_path {
            image_id(Path::new(id))
        } else {
            id.to_owned()
        };
        let prompt = text(columns.prompt, "prompt")?.to_owned();
        let generator = columns.generator.map(|column| text(column, "generator"));
        let generator = generator.transpose()?.map(str::trim);
        let generator = generator.filter(|name| !name.is_empty()).map(str::to_owned);
        let position = answers.add(id, line, Answer::Prompt(prompt))?;
        answers.entry_mut(position).generator = generator;
    }
    Ok(())
}
