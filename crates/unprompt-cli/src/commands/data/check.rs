//! `unprompt data check`: captions that repeat each other, and a test set beside them.

use super::{
    captions::{Captions, TEXTS_AT_ONCE, load},
    report::{
        Against, Nearest, PromptReport, Report, Share, SourceReport, Threshold, Without,
        count_distinct, write,
    },
};
use crate::{
    Finished,
    arguments::{Common, DataCheck},
    output::Output,
    records::{RecordWriter, TEXT_OR_JSON},
};
use anyhow::{Context, Result, bail};
use std::io::Write as _;
use unprompt::{
    KnownPrompts, SentenceEncoder,
    data::{ALIKE, NearestTexts, SAME, SourceSpec},
    eval::{Answer, Answers, Entry, PromptGroups, cosine_or_zero},
};

pub(crate) fn run(common: &Common, arguments: &DataCheck) -> Result<Finished> {
    let specs = arguments.data.iter().map(|spec| spec.parse());
    let specs: Vec<SourceSpec> = specs.collect::<Result<_, _>>()?;
    let truth = arguments
        .against
        .as_deref()
        .map(Answers::open)
        .transpose()?;
    let prediction = arguments.pred.as_deref().map(Answers::open).transpose()?;
    let records = RecordWriter::new(
        Output::open(common.out.as_deref())?,
        common.format,
        &TEXT_OR_JSON,
    )?;
    let groups_file = arguments.groups.as_deref();
    let groups_file = groups_file
        .map(|path| Output::open(Some(path)))
        .transpose()?;

    let texts = load(common, &arguments.encoder)?;
    let test_set = truth.as_ref();
    let test_set = test_set.map(|truth| TestSet::new(truth, texts.encoder()));
    let mut test_set = test_set.transpose()?;
    let mut captions = Captions::new(common, texts);
    let mut sources = Vec::new();
    for spec in &specs {
        sources.push(captions.read(spec, |texts| {
            if let Some(set) = &mut test_set {
                set.nearest.push(&spec.name, texts);
            }
        })?);
    }
    let report = report(&captions, sources, groups_file)?;
    let against = match (&truth, test_set) {
        (Some(truth), Some(set)) => {
            let known = KnownPrompts::carried(&arguments.encoder)?;
            let encoder = captions.texts.encoder();
            Some(set.report(truth, prediction.as_ref(), known.as_ref(), encoder)?)
        }
        _ => None,
    };
    let report = Report { against, ..report };
    let failures = report.sources.iter().any(|source| source.bad > 0);
    records.finish_with("check", &report, |out| write(out, &report))?;
    Ok(match failures {
        true => Finished::WithFailures,
        false => Finished::Whole,
    })
}

/// What was found, with the groups written down where a file is given.
fn report(
    captions: &Captions<'_>,
    mut sources: Vec<SourceReport>,
    file: Option<Output>,
) -> Result<Report> {
    let found = captions.groups();
    count_distinct(&mut sources, &found);
    if let Some(mut file) = file {
        let mut rows = csv::Writer::from_writer(&mut file);
        rows.write_record(["source", "id", "caption", "group", "repeats"])?;
        for (caption, found) in captions.list.iter().zip(&found) {
            let repeats = found
                .repeats
                .map_or("", |text| captions.list[text].id.as_str());
            rows.write_record([
                caption.source.as_str(),
                &caption.id,
                &caption.text,
                &found.group.to_string(),
                repeats,
            ])?;
        }
        rows.flush()?;
        drop(rows);
        file.flush()?;
        file.finish()?;
    }
    Ok(Report {
        sources,
        captions: found.len(),
        distinct: found.iter().filter(|found| found.repeats.is_none()).count(),
        groups: found.iter().map(|found| found.group + 1).max().unwrap_or(0),
        against: None,
    })
}

/// The prompts of a test set, each once, and the captions nearest to them.
struct TestSet {
    groups: PromptGroups,
    /// Of each prompt.
    embeddings: Vec<Vec<f32>>,
    /// Of each prompt, where it is none of embeddings.
    prompts: Vec<Option<String>>,
    nearest: NearestTexts,
}

