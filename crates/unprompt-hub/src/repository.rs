use std::path::PathBuf;

use crate::manifest::NamedModel;
use crate::verify::Verification;
use crate::{Error, Hub, Progress, RepositoryId, ResolvedModel, Result};

/// The folder of one commit in the shared cache.
pub(crate) fn snapshot(hub: &Hub, id: &RepositoryId, commit: &str) -> PathBuf {
    hub.environment
        .hub_cache
        .join(id.cache_folder())
        .join("snapshots")
        .join(commit)
}

pub(crate) fn locate(_: &Hub, _: &RepositoryId, _: Option<&str>) -> Result<Option<ResolvedModel>> {
    Ok(None)
}
pub(crate) fn pull(
    hub: &Hub,
    id: &RepositoryId,
    _: Option<&str>,
    _: &dyn Progress,
) -> Result<ResolvedModel> {
    Err(unreachable_hub(hub, id))
}
pub(crate) fn pull_named(
    hub: &Hub,
    _: &NamedModel,
    id: &RepositoryId,
    _: &str,
    _: &dyn Progress,
) -> Result<()> {
    Err(unreachable_hub(hub, id))
}
pub(crate) fn verify(hub: &Hub, id: &RepositoryId, _: Option<&str>) -> Result<Verification> {
    Err(unreachable_hub(hub, id))
}
fn unreachable_hub(hub: &Hub, id: &RepositoryId) -> Error {
    Error::Network {
        address: format!("{}/{id}", hub.environment.endpoint),
        reason: "not fetched".to_owned(),
    }
}
