//! The files that are part of the program.

use crate::{Damaged, TextList};
use std::sync::OnceLock;

/// What presets call the tower, the head and the whole list that the program carries.
pub const NAME: &str = "eye";

/// The sentence encoder in whose space all of it is.
pub const ENCODER: &str = "all-MiniLM-L6-v2";

/// The SHA-256 of each file, as `sha256sum` writes them.
const DIGESTS: &str = include_str!("../assets/SHA256SUMS");

/// The SHA-256 of a carried file by its name, in hexadecimal; empty if there is none of this name.
pub fn sha256(file: &str) -> &'static str {
    let lines = DIGESTS.lines().filter_map(|line| line.split_once("  "));
    let mut digests = lines.filter(|(_, name)| *name == file);
    digests.next().map_or("", |(digest, _)| digest)
}

const PROMPTS: &[u8] = include_bytes!("../assets/prompts.safetensors");
const LABELS: &[u8] = include_bytes!("../assets/labels.safetensors");

/// The safetensors files that the program carries, with their names.
pub fn files() -> [(&'static str, &'static [u8]); 4] {
    [
        ("prompts.safetensors", PROMPTS),
        ("labels.safetensors", LABELS),
        ("tower.safetensors", tower()),
        ("head.safetensors", head()),
    ]
}

/// The prompts: the PartiPrompts in the segment `parti`, the lists of `assets/NOTICE.md` in the
/// segment `licensed`.
///
/// # Errors
/// When the program was built from a damaged file.
pub fn prompts() -> Result<&'static TextList, Damaged> {
    static LIST: OnceLock<TextList> = OnceLock::new();
    open(&LIST, PROMPTS)
}

/// The tower's labels as phrases, "a goldfish", by class.
///
/// # Errors
/// When the program was built from a damaged file.
pub fn labels() -> Result<&'static TextList, Damaged> {
    static LIST: OnceLock<TextList> = OnceLock::new();
    open(&LIST, LABELS)
}

/// The weights of EfficientNet-Lite0, a safetensors file with the published tensors' names.
pub fn tower() -> &'static [u8] {
    include_bytes!("../assets/tower.safetensors")
}

/// The head's weights, a safetensors file as `unprompt train head` writes it.
pub fn head() -> &'static [u8] {
    include_bytes!("../assets/head/head.safetensors")
}

/// The head's configuration: what it was trained on, and how.
pub fn head_config() -> &'static str {
    include_str!("../assets/head/config.json")
}

fn open(
    list: &'static OnceLock<TextList>,
    bytes: &'static [u8],
) -> Result<&'static TextList, Damaged> {
    if let Some(list) = list.get() {
        return Ok(list);
    }
    let opened = TextList::open(bytes)?;
    Ok(list.get_or_init(|| opened))
}
