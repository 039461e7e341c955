//! The name of a model elsewhere.

use crate::error::RemoteError;

const PREFIX: &str = "openai:";
const SCHEMES: [&str; 2] = ["http://", "https://"];

/// Whether a name is that of a model elsewhere, well or badly written.
pub fn is_remote(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// What a model is called by its server, and where that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The whole name, as it was given.
    pub name: String,
    /// The model, as its server calls it.
    pub model: String,
    /// Where the interface is, without a slash at its end: `http://127.0.0.1:11434/v1`.
    pub base: String,
}

impl Address {
    /// Takes `openai:MODEL@URL` apart. A URL that is a host alone means the usual place, `/v1`.
    ///
    /// # Errors
    /// When a part is missing, or the URL has more than a host and a path: a password in it would be shown.
    pub fn parse(name: &str) -> Result<Self, RemoteError> {
        let wrong = |reason: &'static str| RemoteError::Name {
            // What is no name may hold a password.
            name: name
                .split_once('@')
                .map_or(name, |(model, _)| model)
                .to_owned(),
            reason,
        };
        let rest = name
            .strip_prefix(PREFIX)
            .ok_or_else(|| wrong("it does not begin with `openai:`"))?;
        // A model's name may have an `@` too.
        let at = SCHEMES
            .iter()
            .filter_map(|scheme| rest.find(&format!("@{scheme}")))
            .min();
        let at = at.ok_or_else(|| wrong("`@http://...` or `@https://...` is missing"))?;
        let (model, url) = (&rest[..at], &rest[at + 1..]);
        if model.is_empty() {
            return Err(wrong("the model is missing"));
        }
        let base = url.trim_end_matches('/');
        let host = SCHEMES.iter().find_map(|scheme| base.strip_prefix(scheme));
        let host = host.filter(|host| !host.is_empty() && !host.starts_with('/'));
        let host = host.ok_or_else(|| wrong("the host is missing"))?;
        if base.contains(|letter: char| {
            letter.is_whitespace() || letter.is_control() || "@?#\\".contains(letter)
        }) {
            return Err(wrong(
                "the URL is to have a host, a port and a path only; a key goes into UNPROMPT_REMOTE_API_KEY",
            ));
        }
        let place = if host.contains('/') { "" } else { "/v1" };
        Ok(Self {
            name: name.to_owned(),
            model: model.to_owned(),
            base: format!("{base}{place}"),
        })
    }

    /// Whether it is this machine itself, to which no proxy leads.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.base.split_once("://").map_or("", |(_, host)| host);
        let host = host.split('/').next().unwrap_or_default();
        let host = match host.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let is_address = |host: &str| {
            host.parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
        };
        host.eq_ignore_ascii_case("localhost") || is_address(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_model_and_a_place() {
        for (name, model, base) in [
            (
                "openai:llava@http://127.0.0.1:11434",
                "llava",
                "http://127.0.0.1:11434/v1",
            ),
            (
                "openai:qwen2.5-vl:7b@http://host/",
                "qwen2.5-vl:7b",
                "http://host/v1",
            ),
            (
                "openai:a@b@https://host/api/v2/",
                "a@b",
                "https://host/api/v2",
            ),
            (
                "openai:org/model@https://[::1]:8000/v1",
                "org/model",
                "https://[::1]:8000/v1",
            ),
        ] {
            assert!(is_remote(name));
            let found = Address::parse(name).unwrap();
            assert_eq!((found.model.as_str(), found.base.as_str()), (model, base));
            assert_eq!(found.name, name);
        }
    }

    #[test]
    fn what_is_missing_is_said_and_no_password_is_shown() {
        for (name, expected) in [
            ("openai:llava", "`@http://...`"),
            ("openai:llava@ftp://host", "`@http://...`"),
            ("openai:@http://host", "the model is missing"),
            ("openai:llava@http://", "the host is missing"),
            ("openai:llava@http:///v1", "the host is missing"),
            (
                "openai:llava@http://me:canary@host/v1",
                "a host, a port and a path",
            ),
            (
                "openai:llava@http://host/v1?key=canary",
                "a host, a port and a path",
            ),
            (
                "openai:llava@http://host/v1#canary",
                "a host, a port and a path",
            ),
            ("openai:llava@http://ho st", "a host, a port and a path"),
        ] {
            let error = Address::parse(name).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(!is_remote("org/openai") && !is_remote("./openai:x"));
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        let is_loopback = |host: &str| {
            Address::parse(&format!("openai:m@http://{host}"))
                .unwrap()
                .is_loopback()
        };
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:11434",
            "127.9.9.9",
            "[::1]:8000/v1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "host",
            "localhost.example",
            "10.0.0.1",
            "[2001:db8::1]:80",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
