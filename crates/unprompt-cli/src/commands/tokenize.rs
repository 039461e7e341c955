//! `unprompt tokenize`: the ids of texts.

use crate::{
    Finished,
    arguments::{Common, Tokenize},
    output::Output,
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON},
    setup::hub,
};
use anyhow::Result;
use serde::Serialize;
use std::io::Write;
use unprompt::Tokenizer;

#[derive(Serialize)]
struct Record<'a> {
    text: &'a str,
    ids: Vec<u32>,
}

pub(crate) fn run(common: &Common, arguments: &Tokenize) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let mut records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let progress = LoadingProgress::new(common.quiet);
    let tokenizer = Tokenizer::load(&hub(common)?, &arguments.model, &progress)?;
    for text in &arguments.texts {
        let record = Record {
            text,
            ids: tokenizer.encode(text)?,
        };
        if !records.write_json(&record)? {
            let ids: Vec<String> = record.ids.iter().map(u32::to_string).collect();
            writeln!(records.raw(), "{}", ids.join(" "))?;
        }
    }
    records.finish()?;
    Ok(Finished::Whole)
}
