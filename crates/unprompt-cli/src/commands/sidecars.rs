//! The text files that trainers read beside pictures: `cat.txt` for `cat.png`.

use crate::{
    arguments::{SidecarMode, Sidecars as Arguments},
    commands::inputs,
    output::{Output, complain},
    records::one_line,
};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
};
use unprompt::{FailureRecord, Source, SourceList, data::Edits};

/// Longer texts are no captions.
const LARGEST_TEXT: u64 = 1 << 20;

/// What became of a picture that is no failure.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Done<R> {
    Record(R),
    /// There is a text beside the picture already.
    Skipped {
        path: String,
        skipped: bool,
    },
}

/// How sidecars are written.
pub(super) struct Sidecars {
    mode: SidecarMode,
    ending: String,
    edits: Edits,
    /// Of a text that several pictures would share: the first of these.
    owners: HashMap<PathBuf, PathBuf>,
}

impl Sidecars {
    /// For all pictures of a run, where texts are asked for.
    pub(super) fn new(
        arguments: &Arguments,
        deny: Option<&Path>,
        sources: &SourceList,
    ) -> Result<Option<Self>> {
        let Some(mode) = arguments.sidecar else {
            return Ok(None);
        };
        let mut edits = Edits {
            strip_leads: arguments.strip_leads,
            prefix: arguments.prefix.clone().unwrap_or_default(),
            suffix: arguments.suffix.clone().unwrap_or_default(),
            ..Edits::default()
        };
        if let Some(file) = &arguments.replace {
            edits.read_replacements(file).context("--replace")?;
        }
        if let Some(file) = deny {
            edits.read_denied(file).context("--deny")?;
        }
        let mut sidecars = Self {
            mode,
            ending: arguments.sidecar_ext.clone(),
            edits,
            owners: HashMap::new(),
        };
        // Few texts belong to two pictures, and only these have to be remembered.
        let digest = |text: &Path| {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            hasher.finish()
        };
        let (mut once, mut twice) = (HashSet::new(), HashSet::new());
        for source in sources.iter() {
            match source {
                Source::File(path) => {
                    let text = digest(&sidecars.text_of(&path));
                    if !once.insert(text) {
                        twice.insert(text);
                    }
                }
                Source::Stdin => bail!(
                    "--sidecar: a picture on standard input has no place for a text beside it"
                ),
                Source::Memory(..) | Source::Pixels(..) | Source::Unreadable(..) => {}
            }
        }
        if !twice.is_empty() {
            for source in sources.iter() {
                let text = sidecars.text_of(source.path());
                if let Source::File(path) = source
                    && twice.contains(&digest(&text))
                {
                    sidecars.owners.entry(text).or_insert(path);
                }
            }
        }
        Ok(Some(sidecars))
    }

    fn text_of(&self, picture: &Path) -> PathBuf {
        picture.with_extension(&self.ending)
    }

    /// Whether a picture is not to be looked at.
    pub(super) fn skips(&self, source: &Source) -> bool {
        let text = self.text_of(source.path());
        // Of two pictures that share a text, the second is told so.
        self.mode == SidecarMode::Skip
            && self.is_owner(source.path(), &text)
            && text.symlink_metadata().is_ok()
    }

    fn is_owner(&self, picture: &Path, text: &Path) -> bool {
        self.owners.get(text).is_none_or(|owner| owner == picture)
    }

    /// Writes the text beside a picture, edited: whole, or not at all.
    pub(super) fn write(&self, source: &Source, text: &str) -> Result<()> {
        let picture = source.path();
        let path = self.text_of(picture);
        if !self.is_owner(picture, &path) {
            bail!(
                "{} is the text of another picture, {}",
                path.display(),
                self.owners[&path].display()
            );
        }
        if path == picture {
            bail!("{} would be replaced by its own text", path.display());
        }
        // A pipe would be waited for, and a link leads to what is nobody's text.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            bail!("{} is a link, or no file", path.display());
        }
        let text = one_line(text);
        let text = match self.edits.apply(&text) {
            Some(text) => text,
            // The model had nothing to say.
            None if text.trim().is_empty() => String::new(),
            None => bail!("nothing of its text is left for {}", path.display()),
        };
        let before = match self.mode {
            SidecarMode::Skip | SidecarMode::Overwrite => String::new(),
            SidecarMode::Append | SidecarMode::Prepend => read(&path)?,
        };
        let text = match (self.mode, before.trim()) {
            (_, "") => text,
            (SidecarMode::Prepend, before) => format!("{text}, {before}"),
            (_, before) => format!("{before}, {text}"),
        };
        let mut output = Output::open(Some(&path))?;
        writeln!(output, "{text}").with_context(|| format!("cannot write {}", path.display()))?;
        output.finish()
    }

    /// The same, with the record of a picture whose text cannot be written.
    pub(super) fn write_of(&self, source: &Source, text: &str) -> Result<(), FailureRecord> {
        self.write(source, text)
            .map_err(|error| inputs::failure(source, &format!("{error:#}")))
    }
}

/// Does the work of a batch on the pictures that have no text beside them yet, and writes the text of
/// each record there, where texts are asked for.
pub(super) fn around<R>(
    sidecars: Option<&Sidecars>,
    batch: &[Source],
    work: impl FnOnce(&[Source]) -> Vec<Result<R, FailureRecord>>,
    text: impl Fn(&R) -> Option<&str>,
) -> Vec<Result<Done<R>, FailureRecord>> {
    let Some(sidecars) = sidecars else {
        let done = work(batch).into_iter();
        return done.map(|result| result.map(Done::Record)).collect();
    };
    let skips: Vec<bool> = batch.iter().map(|one| sidecars.skips(one)).collect();
    let kept = batch.iter().zip(&skips).filter(|(_, skip)| !**skip);
    let kept: Vec<Source> = kept.map(|(source, _)| source.clone()).collect();
    let mut done = work(&kept).into_iter();
    let one = |(source, skip): (&Source, bool)| {
        if skip {
            return Some(Ok(Done::skipped(source)));
        }
        Some(done.next()?.and_then(|record| {
            if let Some(text) = text(&record) {
                sidecars.write_of(source, text)?;
            }
            Ok(Done::Record(record))
        }))
    };
    batch.iter().zip(skips).filter_map(one).collect()
}

impl<R> Done<R> {
    pub(super) fn skipped(source: &Source) -> Self {
        Self::Skipped {
            path: source.path().to_string_lossy().into_owned(),
            skipped: true,
        }
    }

    pub(super) fn is_skipped(&self) -> bool {
        matches!(self, Self::Skipped { .. })
    }
}

/// Says how many pictures were left alone.
pub(super) fn note_skipped(skipped: usize, of: usize, quiet: bool) {
    if skipped > 0 && !quiet {
        complain(&format!(
            "{skipped} of {of} pictures have a text beside them already and were left alone"
        ));
    }
}

/// The text that is there, if any.
fn read(path: &Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        file => file.with_context(failed)?,
    };
    let mut text = String::new();
    file.take(LARGEST_TEXT + 1)
        .read_to_string(&mut text)
        .with_context(failed)?;
    if text.len() as u64 > LARGEST_TEXT {
        bail!("{} is longer than {LARGEST_TEXT} bytes", path.display());
    }
    Ok(text)
}
