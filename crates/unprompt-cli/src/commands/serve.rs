//! `unprompt serve`: everything over HTTP.

use crate::{
    Finished,
    arguments::{Common, Serve},
    output::{complain, describe},
    progress::LoadingProgress,
    setup::{compute, hub, local_hub},
    signals,
};
use anyhow::{Context, Result, bail};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::TcpListener,
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::Duration,
};
use unprompt::{Compute, Hub, LabelChoice, Preset};
use unprompt_server::{
    ApiKey, Finish, Limits, LoadedModels, Log, ModelChoice, Models, ServeOptions, Server, Timeouts,
    Unloading, told_to_stop,
};

/// No key is longer.
const LONGEST_KEY: u64 = 64 << 10;
/// Models that are forgotten sooner are loaded most of the time.
const SHORTEST_IDLE: Duration = Duration::from_secs(1);
/// How much longer than a request the server waits for those that are under way when it is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

pub(crate) fn run(common: &Common, arguments: &Serve) -> Result<Finished> {
    let options = options(common, arguments)?;
    let models = models(common, arguments)?;
    let server = Server::new(models, options).context("cannot start a thread")?;
    // Everything is loaded and was used once: the port opens now.
    let address = (arguments.host, arguments.port);
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {} port {}", address.0, address.1))?;
    if !common.quiet {
        let address = listener.local_addr()?;
        complain(&format!("listening on http://{address}"));
    }
    // It answers what it has begun before it ends, and ends at once when it is told twice.
    signals::leave();
    Ok(match server.run(listener, told_to_stop())? {
        Finish::Whole => Finished::Whole,
        Finish::CutShort => {
            complain("stopped before every request was answered");
            Finished::WithFailures
        }
    })
}

/// The models, which are forgotten after a while if that is asked for.
fn models(common: &Common, arguments: &Serve) -> Result<Arc<dyn Models>> {
    let choice = choice(arguments);
    let progress = LoadingProgress::new(common.quiet);
    let (local, compute) = (local_hub(common)?, compute(common)?);
    let hub = hub(common)?;
    let first = || -> Result<Arc<dyn Models>> {
        Ok(Arc::new(load(&hub, &local, &choice, &compute, &progress)?))
    };
    let Some(idle) = arguments.idle_unload else {
        return first();
    };
    if idle < SHORTEST_IDLE {
        bail!("--idle-unload: {SHORTEST_IDLE:?} or more; each request would load everything again");
    }
    let again = {
        // What was fetched when the server started is here now: no request fetches anything.
        let (local, choice, compute) = (local.clone(), choice.clone(), compute.clone());
        move || -> Result<Arc<dyn Models>, String> {
            let progress = LoadingProgress::new(true);
            let loaded = load(&local, &local, &choice, &compute, &progress);
            Ok(Arc::new(loaded.map_err(|error| describe(&error))?))
        }
    };
    Ok(Unloading::new(idle, first, Box::new(again))?)
}

fn choice(arguments: &Serve) -> ModelChoice {
    ModelChoice {
        preset: arguments
            .preset
            .as_deref()
            .unwrap_or(Preset::DEFAULT)
            .to_owned(),
        text_encoder: arguments.text_encoder.clone(),
        image_encoder: arguments.image_encoder.clone(),
        image_encoder_heads: arguments.image_encoder_heads.map(usize::from),
        classifier: arguments.classifier.clone(),
        classifier_heads: arguments.classifier_heads.map(usize::from),
        captioner: arguments.captioner.clone(),
        clip: arguments.clip.clone(),
        labels: LabelChoice {
            folder: arguments.labels.clone(),
            cache: arguments.label_cache.clone(),
            ..LabelChoice::default()
        },
    }
}

fn load(
    hub: &Hub,
    local: &Hub,
    choice: &ModelChoice,
    compute: &Compute,
    progress: &LoadingProgress,
) -> Result<LoadedModels> {
    // On a thread of the pool, as every other command.
    let load =
        |_: &rayon::Scope<'_>| LoadedModels::load(hub, local, choice, compute, progress, progress);
    Ok(rayon::scope(load)?)
}

fn options(common: &Common, arguments: &Serve) -> Result<ServeOptions> {
    let api_key = api_key(arguments)?;
    let is_local = arguments.host.is_loopback();
    if !is_local && api_key.is_none() && !arguments.insecure {
        bail!(
            "--host {}: others can reach this address; set an API key in UNPROMPT_API_KEY or by --api-key-file, \
             or say --insecure",
            arguments.host
        );
    }
    let request = Duration::from_secs(arguments.request_timeout.into());
    let log: Log = Arc::new(|line| {
        // Where nobody reads the log there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{line}");
    });
    Ok(ServeOptions {
        limits: Limits {
            requests: arguments.max_requests as usize,
            pixels: u64::from(arguments.max_megapixels) << 20,
            pictures: arguments.max_pictures as usize,
            batch: NonZeroUsize::new(common.batch_size.into()).unwrap_or(NonZeroUsize::MIN),
            ..Limits::default()
        },
        timeouts: Timeouts {
            request,
            drain: request + DRAIN,
            ..Timeouts::default()
        },
        api_key,
        only_local_names: is_local,
        log: (!common.quiet).then_some(log),
    })
}

fn api_key(arguments: &Serve) -> Result<Option<ApiKey>> {
    let key = match (&arguments.api_key, &arguments.api_key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => {
            read_key(file).with_context(|| format!("--api-key-file {}", file.display()))?
        }
        (None, None) => return Ok(None),
    };
    let key = ApiKey::new(&key).map_err(anyhow::Error::msg)?;
    Ok(Some(key))
}

fn read_key(file: &Path) -> Result<String> {
    let mut key = String::new();
    File::open(file)?
        .take(LONGEST_KEY)
        .read_to_string(&mut key)?;
    Ok(key)
}
