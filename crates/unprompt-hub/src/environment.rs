use crate::address::without_secrets;
use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where caches are, which hub is asked and with what token.
///
/// Read from the environment by the rules of Python's `huggingface_hub`, so that both programs
/// share one cache. An empty variable counts as unset.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The cache shared with Python: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else
    /// `$HF_HOME/hub`, else `$XDG_CACHE_HOME/huggingface/hub`, else `~/.cache/huggingface/hub`.
    pub hub_cache: PathBuf,
    /// This program's own files: `UNPROMPT_CACHE`, else `$XDG_CACHE_HOME/unprompt`, else
    /// `~/.cache/unprompt`.
    pub own_cache: PathBuf,
    /// Base address of the hub without a trailing slash: `HF_ENDPOINT`, else the public hub.
    pub endpoint: String,
    /// `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else the file `HF_TOKEN_PATH`, else the file
    /// `$HF_HOME/token`.
    pub token: Option<Token>,
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` is 1, ON, YES or TRUE.
    pub offline: bool,
    /// How long a hub may take from the first lookup of its name to the head of its answer before
    /// the next source is tried: `HF_HUB_ETAG_TIMEOUT` seconds, else 4 (so that name resolution
    /// and everything after it end within 5).
    pub answer_timeout: Duration,
    /// How long a transfer may stand still before it is broken off and resumed:
    /// `HF_HUB_DOWNLOAD_TIMEOUT` seconds, else 20.
    pub stall_timeout: Duration,
    /// Certificates to trust instead of the built-in ones, as a PEM file: `SSL_CERT_FILE`, else
    /// `REQUESTS_CA_BUNDLE`.
    pub certificates: Option<PathBuf>,
    /// Python interpreters to try, in order, for packages.
    pub python: Vec<PathBuf>,
    /// The user's home folder, for `~/` in a local path.
    pub home: Option<PathBuf>,
}

/// An access token. It has no `Display` and its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the token out of surrounding white space; `None` when nothing usable is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let usable = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        usable.then(|| Self(text.to_owned()))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

const PUBLIC_ENDPOINT: &str = "https://huggingface.co";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A token file is one line; anything longer is not a token.
const MAX_TOKEN_BYTES: u64 = 4096;

impl Environment {
    /// Reads the variables of this process.
    pub fn from_process() -> Self {
        Self::read(|name| std::env::var_os(name), std::env::home_dir())
    }

    /// Reads variables through `lookup`, with `home` in place of the user's home folder.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Self {
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let path = |name: &str| variable(name).map(|value| expand(value, home.as_deref(), &lookup));

        let user_cache = path("XDG_CACHE_HOME").unwrap_or_else(|| match &home {
            Some(home) => home.join(".cache"),
            // Without a home there is no right place; a folder below the working one can be seen.
            None => PathBuf::from(".cache"),
        });
        let hub_home = path("HF_HOME").unwrap_or_else(|| user_cache.join("huggingface"));
        let hub_cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hub_home.join("hub"));
        let own_cache = path("UNPROMPT_CACHE").unwrap_or_else(|| user_cache.join("unprompt"));
        let token = text("HF_TOKEN")
            .or_else(|| text("HUGGING_FACE_HUB_TOKEN"))
            .and_then(|token| Token::new(&token))
            .or_else(|| {
                read_token(&path("HF_TOKEN_PATH").unwrap_or_else(|| hub_home.join("token")))
            });
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| PUBLIC_ENDPOINT.to_owned());
        let seconds = |name: &str| {
            let seconds = text(name)?.trim().parse::<u64>().ok()?;
            (seconds > 0).then(|| Duration::from_secs(seconds.min(3600)))
        };
        Self {
            hub_cache,
            own_cache,
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            token,
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
                .iter()
                .find_map(|name| text(name))
                .is_some_and(|value| is_true(&value)),
            answer_timeout: seconds("HF_HUB_ETAG_TIMEOUT").unwrap_or(ANSWER_TIMEOUT),
            stall_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT").unwrap_or(STALL_TIMEOUT),
            certificates: path("SSL_CERT_FILE").or_else(|| path("REQUESTS_CA_BUNDLE")),
            python: vec![PathBuf::from("python3"), PathBuf::from("python")],
            home,
        }
    }
}

impl Environment {
    /// The endpoint as it may be shown: without the name and password that somebody may have put
    /// into it.
    pub fn shown_endpoint(&self) -> String {
        without_secrets(&self.endpoint)
    }
}

fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_uppercase().as_str(),
        "1" | "ON" | "YES" | "TRUE"
    )
}

fn read_token(path: &Path) -> Option<Token> {
    let size = path.metadata().ok()?.len();
    (size <= MAX_TOKEN_BYTES)
        .then(|| std::fs::read_to_string(path).ok())?
        .and_then(|t| Token::new(&t))
}

/// `~/` at the start and `$NAME` or `${NAME}` anywhere, as Python expands them; an unset variable
/// stays as written.
fn expand(
    value: OsString,
    home: Option<&Path>,
    lookup: &impl Fn(&str) -> Option<OsString>,
) -> PathBuf {
    let Some(text) = value.to_str() else {
        return PathBuf::from(value);
    };
    let text = expand_variables(text, lookup);
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_path_buf(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(text),
    }
}

fn expand_variables(text: &str, lookup: &impl Fn(&str) -> Option<OsString>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let braced = after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        let (name, tail) = braced.unwrap_or_else(|| {
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            after.split_at(end)
        });
        match lookup(name).and_then(|value| value.into_string().ok()) {
            Some(value) if !name.is_empty() => expanded.push_str(&value),
            _ => expanded.push_str(&rest[dollar..rest.len() - tail.len()]),
        }
        rest = tail;
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(
            |name| {
                variables
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.into())
            },
            Some(PathBuf::from("/home/user")),
        )
    }

    #[test]
    fn the_hub_cache_follows_the_precedence_of_python() {
        let all = [
            ("XDG_CACHE_HOME", "/xdg"),
            ("HF_HOME", "/hf"),
            ("HUGGINGFACE_HUB_CACHE", "/legacy"),
            ("HF_HUB_CACHE", "/hub"),
        ];
        let expected = ["/xdg/huggingface/hub", "/hf/hub", "/legacy", "/hub"];
        assert_eq!(
            read(&[]).hub_cache,
            Path::new("/home/user/.cache/huggingface/hub")
        );
        for (count, expected) in expected.iter().enumerate() {
            assert_eq!(read(&all[..=count]).hub_cache, Path::new(expected));
        }
        assert_eq!(read(&[("HF_HOME", "")]).hub_cache, read(&[]).hub_cache);
    }

    #[test]
    fn the_own_cache_has_its_own_variable() {
        assert_eq!(read(&[]).own_cache, Path::new("/home/user/.cache/unprompt"));
        assert_eq!(
            read(&[("XDG_CACHE_HOME", "/xdg")]).own_cache,
            Path::new("/xdg/unprompt")
        );
        let both = [("XDG_CACHE_HOME", "/xdg"), ("UNPROMPT_CACHE", "/own")];
        assert_eq!(read(&both).own_cache, Path::new("/own"));
    }

    #[test]
    fn home_and_variables_are_expanded_in_paths() {
        assert_eq!(
            read(&[("HF_HOME", "~/models")]).hub_cache,
            Path::new("/home/user/models/hub")
        );
        let nested = [
            ("DISK", "/big"),
            ("HF_HOME", "$DISK/hf"),
            ("UNPROMPT_CACHE", "${DISK}/u"),
        ];
        assert_eq!(read(&nested).hub_cache, Path::new("/big/hf/hub"));
        assert_eq!(read(&nested).own_cache, Path::new("/big/u"));
        assert_eq!(
            read(&[("HF_HOME", "/a/$UNSET/b")]).hub_cache,
            Path::new("/a/$UNSET/b/hub")
        );
        assert_eq!(read(&[("HF_HOME", "/a$")]).hub_cache, Path::new("/a$/hub"));
    }

    #[test]
    fn offline_takes_four_words() {
        for (value, offline) in [
            ("1", true),
            ("on", true),
            ("Yes", true),
            ("TRUE", true),
            ("0", false),
            ("no", false),
        ] {
            assert_eq!(
                read(&[("HF_HUB_OFFLINE", value)]).offline,
                offline,
                "{value}"
            );
        }
        assert!(read(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(!read(&[]).offline);
    }

    #[test]
    fn a_token_comes_from_the_variable_before_the_file_and_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_from_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let from_file = read(&[("HF_HOME", home)]);
        assert_eq!(from_file.token.as_ref().unwrap().secret(), "hf_from_file");
        let from_variable = read(&[("HF_HOME", home), ("HF_TOKEN", " hf_variable ")]);
        assert_eq!(
            from_variable.token.as_ref().unwrap().secret(),
            "hf_variable"
        );
        assert!(!format!("{from_variable:?}{from_file:?}").contains("hf_from_file"));
        assert!(!format!("{from_variable:?}").contains("hf_variable"));
        // A line break would let a token write headers of its own.
        assert!(Token::new("a\r\nx: y").is_none());
    }

    #[test]
    fn endpoint_and_timeouts_have_defaults() {
        assert_eq!(
            read(&[("HF_ENDPOINT", "http://mirror:1/")]).endpoint,
            "http://mirror:1"
        );
        assert_eq!(
            read(&[("HF_HUB_ETAG_TIMEOUT", "9")]).answer_timeout,
            Duration::from_secs(9)
        );
        assert_eq!(
            read(&[("HF_HUB_ETAG_TIMEOUT", "x")]).answer_timeout,
            ANSWER_TIMEOUT
        );
    }
}
