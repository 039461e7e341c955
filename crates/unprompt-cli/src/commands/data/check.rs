//! `unprompt data check`: captions that repeat each other, and a test set beside them.

use super::report::{
    Against, Nearest, PromptReport, Report, Share, SourceReport, Threshold, Without, write,
};
use crate::{
    Finished,
    arguments::{Common, DataCheck},
    output::{Output, complain},
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON, one_line},
    setup::{compute, hub},
};
use anyhow::{Context, Result, bail};
use std::io::Write as _;
use unprompt::{
    KnownPrompts, SentenceEncoder,
    data::{ALIKE, Limits, NearDuplicates, NearestTexts, SAME, Source, SourceSpec},
    eval::{Answer, Answers, Entry, PromptGroups, cosine_or_zero},
    load_sentence_encoder,
    train::VectorStore,
};

/// Texts that are embedded and compared together.
const TEXTS_AT_ONCE: usize = 256;
/// Bad records of a source that are shown one by one; of all the number is.
const SHOWN: usize = 5;

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

    let (hub, compute) = (hub(common)?, compute(common)?);
    let progress = LoadingProgress::new(common.quiet);
    let (model, encoder) = load_sentence_encoder(&hub, &arguments.encoder, &compute, &progress)?;
    // The same that `train` keeps: what was embedded for one is there for the other.
    let identity = compute.identity(model.sha256()?);
    let store = VectorStore::open(
        &hub.environment().own_cache.join("features"),
        &format!("texts {identity}"),
        encoder.width(),
    )?;
    let test_set = truth.as_ref().map(|truth| TestSet::new(truth, &encoder));
    let mut test_set = test_set.transpose()?;
    let mut check = Check {
        common,
        encoder: &encoder,
        store,
        near: NearDuplicates::new(encoder.width()),
        captions: Vec::new(),
    };
    let mut sources = Vec::new();
    for spec in &specs {
        sources.push(check.read(spec, test_set.as_mut())?);
    }
    let report = check.report(sources, groups_file)?;
    let against = match (&truth, test_set) {
        (Some(truth), Some(set)) => {
            let known = KnownPrompts::carried(&arguments.encoder)?;
            Some(set.report(truth, prediction.as_ref(), known.as_ref(), &encoder)?)
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

/// A caption, by where it is from.
struct Caption {
    source: String,
    id: String,
    text: String,
}

struct Check<'a> {
    common: &'a Common,
    encoder: &'a SentenceEncoder,
    store: VectorStore,
    near: NearDuplicates,
    captions: Vec<Caption>,
}

impl Check<'_> {
    /// Reads the captions of a source to its end; what is distinct is known once all are read.
    fn read(
        &mut self,
        spec: &SourceSpec,
        mut test_set: Option<&mut TestSet>,
    ) -> Result<SourceReport> {
        let quiet = self.common.quiet;
        let mut source = Source::open(spec, Limits::default())?;
        let mut bar = Bar::open_ended(&format!("{}: captions", spec.name), quiet);
        let begin = self.captions.len();
        let mut ended = false;
        while !ended {
            let from = self.captions.len();
            while self.captions.len() - from < TEXTS_AT_ONCE {
                match source.next() {
                    Some(Ok(sample)) => {
                        let id = sample.id;
                        self.captions
                            .extend(sample.captions.into_iter().map(|text| Caption {
                                source: spec.name.clone(),
                                id: id.clone(),
                                text,
                            }));
                    }
                    Some(Err(error)) => {
                        if source.tally().bad <= SHOWN && !quiet {
                            let line = one_line(&format!("{}: {error}", spec.name));
                            bar.suspend(|| complain(&line));
                        }
                    }
                    None => {
                        ended = true;
                        break;
                    }
                }
            }
            let new = &self.captions[from..];
            let texts: Vec<&str> = new.iter().map(|caption| caption.text.as_str()).collect();
            let rows = embed(&texts, self.encoder, &mut self.store)?;
            if let Some(set) = test_set.as_deref_mut() {
                let rows = rows.iter().map(Vec::as_slice);
                let texts: Vec<(&str, &[f32])> = texts.iter().copied().zip(rows).collect();
                set.nearest.push(&spec.name, &texts);
            }
            self.near.push(&rows);
            bar.advance(rows.len() as u64);
        }
        bar.finish();
        let tally = source.tally();
        if tally.bad > SHOWN {
            let (name, bad) = (&spec.name, tally.bad);
            complain(&one_line(&format!(
                "{name}: {bad} records in all gave nothing"
            )));
        }
        Ok(SourceReport {
            name: spec.name.clone(),
            samples: tally.samples,
            bad: tally.bad,
            captions: self.captions.len() - begin,
            distinct: 0,
        })
    }

    /// What was found, with the groups written down where a file is given.
    fn report(&self, mut sources: Vec<SourceReport>, file: Option<Output>) -> Result<Report> {
        let found = self.near.groups();
        let mut captions = found.iter();
        for source in &mut sources {
            let of_source = captions.by_ref().take(source.captions);
            source.distinct = of_source.filter(|found| found.repeats.is_none()).count();
        }
        if let Some(mut file) = file {
            let mut rows = csv::Writer::from_writer(&mut file);
            rows.write_record(["source", "id", "caption", "group", "repeats"])?;
            for (caption, found) in self.captions.iter().zip(&found) {
                let repeats = found
                    .repeats
                    .map_or("", |text| self.captions[text].id.as_str());
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

/// The embeddings of texts, from the store or computed now.
fn embed(
    texts: &[&str],
    encoder: &SentenceEncoder,
    store: &mut VectorStore,
) -> Result<Vec<Vec<f32>>> {
    let keys: Vec<[u8; 32]> = texts
        .iter()
        .map(|text| VectorStore::key(text.as_bytes()))
        .collect();
    let (mut new, mut new_keys) = (Vec::new(), Vec::new());
    for (text, key) in texts.iter().zip(&keys) {
        if store.get(key).is_none() {
            new.push(*text);
            new_keys.push(*key);
        }
    }
    store.put(new_keys.into_iter().zip(encoder.embed(&new)?))?;
    keys.iter()
        .map(|key| {
            let row = store.get(key).map(<[f32]>::to_vec);
            row.context("an embedding is missing from its store")
        })
        .collect()
}
