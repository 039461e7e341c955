//! The networks of a preset: each is there once and sees a batch once, whoever asks.
//!
//! What is to be known of each picture is asked beforehand and answered by a handle: of equal
//! questions there is one answer.

use crate::{
    encoders::{
        captioner::{CaptionOptions, Captioner},
        classifier::{Classified, Classifier, Label},
        image_encoder::{ImageEncoder, Views},
        remote_captioner::RemoteCaptioner,
    },
    error::InputError,
};
use std::{collections::HashMap, sync::Arc};
use unprompt_image::{DecodeOptions, Limits, Pixels, Preprocessor, RgbImage, decode};
use unprompt_remote::Question;

/// Networks by the name that the preset gives them, and what is asked of them.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    pub(crate) classifiers: HashMap<String, Classifier>,
    /// Image towers of CLIPs, and regressors.
    pub(crate) towers: HashMap<String, Arc<ImageEncoder>>,
    pub(crate) captioners: HashMap<String, Captioner>,
    /// Captioners on other servers.
    pub(crate) remotes: HashMap<String, RemoteCaptioner>,
    /// Classifier, and how many labels at most.
    labels: Vec<(String, usize)>,
    vectors: Vec<(String, Views)>,
    captions: Vec<(String, CaptionOptions)>,
    remote: Vec<(String, Question)>,
}

/// The handle of a question for a classifier's labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelsOf(usize);

/// The handle of a question for what a classifier's last layer takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeaturesOf(LabelsOf);

/// The handle of a question for a picture's vector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VectorOf(usize);

/// The handle of a question for a caption.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CaptionOf(usize);

/// The handle of a question for the caption of a captioner on another server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemoteOf(usize);

/// One picture's pixels as each question wants them, in the order of the questions.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    labels: Vec<Option<Pixels>>,
    /// One or two views each.
    vectors: Vec<Vec<Vec<f32>>>,
    captions: Vec<Vec<f32>>,
    /// As they leave.
    remote: Vec<Vec<u8>>,
}

/// One picture's answers.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    classified: Vec<Classified>,
    vectors: Vec<Vec<f32>>,
    captions: Vec<String>,
    remote: Vec<String>,
}

impl Encoded {
    /// The most probable labels, the most probable first: as many as the one who wants most of this
    /// classifier asked for.
    pub(crate) fn labels(&self, of: LabelsOf) -> &[Label] {
        &self.classified[of.0].labels
    }

    /// See [`Classifier::features`].
    pub(crate) fn features(&self, of: FeaturesOf) -> &[f32] {
        &self.classified[of.0.0].features
    }

    /// See [`ImageEncoder::embed`].
    pub(crate) fn vector(&self, of: VectorOf) -> &[f32] {
        &self.vectors[of.0]
    }

    /// Without white space at its ends.
    pub(crate) fn caption(&self, of: CaptionOf) -> &str {
        &self.captions[of.0]
    }

    /// As [`caption`](Self::caption), of a captioner on another server.
    pub(crate) fn remote(&self, of: RemoteOf) -> &str {
        &self.remote[of.0]
    }
}

impl Networks {
    /// Asks for the `top` labels of a classifier that is among the networks.
    pub(crate) fn ask_labels(&mut self, model: &str, top: usize) -> LabelsOf {
        let asked = self.labels.iter().position(|(asked, _)| asked == model);
        let place = asked.unwrap_or(self.labels.len());
        match self.labels.get_mut(place) {
            Some((_, most)) => *most = top.max(*most),
            None => self.labels.push((model.to_owned(), top)),
        }
        LabelsOf(place)
    }

    /// Asks for the features of a classifier that is among the networks and has them.
    pub(crate) fn ask_features(&mut self, model: &str) -> FeaturesOf {
        FeaturesOf(self.ask_labels(model, 0))
    }

    /// Asks for the vector of a tower that is among the networks.
    pub(crate) fn ask_vector(&mut self, model: &str, views: Views) -> VectorOf {
        VectorOf(place(&mut self.vectors, (model.to_owned(), views)))
    }

    /// Asks for a caption of a captioner that is among the networks.
    pub(crate) fn ask_caption(&mut self, model: &str, options: CaptionOptions) -> CaptionOf {
        CaptionOf(place(&mut self.captions, (model.to_owned(), options)))
    }

    /// Asks for a caption of a captioner on another server that is among the networks.
    pub(crate) fn ask_remote(&mut self, model: &str, question: Question) -> RemoteOf {
        RemoteOf(place(&mut self.remote, (model.to_owned(), question)))
    }

