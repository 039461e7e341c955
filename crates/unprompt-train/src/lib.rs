//! Heads between a frozen image tower and the sentence encoder.
//!
//! ```text
//! pictures --tower--> features  \
//!                                SourceRows --ridge--> Ridge --save--> head.safetensors
//! captions --encoder--> targets /                                      config.json
//! ```
//!
//! Invariant: this crate knows no model and no data set; features and embeddings come through the
//! caller, who keeps the dear ones in a [`VectorStore`].
//!
//! Invariant: everything is computed in f64, each sum in one fixed order, so that a head has the
//! same bits with any number of threads.
//!
//! Invariant: a head's folder is written whole, its configuration last.

mod cholesky;
mod error;
mod head;
mod ridge;
mod rows;
mod store;

pub use error::{Result, TrainError};
pub use head::{HeadConfig, SourceNotice, save_head};
pub use ridge::{Ridge, RidgeOptions, ridge};
pub use rows::SourceRows;
pub use store::VectorStore;
