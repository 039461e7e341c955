//! An index becomes a table, in one transaction.

use crate::{
    Address,
    connection::{connect, failed},
    contents::{Contents, column},
    extension::Extension,
};
use half::f16;
use pgvector::HalfVector;
use postgres::{Transaction, binary_copy::BinaryCopyInWriter, types::Type};
use unprompt_index::{PromptIndex, Result, Space, StoredRow};

/// Rows between two reports of progress.
const REPORT_ROWS: u64 = 1024;

/// Bytes of a row's embeddings that are kept in the table itself: with the rest of a row they fit a page
/// of 8 KiB. PostgreSQL would else move what is longer than 2 KB out of the table, which makes a search
/// several times slower.
const MOST_PLAIN_BYTES: u64 = 7000;

const NOTHING: &str = "nothing was written";

/// Whether a table gets an index that finds most of the nearest rows without looking at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApproximateIndex {
    /// None: every search looks at every row and finds what the folder's search finds.
    #[default]
    None,
    /// pgvector's HNSW with its own defaults, one for each of the two embeddings.
    Hnsw,
}

/// Writes an index into a new table of a database that has pgvector 0.7 or later, all or nothing; a
/// table of the name that is there already is left alone. `progress` is called with the rows of each part.
///
/// # Errors
/// [`unprompt_index::IndexError::Database`] when the server cannot be reached or refuses, the extension is missing, the
/// table is there already, or a prompt holds what PostgreSQL has no place for; and when a file of the index
/// is damaged. Nothing was written then.
pub fn export(
    index: &PromptIndex,
    address: &Address,
    approximate: ApproximateIndex,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let failed = |error: postgres::Error| failed(address, &error, NOTHING);
    let contents = Contents::of(index.manifest());
    let mut client = connect(address)?;
    let mut transaction = client.transaction().map_err(failed)?;
    let extension = Extension::find(&mut transaction, address)?;
    create(&mut transaction, address, &extension, &contents)?;
    copy(&mut transaction, index, address, progress)?;
    finish(
        &mut transaction,
        address,
        &extension,
        &contents,
        approximate,
    )?;
    transaction.commit().map_err(failed)
}

fn create(
    transaction: &mut Transaction<'_>,
    address: &Address,
    extension: &Extension,
    contents: &Contents,
) -> Result<()> {
    let failed = |error: postgres::Error| failed(address, &error, NOTHING);
    let table = address.table();
    let there = transaction.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]);
    if there.and_then(|row| row.try_get(0)).map_err(failed)? {
        let message = "there is a table of this name already; name another with `?table=NAME`, or \
                       drop this one";
        return Err(address.failed(message));
    }
    let widths = [Space::Clip, Space::Sentence].map(|space| contents.width(space));
    let embedding = |space, width| {
        let (column, schema) = (column(space), &extension.schema);
        format!("{column} {schema}.halfvec({width}) NOT NULL")
    };
    let (clip, sentence) = (
        embedding(Space::Clip, widths[0]),
        embedding(Space::Sentence, widths[1]),
    );
    let mut statements = format!(
        "CREATE TABLE {table} (id bigint NOT NULL, prompt text NOT NULL, {clip}, {sentence});"
    );
    if 2 * widths.iter().sum::<u64>() <= MOST_PLAIN_BYTES {
        for space in [Space::Clip, Space::Sentence] {
            let column = column(space);
            statements += &format!("ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE PLAIN;");
        }
    }
    transaction.batch_execute(&statements).map_err(failed)
}

