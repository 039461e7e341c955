//! What `unprompt/clip_interrogator.py` is made of: clip-interrogator 0.6.0 piece by piece.

use crate::{
    call::{Caller, Failed, Served, call},
    pictures::Pictures,
    results::array,
    settings::{Settings, one_of},
};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::{exceptions::PyValueError, prelude::*};
use std::{path::PathBuf, sync::Arc};
use unprompt::{
    Hub, LabelChoice, ModelRef, NoProgress, PictureInterrogator, Views,
    image::Limits,
    interrogate::{
        Asked, Behaviour, ChainOptions, InterrogateOptions, LabelList, Mode, Subject, TableCache,
    },
    models::known_clips,
};

/// The hub's name of clip-interrogator's lists.
const LABELS: &str = "clip-interrogator-labels";

/// The modes that 0.6.0 has.
const MODES: [(&str, Mode); 4] = [
    ("classic", Mode::Classic),
    ("fast", Mode::Fast),
    ("best", Mode::Best),
    ("negative", Mode::Negative),
];

/// A CLIP with the label tables of clip-interrogator 0.6.0. Pictures are vectors here: float32, shape
/// (width,).
#[pyclass(frozen, module = "unprompt._native")]
pub(crate) struct ClipModel {
    inner: Arc<PictureInterrogator>,
    clip: String,
    cache: Option<PathBuf>,
    sha256: String,
    settings: Settings,
}

#[pymethods]
impl ClipModel {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(signature = (clip, *, labels, cache, published, chunk_size, device, dtype, threads, offline,
                        allow_pickle))]
    fn new(
        py: Python<'_>,
        clip: &str,
        labels: Option<PathBuf>,
        cache: Option<PathBuf>,
        published: bool,
        chunk_size: usize,
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
    ) -> PyResult<Self> {
        let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
        let choice = LabelChoice {
            folder: labels,
            cache: cache.clone(),
            published,
            ..LabelChoice::default()
        };
        let options = InterrogateOptions {
            chunk_size,
            ..InterrogateOptions::new(Mode::Analyze, Behaviour::Compat060)
        };
        let name = clip.to_owned();
        let (inner, sha256) = settings.load(py, move |hub, compute, caller| {
            let (model, interrogator) =
                PictureInterrogator::load(hub, &name, &choice, options, compute, caller, caller)?;
            Ok((interrogator, compute.identity(model.sha256()?)))
        })?;
        Ok(Self {
            inner: Arc::new(inner),
            clip: clip.to_owned(),
            cache,
            sha256,
            settings,
        })
    }

    /// A picture's vector.
    fn features<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let mut pictures = Pictures::new(image)?;
        let sources = pictures.next(1)?;
        let inner = Arc::clone(&self.inner);
        let vector = self.call(py, move |_| {
            let limits = Limits::default();
            let pictures = inner.pictures();
            let found = pictures.embed_sources(&sources, &limits, Views::Plain, false);
            found
                .into_iter()
                .next()
                .unwrap_or_else(|| Ok(Vec::new()))
                .map_err(Failed::from)
        })?;
        Ok(array(py, vector))
    }

    /// The cosine of each text with a picture.
    fn similarities(
        &self,
        py: Python<'_>,
        features: PyReadonlyArray1<'_, f32>,
        texts: Vec<String>,
    ) -> PyResult<Vec<f32>> {
        let (inner, picture) = (Arc::clone(&self.inner), self.picture(&features)?);
        self.call(py, move |_| {
            let encoder = inner.interrogator().encoder();
            Ok(encoder.similarities(&picture, &texts)?)
        })
    }

    /// The prompt of a mode, from a picture's vector and its caption.
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn prompt(
        &self,
        py: Python<'_>,
        mode: &str,
        features: PyReadonlyArray1<'_, f32>,
        caption: Option<String>,
        min_flavors: usize,
        max_flavors: usize,
        candidates: usize,
        chunk_size: usize,
    ) -> PyResult<String> {
        let known = MODES.map(|(name, _)| name);
        let of_mode = MODES.into_iter().find(|(name, _)| *name == mode);
        let asked = Asked {
            mode: of_mode.ok_or_else(|| one_of("mode", mode, &known))?.1,
            min_flavors,
            max_flavors: Some(max_flavors),
            candidates,
            chunk_size,
        };
        let (inner, picture) = (Arc::clone(&self.inner), self.picture(&features)?);
        self.call(py, move |_| {
            let subject = Subject {
                picture: &picture,
                caption: caption.as_deref(),
            };
            let mut found = inner.interrogator().interrogate_as(asked, &[subject])?;
            Ok(found.swap_remove(0)?.prompt.unwrap_or_default())
        })
    }

    /// Grows a prompt by phrases, from a start with its similarity or from the best of them.
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn chain(
        &self,
        py: Python<'_>,
        features: PyReadonlyArray1<'_, f32>,
        phrases: Vec<String>,
        start: Option<(String, f32)>,
        min_count: usize,
        max_count: usize,
        reverse: bool,
    ) -> PyResult<String> {
        let (inner, picture) = (Arc::clone(&self.inner), self.picture(&features)?);
        let options = ChainOptions {
            min_count,
            max_count,
            reverse,
            deadline: None,
        };
        self.call(py, move |_| {
            let interrogator = inner.interrogator();
            let found = match &start {
                Some((text, similarity)) => {
                    let start = (text.as_str(), *similarity);
                    interrogator.chain_from(&picture, phrases, start, &options)
                }
                None => interrogator.chain(&picture, phrases, None, &options),
            };
            Ok(found?.phrases.join(", "))
        })
    }

    /// One of the tables that it was loaded with.
    fn table(&self, name: &str) -> PyResult<LabelTable> {
        let tables = self.inner.interrogator().tables();
        let place = tables.iter().position(|table| table.name() == name);
        let unknown = || PyValueError::new_err(format!("no table {name:?}"));
        Ok(LabelTable(Arc::new(Rows::OfModel(
            Arc::clone(&self.inner),
            place.ok_or_else(unknown)?,
        ))))
    }

    /// A table of labels of one's own; kept under its name, if it has one, where the others are kept.
    fn new_table(
        &self,
        py: Python<'_>,
        labels: Vec<String>,
        name: Option<String>,
    ) -> PyResult<LabelTable> {
        let inner = Arc::clone(&self.inner);
        let cache = name.as_ref().and(self.cache.clone());
        let cache = cache.map(|folder| TableCache::new(folder, &self.clip, &self.sha256));
        let table = self.call(py, move |caller| {
            let list = LabelList::new(name.unwrap_or_default(), labels);
            let encoder = inner.interrogator().encoder();
            let cache = cache.as_ref();
            Ok(unprompt::interrogate::LabelTable::load(
                list, encoder, cache, caller,
            )?)
        })?;
        Ok(LabelTable(Arc::new(Rows::Own(table))))
    }

    /// The ids of texts: int64, shape (texts, context length), padded with zeros.
    fn tokenize<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let tokenizer = self.inner.interrogator().encoder().tokenizer();
        let rows: Result<Vec<Vec<u32>>, _> = texts
            .iter()
            .map(|text| tokenizer.encode_padded(text))
            .collect();
        let rows = rows.map_err(Failed::from)?;
        let shape = [rows.len(), tokenizer.context_length()];
        let ids: Vec<i64> = rows.into_iter().flatten().map(i64::from).collect();
        PyArray1::from_vec(py, ids).reshape(shape)
    }
}

