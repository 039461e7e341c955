//! Records as a JSON array, as JSON lines, or as something else that a command defines.

use crate::{arguments::Format, output::Output};
use anyhow::{Context, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use std::{borrow::Cow, io::Write, path::Path};

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
        if !self.is_json() {
            return Ok(false);
        }
        self.write_object(&serde_json::to_string(record)?)?;
        Ok(true)
    }

    /// As [`write_json`](Self::write_json), of a record that has the `path` of a file. Where that is no
    /// UTF-8, so that the record shows it with replacements, `path_bytes` has its bytes in base64.
    pub(crate) fn write_json_of<R: Serialize>(&mut self, path: &Path, record: &R) -> Result<bool> {
        if path.to_str().is_some() || !self.is_json() {
            return self.write_json(record);
        }
        let bytes = BASE64_STANDARD.encode(path.as_os_str().as_encoded_bytes());
        let object = serde_json::to_string(record)?;
        let members = object.strip_suffix('}').context("a record is an object")?;
        self.write_object(&format!("{members},\"path_bytes\":\"{bytes}\"}}"))?;
        Ok(true)
    }

    fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Jsonl)
    }

    fn write_object(&mut self, object: &str) -> Result<()> {
        let (before, after) = match self.format {
            Format::Json if self.written == 0 => ("[\n", ""),
            Format::Json => (",\n", ""),
            _ => ("", "\n"),
        };
        write!(self.output, "{before}{object}{after}")?;
        self.written += 1;
        Ok(())
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

/// A text as it can be shown on one line: nothing in it begins another record, acts on a terminal or
/// turns the direction of what follows. Such characters are shown as escapes, `\\n` or `\\u{1b}`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c if acts(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.into()
}

/// The same for a text that stands alone: its lines stay lines.
pub(crate) fn escaped_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(escaped).collect();
    lines.join("\n")
}

/// Control characters, separators of lines, and marks of direction.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text on one line: what would break the line becomes a space.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_as_an_escape() {
        assert_eq!(
            escaped("a\r\n== b\x1b[2J\u{202e}\u{85}"),
            "a\\r\\n== b\\u{1b}[2J\\u{202e}\\u{85}"
        );
        for plain in ["", "a \\(cat\\), 猫 😀", "שלום"] {
            assert_eq!(escaped(plain), plain);
        }
        assert_eq!(escaped_lines("a\nb\r\n\x07"), "a\nb\\r\n\\u{7}");
    }
}
