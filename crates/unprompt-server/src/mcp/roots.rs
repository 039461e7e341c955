//! Which files an agent may have looked at.

use std::{
    fmt,
    io::{Error, ErrorKind, Result},
    path::{Path, PathBuf},
};

/// The folders below which pictures may be read. Without one no picture may be.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// Without symbolic links.
    folders: Vec<PathBuf>,
}

impl Roots {
    /// Of folders that are there.
    ///
    /// # Errors
    /// When one of them cannot be found or is no folder.
    pub fn new(folders: &[PathBuf]) -> Result<Self> {
        let resolved = |folder: &PathBuf| {
            let named = |error: Error| {
                Error::new(
                    error.kind(),
                    format!("--root {}: {error}", folder.display()),
                )
            };
            let path = folder.canonicalize().map_err(named)?;
            match path.is_dir() {
                true => Ok(path),
                false => Err(named(Error::new(ErrorKind::NotADirectory, "no folder"))),
            }
        };
        let folders = folders.iter().map(resolved).collect::<Result<_>>()?;
        Ok(Self { folders })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// The file that an agent means: an absolute path, or one below the first root in which it is there.
    /// Links are followed before it is compared with the roots. What lies elsewhere and what is nowhere
    /// are refused in the same words, so that an agent cannot ask which files there are.
    ///
    /// # Errors
    /// What to tell the agent.
    pub(super) fn file(&self, asked: &str) -> std::result::Result<PathBuf, String> {
        if self.is_empty() {
            return Err("no picture may be read: the server was started without --root DIR".into());
        }
        let candidates = self.folders.iter().map(|root| root.join(asked));
        let found = candidates
            .filter_map(|path| path.canonicalize().ok())
            .find(|path| self.holds(path) && path.is_file());
        found.ok_or_else(|| format!("there is no such file below {self}"))
    }

    fn holds(&self, path: &Path) -> bool {
        self.folders.iter().any(|root| path.starts_with(root))
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folders = self.folders.iter().map(|root| root.display().to_string());
        f.write_str(&folders.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Two folders, `open` with `in.png` and `shut` with `out.png`, in one that the test removes.
    fn folders(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("unprompt-roots-{name}-{}", std::process::id()));
        for (inner, file) in [("open", "in.png"), ("shut", "out.png")] {
            fs::create_dir_all(folder.join(inner)).unwrap();
            fs::write(folder.join(inner).join(file), "x").unwrap();
        }
        folder
    }

    #[test]
    fn only_files_below_the_roots_are_found() {
        let folder = folders("below");
        let open = folder.join("open");
        let roots = Roots::new(std::slice::from_ref(&open)).unwrap();
        let inside = open.join("in.png").canonicalize().unwrap();
        for asked in [
            "in.png",
            "./in.png",
            "../open/in.png",
            inside.to_str().unwrap(),
        ] {
            assert_eq!(roots.file(asked).unwrap(), inside, "{asked}");
        }
        let outside = folder.join("shut/out.png");
        let nowhere = roots.file("nowhere.png").unwrap_err();
        for asked in [
            outside.to_str().unwrap(),
            "../shut/out.png",
            "..",
            ".",
            "",
            "/",
            "/etc/passwd",
            "in.png/",
            "in.png\0",
            "../../../../../../../../../../etc/passwd",
            "file:///etc/passwd",
        ] {
            assert_eq!(roots.file(asked).unwrap_err(), nowhere, "{asked}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&outside, open.join("link.png")).unwrap();
            std::os::unix::fs::symlink(folder.join("shut"), open.join("folder")).unwrap();
            assert_eq!(roots.file("link.png").unwrap_err(), nowhere);
            assert_eq!(roots.file("folder/out.png").unwrap_err(), nowhere);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_root_is_a_folder_and_none_opens_nothing() {
        let folder = folders("none");
        let missing = Roots::new(&[folder.join("missing")]).unwrap_err();
        assert!(missing.to_string().contains("--root"), "{missing}");
        let file = Roots::new(&[folder.join("open/in.png")]).unwrap_err();
        assert!(file.to_string().contains("no folder"), "{file}");
        let refused = Roots::default().file("/etc/passwd").unwrap_err();
        assert!(refused.contains("--root"), "{refused}");
        fs::remove_dir_all(folder).unwrap();
    }
}
