//! What a browser gets: files that are part of the program. They ask nothing of any other place.

use crate::{
    error::ServeError,
    route::{Call, Route, respond},
    service::Service,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use std::sync::Arc;

/// Nothing from elsewhere, no script but ours, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

pub(crate) fn routes() -> Vec<Route> {
    let file = |path, summary, content_type: &'static str, bytes: &'static [u8]| {
        let handler = move |_: Arc<Service>, _: Call| async move {
            let mut response = respond(StatusCode::OK, content_type, bytes);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
            Ok::<Response, ServeError>(response)
        };
        Route::get(path, summary, handler).answers_with(content_type)
    };
    vec![
        file("/", "The page.", HTML, include_bytes!("../page/index.html")),
        file(
            "/app.js",
            "Its script.",
            SCRIPT,
            include_bytes!("../page/app.js"),
        ),
        file(
            "/style.css",
            "Its style.",
            STYLE,
            include_bytes!("../page/style.css"),
        ),
        file(
            "/docs",
            "All places, to be read.",
            HTML,
            include_bytes!("../page/docs.html"),
        ),
        file(
            "/docs.js",
            "Its script.",
            SCRIPT,
            include_bytes!("../page/docs.js"),
        ),
    ]
}
