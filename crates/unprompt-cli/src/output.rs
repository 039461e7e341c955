//! Where results go, and how errors are shown.

use crate::{destination, missing};
use anyhow::{Context, Result, bail};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};
use unprompt_files::{TemporaryFile, folder_of, promote, temporary_in};

/// One line on standard error. Where even that cannot be written there is nobody left to tell.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "unprompt: {message}");
}

/// The error with its causes. Most errors show their cause themselves; it is not said twice.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    if let Some(missing) = error.downcast_ref().and_then(missing::describe) {
        return missing;
    }
    let mut description = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !description.contains(&cause) {
            description = format!("{description}: {cause}");
        }
    }
    description
}

/// Set by the write that found nobody at the other end of standard output. Writers in between
/// wrap the error, each in its own way, so what comes out at the end does not tell.
static READER_LEFT: AtomicBool = AtomicBool::new(false);

/// Whether the reader of standard output closed it, as `head` does.
pub(crate) fn reader_left() -> bool {
    READER_LEFT.load(Ordering::Relaxed)
}

fn noted<T>(result: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &result
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        READER_LEFT.store(true, Ordering::Relaxed);
    }
    result
}

/// Standard output, or a file that appears only when it is whole.
pub(crate) enum Output {
    /// Standard output, or a pipe or device in the place of a file: written as results come.
    Stream(BufWriter<Box<dyn Write>>),
    File {
        writer: BufWriter<TemporaryFile>,
        path: PathBuf,
    },
}

impl Output {
    /// Opens the destination; a file is written beside its final place.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let stream = |stream: Box<dyn Write>| Ok(Self::Stream(BufWriter::new(stream)));
        let Some(path) = path else {
            return stream(Box::new(io::stdout().lock()));
        };
        // What is no file, such as /dev/null, must not be replaced by one.
        match path.metadata() {
            Ok(found) if found.is_dir() => bail!("--out {}: this is a folder", path.display()),
            Ok(found) if !found.is_file() => {
                let device = File::options().write(true).open(path);
                let failed = || format!("cannot write {}", path.display());
                return stream(Box::new(device.with_context(failed)?));
            }
            _ => {}
        }
        destination::refuse_lost(path).with_context(|| path.display().to_string())?;
        let folder = folder_of(path);
        if !folder.is_dir() {
            let (path, folder) = (path.display(), folder.display());
            bail!("--out {path}: there is no folder {folder}; make it first");
        }
        let file = temporary_in(folder)
            .with_context(|| format!("cannot write in the folder of {}", path.display()))?;
        Ok(Self::File {
            writer: BufWriter::new(file),
            path: path.to_owned(),
        })
    }

    /// Flushes, and gives a file its name.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::Stream(mut writer) => noted(writer.flush())?,
            Self::File { writer, path } => {
                let failed = || format!("cannot write {}", path.display());
                let file = writer.into_inner().map_err(io::IntoInnerError::into_error);
                let file = file.with_context(failed)?;
                promote(file, &path).with_context(failed)?;
            }
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(writer) => noted(writer.write(bytes)),
            Self::File { writer, .. } => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(writer) => noted(writer.flush()),
            Self::File { writer, .. } => writer.flush(),
        }
    }
}
