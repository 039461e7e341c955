//! Records of the engine as the frozen classes of `unprompt/_results.py`.

use crate::{call::Done, pictures::Pictures};
use numpy::PyArray1;
use pyo3::{
    call::PyCallArgs,
    prelude::*,
    sync::PyOnceLock,
    types::{PyList, PyModule, PyTuple},
};
use unprompt::{
    Evidence, FailureRecord, MemberRecord, Outcome, PredictionRecord, PromptSource, Receipt,
};

static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// An object of one of the classes, from its fields in their order.
pub(crate) fn object<'py>(
    py: Python<'py>,
    class: &str,
    fields: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let import = || Ok::<_, PyErr>(py.import("unprompt._results")?.unbind());
    let classes = CLASSES.get_or_try_init(py, import)?.bind(py);
    classes.getattr(class)?.call1(fields)
}

/// The result of one picture by itself, or the list of the results of many.
pub(crate) fn one_or_list<'py, R>(
    py: Python<'py>,
    pictures: Option<&Pictures<'_>>,
    results: Vec<R>,
    object: impl Fn(Python<'py>, R) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut results = results.into_iter();
    if pictures.is_some_and(Pictures::is_one)
        && let Some(result) = results.next()
    {
        return object(py, result);
    }
    let list = PyList::empty(py);
    for result in results {
        list.append(object(py, result)?)?;
    }
    Ok(list.into_any())
}

/// A picture's result, or its failure.
pub(crate) fn done<'py, R>(
    py: Python<'py>,
    done: Done<R>,
    object: impl Fn(Python<'py>, String, R) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match done.result {
        Ok(result) => object(py, done.path, result),
        Err(error) => failure(py, &done.path, &error),
    }
}

pub(crate) fn failure<'py>(
    py: Python<'py>,
    path: &str,
    error: &str,
) -> PyResult<Bound<'py, PyAny>> {
    object(py, "Failure", (path, error))
}

/// The numbers of a vector, which move into the array.
pub(crate) fn array(py: Python<'_>, vector: Vec<f32>) -> Bound<'_, PyArray1<f32>> {
    PyArray1::from_vec(py, vector)
}

/// The same for a record, which does not change.
pub(crate) fn frozen_array(py: Python<'_>, vector: Vec<f32>) -> PyResult<Bound<'_, PyArray1<f32>>> {
    let array = array(py, vector);
    array.getattr("flags")?.setattr("writeable", false)?;
    Ok(array)
}

/// A tuple of objects.
pub(crate) fn tuple<'py, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T>,
    object: impl Fn(T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let items: PyResult<Vec<_>> = items.into_iter().map(object).collect();
    PyTuple::new(py, items?)
}

pub(crate) fn outcome<'py>(py: Python<'py>, outcome: Outcome) -> PyResult<Bound<'py, PyAny>> {
    match outcome {
        Outcome::Prediction(record) => prediction(py, *record),
        Outcome::Failure(FailureRecord { path, error }) => failure(py, &path, &error),
    }
}

fn prediction<'py>(py: Python<'py>, record: PredictionRecord) -> PyResult<Bound<'py, PyAny>> {
    let member = |member: MemberRecord| {
        let embedding = frozen_array(py, member.embedding)?;
        object(
            py,
            "Member",
            (member.name, member.weight, member.text, embedding),
        )
    };
    let evidence = |found: Evidence| object(py, "Evidence", (found.prompt, found.similarity));
    let source = match record.source {
        PromptSource::Metadata => "metadata",
        PromptSource::Predicted => "predicted",
    };
    let embedding = record.embedding.map(|vector| frozen_array(py, vector));
    let fields = (
        record.path,
        record.prompt,
        source,
        embedding.transpose()?,
        record.embedding_error,
        tuple(py, record.members, member)?,
        tuple(py, record.evidence, evidence)?,
        record.expected_score,
        record.metadata_error,
        record.preset,
        record.elapsed_ms,
        receipt(py, record.receipt)?,
    );
    object(py, "Prediction", fields)
}

pub(crate) fn receipt<'py>(py: Python<'py>, receipt: Receipt) -> PyResult<Bound<'py, PyAny>> {
    let models = tuple(py, receipt.models, |model| {
        let fields = (model.name, model.revision, model.sha256, model.dtype);
        object(py, "ModelReceipt", fields)
    })?;
    object(py, "Receipt", (receipt.version, receipt.dtype, models))
}
