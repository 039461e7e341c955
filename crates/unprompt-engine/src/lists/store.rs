//! Prompt indexes by where they are: a folder, or a table of PostgreSQL.

use crate::error::{EngineError, Result};
use std::{path::Path, sync::Arc};
use unprompt_hub::Hub;
use unprompt_index::{PromptIndex, PromptStore};

/// Whether a place is the address of a database rather than a folder.
pub(crate) fn is_database(place: &Path) -> bool {
    place.to_str().is_some_and(database::is_address)
}

/// A place as it may be shown: of an address neither password nor parameters.
pub(crate) fn shown(place: &Path) -> String {
    match place.to_str().filter(|text| database::is_address(text)) {
        Some(address) => database::shown(address),
        None => place.to_string_lossy().into_owned(),
    }
}

/// Whether a place is an address with a password in it.
pub(crate) fn holds_password(place: &Path) -> bool {
    place.to_str().is_some_and(database::holds_password)
}

/// Opens the prompts of a folder that `index build` made, or of a table that [`export_index`] made.
///
/// # Errors
/// When there is no index or a damaged one, the database refuses, or the hub is offline and the place is a
/// database.
pub(crate) fn open_store(hub: &Hub, place: &Path) -> Result<Arc<dyn PromptStore>> {
    match place.to_str().filter(|text| database::is_address(text)) {
        Some(address) => {
            require_network(hub, address)?;
            database::open(address)
        }
        None => Ok(Arc::new(PromptIndex::open(place)?)),
    }
}

/// Writes an index into a new table of PostgreSQL, `postgresql://USER@HOST/DATABASE?table=NAME`, all or
/// nothing; with `approximate` the table gets HNSW indexes. `progress` is called with the rows of each part.
///
/// # Errors
/// When the address is none, the hub is offline, the database refuses or has a table of the name already, or
/// a file of the index is damaged.
pub fn export_index(
    hub: &Hub,
    index: &PromptIndex,
    address: &str,
    approximate: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    require_network(hub, address)?;
    database::export(index, address, approximate, progress)
}

/// Drops a table that [`export_index`] made.
///
/// # Errors
/// When the database refuses, or the table is not one of ours.
pub fn remove_exported(hub: &Hub, address: &str) -> Result<()> {
    require_network(hub, address)?;
    database::remove(address)
}

fn require_network(hub: &Hub, address: &str) -> Result<()> {
    if !hub.is_offline() {
        return Ok(());
    }
    Err(EngineError::Path {
        path: database::shown(address).into(),
        message: "a database is asked through a socket, and none may be opened (--offline or \
                  HF_HUB_OFFLINE)"
            .to_owned(),
    })
}

#[cfg(feature = "postgres")]
mod database {
    use crate::error::Result;
    use std::sync::Arc;
    use unprompt_index::{PromptIndex, PromptStore};
    pub(super) use unprompt_pgvector::is_address;
    use unprompt_pgvector::{Address, ApproximateIndex, PromptTable};

    pub(super) fn shown(address: &str) -> String {
        let parsed = Address::parse(address);
        parsed.map_or_else(|_| "postgresql://".to_owned(), |parsed| parsed.to_string())
    }

    pub(super) fn holds_password(address: &str) -> bool {
        is_address(address) && Address::text_holds_password(address)
    }

    pub(super) fn open(address: &str) -> Result<Arc<dyn PromptStore>> {
        Ok(Arc::new(PromptTable::open(Address::parse(address)?)?))
    }

    pub(super) fn export(
        index: &PromptIndex,
        address: &str,
        approximate: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let approximate = match approximate {
            true => ApproximateIndex::Hnsw,
            false => ApproximateIndex::None,
        };
        let address = Address::parse(address)?;
        Ok(unprompt_pgvector::export(
            index,
            &address,
            approximate,
            progress,
        )?)
    }

    pub(super) fn remove(address: &str) -> Result<()> {
        Ok(unprompt_pgvector::remove(&Address::parse(address)?)?)
    }
}

/// What is left without the feature: addresses are known, and refused.
#[cfg(not(feature = "postgres"))]
mod database {
    use crate::error::{EngineError, Result};
    use std::sync::Arc;
    use unprompt_index::{PromptIndex, PromptStore};

    pub(super) fn is_address(text: &str) -> bool {
        text.starts_with("postgresql://") || text.starts_with("postgres://")
    }

    pub(super) fn shown(_: &str) -> String {
        "postgresql://".to_owned()
    }

    pub(super) fn holds_password(_: &str) -> bool {
        false
    }

    pub(super) fn open(_: &str) -> Result<Arc<dyn PromptStore>> {
        Err(absent())
    }

    pub(super) fn export(_: &PromptIndex, _: &str, _: bool, _: &mut dyn FnMut(u64)) -> Result<()> {
        Err(absent())
    }

    pub(super) fn remove(_: &str) -> Result<()> {
        Err(absent())
    }

    fn absent() -> EngineError {
        EngineError::Path {
            path: "postgresql://".into(),
            message: "this program was built without PostgreSQL; build it with the feature \
                      `postgres`"
                .to_owned(),
        }
    }
}
