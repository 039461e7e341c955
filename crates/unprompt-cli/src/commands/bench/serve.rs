//! The server under load, beside FastAPI and uvicorn around the same models.

use super::{
    load::{Load, Loaded},
    peer::answer_of_peer,
    row::Row,
    subject::PICTURES,
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
use unprompt::Preset;

const SCRIPT: &str = include_str!("../../../bench/serve.py");
/// The network that the script loads.
const NETWORK: &str = include_str!("../../../bench/predict.py");
/// Clients that ask at a time, each for the next picture as soon as it has an answer.
const CLIENTS: [(usize, &str); 3] = [(1, "1 client"), (8, "8 clients"), (64, "64 clients")];
/// How long each load lasts, and with `--quick`.
const SECONDS: u64 = 10;
const FEW_SECONDS: u64 = 1;

/// Measures ours with the default preset, and the peer, which does the same.
pub(super) fn serve(common: &Common, arguments: &Bench, folder: &Path) -> Result<Vec<Row>> {
    let threads = rayon::current_num_threads().to_string();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--offline", "--port", "0", "--threads", &threads]);
    command.args(["--preset", Preset::DEFAULT]);
    command
        .env_remove("UNPROMPT_API_KEY")
        .env_remove("UNPROMPT_HOST");
    let ours = loads(common, arguments, "unprompt", &Served::ours(command)?)?;
    let mut rows: Vec<Row> = ours
        .iter()
        .map(|(measurement, loaded)| row(measurement, "unprompt", loaded))
        .collect();
    match peer(arguments, &threads, folder) {
        Ok((server, name)) => {
            let theirs = loads(common, arguments, &name, &server)?;
            for ((measurement, theirs), (_, ours)) in theirs.iter().zip(&ours) {
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
fn peer(arguments: &Bench, threads: &str, folder: &Path) -> Result<(Served, String)> {
    let script = folder.join("serve.py");
    fs::write(&script, SCRIPT)?;
    fs::write(folder.join("predict.py"), NETWORK)?;
    for (name, bytes) in unprompt_eye::files() {
        fs::write(folder.join(name), bytes)?;
    }
    let mut command = Command::new(&arguments.python);
    command.arg(script).arg(folder).arg(threads);
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
