//! From what the networks saw in a batch of pictures to records.

use super::{Analysis, Found, Predictor};
use crate::{
    ConfidenceFeature, InputError, MemberRecord, MemberSpec, PredictionRecord, PromptSource,
    calibration::agreement,
    member::{blend, unit},
    members::{Embeddings, MemberResult, Seen, narrowed},
    text_search::{Candidate, FoundText, TextQuery},
};
use std::collections::HashSet;

/// How many pieces of one text may become parts of another.
const PIECES: usize = 16;

/// One picture's prediction before its text is chosen.
pub(super) struct Draft {
    known: Known,
    metadata_error: Option<String>,
    elapsed_ms: f64,
}

enum Known {
    Prompt {
        prompt: String,
        embedding: Vec<f32>,
    },
    Blend {
        results: Vec<MemberResult>,
        blend: Vec<f64>,
    },
}

/// A draft, and what its text is searched among, where it is to be searched.
type DraftAndQuery = (Draft, Option<TextQuery>);

impl Predictor {
    /// Each picture's draft, in their order. `common` has the embeddings of all texts, or, where one
    /// of them could not be embedded, not.
    pub(super) fn drafts(
        &self,
        analyses: Vec<Result<Analysis, InputError>>,
        common: &Embeddings,
    ) -> Vec<Result<DraftAndQuery, InputError>> {
        let with_own = |analysis: Analysis| {
            let own = self.own_embeddings(&analysis.found, common)?;
            Ok((analysis, own))
        };
        let analyses: Vec<Result<(Analysis, Option<Embeddings>), InputError>> = analyses
            .into_iter()
            .map(|one| one.and_then(with_own))
            .collect();
        let pictures = analyses.iter().flatten();
        let seen: Vec<(&Seen, &Embeddings)> = pictures
            .filter_map(|(analysis, own)| match &analysis.found {
                Found::Seen(seen) => Some((seen, own.as_ref().unwrap_or(common))),
                Found::Prompt(_) => None,
            })
            .collect();
        let mut results = self.members.results(&self.preset, &seen).into_iter();
        let mut draft = |(analysis, own): (Analysis, Option<Embeddings>)| {
            let embeddings = own.as_ref().unwrap_or(common);
            let (metadata_error, elapsed_ms) = (analysis.metadata_error, analysis.elapsed_ms);
            let (known, query) = match analysis.found {
                Found::Prompt(prompt) => {
                    let embedding = embeddings[&prompt].clone();
                    (Known::Prompt { prompt, embedding }, None)
                }
                Found::Seen(_) => {
                    // Each picture that was seen has its results.
                    let results = results.next().unwrap_or_else(|| Ok(Vec::new()))?;
                    let blend = self.blend(&results);
                    let query = self.text_query(&results, &blend, embeddings);
                    (Known::Blend { results, blend }, Some(query))
                }
            };
            let draft = Draft {
                known,
                metadata_error,
                elapsed_ms,
            };
            Ok((draft, query))
        };
        analyses
            .into_iter()
            .map(|one| one.and_then(&mut draft))
            .collect()
    }

    /// The embeddings of a picture's texts, unless they are among the common ones: embedding all
    /// texts together failed, and alone each names its own trouble.
    fn own_embeddings(
        &self,
        found: &Found,
        common: &Embeddings,
    ) -> Result<Option<Embeddings>, InputError> {
        let texts = self.texts(found);
        if texts.iter().all(|text| common.contains_key(text)) {
            return Ok(None);
        }
        let rows = self.encoder.embed(&texts)?;
        Ok(Some(texts.into_iter().zip(rows).collect()))
    }