impl ClipModel {
    fn call<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Caller) -> Result<T, Failed> + Send + 'static,
    ) -> PyResult<T> {
        call(py, self.settings.threads, &mut Served::default(), work)
    }

    /// A picture's vector, which must have the network's width.
    fn picture(&self, features: &PyReadonlyArray1<'_, f32>) -> PyResult<Vec<f32>> {
        let vector = features.as_slice()?.to_vec();
        let width = self.inner.interrogator().encoder().tower().width();
        if vector.len() != width {
            let found = vector.len();
            let message = format!("the features have {found} numbers, and the CLIP's have {width}");
            return Err(PyValueError::new_err(message));
        }
        Ok(vector)
    }
}

/// Labels with their embeddings.
#[pyclass(frozen, module = "unprompt._native")]
pub(crate) struct LabelTable(Arc<Rows>);

enum Rows {
    OfModel(Arc<PictureInterrogator>, usize),
    Own(unprompt::interrogate::LabelTable),
}

impl Rows {
    fn table(&self) -> &unprompt::interrogate::LabelTable {
        match self {
            Self::OfModel(model, place) => &model.interrogator().tables()[*place],
            Self::Own(table) => table,
        }
    }
}

#[pymethods]
impl LabelTable {
    #[getter]
    fn labels(&self) -> Vec<String> {
        self.0.table().list().labels().to_vec()
    }

    /// float32, shape (labels, width).
    #[getter]
    fn embeds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let table = self.0.table();
        let halves = table.embeddings().map_err(Failed::from)?;
        let shape = [table.list().labels().len(), table.width()];
        let values: Vec<f32> = halves.into_iter().map(f32::from).collect();
        PyArray1::from_vec(py, values).reshape(shape)
    }

    fn rank(
        &self,
        py: Python<'_>,
        features: PyReadonlyArray1<'_, f32>,
        top_count: usize,
        reverse: bool,
        chunk_size: usize,
    ) -> PyResult<Vec<String>> {
        let picture = features.as_slice()?.to_vec();
        let width = self.0.table().width();
        if picture.len() != width {
            let found = picture.len();
            let message =
                format!("the features have {found} numbers, and the labels' have {width}");
            return Err(PyValueError::new_err(message));
        }
        let rows = Arc::clone(&self.0);
        call(py, None, &mut Served::default(), move |_| {
            let table = rows.table();
            Ok(table.rank_as_060(&picture, top_count, reverse, chunk_size)?)
        })
    }
}

/// The CLIPs that can be named, as `architecture/tag`.
#[pyfunction]
pub(crate) fn clip_models() -> Vec<String> {
    let name = |known: unprompt::models::KnownClip| format!("{}/{}", known.architecture, known.tag);
    known_clips().into_iter().map(name).collect()
}

/// The folder of clip-interrogator's label files, which are fetched if they are not here.
#[pyfunction]
pub(crate) fn clip_labels(py: Python<'_>, offline: bool) -> PyResult<PathBuf> {
    let settings = Settings::new("cpu", "auto", None, offline, false)?;
    settings.load(py, |hub: &Hub, _, _| {
        let labels: ModelRef = LABELS.parse()?;
        Ok(hub.resolve(&labels, &NoProgress)?.dir)
    })
}
