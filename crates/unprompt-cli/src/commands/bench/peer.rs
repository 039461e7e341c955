//! Running Python peers.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a command prints on standard output, as JSON.
pub(super) fn output_of(mut command: Command) -> Result<Value> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        bail!("{program} ended with {}: {last}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{program} printed no JSON"))
}

/// A peer's answer, or the command that would install it.
pub(super) fn answer_of_peer(answer: &Value) -> Result<Value> {
    match answer["missing"].as_str() {
        Some(install) => bail!("{install}"),
        None => Ok(answer.clone()),
    }
}

/// Threads of the engine that ran before may still be spinning.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

/// What a process was seen to do.
pub(super) struct Watched {
    /// The first line of its output.
    pub(super) answer: Value,
    /// Milliseconds until that line.
    pub(super) first_ms: f64,
    /// Milliseconds until its end.
    pub(super) whole_ms: f64,
    /// Milliseconds of all processors together (0 where the system does not tell).
    pub(super) processor_ms: f64,
    /// Its largest resident memory in MB (0 where the system does not tell).
    pub(super) peak_mb: f64,
}

/// Runs a command to its end.
pub(super) fn watched(mut command: Command) -> Result<Watched> {
    let start = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = child
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let watcher = thread::spawn(move || {
        let mut peak = 0.0f64;
        while let Ok(text) = fs::read_to_string(process.join("status")) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kilobytes) = line.and_then(|l| l.split_whitespace().next()?.parse().ok())
            else {
                break;
            };
            peak = peak.max(kilobytes);
            thread::sleep(Duration::from_millis(2));
        }
        // It has ended, but is remembered until it is waited for.
        let times = fs::read_to_string(process.join("stat"));
        (peak / 1e3, times.ok().and_then(|stat| processor_ms(&stat)))
    });
    let mut answer = String::new();
    let mut stdout = child.stdout.take().map(BufReader::new);
    if let Some(stdout) = &mut stdout {
        stdout.read_line(&mut answer)?;
    }
    let first_ms = start.elapsed().as_secs_f64() * 1e3;
    if let Some(stdout) = &mut stdout {
        io::copy(stdout, &mut io::sink())?;
    }
    let (peak_mb, processor_ms) = watcher.join().unwrap_or_default();
    let whole_ms = start.elapsed().as_secs_f64() * 1e3;
    child.wait()?;
    Ok(Watched {
        answer: serde_json::from_str(&answer).context("the program printed no JSON")?,
        first_ms,
        whole_ms,
        processor_ms: processor_ms.unwrap_or(0.0),
        peak_mb,
    })
}

/// What `/proc/PID/stat` says of a process's time, its own and the system's for it.
fn processor_ms(stat: &str) -> Option<f64> {
    // In hundredths of a second. The name before the other fields may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((ticks + system) * 10.0)
}

/// A Python process that times its peers on demand.
pub(super) struct Peers {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(super) names: Vec<String>,
}

impl Peers {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut peers = Self {
            child,
            input,
            output,
            names: Vec::new(),
        };
        let hello = peers.read()?;
        if let Some(install) = hello["missing"].as_str() {
            bail!("{install}");
        }
        let names = hello["peers"].as_array().context("no peers")?;
        peers.names = names
            .iter()
            .filter_map(|n| n.as_str().map(String::from))
            .collect();
        Ok(peers)
    }

    /// What the peer of this number is.
    pub(super) fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("peer", String::as_str)
    }

    pub(super) fn ask(&mut self, index: usize) -> Result<Value> {
        writeln!(self.input, "{}", self.names[index])?;
        self.input.flush()?;
        self.read()
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the peers' process ended; run it by hand to see why");
        }
        serde_json::from_str(&line).context("the peers' process printed no JSON")
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // It may be in the middle of a pass; nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
