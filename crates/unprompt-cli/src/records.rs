//! Records as a JSON array, as JSON lines, or as something else that a command defines.

use crate::{arguments::Format, output::Output};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::Write;

/// What most commands write.
pub(crate) const TEXT_OR_JSON: [Format; 3] = [Format::Text, Format::Json, Format::Jsonl];

/// Writes records one by one, so that a long run shows its results as they come.
pub(crate) struct RecordWriter {
    output: Output,
    format: Format,
    written: usize,
}

impl RecordWriter {
    /// A writer for one of the `supported` formats.
    pub(crate) fn new(output: Output, format: Format, supported: &[Format]) -> Result<Self> {
        if !supported.contains(&format) {
            let names: Vec<String> = supported
                .iter()
                .map(|format| format!("{format:?}").to_lowercase())
                .collect();
            let format = format!("{format:?}").to_lowercase();
            bail!(
                "--format {format}: this command writes {}",
                names.join(", ")
            );
        }
        Ok(Self {
            output,
            format,
            written: 0,
        })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The output itself, for what is not JSON.
    pub(crate) fn raw(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Writes a row of a table.
    pub(crate) fn write_row(&mut self, fields: &[&str]) -> Result<()> {
        let mut row = csv::Writer::from_writer(&mut self.output);
        row.write_record(fields).context("cannot write a row")?;
        Ok(row.flush()?)
    }

    /// Writes a record if the format is one of JSON; `false` if it is not.
    pub(crate) fn write_json<R: Serialize>(&mut self, record: &R) -> Result<bool> {
        match self.format {
            Format::Json => {
                let separator = if self.written == 0 { "[\n" } else { ",\n" };
                self.output.write_all(separator.as_bytes())?;
                serde_json::to_writer(&mut self.output, record)?;
            }
            Format::Jsonl => {
                serde_json::to_writer(&mut self.output, record)?;
                self.output.write_all(b"\n")?;
            }
            _ => return Ok(false),
        }
        self.written += 1;
        Ok(true)
    }

    /// Ends with the one `record` of a command that has no more, as an object and no list; as `text`
    /// writes it where the format is not one of JSON. `what` it is stands in the error.
    pub(crate) fn finish_with<R: Serialize>(
        mut self,
        what: &str,
        record: &R,
        text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<()> {
        match self.format {
            Format::Json | Format::Jsonl => {
                serde_json::to_writer(&mut self.output, record)
                    .with_context(|| format!("cannot write the {what}"))?;
                writeln!(self.output)?;
            }
            _ => text(&mut self.output)?,
        }
        self.output.finish()
    }

    /// What is there so far becomes visible to a reader at the other end of a pipe.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(self.output.flush()?)
    }

    /// Closes the array and gives a file its name.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.format == Format::Json {
            let end: &[u8] = if self.written == 0 { b"[]\n" } else { b"\n]\n" };
            self.output.write_all(end)?;
        }
        self.output.finish()
    }
}

/// A text on one line: what would break the line becomes a space.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
