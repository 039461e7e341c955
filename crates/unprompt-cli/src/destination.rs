//! Files that a command may replace.
//!
//! A result takes the place of an older one of its name. It never takes that of a picture (no result
//! is one: the name was forgotten, and the shell put a picture there), of what the command reads, or
//! of what a link leads to. Every command is checked here before it begins, every file once more when
//! it is opened.

use crate::arguments::Arguments;
use anyhow::{Result, bail};
use std::{
    fs,
    path::{Path, PathBuf, absolute},
};
use unprompt::is_picture_file;

/// Checks everything that a command is about to write against everything that it reads.
///
/// # Errors
/// When something would be lost.
pub(crate) fn check(arguments: &Arguments) -> Result<()> {
    let writes = arguments.writes();
    for (index, (flag, path)) in writes.iter().enumerate() {
        let name = format!("{flag} {}", path.display());
        refuse_lost(path).map_err(|error| error.context(name.clone()))?;
        for (other_flag, other) in &writes[..index] {
            // Neither need be there yet.
            let one_name =
                matches!((absolute(path), absolute(other)), (Ok(one), Ok(two)) if one == two);
            if one_name || is_same(path, other) {
                bail!("{name}: {other_flag} is the same file");
            }
        }
        for input in arguments.reads() {
            if is_same(path, &input.path) {
                bail!("{name}: this is an input, which would be replaced; name another file");
            }
            if !input.holds_results && path.is_file() && is_within(path, &input.path) {
                let folder = input.path.display();
                bail!("{name}: this is a part of the input {folder}; name another file");
            }
        }
    }
    Ok(())
}

/// Refuses a file whose replacement would lose what is no result.
///
/// # Errors
/// When it is a link to a file or to nothing, or a picture.
pub(crate) fn refuse_lost(path: &Path) -> Result<()> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    // A link to a pipe or a device is written to, and one to a folder is a folder.
    if is_link && fs::metadata(path).map_or(true, |target| target.is_file()) {
        bail!("this is a link, and what it leads to would be replaced; name the file itself");
    }
    if is_picture_file(path) {
        bail!("this is a picture, which would be replaced; name another file");
    }
    Ok(())
}

/// What a command reads.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    /// Whether results may stand in this folder too: only pictures are taken from it.
    pub(crate) holds_results: bool,
}

/// Whether both names are there and lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |path: &Path| {
            fs::metadata(path)
                .ok()
                .map(|found| (found.dev(), found.ino()))
        };
        identity(one).is_some_and(|found| identity(other) == Some(found))
    }
    #[cfg(not(unix))]
    {
        let real = |path: &Path| path.canonicalize().ok();
        real(one).is_some_and(|found| real(other) == Some(found))
    }
}

fn is_within(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        _ => false,
    }
}
