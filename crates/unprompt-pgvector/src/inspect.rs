//! What a table takes, and whether it holds what was exported.

use crate::{Address, connection::failed};
use postgres::{Client, Row, fallible_iterator::FallibleIterator as _};
use unprompt_index::{PromptCounts, PromptHasher, Result};

/// Rows between two reports of progress.
const REPORT_ROWS: u64 = 1024;

/// Bytes of a table, its indexes and what is stored beside it.
pub(crate) fn bytes(client: &mut Client, address: &Address) -> Result<u64> {
    let failed = |error: postgres::Error| failed(address, &error, "its size is unknown");
    let size = "SELECT pg_total_relation_size(to_regclass($1))";
    let row = client
        .query_one(size, &[&address.table()])
        .map_err(failed)?;
    let bytes: Option<i64> = row.try_get(0).map_err(failed)?;
    let gone = || address.failed("the table is gone");
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(gone)
}

/// Reads all prompts in the order of their rows, one after the other.
pub(crate) fn check(
    client: &mut Client,
    address: &Address,
    expected: &PromptCounts,
    progress: &dyn Fn(u64),
) -> Result<()> {
    let failed = |error: postgres::Error| failed(address, &error, "the table was not checked");
    let statement = format!("SELECT id, prompt FROM {} ORDER BY id", address.table());
    let none: [i64; 0] = [];
    let mut rows = client.query_raw(statement.as_str(), none).map_err(failed)?;
    let (mut hasher, mut count, mut told) = (PromptHasher::default(), 0, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        let (id, prompt) = id_and_prompt(&row).map_err(failed)?;
        if u64::try_from(id) != Ok(count) {
            let message = format!("row {count} is not there, but one of the number {id}");
            return Err(address.failed(format!("{message}; export the index again")));
        }
        hasher.add(prompt);
        count += 1;
        if count - told == REPORT_ROWS {
            progress(REPORT_ROWS);
            told = count;
        }
    }
    progress(count - told);
    if count != expected.rows {
        let rows = expected.rows;
        let message = format!("it has {count} rows, and its comment says {rows}");
        return Err(address.failed(format!("{message}; export the index again")));
    }
    let found = hasher.finish();
    if found != expected.sha256 {
        return Err(address.failed(format!(
            "its prompts are not those that were exported: their SHA-256 is {found}, and its comment \
             says {}; export the index again",
            expected.sha256
        )));
    }
    Ok(())
}

fn id_and_prompt(row: &Row) -> std::result::Result<(i64, &str), postgres::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}
