//! Which pictures were measured, as a digest: whoever has the same one has measured the same set.

use super::evaluation::ImageResult;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::Path,
};
use unprompt::Source;

/// SHA-256 over one line a picture, `SHA-256 of the file`, two blanks, `id`, in the order of the ids, as
/// `sha256sum` writes them. `None` where a picture is no file, or is gone.
pub(super) fn digest(sources: &[Source], images: &[ImageResult]) -> Option<String> {
    let files: HashMap<String, &Source> = sources
        .iter()
        .map(|source| (source.path().to_string_lossy().into_owned(), source))
        .collect();
    let mut images: Vec<&ImageResult> = images.iter().collect();
    images.sort_by(|left, right| left.id.cmp(&right.id));
    let mut whole = Sha256::new();
    for image in images {
        let Source::File(path) = files.get(&image.path)? else {
            return None;
        };
        let file = of_file(path).ok()?;
        whole.update(format!("{file}  {}\n", image.id));
    }
    Some(hex(&whole.finalize()))
}

/// The SHA-256 of a file, which is never in memory as a whole.
fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            length => digest.update(&buffer[..length]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
