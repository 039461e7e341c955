//! From pictures to predictions: the stages, one after the other.
//!
//! ```text
//! read -> metadata -> decode, preprocess | encode -> members -> blend -> text -> record
//! ```
//!
//! The stages before the bar look at one picture each. They are done for the next batch while those
//! behind it, which look at a whole batch, work on this one.

pub(crate) mod list_text;
pub(crate) mod text_search;

use crate::{
    encoders::{
        deferred_encoder::DeferredEncoder,
        networks::{Encoded, Inputs, Networks},
    },
    error::{EngineError, InputError, Result},
    lists::{phrase_table::PhraseTable, prompt_list::prompt_list, store::open_store},
    members::{
        kind::{Member, MemberResult, Seen},
        loader::Loader,
    },
    preset::{
        Preset,
        calibration::{ConfidenceFeature, agreement},
        missing,
    },
    record::{
        FailureRecord, MemberRecord, ModelReceipt, Outcome, PredictionRecord, PromptSource, Receipt,
    },
    source::Source,
    text::Candidate,
    vectors::{blend, length, narrowed, sum, unit},
};
use list_text::Wanted;
use rayon::prelude::*;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    num::NonZeroUsize,
    time::Instant,
};
use text_search::{FoundText, TextQuery};
use unprompt_eye::TextList;
use unprompt_hub::{Hub, NoProgress, Progress};
use unprompt_image::{Admission, Limits};
use unprompt_interrogate::TableProgress;
use unprompt_models::{Compute, SentenceEncoder};

/// How many pieces of one text may become parts of another.
const PIECES: usize = 16;

/// What a caller may ask of a prediction.
#[derive(Clone, Copy, Debug)]
pub struct PredictOptions {
    /// Take the prompt that the file carries, where it carries one.
    pub metadata: bool,
    /// Limits on each picture.
    pub limits: Limits,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self {
            metadata: true,
            limits: Limits::default(),
        }
    }
}

/// A preset with its models loaded.
#[derive(Debug)]
pub struct Predictor {
    preset: Preset,
    encoder: DeferredEncoder,
    networks: Networks,
    /// In the order of the preset.
    members: Vec<Box<dyn Member>>,
    receipt: Receipt,
}

/// A picture between two stages, each of which fills in its part. One whose file carries its prompt
/// passes the stages between metadata and text untouched.
#[derive(Default)]
struct Picture {
    /// Spent on this picture alone.
    elapsed_ms: f64,
    /// The prompt in the file.
    prompt: Option<String>,
    /// Why the file's metadata cannot be read.
    metadata_error: Option<String>,
    /// Why the prompt in the file has no embedding.
    embedding_error: Option<String>,
    inputs: Inputs,
    encoded: Encoded,
    /// Each member's own text.
    own_texts: Vec<Option<String>>,
    /// What each member makes of it.
    results: Vec<MemberResult>,
    blend: Vec<f64>,
    text: FoundText,
}

/// A picture whose own stages are done: read, looked through for a prompt, decoded and preprocessed. It
/// belongs to the predictor that made it.
pub struct PreparedPicture {
    source: Source,
    slot: Slot,
}

impl fmt::Debug for PreparedPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedPicture")
            .field("source", &self.source)
            .field("error", &self.slot.as_ref().err())
            .finish_non_exhaustive()
    }
}

/// A picture, or why it has no prediction.
type Slot = std::result::Result<Picture, InputError>;

/// The embedding of each text of a batch.
type Embeddings = HashMap<String, Vec<f32>>;

impl Predictor {
    /// Loads a preset's models, fetching those that are not here; `progress` is told of what is
    /// fetched, `tables` of label tables that are embedded for the first time.
    ///
    /// # Errors
    /// When a model cannot be had or is not of the kind that the preset needs; where models are
    /// missing the error names all of them.
    pub fn load(
        hub: &Hub,
        preset: Preset,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        Self::load_models(hub, &preset, compute, progress, tables)
            .map_err(|error| missing::explain(hub, &preset, error))
    }

