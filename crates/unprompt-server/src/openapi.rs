//! The description of all places for programs, made of the routes themselves.

use crate::{
    error::{ErrorKind, ServeError},
    route::{Call, JSON, Route, respond},
    service::Service,
};
use axum::{http::StatusCode, response::Response};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The place of the description, which has itself in it and these.
pub(crate) fn route(others: &[Route]) -> Route {
    let own = |document: String| {
        let handler = move |_: Arc<Service>, _: Call| {
            let answer = respond(StatusCode::OK, JSON, document.clone());
            async { Ok::<Response, ServeError>(answer) }
        };
        Route::get(
            "/openapi.json",
            "All places, for programs: OpenAPI 3.1.",
            handler,
        )
    };
    let undescribed = own(String::new());
    let routes = others.iter().chain([&undescribed]);
    own(document(routes).to_string())
}

/// What any place may answer in place of its own.
const REFUSALS: [(ErrorKind, &str); 12] = [
    (
        ErrorKind::Picture,
        "A picture cannot be decoded, or the request cannot be read.",
    ),
    (ErrorKind::Unauthorized, "The API key is missing or wrong."),
    (
        ErrorKind::Forbidden,
        "A page of another origin, or a name that is not this server's.",
    ),
    (ErrorKind::NotFound, "There is no such model."),
    (ErrorKind::Slow, "The request came too slowly."),
    (
        ErrorKind::TooLarge,
        "The body, a picture or their number is beyond the limits.",
    ),
    (
        ErrorKind::MediaType,
        "The body is of a type that is not read here.",
    ),
    (
        ErrorKind::Invalid,
        "The request asks for something impossible.",
    ),
    (
        ErrorKind::Busy,
        "The queue is full; `Retry-After` says when to try again.",
    ),
    (
        ErrorKind::Bug,
        "A bug, or in some dialects a picture that cannot be read.",
    ),
    (
        ErrorKind::NotLoaded,
        "The server was started without the model.",
    ),
    (
        ErrorKind::Unavailable,
        "It could not be done in time, or the server is about to stop.",
    ),
];

fn document<'a>(routes: impl Iterator<Item = &'a Route>) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let place = paths.entry(route.path).or_insert_with(|| json!({}));
        place[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Unprompt",
            "summary": "Turns an image back into its prompt.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
            },
        },
        "security": [{}, { "key": [] }, { "password": [] }],
    })
}

fn operation(route: &Route) -> Value {
    let mut responses = Map::new();
    for (kind, description) in REFUSALS {
        let status = kind.status().as_u16().to_string();
        responses.insert(status, json!({ "description": description }));
    }
    let (content_type, schema) = &route.answer;
    let mut content = json!({ *content_type: { "schema": schema } });
    if route.streams {
        content["text/event-stream"] = json!({ "schema": { "type": "string" } });
    }
    responses.insert(
        "200".into(),
        json!({ "description": "Done.", "content": content }),
    );
    let mut operation = json!({ "summary": route.summary, "responses": responses });
    if let Some(schema) = &route.body {
        let mut content = json!({ JSON: { "schema": schema } });
        if route.takes_files {
            let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
            content["multipart/form-data"] = json!({ "schema": {
                "type": "object",
                "properties": { "image": { "type": "string", "format": "binary" } },
            } });
            content["image/*"] = bytes;
        }
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if route.is_open {
        operation["security"] = json!([]);
    }
    operation
}

/// The records that commands write and places answer with, by their names: a JSON schema of draft 2020-12.
pub fn record_schemas() -> Value {
    let mut definitions = schemas();
    if let Some(definitions) = definitions.as_object_mut() {
        // What requests have.
        definitions.retain(|name, _| !["Image", "Scored"].contains(&name.as_str()));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The records of unprompt",
        "$defs": definitions,
    })
}

