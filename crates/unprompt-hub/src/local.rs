use crate::{Error, Hub, ResolvedModel, Result, weights};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A folder with more files than this is no model folder, but somebody's disk.
const MAX_FILES: usize = 20_000;
const MAX_DEPTH: usize = 6;

/// A local folder (all regular files below it) or a single file.
pub(crate) fn resolve(hub: &Hub, given: &Path) -> Result<ResolvedModel> {
    let path = with_home(hub, given);
    let metadata = fs::metadata(&path).map_err(|error| Error::io("open", &path, error))?;
    let mut files = BTreeMap::new();
    let dir = if metadata.is_dir() {
        collect(&path, &path, 0, &mut files)?;
        path
    } else {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        files.insert(
            name.unwrap_or_else(|| path.display().to_string()),
            path.clone(),
        );
        match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        }
    };
    let name = given.display().to_string();
    weights::refuse_pickles(&name, files.keys(), hub.options.allow_pickle)?;
    Ok(ResolvedModel::new(
        name,
        "local".to_owned(),
        dir,
        files,
        None,
        &hub.environment.own_cache,
    ))
}

fn with_home(hub: &Hub, given: &Path) -> PathBuf {
    match (given.strip_prefix("~"), &hub.environment.home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => given.to_path_buf(),
    }
}

fn collect(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io("read", folder, error))?;
    for entry in entries {
        let path = entry
            .map_err(|error| Error::io("read", folder, error))?
            .path();
        // Links are followed: a snapshot in the shared cache is made of them.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() && depth < MAX_DEPTH {
            collect(root, &path, depth + 1, files)?;
        } else if metadata.is_file()
            && let Ok(relative) = path.strip_prefix(root)
        {
            if files.len() == MAX_FILES {
                return Err(Error::InvalidReference {
                    text: root.display().to_string(),
                    reason: format!("the folder has more than {MAX_FILES} files"),
                });
            }
            let name: Vec<_> = relative
                .components()
                .map(|part| part.as_os_str().to_string_lossy())
                .collect();
            files.insert(name.join("/"), path);
        }
    }
    Ok(())
}