    fn load_models(
        hub: &Hub,
        preset: &Preset,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        // Missing indexes are told before gigabytes are fetched.
        let mut indexes = HashMap::new();
        for index in preset.indexes() {
            indexes.insert(index.place.to_owned(), open_store(hub, index.place)?);
        }
        let encoder = DeferredEncoder::new(hub, &preset.encoder, compute);
        if preset.text.is_none() {
            // Texts are searched with it, whatever the members need.
            encoder.get(progress)?;
        }
        let names = preset.members.iter().map(|member| member.name.as_str());
        let mut loader = Loader {
            hub,
            preset: &preset.name,
            names: names.collect(),
            place: 0,
            deferred: &encoder,
            encoder_name: &preset.encoder,
            compute,
            progress,
            tables,
            indexes,
            networks: Networks::default(),
            label_tables: HashMap::new(),
            prompt_tables: HashMap::new(),
            receipts: Vec::new(),
        };
        let mut members = Vec::new();
        for last in [false, true] {
            for (place, spec) in preset.members.iter().enumerate() {
                if spec.kind.is_loaded_last() == last {
                    loader.place = place;
                    members.push((place, spec.kind.load(&mut loader)?));
                }
            }
        }
        members.sort_by_key(|(place, _)| *place);
        let Loader {
            networks,
            mut receipts,
            ..
        } = loader;
        if let Some(model) = encoder.model() {
            receipts.insert(0, ModelReceipt::new(model, compute.dtype())?);
        }
        Ok(Self {
            preset: preset.clone(),
            networks,
            members: members.into_iter().map(|(_, member)| member).collect(),
            receipt: Receipt {
                version: env!("CARGO_PKG_VERSION").into(),
                dtype: compute.dtype().name(),
                models: receipts,
            },
            encoder,
        })
    }

    /// The preset.
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// The sentence encoder of the preset, which is loaded now if nothing needed it yet.
    ///
    /// # Errors
    /// When it cannot be had or is not a sentence encoder.
    pub fn encoder(&self) -> Result<&SentenceEncoder> {
        Ok(&self.encoder.get(&NoProgress)?.1)
    }

    /// Numbers of an embedding. A preset whose text is one of a list knows it without its encoder.
    ///
    /// # Errors
    /// As [`encoder`](Self::encoder).
    pub fn embedding_width(&self) -> Result<usize> {
        match &self.preset.text {
            // Where the list is damaged there will be no embedding at all.
            Some(_) => Ok(unprompt_eye::prompts().map_or(0, TextList::width)),
            None => Ok(self.encoder()?.width()),
        }
    }

    /// A list of prompts with their embeddings by the encoder. `compute` is what the predictor was loaded
    /// with; `tables` hears of a list that is embedded for the first time.
    ///
    /// # Errors
    /// When there is no such list, or it cannot be embedded.
    pub(crate) fn table_of(
        &self,
        list: &str,
        hub: &Hub,
        compute: &Compute,
        tables: &dyn TableProgress,
    ) -> Result<PhraseTable> {
        let prompts = prompt_list(list).map_err(|message| EngineError::Preset {
            preset: self.preset.name.clone(),
            message,
        })?;
        let identity = compute.identity(self.encoder_sha256()?);
        let encoder = (self.encoder()?, identity.as_str());
        let cache = &hub.environment().own_cache;
        let table = PhraseTable::new(list, prompts, encoder, cache, tables);
        table.map_err(|reason| EngineError::Model {
            name: self.preset.encoder.clone(),
            reason,
        })
    }

    /// The SHA-256 of the encoder's files.
    pub(crate) fn encoder_sha256(&self) -> Result<&str> {
        Ok(self.encoder.get(&NoProgress)?.0.sha256()?)
    }

