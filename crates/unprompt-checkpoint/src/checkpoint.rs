//! The public view of a checkpoint: named tensors out of one or several files.

use crate::{
    dtype::{DType, floats_to_f32},
    error::{CheckpointError, CheckpointErrorKind, Fault, Quoted, Result},
    format::read_layouts,
    layout::Layout,
    locate::{Located, locate},
    map::{FileBytes, map_file, prefetch, release},
    pickle::Pickle,
    safetensors,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

/// An open weight file, or the shards of one model.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<WeightFile>,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct WeightFile {
    path: PathBuf,
    map: FileBytes,
}

#[derive(Debug)]
struct Entry {
    file: usize,
    layout: Layout,
}

/// One tensor of a [`Checkpoint`].
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'c> {
    /// The type of the elements.
    pub dtype: DType,
    /// The size along each axis; empty for a scalar.
    pub shape: &'c [usize],
    layout: &'c Layout,
    file: &'c WeightFile,
}

impl<'c> TensorView<'c> {
    /// The elements, little-endian, row-major without gaps, `dtype.size()` bytes each. Borrowed
    /// from the memory map except for the rare strided tensor of a pickle.
    ///
    /// # Errors
    /// `TooLarge` when a strided tensor has to be laid out anew and memory is short.
    pub fn data(&self) -> Result<Cow<'c, [u8]>> {
        self.layout
            .read(&self.file.map)
            .map_err(|fault| fault.at(&self.file.path))
    }

    /// Bytes of the tensor once contiguous; `None` past what can be counted.
    pub(crate) fn byte_count(&self) -> Option<usize> {
        self.layout.byte_count()
    }
}

