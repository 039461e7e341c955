use crate::{Error, Result};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A file name inside a model that is safe to join to a folder on every platform.
///
/// Names come from hubs, wheels, bundles and manifests. Accepted are one to eight segments joined
/// by `/`, none of which is empty, `.` or `..`, has a control character, a backslash, a colon (a
/// drive letter or an alternate stream), a trailing dot or space, or is a device name of Windows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RelativePath(String);

const MAX_BYTES: usize = 512;
const MAX_SEGMENT_BYTES: usize = 200;
const MAX_SEGMENTS: usize = 8;

impl RelativePath {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::UnsafePath`] with the rule that it breaks.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match broken_rule(name) {
            None => Ok(Self(name.to_owned())),
            Some(reason) => Err(Error::UnsafePath {
                name: name.chars().take(120).collect(),
                reason,
            }),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// How many folders lie above the file.
    pub(crate) fn depth(&self) -> usize {
        self.segments().count() - 1
    }

    pub(crate) fn join_to(&self, folder: &Path) -> PathBuf {
        let mut path = folder.to_path_buf();
        path.extend(self.segments());
        path
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > MAX_BYTES {
        return Some("it is too long");
    }
    if name.split('/').count() > MAX_SEGMENTS {
        return Some("it is nested too deep");
    }
    name.split('/').find_map(broken_segment_rule)
}

fn broken_segment_rule(segment: &str) -> Option<&'static str> {
    if segment.is_empty() {
        return Some("it is absolute or has an empty segment");
    }
    if segment == "." || segment == ".." {
        return Some("it points to another folder");
    }
    if segment.len() > MAX_SEGMENT_BYTES {
        return Some("a segment is too long");
    }
    if segment
        .chars()
        .any(|c| c.is_control() || is_direction_mark(c))
    {
        return Some("it has a control character");
    }
    if segment.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) {
        return Some("it has a character that is special on some platform");
    }
    if segment.ends_with(['.', ' ']) || segment.starts_with(' ') {
        return Some("a segment begins or ends with a space or ends with a dot");
    }
    is_device_name(segment).then_some("it is a device name on some platform")
}

/// Marks that make a printed name read differently from what it is.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_device_name(segment: &str) -> bool {
    let stem = segment
        .split('.')
        .next()
        .unwrap_or(segment)
        .trim_end()
        .to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => {
            stem.len() == 4
                && (stem.starts_with("COM") || stem.starts_with("LPT"))
                && stem.as_bytes()[3].is_ascii_digit()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Names a hostile repository or archive could use; none may be accepted.
    pub(crate) const HOSTILE: &[&str] = &[
        "",
        "/",
        "/etc/passwd",
        "//server/share",
        "..",
        "../evil.json",
        "../../evil.json",
        "a/../../evil.json",
        "a/..",
        "./evil.json",
        "a/./evil.json",
        "a//evil.json",
        "a/",
        "evil.json\0.txt",
        "\0",
        "C:evil.json",
        "C:/evil.json",
        "C:\\evil.json",
        "\\evil.json",
        "\\\\server\\share",
        "..\\evil.json",
        "a\\..\\..\\evil.json",
        "evil.json:stream",
        "con",
        "NUL.json",
        "a/aux.txt",
        "COM1",
        "lpt9.json",
        "evil.json.",
        "evil.json ",
        " evil.json",
        "...",
        "evil\n.json",
        "evil\r.json",
        "evil\u{1b}[2J.json",
        "evil\u{202e}nosj.json",
        "a/b/c/d/e/f/g/h/i.json",
        "evil?.json",
        "evil*.json",
        "evil|.json",
    ];

    #[test]
    fn hostile_names_are_refused() {
        assert!(HOSTILE.len() >= 30);
        for name in HOSTILE {
            let refused = RelativePath::parse(name);
            assert!(
                matches!(refused, Err(Error::UnsafePath { .. })),
                "{name:?} was accepted"
            );
        }
        assert!(RelativePath::parse(&"a".repeat(201)).is_err());
        assert!(RelativePath::parse(&["a".repeat(190).as_str(); 3].join("/")).is_err());
    }

    #[test]
    fn ordinary_names_are_accepted() {
        for name in [
            "config.json",
            "1_Pooling/config.json",
            "model-00001-of-00002.safetensors",
        ] {
            let path = RelativePath::parse(name).unwrap();
            assert_eq!(path.as_str(), name);
        }
        let path = RelativePath::parse("a/b.json").unwrap();
        assert_eq!(
            path.join_to(Path::new("root")),
            Path::new("root").join("a").join("b.json")
        );
        assert_eq!(path.depth(), 1);
    }
}