    /// What computes its records; where the preset cannot do without the encoder, that is the first
    /// model.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The results of a batch of pictures, in their order.
    ///
    /// The networks see the batch as a whole, and all texts are embedded together; neither that nor
    /// the number of threads changes a bit of any record except its time.
    ///
    /// # Errors
    /// When what all pictures need is broken, such as a prompt index. What is wrong with one picture
    /// is in its own outcome.
    pub fn predict(&self, sources: &[Source], options: &PredictOptions) -> Result<Vec<Outcome>> {
        self.finish(self.prepare_all(sources.to_vec(), options))
    }

    /// As [`predict`](Self::predict), of more pictures than memory holds: `take` gets each with its
    /// outcome, in the order of `sources`. The next batch is read and decoded while the networks work
    /// on this one, so that at most two batches are in memory.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and the first error of `take`, after which nothing is read.
    pub fn predict_each<E: From<EngineError>>(
        &self,
        sources: impl IntoIterator<Item = Source>,
        batch_size: NonZeroUsize,
        options: &PredictOptions,
        mut take: impl FnMut(Source, Outcome) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut sources = sources.into_iter();
        let mut next = || -> Vec<Source> { sources.by_ref().take(batch_size.get()).collect() };
        let mut batch = self.prepare_all(next(), options);
        while !batch.is_empty() {
            let following = next();
            let (sources, pictures) = parts(batch);
            let (outcomes, prepared) = rayon::join(
                || self.outcomes(&sources, pictures),
                || self.prepare_all(following, options),
            );
            for (source, outcome) in sources.into_iter().zip(outcomes?) {
                take(source, outcome)?;
            }
            batch = prepared;
        }
        Ok(())
    }

    fn prepare_all(&self, sources: Vec<Source>, options: &PredictOptions) -> Vec<PreparedPicture> {
        let sources = sources.into_par_iter();
        sources
            .map(|source| self.prepare(source, options))
            .collect()
    }

    /// The first half of [`predict`](Self::predict), of one picture: the stages that look at each alone. What
    /// is wrong with it is told at the end.
    pub fn prepare(&self, source: Source, options: &PredictOptions) -> PreparedPicture {
        let slot = self.look_at(&source, options);
        PreparedPicture { source, slot }
    }

