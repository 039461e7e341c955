//! Requests to a hub: redirects by hand, so that the token goes to the hub and nowhere else.
//!
//! Why not the `hf-hub` crate: it compares neither the length nor the hash of what arrived, does
//! not flush a file before it gets its name, reads none of the hub's environment variables, and
//! needs an async runtime. `ureq` is blocking, has a limit for every phase of a request, and
//! leaves redirects and files to us, which is what resuming and checking need.

use crate::{
    Error, Result,
    address::{Origin, percent_encode, without_secrets},
    environment::Environment,
    progress::HighWater,
    storage,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use unprompt_files::Failpoint;
use ureq::{
    Agent, Body, ResponseExt as _,
    config::AutoHeaderValue,
    http::{HeaderMap, Response},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

const MAX_REDIRECTS: usize = 6;
/// Attempts without a single new byte before a transfer is given up.
const MAX_FRUITLESS_ATTEMPTS: u32 = 4;
/// Attempts in all: a server that hands out a few bytes at a time does not keep us for ever.
const MAX_ATTEMPTS: u32 = 100;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A listing of a repository's files; those of models are some hundred kilobytes.
const MAX_JSON_BYTES: u64 = 8 << 20;
/// A listing has this many times the time of an answer, in all: 40 seconds where nothing else is set.
const JSON_PATIENCE: u32 = 10;
/// A transfer that brings less, a second, is given up, ...
const SLOWEST: u64 = 1 << 10;
/// ... counted over this many times the time that it may stand still: a minute where nothing else is
/// set.
const SLOW_PATIENCE: u32 = 3;

/// Speaks to one hub.
pub(crate) struct Client<'a> {
    environment: &'a Environment,
    agent: Agent,
    endpoint: Origin,
}

/// What the hub says about a file before it is fetched.
#[derive(Debug)]
pub(crate) struct FileHead {
    /// `x-repo-commit`.
    pub(crate) commit: Option<String>,
    /// `x-linked-etag`, else `etag`, without quotes and weak mark.
    pub(crate) etag: Option<String>,
    /// `x-linked-size`, else `content-length`.
    pub(crate) size: Option<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Method {
    Head,
    /// A small document.
    Json,
    Get {
        from: u64,
    },
}

impl<'a> Client<'a> {
    pub(crate) fn new(environment: &'a Environment) -> Result<Self> {
        let endpoint = Origin::of(&environment.endpoint)?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Bytes are counted and hashed as stored; a compressed transfer would change them.
            .accept_encoding(AutoHeaderValue::Provided(Arc::new("identity".to_owned())))
            .user_agent(concat!("unprompt/", env!("CARGO_PKG_VERSION")));
        if endpoint.is_loopback() {
            config = config.proxy(None);
        }
        if let Some(path) = &environment.certificates {
            config = config.tls_config(
                TlsConfig::builder()
                    .root_certs(read_certificates(path)?)
                    .build(),
            );
        }
        Ok(Self {
            environment,
            agent: config.build().into(),
            endpoint,
        })
    }

    /// The address of a file.
    pub(crate) fn file_address(&self, repository: &str, revision: &str, path: &str) -> String {
        format!(
            "{}/{repository}/resolve/{}/{}",
            self.environment.endpoint,
            percent_encode(revision, ""),
            percent_encode(path, "/")
        )
    }

    /// A place of the hub, as messages may show it.
    pub(crate) fn shown_address(&self, path: &str) -> String {
        let endpoint = &self.environment.endpoint;
        without_secrets(&format!("{endpoint}/{}", path.trim_start_matches('/')))
    }

    /// Asks for a file's commit, name and size. Everything, from looking the host up to the last
    /// header, has `answer_timeout` in all.
    pub(crate) fn head(&self, address: &str) -> Result<FileHead> {
        let (response, own_headers) = self.send(Method::Head, address)?;
        let status = response.status().as_u16();
        if !(200..400).contains(&status) {
            return Err(refused(address, status));
        }
        let header = |name: &str| own_headers.get(name).and_then(|value| value.to_str().ok());
        let etag = header("x-linked-etag").or_else(|| header("etag"));
        let size = header("x-linked-size").or_else(|| header("content-length"));
        Ok(FileHead {
            commit: header("x-repo-commit").map(str::to_owned),
            etag: etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned()),
            size: size.and_then(|size| size.trim().parse().ok()),
        })
    }

    /// Fetches a small JSON document of the hub's interface.
    pub(crate) fn json(&self, path: &str) -> Result<Vec<u8>> {
        let address = format!("{}{path}", self.environment.endpoint);
        let (mut response, _) = self.send(Method::Json, &address)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(refused(&address, status));
        }
        response
            .body_mut()
            .with_config()
            .limit(MAX_JSON_BYTES)
            .read_to_vec()
            .map_err(|error| {
                let timeout = self.environment.answer_timeout * JSON_PATIENCE;
                network(&address, &error, timeout)
            })
    }

    /// Fetches a file into `part`, going on from what is there, until it has `size` bytes.
    ///
    /// A cut or stalled connection is taken up again with a range request. Neither size nor
    /// content of what was there is trusted: the caller hashes the whole file afterwards.
    pub(crate) fn download(
        &self,
        address: &str,
        part: &Path,
        size: u64,
        progress: &mut HighWater<'_>,
    ) -> Result<()> {
        let mut file = open_part(part).map_err(|error| Error::io("write", part, error))?;
        let mut fruitless = 0;
        let mut last_error = None;
        for _ in 0..MAX_ATTEMPTS {
            let have = prepared_length(&mut file, part, size)?;
            progress.reach(have);
            if have == size {
                return Failpoint::Sync
                    .pass()
                    .and_then(|()| file.sync_all())
                    .map_err(|error| Error::io("write", part, error));
            }
            if fruitless > 0 {
                std::thread::sleep(FIRST_PAUSE * (1 << (fruitless - 1)));
            }
            match self.attempt(address, &mut file, part, have, size, progress) {
                Ok(()) => {}
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Again(error)) => last_error = Some(error),
            }
            let length = file
                .metadata()
                .map_err(|error| Error::io("read", part, error))?
                .len();
            fruitless = if length > have { 0 } else { fruitless + 1 };
            if fruitless == MAX_FRUITLESS_ATTEMPTS {
                break;
            }
        }
        let have = file.metadata().map_or(0, |metadata| metadata.len());
        Err(last_error.unwrap_or_else(|| Error::Network {
            address: without_secrets(address),
            reason: format!("the answer ended after {have} of {size} bytes"),
        }))
    }

    fn attempt(
        &self,
        address: &str,
        file: &mut File,
        part: &Path,
        have: u64,
        size: u64,
        progress: &mut HighWater<'_>,
    ) -> Result<(), Attempt> {
        let asked = Instant::now();
        let (response, _) = self
            .send(Method::Get { from: have }, address)
            .map_err(|error| {
                // Silence from the start is a host that is not there for us; asking again would only
                // keep the next source waiting.
                let silent = asked.elapsed() >= self.environment.answer_timeout;
                if have == 0 && silent {
                    Attempt::Final(error)
                } else {
                    Attempt::Again(error)
                }
            })?;
        // Whoever answered in the end is the one to name.
        let answered = response.get_uri().to_string();
        let status = response.status().as_u16();
        let start = match status {
            200 => 0,
            206 if range_start(response.headers()) == Some(have) => have,
            // The server disagrees about what can be resumed: begin anew.
            206 | 416 => {
                return truncate(file, part)
                    .and_then(|()| Err(refused(&answered, status)))
                    .map_err(Attempt::Again);
            }
            429 | 500..=599 => return Err(Attempt::Again(refused(&answered, status))),
            _ => return Err(Attempt::Final(refused(&answered, status))),
        };
        if let Some(length) = response.body().content_length()
            && start + length != size
        {
            let found = format!("{} bytes", start + length);
            return Err(Attempt::Final(storage::size_mismatch(
                &without_secrets(address),
                size,
                found,
            )));
        }
        if start == 0 && have > 0 {
            truncate(file, part).map_err(Attempt::Final)?;
        }
        let body = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        self.copy_body(address, body, file, part, start, size, progress)
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one transfer")]
    fn copy_body(
        &self,
        address: &str,
        mut body: impl Read,
        file: &mut File,
        part: &Path,
        start: u64,
        size: u64,
        progress: &mut HighWater<'_>,
    ) -> Result<(), Attempt> {
        let mut buffer = vec![0; 1 << 16];
        let mut position = start;
        let window = self.environment.stall_timeout * SLOW_PATIENCE;
        let least = SLOWEST.saturating_mul(window.as_secs().max(1));
        let (mut since, mut had) = (Instant::now(), position);
        loop {
            if since.elapsed() >= window {
                if position - had < least {
                    return Err(Attempt::Final(Error::Network {
                        address: without_secrets(address),
                        reason: format!(
                            "only {} bytes in {} seconds, {position} of {size} in all: given up",
                            position - had,
                            since.elapsed().as_secs()
                        ),
                    }));
                }
                (since, had) = (Instant::now(), position);
            }
            let n = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let silent = position == 0 && error.kind() == std::io::ErrorKind::TimedOut;
                    let error = Error::Network {
                        address: without_secrets(address),
                        reason: format!("broke off after {position} of {size} bytes: {error}"),
                    };
                    return Err(if silent {
                        Attempt::Final(error)
                    } else {
                        Attempt::Again(error)
                    });
                }
            };
            if position + n as u64 > size {
                // More than was announced: nothing of it can be right.
                let _ = truncate(file, part);
                let found = format!("more than {size} bytes");
                let subject = without_secrets(address);
                return Err(Attempt::Final(storage::size_mismatch(
                    &subject, size, found,
                )));
            }
            Failpoint::Write
                .pass()
                .and_then(|()| file.write_all(&buffer[..n]))
                .map_err(|error| Attempt::Final(Error::io("write", part, error)))?;
            position += n as u64;
            progress.reach(position);
        }
    }

    /// Sends a request and follows redirects. Also gives the headers that came from the hub
    /// itself, the first answer's first: an address it redirects to may not speak for it.
    fn send(&self, method: Method, address: &str) -> Result<(Response<Body>, HeaderMap)> {
        let timeout = self.environment.answer_timeout;
        let deadline = Instant::now() + timeout;
        let mut own_headers = HeaderMap::new();
        let mut address = address.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let origin = Origin::of(&address)?;
            let is_hub = origin == self.endpoint;
            let left = deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            let response = self
                .call(method, &address, is_hub, left)
                .map_err(|error| network(&address, &error, timeout))?;
            if is_hub {
                for (name, value) in response.headers() {
                    if !own_headers.contains_key(name) {
                        own_headers.insert(name.clone(), value.clone());
                    }
                }
            }
            let location = response
                .headers()
                .get("location")
                .filter(|_| response.status().is_redirection())
                .and_then(|location| location.to_str().ok());
            let Some(location) = location else {
                return Ok((response, own_headers));
            };
            let next = origin.resolve(location, &address)?;
            // The hub has said all it knows; where the bytes lie is asked when they are wanted.
            if method == Method::Head && Origin::of(&next)? != self.endpoint {
                return Ok((response, own_headers));
            }
            address = next;
        }
        Err(Error::Network {
            address: without_secrets(&address),
            reason: format!("more than {MAX_REDIRECTS} redirects"),
        })
    }

    fn call(
        &self,
        method: Method,
        address: &str,
        with_token: bool,
        left: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = match method {
            Method::Head => self.agent.head(address),
            Method::Json | Method::Get { .. } => self.agent.get(address),
        };
        if let (true, Some(token)) = (with_token, &self.environment.token) {
            request = request.header("authorization", format!("Bearer {}", token.secret()));
        }
        if let Method::Get { from } = method
            && from > 0
        {
            request = request.header("range", format!("bytes={from}-"));
        }
        let config = request
            .config()
            .timeout_resolve(Some(left))
            .timeout_connect(Some(left))
            .timeout_send_request(Some(left))
            .timeout_recv_response(Some(left));
        match method {
            Method::Head => config.timeout_global(Some(left)),
            // In all, so that a byte now and then does not keep us.
            Method::Json => {
                config.timeout_global(Some(self.environment.answer_timeout * JSON_PATIENCE))
            }
            // A hub that falls silent before the first byte is noticed as soon as one that never
            // answers; one that has given some is given more time.
            Method::Get { from: 0 } => {
                config.timeout_per_read(Some(self.environment.answer_timeout))
            }
            Method::Get { .. } => config.timeout_per_read(Some(self.environment.stall_timeout)),
        }
        .build()
        .call()
    }
}

