//! `score`.

use crate::{
    call::{Caller, Failed},
    results::{object, tuple},
    settings::Settings,
};
use pyo3::prelude::*;
use std::path::PathBuf;
use unprompt::{
    SentenceEncoder,
    eval::{Answers, EmbedError, ImageScore, Score, score as score_of},
    load_sentence_encoder,
};

/// The mean cosine similarity of predictions and truth.
///
/// Args:
///     pred: A file of predictions: a submission, a prompts.csv, or records with a `prompt` or an
///         `embedding`.
///     truth: The truth, in any of the same forms.
///     model: The sentence encoder for rows that are prompts; not loaded where there are none.
///     device, dtype, threads, offline, allow_pickle: As for Predictor.
///
/// Returns:
///     A Score.
///
/// Raises:
///     ValueError: An argument is out of its range, or this machine has no such device.
///     UnpromptError: A file cannot be read, or an image is in only one of them.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keywords of Python")]
#[pyo3(signature = (pred, truth, *, model="all-MiniLM-L6-v2", device="auto", dtype="auto", threads=None,
                    offline=false, allow_pickle=false))]
pub(crate) fn score<'py>(
    py: Python<'py>,
    pred: PathBuf,
    truth: PathBuf,
    model: &str,
    device: &str,
    dtype: &str,
    threads: Option<usize>,
    offline: bool,
    allow_pickle: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
    let model = model.to_owned();
    let found = settings.load(py, move |hub, compute, caller: &Caller| {
        let (pred, truth) = (Answers::open(&pred)?, Answers::open(&truth)?);
        let mut loaded: Option<SentenceEncoder> = None;
        let mut embed = |texts: &[String]| -> Result<Vec<Vec<f32>>, EmbedError> {
            let encoder = match &mut loaded {
                Some(encoder) => encoder,
                empty => {
                    let (_, encoder) = load_sentence_encoder(hub, &model, compute, caller)?;
                    empty.insert(encoder)
                }
            };
            Ok(encoder.embed(texts)?)
        };
        Ok::<Score, Failed>(score_of(&pred, &truth, &mut embed)?)
    })?;
    let image = |image: ImageScore| object(py, "ImageScore", (image.id, image.cosine));
    let per_image = tuple(py, found.per_image, image)?;
    object(py, "Score", (found.mean_cosine, found.n, per_image))
}
