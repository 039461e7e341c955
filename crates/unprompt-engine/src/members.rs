//! The members of a preset with all that they need, from a picture's bytes to their embeddings.

mod load;
mod see;

pub(crate) use load::{Loading, open_indexes};
pub(crate) use see::Seen;

use crate::{
    Captioner, Classifier, Evidence, ImageEncoder, InputError, MemberKind, MemberSpec,
    PictureInterrogator, Preset,
    member::{Knn, Retrieval, label_mean, label_text},
    phrase_table::PhraseTable,
    text_search::Candidate,
};
use std::{collections::HashMap, sync::Arc};

/// The models, tables and lists of a preset's members.
#[derive(Debug, Default)]
pub(crate) struct Members {
    classifiers: HashMap<String, Classifier>,
    regressors: HashMap<String, ImageEncoder>,
    captioners: HashMap<String, Captioner>,
    /// By the member's name.
    interrogators: HashMap<String, PictureInterrogator>,
    /// The image towers that pictures are looked up by, by the CLIP's name.
    pictures: HashMap<String, Arc<ImageEncoder>>,
    /// Every label of a classifier, by model.
    labels: HashMap<String, PhraseTable>,
    /// By the list's name.
    prompts: HashMap<String, PhraseTable>,
    /// By the member's name.
    retrievals: HashMap<String, Retrieval>,
    /// By the member's name.
    knns: HashMap<String, Knn>,
}

/// What one member makes of a picture.
pub(crate) struct MemberResult {
    /// Not normalised.
    pub(crate) embedding: Vec<f64>,
    /// The member's own text is the first.
    pub(crate) texts: Vec<Candidate>,
    pub(crate) evidence: Vec<Evidence>,
}

/// The embedding of each text.
pub(crate) type Embeddings = HashMap<String, Vec<f32>>;

/// What the members make of one picture, in the order of the preset.
pub(crate) type PictureResults = Result<Vec<MemberResult>, InputError>;

impl Members {
    /// The texts whose embeddings [`results`](Self::results) asks for.
    pub(crate) fn texts(preset: &Preset, seen: &Seen) -> Vec<String> {
        let members = preset.members.iter();
        let text = |member: &MemberSpec| match &member.kind {
            MemberKind::LabelText { model, top } => Some(label_text(&seen.labels[model], *top)),
            _ => seen.texts.get(&member.name).cloned(),
        };
        members.filter_map(text).collect()
    }

    /// What the members make of each picture of a batch.
    pub(crate) fn results(
        &self,
        preset: &Preset,
        batch: &[(&Seen, &Embeddings)],
    ) -> Vec<PictureResults> {
        let mut found: Vec<PictureResults> = batch.iter().map(|_| Ok(Vec::new())).collect();
        for spec in &preset.members {
            if matches!(spec.kind, MemberKind::Knn { .. }) {
                self.look_up(preset, spec, batch, &mut found);
                continue;
            }
            for ((seen, embeddings), found) in batch.iter().zip(&mut found) {
                if let Ok(results) = found {
                    let result = self.result(preset, spec, seen, embeddings, results);
                    results.push(result);
                }
            }
        }
        found
    }

    /// Looks all pictures up in an index together: each row of it is read once.
    fn look_up(
        &self,
        preset: &Preset,
        spec: &MemberSpec,
        batch: &[(&Seen, &Embeddings)],
        found: &mut [PictureResults],
    ) {
        let knn = &self.knns[&spec.name];
        let query = |seen: &Seen, results: &[MemberResult]| match (&spec.kind, &knn.clip) {
            (_, Some(clip)) => seen.vectors[clip].clone(),
            (
                MemberKind::Knn {
                    from: Some(from), ..
                },
                None,
            ) => narrowed(embedding_of(preset, from, results)),
            _ => Vec::new(),
        };
        let (mut pictures, mut queries) = (Vec::new(), Vec::new());
        for (index, ((seen, _), results)) in batch.iter().zip(found.iter()).enumerate() {
            if let Ok(results) = results {
                pictures.push(index);
                queries.push(query(seen, results));
            }
        }
        for (index, looked_up) in pictures.into_iter().zip(knn.search(&queries)) {
            match (&mut found[index], looked_up) {
                (Ok(results), Ok(result)) => results.push(result),
                (failed, Err(error)) => *failed = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
    }

    /// What one member makes of a picture, after the members that stand before it.
    fn result(
        &self,
        preset: &Preset,
        spec: &MemberSpec,
        seen: &Seen,
        embeddings: &Embeddings,
        before: &[MemberResult],
    ) -> MemberResult {
        let mut result = MemberResult {
            embedding: Vec::new(),
            texts: Vec::new(),
            evidence: Vec::new(),
        };
        match &spec.kind {
            MemberKind::LabelText { model, top } => {
                let text = label_text(&seen.labels[model], *top);
                let embedding = embeddings[&text].clone();
                result.embedding = widened(&embedding);
                result.texts.push(Candidate { text, embedding });
            }
            MemberKind::Captioner { .. } | MemberKind::Interrogator { .. } => {
                let text = seen.texts[&spec.name].clone();
                let embedding = embeddings[&text].clone();
                result.embedding = widened(&embedding);
                result.texts.push(Candidate { text, embedding });
            }
            MemberKind::LabelMean {
                model,
                top,
                temperature,
                centred,
            } => {
                let labels = &seen.labels[model];
                let labels = &labels[..top.unwrap_or(usize::MAX).min(labels.len())];
                let table = &self.labels[model];
                result.embedding = label_mean(labels, *temperature, *centred, table);
            }
            MemberKind::Regressor { .. } => {
                result.embedding = widened(&seen.regressions[&spec.name]);
            }
            MemberKind::Prior { prompts } => {
                result.embedding = self.prompts[prompts].mean.clone();
            }
            // A whole batch is looked up together.
            MemberKind::Knn { .. } => {}
            MemberKind::Retrieval {
                query,
                prompts,
                evidence,
                ..
            } => {
                let table = &self.prompts[prompts];
                let query = embedding_of(preset, query, before);
                let found = self.retrievals[&spec.name].search(query, table, *evidence);
                result.embedding = found.embedding;
                for (index, similarity) in found.nearest {
                    let candidate = table.candidate(index);
                    let prompt = candidate.text.clone();
                    result.texts.push(candidate);
                    result.evidence.push(Evidence { prompt, similarity });
                }
            }
        }
        result
    }
}

/// The embedding of the member of a name. The check of the preset found it among those before.
fn embedding_of<'a>(preset: &Preset, name: &str, before: &'a [MemberResult]) -> &'a [f64] {
    let index = preset.members.iter().position(|member| member.name == name);
    let found = index.and_then(|index| before.get(index));
    found.map_or(&[][..], |result| &result.embedding)
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

pub(crate) fn narrowed(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
