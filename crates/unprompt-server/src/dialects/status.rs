//! How the server is: for people, load balancers and Prometheus.

use crate::{
    error::{ErrorKind, ServeError},
    route::{Call, Route, json_answer, respond},
    service::Service,
};
use axum::{http::StatusCode, response::Response};
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let status = || {
        json!({
            "type": "object",
            "required": ["status"],
            "properties": { "status": { "type": "string" } },
        })
    };
    vec![
        Route::get(
            "/health",
            "Whether the server is well; TEI's clients ask it too.",
            health,
        )
        .answers(status())
        .open(),
        Route::get("/ready", "Whether more requests are welcome.", ready)
            .answers(status())
            .open(),
        Route::get("/metrics", "Counts, as Prometheus reads them.", metrics)
            .answers_with("text/plain; version=0.0.4; charset=utf-8"),
    ]
}

async fn health(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    match service.illness() {
        Some(illness) => Err(ServeError::new(ErrorKind::Unavailable, illness)),
        None => Ok(json_answer(StatusCode::OK, &json!({ "status": "ok" }))),
    }
}

async fn ready(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    match service.is_draining() {
        true => {
            let message = "the server is about to stop";
            Err(ServeError::new(ErrorKind::Unavailable, message))
        }
        false => Ok(json_answer(StatusCode::OK, &json!({ "status": "ready" }))),
    }
}

async fn metrics(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    let text = service.metrics().text(service.load(), service.is_loaded());
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(respond(StatusCode::OK, content_type, text))
}
