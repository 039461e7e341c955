//! Each command's help offers the formats that it writes.

use super::Format;
use clap::{
    Arg, ArgMatches, Command, Error, ValueEnum,
    builder::{PossibleValue, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use std::{ffi::OsStr, path::Path};

/// The argument's name.
pub(super) const ID: &str = "format";

const EVERY: [Format; 6] = [
    Format::Text,
    Format::Json,
    Format::Jsonl,
    Format::Csv,
    Format::Submission,
    Format::Parquet,
];

/// What commands write that can be jobs.
const JOBS: [Format; 4] = [Format::Text, Format::Json, Format::Jsonl, Format::Parquet];

/// What `interrogate` writes.
const INTERROGATE: [Format; 5] = [
    Format::Text,
    Format::Json,
    Format::Jsonl,
    Format::Csv,
    Format::Parquet,
];

/// What `metadata` writes.
const METADATA: [Format; 4] = [Format::Text, Format::Json, Format::Jsonl, Format::Csv];

/// What most commands write.
const RECORDS: &[Format] = EVERY.split_at(3).0;

/// What a command writes; other formats are known too, and refused by the command itself with a
/// message that names those which it does write.
fn written_by(command: &str) -> &'static [Format] {
    match command {
        "predict" => &EVERY,
        "interrogate" => &INTERROGATE,
        // `image` is that of `embed`.
        "caption" | "classify" | "image" => &JOBS,
        "metadata" => &METADATA,
        _ => RECORDS,
    }
}

/// The format that the name of a file ends in.
pub(super) fn named_by(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?;
    let named = [Format::Json, Format::Jsonl, Format::Csv];
    named.into_iter().find(|format| {
        format
            .to_possible_value()
            .is_some_and(|value| value.matches(extension, true))
    })
}

/// Whether nobody has said which format is meant.
pub(super) fn is_unsaid(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, matches)) => is_unsaid(matches),
        None => matches.value_source(ID) != Some(ValueSource::CommandLine),
    }
}

/// Gives every command its own list of formats.
pub(super) fn offer_what_is_written(command: Command) -> Command {
    command.mut_subcommands(|command| {
        let offered = Offered(written_by(command.get_name()));
        if command.has_subcommands() {
            return offer_what_is_written(command);
        }
        let format = Arg::new(ID)
            .long(ID)
            .global(true)
            .value_name("FORMAT")
            .default_value("text")
            .value_parser(offered)
            .help("How results are written")
            .help_heading("Options of every command");
        command.arg(format)
    })
}

/// Reads every format and shows some.
#[derive(Clone)]
struct Offered(&'static [Format]);

impl TypedValueParser for Offered {
    type Value = Format;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Format, Error> {
        let text = value.to_string_lossy();
        Format::from_str(&text, false).map_err(|_| {
            let mut error = Error::new(ErrorKind::InvalidValue).with_cmd(command);
            if let Some(argument) = argument {
                let name = ContextValue::String(argument.to_string());
                error.insert(ContextKind::InvalidArg, name);
            }
            error.insert(
                ContextKind::InvalidValue,
                ContextValue::String(text.into_owned()),
            );
            let names = self.0.iter().filter_map(Format::to_possible_value);
            let names = names.map(|value| value.get_name().to_owned()).collect();
            error.insert(ContextKind::ValidValue, ContextValue::Strings(names));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            self.0.iter().filter_map(Format::to_possible_value),
        ))
    }
}
