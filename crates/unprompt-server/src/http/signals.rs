//! How a process is told to stop.

use std::io;

/// Ends at the first SIGTERM or SIGINT (elsewhere Ctrl-C). A second one ends the process at once, with exit
/// code 1: whoever asks twice does not want to wait. Where signals cannot be listened to they do what the
/// system makes of them, and this does not end.
pub async fn told_to_stop() {
    let Ok(mut signals) = Signals::new() else {
        return std::future::pending().await;
    };
    signals.next().await;
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(1);
    });
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
