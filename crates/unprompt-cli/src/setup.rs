//! What the flags that every command shares mean: threads, device, numbers, hub.

use crate::arguments::{Common, Device, Precision};
use anyhow::{Context, Result, bail};
use unprompt::{Compute, DeviceChoice, Dtype, Hub, HubOptions};

/// Far more than help anywhere; tens of thousands would take minutes to start.
const MOST_THREADS: usize = 1024;

/// Checks what every command shares and sets the number of threads.
pub(crate) fn prepare(common: &Common) -> Result<()> {
    compute(common)?;
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
