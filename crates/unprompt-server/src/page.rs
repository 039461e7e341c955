//! What a browser gets: files that are part of the program. They ask nothing of any other place.

use crate::{
    error::ServeError,
    route::{Call, Route, json_answer, respond},
    service::Service,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;
use std::sync::Arc;

/// Nothing from elsewhere, no script but ours, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

/// The file of the page's folder with this name, at this place.
macro_rules! file {
    ($name:literal, $content_type:expr) => {
        file!(concat!("/page/", $name), $name, $content_type)
    };
    ($path:expr, $name:literal, $content_type:expr) => {
        File {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../page/", $name)),
        }
    };
}

/// The page, which is shown to everybody: what it can do needs the key, which it asks for.
const PAGE: [File; 20] = [
    file!("/", "index.html", HTML),
    file!("style.css", STYLE),
    file!("analysis.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("bars.js", SCRIPT),
    file!("card.js", SCRIPT),
    file!("copy.js", SCRIPT),
    file!("details.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("editor.js", SCRIPT),
    file!("export.js", SCRIPT),
    file!("history.js", SCRIPT),
    file!("intake.js", SCRIPT),
    file!("key.js", SCRIPT),
    file!("queue.js", SCRIPT),
    file!("theme.js", SCRIPT),
    file!("thumbnail.js", SCRIPT),
    file!("vectors.js", SCRIPT),
    file!("docs.js", SCRIPT),
];

/// The list of all places, for those with the key.
const DOCS: File = file!("/docs", "docs.html", HTML);

pub(crate) fn routes() -> Vec<Route> {
    let page = PAGE.into_iter().map(|file| {
        let summary = match file.path {
            "/" => "The page.",
            _ => "A file of the page.",
        };
        route(file, summary).open()
    });
    let docs = route(DOCS, "All places, to be read.");
    let server = Route::get(
        "/page/server.json",
        "What the server was started with, as far as the page has to know.",
        server,
    );
    page.chain([docs, server]).collect()
}

fn route(file: File, summary: &'static str) -> Route {
    let File {
        path,
        content_type,
        bytes,
    } = file;
    let handler = move |_: Arc<Service>, _: Call| async move {
        let mut response = respond(StatusCode::OK, content_type, bytes);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        Ok::<Response, ServeError>(response)
    };
    Route::get(path, summary, handler).answers_with(content_type)
}

async fn server(service: Arc<Service>, _: Call) -> Result<Response, ServeError> {
    let (catalog, limits) = (service.catalog(), service.limits());
    let answer = json!({
        "preset": catalog.preset,
        "text_encoder": catalog.text_encoder.as_ref().ok(),
        "text_encoder_missing": catalog.text_encoder.as_ref().err(),
        "classifier": catalog.classifier,
        "clip": catalog.clip,
        "limits": { "pictures": limits.pictures, "body": limits.body },
    });
    Ok(json_answer(StatusCode::OK, &answer))
}
