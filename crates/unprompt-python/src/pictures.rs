//! What Python calls a picture, as a source of the engine.

use crate::UnpromptError;
use numpy::{PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods, ndarray::ArrayViewD};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyIterator, PyMapping, PyString},
};
use std::path::PathBuf;
use unprompt::{Source, image::Limits, sources};

/// What is said of what is no picture.
const NEEDED: &str = "a path, the bytes of a file, a Pillow image, or a uint8 array of height, width \
    and 1, 3 or 4 channels is needed";

/// The pictures below folders, as the command line finds them: every file that is a picture or may be
/// one, sorted by path within its folder.
///
/// A path that is a file is itself. Left out of folders are names that start with a dot, and what is
/// plainly no picture: texts, tables.
///
/// Args:
///     *paths: Files and folders.
///
/// Returns:
///     Their paths, in order.
///
/// Raises:
///     UnpromptError: A path does not exist, or a folder holds no picture.
#[pyfunction]
#[pyo3(signature = (*paths))]
pub(crate) fn pictures(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let found = py.detach(|| sources(&paths));
    let found = found.map_err(|error| UnpromptError::new_err(error.to_string()))?;
    let path = py.import("pathlib")?.getattr("Path")?;
    let paths = found.iter().map(|source| path.call1((source.path(),)));
    paths.collect()
}

/// One picture, or many that are taken one after the other.
pub(crate) struct Pictures<'py> {
    rest: Rest<'py>,
    taken: usize,
    total: Option<usize>,
}

enum Rest<'py> {
    One(Option<Bound<'py, PyAny>>),
    Many(Bound<'py, PyIterator>),
}

impl<'py> Pictures<'py> {
    /// Takes an argument for one picture, or for an iterable of such.
    ///
    /// # Errors
    /// `TypeError` for what is neither.
    pub(crate) fn new(argument: &Bound<'py, PyAny>) -> PyResult<Self> {
        let one = |argument: &Bound<'py, PyAny>| Self {
            rest: Rest::One(Some(argument.clone())),
            taken: 0,
            total: Some(1),
        };
        if is_picture(argument)? {
            return Ok(one(argument));
        }
        let refuse = || {
            let kind = kind_of(argument);
            PyTypeError::new_err(format!(
                "{kind} is no picture and no iterable of pictures: {NEEDED}"
            ))
        };
        if argument.cast::<PyMapping>().is_ok() {
            return Err(refuse());
        }
        let total = argument.len().ok();
        Ok(Self {
            rest: Rest::Many(argument.try_iter().map_err(|_| refuse())?),
            taken: 0,
            total,
        })
    }

    /// Whether it is one picture, whose result stands alone.
    pub(crate) fn is_one(&self) -> bool {
        matches!(self.rest, Rest::One(_))
    }

    /// How many there are, where that is known.
    pub(crate) fn total(&self) -> Option<usize> {
        self.total
    }

    /// The next ones, at most so many; none at the end.
    ///
    /// # Errors
    /// What the iterator raises.
    pub(crate) fn next(&mut self, most: usize) -> PyResult<Vec<Source>> {
        let mut batch = Vec::new();
        while batch.len() < most {
            let (picture, name) = match &mut self.rest {
                Rest::One(picture) => (picture.take(), "image".to_owned()),
                Rest::Many(pictures) => {
                    let name = format!("images[{}]", self.taken);
                    (pictures.next().transpose()?, name)
                }
            };
            let Some(picture) = picture else { break };
            self.taken += 1;
            batch.push(source(&picture, name));
        }
        Ok(batch)
    }
}

/// Whether an argument is one picture; what is in it is looked at later.
fn is_picture(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(is_path(object)? || is_bytes(object) || is_pillow(object)? || is_one_array(object)?)
}

fn is_path(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.is_instance_of::<PyString>() || object.hasattr("__fspath__")?)
}

fn is_bytes(object: &Bound<'_, PyAny>) -> bool {
    object.extract::<PyBackedBytes>().is_ok()
}