    /// The second half: the stages that look at a batch of pictures that this predictor prepared.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn finish(&self, pictures: Vec<PreparedPicture>) -> Result<Vec<Outcome>> {
        let (sources, pictures) = parts(pictures);
        self.outcomes(&sources, pictures)
    }

    /// The stages that look at one picture.
    fn look_at(&self, source: &Source, options: &PredictOptions) -> Slot {
        let start = Instant::now();
        let limits = source.limits(&options.limits);
        let bytes = source.read(&limits)?;
        let mut picture = Picture::default();
        if options.metadata {
            match unprompt_metadata::read(&bytes) {
                Ok(found) => {
                    let found = found.filter(unprompt_metadata::Metadata::has_prompt);
                    picture.prompt = found.map(|found| found.prompt);
                }
                // The picture itself is still there to be looked at.
                Err(error) => picture.metadata_error = Some(error.to_string()),
            }
        }
        if picture.prompt.is_none() {
            // Until it is prepared, which is when its pixels go.
            let _admission = Admission::wait(&bytes, &limits)?;
            picture.inputs = self.networks.prepare(&bytes, limits)?;
        }
        picture.elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
        Ok(picture)
    }

    /// The stages that look at a whole batch.
    fn outcomes(&self, sources: &[Source], mut pictures: Vec<Slot>) -> Result<Vec<Outcome>> {
        let start = Instant::now();
        self.encode(&mut pictures);
        for error in pictures.iter().filter_map(|picture| picture.as_ref().err()) {
            if let Some(error) = error.of_every_picture() {
                return Err(error);
            }
        }
        self.write_texts(&mut pictures);
        let embeddings = self.embed_texts(&mut pictures);
        self.ask_members(&mut pictures, &embeddings)?;
        self.blend(&mut pictures);
        self.choose_texts(&mut pictures, &embeddings);
        let share_ms = start.elapsed().as_secs_f64() * 1e3 / sources.len().max(1) as f64;
        let outcome = |(source, picture): (&Source, Slot)| {
            let path = source.path().to_string_lossy().into_owned();
            match picture {
                Ok(picture) => {
                    let record = self.record(path, picture, share_ms, &embeddings);
                    Outcome::Prediction(Box::new(record))
                }
                Err(error) => Outcome::Failure(FailureRecord {
                    path,
                    error: error.to_string(),
                }),
            }
        };
        Ok(sources.iter().zip(pictures).map(outcome).collect())
    }

    /// Every network answers what members ask it.
    fn encode(&self, pictures: &mut [Slot]) {
        let inputs = pictures
            .iter_mut()
            .flatten()
            .filter(|one| one.prompt.is_none());
        let inputs = inputs
            .map(|picture| std::mem::take(&mut picture.inputs))
            .collect();
        let answers = self.networks.encode(inputs);
        fill(pictures, answers, |picture, encoded| {
            picture.encoded = encoded
        });
    }

    /// Members that have a text of their own write it.
    fn write_texts(&self, pictures: &mut [Slot]) {
        for member in &self.members {
            let encoded: Vec<&Encoded> = seen(pictures).map(|picture| &picture.encoded).collect();
            let texts = member.texts(&encoded);
            fill(pictures, texts, |picture, text| {
                picture.own_texts.push(text)
            });
        }
    }

    /// The embeddings of all texts of a batch, which are computed together.
    fn embed_texts(&self, pictures: &mut [Slot]) -> Embeddings {
        let embed = |mut texts: Vec<String>| {
            texts.sort_unstable();
            texts.dedup();
            if texts.is_empty() {
                return Ok(Vec::new().into_iter().zip(Vec::new()));
            }
            let (_, encoder) = self.encoder.get_for_text()?;
            let rows = encoder.embed(&texts)?;
            Ok(texts.into_iter().zip(rows))
        };
        let all = pictures.iter().flatten().flat_map(Picture::texts).collect();
        if let Ok(embeddings) = embed(all) {
            return embeddings.collect();
        }
        // The texts come from pictures that may be hostile: find out whose it was. A prompt that a
        // file carries is exact without an encoder, too.
        let mut embeddings = Embeddings::new();
        for slot in pictures {
            let Ok(picture) = slot else { continue };
            match embed(picture.texts()) {
                Ok(own) => embeddings.extend(own),
                Err(InputError::Encoder(reason)) if picture.prompt.is_some() => {
                    picture.embedding_error = Some(reason);
                }
                Err(error) => *slot = Err(error),
            }
        }
        embeddings
    }

    /// Members give their results, each after those that stand before it.
    fn ask_members(&self, pictures: &mut [Slot], embeddings: &Embeddings) -> Result<()> {
        for (place, member) in self.members.iter().enumerate() {
            let look = |picture: &'_ Picture| {
                picture.own_texts[place]
                    .as_ref()
                    .and_then(|text| candidate(text, embeddings))
            };
            let views: Vec<Seen<'_>> = seen(pictures)
                .map(|picture| Seen {
                    encoded: &picture.encoded,
                    text: look(picture),
                    before: &picture.results,
                })
                .collect();
            let results = member.results(&views);
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                if let Some(error) = error.of_every_picture() {
                    return Err(error);
                }
            }
            fill(pictures, results, |picture, result| {
                picture.results.push(result)
            });
        }
        Ok(())
    }

    fn blend(&self, pictures: &mut [Slot]) {
        for picture in pictures.iter_mut().flatten() {
            let members = self.preset.members.iter().zip(&picture.results);
            let rows = members.map(|(spec, result)| (spec.weight, result.embedding.as_slice()));
            picture.blend = blend(rows, self.preset.normalize_members);
        }
    }

    /// The text nearest to each blend, see [`text_search`].
    fn choose_texts(&self, pictures: &mut [Slot], embeddings: &Embeddings) {
        let texts = match &self.preset.text {
            Some(rule) => {
                let wanted = seen(pictures).map(|picture| {
                    let members = self.preset.members.iter().zip(&picture.results);
                    let supports = members
                        .map(|(spec, result)| (rule.support(&spec.name), &result.embedding[..]))
                        .filter(|(support, _)| *support > 0.0);
                    Wanted {
                        blend: &picture.blend,
                        supports: supports.collect(),
                    }
                });
                let wanted: Vec<Wanted<'_>> = wanted.collect();
                let texts = list_text::choose(&wanted).into_iter();
                texts.map(|text| Ok(text?)).collect()
            }
            None => self.search_texts(pictures, embeddings),
        };
        fill(pictures, texts, |picture, text| picture.text = text);
    }

    /// Without a rule of its own a preset has its encoder from the start.
    fn search_texts(
        &self,
        pictures: &[Slot],
        embeddings: &Embeddings,
    ) -> Vec<std::result::Result<FoundText, InputError>> {
        let queries = seen(pictures).map(|picture| picture.text_query(embeddings));
        let queries: Vec<TextQuery> = queries.collect();
        match self.encoder() {
            Ok(encoder) => {
                let texts = text_search::search_texts(encoder, &queries);
                texts.into_iter().map(Ok).collect()
            }
            Err(error) => {
                let failed = |_| Err(InputError::Encoder(error.to_string()));
                queries.iter().map(failed).collect()
            }
        }
    }

    fn record(
        &self,
        path: String,
        picture: Picture,
        share_ms: f64,
        embeddings: &Embeddings,
    ) -> PredictionRecord {
        let record = PredictionRecord {
            path,
            prompt: String::new(),
            source: PromptSource::Metadata,
            metadata_error: picture.metadata_error.clone(),
            embedding: None,
            embedding_error: picture.embedding_error.clone(),
            members: Vec::new(),
            evidence: Vec::new(),
            expected_score: None,
            preset: self.preset.name.clone(),
            elapsed_ms: ((picture.elapsed_ms + share_ms) * 1e3).round() / 1e3,
            receipt: self.receipt.clone(),
        };
        if let Some(prompt) = picture.prompt {
            return PredictionRecord {
                embedding: embeddings.get(&prompt).cloned(),
                prompt,
                receipt: self.receipt_of_read(),
                ..record
            };
        }
        let members = self.preset.members.iter().zip(&picture.results);
        let members = members.map(|(spec, result)| MemberRecord {
            name: spec.name.clone(),
            weight: spec.weight,
            text: result.texts.first().map(|first| first.text.clone()),
            embedding: narrowed(&unit(&result.embedding)),
            length: (!self.preset.normalize_members).then(|| length(&result.embedding)),
        });
        PredictionRecord {
            source: PromptSource::Predicted,
            expected_score: self.expected_score(&picture),
            prompt: picture.text.text,
            embedding: Some(narrowed(&picture.blend)),
            members: members.collect(),
            evidence: picture
                .results
                .into_iter()
                .flat_map(|result| result.evidence)
                .collect(),
            ..record
        }
    }

    /// Of a prompt that was read: an encoder that was loaded for it alone is named, too.
    fn receipt_of_read(&self) -> Receipt {
        let mut receipt = self.receipt.clone();
        if let Some(model) = self.encoder.model()
            && !receipt.models.iter().any(|known| known.name == model.name)
            && let Ok(encoder) = ModelReceipt::new(model, self.encoder.dtype())
        {
            receipt.models.insert(0, encoder);
        }
        receipt
    }

    fn expected_score(&self, picture: &Picture) -> Option<f64> {
        let calibration = self.preset.calibration.as_ref()?;
        let members = self.preset.members.iter().zip(&picture.results);
        let weighted = members.filter(|(spec, _)| spec.weight > 0.0);
        let feature = match calibration.feature {
            ConfidenceFeature::Text => picture.text.similarity,
            ConfidenceFeature::Agreement => {
                agreement(weighted.map(|(_, result)| result.embedding.as_slice()))
            }
            ConfidenceFeature::Length => {
                let weights = weighted.clone().map(|(spec, _)| spec.weight).sum::<f64>();
                let rows = weighted.map(|(spec, result)| (spec.weight, &result.embedding[..]));
                length(&sum(rows, self.preset.normalize_members)) / weights
            }
        };
        Some(calibration.expected_score(feature))
    }
}

