//! Who may ask.

use crate::{
    error::{ErrorKind, ServeError},
    options::ServeOptions,
};
use axum::http::{HeaderMap, header};

/// Refuses web pages of other origins, names that are not this machine's, and wrong keys.
///
/// A page in the user's browser can send requests to a server that only listens on this machine. It
/// gives itself away by its `Origin`; or, where its own name was made to lead here, by the `Host`.
pub(super) fn check(
    options: &ServeOptions,
    is_open: bool,
    headers: &HeaderMap,
) -> Result<(), ServeError> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST);
    let forbidden = |message: &str| Err(ServeError::new(ErrorKind::Forbidden, message));
    if options.only_local_names && options.api_key.is_none() && !host.is_some_and(is_local) {
        return forbidden(
            "this server answers to names of its own machine only, such as 127.0.0.1 or localhost",
        );
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
        if origin.is_none_or(|(_, origin)| Some(origin) != host) {
            return forbidden("pages of other origins are not answered");
        }
    }
    match &options.api_key {
        Some(key) if !is_open && !key.is_in(headers) => Err(ServeError::new(
            ErrorKind::Unauthorized,
            "the API key is missing or wrong; send it as `Authorization: Bearer KEY`",
        )),
        _ => Ok(()),
    }
}

/// Whether a host, with or without a port, is this machine by itself.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = |address: std::net::IpAddr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiKey;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    fn kind(options: &ServeOptions, pairs: &[(&'static str, &str)]) -> Option<ErrorKind> {
        let checked = check(options, false, &headers(pairs));
        checked.err().map(|error| error.kind())
    }

    #[test]
    fn only_names_of_this_machine_lead_here() {
        let options = ServeOptions {
            only_local_names: true,
            ..ServeOptions::default()
        };
        for host in [
            "127.0.0.1:7870",
            "localhost",
            "LOCALHOST:1",
            "[::1]:7870",
            "127.3.2.1",
        ] {
            assert_eq!(kind(&options, &[("host", host)]), None, "{host}");
        }
        for host in [
            "rebound.example:7870",
            "127.0.0.1.example",
            "0.0.0.0:7870",
            "",
            "localhost.example",
        ] {
            assert_eq!(
                kind(&options, &[("host", host)]),
                Some(ErrorKind::Forbidden),
                "{host}"
            );
        }
        assert_eq!(kind(&options, &[]), Some(ErrorKind::Forbidden));
        assert_eq!(
            kind(&ServeOptions::default(), &[("host", "any.example")]),
            None
        );
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let options = ServeOptions::default();
        let asked = |origin| kind(&options, &[("host", "localhost:7870"), ("origin", origin)]);
        assert_eq!(asked("http://localhost:7870"), None);
        for origin in [
            "http://evil.example",
            "http://localhost:8080",
            "null",
            "http://localhost",
        ] {
            assert_eq!(asked(origin), Some(ErrorKind::Forbidden), "{origin}");
        }
    }

    #[test]
    fn a_key_opens_all_and_open_places_need_none() {
        let options = ServeOptions {
            api_key: Some(ApiKey::new("open-sesame").unwrap()),
            only_local_names: true,
            ..ServeOptions::default()
        };
        assert_eq!(kind(&options, &[]), Some(ErrorKind::Unauthorized));
        let right = [
            ("host", "any.example"),
            ("authorization", "Bearer open-sesame"),
        ];
        assert_eq!(kind(&options, &right), None);
        assert_eq!(check(&options, true, &HeaderMap::new()), Ok(()));
    }
}