/// Told by what it has, so that Pillow need not be there.
fn is_pillow(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    for name in ["mode", "size", "tobytes", "convert"] {
        if !object.hasattr(name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether it is an array that is not a batch of arrays.
fn is_one_array(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // Told by its attribute first: numpy is slow to load, and may not be needed.
    if !object.hasattr("__array_interface__")? {
        return Ok(false);
    }
    let array = object.cast::<PyUntypedArray>();
    Ok(array.is_ok_and(|array| array.ndim() < 4))
}

fn kind_of(object: &Bound<'_, PyAny>) -> String {
    let name = object.get_type().fully_qualified_name();
    name.map_or_else(|_| "this object".to_owned(), |name| name.to_string())
}

/// A picture as the engine takes it. What is wrong with it becomes a source that fails.
fn source(object: &Bound<'_, PyAny>, name: String) -> Source {
    match read(object, &name) {
        Ok(source) => source,
        Err(error) => Source::Unreadable(name.into(), error.value(object.py()).to_string()),
    }
}

fn read(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Source> {
    if is_path(object)? {
        return Ok(Source::File(object.extract()?));
    }
    if let Ok(bytes) = object.extract::<PyBackedBytes>() {
        // Refused before it is copied.
        Limits::default()
            .check_encoded(bytes.len())
            .map_err(refused)?;
        return Ok(Source::Memory(name.into(), (*bytes).into()));
    }
    if is_pillow(object)? {
        return of_pillow(object, name);
    }
    if let Ok(array) = object.cast::<PyUntypedArray>() {
        return Ok(Source::Pixels(name.into(), of_array(array)?));
    }
    let kind = kind_of(object);
    Err(PyTypeError::new_err(format!(
        "{kind} is no picture: {NEEDED}"
    )))
}

/// What a Pillow image becomes: a PNG with the same pixels, and with the texts that it carries.
fn of_pillow(image: &Bound<'_, PyAny>, name: &str) -> PyResult<Source> {
    let (width, height): (u64, u64) = image.getattr("size")?.extract()?;
    check_size(width, height)?;
    let module = image.py().import("unprompt._pillow")?;
    let parts = module.call_method1("parts", (image,))?;
    if let Ok(png) = parts.extract::<PyBackedBytes>() {
        return Ok(Source::Pixels(name.into(), png.to_vec()));
    }
    let (channels, pixels, texts, exif): (
        usize,
        PyBackedBytes,
        Vec<(String, String)>,
        Option<PyBackedBytes>,
    ) = parts.extract()?;
    let size = (width as u32, height as u32);
    let mut png = Png::new(size, channels, pixels.len())?;
    for (keyword, text) in texts {
        png.add_text(keyword, text);
    }
    if let Some(exif) = exif {
        png.info.exif_metadata = Some(exif.to_vec().into());
    }
    Ok(Source::Pixels(name.into(), png.write(&pixels)?))
}

/// An array of pixels as a PNG.
fn of_array(array: &Bound<'_, PyUntypedArray>) -> PyResult<Vec<u8>> {
    let shape = array.shape();
    let (height, width, channels) = match *shape {
        [height, width] => (height, width, 1),
        [height, width, channels @ (1 | 3 | 4)] => (height, width, channels),
        _ => {
            let message = format!("an array of shape {shape:?} is no picture: {NEEDED}");
            return Err(PyValueError::new_err(message));
        }
    };
    check_size(width as u64, height as u64)?;
    let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, u8>>() else {
        let message = format!(
            "an array of {} is no picture: uint8 from 0 to 255 is needed, as by \
             `(array * 255).round().astype(\"uint8\")` of numbers from 0 to 1",
            array.dtype()
        );
        return Err(PyTypeError::new_err(message));
    };
    let png = Png::new((width as u32, height as u32), channels, array.len())?;
    match array.as_slice() {
        // A slice is whatever lies together, also column by column.
        Ok(pixels) if array.is_c_contiguous() => png.write(pixels),
        _ => {
            let view: ArrayViewD<'_, u8> = array.as_array();
            png.write(&view.iter().copied().collect::<Vec<u8>>())
        }
    }
}

/// Refuses a picture that is too large before its pixels are copied, as a file of that size is.
fn check_size(width: u64, height: u64) -> PyResult<()> {
    let checked = Limits::default().check_pixels(width, height, 4);
    checked.map(|_| ()).map_err(refused)
}

fn refused(error: impl ToString) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A PNG without compression, which takes the same way through the engine as any file.
struct Png {
    info: png::Info<'static>,
    capacity: usize,
}

impl Png {
    fn new((width, height): (u32, u32), channels: usize, bytes: usize) -> PyResult<Self> {
        let mut info = png::Info::with_size(width, height);
        info.bit_depth = png::BitDepth::Eight;
        info.color_type = match channels {
            1 => png::ColorType::Grayscale,
            2 => png::ColorType::GrayscaleAlpha,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        };
        if bytes as u64 != u64::from(width) * u64::from(height) * channels as u64 {
            let message =
                format!("{bytes} bytes are not {width} x {height} pixels of {channels} channels");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self {
            info,
            capacity: bytes + bytes / 64 + 1024,
        })
    }

    /// A text, if PNG allows its keyword.
    fn add_text(&mut self, keyword: String, text: String) {
        let allowed = (1..80).contains(&keyword.chars().count())
            && keyword
                .chars()
                .all(|c| matches!(c, ' '..='~' | '\u{a1}'..='\u{ff}'));
        if allowed {
            let chunk = png::text_metadata::ITXtChunk::new(keyword, text);
            self.info.utf8_text.push(chunk);
        }
    }

    fn write(self, pixels: &[u8]) -> PyResult<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.capacity);
        let write = |bytes: &mut Vec<u8>| -> Result<(), png::EncodingError> {
            let mut encoder = png::Encoder::with_info(bytes, self.info)?;
            encoder.set_compression(png::Compression::NoCompression);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(pixels)?;
            writer.finish()
        };
        write(&mut bytes).map_err(refused)?;
        Ok(bytes)
    }
}
