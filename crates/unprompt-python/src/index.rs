//! `Index`.

use crate::{
    call::{Caller, Failed, Served, call},
    encoders::Texts,
    progress::Progress,
    results::{done, frozen_array, object, one_or_list, tuple},
    settings::{Settings, batch},
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyTuple, PyType},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use unprompt::{
    ImageEncoder, SentenceEncoder,
    image::Limits,
    index::{
        BuildOptions, BuildProgress, IndexQuery, IndexRequest, IndexSearch, Match, ModelIdentity,
        NegativeDistance, PromptIndex, Regressed, Regression, Space, build_index,
    },
};

/// A list of prompts with their embeddings on disk, which pictures and texts are looked up in.
///
/// The models that it was built with are loaded when they are needed first. Safe from many threads at
/// once, and pickled by its arguments.
///
/// Args:
///     folder: The folder of the index.
///     clip: Where its CLIP is, if not where its name says.
///     sentence: Where its sentence encoder is, if not where its name says.
///     device, dtype, threads, offline, allow_pickle: As for Predictor.
///
/// Raises:
///     ValueError: An argument is out of its range, or this machine has no such device.
///     UnpromptError: There is no index in the folder, or a damaged one.
#[pyclass(frozen, module = "unprompt")]
pub(crate) struct Index {
    inner: Arc<Opened>,
    folder: PathBuf,
    settings: Settings,
}

struct Opened {
    index: Arc<PromptIndex>,
    search: IndexSearch,
    clip: Option<String>,
    sentence: Option<String>,
    pictures: OnceLock<ImageEncoder>,
    texts: OnceLock<SentenceEncoder>,
    settings: Settings,
    compute: unprompt::Compute,
}

impl Opened {
    // Two calls may load one model at once: a lock would be held by threads that others wait for.
    fn pictures(&self, caller: &Caller) -> Result<&ImageEncoder, Failed> {
        if let Some(encoder) = self.pictures.get() {
            return Ok(encoder);
        }
        let (hub, name) = (self.settings.hub()?, self.clip.as_deref());
        let encoder = self
            .search
            .image_encoder(&hub, name, &self.compute, caller)?;
        Ok(self.pictures.get_or_init(|| encoder))
    }

    fn texts(&self, caller: &Caller) -> Result<&SentenceEncoder, Failed> {
        if let Some(encoder) = self.texts.get() {
            return Ok(encoder);
        }
        let (hub, name) = (self.settings.hub()?, self.sentence.as_deref());
        let encoder = self
            .search
            .sentence_encoder(&hub, name, &self.compute, caller)?;
        Ok(self.texts.get_or_init(|| encoder))
    }
}

