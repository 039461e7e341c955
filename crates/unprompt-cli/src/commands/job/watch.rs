//! Pictures that arrive while a job runs.

use super::list;
use crate::{arguments::JobFlags, output::complain};
use anyhow::Result;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};
use unprompt::job::{Arrivals, Item, Job};

/// Between two looks at the inputs; after a long look ten times as long as it took.
const INTERVAL: Duration = Duration::from_secs(2);
const SHARE: u32 = 10;

/// A file that was written more lately may be in the middle of being written.
const SETTLED: Duration = Duration::from_secs(2);

/// The inputs of a job, and what is known of them.
pub(super) struct Watch<'a> {
    paths: &'a [PathBuf],
    flags: &'a JobFlags,
    arrivals: Arrivals,
    next: Instant,
    /// The last thing that was wrong with the inputs, so that it is said once.
    trouble: Option<String>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(job: &Job, paths: &'a [PathBuf], flags: &'a JobFlags) -> Result<Self> {
        Ok(Self {
            paths,
            flags,
            arrivals: job.arrivals()?,
            next: Instant::now(),
            trouble: None,
        })
    }

    /// The items that are not in the list yet, when it is time to look. What is wrong with the inputs now
    /// may be right later.
    pub(super) fn look(&mut self) -> Vec<Item> {
        let begin = Instant::now();
        if begin < self.next {
            return Vec::new();
        }
        let found = list::items(self.paths, self.flags.from.as_deref(), &self.flags.exclude);
        let arrived = match found {
            Ok(items) => {
                self.trouble = None;
                self.settled(items)
            }
            Err(error) => {
                let message = format!("{error:#}");
                if self.trouble.as_ref() != Some(&message) {
                    complain(&format!("--watch: {message}; looked for again"));
                    self.trouble = Some(message);
                }
                Vec::new()
            }
        };
        self.next = Instant::now() + INTERVAL.max(begin.elapsed() * SHARE);
        arrived
    }

    /// The new ones whose files nobody writes any more.
    fn settled(&mut self, items: impl Iterator<Item = Item>) -> Vec<Item> {
        let mut unsettled: HashSet<PathBuf> = HashSet::new();
        let mut arrived = Vec::new();
        for item in items {
            if self.arrivals.knows(&item) {
                continue;
            }
            let file = list::file(&item);
            let waits = file.as_deref().is_some_and(|file| {
                unsettled.contains(file) || (!is_settled(file) && unsettled.insert(file.into()))
            });
            // Whether it is new is asked last: it is not from then on.
            if !waits && self.arrivals.is_new(&item) {
                arrived.push(item);
            }
        }
        arrived
    }
}

/// Whether a file was not written lately. One that cannot be asked is a failure of its own.
fn is_settled(file: &Path) -> bool {
    let modified = file.metadata().and_then(|found| found.modified());
    let age = modified.map(|modified| SystemTime::now().duration_since(modified));
    // A time in the future, which another machine's clock may have given, is none.
    !matches!(age, Ok(Ok(age)) if age < SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn a_file_that_is_written_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        fs::write(&path, "a").unwrap();
        assert!(!is_settled(&path));
        let set = |time| {
            File::options()
                .append(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
        };
        set(SystemTime::now() - Duration::from_secs(3)).unwrap();
        assert!(is_settled(&path));
        set(SystemTime::now() + Duration::from_secs(3600)).unwrap();
        assert!(is_settled(&path));
        assert!(is_settled(&folder.path().join("missing")));
    }
}
