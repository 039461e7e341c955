//! Web addresses: whom they lead to, and what of them may be shown.

use crate::{Error, Result};
use ureq::http::Uri;

/// Scheme, host and port: whom a request goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    pub(crate) fn of(address: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::Network {
            address: without_secrets(address),
            reason: reason.to_owned(),
        };
        let uri: Uri = address.parse().map_err(|_| invalid("not an address"))?;
        let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(invalid("not an http or https address")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| invalid("the address has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("the address has a user name in it"));
        }
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self {
            scheme,
            host: authority.host().to_ascii_lowercase(),
            port,
        })
    }

    pub(crate) fn is_loopback(&self) -> bool {
        matches!(self.host.as_str(), "127.0.0.1" | "localhost" | "[::1]")
    }

    /// The address that a `location` header of this origin means.
    pub(crate) fn resolve(&self, location: &str, from: &str) -> Result<String> {
        let refuse = |reason: &str| Error::Network {
            address: without_secrets(from),
            reason: format!("redirected {reason}"),
        };
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok(format!(
                "{}://{}:{}{location}",
                self.scheme, self.host, self.port
            ));
        }
        let target = Origin::of(location).map_err(|_| refuse("to something that is no address"))?;
        if self.scheme == "https" && target.scheme != "https" {
            return Err(refuse("from https to plain http, which is refused"));
        }
        Ok(location.to_owned())
    }
}

/// An address as messages may show it: signed addresses keep their signature in the query, and
/// endpoints may have a user's name and password before the host.
pub(crate) fn without_secrets(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    // A password may have such characters in it, and end the authority too early.
    let is_host = !authority.contains('@')
        && authority
            .rsplit_once(':')
            .is_none_or(|(host, port)| host.ends_with(']') || port.parse::<u16>().is_ok());
    let (hidden, rest) = match rest.rfind('@') {
        Some(at) if !is_host => ("...@", &rest[at + 1..]),
        _ => ("", rest),
    };
    let shown = rest.split(['?', '#']).next().unwrap_or(rest);
    format!("{scheme}{hidden}{shown}")
}

/// Percent-encodes all but unreserved characters and those in `keep`.
pub(crate) fn percent_encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(character) || keep.contains(character) {
            encoded.push(character);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_an_address_is_shown() {
        for (address, shown) in [
            ("https://host/a?sig=secret#x", "https://host/a"),
            ("http://user:secret@host:1/a", "http://...@host:1/a"),
            ("http://user:se/cr?et@host/a", "http://...@host/a"),
            ("secret@host", "...@host"),
            ("http://host:80/a@b", "http://host:80/a@b"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("http://host/?a@b", "http://host/"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
        let error = Origin::of("http://user:secret@host")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
