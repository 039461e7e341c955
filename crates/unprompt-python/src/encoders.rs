//! `ImageEncoder` and `TextEncoder`.

use crate::{
    call::{Caller, Failed, Served, call},
    progress::Progress,
    results::{array, done, one_or_list},
    settings::{Settings, attention_heads, batch, one_of},
};
use numpy::PyArrayMethods;
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};
use std::sync::Arc;
use unprompt::{Views, image::Limits};

/// A network that gives a picture a vector: the image tower of a CLIP or a SigLIP, or a Vision
/// Transformer.
///
/// Safe from many threads at once, and pickled by its arguments.
///
/// Args:
///     model: A name such as `ViT-L-14/openai`, a hub id or a path.
///     device, dtype, threads, offline, allow_pickle: As for Predictor.
///     heads: Attention heads of a Vision Transformer whose tensors stand alone, a .pth without a
///         config.json.
///
/// Raises:
///     ValueError: An argument is out of its range, or this machine has no such device.
///     UnpromptError: The model cannot be had or has no image tower.
#[pyclass(frozen, module = "unprompt")]
pub(crate) struct ImageEncoder {
    inner: Arc<unprompt::ImageEncoder>,
    model: String,
    heads: Option<usize>,
    settings: Settings,
}

#[pymethods]
impl ImageEncoder {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(signature = (model, *, device="auto", dtype="auto", threads=None, offline=false,
                        allow_pickle=false, heads=None))]
    fn new(
        py: Python<'_>,
        model: &str,
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
        heads: Option<usize>,
    ) -> PyResult<Self> {
        let heads = attention_heads(heads)?;
        let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
        let name = model.to_owned();
        let inner = settings.load(py, move |hub, compute, caller| {
            Ok(unprompt::ImageEncoder::load_with_heads(hub, &name, heads, compute, caller)?.1)
        })?;
        Ok(Self {
            inner: Arc::new(inner),
            model: model.to_owned(),
            heads,
            settings,
        })
    }

    /// One vector for each picture.
    ///
    /// Args:
    ///     images: One picture or an iterable of pictures, as for Predictor.predict.
    ///     raw: Leave out the normalisation.
    ///     tta: `flip` averages the picture with its mirror image; `none` does not.
    ///     batch_size: Pictures that are worked on together, from 1 to 4096; no result depends on it.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///
    /// Returns:
    ///     A float32 array of shape (width,) for each picture, of unit length unless `raw`, or a Failure
    ///     in its place; for one picture not in a list.
    ///
    /// Raises:
    ///     TypeError: `images` is no picture and no iterable.
    #[pyo3(signature = (images, *, raw=false, tta="none", batch_size=16, progress=None))]
    fn embed<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        raw: bool,
        tta: &str,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?.get();
        let views = match tta {
            "none" => Views::Plain,
            "flip" => Views::Flip,
            _ => return Err(one_of("tta", tta, &["none", "flip"])),
        };
        let mut served = Served::of(images, progress)?;
        let inner = Arc::clone(&self.inner);
        let work = move |caller: &Caller| {
            caller.for_each(batch_size, |sources| {
                Ok(inner.embed_sources(sources, &Limits::default(), views, raw))
            })
        };
        let found = call(py, self.settings.threads, &mut served, work)?;
        one_or_list(py, served.pictures.as_ref(), found, |py, one| {
            done(py, one, |py, _, vector| Ok(array(py, vector).into_any()))
        })
    }

    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let arguments = PyTuple::new(py, [&self.model])?;
        let keywords = self.settings.keywords(py)?;
        keywords.set_item("heads", self.heads)?;
        Ok((arguments, keywords))
    }

    fn __repr__(&self) -> String {
        format!("unprompt.ImageEncoder({:?})", self.model)
    }
}

/// A network that gives a text a vector: a sentence encoder, or the text tower of a CLIP or a SigLIP.
///
/// Safe from many threads at once, and pickled by its arguments.
///
/// Args:
///     model: A name, a hub id or a path.
///     device, dtype, threads, offline, allow_pickle: As for Predictor.
///
/// Raises:
///     ValueError: An argument is out of its range, or this machine has no such device.
///     UnpromptError: The model cannot be had or takes no texts.
#[pyclass(frozen, module = "unprompt")]
pub(crate) struct TextEncoder {
    inner: Arc<unprompt::TextEncoder>,
    model: String,
    settings: Settings,
}

#[pymethods]
impl TextEncoder {
    #[new]
    #[pyo3(signature = (model="all-MiniLM-L6-v2", *, device="auto", dtype="auto", threads=None,
                        offline=false, allow_pickle=false))]
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
            Ok(unprompt::TextEncoder::load(hub, &name, compute, caller)?.1)
        })?;
        Ok(Self {
            inner: Arc::new(inner),
            model: model.to_owned(),
            settings,
        })
    }

    /// One vector for each text.
    ///
    /// Args:
    ///     texts: One text or an iterable of texts.
    ///     raw: Leave out the normalisation to unit length.
    ///     batch_size: Texts that are worked on together, from 1 to 4096; no result depends on it.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///
    /// Returns:
    ///     A float32 array of shape (width,) for one text, of shape (texts, width) for an iterable.
    ///
    /// Raises:
    ///     TypeError: `texts` is no text and no iterable of texts.
    ///     UnpromptError: A text cannot be tokenised, or the weights give no finite number.
    #[pyo3(signature = (texts, *, raw=false, batch_size=16, progress=None))]
    fn embed<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        raw: bool,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?.get();
        let Texts { texts, is_one } = Texts::of(texts)?;
        let count = texts.len();
        let mut served = Served {
            pictures: None,
            progress: progress
                .map(|progress| Progress::new(progress, Some(count)))
                .transpose()?,
        };
        let inner = Arc::clone(&self.inner);
        let work = move |caller: &Caller| -> Result<Vec<f32>, Failed> {
            let mut all = Vec::new();
            for batch in texts.chunks(batch_size) {
                all.extend(inner.embed(batch, raw)?.into_iter().flatten());
                caller.advance(batch.len())?;
            }
            Ok(all)
        };
        let vectors = array(py, call(py, self.settings.threads, &mut served, work)?);
        if is_one {
            return Ok(vectors.into_any());
        }
        let width = vectors.len()? / count.max(1);
        Ok(vectors.reshape([count, width])?.into_any())
    }

    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let arguments = PyTuple::new(py, [&self.model])?;
        Ok((arguments, self.settings.keywords(py)?))
    }

    fn __repr__(&self) -> String {
        format!("unprompt.TextEncoder({:?})", self.model)
    }
}

/// One text, or many.
pub(crate) struct Texts {
    pub(crate) texts: Vec<String>,
    pub(crate) is_one: bool,
}

impl Texts {
    /// Takes an argument for one text, or for an iterable of such.
    ///
    /// # Errors
    /// `TypeError` for what is neither.
    pub(crate) fn of(argument: &Bound<'_, PyAny>) -> PyResult<Self> {
        let is_one = argument.is_instance_of::<PyString>();
        let texts = if is_one {
            vec![argument.extract()?]
        } else {
            let refuse = |_| PyTypeError::new_err("a text or an iterable of texts is needed");
            let texts = argument.try_iter().map_err(refuse)?;
            texts
                .map(|text| text?.extract::<String>())
                .collect::<PyResult<_>>()?
        };
        Ok(Self { texts, is_one })
    }
}
