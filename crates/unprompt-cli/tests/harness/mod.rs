//! Runs the real program in a folder of its own, away from the user's caches.
#![allow(dead_code, reason = "each test program uses a part")]

use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// One test's folder: the program's working folder, home and caches.
pub struct Place {
    root: tempfile::TempDir,
    caches: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    /// A place whose caches are empty.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let caches = root.path().join("caches");
        fs::create_dir(root.path().join("work")).unwrap();
        Self { root, caches }
    }

    /// A place whose caches are filled already.
    pub fn with_caches(caches: &Path) -> Self {
        Self {
            caches: caches.to_owned(),
            ..Self::new()
        }
    }

    /// A path in the program's working folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    /// Where the program keeps what it makes and fetches.
    pub fn caches(&self) -> &Path {
        &self.caches
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn copy(&self, from: &Path, name: &str) -> PathBuf {
        self.write(name, fs::read(from).unwrap())
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The names in the working folder, sorted.
    pub fn names(&self) -> Vec<String> {
        self.names_in("")
    }

    /// The names in a folder, sorted.
    pub fn names_in(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The program with its surroundings; nothing of the user's own is seen.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unprompt"));
        let foreign = ["UNPROMPT_", "HF_", "HUGGING", "TRANSFORMERS_", "XDG_"];
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if foreign.iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.path(""))
            .env("HOME", self.root.path().join("home"))
            .env("UNPROMPT_CACHE", &self.caches)
            .env("HF_HOME", self.caches.join("huggingface"))
            // The default needs no model, and most of what is tested is about models.
            .env("UNPROMPT_PRESET", labels_preset())
            .stdin(Stdio::null());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        self.finish(&mut self.command(arguments))
    }

    /// A run with `input` on standard input.
    pub fn run_on<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Run {
        let path = self.root.path().join("stdin");
        fs::write(&path, input).unwrap();
        self.finish(self.command(arguments).stdin(File::open(path).unwrap()))
    }

    /// Runs to the end, with both outputs caught. No run may ever show a panic or die of a signal.
    pub fn finish(&self, command: &mut Command) -> Run {
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.root.path().join(name));
        let mut child = command
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{command:?} hangs");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let run = Run {
            code: status.code().unwrap_or(-1),
            stdout: fs::read_to_string(stdout).unwrap(),
            stderr: fs::read_to_string(stderr).unwrap(),
        };
        assert!(run.code >= 0, "{command:?} ended with {status}");
        assert!(!run.stderr.contains("panicked"), "{command:?}: {run:?}");
        run
    }
}

impl Run {
    /// The standard output of a run that must have gone well, without a word on standard error.
    #[track_caller]
    pub fn output(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        &self.stdout
    }

    /// The standard error of a run that could not start, which must have written no data.
    #[track_caller]
    pub fn refusal(&self) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (1, ""), "{self:?}");
        &self.stderr
    }

    /// The standard output and the lines of standard error of a run in which some inputs failed.
    #[track_caller]
    pub fn failures(&self) -> (&str, Vec<&str>) {
        assert_eq!(self.code, 2, "{self:?}");
        (&self.stdout, self.stderr.lines().collect())
    }
}

/// One JSON document.
#[track_caller]
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// One JSON document a line.
#[track_caller]
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// The keys of an object, sorted.
#[track_caller]
pub fn keys(object: &Value) -> Vec<&str> {
    let object = object
        .as_object()
        .unwrap_or_else(|| panic!("not an object: {object}"));
    object.keys().map(String::as_str).collect()
}

/// A file of the workspace.
pub fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// A preset that needs two models: EfficientNet-Lite0's labels, and the prompts near to them.
pub fn labels_preset() -> PathBuf {
    workspace("crates/unprompt-cli/bench/labels.toml")
}

/// A PNG of 57 bytes that claims to be 100,000 pixels wide and high.
pub fn huge_png() -> Vec<u8> {
    let header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\x01\x86\xa0\0\x01\x86\xa0\x08\x02\0\0\0";
    let checksum = b"\x27\x30\x9c\x9f";
    let end = b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82";
    [&header[..], checksum, end].concat()
}
