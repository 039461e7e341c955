//! A table as a store of prompts.

use crate::{
    Address,
    connection::{connect, failed},
    contents::{Contents, column},
    extension::Extension,
    inspect,
};
use half::f16;
use pgvector::HalfVector;
use postgres::{Client, Row, Statement};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use unprompt_index::{
    Candidate, Extent, IndexError, Kept, Match, ModelIdentity, NearestPrompts, PromptCounts,
    PromptStore, Result, Space, rank, unit_queries,
};

const SPACES: [Space; 2] = [Space::Clip, Space::Sentence];

/// The longest list of candidates that pgvector keeps while it walks an HNSW index.
const MOST_CANDIDATES: usize = 1000;

/// A server that could not be reached is not asked again for so long: whoever asks once more for each of
/// many queries would wait for each.
const REST: Duration = Duration::from_secs(1);

/// What became of a search that failed.
const REMAINS: &str = "the search gave nothing";

/// A table made by [`crate::export()`]. Searches wait for each other, since a connection does one thing at a
/// time; a connection that was lost is made once more before a search fails.
pub struct PromptTable {
    address: Address,
    contents: Contents,
    held: Mutex<Held>,
}

/// The connection, or why there is none.
#[derive(Default)]
struct Held {
    session: Option<Session>,
    refused: Option<(Instant, String)>,
}

impl PromptTable {
    /// Connects, and looks at what the table holds.
    ///
    /// # Errors
    /// [`unprompt_index::IndexError::Database`] when the server cannot be reached or refuses, the extension
    /// or the table is missing, or the table is not what an export made.
    pub fn open(address: Address) -> Result<Self> {
        let (contents, session) = Session::open(&address)?;
        Ok(Self {
            address,
            contents,
            held: Mutex::new(Held {
                session: Some(session),
                refused: None,
            }),
        })
    }

    /// A connection anew. The table may have been replaced meanwhile.
    fn reopen(&self, held: &mut Held) -> Result<Session> {
        if let Some((when, message)) = &held.refused
            && when.elapsed() < REST
        {
            return Err(self.address.failed(message.clone()));
        }
        match Session::open(&self.address) {
            Ok((contents, session)) if contents == self.contents => Ok(session),
            Ok(_) => {
                let message = "the table holds other prompts than when it was opened; start again";
                Err(self.address.failed(message))
            }
            Err(error) => {
                if let IndexError::Database { message, .. } = &error {
                    held.refused = Some((Instant::now(), message.clone()));
                }
                Err(error)
            }
        }
    }

    /// The connection that is held, or another one.
    fn session(&self, held: &mut Held) -> Result<Session> {
        match held.session.take() {
            Some(session) if !session.client.is_closed() => Ok(session),
            _ => self.reopen(held),
        }
    }

    /// What the database says to a question.
    fn asked<T>(&self, ask: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut session = self.session(&mut held)?;
        let answer = ask(&mut session);
        held.session = Some(session);
        answer
    }

    fn search(&self, space: Space, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Match>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut session = self.session(&mut held)?;
        let found = queries
            .iter()
            .map(|query| {
                let found = session.nearest(&self.address, space, query, count);
                if found.is_err() && session.client.is_closed() {
                    session = self.reopen(&mut held)?;
                    return session.nearest(&self.address, space, query, count);
                }
                found
            })
            .collect();
        held.session = Some(session);
        found
    }
}

impl fmt::Debug for PromptTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptTable")
            .field("address", &self.address)
            .field("contents", &self.contents)
            .finish_non_exhaustive()
    }
}

impl NearestPrompts for PromptTable {
    fn nearest(&self, space: Space, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Match>>> {
        let width = usize::try_from(self.contents.width(space)).unwrap_or(usize::MAX);
        let queries = unit_queries(queries, width)?;
        if count == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        self.search(space, &queries, count)
    }
}

impl PromptStore for PromptTable {
    fn clip(&self) -> &ModelIdentity {
        &self.contents.clip
    }

    fn sentence(&self) -> &ModelIdentity {
        &self.contents.sentence
    }

    fn prompts(&self) -> &PromptCounts {
        &self.contents.prompts
    }

    fn width(&self, space: Space) -> u64 {
        self.contents.width(space)
    }

    /// The table with its indexes.
    fn extent(&self) -> Result<Extent> {
        self.asked(|session| {
            let approximate = session.clip.is_approximate || session.sentence.is_approximate;
            Ok(Extent {
                bytes: inspect::bytes(&mut session.client, &self.address)?,
                kept: Kept::Table { approximate },
            })
        })
    }

