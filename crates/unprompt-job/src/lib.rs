//! Jobs: a long list of items, each of which becomes one record, whatever happens meanwhile.
//!
//! ```text
//! DIR/job.json               what the job is: command, settings, models, inputs; written last
//!     list.jsonl             the items, one a line: an id, and what the worker has to know
//!     lists/00001.jsonl      items that came later, after a line with their number and digest
//!     locks/                 one file a shard
//!     parts/part-00000.parquet (or .jsonl)   records of the first items, whole
//!     parts/part-00001.journal               records of the part that is in work
//! ```
//!
//! The list, and each that came later, is cut into parts of equal length. Records of a part are appended to its journal as they
//! come; when all are there, the part is written beside its place, synced and renamed, and the journal
//! goes. Going on means: parts that are there are done, and of the others the journal says how far
//! they are.
//!
//! What is done to an item is the business of a worker, a process of its own: one that dies or hangs
//! costs the item that it died of, see [`supervise`].
//!
//! Invariant: record i of a part belongs to item i of the list. Every item has one record: a failure
//! is one with an `error`.
//!
//! Invariant: a record that was journaled is never computed again, and none is there twice. No batch is
//! computed before the records of the one before are journaled: a kill costs one batch at most.
//!
//! Invariant: the same list and the same records are the same bytes, however often the job was
//! interrupted and whichever shards it had.

mod clip_retrieval;
mod error;
mod item;
mod job;
mod journal;
mod list;
mod manifest;
mod merge;
mod part;
mod record;
mod shard;
mod status;
mod supervise;

pub use clip_retrieval::{ClipRetrieval, write_clip_retrieval};
pub use error::JobError;
pub use item::Item;
pub use job::{Arrivals, Job, NewJob, Step};
pub use manifest::{Manifest, Model, PartFormat, VERSION, Work};
pub use merge::{Merged, merge};
pub use part::OpenPart;
pub use record::{Column, ColumnKind};
pub use shard::Shard;
pub use status::{Status, status};
pub use supervise::{Ended, Event, KEPT, Limits, Next, Worker, supervise};