    /// Whole texts are those that members gave or retrieved; chains are made of these and of the
    /// pieces of those that members gave. Prompts that are merely nearest to the blend are left out:
    /// where the members are unsure the blend is near the mean of all prompts, and so are the texts
    /// that say the least.
    fn text_query(
        &self,
        results: &[MemberResult],
        blend: &[f64],
        embeddings: &Embeddings,
    ) -> TextQuery {
        let texts = results.iter().flat_map(|result| &result.texts);
        let whole: Vec<Candidate> = texts.cloned().collect();
        let mut seen = HashSet::new();
        let pieces = whole.iter().flat_map(|candidate| {
            let pieces = pieces(&candidate.text);
            let pieces = pieces.into_iter().filter_map(|text| {
                let embedding = embeddings.get(&text)?.clone();
                Some(Candidate { text, embedding })
            });
            std::iter::once(candidate.clone()).chain(pieces.collect::<Vec<_>>())
        });
        let phrases = pieces
            .filter(|piece| seen.insert(piece.text.clone()))
            .collect();
        TextQuery {
            target: blend.to_vec(),
            whole,
            phrases,
        }
    }

    pub(super) fn record(
        &self,
        path: String,
        draft: Draft,
        texts: &mut impl Iterator<Item = FoundText>,
        share_ms: f64,
    ) -> PredictionRecord {
        let mut record = PredictionRecord {
            path,
            prompt: String::new(),
            source: PromptSource::Metadata,
            metadata_error: draft.metadata_error,
            embedding: Vec::new(),
            members: Vec::new(),
            evidence: Vec::new(),
            expected_score: None,
            preset: self.preset.name.clone(),
            elapsed_ms: ((draft.elapsed_ms + share_ms) * 1e3).round() / 1e3,
            receipt: self.receipt.clone(),
        };
        match draft.known {
            Known::Prompt { prompt, embedding } => {
                record.prompt = prompt;
                record.embedding = embedding;
            }
            Known::Blend { mut results, blend } => {
                // Each draft of this kind asked for one text.
                let found = texts.next().unwrap_or_default();
                record.source = PromptSource::Predicted;
                record.expected_score = self.expected_score(&results, found.similarity);
                record.prompt = found.text;
                record.embedding = narrowed(&blend);
                for result in &mut results {
                    record.evidence.append(&mut result.evidence);
                }
                let member = |(spec, result): (&MemberSpec, MemberResult)| MemberRecord {
                    name: spec.name.clone(),
                    weight: spec.weight,
                    text: result.texts.into_iter().next().map(|first| first.text),
                    embedding: narrowed(&unit(&result.embedding)),
                };
                record.members = self
                    .preset
                    .members
                    .iter()
                    .zip(results)
                    .map(member)
                    .collect();
            }
        }
        record
    }

    fn expected_score(&self, results: &[MemberResult], similarity: f64) -> Option<f64> {
        let calibration = self.preset.calibration.as_ref()?;
        let members = self.preset.members.iter().zip(results);
        let weighted = members.filter(|(spec, _)| spec.weight > 0.0);
        let feature = match calibration.feature {
            ConfidenceFeature::Text => similarity,
            ConfidenceFeature::Agreement => {
                agreement(weighted.map(|(_, result)| result.embedding.as_slice()))
            }
        };
        Some(calibration.expected_score(feature))
    }

    fn blend(&self, results: &[MemberResult]) -> Vec<f64> {
        let members = self.preset.members.iter().zip(results);
        let rows = members.map(|(spec, result)| (spec.weight, result.embedding.as_slice()));
        blend(rows, self.preset.normalize_members)
    }
}

/// The phrases that a text consists of, between commas; none where it is one phrase.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let pieces = text.split(',').map(str::trim);
    let pieces: Vec<String> = pieces
        .filter(|piece| !piece.is_empty() && *piece != text)
        .take(PIECES)
        .map(String::from)
        .collect();
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_pieces_between_its_commas() {
        assert_eq!(
            pieces("a cat,  on a mat, ,oil"),
            ["a cat", "on a mat", "oil"]
        );
        assert!(pieces("a cat").is_empty());
        assert!(pieces("").is_empty());
        assert_eq!(pieces(&"a,".repeat(100)).len(), PIECES);
    }
}