impl Picture {
    /// The texts whose embeddings later stages need: the prompt in the file, or what members wrote,
    /// whole and in pieces.
    fn texts(&self) -> Vec<String> {
        let written = self.prompt.iter().chain(self.own_texts.iter().flatten());
        let mut texts: Vec<String> = written.cloned().collect();
        if self.prompt.is_none() {
            let pieces: Vec<String> = texts.iter().flat_map(|text| pieces(text)).collect();
            texts.extend(pieces);
        }
        texts
    }

    /// Whole texts are those that members gave or retrieved; chains are made of these and of the
    /// pieces of those that members gave. Prompts that are merely nearest to the blend are left out:
    /// where the members are unsure the blend is near the mean of all prompts, and so are the texts
    /// that say the least.
    fn text_query(&self, embeddings: &Embeddings) -> TextQuery {
        let texts = self.results.iter().flat_map(|result| &result.texts);
        let whole: Vec<Candidate> = texts.cloned().collect();
        let mut seen = HashSet::new();
        let pieces = whole.iter().flat_map(|text| {
            let pieces = pieces(&text.text);
            let pieces: Vec<Candidate> = pieces
                .iter()
                .filter_map(|piece| candidate(piece, embeddings))
                .collect();
            std::iter::once(text.clone()).chain(pieces)
        });
        let phrases = pieces.filter(|piece| seen.insert(piece.text.clone()));
        TextQuery {
            target: self.blend.clone(),
            phrases: phrases.collect(),
            whole,
        }
    }
}

