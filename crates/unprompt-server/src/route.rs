//! A place that requests go to: what it takes, what answers, and how it words its errors.

use crate::{error::ServeError, service::Service};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{pin::Pin, sync::Arc, time::Instant};

/// A request whose body is in memory.
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When its client is told that there was no time.
    pub(crate) deadline: Instant,
}

/// What a handler gives in the end.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response, ServeError>> + Send>>;

type Handler = Box<dyn Fn(Arc<Service>, Call) -> Answering + Send + Sync>;

/// One place. The router and the documentation are both made of these.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// One sentence.
    pub(crate) summary: &'static str,
    /// The schema of a JSON body, where it takes one.
    pub(crate) body: Option<Value>,
    /// Whether pictures may come as multipart, and a single one as it is.
    pub(crate) takes_files: bool,
    /// Whether it answers in events where a client asks for them.
    pub(crate) streams: bool,
    /// What it answers with: a type and, for JSON, its schema.
    pub(crate) answer: (&'static str, Value),
    /// Whether it is answered without the key.
    pub(crate) is_open: bool,
    pub(crate) errors: fn(&ServeError) -> Response,
    pub(crate) handler: Handler,
}

impl Route {
    fn new<F, A>(method: Method, path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<Service>, Call) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, ServeError>> + Send + 'static,
    {
        Self {
            method,
            path,
            summary,
            body: None,
            takes_files: false,
            streams: false,
            answer: (JSON, json!({ "type": "object" })),
            is_open: false,
            errors: own_error,
            handler: Box::new(move |service, call| Box::pin(handler(service, call))),
        }
    }

    pub(crate) fn get<F, A>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<Service>, Call) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, ServeError>> + Send + 'static,
    {
        Self::new(Method::GET, path, summary, handler)
    }

    pub(crate) fn post<F, A>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<Service>, Call) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, ServeError>> + Send + 'static,
    {
        Self::new(Method::POST, path, summary, handler)
    }

    /// With the schema of its body.
    pub(crate) fn body(self, schema: Value) -> Self {
        let body = Some(schema);
        Self { body, ..self }
    }

    /// With pictures as files too.
    pub(crate) fn files(self) -> Self {
        let takes_files = true;
        Self {
            takes_files,
            ..self
        }
    }

    /// With events in place of one answer, where a client asks for them.
    pub(crate) fn streams(self) -> Self {
        let streams = true;
        Self { streams, ..self }
    }

    /// With the schema of its answer.
    pub(crate) fn answers(self, schema: Value) -> Self {
        let answer = (JSON, schema);
        Self { answer, ..self }
    }

    /// With an answer that is not JSON.
    pub(crate) fn answers_with(self, content_type: &'static str) -> Self {
        let answer = (content_type, json!({ "type": "string" }));
        Self { answer, ..self }
    }

    /// Without a key.
    pub(crate) fn open(self) -> Self {
        let is_open = true;
        Self { is_open, ..self }
    }

    /// With errors in the words of a dialect.
    pub(crate) fn errors(self, errors: fn(&ServeError) -> Response) -> Self {
        Self { errors, ..self }
    }
}

pub(crate) const JSON: &str = "application/json";

/// An answer of a status and a type.
pub(crate) fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let value = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// A record as JSON. Records are written as they are, and never by way of a [`Value`], which would
/// widen their numbers and show digits that they do not have.
pub(crate) fn json_answer(status: StatusCode, record: &impl Serialize) -> Response {
    match serde_json::to_vec(record) {
        Ok(body) => respond(status, JSON, body),
        Err(_) => respond(
            StatusCode::INTERNAL_SERVER_ERROR,
            JSON,
            "{\"error\":\"a record cannot be written\"}",
        ),
    }
}

/// An error in our own words.
pub(crate) fn own_error(error: &ServeError) -> Response {
    let kind = error.kind();
    let body = json!({ "error": error.to_string(), "kind": kind.name() });
    json_answer(kind.status(), &body)
}
