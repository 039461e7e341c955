//! Tensors and storages as torch pickles them, turned into places in the file.
//!
//! Source: `torch/_utils.py` (`_rebuild_tensor_v2`) and `torch/serialization.py` (identifiers of
//! storages).

use super::value::{Node, Parsed, Value};
use crate::{
    dtype::DType,
    error::{Fault, Quoted},
    layout::{Layout, MAX_RANK, element_count},
};
use std::ops::Range;

/// A storage as a pickle refers to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage<'p> {
    pub key: &'p str,
    pub dtype: DType,
    /// Elements in the whole storage.
    pub count: usize,
    /// The part of it that is meant, in elements; only very old files have any.
    pub view: Option<Range<usize>>,
}

impl Storage<'_> {
    pub fn byte_count(&self) -> Result<usize, Fault> {
        self.count.checked_mul(self.dtype.size()).ok_or_else(|| {
            Fault::malformed(format!("storage {} has an absurd size", Quoted(self.key)))
        })
    }
}

/// Finds a storage's bytes in the file, having checked that they are there.
pub(super) type Locate<'l> = dyn Fn(&Storage<'_>) -> Result<Range<usize>, Fault> + 'l;

/// Reads `("storage", torch.FloatStorage, key, device, count[, view])`.
pub(super) fn storage<'p>(
    parsed: &Parsed<'p>,
    identifier: Value<'p>,
) -> Result<Storage<'p>, Fault> {
    let malformed = || Fault::malformed("an external reference in the pickle is no torch storage");
    let parts = parsed.tuple(identifier).ok_or_else(malformed)?;
    let [
        Value::Text("storage"),
        class,
        Value::Text(key),
        _device,
        count,
        rest @ ..,
    ] = parts
    else {
        return Err(malformed());
    };
    let (module, name) = parsed.global(*class).ok_or_else(malformed)?;
    let dtype = storage_dtype(module, name).ok_or_else(|| {
        Fault::unsupported(format!(
            "storages of type {} are not read",
            Quoted(&format!("{module}.{name}"))
        ))
    })?;
    let view = match rest {
        [] | [Value::None] => None,
        [view] => match parsed.tuple(*view) {
            Some([_view_key, offset, length]) => {
                let start = size(*offset)?;
                Some(start..start.checked_add(size(*length)?).ok_or_else(malformed)?)
            }
            _ => return Err(malformed()),
        },
        _ => return Err(malformed()),
    };
    Ok(Storage {
        key,
        dtype,
        count: size(*count)?,
        view,
    })
}

fn storage_dtype(module: &str, name: &str) -> Option<DType> {
    if module != "torch" && module != "torch.cuda" {
        return None;
    }
    Some(match name {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        _ => return None,
    })
}

/// Whether the value stands for a tensor of whatever kind, readable or not.
pub(super) fn is_tensor<'p>(parsed: &Parsed<'p>, value: Value<'p>) -> bool {
    parsed.object(value).is_some_and(|((module, name), _)| {
        module.split('.').next() == Some("torch") && name.starts_with("_rebuild_")
    })
}

/// The layout of a tensor called `name`, all its elements checked to lie within its storage.
pub(super) fn layout<'p>(
    parsed: &Parsed<'p>,
    name: &str,
    value: Value<'p>,
    locate: &Locate<'_>,
) -> Result<Layout, Fault> {
    rebuild(parsed, value, locate).map_err(|fault| {
        Fault::new(
            fault.kind,
            format!("tensor {}: {}", Quoted(name), fault.message),
        )
    })
}

