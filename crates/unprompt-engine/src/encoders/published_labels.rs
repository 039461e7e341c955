//! Label embeddings that the author of clip-interrogator publishes for CLIPs of open_clip.

use unprompt_hub::{Error, Hub, Progress, RepositoryId};
use unprompt_interrogate::{LabelList, LabelSet, Mode, TableCache, TableProgress};
use unprompt_models::known_clip;

const REPOSITORY: &str = "pharmapsychotic/ci-preprocess";
/// Tables of fewer labels are embedded sooner than fetched.
const WORTH_FETCHING: usize = 2048;
/// Of a file that holds a table and its hash.
const HEADER: u64 = 1 << 16;

/// Fetches the tables that a mode needs and the cache lacks, where `clip` is a name of open_clip,
/// whose weights the published tables are of. Without the hub, or where it has no such table,
/// labels are embedded as ever, and one line says so.
///
/// A published file says which list it is of and not which weights: whatever uses it embeds some
/// of its labels anew and compares. `width` bounds its size.
pub(crate) fn with_published(
    mut cache: TableCache,
    hub: &Hub,
    clip: &str,
    (set, mode): (&LabelSet, Mode),
    width: usize,
    progress: &dyn Progress,
    tables: &dyn TableProgress,
) -> TableCache {
    let Ok(repository) = RepositoryId::parse(REPOSITORY) else {
        return cache;
    };
    if known_clip(clip).is_none() {
        return cache;
    }
    let wanted = |list: &&LabelList| {
        let large = list.labels().len() > WORTH_FETCHING;
        large && mode.ranks(list.name()) && !cache.path(list.name()).exists()
    };
    let wanted: Vec<&LabelList> = set.lists().iter().filter(wanted).collect();
    for list in wanted {
        let path = cache.path(list.name());
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let most = HEADER + 2 * (list.labels().len() * width) as u64;
        match hub.fetch_file(&repository, &file, most, progress) {
            Ok(fetched) => cache = cache.with_published(list.name(), fetched),
            Err(_) if hub.is_offline() => {}
            Err(error) => {
                let is_of_one_file =
                    matches!(error, Error::NoSuchFile { .. } | Error::Mismatch { .. });
                let error = error.to_string();
                let why = error.lines().next().unwrap_or_default();
                tables.note(&format!(
                    "{}: no published embeddings, they are made here: {why}",
                    list.name()
                ));
                if !is_of_one_file {
                    // Another try would only take as long.
                    break;
                }
            }
        }
    }
    cache
}

#[cfg(test)]
mod tests;
