//! Asking.

use crate::{
    address::Address,
    answer::{caption, refusal},
    error::RemoteError,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use std::{fmt, time::Duration};
use ureq::{Agent, Body, http::Response};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// How long a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To take a connection.
    pub connect: Duration,
    /// To answer, from the look-up of its name to the last byte.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(120),
        }
    }
}

/// What is asked of each picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The words.
    pub text: String,
    /// Tokens of the answer at most.
    pub max_tokens: usize,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            text: "Describe this picture in one sentence.".into(),
            max_tokens: 120,
        }
    }
}

/// A model that another server runs.
pub struct Remote {
    address: Address,
    agent: Agent,
    key: Option<String>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("address", &self.address)
            .field("key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// A model by its address. Nothing is asked yet. `key` is sent with each question.
    ///
    /// # Errors
    /// When the key has letters that no header may have.
    pub fn new(
        address: Address,
        key: Option<&str>,
        timeouts: Timeouts,
    ) -> Result<Self, RemoteError> {
        let key = key.map(str::trim).filter(|key| !key.is_empty());
        if key.is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(RemoteError::Key);
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(timeouts.connect))
            .timeout_global(Some(timeouts.answer))
            .user_agent(concat!("unprompt/", env!("CARGO_PKG_VERSION")));
        if address.is_loopback() {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().into(),
            key: key.map(str::to_owned),
            address,
        })
    }

    /// Its whole name.
    pub fn name(&self) -> &str {
        &self.address.name
    }

    /// Asks for the list of models, to see that somebody answers and takes the key. A server that has no such
    /// list is well enough.
    ///
    /// # Errors
    /// When nobody answers, or the key is refused.
    pub fn check(&self) -> Result<(), RemoteError> {
        let mut request = self.agent.get(format!("{}/models", self.address.base));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        match response.status().as_u16() {
            401 | 403 => self.body(response).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// What a picture shows; `png` is the picture as [`png_of`](crate::png_of) packs it.
    ///
    /// # Errors
    /// When nobody answers in time, the server refuses, or the answer is no text.
    pub fn describe(&self, png: &[u8], question: &Question) -> Result<String, RemoteError> {
        let picture = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png));
        let body = json!({
            "model": self.address.model,
            "messages": [{
                "role": "user",
                "content": [
                    { "type": "text", "text": question.text },
                    { "type": "image_url", "image_url": { "url": picture } },
                ],
            }],
            "max_tokens": question.max_tokens,
            "temperature": 0,
            "stream": false,
        });
        let place = format!("{}/chat/completions", self.address.base);
        let mut request = self
            .agent
            .post(place)
            .header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let response = request
            .send(body.to_string().as_bytes())
            .map_err(|error| self.unreachable(&error))?;
        let body = self.body(response)?;
        caption(&body).map_err(|reason| RemoteError::Answer {
            name: self.address.name.clone(),
            reason,
        })
    }

    /// The body of an answer that is none but 200.
    fn body(&self, mut response: Response<Body>) -> Result<Vec<u8>, RemoteError> {
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_vec();
        if status == 200 {
            return body.map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => RemoteError::Answer {
                    name: self.address.name.clone(),
                    reason: format!("it is longer than {LONGEST_ANSWER} bytes"),
                },
                error => self.unreachable(&error),
            });
        }
        let key = self.key.as_deref();
        Err(RemoteError::Refused {
            name: self.address.name.clone(),
            status,
            message: refusal(&body.unwrap_or_default(), key),
            hint: match status {
                401 | 403 if key.is_none() => "; set its key in UNPROMPT_REMOTE_API_KEY",
                401 | 403 => "; the key in UNPROMPT_REMOTE_API_KEY is not the right one",
                300..=399 => "; redirects are not followed, name the address itself",
                404 => "; check the model and the path of the URL",
                429 | 503 => "; it has too much to do, try again later",
                _ => "",
            },
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> RemoteError {
        let reason = match error {
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            ureq::Error::HostNotFound => "the host name is not known".to_owned(),
            error => error.to_string(),
        };
        RemoteError::Unreachable {
            name: self.address.name.clone(),
            reason,
        }
    }
}
