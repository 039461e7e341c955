//! An evaluation for people to read.

use super::evaluation::Evaluation;
use crate::records::one_line;
use std::io::{Result, Write};

pub(super) fn write(out: &mut dyn Write, found: &Evaluation) -> Result<()> {
    let mut rows: Vec<(String, String, f64)> = vec![
        (found.preset.clone(), String::new(), found.mean_cosine),
        ("its text".into(), String::new(), found.text_mean_cosine),
    ];
    for member in &found.members {
        let weight = format!("{:.4}", member.weight);
        rows.push((member.name.clone(), weight, member.mean_cosine));
    }
    let (mean, constant) = (
        &found.baselines.mean_embedding,
        &found.baselines.constant_prompt,
    );
    rows.push(("mean embedding".into(), String::new(), mean.mean_cosine));
    rows.push((
        "constant prompt".into(),
        String::new(),
        constant.mean_cosine,
    ));
    let names: Vec<String> = rows.iter().map(|(name, _, _)| one_line(name)).collect();
    let width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let pad = |name: &str| " ".repeat(width - name.chars().count());
    writeln!(out, "{}  weight  mean cosine", " ".repeat(width))?;
    for (name, (_, weight, score)) in names.iter().zip(&rows) {
        writeln!(out, "{}{name}  {weight:>6}  {score:>11.4}", pad(name))?;
    }
    writeln!(out, "\n{} pictures of {} prompts", found.n, found.prompts)?;
    if let Some(expected) = &found.expected_score {
        let (mean, error) = (expected.mean, expected.error);
        writeln!(out, "expected was {mean:.4}, off by {error:.4} a picture")?;
    }
    for (count, what) in [
        (
            found.from_metadata,
            "prompts were read from the file, not predicted",
        ),
        (found.failed.len(), "pictures failed and have no score"),
        (found.without_truth.len(), "files are not in the truth"),
        (
            found.without_picture.len(),
            "images of the truth have no picture here",
        ),
    ] {
        if count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    if let Some(prompt) = &constant.prompt {
        let (list, prompts) = (constant.list, constant.list_prompts);
        let prompt = one_line(prompt);
        writeln!(
            out,
            "baselines: of the {prompts} prompts of `{list}`; the constant is \"{prompt}\""
        )?;
    }
    Ok(())
}
