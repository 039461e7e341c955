//! Every fixture cut short everywhere, and with thousands of seeded changes: errors are fine,
//! panics and boundless memory are not.

use super::read_layouts;
use crate::{
    error::{CheckpointErrorKind, Result},
    pickle::Pickle,
};
use std::{fs, path::Path};

const FIXTURES: [&str; 9] = [
    "kinds.safetensors",
    "training.safetensors",
    "kinds.pth",
    "kinds_protocol5.bin",
    "kinds_legacy.pth",
    "training.pth",
    "training_legacy.pth",
    "nested.pth",
    "module.pth",
];
/// Changed files per fixture.
const CASES: u64 = 4000;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read(folder.join(name)).unwrap()
}

/// The bytes of all tensors of a file of this name.
fn read_all(name: &str, file: &[u8]) -> Result<usize> {
    let path = Path::new(name);
    let mut total = 0;
    for (_, layout) in read_layouts(path, file, Pickle::Allow)? {
        total += layout.read(file).map_err(|fault| fault.at(path))?.len();
    }
    Ok(total)
}

#[test]
fn no_file_can_be_cut_short_unnoticed() {
    for name in FIXTURES {
        let whole = fixture(name);
        for length in 0..whole.len() {
            assert!(
                read_all(name, &whole[..length]).is_err(),
                "{name} cut at byte {length}"
            );
        }
    }
}

#[test]
fn safetensors_cut_short_are_malformed() {
    let data_bytes = 400_000;
    let header = format!(
        r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{data_bytes}]}}}}"#,
        data_bytes / 4
    );
    let length = (header.len() as u64).to_le_bytes();
    let whole = [&length, header.as_bytes(), &vec![0; data_bytes]].concat();
    assert_eq!(read_all("a.safetensors", &whole).unwrap(), data_bytes);
    for length in (0..whole.len()).step_by(4096) {
        let error = read_all("a.safetensors", &whole[..length]).unwrap_err();
        assert_eq!(
            error.kind(),
            CheckpointErrorKind::Malformed,
            "at {length}: {error}"
        );
    }
}

#[test]
fn changed_files_never_panic_or_grow() {
    for (number, name) in FIXTURES.into_iter().enumerate() {
        let whole = fixture(name);
        for case in 0..CASES {
            let mut random = SplitMix64(((number as u64) << 32) | case);
            let mut changed = whole.clone();
            for _ in 0..=random.below(6) {
                mutate(&mut changed, &mut random);
            }
            // What matters is that this returns; many changes only touch numbers.
            let outcome = read_all(name, &changed);
            let bound = 16 * changed.len() + (64 << 20);
            assert!(
                outcome.is_err() || outcome.is_ok_and(|total| total <= bound),
                "{name} {case}"
            );
        }
    }
    if let Some(peak) = peak_memory() {
        assert!(peak < 256 << 20, "{peak} bytes of memory at the peak");
    }
}

/// One change: a flipped bit, a telling byte or number, bytes repeated or taken out.
fn mutate(file: &mut Vec<u8>, random: &mut SplitMix64) {
    if file.len() < 16 {
        return;
    }
    // Half of the changes near the ends, where headers and directories are.
    let at = match random.below(4) {
        0 => random.below(file.len().min(512)),
        1 => file.len() - 1 - random.below(file.len().min(512)),
        _ => random.below(file.len()),
    };
    let end = (at + 1 + random.below(16)).min(file.len());
    match random.below(6) {
        0 | 1 => file[at] ^= 1 << random.below(8),
        2 => file[at] = [0, 1, 0x7f, 0x80, 0xff, b'.', b'(', b'R', b't', b'h'][random.below(10)],
        3 => {
            let number = [0, 1, u32::MAX, i32::MAX as u32, 1 << 31][random.below(5)];
            let bytes = number.to_le_bytes();
            let fits = (file.len() - at).min(4);
            file[at..at + fits].copy_from_slice(&bytes[..fits]);
        }
        4 => {
            file.drain(at..end);
        }
        _ => {
            let repeated = file[at..end].to_vec();
            file.splice(at..at, repeated);
        }
    }
}

/// The most memory that this process held at once, in bytes; `None` where it is not told.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// A small generator, so that a failing case can be had again from its number.
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
