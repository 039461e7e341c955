//! Progress on standard error: a bar for a person, now and then a line for a log.

use crate::output::complain;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{IsTerminal, stderr},
    sync::Mutex,
    time::{Duration, Instant},
};
use unprompt::{Progress, interrogate::TableProgress};

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a log hears of long work.
const LOG_INTERVAL: Duration = Duration::from_secs(15);

/// The progress of one piece of work.
pub(crate) struct Bar {
    bar: ProgressBar,
    name: String,
    terminal: bool,
    quiet: bool,
    last_shown: Instant,
}

impl Bar {
    /// `template` is indicatif's; `total` may be 0 when it is not known.
    fn new(name: &str, total: u64, template: &str, quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        let terminal = stderr().is_terminal();
        Self {
            bar,
            name: name.to_owned(),
            terminal,
            quiet,
            last_shown: Instant::now(),
        }
    }

    /// A count of things: pictures, texts.
    pub(crate) fn count(name: &str, total: usize, quiet: bool) -> Self {
        let template = "{prefix} [{bar:30}] {pos}/{len} {per_sec} ETA {eta} {msg}";
        Self::new(name, total as u64, template, quiet)
    }

    /// A count of things of which nobody knows how many there are.
    pub(crate) fn open_ended(name: &str, quiet: bool) -> Self {
        Self::new(name, 0, "{prefix} {pos} {per_sec}", quiet)
    }

    fn bytes(name: &str, total: u64, quiet: bool) -> Self {
        let template = "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
        Self::new(name, total, template, quiet)
    }

    /// What was done at another time: it tells nothing of the rate.
    pub(crate) fn skip(&mut self, by: u64) {
        self.bar.inc(by);
        self.bar.reset_eta();
    }

    /// More to do than was known.
    pub(crate) fn lengthen(&self, by: u64) {
        self.bar.inc_length(by);
    }

    pub(crate) fn advance(&mut self, by: u64) {
        self.bar.inc(by);
        if self.quiet || self.bar.elapsed() < PATIENCE {
            return;
        }
        if self.terminal {
            if self.bar.is_hidden() {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
        } else if self.last_shown.elapsed() >= LOG_INTERVAL {
            self.last_shown = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let left = HumanDuration(self.bar.eta());
            complain(&match total {
                0 => format!("{}: {done}", self.name),
                _ => format!(
                    "{}: {done} of {total}, {:.1} a second, {left} left",
                    self.name,
                    self.bar.per_sec()
                ),
            });
        }
    }

    /// How the work is going, behind the bar.
    pub(crate) fn say(&self, message: &str) {
        self.bar.set_message(message.to_owned());
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }

    /// Shows a line without tearing the bar.
    pub(crate) fn suspend(&self, show: impl FnOnce()) {
        self.bar.suspend(show);
    }
}

/// What happens before the work itself: downloads, as the hub reports them, and label tables that are
/// embedded, as the interrogator does.
pub(crate) struct LoadingProgress {
    bar: Mutex<Option<Bar>>,
    quiet: bool,
}

impl LoadingProgress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            bar: Mutex::new(None),
            quiet,
        }
    }

    /// A poisoned lock means that a thread died while drawing; the bar is still usable.
    fn with_bar<R>(&self, work: impl FnOnce(&mut Option<Bar>) -> R) -> R {
        work(
            &mut self
                .bar
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }

    fn show(&self, new: Bar) {
        self.with_bar(|bar| {
            if let Some(old) = bar.replace(new) {
                old.finish();
            }
        });
    }

    fn step(&self, by: u64) {
        self.with_bar(|bar| {
            if let Some(bar) = bar {
                bar.advance(by);
            }
        });
    }

    fn hide(&self) {
        self.with_bar(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish();
            }
        });
    }

    fn say(&self, message: &str) {
        if self.quiet {
            return;
        }
        self.with_bar(|bar| match bar {
            Some(bar) => bar.suspend(|| complain(message)),
            None => complain(message),
        });
    }
}

impl Progress for LoadingProgress {
    fn start(&self, name: &str, total_bytes: u64) {
        self.show(Bar::bytes(name, total_bytes, self.quiet));
    }

    fn advance(&self, bytes: u64) {
        self.step(bytes);
    }

    fn finish(&self) {
        self.hide();
    }

    fn note(&self, message: &str) {
        self.say(message);
    }
}

impl TableProgress for LoadingProgress {
    fn start(&self, table: &str, labels: usize) {
        self.show(Bar::count(
            &format!("embedding {table}"),
            labels,
            self.quiet,
        ));
    }

    fn advance(&self, labels: usize) {
        self.step(labels as u64);
    }

    fn finish(&self) {
        self.hide();
    }

    fn note(&self, message: &str) {
        self.say(message);
    }
}