impl TestSet {
    fn new(truth: &Answers, encoder: &SentenceEncoder) -> Result<Self> {
        let entries = truth.entries();
        let groups = PromptGroups::new(entries.iter().map(|entry| &entry.answer));
        let mut answers: Vec<Option<&Answer>> = vec![None; groups.count];
        for (entry, group) in entries.iter().zip(&groups.of_image) {
            answers[*group].get_or_insert(&entry.answer);
        }
        let mut embeddings = Vec::with_capacity(groups.count);
        let mut prompts = Vec::with_capacity(groups.count);
        for answer in answers.into_iter().flatten() {
            match answer {
                Answer::Prompt(prompt) => {
                    embeddings.push(Vec::new());
                    prompts.push(Some(prompt.clone()));
                }
                Answer::Embedding(row) => {
                    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                    if row.len() != encoder.width() || length == 0.0 {
                        bail!(
                            "{}: an embedding of {} numbers, expected {} that are not all 0",
                            truth.name(),
                            row.len(),
                            encoder.width()
                        );
                    }
                    embeddings.push(row.iter().map(|value| (value / length) as f32).collect());
                    prompts.push(None);
                }
            }
        }
        let texts: Vec<&str> = prompts.iter().flatten().map(String::as_str).collect();
        let mut rows = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_AT_ONCE) {
            rows.extend(encoder.embed(texts)?);
        }
        let missing = embeddings.iter_mut().filter(|row| row.is_empty());
        missing
            .zip(rows)
            .for_each(|(row, embedded)| *row = embedded);
        Ok(Self {
            groups,
            nearest: NearestTexts::new(embeddings.clone()),
            embeddings,
            prompts,
        })
    }

    fn report(
        self,
        truth: &Answers,
        prediction: Option<&Answers>,
        known: Option<&KnownPrompts>,
        encoder: &SentenceEncoder,
    ) -> Result<Against> {
        let listed = match known {
            Some(known) => known.nearest(&self.embeddings)?,
            None => vec![None; self.embeddings.len()],
        };
        let mut pictures = vec![0; self.groups.count];
        self.groups
            .of_image
            .iter()
            .for_each(|group| pictures[*group] += 1);
        let captions = self.nearest.found().iter();
        let per_prompt: Vec<PromptReport> = self
            .prompts
            .iter()
            .zip(pictures)
            .zip(captions.zip(listed))
            .map(|((prompt, n), (caption, listed))| PromptReport {
                prompt: prompt.clone(),
                n,
                nearest_caption: caption.as_ref().map(|found| Nearest {
                    text: found.text.clone(),
                    source: found.source.clone(),
                    similarity: found.similarity,
                }),
                nearest_listed: listed.map(|found| Nearest {
                    text: found.prompt,
                    source: found.list,
                    similarity: found.similarity,
                }),
            })
            .collect();
        let scores = prediction.map(|prediction| self.scores(truth, prediction, encoder));
        let scores = scores.transpose()?;
        let share = |is_near: &dyn Fn(&PromptReport) -> bool| {
            let prompts = per_prompt.iter().filter(|prompt| is_near(prompt)).count();
            Share {
                prompts,
                share: prompts as f64 / per_prompt.len().max(1) as f64,
            }
        };
        let near = |nearest: &Option<Nearest>, similarity| {
            nearest
                .as_ref()
                .is_some_and(|found| found.similarity >= similarity)
        };
        let threshold = |similarity| {
            let without = scores.as_ref().map(|scores| {
                let images = scores.iter().zip(&self.groups.of_image);
                let left: Vec<f64> = images
                    .filter(|(_, group)| !per_prompt[**group].is_known(similarity))
                    .map(|(cosine, _)| *cosine)
                    .collect();
                Without {
                    mean_cosine: mean(&left),
                    n: left.len(),
                }
            });
            Threshold {
                similarity,
                in_captions: share(&|prompt| near(&prompt.nearest_caption, similarity)),
                in_lists: known.map(|_| share(&|prompt| near(&prompt.nearest_listed, similarity))),
                in_any: share(&|prompt| prompt.is_known(similarity)),
                without: without.filter(|without| without.n > 0),
            }
        };
        Ok(Against {
            truth: truth.name().to_owned(),
            n: truth.entries().len(),
            prompts: self.groups.count,
            thresholds: vec![threshold(SAME), threshold(ALIKE)],
            mean_cosine: scores.as_deref().map(mean),
            per_prompt,
        })
    }

    /// The cosine of each picture's prediction, in the order of the truth.
    fn scores(
        &self,
        truth: &Answers,
        prediction: &Answers,
        encoder: &SentenceEncoder,
    ) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(truth.entries().len());
        let pictures: Vec<(&Entry, &usize)> =
            truth.entries().iter().zip(&self.groups.of_image).collect();
        for pictures in pictures.chunks(TEXTS_AT_ONCE) {
            let answers = pictures.iter().map(|(entry, _)| {
                let found = prediction.get(&entry.id).map(|found| &found.answer);
                let (name, id) = (prediction.name(), &entry.id);
                found.with_context(|| format!("{name}: no answer for image `{id}`"))
            });
            let answers: Vec<&Answer> = answers.collect::<Result<_>>()?;
            let texts: Vec<&str> = answers
                .iter()
                .filter_map(|answer| match answer {
                    Answer::Prompt(prompt) => Some(prompt.as_str()),
                    Answer::Embedding(_) => None,
                })
                .collect();
            let mut embedded = encoder.embed(&texts)?.into_iter();
            for (answer, (entry, group)) in answers.into_iter().zip(pictures) {
                let row: Vec<f64> = match answer {
                    Answer::Embedding(row) => row.clone(),
                    Answer::Prompt(_) => widened(&embedded.next().unwrap_or_default()),
                };
                let truth = widened(&self.embeddings[**group]);
                if row.len() != truth.len() {
                    bail!(
                        "{}: image `{}` has an embedding of {} numbers, expected {}",
                        prediction.name(),
                        entry.id,
                        row.len(),
                        truth.len()
                    );
                }
                scores.push(cosine_or_zero(&row, &truth));
            }
        }
        Ok(scores)
    }
}

fn widened(row: &[f32]) -> Vec<f64> {
    row.iter().copied().map(f64::from).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
