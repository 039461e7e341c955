//! Threads that compute.

use pyo3::{exceptions::PyValueError, prelude::*};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    collections::HashMap,
    mem,
    process::id,
    sync::{Arc, Mutex, PoisonError},
};

/// Far more than help anywhere; tens of thousands would take minutes to start.
const MOST_THREADS: usize = 1024;

/// The pools of a process, by their number of threads. A process that Python forked has none of its
/// parent's threads, and would wait for them for ever.
struct Pools {
    process: u32,
    by_threads: HashMap<usize, Arc<ThreadPool>>,
}

static POOLS: Mutex<Option<Pools>> = Mutex::new(None);

/// The pool with so many threads, one for each core if it is not said, shared by all that ask for as
/// many.
///
/// # Errors
/// `ValueError` for a number that makes no sense; `OSError` when no thread can be started.
pub(crate) fn pool(threads: Option<usize>) -> PyResult<Arc<ThreadPool>> {
    // 0 is the number of cores.
    let wanted = threads.unwrap_or(0);
    if threads == Some(0) || wanted > MOST_THREADS {
        let message = format!("threads={wanted}: from 1 to {MOST_THREADS} can be asked for");
        return Err(PyValueError::new_err(message));
    }
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if pools.as_ref().is_some_and(|pools| pools.process != id()) {
        // To drop a pool is to tell its threads, which are not here.
        mem::forget(pools.take());
    }
    let pools = pools.get_or_insert_with(|| Pools {
        process: id(),
        by_threads: HashMap::new(),
    });
    if let Some(pool) = pools.by_threads.get(&wanted) {
        return Ok(Arc::clone(pool));
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(wanted)
        .thread_name(|index| format!("unprompt-{index}"))
        .build()
        .map_err(|error| pyo3::exceptions::PyOSError::new_err(error.to_string()))?;
    let pool = Arc::new(pool);
    pools.by_threads.insert(wanted, Arc::clone(&pool));
    Ok(pool)
}
