//! The Python package `unprompt`: the library's own types behind classes of Python.
//!
//! | file | what is in it |
//! |---|---|
//! | `call` | work off the calling thread, which meanwhile hears signals, logs, and feeds pictures |
//! | `pictures` | what Python calls a picture, as a source of the engine |
//! | `results` | records of the engine as the frozen classes of `unprompt/_results.py` |
//! | `settings` | the arguments that every class has: device, numbers, threads, hub |
//! | the others | one file a class of Python |
//!
//! Invariant: the worker never touches Python. A call that is interrupted returns at once; what it
//! began ends with its batch, and its results are dropped.
//!
//! Invariant: what is wrong with one picture is a `Failure` in its place; an exception concerns all.

mod call;
mod captioner;
mod classifier;
mod clip_interrogator;
mod encoders;
mod index;
mod interrogator;
mod metadata;
mod pictures;
mod pool;
mod predictor;
mod progress;
mod results;
mod score;
mod settings;

use mimalloc::MiMalloc;
use pyo3::{create_exception, exceptions::PyRuntimeError, prelude::*};

/// As in the command line: it keeps what one layer has freed for the next.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

create_exception!(
    unprompt,
    UnpromptError,
    PyRuntimeError,
    "A model, an index or a file that all pictures need cannot be had or is broken."
);

/// The compiled part of the package `unprompt`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("UnpromptError", module.py().get_type::<UnpromptError>())?;
    module.add_class::<captioner::Captioner>()?;
    module.add_class::<classifier::Classifier>()?;
    module.add_class::<clip_interrogator::ClipModel>()?;
    module.add_class::<clip_interrogator::LabelTable>()?;
    module.add_function(wrap_pyfunction!(clip_interrogator::clip_labels, module)?)?;
    module.add_function(wrap_pyfunction!(clip_interrogator::clip_models, module)?)?;
    module.add_class::<encoders::ImageEncoder>()?;
    module.add_class::<encoders::TextEncoder>()?;
    module.add_class::<index::Index>()?;
    module.add_class::<interrogator::Interrogator>()?;
    module.add_class::<predictor::Predictor>()?;
    module.add_function(wrap_pyfunction!(metadata::read_metadata, module)?)?;
    module.add_function(wrap_pyfunction!(metadata::write_metadata, module)?)?;
    module.add_function(wrap_pyfunction!(metadata::strip_metadata, module)?)?;
    module.add_function(wrap_pyfunction!(pictures::pictures, module)?)?;
    module.add_function(wrap_pyfunction!(score::score, module)?)?;
    Ok(())
}
