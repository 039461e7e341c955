//! The memory that processes hold, as far as the system tells.

use std::fs;

/// Forgets the largest memory so far, where the system can.
pub(super) fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The largest resident memory since then, in millions of bytes; `None` where the system does not say.
pub(super) fn peak_mb() -> Option<f64> {
    Some(held_mb("self")?.0)
}

/// The largest resident memory of a process, and what it holds now, in millions of bytes; `None` where
/// there is no such process, or the system does not say.
pub(super) fn held_mb(process: &str) -> Option<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let row = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    };
    Some((row("VmHWM:")?, row("VmRSS:")?))
}
