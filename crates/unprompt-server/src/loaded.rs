//! The models that a server is started with.

use crate::{
    models::{Catalog, Models, Ready},
    task::{Answer, Input, InputFailure, Task},
};
use rayon::prelude::*;
use std::sync::Arc;
use unprompt::{
    CaptionOptions, Captioner, Classifier, Compute, Dtype, EngineError, Hub, ImageEncoder,
    InputError, LabelChoice, Outcome, PictureInterrogator, PredictOptions, Predictor,
    PreparedPicture, Preset, Progress, RemoteCaptioner, Source, TextEncoder, Views,
    image::Limits,
    interrogate::{Behaviour, InterrogateOptions, Mode, Subject, TableProgress},
    is_remote,
    models::Caption,
};

/// What the classifier that the program carries is called.
const CARRIED: &str = "eye";

/// What a server is asked to load. Each name is one of `unprompt models list`, a hub id, or a path.
#[derive(Clone, Debug)]
pub struct ModelChoice {
    /// Preset: a name or a TOML file.
    pub preset: String,
    /// What embeds texts; `None` is the preset's encoder, if it is on this machine.
    pub text_encoder: Option<String>,
    /// What embeds pictures.
    pub image_encoder: Option<String>,
    /// Its attention heads, where it is a Vision Transformer whose tensors stand alone.
    pub image_encoder_heads: Option<usize>,
    /// What classifies; `None` is the classifier that the program carries.
    pub classifier: Option<String>,
    /// Its attention heads, as those of the image encoder.
    pub classifier_heads: Option<usize>,
    /// What captions.
    pub captioner: Option<String>,
    /// The CLIP that interrogates.
    pub clip: Option<String>,
    /// Its labels.
    pub labels: LabelChoice,
}

/// Models of this library, loaded.
#[derive(Debug)]
pub struct LoadedModels {
    catalog: Catalog,
    predictor: Predictor,
    text_encoder: Option<TextEncoder>,
    classifier: Classifier,
    image_encoder: Option<ImageEncoder>,
    captioner: Option<CaptionWriter>,
    interrogator: Option<PictureInterrogator>,
}

/// What captions: a network here, or a model that another server runs.
#[derive(Debug)]
enum CaptionWriter {
    Here(Captioner),
    Elsewhere(RemoteCaptioner),
}

