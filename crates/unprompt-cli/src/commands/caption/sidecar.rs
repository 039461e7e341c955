//! The text files that trainers read beside pictures: `cat.txt` for `cat.png`.

use crate::{arguments::Sidecar, output::Output, records::one_line};
use anyhow::{Context, Result, bail};
use std::{
    collections::HashMap,
    fs::File,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
};
use unprompt::Source;

/// Longer texts are no captions.
const LARGEST_TEXT: u64 = 1 << 20;

/// How sidecars are written.
pub(super) struct Sidecars {
    mode: Sidecar,
    // the picture that a text belongs to: the first of those that would share it
    owners: HashMap<PathBuf, PathBuf>,
}

fn text_of(picture: &Path) -> PathBuf {
    picture.with_extension("txt")
}

impl Sidecars {
    /// For all pictures of a run.
    pub(super) fn new(mode: Sidecar, sources: &[Source]) -> Result<Self> {
        let mut owners = HashMap::new();
        for source in sources {
            match source {
                Source::File(path) => {
                    owners.entry(text_of(path)).or_insert_with(|| path.clone());
                }
                Source::Stdin => bail!(
                    "--sidecar: a picture on standard input has no place for a text beside it"
                ),
                Source::Memory(..) | Source::Pixels(..) | Source::Unreadable(..) => {}
            }
        }
        Ok(Self { mode, owners })
    }

    /// Whether a picture is not to be captioned.
    pub(super) fn skips(&self, source: &Source) -> bool {
        let text = text_of(source.path());
        // Of two pictures that share a text, the second is told so.
        self.mode == Sidecar::Skip && self.is_owner(source.path(), &text) && text.exists()
    }

    fn is_owner(&self, picture: &Path, text: &Path) -> bool {
        self.owners.get(text).is_none_or(|owner| owner == picture)
    }

    /// Writes the text beside a picture: whole, or not at all.
    pub(super) fn write(&self, source: &Source, caption: &str) -> Result<()> {
        let picture = source.path();
        let path = text_of(picture);
        if !self.is_owner(picture, &path) {
            bail!(
                "{} is the text of another picture, {}",
                path.display(),
                self.owners[&path].display()
            );
        }
        if path == picture {
            bail!("{} would be replaced by its own caption", path.display());
        }
        // A pipe would be waited for, and a link leads to what is nobody's caption.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            bail!("{} is a link, or no file", path.display());
        }
        let caption = one_line(caption);
        let before = match self.mode {
            Sidecar::Skip | Sidecar::Overwrite => String::new(),
            Sidecar::Append | Sidecar::Prepend => read(&path)?,
        };
        let text = match (self.mode, before.trim()) {
            (_, "") => caption,
            (Sidecar::Prepend, before) => format!("{caption}, {before}"),
            (_, before) => format!("{before}, {caption}"),
        };
        let mut output = Output::open(Some(&path))?;
        writeln!(output, "{text}").with_context(|| format!("cannot write {}", path.display()))?;
        output.finish()
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
