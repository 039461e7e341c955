//! `unprompt doctor`: what this machine has, with the next step for each gap.

use crate::{
    Finished,
    arguments::Common,
    output::Output,
    records::{RecordWriter, TEXT_OR_JSON},
    setup::hub,
};
use anyhow::Result;
use serde::Serialize;
use std::{
    io::Write,
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use unprompt::{Hub, Preset, hub::megabytes};
use unprompt_files::{leftovers_in, temporary_in};

/// How long an unreachable hub is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Check {
    name: String,
    good: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<String>,
}

impl Check {
    fn good(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            good: true,
            found: found.into(),
            next_step: None,
        }
    }

    fn gap(name: &str, found: impl Into<String>, next_step: impl Into<String>) -> Self {
        let next_step = Some(next_step.into());
        Self {
            name: name.to_owned(),
            good: false,
            found: found.into(),
            next_step,
        }
    }
}

pub(crate) fn run(common: &Common) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let mut records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let hub = hub(common)?;
    for check in checks(&hub) {
        if !records.write_json(&check)? {
            let mark = if check.good { "ok " } else { "gap" };
            writeln!(records.raw(), "{mark} {:<14} {}", check.name, check.found)?;
            if let Some(step) = &check.next_step {
                writeln!(records.raw(), "{:19}next: {step}", "")?;
            }
        }
        records.flush()?;
    }
    records.finish()?;
    Ok(Finished::Whole)
}

fn checks(hub: &Hub) -> Vec<Check> {
    let environment = hub.environment();
    let mut checks = vec![
        Check::good("version", format!("unprompt {}", env!("CARGO_PKG_VERSION"))),
        processor(),
        Check::good("device", "cpu (this build has no other)"),
        cache("own cache", &environment.own_cache, "UNPROMPT_CACHE"),
        cache("hub cache", &environment.hub_cache, "HF_HUB_CACHE"),
    ];
    checks.push(leftovers(hub));
    checks.extend(models(hub));
    if hub.is_offline() {
        checks.push(Check::good("network", "not used: offline was asked for"));
        return checks;
    }
    checks.push(network(
        &environment.endpoint,
        &environment.shown_endpoint(),
    ));
    checks.push(python(hub));
    checks
}

fn processor() -> Check {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    #[cfg(target_arch = "x86_64")]
    let vectors = if is_x86_feature_detected!("avx512f") {
        "AVX-512"
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        "AVX2 and FMA"
    } else {
        return Check::gap(
            "processor",
            format!("{threads} threads, neither AVX2 nor AVX-512"),
            "results are the same, but slow; prefer a processor of 2013 or later",
        );
    };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = std::env::consts::ARCH;
    Check::good("processor", format!("{threads} threads, {vectors}"))
}

/// Whether files can be written in a cache folder, or in the nearest folder above it.
fn cache(name: &str, folder: &Path, variable: &str) -> Check {
    let shown = folder.display();
    let existing = folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(Path::new("."));
    match temporary_in(existing) {
        Ok(_) => Check::good(name, shown.to_string()),
        Err(error) => Check::gap(
            name,
            format!("{shown}: cannot write there: {error}"),
            format!("set {variable} to a folder that you may write in"),
        ),
    }
}

/// What killed runs have left in the caches and in the working folder.
fn leftovers(hub: &Hub) -> Check {
    let mut found = hub.leftovers();
    found.extend(leftovers_in(Path::new(".")));
    let Some(first) = found.first() else {
        return Check::good("leftovers", "none");
    };
    let bytes = found.iter().map(|leftover| leftover.bytes).sum();
    let others = match found.len() - 1 {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    Check::gap(
        "leftovers",
        format!(
            "{} left by runs that were killed: {}{others}",
            megabytes(bytes),
            first.path.display()
        ),
        "the next run that fetches the same model or writes in the same folder removes them; they \
         can be deleted at any time",
    )
}

fn models(hub: &Hub) -> Vec<Check> {
    let needed = Preset::load("lite");
    let needed = needed.as_ref().map(Preset::models).unwrap_or_default();
    let status = hub
        .list()
        .into_iter()
        .filter(|status| needed.contains(&status.name.as_str()));
    status
        .map(|status| {
            let name = &status.name;
            match status.path {
                Some(path) if status.installed => Check::good(name, path.display().to_string()),
                _ => Check::gap(
                    name,
                    format!(
                        "not here, {} to fetch; the default needs it only to embed a prompt that a file \
                         carries",
                        megabytes(status.download_bytes)
                    ),
                    format!("unprompt models pull {name}"),
                ),
            }
        })
        .collect()
}

/// Whether the hub's port can be reached. The look-up of a name cannot be timed out, so it runs
/// on a thread of its own.
fn network(endpoint: &str, shown: &str) -> Check {
    if shown.contains('@') {
        return Check::gap(
            "network",
            format!("hub {shown}: the address has a user name in it, which is refused"),
            "take it out of HF_ENDPOINT; a token goes into HF_TOKEN",
        );
    }
    let address = endpoint.split("://").last().unwrap_or(endpoint);
    let address = address.split('/').next().unwrap_or(address).to_owned();
    let default_port = if endpoint.starts_with("http://") {
        80
    } else {
        443
    };
    let address = match address.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => address,
        _ => format!("{address}:{default_port}"),
    };
    let (sender, receiver) = mpsc::channel();
    let target = address.clone();
    thread::spawn(move || {
        let reached = target.to_socket_addrs().and_then(|mut addresses| {
            let first = addresses.next();
            let first = first.ok_or_else(|| std::io::Error::other("the name has no address"))?;
            TcpStream::connect_timeout(&first, PATIENCE)
        });
        // The receiver is gone when patience ran out first.
        let _ = sender.send(reached.map(drop));
    });
    let gap = |why: String| {
        Check::gap(
            "network",
            format!("hub {shown} cannot be reached: {why}"),
            "all-MiniLM-L6-v2 also comes from a Python package; for others set \
             HF_ENDPOINT to a mirror or bring a bundle with `unprompt models import`",
        )
    };
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(())) => Check::good("network", format!("hub {shown}")),
        Ok(Err(error)) => gap(error.to_string()),
        Err(_) => gap(format!("no answer within {} seconds", PATIENCE.as_secs())),
    }
}

/// Whether there is a Python with pip, which brings the models that packages carry.
fn python(hub: &Hub) -> Check {
    for python in &hub.environment().python {
        let version = Command::new(python)
            .args(["-m", "pip", "--version"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        if let Ok(output) = version
            && output.status.success()
        {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text
                .split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ");
            return Check::good("python", format!("{} with {version}", python.display()));
        }
    }
    Check::gap(
        "python",
        "no Python with pip",
        "only fetching from packages needs it: install Python 3 with pip, or `unprompt models import`",
    )
}