fn copy(
    transaction: &mut Transaction<'_>,
    index: &PromptIndex,
    address: &Address,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let failed = |error: postgres::Error| failed(address, &error, NOTHING);
    let table = address.table();
    let columns = format!(
        "{table} (id, prompt, {}, {})",
        column(Space::Clip),
        column(Space::Sentence)
    );
    // How the server names the type of the two columns.
    let halfvec = transaction
        .prepare(&format!("SELECT {} FROM {table}", column(Space::Clip)))
        .map_err(failed)?;
    let Some(halfvec) = halfvec
        .columns()
        .first()
        .map(|column| column.type_().clone())
    else {
        return Err(address.failed("the server's answer has no columns; nothing was written"));
    };
    let types = [Type::INT8, Type::TEXT, halfvec.clone(), halfvec];
    let writer = transaction.copy_in(&format!("COPY {columns} FROM STDIN (FORMAT binary)"));
    let mut writer = BinaryCopyInWriter::new(writer.map_err(failed)?, &types);
    let mut waiting = 0;
    index.read_rows(&mut |row: StoredRow<'_>| {
        let refused = |message: &str| {
            address.failed(format!(
                "prompt {}: {message}; nothing was written",
                row.row + 1
            ))
        };
        if row.prompt.contains('\0') {
            return Err(refused(
                "it holds the character U+0000, which PostgreSQL cannot",
            ));
        }
        let id = i64::try_from(row.row).map_err(|_| refused("its number is above 2^63"))?;
        let (clip, sentence) = (vector(row.clip), vector(row.sentence));
        writer
            .write(&[&id, &row.prompt, &clip, &sentence])
            .map_err(failed)?;
        waiting += 1;
        if waiting == REPORT_ROWS {
            progress(std::mem::take(&mut waiting));
        }
        Ok(())
    })?;
    let written = writer.finish().map_err(failed)?;
    if written != index.rows() {
        let rows = index.rows();
        return Err(address.failed(format!(
            "the server took {written} rows of {rows}; {NOTHING}"
        )));
    }
    progress(waiting);
    Ok(())
}

fn finish(
    transaction: &mut Transaction<'_>,
    address: &Address,
    extension: &Extension,
    contents: &Contents,
    approximate: ApproximateIndex,
) -> Result<()> {
    let failed = |error: postgres::Error| failed(address, &error, NOTHING);
    let (table, schema) = (address.table(), &extension.schema);
    let comment = contents
        .to_json()
        .map_err(|error| address.failed(format!("{error}; {NOTHING}")))?;
    let comment = transaction
        .query_one("SELECT quote_literal($1::text)", &[&comment])
        .and_then(|row| row.try_get::<_, String>(0))
        .map_err(failed)?;
    let mut statements =
        format!("ALTER TABLE {table} ADD PRIMARY KEY (id); COMMENT ON TABLE {table} IS {comment};");
    if approximate == ApproximateIndex::Hnsw {
        for space in [Space::Clip, Space::Sentence] {
            let column = column(space);
            statements +=
                &format!("CREATE INDEX ON {table} USING hnsw ({column} {schema}.halfvec_ip_ops);");
        }
    }
    statements += &format!("ANALYZE {table};");
    transaction.batch_execute(&statements).map_err(failed)
}

fn vector(bits: &[u16]) -> HalfVector {
    let halves: Vec<f16> = bits.iter().copied().map(f16::from_bits).collect();
    HalfVector::from(halves)
}

/// Drops a table that [`export()`] made; another one is left alone.
///
/// # Errors
/// [`unprompt_index::IndexError::Database`] when the server cannot be reached or refuses, or the table is not there or not
/// one of ours.
pub fn remove(address: &Address) -> Result<()> {
    let mut client = connect(address)?;
    let failed = |error: postgres::Error| failed(address, &error, "the table is as it was");
    let table = address.table();
    let comment = client
        .query_one(
            "SELECT obj_description(to_regclass($1), 'pg_class')",
            &[&table],
        )
        .and_then(|row| row.try_get::<_, Option<String>>(0))
        .map_err(failed)?;
    Contents::parse(&comment.unwrap_or_default()).map_err(|message| address.failed(message))?;
    client
        .batch_execute(&format!("DROP TABLE {table}"))
        .map_err(failed)
}
