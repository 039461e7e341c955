//! Writes a checkpoint as one safetensors file.

use crate::{
    checkpoint::{Checkpoint, TensorView},
    error::{CheckpointError, Fault, Result},
    pickle::Pickle,
    safetensors::MAX_HEADER_BYTES,
};
use safetensors::tensor::{Metadata, TensorInfo};
use std::{
    cmp::Reverse,
    collections::HashMap,
    io::{BufWriter, Write as _},
    path::Path,
};
use unprompt_files::{folder_of, promote, temporary_in};

/// What [`convert_to_safetensors`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversionSummary {
    /// Tensors in the file.
    pub tensor_count: usize,
    /// The file's length in bytes.
    pub byte_count: u64,
}

/// Reads the weights at `source`, a pickle too, and writes them to `destination` as safetensors.
///
/// The bytes depend on the tensors alone and are those of Python's
/// `safetensors.torch.save_file(tensors, path, {"format": "pt"})`: wide types first, by name
/// within a type. The file is written beside `destination`, flushed to the disk and then renamed,
/// so that a crash leaves the old file or the new one, never a part. Tensors that share memory in
/// the source are written each for itself.
///
/// # Errors
/// Those of [`Checkpoint::open`] with [`Pickle::Allow`], and `Io` for `destination`.
pub fn convert_to_safetensors(source: &Path, destination: &Path) -> Result<ConversionSummary> {
    let checkpoint = Checkpoint::open(source, Pickle::Allow)?;
    let mut tensors = checkpoint
        .names()
        .filter_map(|name| Some((name, checkpoint.tensor(name)?)))
        .collect::<Vec<_>>();
    tensors.sort_by_key(|&(name, tensor)| (Reverse(tensor.dtype.to_safetensors()), name));
    let header = header(&tensors).map_err(|fault| fault.at(source))?;

    let writing = |error| CheckpointError::io(destination, "write", error);
    let mut file = temporary_in(folder_of(destination)).map_err(writing)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    let mut byte_count = 8 + header.len() as u64;
    writer
        .write_all(&(header.len() as u64).to_le_bytes())
        .map_err(writing)?;
    writer.write_all(&header).map_err(writing)?;
    for (_, tensor) in &tensors {
        let data = tensor.data()?;
        byte_count += data.len() as u64;
        writer.write_all(&data).map_err(writing)?;
    }
    writer.flush().map_err(writing)?;
    drop(writer);
    promote(file, destination).map_err(writing)?;
    Ok(ConversionSummary {
        tensor_count: tensors.len(),
        byte_count,
    })
}

/// The JSON header, padded to 8 bytes so that the data is aligned.
fn header(tensors: &[(&str, TensorView<'_>)]) -> std::result::Result<Vec<u8>, Fault> {
    let too_large = || Fault::too_large("too many or too large tensors for a safetensors file");
    let mut infos = Vec::with_capacity(tensors.len());
    let mut offset = 0usize;
    for &(name, tensor) in tensors {
        let start = offset;
        offset = tensor
            .byte_count()
            .and_then(|n| start.checked_add(n))
            .ok_or_else(too_large)?;
        infos.push((
            name.to_owned(),
            TensorInfo {
                dtype: tensor.dtype.to_safetensors(),
                shape: tensor.shape.to_vec(),
                data_offsets: (start, offset),
            },
        ));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut header = Metadata::new(Some(metadata), infos)
        .ok()
        .and_then(|metadata| serde_json::to_vec(&metadata).ok())
        .ok_or_else(too_large)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() > MAX_HEADER_BYTES {
        return Err(too_large());
    }
    Ok(header)
}
