//! text-embeddings-inference, as far as one encoder of texts goes: `router/src/http/server.rs`.

use super::texts::{OneOrMany, body, embedded};
use crate::{
    error::{ErrorKind, ServeError},
    route::{Call, Route, json_answer},
    service::Service,
};
use axum::{http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let embed_route = |path, summary| {
        Route::post(path, summary, embed)
            .body(json!({
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "inputs": { "anyOf": [
                        { "type": "string" },
                        { "type": "array", "items": { "type": "string" } },
                    ] },
                    "normalize": { "type": "boolean", "default": true },
                },
            }))
            .answers(json!({
                "type": "array",
                "items": { "type": "array", "items": { "type": "number" } },
            }))
            .errors(error)
    };
    vec![
        embed_route("/embed", "TEI: the vector of each text."),
        embed_route("/", "TEI: the same, as endpoints have it."),
        Route::get("/info", "TEI: the encoder of texts.", info).errors(error),
    ]
}

/// TEI's form of an error, with its names.
fn error(error: &ServeError) -> Response {
    let kind = error.kind();
    let (status, name) = match kind {
        ErrorKind::Busy => (kind.status(), "overloaded"),
        ErrorKind::Unavailable => (kind.status(), "unhealthy"),
        // A text that the encoder refuses.
        ErrorKind::Picture => (StatusCode::UNPROCESSABLE_ENTITY, "tokenizer"),
        ErrorKind::Bug | ErrorKind::NotLoaded => (StatusCode::FAILED_DEPENDENCY, "backend"),
        _ => (kind.status(), "validation"),
    };
    json_answer(
        status,
        &json!({ "error": error.to_string(), "error_type": name }),
    )
}

#[derive(Deserialize)]
struct EmbedRequest {
    inputs: OneOrMany,
    normalize: Option<bool>,
}

async fn embed(service: Arc<Service>, call: Call) -> Result<Response, ServeError> {
    let EmbedRequest { inputs, normalize } = body(&call).await?;
    let texts = inputs.checked(service.limits())?;
    if texts.is_empty() {
        return Err(ServeError::malformed("`inputs` is empty"));
    }
    let raw = normalize == Some(false);
    let vectors = embedded(&service, texts, raw, call.deadline).await?;
    Ok(json_answer(StatusCode::OK, &vectors))
}

async fn info(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    let catalog = service.catalog();
    let model = match &catalog.text_encoder {
        Ok(model) => model,
        Err(reason) => return Err(ServeError::new(ErrorKind::NotLoaded, reason.clone())),
    };
    let limits = service.limits();
    let known = catalog
        .receipt
        .models
        .iter()
        .find(|known| known.name == *model);
    let answer = json!({
        "model_id": model,
        "model_sha": known.map(|known| &known.revision),
        "model_dtype": known.map_or(catalog.receipt.dtype, |known| known.dtype),
        "model_type": { "embedding": { "pooling": "mean" } },
        "max_concurrent_requests": limits.requests,
        "max_client_batch_size": limits.texts,
        "auto_truncate": true,
        "version": catalog.receipt.version,
    });
    Ok(json_answer(StatusCode::OK, &answer))
}
