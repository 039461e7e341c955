//! The key that clients have to know.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use std::fmt;

/// The shortest key that is taken.
const SHORTEST: usize = 8;

/// A key, kept as its digest: it can be compared and not shown.
#[derive(Clone, Copy)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// A key of at least 8 visible ASCII characters; white space around it is left out.
    ///
    /// # Errors
    /// When it is too short or has characters that a header cannot carry. The message does not show it.
    pub fn new(key: &str) -> Result<Self, String> {
        let key = key.trim();
        if key.len() < SHORTEST {
            return Err(format!("the API key is shorter than {SHORTEST} characters"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the API key has characters other than visible ASCII ones".into());
        }
        Ok(Self(digest(key.as_bytes())))
    }

    /// Whether a request has the key: as `Authorization: Bearer KEY`, as the password of
    /// `Authorization: Basic` with any user's name, which is what browsers and AUTOMATIC1111's clients
    /// send, or as `X-Api-Key: KEY`.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let own = headers
            .get("x-api-key")
            .map(|value| value.as_bytes().to_vec());
        let authorization = headers.get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| in_authorization(value.as_bytes()));
        // Both are compared whatever the first gives.
        let [own, authorization] = [own, authorization]
            .map(|given| given.is_some_and(|given| self.is_equal(&digest(&given))));
        own | authorization
    }

    /// In a time that does not depend on what is equal: digests of equal length, and no early end.
    fn is_equal(&self, other: &[u8; 32]) -> bool {
        let pairs = self.0.iter().zip(other);
        let difference = pairs.fold(0, |difference, (own, other)| difference | (own ^ other));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(not shown)")
    }
}

fn in_authorization(value: &[u8]) -> Option<Vec<u8>> {
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(at);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(rest).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn the_key_is_taken_in_each_form_and_nothing_else_is() {
        let key = ApiKey::new(" open-sesame\n").unwrap();
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for (name, value) in [
            ("authorization", "Bearer open-sesame".to_owned()),
            ("authorization", "bearer  open-sesame".to_owned()),
            ("authorization", basic("anybody:open-sesame")),
            ("authorization", basic(":open-sesame")),
            ("x-api-key", "open-sesame".to_owned()),
        ] {
            assert!(key.is_in(&headers(name, &value)), "{value}");
        }
        for (name, value) in [
            ("authorization", "Bearer open-sesam".to_owned()),
            ("authorization", "Bearer open-sesame2".to_owned()),
            ("authorization", "Bearer".to_owned()),
            ("authorization", "open-sesame".to_owned()),
            ("authorization", basic("open-sesame")),
            ("authorization", "Basic !!!".to_owned()),
            ("authorization", "Digest open-sesame".to_owned()),
            ("x-api-key", String::new()),
            ("api-key", "open-sesame".to_owned()),
        ] {
            assert!(!key.is_in(&headers(name, &value)), "{value}");
        }
        assert!(!key.is_in(&HeaderMap::new()));
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = ApiKey::new("open-sesame").unwrap();
        assert!(!format!("{key:?}").contains("sesame"));
        for (key, message) in [
            ("sesame", "shorter"),
            ("open sesame", "visible"),
            ("schlüssel", "visible"),
        ] {
            let error = ApiKey::new(key).unwrap_err();
            assert!(error.contains(message) && !error.contains(key), "{error}");
        }
    }
}