fn schemas() -> Value {
    let vector = json!({ "type": "array", "items": { "type": "number" } });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let text = || json!({ "type": "string" });
    let number = || json!({ "type": "number" });
    json!({
        "Image": { "anyOf": [
            { "type": "string", "description": "base64 or a data URL" },
            object(&["name", "data"], json!({ "name": text(), "data": text() })),
        ] },
        "Scored": { "anyOf": [text(), vector] },
        "Failure": object(&["path", "error"], json!({ "path": text(), "error": text() })),
        "Prediction": object(&["path", "prompt", "source", "embedding", "members", "preset", "elapsed_ms", "receipt"], json!({
            "path": text(),
            "prompt": text(),
            "source": { "enum": ["metadata", "predicted"] },
            "metadata_error": text(),
            "embedding": { "anyOf": [vector, { "type": "null" }] },
            "embedding_error": text(),
            "members": { "type": "array", "items": object(&["name", "weight", "embedding"], json!({
                "name": text(), "weight": number(), "text": text(), "embedding": vector, "length": number(),
            })) },
            "evidence": { "type": "array", "items": object(&["prompt", "similarity"], json!({
                "prompt": text(), "similarity": number(),
            })) },
            "expected_score": number(),
            "preset": text(),
            "elapsed_ms": number(),
            "receipt": object(&["version", "dtype", "models"], json!({
                "version": text(),
                "dtype": text(),
                "models": { "type": "array", "items": object(&["name", "revision", "sha256", "dtype"], json!({
                    "name": text(), "revision": text(), "sha256": text(), "dtype": text(),
                })) },
            })),
        })),
        "Metadata": object(&["path", "found"], json!({
            "path": text(),
            "found": { "type": "boolean" },
            "generator": text(),
            "prompt": text(),
            "negative_prompt": text(),
            "settings": { "type": "object" },
        })),
        "Labels": object(&["path", "labels"], json!({
            "path": text(),
            "labels": { "type": "array", "items": object(&["index", "label", "probability", "logit"], json!({
                "index": { "type": "integer" }, "label": text(), "probability": number(), "logit": number(),
            })) },
        })),
        "Caption": object(&["path", "caption", "token_ids"], json!({
            "path": text(),
            "caption": text(),
            "token_ids": { "type": "array", "items": { "type": "integer" } },
            "score": number(),
            "remote": text(),
        })),
        "Interrogation": object(&["path", "mode"], json!({
            "path": text(),
            "mode": text(),
            "prompt": text(),
            "caption": text(),
            "similarity": number(),
            "complete": { "type": "boolean" },
            "explain": { "type": "array", "items": object(&["phrase", "contribution"], json!({
                "phrase": text(), "contribution": number(),
            })) },
            "tables": { "type": "object", "additionalProperties": {
                "type": "array",
                "items": object(&["label", "similarity"], json!({ "label": text(), "similarity": number() })),
            } },
        })),
        "ImageEmbedding": object(&["path", "embedding"], json!({ "path": text(), "embedding": vector })),
        "Score": object(&["mean_cosine", "n", "per_image"], json!({
            "mean_cosine": number(),
            "n": { "type": "integer" },
            "per_image": { "type": "array", "items": object(&["id", "cosine"], json!({
                "id": text(), "cosine": number(),
            })) },
        })),
        "Tokens": object(&["text", "ids"], json!({
            "text": text(),
            "ids": { "type": "array", "items": { "type": "integer" } },
        })),
        "TextEmbedding": object(&["text", "embedding"], json!({ "text": text(), "embedding": vector })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialects, page};
    use std::collections::BTreeSet;

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                found.extend(
                    object
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_place_is_described_and_every_reference_leads_somewhere() {
        let routes: Vec<Route> = dialects::routes()
            .into_iter()
            .chain(page::routes())
            .collect();
        let document = document(routes.iter());
        let described: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|place| place.as_object().unwrap().len())
            .sum();
        assert_eq!(described, routes.len(), "two routes of one place");
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() >= 8, "{found:?}");
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for route in &routes {
            assert!(route.summary.ends_with('.'), "{}", route.summary);
        }
    }
}
