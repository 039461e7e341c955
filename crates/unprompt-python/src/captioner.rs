//! `Captioner`.

use crate::{
    call::{Caller, Served, call},
    results::{done, object, one_or_list},
    settings::{Settings, batch, one_of},
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyTuple},
};
use std::sync::Arc;
use unprompt::{
    CaptionOptions,
    image::Limits,
    models::{Caption, LengthPenalty, Sampling},
};

/// That of clip-interrogator.
pub(crate) const DEFAULT_CAPTIONER: &str = "Salesforce/blip-image-captioning-large";

/// A network that says in words what a picture shows: a BLIP or an OFA.
///
/// Safe from many threads at once, and pickled by its arguments.
///
/// Args:
///     model: A name, a hub id or a path.
///     device, dtype, threads, offline, allow_pickle: As for Predictor.
///
/// Raises:
///     ValueError: An argument is out of its range, or this machine has no such device.
///     UnpromptError: The model cannot be had or is no captioner.
#[pyclass(frozen, module = "unprompt")]
pub(crate) struct Captioner {
    inner: Arc<unprompt::Captioner>,
    model: String,
    settings: Settings,
}

#[pymethods]
impl Captioner {
    #[new]
    #[pyo3(signature = (model=DEFAULT_CAPTIONER, *, device="auto", dtype="auto", threads=None,
                        offline=false, allow_pickle=false),
           text_signature = "(model='Salesforce/blip-image-captioning-large', *, device='auto', \
                             dtype='auto', threads=None, offline=False, allow_pickle=False)")]
    fn new(
        py: Python<'_>,
        model: &str,
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
    ) -> PyResult<Self> {
        let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
        let name = model.to_owned();
        let inner = settings.load(py, move |hub, compute, caller| {
            Ok(unprompt::Captioner::load(hub, &name, compute, caller)?.1)
        })?;
        Ok(Self {
            inner: Arc::new(inner),
            model: model.to_owned(),
            settings,
        })
    }

    /// One caption for each picture. What is None is as the model has it.
    ///
    /// Args:
    ///     images: One picture or an iterable of pictures, as for Predictor.predict.
    ///     prompt: What a BLIP goes on from, or an OFA is asked.
    ///     beams: Texts that are followed at a time.
    ///     no_repeat_ngram: No run of so many tokens comes twice; 0 lets all come.
    ///     min_length, max_length: Tokens of a caption, those of `prompt` included.
    ///     max_new_tokens: Tokens that are written at most, in place of `max_length`.
    ///     length_penalty: The power of the length by which a text's score is divided.
    ///     length_of: Which length: `generated` or `whole`.
    ///     early_stopping: End as soon as as many texts are finished as there are beams.
    ///     seed: Draw words at random, the same for the same seed.
    ///     temperature, top_k, top_p: How they are drawn; without meaning where there is no seed.
    ///     batch_size: Pictures that are worked on together, from 1 to 4096; no result depends on it.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///
    /// Returns:
    ///     A Caption for each picture, or a Failure in its place; for one picture not in a list.
    ///
    /// Raises:
    ///     TypeError: `images` is no picture and no iterable.
    ///     ValueError: An option does not fit the model or another one.
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(signature = (images, *, prompt=None, beams=None, no_repeat_ngram=None, min_length=None,
                        max_length=None, max_new_tokens=None, length_penalty=None, length_of=None,
                        early_stopping=None, seed=None, temperature=1.0, top_k=50, top_p=1.0,
                        batch_size=16, progress=None))]
    fn caption<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        prompt: Option<String>,
        beams: Option<usize>,
        no_repeat_ngram: Option<usize>,
        min_length: Option<usize>,
        max_length: Option<usize>,
        max_new_tokens: Option<usize>,
        length_penalty: Option<f64>,
        length_of: Option<&str>,
        early_stopping: Option<bool>,
        seed: Option<u64>,
        temperature: f32,
        top_k: usize,
        top_p: f32,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?.get();
        if max_length.is_some() && max_new_tokens.is_some() {
            return Err(PyValueError::new_err(
                "max_length or max_new_tokens, not both",
            ));
        }
        let options = CaptionOptions {
            prompt,
            beams,
            no_repeat_ngram,
            min_length,
            max_length,
            max_new_tokens,
            length_penalty,
            length_penalty_of: length_of.map(length).transpose()?,
            early_stopping,
            sampling: seed.map(|seed| Sampling {
                seed,
                temperature,
                top_k,
                top_p,
            }),
        };
        let checked = self.inner.check(&options);
        checked.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let mut served = Served::of(images, progress)?;
        let inner = Arc::clone(&self.inner);
        let work = move |caller: &Caller| {
            caller.for_each(batch_size, |sources| {
                Ok(inner.caption_sources(sources, &Limits::default(), &options))
            })
        };
        let found = call(py, self.settings.threads, &mut served, work)?;
        one_or_list(py, served.pictures.as_ref(), found, |py, one| {
            done(py, one, |py, path, caption: Caption| {
                let ids = PyTuple::new(py, caption.token_ids)?;
                object(py, "Caption", (path, caption.text, ids, caption.score))
            })
        })
    }

    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let arguments = PyTuple::new(py, [&self.model])?;
        Ok((arguments, self.settings.keywords(py)?))
    }

    fn __repr__(&self) -> String {
        format!("unprompt.Captioner({:?})", self.model)
    }
}

fn length(name: &str) -> PyResult<LengthPenalty> {
    match name {
        "generated" => Ok(LengthPenalty::GeneratedTokens),
        "whole" => Ok(LengthPenalty::WholeSequence),
        _ => Err(one_of("length_of", name, &["generated", "whole"])),
    }
}
