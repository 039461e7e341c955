//! What every class is told when it is made: where to compute, in which numbers, what may be fetched.

use crate::call::{Caller, Failed, Served, call};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};
use std::num::NonZeroUsize;
use unprompt::{Compute, DeviceChoice, Dtype, Hub, HubOptions};

/// As many as the command line works on together.
const MOST_AT_ONCE: usize = 4096;

/// The arguments that all classes have, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    device: String,
    dtype: String,
    pub(crate) threads: Option<usize>,
    offline: bool,
    allow_pickle: bool,
}

impl Settings {
    /// Checks the arguments.
    ///
    /// # Errors
    /// `ValueError` for a device or a number type that there is not.
    pub(crate) fn new(
        device: &str,
        dtype: &str,
        threads: Option<usize>,
        offline: bool,
        allow_pickle: bool,
    ) -> PyResult<Self> {
        device_of(device)?;
        dtype_of(dtype)?;
        Ok(Self {
            device: device.to_owned(),
            dtype: dtype.to_owned(),
            threads,
            offline,
            allow_pickle,
        })
    }

    /// Where to compute, and in which numbers.
    pub(crate) fn compute(&self) -> PyResult<Compute> {
        let (device, dtype) = (device_of(&self.device)?, dtype_of(&self.dtype)?);
        Compute::new(device, dtype).map_err(|error| {
            let (device, dtype) = (&self.device, &self.dtype);
            PyValueError::new_err(format!("device={device:?}, dtype={dtype:?}: {error}"))
        })
    }

    /// Loads models, off the calling thread.
    ///
    /// # Errors
    /// `ValueError` where there is no such device, and what `load` fails with.
    pub(crate) fn load<T: Send + 'static>(
        &self,
        py: Python<'_>,
        load: impl FnOnce(&Hub, &Compute, &Caller) -> Result<T, Failed> + Send + 'static,
    ) -> PyResult<T> {
        let (settings, compute) = (self.clone(), self.compute()?);
        let work = move |caller: &Caller| load(&settings.hub()?, &compute, caller);
        call(py, self.threads, &mut Served::default(), work)
    }

    /// The hub that models come from.
    pub(crate) fn hub(&self) -> Result<Hub, Failed> {
        Ok(Hub::from_env(HubOptions {
            offline: self.offline,
            allow_pickle: self.allow_pickle,
            ..HubOptions::default()
        })?)
    }

    /// As keyword arguments, to make the same object again in another process.
    pub(crate) fn keywords<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        keywords.set_item("device", &self.device)?;
        keywords.set_item("dtype", &self.dtype)?;
        keywords.set_item("threads", self.threads)?;
        keywords.set_item("offline", self.offline)?;
        keywords.set_item("allow_pickle", self.allow_pickle)?;
        Ok(keywords)
    }
}

fn device_of(name: &str) -> PyResult<DeviceChoice> {
    match name {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda),
        _ => Err(one_of("device", name, &["auto", "cpu", "cuda"])),
    }
}

fn dtype_of(name: &str) -> PyResult<Option<Dtype>> {
    match name {
        "auto" => Ok(None),
        "f32" => Ok(Some(Dtype::F32)),
        "f16" => Ok(Some(Dtype::F16)),
        "bf16" => Ok(Some(Dtype::Bf16)),
        "int8" => Ok(Some(Dtype::Int8)),
        _ => Err(one_of(
            "dtype",
            name,
            &["auto", "f32", "f16", "bf16", "int8"],
        )),
    }
}

/// The error of an argument that has to be one of some words.
pub(crate) fn one_of(argument: &str, found: &str, known: &[&str]) -> PyErr {
    let known = known.join(", ");
    PyValueError::new_err(format!("{argument}={found:?}: one of {known} is needed"))
}

/// A number of attention heads, where one is told.
pub(crate) fn attention_heads(heads: Option<usize>) -> PyResult<Option<usize>> {
    match heads {
        Some(heads) if !(1..=MOST_AT_ONCE).contains(&heads) => {
            let message = format!("heads={heads}: from 1 to {MOST_AT_ONCE} can be asked for");
            Err(PyValueError::new_err(message))
        }
        heads => Ok(heads),
    }
}

/// Checks a number of pictures or texts that are worked on together.
///
/// # Errors
/// `ValueError` for none, or more than 4,096.
pub(crate) fn batch(size: usize) -> PyResult<NonZeroUsize> {
    let refused = || {
        let message = format!("batch_size={size}: from 1 to {MOST_AT_ONCE} can be asked for");
        PyValueError::new_err(message)
    };
    NonZeroUsize::new(size)
        .filter(|size| size.get() <= MOST_AT_ONCE)
        .ok_or_else(refused)
}
