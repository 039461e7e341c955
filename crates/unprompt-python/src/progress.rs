//! Progress as Python hears it.

use pyo3::{exceptions::PyTypeError, prelude::*};

/// A bar with tqdm's `update`, or a function of what is done and of the total.
pub(crate) struct Progress<'py> {
    hears: Hears<'py>,
    done: usize,
    total: Option<usize>,
}

enum Hears<'py> {
    Bar(Bound<'py, PyAny>),
    Call(Bound<'py, PyAny>),
}

impl<'py> Progress<'py> {
    /// Hears of `total` pictures, where it is known how many there are.
    ///
    /// # Errors
    /// `TypeError` for what can hear of nothing.
    pub(crate) fn new(hears: Bound<'py, PyAny>, total: Option<usize>) -> PyResult<Self> {
        let hears = if hears.hasattr("update")? {
            Hears::Bar(hears)
        } else if hears.is_callable() {
            Hears::Call(hears)
        } else {
            let message = "progress: a function of (done, total) is needed, or a bar with `update`, as tqdm's";
            return Err(PyTypeError::new_err(message));
        };
        let mut progress = Self {
            hears,
            done: 0,
            total: None,
        };
        if let Some(total) = total {
            progress.set_total(total)?;
        }
        Ok(progress)
    }

    /// A bar that was made without a total is told it.
    pub(crate) fn set_total(&mut self, total: usize) -> PyResult<()> {
        self.total = Some(total);
        if let Hears::Bar(bar) = &self.hears
            && bar.getattr("total").is_ok_and(|known| known.is_none())
        {
            bar.setattr("total", total)?;
        }
        Ok(())
    }

    pub(crate) fn advance(&mut self, by: usize) -> PyResult<()> {
        self.done += by;
        match &self.hears {
            Hears::Bar(bar) => bar.call_method1("update", (by,))?,
            Hears::Call(function) => function.call1((self.done, self.total))?,
        };
        Ok(())
    }
}
