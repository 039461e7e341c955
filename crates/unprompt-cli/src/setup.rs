//! What the flags that every command shares mean: threads, device, numbers, hub.

use crate::arguments::{Common, Device, Precision};
use anyhow::{Context, Result, bail};
use unprompt::{Compute, DeviceChoice, Dtype, Hub, HubOptions, image::set_memory};

/// Far more than help anywhere; tens of thousands would take minutes to start.
const MOST_THREADS: usize = 1024;

/// What pictures may take in any case: the largest within the limits needs about as much.
const LEAST_MEMORY: u64 = 2 << 30;
/// A machine that does not tell how much is free.
const USUAL_MEMORY: u64 = 4 << 30;

/// Checks what every command shares and sets the number of threads.
pub(crate) fn prepare(common: &Common) -> Result<()> {
    compute(common)?;
    set_memory(common.memory.unwrap_or_else(memory_of_machine));
    if let Some(threads) = common.threads {
        if threads == 0 || threads > MOST_THREADS {
            bail!("--threads {threads}: from 1 to {MOST_THREADS} can be asked for");
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .with_context(|| format!("cannot start {threads} threads"))?;
    }
    Ok(())
}

/// What pictures may take where nobody says it: half of what is free on the machine, or of what the
/// process may have, and never so little that a picture within the limits is refused.
fn memory_of_machine() -> u64 {
    (memory("MemAvailable:").unwrap_or(USUAL_MEMORY) / 2).max(LEAST_MEMORY)
}

/// Bytes of this row of the machine's memory, as Linux tells, or of what this process's control group may
/// have where that is less.
pub(crate) fn memory(row: &str) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo");
    let machine = machine
        .lines()
        .find_map(|line| line.strip_prefix(row))
        .and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map(|kib| kib << 10);
    let group = read("/sys/fs/cgroup/memory.max").trim().parse::<u64>().ok();
    [machine, group].into_iter().flatten().min()
}

/// Where to compute, and in which numbers.
pub(crate) fn compute(common: &Common) -> Result<Compute> {
    let device = match common.device {
        Device::Auto => DeviceChoice::Auto,
        Device::Cpu => DeviceChoice::Cpu,
        Device::Cuda => DeviceChoice::Cuda,
    };
    let dtype = match common.dtype {
        Precision::Auto => None,
        Precision::F32 => Some(Dtype::F32),
        Precision::F16 => Some(Dtype::F16),
        Precision::Bf16 => Some(Dtype::Bf16),
        Precision::Int8 => Some(Dtype::Int8),
    };
    let Common {
        device: asked,
        dtype: numbers,
        ..
    } = common;
    let flags = || format!("--device {asked:?} --dtype {numbers:?}").to_lowercase();
    Compute::new(device, dtype).with_context(flags)
}

/// The hub as the flags ask for it.
pub(crate) fn hub(common: &Common) -> Result<Hub> {
    hub_with(common, HubOptions::default())
}

/// The same, which fetches nothing.
pub(crate) fn local_hub(common: &Common) -> Result<Hub> {
    let fetch = false;
    let options = HubOptions {
        fetch,
        ..HubOptions::default()
    };
    hub_with(common, options)
}

/// The same, which opens no socket, whatever the flags say.
pub(crate) fn offline_hub(common: &Common) -> Result<Hub> {
    let offline = true;
    let options = HubOptions {
        offline,
        ..HubOptions::default()
    };
    hub_with(common, options)
}

fn hub_with(common: &Common, options: HubOptions) -> Result<Hub> {
    Ok(Hub::from_env(HubOptions {
        offline: common.offline || options.offline,
        allow_pickle: common.allow_pickle,
        allow_remote: common.allow_remote,
        ..options
    })?)
}
