//! `Interrogator`.

use crate::{
    call::{Caller, Failed, Served, call},
    captioner::DEFAULT_CAPTIONER,
    results::{done, object, one_or_list, tuple},
    settings::{Settings, batch, one_of},
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyTuple},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use unprompt::{
    Captioned, Hub, LabelChoice, Opening, PictureInterrogator,
    image::Limits,
    interrogate::{
        Behaviour, Contribution, InterrogateOptions, LabelPolicy, Mode, RankedLabel, TokenBudget,
    },
    token_counter,
};

const MODES: [(&str, Mode); 6] = [
    ("classic", Mode::Classic),
    ("fast", Mode::Fast),
    ("best", Mode::Best),
    ("negative", Mode::Negative),
    ("competition", Mode::Competition),
    ("analyze", Mode::Analyze),
];

/// A prompt of each picture from a caption and the labels that a CLIP finds in it.
///
/// Safe from many threads at once, and pickled by its arguments.
///
/// Args:
///     clip: A name of open_clip, a hub id or a path.
///     mode: `classic`, `fast`, `best`, `negative`, `competition`, or `analyze` for labels alone.
///     captioner: What writes the caption that a prompt begins with; None for nothing.
///     labels: A folder of label files, one label a line. None is clip-interrogator's lists.
///     without: Tables to leave out, as `("artists", "trendings")`.
///     allow, deny: Files of words, one a line: only labels with one of them, none with one of them.
///     min_flavors: Phrases that best and negative append even if they do not help.
///     max_flavors: Labels of a prompt at most. None is 32, or 3 flavors in classic and competition.
///     candidates: Labels that best and negative choose from.
///     max_tokens: Tokens of a prompt at most, start and end included. None is what the CLIP reads.
///     tokenizer: The model whose tokenizer counts them. None is the CLIP.
///     budget: Seconds for each picture; best and negative then give the best so far.
///     explain: Tell what each phrase adds.
///     top: Labels of each table in analyze.
///     compat: `0.6.0` repeats this version of clip-interrogator to the letter.
///     chunk_size: Labels that 0.6.0 ranks at once.
///     label_cache: The folder of label embeddings. None is the program's cache.
///     published_labels: Fetch label embeddings that clip-interrogator's author publishes.
///     device, dtype, threads, offline, allow_pickle: As for Predictor.
///
/// Raises:
///     ValueError: Arguments are out of their range or do not go together.
///     UnpromptError: A model or the labels cannot be had or are of another kind.
#[pyclass(frozen, module = "unprompt")]
pub(crate) struct Interrogator {
    inner: Arc<Loaded>,
    arguments: Py<PyDict>,
    clip: String,
    threads: Option<usize>,
}

struct Loaded {
    interrogator: PictureInterrogator,
    captioner: Option<unprompt::Captioner>,
    mode: &'static str,
    is_timed: bool,
}

