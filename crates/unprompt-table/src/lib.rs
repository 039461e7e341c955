//! Tables in parquet files: texts, numbers and vectors, column by column.
//!
//! Read through parquet's plain column reader (its reader into arrow's arrays divides by numbers of the
//! file without a look at them) and written column by column (arrow's arrays take longer to build than
//! all else that this program knows of parquet).
//!
//! Invariant: a file is untrusted: whatever is in it ends in values or in a [`TableError`], never in a
//! panic.
//!
//! Invariant: the same rows are the same bytes.

pub mod arrow_schema;
mod error;
mod read;
mod structures;
mod write;

pub use error::TableError;
pub use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type,
};
pub use read::{Column, ColumnShape, Lists, Table, Vectors};
pub use write::{Cell, Field, Kind, TableWriter};