    /// Decodes a picture, once for each way in which a network wants it, and preprocesses it.
    ///
    /// # Errors
    /// When it is no picture, larger than the limits, or too elongated for a network.
    pub(crate) fn prepare(&self, bytes: &[u8], limits: Limits) -> Result<Inputs, InputError> {
        let mut decoded = Decoded {
            bytes,
            limits,
            images: Vec::new(),
        };
        let mut inputs = Inputs::default();
        for (model, _) in &self.labels {
            let classifier = &self.classifiers[model];
            let image = decoded.image(classifier.preprocessor())?;
            inputs.labels.push(Some(classifier.prepare(image)?));
        }
        for (model, views) in &self.vectors {
            let tower = &self.towers[model];
            let image = decoded.image(tower.preprocessor())?;
            inputs.vectors.push(tower.prepare(image, *views)?);
        }
        for (model, _) in &self.captions {
            let captioner = &self.captioners[model];
            let image = decoded.image(captioner.preprocessor())?;
            inputs.captions.push(captioner.prepare(image)?);
        }
        if !self.remote.is_empty() {
            let picture = RemoteCaptioner::read(bytes, limits)?;
            inputs.remote.resize(self.remote.len(), picture);
        }
        if inputs.is_empty() {
            // Nobody looks at it, and still it has to be a picture.
            decode(
                bytes,
                &DecodeOptions {
                    limits,
                    ..DecodeOptions::default()
                },
            )?;
        }
        Ok(inputs)
    }

    /// The answers to all questions. A picture that a network refuses costs no other its answers.
    pub(crate) fn encode(&self, mut batch: Vec<Inputs>) -> Vec<Result<Encoded, InputError>> {
        let mut answers: Vec<Result<Encoded, InputError>> =
            batch.iter().map(|_| Ok(Encoded::default())).collect();
        // Pixels are taken out as they are used, so that none is held longer than it is needed.
        for (place, (model, top)) in self.labels.iter().enumerate() {
            let pixels = take(&mut batch, |inputs| &mut inputs.labels[place]);
            let pixels: Vec<Pixels> = pixels.into_iter().flatten().collect();
            let found = together(&pixels, |pixels| {
                self.classifiers[model].forward(pixels, *top)
            });
            put(&mut answers, found, |encoded, classified| {
                encoded.classified.push(classified)
            });
        }
        for (place, (model, views)) in self.vectors.iter().enumerate() {
            let pixels: Vec<Vec<Vec<f32>>> = take(&mut batch, |inputs| &mut inputs.vectors[place]);
            let found = together(&pixels, |pixels| {
                self.towers[model].forward(pixels, *views, false)
            });
            put(&mut answers, found, |encoded, vector| {
                encoded.vectors.push(vector)
            });
        }
        for (place, (model, options)) in self.captions.iter().enumerate() {
            let pixels: Vec<Vec<f32>> = take(&mut batch, |inputs| &mut inputs.captions[place]);
            let found = together(&pixels, |pixels| {
                self.captioners[model].forward(pixels, options)
            });
            put(&mut answers, found, |encoded, caption| {
                encoded.captions.push(caption.text.trim().to_owned());
            });
        }
        for (place, (model, question)) in self.remote.iter().enumerate() {
            let pictures = take(&mut batch, |inputs| &mut inputs.remote[place]);
            let found = self.remotes[model].forward(&pictures, question);
            put(&mut answers, found, |encoded, caption| {
                encoded.remote.push(caption);
            });
        }
        answers
    }
}

/// Answers all items at once or, where that fails, each alone, so that an item that cannot be
/// answered costs no other its answer.
pub(crate) fn together<T, R>(
    items: &[T],
    answer: impl Fn(&[T]) -> Result<Vec<R>, InputError>,
) -> Vec<Result<R, InputError>> {
    if items.is_empty() {
        return Vec::new();
    }
    match answer(items) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if items.len() == 1 => vec![Err(error)],
        Err(_) => items
            .chunks(1)
            .flat_map(|item| match answer(item) {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
            .collect(),
    }
}

/// The place of a question among those that are asked.
fn place<Q: PartialEq>(asked: &mut Vec<Q>, question: Q) -> usize {
    let known = asked.iter().position(|known| *known == question);
    known.unwrap_or_else(|| {
        asked.push(question);
        asked.len() - 1
    })
}

fn take<P: Default>(batch: &mut [Inputs], of: impl Fn(&mut Inputs) -> &mut P) -> Vec<P> {
    let pixels = batch.iter_mut().map(|inputs| std::mem::take(of(inputs)));
    pixels.collect()
}

/// Adds an answer to those of each picture that has not failed yet.
fn put<A>(
    answers: &mut [Result<Encoded, InputError>],
    found: Vec<Result<A, InputError>>,
    add: impl Fn(&mut Encoded, A),
) {
    for (answers, found) in answers.iter_mut().zip(found) {
        match (answers.as_mut(), found) {
            (Ok(encoded), Ok(found)) => add(encoded, found),
            (Ok(_), Err(error)) => *answers = Err(error),
            (Err(_), _) => {}
        }
    }
}

impl Inputs {
    fn is_empty(&self) -> bool {
        let is_empty = self.labels.is_empty() && self.vectors.is_empty();
        is_empty && self.captions.is_empty() && self.remote.is_empty()
    }
}

/// A picture's bytes, decoded once for each way in which a network wants it.
struct Decoded<'a> {
    bytes: &'a [u8],
    limits: Limits,
    images: Vec<(DecodeOptions, RgbImage)>,
}

impl Decoded<'_> {
    fn image(&mut self, preprocessor: &Preprocessor) -> Result<&RgbImage, InputError> {
        let options = preprocessor.decode_options(self.limits);
        let known = self.images.iter().position(|(known, _)| *known == options);
        let index = match known {
            Some(index) => index,
            None => {
                self.images.push((options, decode(self.bytes, &options)?));
                self.images.len() - 1
            }
        };
        Ok(&self.images[index].1)
    }
}