#[pymethods]
impl Interrogator {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(signature = (clip="ViT-L-14/openai", *, mode="best", captioner=Some(DEFAULT_CAPTIONER.to_owned()),
                        labels=None, without=Vec::new(), allow=None, deny=None, min_flavors=8,
                        max_flavors=None, candidates=2048, max_tokens=None, tokenizer=None, budget=None,
                        explain=false, top=5, compat=None, chunk_size=2048, label_cache=None,
                        published_labels=false, device="auto", dtype="auto", threads=None,
                        offline=false, allow_pickle=false),
           text_signature = "(clip='ViT-L-14/openai', *, mode='best', \
                             captioner='Salesforce/blip-image-captioning-large', labels=None, \
                             without=(), allow=None, deny=None, min_flavors=8, max_flavors=None, \
                             candidates=2048, max_tokens=None, tokenizer=None, budget=None, \
                             explain=False, top=5, compat=None, chunk_size=2048, label_cache=None, \
                             published_labels=False, device='auto', dtype='auto', threads=None, \
                             offline=False, allow_pickle=False)")]
    fn new(
        py: Python<'_>,
        clip: &str,
        mode: &str,
        captioner: Option<String>,
        labels: Option<PathBuf>,
        without: Vec<String>,
        allow: Option<PathBuf>,
        deny: Option<PathBuf>,
        min_flavors: usize,
        max_flavors: Option<usize>,
        candidates: usize,
        max_tokens: Option<usize>,
        tokenizer: Option<String>,
        budget: Option<f64>,
        explain: bool,
        top: usize,
        compat: Option<&str>,
        chunk_size: usize,
        label_cache: Option<PathBuf>,
        published_labels: bool,
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
    ) -> PyResult<Self> {
        let settings = Settings::new(device, dtype, threads, offline, allow_pickle)?;
        let arguments = settings.keywords(py)?;
        arguments.set_item("mode", mode)?;
        arguments.set_item("captioner", &captioner)?;
        arguments.set_item("labels", &labels)?;
        arguments.set_item("without", &without)?;
        arguments.set_item("allow", &allow)?;
        arguments.set_item("deny", &deny)?;
        arguments.set_item("min_flavors", min_flavors)?;
        arguments.set_item("max_flavors", max_flavors)?;
        arguments.set_item("candidates", candidates)?;
        arguments.set_item("max_tokens", max_tokens)?;
        arguments.set_item("tokenizer", &tokenizer)?;
        arguments.set_item("budget", budget)?;
        arguments.set_item("explain", explain)?;
        arguments.set_item("top", top)?;
        arguments.set_item("compat", compat)?;
        arguments.set_item("chunk_size", chunk_size)?;
        arguments.set_item("label_cache", &label_cache)?;
        arguments.set_item("published_labels", published_labels)?;

        let known = MODES.map(|(name, _)| name);
        let of_mode = MODES.into_iter().find(|(name, _)| *name == mode);
        let (mode_name, mode) = of_mode.ok_or_else(|| one_of("mode", mode, &known))?;
        let behaviour = match compat {
            None => Behaviour::Fixed,
            Some("0.6.0") => Behaviour::Compat060,
            Some(other) => return Err(one_of("compat", other, &["0.6.0"])),
        };
        let is_changed = !without.is_empty()
            || allow.is_some()
            || deny.is_some()
            || max_tokens.is_some()
            || budget.is_some();
        let refuse = |message: &str| Err(PyValueError::new_err(message.to_owned()));
        if compat.is_some() && is_changed {
            return refuse("compat does not go with without, allow, deny, max_tokens or budget");
        }
        if tokenizer.is_some() && max_tokens.is_none() {
            return refuse("tokenizer counts for max_tokens, which is not given");
        }
        if published_labels && labels.is_some() {
            return refuse("published_labels are those of the default lists; labels were given");
        }
        if candidates == 0 || chunk_size == 0 || max_tokens.is_some_and(|most| most < 3) {
            return refuse("candidates and chunk_size begin at 1, max_tokens at 3");
        }
        let time = budget.map(Duration::try_from_secs_f64).transpose();
        let time = time.map_err(|error| PyValueError::new_err(format!("budget: {error}")))?;
        let options = InterrogateOptions {
            min_flavors,
            max_flavors,
            candidates,
            time,
            explain,
            top,
            chunk_size,
            ..InterrogateOptions::new(mode, behaviour)
        };
        let choice = Choice {
            clip: clip.to_owned(),
            captioner: captioner.filter(|_| mode.takes_caption()),
            labels,
            without,
            allow,
            deny,
            label_cache,
            published: published_labels || compat.is_some(),
            max_tokens,
            tokenizer,
        };
        let inner = settings.load(py, move |hub, compute, caller| {
            choice.load(hub, compute, caller, (mode_name, options))
        })?;
        Ok(Self {
            inner: Arc::new(inner),
            arguments: arguments.unbind(),
            clip: clip.to_owned(),
            threads,
        })
    }

    /// The prompt of each picture, or its labels in analyze.
    ///
    /// Args:
    ///     images: One picture or an iterable of pictures, as for Predictor.predict.
    ///     caption: What all prompts begin with, in place of a captioner's words; "" for nothing.
    ///     batch_size: Pictures that are worked on together, from 1 to 4096; no result depends on it.
    ///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
    ///
    /// Returns:
    ///     An Interrogation for each picture, or a Failure in its place; for one picture not in a list.
    ///
    /// Raises:
    ///     TypeError: `images` is no picture and no iterable.
    #[pyo3(signature = (images, *, caption=None, batch_size=16, progress=None))]
    fn interrogate<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        caption: Option<String>,
        batch_size: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch_size = batch(batch_size)?.get();
        let mut served = Served::of(images, progress)?;
        let inner = Arc::clone(&self.inner);
        let work = move |caller: &Caller| {
            caller.for_each(batch_size, |sources| {
                let opening = match (&caption, &inner.captioner) {
                    (Some(caption), _) => Opening::Text(caption),
                    (None, Some(captioner)) => Opening::Captioner(captioner),
                    (None, None) => Opening::None,
                };
                let limits = Limits::default();
                Ok(inner
                    .interrogator
                    .interrogate_sources(sources, &limits, opening))
            })
        };
        let found = call(py, self.threads, &mut served, work)?;
        one_or_list(py, served.pictures.as_ref(), found, |py, one| {
            done(py, one, |py, path, found| {
                self.inner.object(py, path, found)
            })
        })
    }

    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let arguments = PyTuple::new(py, [&self.clip])?;
        Ok((arguments, self.arguments.bind(py).copy()?))
    }

    fn __repr__(&self) -> String {
        format!(
            "unprompt.Interrogator({:?}, mode={:?})",
            self.clip, self.inner.mode
        )
    }
}