fn rebuild<'p>(
    parsed: &Parsed<'p>,
    mut value: Value<'p>,
    locate: &Locate<'_>,
) -> Result<Layout, Fault> {
    // A parameter wraps its tensor once; the arguments of a hostile one could lead in a circle.
    for _ in 0..2 {
        let (class, arguments) = parsed
            .object(value)
            .ok_or_else(|| Fault::malformed("not a tensor"))?;
        match (class, arguments) {
            (("torch._utils", "_rebuild_parameter"), &[data, _requires_grad, _hooks]) => {
                value = data;
            }
            (
                ("torch._utils", "_rebuild_tensor_v2"),
                &[
                    persistent,
                    offset,
                    shape,
                    strides,
                    _requires_grad,
                    _hooks,
                    ref metadata @ ..,
                ],
            ) if metadata.len() <= 1 => {
                // The metadata can say that the elements are to be negated or conjugated.
                let is_plain = metadata
                    .iter()
                    .all(|&metadata| match parsed.node(metadata) {
                        Some(Node::Dict(entries)) => entries.is_empty(),
                        _ => metadata == Value::None,
                    });
                if !is_plain {
                    return Err(Fault::unsupported("lazily negated or conjugated tensors"));
                }
                let Some(&Node::Persistent(identifier)) = parsed.node(persistent) else {
                    return Err(Fault::malformed("its storage is not an external reference"));
                };
                let storage = storage(parsed, identifier)?;
                let shape = sizes(parsed, shape)?;
                let strides = sizes(parsed, strides)?;
                return place(&storage, size(offset)?, shape, strides, locate);
            }
            (("torch._utils", "_rebuild_parameter" | "_rebuild_tensor_v2"), arguments) => {
                return Err(Fault::malformed(format!(
                    "it is rebuilt from {} arguments, a wrong number",
                    arguments.len()
                )));
            }
            ((module, function), _) => {
                return Err(Fault::unsupported(format!(
                    "made by {}, which is not read; only dense tensors are",
                    Quoted(&format!("{module}.{function}"))
                )));
            }
        }
    }
    Err(Fault::malformed("a parameter of a parameter"))
}

fn place(
    storage: &Storage<'_>,
    offset: usize,
    shape: Vec<usize>,
    mut strides: Vec<usize>,
    locate: &Locate<'_>,
) -> Result<Layout, Fault> {
    let outside = || Fault::malformed("it reaches past the end of its storage");
    if shape.len() != strides.len() {
        return Err(Fault::malformed(
            "it has another number of sizes than of strides",
        ));
    }
    let dtype = storage.dtype;
    let count = element_count(&shape).ok_or_else(outside)?;
    let bytes = locate(storage)?;
    if count == 0 {
        return Ok(Layout {
            dtype,
            shape,
            start: bytes.start,
            strides: None,
        });
    }
    let mut last = offset;
    let mut row_major = 1usize;
    let mut is_contiguous = true;
    for (&size, stride) in shape.iter().zip(&mut strides).rev() {
        if size == 1 {
            // Never stepped over, so that any number may stand there.
            *stride = 0;
            continue;
        }
        let reach = (size - 1).checked_mul(*stride);
        last = reach
            .and_then(|reach| last.checked_add(reach))
            .ok_or_else(outside)?;
        is_contiguous &= *stride == row_major;
        row_major = row_major.checked_mul(size).ok_or_else(outside)?;
    }
    let end = last
        .checked_add(1)
        .and_then(|end| end.checked_mul(dtype.size()));
    if end.is_none_or(|end| end > bytes.len()) {
        return Err(outside());
    }
    let start = bytes.start + offset * dtype.size();
    Ok(Layout {
        dtype,
        shape,
        start,
        strides: (!is_contiguous).then_some(strides),
    })
}

fn sizes<'p>(parsed: &Parsed<'p>, value: Value<'p>) -> Result<Vec<usize>, Fault> {
    let values = parsed
        .tuple(value)
        .ok_or_else(|| Fault::malformed("its shape or strides are no tuple"))?;
    if values.len() > MAX_RANK {
        return Err(Fault::too_large(format!("{} dimensions", values.len())));
    }
    values.iter().map(|&value| size(value)).collect()
}

fn size(value: Value<'_>) -> Result<usize, Fault> {
    match value {
        Value::Int(value) => usize::try_from(value).ok(),
        _ => None,
    }
    .ok_or_else(|| Fault::malformed("a size, stride or offset is not a whole number from 0"))
}
