//! `Classifier`.

use crate::{
    call::{Caller, Served, call},
    results::{done, object, one_or_list, tuple},
    settings::{Settings, attention_heads, batch},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};
use std::sync::Arc;
use unprompt::{Label, image::Limits};

/// A network over classes with names.
///
/// Safe from many threads at once, and pickled by its arguments.
///
/// Args:
///     model: A name, a hub id or a path.
///     device, dtype, threads, offline, allow_pickle: As for Predictor.
///     heads: Attention heads of a Vision Transformer whose tensors stand alone, a .pth without a
///         config.json.
///
/// Raises:
///     ValueError: An argument is out of its range, or this machine has no such device.
///     UnpromptError: The model cannot be had or is no classifier.
#[pyclass(frozen, module = "unprompt")]
pub(crate) struct Classifier {
    inner: Arc<unprompt::Classifier>,
    model: String,
    heads: Option<usize>,
    settings: Settings,
}

#[pymethods]
impl Classifier {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(signature = (model="efficientnet-lite0", *, device="auto", dtype="auto", threads=None,
                        offline=false, allow_pickle=false, heads=None))]
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
            Ok(unprompt::Classifier::load_with_heads(hub, &name, heads, compute, caller)?.1)
        })?;
        Ok(Self {
            inner: Arc::new(inner),
            model: model.to_owned(),
            heads,
            settings,
        })
    }

    /// The most probable labels of each picture.
    ///
    /// Args:
    ///     images: One picture or an iterable of pictures, as for Predictor.predict.
    ///     top: Labels for each, the most probable first.
    ///     batch_size: Pictures that are worked on together, from 1 to 4096; no result depends on it.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///
    /// Returns:
    ///     A Classification for each picture, or a Failure in its place; for one picture not in a list.
    ///
    /// Raises:
    ///     TypeError: `images` is no picture and no iterable.
    #[pyo3(signature = (images, *, top=5, batch_size=16, progress=None))]
    fn classify<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        top: usize,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?.get();
        let mut served = Served::of(images, progress)?;
        let inner = Arc::clone(&self.inner);
        let work = move |caller: &Caller| {
            caller.for_each(batch_size, |sources| {
                Ok(inner.classify_sources(sources, &Limits::default(), top))
            })
        };
        let found = call(py, self.settings.threads, &mut served, work)?;
        one_or_list(py, served.pictures.as_ref(), found, |py, one| {
            done(py, one, |py, path, labels: Vec<Label>| {
                let label = |label: Label| {
                    let fields = (label.index, label.label, label.probability, label.logit);
                    object(py, "Label", fields)
                };
                object(py, "Classification", (path, tuple(py, labels, label)?))
            })
        })
    }

    /// The names of the classes, by their index.
    #[getter]
    fn labels(&self) -> Vec<String> {
        self.inner.labels().to_vec()
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
        format!("unprompt.Classifier({:?})", self.model)
    }
}
