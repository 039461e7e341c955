//! `unprompt eval --table1`: what each member of a preset says about one picture, and how near that is
//! to the picture's prompt, as Table 1 of the paper has it.

use super::truth::widened;
use crate::{
    Finished,
    arguments::{Common, Eval},
    output::Output,
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON, one_line},
    setup::{compute, hub},
};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::{
    io::{self, Write},
    path::Path,
};
use unprompt::{
    PredictOptions, Predictor, Preset, Source,
    eval::{Answer, Answers, cosine_or_zero, image_id},
    image::Limits,
    metadata::{self, Metadata},
};

#[derive(Serialize)]
struct Table {
    path: String,
    preset: String,
    true_prompt: String,
    /// The members in the preset's order, then the preset itself.
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// Not there where a member says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Cosine of the text and the true prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_cosine: Option<f64>,
    /// Cosine of the embedding, which need not be that of the text, and the true prompt.
    cosine: f64,
}

pub(super) fn run(common: &Common, arguments: &Eval, picture: &Path) -> Result<Finished> {
    let preset = Preset::load(&arguments.preset)?;
    let true_prompt = true_prompt(arguments, picture)?;
    let records = RecordWriter::new(
        Output::open(common.out.as_deref())?,
        common.format,
        &TEXT_OR_JSON,
    )?;
    let (hub, compute) = (hub(common)?, compute(common)?);
    let progress = LoadingProgress::new(common.quiet);
    let predictor = Predictor::load(&hub, preset, &compute, &progress, &progress)?;
    let options = PredictOptions {
        metadata: false,
        ..PredictOptions::default()
    };
    let mut found = predictor.predict(&[Source::File(picture.to_owned())], &options)?;
    let record = match found.pop().map(unprompt::Outcome::into_result) {
        Some(Ok(record)) => record,
        Some(Err(failure)) => bail!("{}: {}", failure.path, failure.error),
        None => bail!("{}: nothing was predicted", picture.display()),
    };
    let encoder = predictor.encoder()?;
    let embed = |text: &str| -> Result<Vec<f64>> {
        let rows = encoder.embed(&[text])?;
        Ok(rows.first().map(|row| widened(row)).unwrap_or_default())
    };
    let truth = embed(&true_prompt)?;
    let text_cosine = |text: &Option<String>| -> Result<Option<f64>> {
        let row = text.as_deref().map(embed).transpose()?;
        Ok(row.map(|row| cosine_or_zero(&row, &truth)))
    };
    let mut rows = Vec::new();
    for member in record.members {
        rows.push(Row {
            text_cosine: text_cosine(&member.text)?,
            name: member.name,
            weight: Some(member.weight),
            text: member.text,
            cosine: cosine_or_zero(&widened(&member.embedding), &truth),
        });
    }
    let text = Some(record.prompt);
    rows.push(Row {
        name: predictor.preset().name.clone(),
        weight: None,
        text_cosine: text_cosine(&text)?,
        text,
        cosine: record
            .embedding
            .map_or(0.0, |row| cosine_or_zero(&widened(&row), &truth)),
    });
    let table = Table {
        path: picture.to_string_lossy().into_owned(),
        preset: predictor.preset().name.clone(),
        true_prompt,
        rows,
    };
    records.finish_with("table", &table, |out| write(out, &table))?;
    Ok(Finished::Whole)
}

/// The prompt of the picture: that of the truth, or the one in the file.
fn true_prompt(arguments: &Eval, picture: &Path) -> Result<String> {
    let name = picture.display();
    let Some(truth) = &arguments.truth else {
        let bytes = Source::File(picture.to_owned()).read(&Limits::default());
        let bytes = bytes.with_context(|| format!("{name}"))?;
        let found = metadata::read(&bytes).with_context(|| format!("{name}"))?;
        let found = found.filter(Metadata::has_prompt);
        let prompt = found.map(|found| found.prompt);
        return prompt
            .with_context(|| format!("{name}: the file carries no prompt; give one with --truth"));
    };
    let truth = Answers::open(truth)?;
    let id = image_id(picture);
    match truth.get(&id).map(|entry| &entry.answer) {
        Some(Answer::Prompt(prompt)) => Ok(prompt.clone()),
        Some(Answer::Embedding(_)) => {
            bail!(
                "{}: image `{id}` has an embedding, where its prompt is needed",
                truth.name()
            )
        }
        None => bail!("{}: no image `{id}`", truth.name()),
    }
}

fn write(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    let names = table.rows.iter().map(|row| one_line(&row.name));
    let names: Vec<String> = names.collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0).max("true prompt".len());
    writeln!(out, "{:>width$}    text  embedding", "")?;
    let prompt = one_line(&table.true_prompt);
    writeln!(
        out,
        "{:>width$}  1.0000     1.0000  {prompt}",
        "true prompt"
    )?;
    for (name, row) in names.iter().zip(&table.rows) {
        let text_cosine = row.text_cosine.map(|cosine| format!("{cosine:.4}"));
        let text_cosine = text_cosine.unwrap_or_default();
        let text = row.text.as_deref().map(one_line).unwrap_or_default();
        let line = format!(
            "{name:>width$}  {text_cosine:>6}  {:>9.4}  {text}",
            row.cosine
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
