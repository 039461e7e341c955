//! Writers of weight files, honest and otherwise, for the tests.
// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use unprompt_checkpoint::{Checkpoint, CheckpointError, CheckpointErrorKind, Pickle};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Opens bytes as a file of this name and reads every tensor in it.
pub fn read_all(name: &str, bytes: &[u8]) -> Result<usize, CheckpointError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let checkpoint = Checkpoint::open(&path, Pickle::Allow)?;
    let mut total = 0;
    for name in checkpoint.names() {
        total += checkpoint.tensor(name).unwrap().data()?.len();
    }
    Ok(total)
}

/// Asserts that the bytes are refused with this kind and that the message holds `part`.
#[track_caller]
pub fn assert_refused(name: &str, bytes: &[u8], kind: CheckpointErrorKind, part: &str) {
    match read_all(name, bytes) {
        Ok(total) => panic!("{total} bytes of tensors read, expected {kind:?}: {part}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.to_string().contains(part),
                "`{error}` does not say `{part}`"
            );
        }
    }
}

/// The most memory that this process held at once, in bytes; `None` where it is not told.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// A safetensors file with this header, however wrong.
pub fn safetensors_file(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// Writes pickles, opcode by opcode.
pub struct PickleWriter(pub Vec<u8>);

impl PickleWriter {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.raw(b"X")
            .raw(&(text.len() as u32).to_le_bytes())
            .raw(text.as_bytes())
    }

    pub fn int(self, value: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    /// A tuple of whole numbers.
    pub fn ints(mut self, values: &[i64]) -> Self {
        self = self.raw(b"(");
        for &value in values {
            self = self.int(value);
        }
        self.raw(b"t")
    }

    pub fn storage(self, class: &str, key: &str, count: i64) -> Self {
        let named = self.raw(b"(").text("storage").global("torch", class);
        named.text(key).text("cpu").int(count).raw(b"tQ")
    }

    pub fn tensor(self, key: &str, count: i64, offset: i64, shape: &[i64], steps: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"(")
            .storage("FloatStorage", key, count)
            .int(offset)
            .ints(shape)
            .ints(steps)
            .raw(b"\x89N")
            .raw(b"tR")
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }
}

/// A state dict of one tensor called `weight`, in storage 0 with 4 elements.
pub fn one_tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    PickleWriter::new()
        .raw(b"}")
        .text("weight")
        .tensor("0", 4, offset, shape, strides)
        .raw(b"s")
        .end()
}

/// One member of a zip archive; the central directory can claim other things than are there.
pub struct Member<'m> {
    pub name: &'m str,
    pub data: &'m [u8],
    pub central_name: &'m str,
    pub length: u32,
    pub header: Option<u32>,
    pub method: u16,
    pub flags: u16,
    pub extra: &'m [u8],
}

impl<'m> Member<'m> {
    pub fn new(name: &'m str, data: &'m [u8]) -> Self {
        let length = data.len() as u32;
        Self {
            name,
            data,
            central_name: name,
            length,
            header: None,
            method: 0,
            flags: 0,
            extra: &[],
        }
    }
}

pub fn zip_file(members: &[Member<'_>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut central = Vec::new();
    for member in members {
        let header = member.header.unwrap_or(file.len() as u32);
        let sizes = [member.length.to_le_bytes(), member.length.to_le_bytes()].concat();
        let name_length = (member.name.len() as u16).to_le_bytes();
        file.extend_from_slice(b"PK\x03\x04\x00\x00");
        file.extend_from_slice(&member.flags.to_le_bytes());
        file.extend_from_slice(&member.method.to_le_bytes());
        file.extend_from_slice(&[0; 8]);
        file.extend_from_slice(&sizes);
        file.extend_from_slice(&name_length);
        file.extend_from_slice(&[0; 2]);
        file.extend_from_slice(member.name.as_bytes());
        file.extend_from_slice(member.data);

        central.extend_from_slice(b"PK\x01\x02\x00\x00\x00\x00");
        central.extend_from_slice(&member.flags.to_le_bytes());
        central.extend_from_slice(&member.method.to_le_bytes());
        central.extend_from_slice(&[0; 8]);
        central.extend_from_slice(&sizes);
        central.extend_from_slice(&(member.central_name.len() as u16).to_le_bytes());
        central.extend_from_slice(&(member.extra.len() as u16).to_le_bytes());
        central.extend_from_slice(&[0; 10]);
        central.extend_from_slice(&header.to_le_bytes());
        central.extend_from_slice(member.central_name.as_bytes());
        central.extend_from_slice(member.extra);
    }
    let start = file.len() as u32;
    file.extend_from_slice(&central);
    file.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend_from_slice(&(members.len() as u16).to_le_bytes());
    file.extend_from_slice(&(members.len() as u16).to_le_bytes());
    file.extend_from_slice(&(central.len() as u32).to_le_bytes());
    file.extend_from_slice(&start.to_le_bytes());
    file.extend_from_slice(&[0; 2]);
    file
}

/// An archive as torch writes it, with this pickle and storage 0 of 4 floats: 0, 1, 2, 3.
pub fn torch_archive(pickle: &[u8]) -> Vec<u8> {
    let floats = [0f32, 1.0, 2.0, 3.0].map(f32::to_le_bytes).concat();
    zip_file(&[
        Member::new("archive/data.pkl", pickle),
        Member::new("archive/byteorder", b"little"),
        Member::new("archive/data/0", &floats),
    ])
}

/// A file as torch wrote it before 1.6, with this pickle and these storages.
pub fn torch_legacy(pickle: &[u8], storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let magic = PickleWriter::new()
        .raw(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
        .end();
    let version = PickleWriter::new().int(1001).end();
    let machine = PickleWriter::new()
        .raw(b"}")
        .text("little_endian")
        .raw(b"\x88s")
        .end();
    let mut keys = PickleWriter::new().raw(b"](");
    for (key, ..) in storages {
        keys = keys.text(key);
    }
    let mut file = [
        magic,
        version,
        machine,
        pickle.to_vec(),
        keys.raw(b"e").end(),
    ]
    .concat();
    for (_, count, data) in storages {
        file.extend_from_slice(&count.to_le_bytes());
        file.extend_from_slice(data);
    }
    file
}
