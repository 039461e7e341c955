//! The program as its users run it, as far as that needs no weights.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../../unprompt-server/tests/http_client/mod.rs"]
mod http_client;

mod blend;
mod caption;
mod classify;
mod common;
mod default_preset;
mod doctor;
mod draw;
mod embed;
mod embed_image;
mod end_to_end;
mod eval;
mod fetching;
mod index;
mod interrogate;
mod job;
mod knn;
mod metadata;
mod metadata_write;
mod models;
mod output;
mod predict;
mod preset_refusals;
mod presets;
mod redraw;
mod score;
mod serve;
mod sidecars;
mod tokenize;
mod train;