impl CaptionWriter {
    fn load(
        hub: &Hub,
        name: &str,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<Self, EngineError> {
        Ok(match is_remote(name) {
            true => Self::Elsewhere(RemoteCaptioner::load(hub, name)?),
            false => Self::Here(Captioner::load(hub, name, compute, progress)?.1),
        })
    }

    /// One caption for each picture. One from elsewhere has neither tokens nor a score, which is then no
    /// number.
    fn caption(
        &self,
        pictures: &[Source],
        options: &CaptionOptions,
    ) -> Vec<Result<Caption, InputError>> {
        let captioner = match self {
            Self::Here(captioner) => {
                return captioner.caption_sources(pictures, &Limits::default(), options);
            }
            Self::Elsewhere(captioner) => captioner,
        };
        let question = match captioner.question(options) {
            Ok(question) => question,
            Err(error) => {
                let refused = pictures.iter().map(|_| Err(error.clone().into()));
                return refused.collect();
            }
        };
        let caption = |text: String| Caption {
            text,
            token_ids: Vec::new(),
            score: f32::NAN,
        };
        let texts = captioner.caption_sources(pictures, &Limits::default(), &question);
        texts.into_iter().map(|text| text.map(caption)).collect()
    }
}

impl LoadedModels {
    /// Loads everything and uses it once. What `hub` may fetch is fetched now: later requests wait for
    /// no download. Only what was asked for is fetched: the preset's encoder is left out where the
    /// preset does without it and `local`, a hub that fetches nothing, has it not.
    ///
    /// # Errors
    /// When a model cannot be had or is not of the kind that it is needed for.
    pub fn load(
        hub: &Hub,
        local: &Hub,
        choice: &ModelChoice,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self, EngineError> {
        let preset = Preset::load(&choice.preset)?;
        let predictor = match Predictor::load(local, preset.clone(), compute, progress, tables) {
            Ok(predictor) => predictor,
            Err(_) => Predictor::load(hub, preset, compute, progress, tables)?,
        };
        let own_encoder = &predictor.preset().encoder;
        let text_encoder = choice.text_encoder.as_ref();
        let text_encoder = text_encoder
            .map(|name| Ok::<_, EngineError>(TextEncoder::load(hub, name, compute, progress)?.1))
            .transpose()?;
        let embeds_text = match (&choice.text_encoder, predictor.encoder()) {
            (Some(name), _) => Ok(name.clone()),
            (None, Ok(_)) => Ok(own_encoder.clone()),
            (None, Err(_)) => Err(format!(
                "the sentence encoder `{own_encoder}` is not on this machine; run `unprompt models pull \
                 {own_encoder}` and start the server again"
            )),
        };
        let (classifier_name, classifier) = match &choice.classifier {
            Some(name) => {
                let heads = choice.classifier_heads;
                let found = Classifier::load_with_heads(hub, name, heads, compute, progress)?;
                (name.clone(), found.1)
            }
            None => (CARRIED.to_owned(), Classifier::carried()?),
        };
        let image_encoder = choice.image_encoder.as_ref();
        let image_encoder = image_encoder
            .map(|name| {
                let heads = choice.image_encoder_heads;
                let found = ImageEncoder::load_with_heads(hub, name, heads, compute, progress)?;
                Ok::<_, EngineError>(found.1)
            })
            .transpose()?;
        let captioner = choice.captioner.as_ref();
        let captioner = captioner
            .map(|name| CaptionWriter::load(hub, name, compute, progress))
            .transpose()?;
        let interrogator = choice.clip.as_ref();
        let interrogator = interrogator
            .map(|name| interrogator_of(hub, name, &choice.labels, compute, progress, tables))
            .transpose()?;
        let models = Self {
            catalog: Catalog {
                preset: predictor.preset().name.clone(),
                receipt: predictor.receipt().clone(),
                encoder: own_encoder.clone(),
                text_encoder: embeds_text,
                classifier: classifier_name,
                image_encoder: choice.image_encoder.clone(),
                captioner: choice.captioner.clone(),
                clip: choice.clip.clone(),
            },
            predictor,
            text_encoder,
            classifier,
            image_encoder,
            captioner,
            interrogator,
        };
        models.warm_up();
        Ok(models)
    }

    /// Everything is used once, so that the first request waits for no lazy part. A failure here is told
    /// to whoever asks for the same.
    fn warm_up(&self) {
        let bytes: Arc<[u8]> = small_picture().into();
        let picture = Input::Picture(Source::Memory("warm-up".into(), bytes));
        let text = Input::Text("a picture".into());
        let mut tasks = vec![
            (Task::Predict { metadata: true }, &picture),
            (Task::Classify { top: 1 }, &picture),
        ];
        if self.catalog.text_encoder.is_ok() {
            tasks.push((Task::EmbedText { raw: false }, &text));
        }
        if self.image_encoder.is_some() {
            let (views, raw) = (Views::Plain, false);
            tasks.push((Task::EmbedImage { views, raw }, &picture));
        }
        // One elsewhere was asked whether it is there, and is not sent a picture for nothing.
        if let Some(CaptionWriter::Here(_)) = &self.captioner {
            tasks.push((Task::Caption(Box::default()), &picture));
        }
        if self.interrogator.is_some() {
            // It would be asked for what the prompt begins with.
            let elsewhere = matches!(self.captioner, Some(CaptionWriter::Elsewhere(_)));
            let (mode, caption) = (Mode::Fast, elsewhere.then(|| "a picture".to_owned()));
            tasks.push((Task::Interrogate { mode, caption }, &picture));
        }
        for (task, inputs) in tasks {
            self.run(&task, vec![Ready::Given(inputs.clone())]);
        }
    }

    fn prepared(&self, source: Source, metadata: bool) -> PreparedPicture {
        let options = PredictOptions {
            metadata,
            ..PredictOptions::default()
        };
        self.predictor.prepare(source, &options)
    }

    fn predict(&self, inputs: Vec<Ready>, metadata: bool) -> Vec<Result<Answer, InputFailure>> {
        let prepare = |input| match input {
            Ready::Prepared(picture) => Some(*picture),
            Ready::Given(Input::Picture(source)) => Some(self.prepared(source, metadata)),
            Ready::Given(Input::Text(_)) => None,
        };
        let pictures: Vec<_> = inputs.into_par_iter().filter_map(prepare).collect();
        let count = pictures.len();
        match self.predictor.finish(pictures) {
            Ok(outcomes) => outcomes
                .into_iter()
                .map(|outcome| match outcome {
                    Outcome::Prediction(record) => Ok(Answer::Prediction(record)),
                    Outcome::Failure(failed) => Err(InputFailure(failed.error)),
                })
                .collect(),
            Err(error) => (0..count).map(|_| Err(failure(&error))).collect(),
        }
    }

    fn interrogate(
        &self,
        interrogator: &PictureInterrogator,
        pictures: &[Source],
        mode: Mode,
        caption: Option<&str>,
    ) -> Vec<Result<Answer, InputFailure>> {
        let captions: Vec<Result<Option<String>, InputError>> = match (&self.captioner, caption) {
            _ if !mode.takes_caption() => pictures.iter().map(|_| Ok(None)).collect(),
            (Some(captioner), None) => {
                let captions = captioner.caption(pictures, &CaptionOptions::default());
                let text = |caption: Caption| Some(caption.text.trim().to_owned());
                captions.into_iter().map(|one| one.map(text)).collect()
            }
            (_, given) => pictures
                .iter()
                .map(|_| Ok(given.map(str::to_owned)))
                .collect(),
        };
        // No pixels are kept from one picture to the next, and those of one are counted.
        let encoder = interrogator.pictures();
        let vectors = encoder.embed_sources(pictures, &Limits::default(), Views::Plain, false);
        let subjects: Vec<Result<_, InputError>> = vectors
            .into_iter()
            .zip(captions)
            .map(|(vector, caption)| Ok((vector?, caption?)))
            .collect();
        let captions: Vec<Option<String>> = subjects
            .iter()
            .map(|subject| {
                subject
                    .as_ref()
                    .ok()
                    .and_then(|(_, caption)| caption.clone())
            })
            .collect();
        let work = |subjects: &[(Vec<f32>, Option<String>)]| {
            let subjects: Vec<Subject<'_>> = subjects
                .iter()
                .map(|(picture, caption)| Subject {
                    picture,
                    caption: caption.as_deref(),
                })
                .collect();
            let found = interrogator
                .interrogator()
                .interrogate_in(mode, &subjects)?;
            let found = found.into_iter().map(|one| one.map_err(InputError::from));
            Ok(found.collect::<Vec<_>>())
        };
        let found = together_or_alone(subjects, work);
        found
            .into_iter()
            .zip(captions)
            .map(|(found, caption)| {
                let found = found
                    .and_then(|found| found)
                    .map_err(|error| failure(&error))?;
                let caption = caption.filter(|caption| !caption.is_empty());
                Ok(Answer::Interrogation(Box::new(found), caption))
            })
            .collect()
    }

    fn embed_texts(&self, texts: Vec<String>, raw: bool) -> Vec<Result<Answer, InputFailure>> {
        let work = |texts: &[String]| match (&self.text_encoder, self.predictor.encoder()) {
            (Some(encoder), _) => encoder.embed(texts, raw).map_err(InputError::from),
            (None, Ok(encoder)) if raw => encoder.embed_raw(texts).map_err(InputError::from),
            (None, Ok(encoder)) => encoder.embed(texts).map_err(InputError::from),
            (None, Err(error)) => Err(InputError::Encoder(error.to_string())),
        };
        answers(
            together_or_alone(texts.into_iter().map(Ok).collect(), work),
            Answer::Vector,
        )
    }
}

impl Models for LoadedModels {
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn prepares(&self, task: &Task) -> bool {
        matches!(task, Task::Predict { .. })
    }

