//! Why a request is refused, and the one table of status codes.

use axum::http::StatusCode;
use std::fmt;

/// The class of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A picture cannot be decoded.
    Picture,
    /// The request cannot be read: broken JSON, base64 or multipart.
    Malformed,
    /// The key is missing or wrong.
    Unauthorized,
    /// A web page of another origin, or a name that is not this server's.
    Forbidden,
    /// There is no such place.
    NotFound,
    /// There is no such model here.
    NoSuchModel,
    /// The place is there and takes another method.
    Method,
    /// The request came too slowly.
    Slow,
    /// The body, a picture or their number is beyond the limits.
    TooLarge,
    /// The body is of a type that is not read here.
    MediaType,
    /// The request can be read and asks for something impossible.
    Invalid,
    /// The queue is full.
    Busy,
    /// A bug of ours.
    Bug,
    /// The server was started without the model that is needed.
    NotLoaded,
    /// It could not be done in time, or the server is about to stop.
    Unavailable,
}

impl ErrorKind {
    /// The status code.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Picture | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoSuchModel => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Bug => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotLoaded => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The stable name that bodies of errors have.
    pub fn name(self) -> &'static str {
        match self {
            Self::Picture => "picture",
            Self::Malformed => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NoSuchModel => "no_such_model",
            Self::Method => "method",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Invalid => "invalid",
            Self::Busy => "busy",
            Self::Bug => "bug",
            Self::NotLoaded => "not_loaded",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeError {
    kind: ErrorKind,
    message: String,
}

impl ServeError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// For what cannot happen.
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// The class.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ServeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_status() {
        for (kind, status, name) in [
            (ErrorKind::Picture, 400, "picture"),
            (ErrorKind::Malformed, 400, "malformed"),
            (ErrorKind::Unauthorized, 401, "unauthorized"),
            (ErrorKind::Forbidden, 403, "forbidden"),
            (ErrorKind::NotFound, 404, "not_found"),
            (ErrorKind::NoSuchModel, 404, "no_such_model"),
            (ErrorKind::Method, 405, "method"),
            (ErrorKind::Slow, 408, "slow"),
            (ErrorKind::TooLarge, 413, "too_large"),
            (ErrorKind::MediaType, 415, "media_type"),
            (ErrorKind::Invalid, 422, "invalid"),
            (ErrorKind::Busy, 429, "busy"),
            (ErrorKind::Bug, 500, "bug"),
            (ErrorKind::NotLoaded, 501, "not_loaded"),
            (ErrorKind::Unavailable, 503, "unavailable"),
        ] {
            assert_eq!((kind.status().as_u16(), kind.name()), (status, name));
        }
    }
}
