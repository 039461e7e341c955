//! The program as its users run it, as far as that needs no weights.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../../unprompt-server/tests/http_client/mod.rs"]
mod http_client;

mod blend;
#[cfg(unix)]
mod bounds;
mod caption;
mod classify;
mod common;
mod data;
mod data_split;
mod default_preset;
mod doctor;
mod draw;
mod embed;
mod embed_image;
mod end_to_end;
mod eval;
mod failures;
mod fetching;
mod index;
mod interrogate;
mod job;
#[cfg(target_os = "linux")]
mod job_kills;
mod knn;
mod mcp;
mod metadata;
mod metadata_write;
mod models;
mod output;
mod predict;
mod preset_refusals;
mod presets;
mod redraw;
mod reference;
mod remote;
mod score;
mod serve;
mod sidecars;
#[cfg(target_os = "linux")]
mod signals;
mod tokenize;
mod train;