impl Checkpoint {
    /// Opens a file, or the weights in a folder: `model.safetensors`, else the shards that
    /// `model.safetensors.index.json` lists, else the same of `diffusion_pytorch_model`, of
    /// `model.fp16` and of `diffusion_pytorch_model.fp16`, else the only other `*.safetensors`, else,
    /// with [`Pickle::Allow`], `pytorch_model.bin`, `open_clip_pytorch_model.bin`,
    /// `diffusion_pytorch_model.bin` or the only `*.pth` or `*.pt`.
    ///
    /// In a pickle, a dict with a tensor directly in it is the state dict; below a dict without
    /// any, the first of `state_dict`, `model_state_dict`, `model`, `module`, `net`, `params`,
    /// `state_dict_ema`, `model_ema` and `ema` that holds a dict is entered. Dicts within the
    /// state dict are flattened with dots, what is no tensor is left out, and a `module.` before
    /// every name is removed.
    ///
    /// Headers are read and checked whole; tensor data is mapped and read on demand.
    ///
    /// # Errors
    /// `PickleDenied` when only a pickle is there and `pickle` denies it; `Malformed`,
    /// `TooLarge`, `Unsupported`, `ForbiddenGlobal` for what is in the file; `Io` for the rest.
    pub fn open(path: impl AsRef<Path>, pickle: Pickle) -> Result<Self> {
        let path = path.as_ref();
        let mut checkpoint = Self {
            path: path.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        if !path.is_dir() {
            checkpoint.add_file(path, pickle)?;
            return Ok(checkpoint);
        }
        match locate(path, pickle)? {
            Located::Single(file) => checkpoint.add_file(&file, pickle)?,
            Located::Shards(shards) => {
                for (file, names) in shards {
                    checkpoint.add_shard(&file, &names)?;
                }
            }
        }
        Ok(checkpoint)
    }

    /// Opens a safetensors file that the program carries; `name` stands for its path in errors.
    ///
    /// # Errors
    /// As for a file of these bytes.
    pub fn carried(name: impl AsRef<Path>, bytes: &'static [u8]) -> Result<Self> {
        let path = name.as_ref();
        let mut checkpoint = Self {
            path: path.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        let layouts = safetensors::read_layouts(bytes).map_err(|fault| fault.at(path))?;
        checkpoint.add_tensors(path, FileBytes::Carried(bytes), layouts)?;
        Ok(checkpoint)
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether a tensor of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor as it is stored, or `None` when no tensor has this name. Reads no data yet.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let Entry { file, layout } = self.tensors.get(name)?;
        let file = &self.files[*file];
        Some(TensorView {
            dtype: layout.dtype,
            shape: &layout.shape,
            layout,
            file,
        })
    }

    /// A tensor of floating-point numbers as row-major `f32`s (from F16, BF16 and F64 too, F64
    /// rounded to nearest), if it has exactly the expected shape.
    ///
    /// # Errors
    /// `MissingTensor` names the nearest names there are; `ShapeMismatch` both shapes;
    /// `DTypeMismatch` the type of an integer or boolean tensor.
    pub fn tensor_f32(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<f32>> {
        let quoted = Quoted(name);
        let tensor = self.tensor(name).ok_or_else(|| self.missing(name))?;
        let TensorView { dtype, shape, .. } = tensor;
        let path = &tensor.file.path;
        if shape != expected_shape {
            return Err(Fault::new(
                CheckpointErrorKind::ShapeMismatch,
                format!("tensor {quoted}: expected shape {expected_shape:?}, found {shape:?}"),
            )
            .at(path));
        }
        let length = tensor.byte_count().unwrap_or(0);
        prefetch(&tensor.file.map, tensor.layout.start, length);
        let values = floats_to_f32(dtype, &tensor.data()?);
        release(&tensor.file.map, tensor.layout.start, length);
        values.ok_or_else(|| {
            Fault::new(
                CheckpointErrorKind::DTypeMismatch,
                format!("tensor {quoted}: expected F64, F32, F16 or BF16 elements, found {dtype}"),
            )
            .at(path)
        })
    }

    /// Succeeds if every tensor of the file is among `used`; a forgotten tensor often means that
    /// a model was built otherwise than it was trained. Buffers that a model has no use for are
    /// listed by its loader together with what it read.
    ///
    /// # Errors
    /// `UnusedTensors`, with the first 10 names.
    pub fn check_all_used<'n>(&self, used: impl IntoIterator<Item = &'n str>) -> Result<()> {
        let used = used.into_iter().collect::<HashSet<_>>();
        let unused = self
            .names()
            .filter(|name| !used.contains(name))
            .collect::<Vec<_>>();
        if unused.is_empty() {
            return Ok(());
        }
        const SHOWN: usize = 10;
        let mut message = format!(
            "{} of {} tensors are not used by this model: ",
            unused.len(),
            self.tensors.len()
        );
        let shown = unused
            .iter()
            .take(SHOWN)
            .map(|name| Quoted(name).to_string());
        message += &shown.collect::<Vec<_>>().join(", ");
        if unused.len() > SHOWN {
            message += &format!(" and {} more", unused.len() - SHOWN);
        }
        message += "; the weights may belong to another architecture";
        Err(Fault::new(CheckpointErrorKind::UnusedTensors, message).at(&self.path))
    }

    fn missing(&self, name: &str) -> CheckpointError {
        let near = near_misses(name, self.names());
        let mut message = format!(
            "no tensor {} among the {}",
            Quoted(name),
            self.tensors.len()
        );
        if !near.is_empty() {
            let near = near
                .iter()
                .map(|name| Quoted(name).to_string())
                .collect::<Vec<_>>();
            message += &format!("; the nearest are {}", near.join(", "));
        }
        Fault::new(CheckpointErrorKind::MissingTensor, message).at(&self.path)
    }

    fn add_file(&mut self, path: &Path, pickle: Pickle) -> Result<()> {
        let map = map_file(path)?;
        let layouts = read_layouts(path, &map, pickle)?;
        self.add_tensors(path, map, layouts)
    }

    fn add_shard(&mut self, path: &Path, names: &[String]) -> Result<()> {
        let map = map_file(path)?;
        let layouts = safetensors::read_layouts(&map).map_err(|fault| fault.at(path))?;
        let expected = names.iter().collect::<HashSet<_>>();
        let found = layouts.iter().map(|(name, _)| name).collect::<HashSet<_>>();
        if let Some(name) = expected.symmetric_difference(&found).min() {
            let problem = if found.contains(name) {
                "not in the index"
            } else {
                "not in the shard"
            };
            return Err(Fault::malformed(format!(
                "shard and index do not belong together: tensor {} is {problem}",
                Quoted(name)
            ))
            .at(path));
        }
        self.add_tensors(path, map, layouts)
    }

    fn add_tensors(
        &mut self,
        path: &Path,
        map: FileBytes,
        layouts: Vec<(String, Layout)>,
    ) -> Result<()> {
        let file = self.files.len();
        self.files.push(WeightFile {
            path: path.to_owned(),
            map,
        });
        for (name, layout) in layouts {
            if let Some(before) = self.tensors.insert(name, Entry { file, layout }) {
                let before = &self.files[before.file].path;
                return Err(Fault::malformed(format!(
                    "a tensor is there twice, first in {}",
                    before.display()
                ))
                .at(path));
            }
        }
        Ok(())
    }
}

/// Up to 3 names that a person may have meant, the nearest first.
fn near_misses<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    // Bounds on hostile files: the distance takes time with the product of the lengths.
    const MAX_NAMES: usize = 20_000;
    const MAX_LENGTH: usize = 200;
    if wanted.len() > MAX_LENGTH {
        return Vec::new();
    }
    let mut scored = names
        .filter(|name| name.len() <= MAX_LENGTH)
        .take(MAX_NAMES)
        .map(|name| (strsim::normalized_levenshtein(wanted, name), name))
        .filter(|&(nearness, _)| nearness >= 0.5)
        .collect::<Vec<_>>();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(right.1)));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}
