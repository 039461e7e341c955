//! One file a dialect: its routes, its words, its errors.

mod a1111;
mod clip_interrogator;
mod clock;
mod named_models;
mod ollama;
mod openai;
mod own;
mod pictures;
mod status;
mod steps;
mod tei;
mod texts;

use crate::route::Route;

/// The places of all dialects.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = own::routes();
    routes.extend(status::routes());
    routes.extend(a1111::routes());
    routes.extend(clip_interrogator::routes());
    routes.extend(tei::routes());
    routes.extend(openai::routes());
    routes.extend(ollama::routes());
    routes
}
