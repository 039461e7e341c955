//! Texts out of a JSON body, and their vectors.

use super::pictures::{picture_error, something_else};
use crate::{
    error::{ErrorKind, ServeError},
    input::parsed,
    options::Limits,
    route::Call,
    service::Service,
    task::{Answer, Answers, Input, Task},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Instant;

/// The longest text, in bytes. No encoder reads as much.
const LONGEST: usize = 64 << 10;

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// Them as a list.
    ///
    /// # Errors
    /// When there are too many, or one is too long.
    pub(super) fn checked(self, limits: &Limits) -> Result<Vec<String>, ServeError> {
        let texts = match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        };
        let too_large = |message: String| Err(ServeError::new(ErrorKind::TooLarge, message));
        if texts.len() > limits.texts {
            return too_large(format!("more than {} texts in one request", limits.texts));
        }
        if texts.iter().any(|text| text.len() > LONGEST) {
            return too_large(format!("a text is longer than {LONGEST} bytes"));
        }
        Ok(texts)
    }
}

/// A JSON body, whatever the headers call it: clients of other servers are careless there.
///
/// # Errors
/// When it is no JSON, or not what is needed.
pub(super) async fn body<T: DeserializeOwned + Send + 'static>(
    call: &Call,
) -> Result<T, ServeError> {
    let body = call.body.clone();
    parsed(body.len(), move || {
        serde_json::from_slice(&body).map_err(|error| {
            let message = format!("the body: {error}");
            match error.classify() {
                serde_json::error::Category::Data => ServeError::invalid(message),
                _ => ServeError::malformed(message),
            }
        })
    })
    .await
}

/// One vector for each text.
///
/// # Errors
/// When there is no encoder, or a text that it does not take.
pub(super) async fn embedded(
    service: &Service,
    texts: Vec<String>,
    raw: bool,
    deadline: Instant,
) -> Result<Vec<Vec<f32>>, ServeError> {
    if let Err(reason) = &service.catalog().text_encoder {
        return Err(ServeError::new(ErrorKind::NotLoaded, reason.clone()));
    }
    let texts = texts.into_iter().map(Input::Text).collect();
    let answers = service
        .submit(Task::EmbedText { raw }, texts, deadline)
        .await?;
    vectors(answers)
}

/// The vectors of answers.
///
/// # Errors
/// The first that is none.
pub(super) fn vectors(answers: Answers) -> Result<Vec<Vec<f32>>, ServeError> {
    let vector = |answer| match answer {
        Ok(Answer::Vector(vector)) => Ok(vector),
        Ok(_) => Err(something_else()),
        Err(failure) => Err(picture_error(failure)),
    };
    answers.into_iter().map(vector).collect()
}