/// Which models and labels are loaded.
struct Choice {
    clip: String,
    captioner: Option<String>,
    labels: Option<PathBuf>,
    without: Vec<String>,
    allow: Option<PathBuf>,
    deny: Option<PathBuf>,
    label_cache: Option<PathBuf>,
    published: bool,
    max_tokens: Option<usize>,
    tokenizer: Option<String>,
}

impl Choice {
    fn load(
        self,
        hub: &Hub,
        compute: &unprompt::Compute,
        caller: &Caller,
        (mode, mut options): (&'static str, InterrogateOptions),
    ) -> Result<Loaded, Failed> {
        let captioner = match &self.captioner {
            Some(model) => Some(unprompt::Captioner::load(hub, model, compute, caller)?.1),
            None => None,
        };
        options.budget = match (self.max_tokens, &self.tokenizer) {
            (None, _) => TokenBudget::of_context(),
            (Some(limit), None) => TokenBudget::of_tokens(limit),
            (Some(limit), Some(model)) => {
                TokenBudget::counted_by(limit, token_counter(hub, model, limit, caller)?)
            }
        };
        let mut policy = LabelPolicy::default();
        if let Some(file) = &self.allow {
            policy = policy.allow(file)?;
        }
        if let Some(file) = &self.deny {
            policy = policy.deny(file)?;
        }
        let labels = LabelChoice {
            folder: self.labels,
            without: self.without,
            policy,
            cache: self.label_cache,
            published: self.published,
        };
        let is_timed = options.time.is_some();
        let (_, interrogator) =
            PictureInterrogator::load(hub, &self.clip, &labels, options, compute, caller, caller)?;
        Ok(Loaded {
            interrogator,
            captioner,
            mode,
            is_timed,
        })
    }
}

impl Loaded {
    fn object<'py>(
        &self,
        py: Python<'py>,
        path: String,
        of: Captioned,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Captioned { found, caption } = of;
        let is_captioned = !matches!(self.mode, "negative" | "analyze");
        let label =
            |ranked: RankedLabel| object(py, "RankedLabel", (ranked.label, ranked.similarity));
        let tables = match found.tables {
            Some(tables) => {
                let dict = PyDict::new(py);
                for (name, labels) in tables {
                    dict.set_item(name, tuple(py, labels, label)?)?;
                }
                Some(dict)
            }
            None => None,
        };
        let contribution =
            |of: Contribution| object(py, "Contribution", (of.phrase, of.contribution));
        let explain = found.contributions;
        let explain = explain
            .map(|all| tuple(py, all, contribution))
            .transpose()?;
        let fields = (
            path,
            self.mode,
            found.prompt,
            caption.filter(|caption| is_captioned && !caption.is_empty()),
            found.similarity,
            explain,
            tables,
            self.is_timed.then_some(found.complete),
        );
        object(py, "Interrogation", fields)
    }
}
