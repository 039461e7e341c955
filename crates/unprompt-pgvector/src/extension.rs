//! The extension pgvector of a database.

use crate::{Address, connection::failed};
use postgres::GenericClient;
use unprompt_index::Result;

/// The first version with half-precision vectors.
const FIRST: [u32; 2] = [0, 7];
/// The first whose approximate search goes on until it has as many rows as are asked for.
const ITERATIVE: [u32; 2] = [0, 8];

/// pgvector as a database has it.
#[derive(Debug)]
pub(crate) struct Extension {
    /// The schema of its types and operators, in quotation marks.
    pub(crate) schema: String,
    /// Whether an approximate search can go on beyond its list of candidates.
    pub(crate) is_iterative: bool,
}

impl Extension {
    /// Looks for the extension; it is not installed, which is the owner's to decide.
    pub(crate) fn find(client: &mut impl GenericClient, address: &Address) -> Result<Self> {
        let failed = |error: postgres::Error| failed(address, &error, "nothing was changed");
        let found = client.query_opt(
            "SELECT e.extversion, quote_ident(n.nspname)::text FROM pg_extension e \
             JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'",
            &[],
        );
        let Some(row) = found.map_err(failed)? else {
            let message = "the database lacks the extension pgvector; its owner installs it with \
                           `CREATE EXTENSION vector`";
            return Err(address.failed(message));
        };
        let text: String = row.try_get(0).map_err(failed)?;
        let version = numbers(&text);
        if version < FIRST {
            return Err(address.failed(format!(
                "its pgvector is {text}, and 0.7 or later is needed; update it with `ALTER \
                 EXTENSION vector UPDATE`"
            )));
        }
        Ok(Self {
            schema: row.try_get(1).map_err(failed)?,
            is_iterative: version >= ITERATIVE,
        })
    }
}

/// The first two numbers of a version.
fn numbers(version: &str) -> [u32; 2] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 2].map(|()| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("0.6.2") < FIRST && numbers("0.10.0") > ITERATIVE);
        assert!(numbers("1.0") > ITERATIVE && numbers("") < FIRST);
    }
}
