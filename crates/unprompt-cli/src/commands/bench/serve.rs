//! The server under load, beside FastAPI and uvicorn around the same models.

use super::{
    load::{Load, Loaded},
    peer::answer_of_peer,
    row::Row,
    subject::{ENCODER, PICTURES},
};
use crate::{
    arguments::{Bench, Common},
    output::{complain, describe},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use unprompt::{Hub, NoProgress, Preset, models::imagenet_labels};

const SCRIPT: &str = include_str!("../../../bench/serve.py");
/// The network that the script loads.
const NETWORK: &str = include_str!("../../../bench/predict.py");
/// A preset that does as much as the script.
const LABELS: &str = include_str!("../../../bench/labels.toml");
const CLASSIFIER: &str = "efficientnet-lite0";
/// Clients that ask at a time, each for the next picture as soon as it has an answer.
const CLIENTS: [(usize, &str); 3] = [(1, "1 client"), (8, "8 clients"), (64, "64 clients")];
/// How long each load lasts, and with `--quick`.
const SECONDS: u64 = 10;
const FEW_SECONDS: u64 = 1;

/// Measures ours with the default preset and with one that does as much as the peer, and the peer.
pub(super) fn serve(
    common: &Common,
    arguments: &Bench,
    hub: &Hub,
    folder: &Path,
) -> Result<Vec<Row>> {
    let program = std::env::current_exe()?;
    let threads = rayon::current_num_threads().to_string();
    let labels = folder.join("labels.toml");
    fs::write(&labels, LABELS)?;
    let ours = |preset: &str| {
        let mut command = Command::new(&program);
        command.args(["serve", "--offline", "--port", "0", "--threads", &threads]);
        command.args(["--preset", preset]);
        command
            .env_remove("UNPROMPT_API_KEY")
            .env_remove("UNPROMPT_HOST");
        command
    };
    let labels = labels.to_string_lossy().into_owned();
    let mut rows = Vec::new();
    let mut compared = Vec::new();
    for (preset, name) in [
        (Preset::DEFAULT, "unprompt lite"),
        (labels.as_str(), "unprompt"),
    ] {
        let server = Served::ours(ours(preset))?;
        compared = loads(common, arguments, name, &server)?;
        for (measurement, loaded) in &compared {
            rows.push(row(measurement, name, loaded));
        }
    }
    match peer(arguments, hub, &program, &threads, folder) {
        Ok((server, name)) => {
            let theirs = loads(common, arguments, &name, &server)?;
            for ((measurement, theirs), (_, ours)) in theirs.iter().zip(&compared) {
                rows.push(Row {
                    ours_to_this: Some(ours.median_ms / theirs.median_ms),
                    ..row(measurement, &name, theirs)
                });
            }
        }
        Err(error) => rows.push(Row::missing(
            "a server under load",
            "FastAPI, uvicorn",
            describe(&error),
        )),
    }
    Ok(rows)
}

fn row(measurement: &'static str, program: &str, loaded: &Loaded) -> Row {
    Row {
        p99_ms: Some(loaded.p99_ms),
        pictures_per_second: Some(loaded.per_second),
        ..Row::measured(measurement, program, loaded.median_ms)
    }
}

/// Every load, after a short one that warms everything.
fn loads(
    common: &Common,
    arguments: &Bench,
    name: &str,
    server: &Served,
) -> Result<Vec<(&'static str, Loaded)>> {
    let pictures: Vec<&[u8]> = PICTURES.iter().map(|(_, bytes)| *bytes).collect();
    let seconds = if arguments.quick {
        FEW_SECONDS
    } else {
        SECONDS
    };
    let load = |clients, seconds| {
        let address = server.address;
        let duration = Duration::from_secs(seconds);
        Load {
            address,
            clients,
            duration,
        }
        .run(&pictures)
    };
    load(8, 1)?;
    let mut found = Vec::new();
    for (clients, measurement) in CLIENTS {
        if !common.quiet {
            complain(&format!("{name}: {measurement}"));
        }
        found.push((measurement, load(clients, seconds)?));
    }
    Ok(found)
}

/// The peer, and what it is.
fn peer(
    arguments: &Bench,
    hub: &Hub,
    program: &Path,
    threads: &str,
    folder: &Path,
) -> Result<(Served, String)> {
    let script = folder.join("serve.py");
    fs::write(&script, SCRIPT)?;
    fs::write(folder.join("predict.py"), NETWORK)?;
    let resolved = hub.resolve(&CLASSIFIER.parse()?, &NoProgress)?;
    let weights = resolved.files.values().next();
    let weights = weights.context("the classifier has no file")?;
    // The same embeddings, so that nothing but serving differs.
    let (texts, embeddings) = (folder.join("texts.txt"), folder.join("embeddings.jsonl"));
    fs::write(&texts, imagenet_labels().join("\n"))?;
    let mut embed = Command::new(program);
    embed.args([
        "embed",
        "text",
        "--offline",
        "--quiet",
        "--format",
        "jsonl",
        "--model",
        ENCODER,
    ]);
    embed
        .arg("--file")
        .arg(&texts)
        .arg("--out")
        .arg(&embeddings);
    if !embed.status()?.success() {
        bail!("the labels cannot be embedded");
    }
    let mut command = Command::new(&arguments.python);
    command
        .arg(script)
        .arg(weights)
        .arg(&embeddings)
        .arg(threads);
    Served::peer(command)
}

/// A server that is killed in the end.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    /// Ours says on standard error where it listens.
    fn ours(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the server")?;
        let mut lines = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                bail!("the server did not start: {}", said.trim());
            }
            if let Some((_, address)) = line.trim().rsplit_once("listening on http://") {
                break address.parse()?;
            }
            said += &line;
        };
        // Its log is read, so that it need not wait, and is of no use.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        Ok(Self { child, address })
    }

    /// A peer says on standard output.
    fn peer(mut command: Command) -> Result<(Self, String)> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line)?;
        let mut served = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let hello: Value = serde_json::from_str(&line)
            .context("the peer did not start; run it by hand to see why")?;
        let hello = answer_of_peer(&hello)?;
        let port = hello["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok());
        served.address.set_port(port.context("no port")?);
        Ok((
            served,
            format!("FastAPI, {}", hello["peer"].as_str().unwrap_or_default()),
        ))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