fn parts(pictures: Vec<PreparedPicture>) -> (Vec<Source>, Vec<Slot>) {
    let pictures = pictures.into_iter();
    pictures.map(|one| (one.source, one.slot)).unzip()
}

/// The pictures that networks and members look at.
fn seen(pictures: &[Slot]) -> impl Iterator<Item = &Picture> {
    let pictures = pictures.iter().flatten();
    pictures.filter(|picture| picture.prompt.is_none())
}

/// Puts an answer into each of the pictures that are [`seen`]; an error takes its picture's place.
fn fill<A>(
    pictures: &mut [Slot],
    answers: Vec<std::result::Result<A, InputError>>,
    put: impl Fn(&mut Picture, A),
) {
    let mut answers = answers.into_iter();
    for slot in pictures {
        let Ok(picture) = slot else { continue };
        if picture.prompt.is_some() {
            continue;
        }
        match answers.next() {
            Some(Ok(answer)) => put(picture, answer),
            Some(Err(error)) => *slot = Err(error),
            None => {}
        }
    }
}

fn candidate(text: &str, embeddings: &Embeddings) -> Option<Candidate> {
    Some(Candidate {
        text: text.to_owned(),
        embedding: embeddings.get(text)?.clone(),
    })
}

/// The phrases that a text consists of, between commas; none where it is one phrase.
fn pieces(text: &str) -> Vec<String> {
    let pieces = text.split(',').map(str::trim);
    let pieces = pieces.filter(|piece| !piece.is_empty() && *piece != text);
    pieces.take(PIECES).map(String::from).collect()
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
