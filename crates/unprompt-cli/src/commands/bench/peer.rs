//! Running Python peers.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
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

/// Runs a command to its end: its answer, milliseconds, and its largest resident memory in MB (0
/// where the system does not tell).
pub(super) fn watched(mut command: Command) -> Result<(Value, f64, f64)> {
    let start = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = child
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let status = format!("/proc/{}/status", child.id());
    let watcher = thread::spawn(move || {
        let mut peak = 0.0f64;
        while let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kilobytes) = line.and_then(|l| l.split_whitespace().next()?.parse().ok())
            else {
                break;
            };
            peak = peak.max(kilobytes);
            thread::sleep(Duration::from_millis(2));
        }
        peak / 1e3
    });
    let mut answer = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut answer)?;
    }
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    child.wait()?;
    let peak = watcher.join().unwrap_or(0.0);
    Ok((
        serde_json::from_str(&answer).context("the program printed no JSON")?,
        elapsed,
        peak,
    ))
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
