//! `Predictor`.

use crate::{
    call::{Caller, Failed, Served, call},
    results::{one_or_list, outcome, receipt},
    settings::{Settings, batch},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};
use std::sync::Arc;
use unprompt::{PredictOptions, Preset};

/// A preset with its models loaded: turns pictures back into prompts.
///
/// Safe from many threads at once, which share its models. Pickled by its arguments: the process that
/// unpickles it loads the models anew.
///
/// Args:
///     preset: A name, as `lite`, `clip`, or a TOML file. None is `lite`, which needs no download.
///     device: `auto`, `cpu` or `cuda`.
///     dtype: `auto`, `f32`, `f16`, `bf16` or `int8`.
///     threads: Threads to compute with, from 1 to 1024. None is one for each core.
///     offline: Open no socket and use only what is on this machine.
///     allow_pickle: Read weights from pickles too; nothing in them is ever executed.
///
/// Raises:
///     ValueError: An argument is none of these, or this machine has no such device.
///     UnpromptError: The preset or one of its models cannot be had; the message names all that are
///         missing.
#[pyclass(frozen, module = "unprompt")]
pub(crate) struct Predictor {
    inner: Arc<unprompt::Predictor>,
    preset: Option<String>,
    settings: Settings,
}

#[pymethods]
impl Predictor {
    #[new]
    #[pyo3(signature = (preset=None, *, device="auto", dtype="auto", threads=None, offline=false,
                        allow_pickle=false))]
    fn new(
        py: Python<'_>,
        preset: Option<String>,
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
    ) -> PyResult<Self> {
        let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
        let name = preset.clone();
        let inner = settings.load(py, move |hub, compute, caller| {
            let preset = Preset::load(name.as_deref().unwrap_or(Preset::DEFAULT))?;
            Ok(unprompt::Predictor::load(
                hub, preset, compute, caller, caller,
            )?)
        })?;
        Ok(Self {
            inner: Arc::new(inner),
            preset,
            settings,
        })
    }

    /// The prompt of each picture.
    ///
    /// Args:
    ///     images: One picture or an iterable of pictures: a path (str or os.PathLike), the bytes of an
    ///         encoded picture, a Pillow image, or a uint8 array of shape (height, width), (height,
    ///         width, 3) or (height, width, 4). An array of four axes is an iterable.
    ///     metadata: Take the prompt that the picture carries, where it carries one.
    ///     batch_size: Pictures that are worked on together, from 1 to 4096; no result depends on it.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///
    /// Returns:
    ///     A Prediction for each picture, or a Failure in its place; for one picture not in a list.
    ///
    /// Raises:
    ///     TypeError: `images` is no picture and no iterable.
    ///     ValueError: `batch_size` is out of its range.
    ///     UnpromptError: What all pictures need is broken, such as a prompt index.
    #[pyo3(signature = (images, *, metadata=true, batch_size=16, progress=None))]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        metadata: bool,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?;
        let mut served = Served::of(images, progress)?;
        let inner = Arc::clone(&self.inner);
        let options = PredictOptions {
            metadata,
            ..PredictOptions::default()
        };
        let work = move |caller: &Caller| -> Result<Vec<unprompt::Outcome>, Failed> {
            let mut outcomes = Vec::new();
            let pictures = caller.all_pictures(batch_size.get());
            inner.predict_each(pictures, batch_size, &options, |_, outcome| {
                outcomes.push(outcome);
                caller.advance(1)
            })?;
            Ok(outcomes)
        };
        let outcomes = call(py, self.settings.threads, &mut served, work)?;
        one_or_list(py, served.pictures.as_ref(), outcomes, outcome)
    }

    /// The name of the preset.
    #[getter]
    fn preset(&self) -> &str {
        &self.inner.preset().name
    }

    /// What computes the records: version, numbers, and the models with their digests.
    #[getter]
    fn receipt<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        receipt(py, self.inner.receipt().clone())
    }

    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let arguments = PyTuple::new(py, [self.preset.as_deref()])?;
        Ok((arguments, self.settings.keywords(py)?))
    }

    fn __repr__(&self) -> String {
        format!("unprompt.Predictor({:?})", self.preset())
    }
}
