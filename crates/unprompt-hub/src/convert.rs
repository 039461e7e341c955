use crate::{Error, Result, digest::Sha256Hex, manifest::ListedFile, storage};
use std::path::Path;

/// Makes a listed file from its original, whose hash has been checked, and gives it its name once
/// its own hash is right too.
///
/// The conversion is deterministic, so that its result can be listed like any other file; a
/// different result means that it was made by a different version of the conversion.
pub(crate) fn convert(original: &Path, file: &ListedFile, destination: &Path) -> Result<()> {
    let folder = destination.parent().unwrap_or(Path::new("."));
    let work = storage::temporary_folder(folder)?;
    let converted = work.path().join("model.safetensors");
    unprompt_checkpoint::convert_to_safetensors(original, &converted).map_err(|error| {
        Error::Convert {
            subject: original.display().to_string(),
            reason: error.to_string(),
        }
    })?;
    let subject = format!("{} made from {}", file.path, original.display());
    if !storage::has_size(&converted, file.size) {
        let found = converted.metadata().map_or(0, |metadata| metadata.len());
        return Err(storage::size_mismatch(
            &subject,
            file.size,
            format!("{found} bytes"),
        ));
    }
    let found = Sha256Hex::of_file(&converted)?;
    if found != file.sha256 {
        return Err(Error::Mismatch {
            subject,
            expected: format!("SHA-256 {}", file.sha256),
            found: found.to_string(),
            next_step: "the file was not kept",
        });
    }
    storage::promote_path(&converted, destination)
}