/// Whether a failed attempt is worth another one.
enum Attempt {
    Again(Error),
    Final(Error),
}

/// Opens the part of a file, or makes it. What stands there and is no file, such as a link that leads
/// elsewhere, is taken away, never written through.
fn open_part(part: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match fs::symlink_metadata(part) {
        Ok(found) if found.is_file() => return options.open(part),
        Ok(_) => fs::remove_file(part)?,
        Err(_) => {}
    }
    Failpoint::Create.pass()?;
    // Made anew it follows no link that was put there since.
    options.create_new(true).open(part)
}

fn prepared_length(file: &mut File, part: &Path, size: u64) -> Result<u64> {
    let length = file
        .metadata()
        .map_err(|error| Error::io("read", part, error))?
        .len();
    if length > size {
        truncate(file, part)?;
        return Ok(0);
    }
    file.seek(SeekFrom::Start(length))
        .map_err(|error| Error::io("write", part, error))?;
    Ok(length)
}

fn truncate(file: &mut File, part: &Path) -> Result<()> {
    Failpoint::Write
        .pass()
        .and_then(|()| file.set_len(0))
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .map(drop)
        .map_err(|error| Error::io("write", part, error))
}

/// N of `content-range: bytes N-M/T`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get("content-range")?.to_str().ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

fn read_certificates(path: &Path) -> Result<RootCerts> {
    let pem = fs::read(path).map_err(|error| Error::io("read certificates", path, error))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        let none = std::io::Error::new(std::io::ErrorKind::InvalidData, "no certificate in it");
        return Err(Error::io("read certificates", path, none));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

fn refused(address: &str, status: u16) -> Error {
    Error::Status {
        address: without_secrets(address),
        status,
        hint: match status {
            401 | 403 => {
                ": access is refused; the repository may be private, gated or absent: set HF_TOKEN \
                 and accept its terms"
            }
            404 => ": no such repository, revision or file",
            429 => ": too many requests",
            500..=599 => ": the server is in trouble",
            _ => "",
        },
    }
}

fn network(address: &str, error: &ureq::Error, timeout: Duration) -> Error {
    let reason = match error {
        ureq::Error::Timeout(_) => format!("no answer within {} seconds", timeout.as_secs_f32()),
        ureq::Error::HostNotFound => "the host name is not known".to_owned(),
        other => other.to_string(),
    };
    Error::Network {
        address: without_secrets(address),
        reason,
    }
}