    fn prepare(&self, task: &Task, input: Input) -> Ready {
        match (task, input) {
            (Task::Predict { metadata }, Input::Picture(source)) => {
                Ready::Prepared(Box::new(self.prepared(source, *metadata)))
            }
            (_, input) => Ready::Given(input),
        }
    }

    fn run(&self, task: &Task, inputs: Vec<Ready>) -> Vec<Result<Answer, InputFailure>> {
        let count = inputs.len();
        let not_loaded = || {
            let failed = Err(InputFailure("no model of this kind is loaded".into()));
            vec![failed; count]
        };
        match task {
            Task::Predict { metadata } => self.predict(inputs, *metadata),
            Task::Metadata => pictures(inputs).par_iter().map(metadata).collect(),
            Task::Classify { top } => {
                let pictures = pictures(inputs);
                let limits = Limits::default();
                let found = self.classifier.classify_sources(&pictures, &limits, *top);
                answers(found, Answer::Labels)
            }
            Task::Caption(options) => match &self.captioner {
                Some(captioner) => {
                    let found = captioner.caption(&pictures(inputs), options);
                    answers(found, Answer::Caption)
                }
                None => not_loaded(),
            },
            Task::Interrogate { mode, caption } => match &self.interrogator {
                Some(interrogator) => {
                    let pictures = pictures(inputs);
                    self.interrogate(interrogator, &pictures, *mode, caption.as_deref())
                }
                None => not_loaded(),
            },
            Task::EmbedImage { views, raw } => match &self.image_encoder {
                Some(encoder) => {
                    let pictures = pictures(inputs);
                    let found = encoder.embed_sources(&pictures, &Limits::default(), *views, *raw);
                    answers(found, Answer::Vector)
                }
                None => not_loaded(),
            },
            Task::EmbedText { raw } => self.embed_texts(texts(inputs), *raw),
        }
    }
}

fn pictures(inputs: Vec<Ready>) -> Vec<Source> {
    let inputs = inputs.into_iter();
    inputs
        .filter_map(|input| match input {
            Ready::Given(Input::Picture(source)) => Some(source),
            _ => None,
        })
        .collect()
}

fn texts(inputs: Vec<Ready>) -> Vec<String> {
    let inputs = inputs.into_iter();
    inputs
        .filter_map(|input| match input {
            Ready::Given(Input::Text(text)) => Some(text),
            _ => None,
        })
        .collect()
}

/// A CLIP with the tables of all modes, which it keeps in memory together.
fn interrogator_of(
    hub: &Hub,
    name: &str,
    labels: &LabelChoice,
    compute: &Compute,
    progress: &dyn Progress,
    tables: &dyn TableProgress,
) -> Result<PictureInterrogator, EngineError> {
    let options = InterrogateOptions::new(Mode::Analyze, Behaviour::Fixed);
    // In eight bits the modes would need different towers.
    let exact = Compute::default();
    let compute = match compute.dtype() {
        Dtype::Int8 => &exact,
        _ => compute,
    };
    let loaded = PictureInterrogator::load(hub, name, labels, options, compute, progress, tables)?;
    Ok(loaded.1)
}

fn metadata(source: &Source) -> Result<Answer, InputFailure> {
    let bytes = source
        .read(&Limits::default())
        .map_err(|error| failure(&error))?;
    match unprompt::metadata::read(&bytes) {
        Ok(found) => Ok(Answer::Metadata(found.map(Box::new))),
        Err(error) => Err(failure(&error)),
    }
}

/// Works on all inputs together; where that fails as a whole each is done alone, so that only the one
/// at fault fails.
fn together_or_alone<I, O>(
    inputs: Vec<Result<I, InputError>>,
    work: impl Fn(&[I]) -> Result<Vec<O>, InputError>,
) -> Vec<Result<O, InputError>> {
    let (mut good, mut errors) = (Vec::new(), Vec::new());
    for input in inputs {
        match input {
            Ok(input) => {
                good.push(input);
                errors.push(None);
            }
            Err(error) => errors.push(Some(error)),
        }
    }
    let outputs: Vec<Result<O, InputError>> = match work(&good) {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        Err(_) => good
            .chunks(1)
            .map(|one| Ok(work(one)?.swap_remove(0)))
            .collect(),
    };
    let mut outputs = outputs.into_iter();
    errors
        .into_iter()
        .filter_map(|error| match error {
            Some(error) => Some(Err(error)),
            None => outputs.next(),
        })
        .collect()
}

fn answers<O>(
    outputs: Vec<Result<O, InputError>>,
    answer: impl Fn(O) -> Answer,
) -> Vec<Result<Answer, InputFailure>> {
    let outputs = outputs.into_iter();
    outputs
        .map(|output| output.map(&answer).map_err(|error| failure(&error)))
        .collect()
}

fn failure(error: &impl std::fmt::Display) -> InputFailure {
    InputFailure(error.to_string())
}

/// A BMP of 32 x 32 pixels, each of another grey.
fn small_picture() -> Vec<u8> {
    const SIDE: u32 = 32;
    let pixels = SIDE * SIDE * 3;
    let mut bytes = b"BM".to_vec();
    for word in [54 + pixels, 0, 54, 40, SIDE, SIDE] {
        bytes.extend(word.to_le_bytes());
    }
    // One plane of 24 bits, not compressed.
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes.extend((0..SIDE * SIDE).flat_map(|pixel| [(pixel / 4) as u8; 3]));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use unprompt::image::{DecodeOptions, decode};

    #[test]
    fn one_that_fails_does_not_cost_the_others_theirs() {
        let refused = || InputError::Walk("refused".into());
        let work = |inputs: &[u32]| match inputs.contains(&13) {
            true => Err(refused()),
            false => Ok(inputs.iter().map(|input| input * 2).collect::<Vec<u32>>()),
        };
        let inputs = vec![Ok(1), Err(refused()), Ok(13), Ok(4)];
        let found = together_or_alone(inputs, work);
        let found: Vec<Option<u32>> = found.into_iter().map(Result::ok).collect();
        assert_eq!(found, [Some(2), None, None, Some(8)]);
        assert!(together_or_alone(Vec::new(), work).is_empty());
    }

    #[test]
    fn the_picture_of_the_warm_up_is_one() {
        let image = decode(&small_picture(), &DecodeOptions::default()).unwrap();
        assert_eq!((image.width, image.height), (32, 32));
    }
}
