//! Tensors in f32 as a safetensors file, written piece by piece: a whole run's state beside itself in
//! memory would be as much again.

use crate::{Parameter, Result, TrainError};
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, io::Write, path::Path};

/// Values that become bytes at a time.
const PIECE: usize = 1 << 14;

/// A tensor to be written.
pub(crate) struct Tensor<'a> {
    pub(crate) name: String,
    pub(crate) shape: &'a [usize],
    pub(crate) values: &'a [f32],
}

/// Writes tensors and notes, all or nothing.
pub(crate) fn write(path: &Path, notes: &[(&str, String)], tensors: &[Tensor<'_>]) -> Result<()> {
    let mut header = Map::new();
    let notes: Map<String, Value> = notes
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str())))
        .collect();
    header.insert("__metadata__".into(), notes.into());
    let mut start = 0;
    for tensor in tensors {
        let end = start + size_of_val(tensor.values);
        let entry = json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.clone(), entry);
        start = end;
    }
    let mut header = Value::from(header).to_string();
    // The data begin at a multiple of eight bytes.
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    let written = unprompt_files::write_by(
        path,
        || Ok(()),
        |file| {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(header.as_bytes())?;
            let mut bytes = Vec::with_capacity(PIECE * size_of::<f32>());
            for tensor in tensors {
                for values in tensor.values.chunks(PIECE) {
                    bytes.clear();
                    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    file.write_all(&bytes)?;
                }
            }
            Ok(())
        },
    );
    written.map_err(|error| TrainError::io("write", path, error))
}

/// Reads what [`write`] wrote: the notes and the tensors by name.
pub(crate) fn read(path: &Path) -> Result<(HashMap<String, String>, HashMap<String, Parameter>)> {
    let bytes = std::fs::read(path).map_err(|error| TrainError::io("read", path, error))?;
    let damaged = |why: String| {
        let path = path.to_owned();
        TrainError::Damaged { path, why }
    };
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut parameters = HashMap::new();
    for (name, view) in tensors.tensors() {
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(damaged(format!("tensor `{name}` is not of f32")));
        }
        let values = view.data().as_chunks::<4>().0.iter();
        let parameter = Parameter {
            name: name.clone(),
            shape: view.shape().to_vec(),
            values: values.map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        };
        parameters.insert(name, parameter);
    }
    Ok((header.metadata().clone().unwrap_or_default(), parameters))
}