#[pymethods]
impl Index {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(signature = (folder, *, clip=None, sentence=None, device="auto", dtype="auto", threads=None,
                        offline=false, allow_pickle=false))]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        clip: Option<String>,
        sentence: Option<String>,
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
    ) -> PyResult<Self> {
        let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
        let compute = settings.compute()?;
        let found = py.detach(|| PromptIndex::open(&folder));
        let index = Arc::new(found.map_err(Failed::from)?);
        let opened = Opened {
            search: IndexSearch::new(&folder, Arc::<PromptIndex>::clone(&index)),
            index,
            clip,
            sentence,
            pictures: OnceLock::new(),
            texts: OnceLock::new(),
            settings: settings.clone(),
            compute,
        };
        Ok(Self {
            inner: Arc::new(opened),
            folder,
            settings,
        })
    }

    /// Embeds a list of prompts into a folder. A build that was interrupted goes on where it ended.
    ///
    /// Args:
    ///     prompts: A .csv, .jsonl or .parquet file, or a text with one prompt a line.
    ///     folder: Where the index goes.
    ///     clip: The CLIP or SigLIP, as `ViT-L-14/openai`.
    ///     sentence: The sentence encoder.
    ///     column: The column or key that holds the prompts.
    ///     segment_rows: Prompts in a file of the index, from 1 to 1,048,576.
    ///     batch_size: Prompts that are embedded together, from 1 to 4096.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///     device, dtype, threads, offline, allow_pickle: As for Predictor.
    ///
    /// Returns:
    ///     The index.
    ///
    /// Raises:
    ///     ValueError: An argument is out of its range.
    ///     UnpromptError: The list cannot be read, a model cannot be had, or the folder holds an index of
    ///         something else.
    #[classmethod]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(signature = (prompts, folder, *, clip, sentence="all-MiniLM-L6-v2", column="prompt",
                        segment_rows=2048, batch_size=16, progress=None, device="auto", dtype="auto",
                        threads=None, offline=false, allow_pickle=false))]
    fn build<'py>(
        _class: &Bound<'py, PyType>,
        py: Python<'py>,
        prompts: PathBuf,
        folder: PathBuf,
        clip: String,
        sentence: &str,
        column: &str,
        segment_rows: usize,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
    ) -> PyResult<Self> {
        let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
        let compute = settings.compute()?;
        let batch = batch(batch_size)?.get();
        if !(1..=1 << 20).contains(&segment_rows) {
            return Err(PyValueError::new_err("segment_rows: from 1 to 1,048,576"));
        }
        let progress = progress.map(|progress| Progress::new(progress, None));
        let mut served = Served {
            pictures: None,
            progress: progress.transpose()?,
        };
        let (names, of_hub) = (
            (clip.clone(), sentence.to_owned(), column.to_owned()),
            settings.clone(),
        );
        let target = folder.clone();
        let work = move |caller: &Caller| -> Result<(), Failed> {
            let (clip, sentence, column) = &names;
            let request = IndexRequest {
                prompts: &prompts,
                column,
                clip,
                sentence,
                compute: &compute,
                folder: &target,
                options: BuildOptions {
                    batch,
                    segment_rows,
                },
            };
            let mut report = |progress| match progress {
                BuildProgress::Begun { rows } => {
                    caller.total(usize::try_from(rows).unwrap_or(usize::MAX));
                }
                BuildProgress::Found(by) | BuildProgress::Embedded(by) => {
                    // A build cannot be told to stop; what is built is kept.
                    let _ = caller.advance(usize::try_from(by).unwrap_or(usize::MAX));
                }
                _ => {}
            };
            build_index(&of_hub.hub()?, &request, caller, &mut report)?;
            Ok(())
        };
        call(py, threads, &mut served, work)?;
        let sentence = Some(sentence.to_owned());
        Self::new(
            py,
            folder,
            Some(clip),
            sentence,
            device,
            dtype,
            threads,
            offline,
            allow_pickle,
        )
    }

    /// The prompts nearest to each picture, and the embedding that they predict.
    ///
    /// Args:
    ///     images: One picture or an iterable of pictures, as for Predictor.predict.
    ///     top: Prompts for each, the nearest first.
    ///     as_published: Give a distance that rounds below zero the smallest weight, as the published
    ///         notebook does.
    ///     batch_size: Pictures that are worked on together, from 1 to 4096; no result depends on it.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///
    /// Returns:
    ///     A Neighbours for each picture, or a Failure in its place; for one picture not in a list.
    ///
    /// Raises:
    ///     TypeError: `images` is no picture and no iterable.
    ///     UnpromptError: The index is damaged, or its CLIP cannot be had or is another one.
    #[pyo3(signature = (images, *, top=10, as_published=false, batch_size=16, progress=None))]
    fn search<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        top: usize,
        as_published: bool,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?.get();
        let mut served = Served::of(images, progress)?;
        let (inner, query) = (Arc::clone(&self.inner), query(top, as_published));
        let work = move |caller: &Caller| {
            let encoder = inner.pictures(caller)?;
            caller.for_each(batch_size, |sources| {
                let limits = Limits::default();
                Ok(inner
                    .search
                    .nearest_to_sources(encoder, sources, &limits, &query)?)
            })
        };
        let found = call(py, self.settings.threads, &mut served, work)?;
        one_or_list(py, served.pictures.as_ref(), found, |py, one| {
            done(py, one, neighbours)
        })
    }

    /// The prompts nearest to each text, by its sentence embedding.
    ///
    /// Args:
    ///     texts: One text or an iterable of texts.
    ///     top: Prompts for each, the nearest first.
    ///     as_published, batch_size, progress: As for search.
    ///
    /// Returns:
    ///     A Neighbours for each text; for one text not in a list.
    ///
    /// Raises:
    ///     TypeError: `texts` is no text and no iterable of texts.
    ///     UnpromptError: The index is damaged, or its encoder cannot be had or is another one.
    #[pyo3(signature = (texts, *, top=10, as_published=false, batch_size=16, progress=None))]
    fn search_texts<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        top: usize,
        as_published: bool,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?.get();
        let Texts { texts, is_one } = Texts::of(texts)?;
        let count = texts.len();
        let progress = progress.map(|progress| Progress::new(progress, Some(count)));
        let mut served = Served {
            pictures: None,
            progress: progress.transpose()?,
        };
        let (inner, query) = (Arc::clone(&self.inner), query(top, as_published));
        let work = move |caller: &Caller| -> Result<Vec<(String, Regressed)>, Failed> {
            let encoder = inner.texts(caller)?;
            let mut all = Vec::new();
            for batch in texts.chunks(batch_size) {
                let vectors = encoder.embed(batch)?;
                let found = inner.search.nearest(Space::Sentence, &vectors, &query)?;
                all.extend(batch.iter().cloned().zip(found));
                caller.advance(batch.len())?;
            }
            Ok(all)
        };
        let found = call(py, self.settings.threads, &mut served, work)?;
        let mut found: Vec<Bound<'py, PyAny>> = found
            .into_iter()
            .map(|(text, found)| neighbours(py, text, found))
            .collect::<PyResult<_>>()?;
        match found.pop() {
            Some(one) if is_one => Ok(one),
            last => {
                found.extend(last);
                Ok(found.into_pyobject(py)?)
            }
        }
    }

    /// What the index holds.
    #[getter]
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let manifest = self.inner.index.manifest();
        let identity = |model: &ModelIdentity| {
            let fields = (&model.name, &model.revision, &model.sha256, &model.dtype);
            object(py, "ModelReceipt", fields)
        };
        let fields = (
            &self.folder,
            manifest.prompts.rows,
            manifest.prompts.duplicates,
            manifest.prompts.empty,
            &manifest.prompts.sha256,
            identity(&manifest.clip)?,
            manifest.clip_width,
            identity(&manifest.sentence)?,
            manifest.sentence_width,
            manifest.segment_count(),
            manifest.segment_rows,
            manifest.bytes(),
        );
        object(py, "IndexInfo", fields)
    }

    /// Reads every file of the index and compares it with its digest.
    ///
    /// Raises:
    ///     UnpromptError: A file is damaged; the message names it.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        let inner = Arc::clone(&self.inner);
        let work = move |_: &Caller| Ok(inner.index.check(&|_| {})?);
        call(py, self.settings.threads, &mut Served::default(), work)
    }

    /// Writes the index to one parquet file, for a vector database.
    ///
    /// Args:
    ///     path: The file; whole or not there.
    ///
    /// Raises:
    ///     UnpromptError: The index cannot be read, or the file cannot be written.
    fn export(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let inner = Arc::clone(&self.inner);
        let work = move |_: &Caller| Ok(inner.index.export(&path, &mut |_| {})?);
        call(py, self.settings.threads, &mut Served::default(), work)
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.inner.index.rows()).unwrap_or(usize::MAX)
    }

    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let arguments = PyTuple::new(py, [&self.folder])?;
        let keywords = self.settings.keywords(py)?;
        keywords.set_item("clip", &self.inner.clip)?;
        keywords.set_item("sentence", &self.inner.sentence)?;
        Ok((arguments, keywords))
    }

    fn __repr__(&self) -> String {
        format!(
            "unprompt.Index({:?})",
            Path::display(&self.folder).to_string()
        )
    }
}

fn query(top: usize, as_published: bool) -> IndexQuery {
    let negative = match as_published {
        true => NegativeDistance::AsPublished,
        false => NegativeDistance::Zero,
    };
    IndexQuery {
        top,
        regression: Regression {
            negative,
            ..Regression::default()
        },
    }
}

fn neighbours<'py>(
    py: Python<'py>,
    query: String,
    found: Regressed,
) -> PyResult<Bound<'py, PyAny>> {
    let one = |found: Match| object(py, "Evidence", (found.prompt, found.similarity));
    let matches = tuple(py, found.matches, one)?;
    let embedding = frozen_array(py, found.embedding)?;
    object(py, "Neighbours", (query, matches, embedding))
}