    /// Every prompt in its row; of embeddings the database keeps no digest.
    fn check(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        self.asked(|session| {
            let (client, address) = (&mut session.client, &self.address);
            inspect::check(client, address, &self.contents.prompts, progress)
        })
    }
}

/// A connection with its two prepared searches.
struct Session {
    client: Client,
    is_iterative: bool,
    clip: Search,
    sentence: Search,
}

struct Search {
    statement: Statement,
    /// Whether the column has an HNSW index, which finds most of the nearest rows only.
    is_approximate: bool,
}

impl Session {
    fn open(address: &Address) -> Result<(Contents, Self)> {
        let failed = |error: postgres::Error| failed(address, &error, "the table was not opened");
        let mut client = connect(address)?;
        let extension = Extension::find(&mut client, address)?;
        let table = address.table();
        let row = client
            .query_one(
                "SELECT to_regclass($1) IS NOT NULL, obj_description(to_regclass($1), 'pg_class')",
                &[&table],
            )
            .map_err(failed)?;
        if !row.try_get(0).map_err(failed)? {
            let message = "there is no such table; make it with `unprompt index export DIR --to \
                           ADDRESS`, or name another with `?table=NAME`";
            return Err(address.failed(message));
        }
        let comment: Option<String> = row.try_get(1).map_err(failed)?;
        let contents = Contents::parse(&comment.unwrap_or_default())
            .map_err(|message| address.failed(message))?;
        let mut searches = Vec::new();
        for space in SPACES {
            searches.push(search(&mut client, address, &extension, &contents, space)?);
        }
        let (Some(sentence), Some(clip)) = (searches.pop(), searches.pop()) else {
            return Err(address.failed("the table has no searches"));
        };
        let session = Self {
            client,
            is_iterative: extension.is_iterative,
            clip,
            sentence,
        };
        Ok((contents, session))
    }

    /// The prompts nearest to a query of unit length and of the column's width.
    fn nearest(
        &mut self,
        address: &Address,
        space: Space,
        query: &[f32],
        count: usize,
    ) -> Result<Vec<Match>> {
        let failed = |error: postgres::Error| failed(address, &error, REMAINS);
        let search = match space {
            Space::Clip => &self.clip,
            Space::Sentence => &self.sentence,
        };
        // The server compares with a query of half precision, so a few more rows than are wanted may be
        // among the nearest.
        let wanted = count.saturating_add(count / 8).saturating_add(16);
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let half = HalfVector::from_f32_slice(query);
        let rows = if search.is_approximate {
            let transaction = self.client.build_transaction().read_only(true).start();
            let mut transaction = transaction.map_err(failed)?;
            let candidates = wanted.saturating_mul(2).min(MOST_CANDIDATES);
            let mut settings = format!("SET LOCAL hnsw.ef_search = {candidates};");
            if self.is_iterative {
                settings += "SET LOCAL hnsw.iterative_scan = strict_order;";
            }
            transaction.batch_execute(&settings).map_err(failed)?;
            let rows = transaction.query(&search.statement, &[&half, &limit]);
            let rows = rows.map_err(failed)?;
            transaction.commit().map_err(failed)?;
            rows
        } else {
            self.client
                .query(&search.statement, &[&half, &limit])
                .map_err(failed)?
        };
        let candidates: std::result::Result<Vec<Candidate>, String> =
            rows.iter().map(candidate).collect();
        let candidates = candidates.map_err(|message| address.failed(message))?;
        rank(query, candidates, count)
    }
}

/// Prepares the search of one column, whose type must be what the table's comment says.
fn search(
    client: &mut Client,
    address: &Address,
    extension: &Extension,
    contents: &Contents,
    space: Space,
) -> Result<Search> {
    let failed = |error: postgres::Error| failed(address, &error, "the table was not opened");
    let (table, column, schema) = (address.table(), column(space), &extension.schema);
    let row = client
        .query_opt(
            "SELECT t.typname::text, a.atttypmod, EXISTS (SELECT 1 FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
               WHERE i.indrelid = a.attrelid AND i.indisvalid AND i.indkey[0] = a.attnum \
                 AND m.amname = 'hnsw') \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped",
            &[&table, &column],
        )
        .map_err(failed)?;
    let found: Option<(String, i32)> = match &row {
        Some(row) => Some((
            row.try_get(0).map_err(failed)?,
            row.try_get(1).map_err(failed)?,
        )),
        None => None,
    };
    let width = contents.width(space);
    match found {
        Some((kind, size)) if kind == "halfvec" && u64::try_from(size) == Ok(width) => {}
        found => {
            let found = found.map_or("missing".to_owned(), |(kind, size)| {
                format!("{kind}({size})")
            });
            return Err(address.failed(format!(
                "its column {column} is {found}, and its comment says halfvec({width}); export the \
                 index again"
            )));
        }
    }
    let is_approximate = match row {
        Some(row) => row.try_get(2).map_err(failed)?,
        None => false,
    };
    let sentence = crate::contents::column(Space::Sentence);
    // With an approximate index, a second key would be sorted by after the index gave its rows.
    let ties = if is_approximate { "" } else { ", id" };
    let statement = client.prepare(&format!(
        "SELECT id, prompt, {column}, {sentence} FROM {table} \
         ORDER BY {column} OPERATOR({schema}.<#>) $1::{schema}.halfvec{ties} LIMIT $2"
    ));
    Ok(Search {
        statement: statement.map_err(failed)?,
        is_approximate,
    })
}

/// A row of an answer; an error is in words.
fn candidate(row: &Row) -> std::result::Result<Candidate, String> {
    let failed = |error: postgres::Error| format!("a row is of another shape: {error}");
    let id: i64 = row.try_get(0).map_err(failed)?;
    let bits = |column: usize| -> std::result::Result<Vec<u16>, String> {
        let vector: HalfVector = row.try_get(column).map_err(failed)?;
        Ok(vector
            .as_slice()
            .iter()
            .copied()
            .map(f16::to_bits)
            .collect())
    };
    Ok(Candidate {
        row: u64::try_from(id).map_err(|_| format!("a row has the number {id}"))?,
        prompt: row.try_get(1).map_err(failed)?,
        searched: bits(2)?,
        sentence: bits(3)?,
    })
}
