//! `read_metadata`, `write_metadata`, `strip_metadata`.

use crate::{
    call::{Caller, Served, call},
    pictures::Pictures,
    results::{done, object, one_or_list},
    settings::one_of,
};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyTuple};
use rayon::prelude::*;
use std::{fs, path::Path};
use unprompt::{
    Source,
    image::Limits,
    metadata::{
        Metadata, read,
        write::{Form, strip, write},
    },
};
use unprompt_files::replace;

/// Files that are read or written between two looks at the calling thread.
const AT_ONCE: usize = 64;

/// The prompt that each picture carries, if any.
///
/// Args:
///     images: One picture or an iterable of pictures, as for Predictor.predict; files of AVIF, HEIC,
///         JPEG XL, MP4 and WebM too.
///     progress: A function of (done, total), or a bar with `update`, as tqdm's.
///
/// Returns:
///     A MetadataRecord for each picture, or a Failure in its place; for one picture not in a list.
///
/// Raises:
///     TypeError: `images` is no picture and no iterable.
#[pyfunction]
#[pyo3(signature = (images, *, progress=None))]
pub(crate) fn read_metadata<'py>(
    py: Python<'py>,
    images: &Bound<'py, PyAny>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut served = Served::of(images, progress)?;
    let one = |source: &Source| -> Result<Option<Metadata>, String> {
        let bytes = source.read(&source.limits(&Limits::default()));
        read(&bytes.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    };
    let work =
        move |caller: &Caller| caller.for_each(AT_ONCE, |sources| Ok(side_by_side(sources, one)));
    let found = call(py, None, &mut served, work)?;
    one_or_list(py, served.pictures.as_ref(), found, |py, one| {
        done(py, one, record)
    })
}

fn record<'py>(
    py: Python<'py>,
    path: String,
    found: Option<Metadata>,
) -> PyResult<Bound<'py, PyAny>> {
    let (generator, prompt, negative, settings) = match found {
        Some(found) => (
            found.generator.map(|generator| generator.as_str()),
            Some(found.prompt),
            found.negative_prompt,
            Some(found.settings),
        ),
        None => (None, None, None, None),
    };
    let settings = serde_json::to_string(&settings.unwrap_or_default())
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let settings = py.import("json")?.call_method1("loads", (settings,))?;
    let fields = (
        path,
        prompt.is_some(),
        generator,
        prompt,
        negative,
        settings,
    );
    object(py, "MetadataRecord", fields)
}

/// Puts a prompt into files; pixels stay untouched.
///
/// Args:
///     paths: One path or an iterable of paths of PNG, JPEG or WebP files, none of them a link.
///     prompt: The prompt.
///     form: `xmp`, `parameters` (what the web UI reads), `both`, or `auto`: both, but `parameters` only
///         where that loses no record of another program.
///
/// Returns:
///     A Written for each file, or a Failure in its place; for one path not in a list.
///
/// Raises:
///     TypeError: `paths` is no path and no iterable.
///     ValueError: The prompt is empty, or there is no such form.
#[pyfunction]
#[pyo3(signature = (paths, prompt, *, form="auto"))]
pub(crate) fn write_metadata<'py>(
    py: Python<'py>,
    paths: &Bound<'py, PyAny>,
    prompt: &str,
    form: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let form = match form {
        "auto" => Form::Auto,
        "both" => Form::Both,
        "xmp" => Form::Xmp,
        "parameters" => Form::Parameters,
        _ => return Err(one_of("form", form, &["auto", "both", "xmp", "parameters"])),
    };
    if prompt.trim().is_empty() {
        let message = "the prompt is empty; strip_metadata takes prompts out";
        return Err(PyValueError::new_err(message));
    }
    let prompt = prompt.to_owned();
    let wanted = prompt.clone();
    let change = move |bytes: &[u8]| {
        let written = write(bytes, &wanted, form).map_err(|error| error.to_string())?;
        let places = [
            (written.description, "xmp"),
            (written.parameters, "parameters"),
        ];
        let places: Vec<&str> = places
            .into_iter()
            .filter(|place| place.0)
            .map(|place| place.1)
            .collect();
        Ok((written.bytes, places))
    };
    change_files(py, paths, change, |path, places, changed| {
        let places = PyTuple::new(py, places)?;
        object(py, "Written", (path, places, &prompt, changed))
    })
}

/// Takes prompts, workflows and records of generators out of files; pixels stay untouched.
///
/// Args:
///     paths: One path or an iterable of paths of PNG, JPEG or WebP files, none of them a link.
///
/// Returns:
///     A Stripped for each file, or a Failure in its place, also where a prompt is hidden in the pixels;
///     for one path not in a list.
///
/// Raises:
///     TypeError: `paths` is no path and no iterable.
#[pyfunction]
#[pyo3(signature = (paths))]
pub(crate) fn strip_metadata<'py>(
    py: Python<'py>,
    paths: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let change = |bytes: &[u8]| {
        let found = strip(bytes).map_err(|error| error.to_string())?;
        Ok((found.bytes, found.in_pixels))
    };
    change_files(py, paths, change, |path, in_pixels, changed| {
        if in_pixels {
            let error = "the texts are without prompts, but one is hidden in the pixels, which are \
                never touched: save the picture as a JPEG, or without its lowest bits";
            return object(py, "Failure", (path, error));
        }
        object(py, "Stripped", (path, changed))
    })
}

/// Changes files by what `change` makes of their bytes, and tells by `object` what became of them.
fn change_files<'py, R: Send + 'static>(
    py: Python<'py>,
    paths: &Bound<'py, PyAny>,
    change: impl Fn(&[u8]) -> Result<(Vec<u8>, R), String> + Send + Sync + 'static,
    object: impl Fn(String, R, bool) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut served = Served {
        pictures: Some(Pictures::new(paths)?),
        progress: None,
    };
    let one = move |source: &Source| -> Result<(R, bool), String> {
        let Source::File(path) = source else {
            return Err("only files are changed, and this is none: name its path".into());
        };
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            return Err("a link; files are changed only where they are named themselves".into());
        }
        let bytes = source.read(&Limits::default());
        let bytes = bytes.map_err(|error| error.to_string())?;
        let (after, told) = change(&bytes)?;
        let is_changed = after != bytes;
        if is_changed {
            put(path, &bytes, &after)?;
        }
        Ok((told, is_changed))
    };
    let work =
        move |caller: &Caller| caller.for_each(AT_ONCE, |sources| Ok(side_by_side(sources, &one)));
    let found = call(py, None, &mut served, work)?;
    one_or_list(py, served.pictures.as_ref(), found, |py, one| {
        done(py, one, |_, path, (told, changed)| {
            object(path, told, changed)
        })
    })
}

/// Replaces a file that is still what was read.
fn put(path: &Path, before: &[u8], after: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot replace the file: {error}");
    if fs::metadata(path).map_err(failed)?.len() != before.len() as u64 {
        return Err("the file was changed by somebody else meanwhile; it is left as it is".into());
    }
    replace(path, after).map_err(failed)
}

fn side_by_side<R: Send, E: Send>(
    sources: &[Source],
    one: impl Fn(&Source) -> Result<R, E> + Send + Sync,
) -> Vec<Result<R, E>> {
    sources.par_iter().map(one).collect()
}
