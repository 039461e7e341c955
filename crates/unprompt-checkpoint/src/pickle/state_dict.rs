//! Finds the named tensors in a pickle.
//!
//! The rule: a dict with a tensor directly in it is the state dict. If the pickle is a dict
//! without any, the first of [`WRAPPER_KEYS`] that holds a dict is entered, up to
//! [`MAX_WRAPPERS`] times. Within the state dict, dicts are flattened with dots
//! (`{"a": {"b": tensor}}` is `a.b`), values that are no tensors are left out, and if every name
//! starts with `module.`, as `DataParallel` makes them, that prefix is removed.

use super::{
    tensor::{Locate, is_tensor, layout},
    value::{Parsed, Value},
};
use crate::{
    error::{Fault, Quoted},
    layout::Layouts,
    safetensors::METADATA_NAME,
};
use std::{borrow::Cow, collections::HashSet};

/// Where training scripts keep the weights, the plain ones before moving averages.
const WRAPPER_KEYS: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema",
];
const MAX_WRAPPERS: usize = 4;
/// Dicts within dicts in a state dict.
const MAX_DEPTH: usize = 8;
/// Entries looked at; dicts that share dicts can hold far more entries than they take bytes.
const MAX_ENTRIES: usize = 1_000_000;
/// All names together; a safetensors header holds no more either.
const MAX_NAME_BYTES: usize = 16 << 20;
const PARALLEL_PREFIX: &str = "module.";

type Entries<'p> = Vec<(Value<'p>, Value<'p>)>;

/// The tensors of the pickle's state dict, in the order of the pickle.
///
/// `file_bytes` bounds what they may hold together: storages are shared, and a tensor may repeat
/// its elements, so a few bytes could otherwise stand for any amount of memory.
pub(super) fn read(parsed: &Parsed<'_>, locate: &Locate<'_>, file_bytes: usize) -> Layouts {
    let budget = file_bytes.saturating_mul(16).saturating_add(64 << 20);
    let mut total = 0usize;
    let mut names = HashSet::new();
    let mut layouts = Vec::new();
    for (name, value) in flatten(parsed, find(parsed)?)? {
        if !names.insert(name.clone()) {
            return Err(Fault::malformed(format!(
                "tensor {} is there twice",
                Quoted(&name)
            )));
        }
        let layout = layout(parsed, &name, value, locate)?;
        total = layout
            .byte_count()
            .map_or(usize::MAX, |bytes| total.saturating_add(bytes));
        if total > budget {
            return Err(Fault::too_large(format!(
                "the tensors would take more than {budget} bytes, 16 times the file"
            )));
        }
        layouts.push((name, layout));
    }
    if layouts
        .iter()
        .all(|(name, _)| name.starts_with(PARALLEL_PREFIX))
    {
        for (name, _) in &mut layouts {
            name.drain(..PARALLEL_PREFIX.len());
        }
    }
    if layouts.iter().any(|(name, _)| name == METADATA_NAME) {
        return Err(Fault::unsupported(format!(
            "a tensor may not be called {METADATA_NAME}"
        )));
    }
    Ok(layouts)
}

/// The entries of the state dict.
fn find<'p>(parsed: &Parsed<'p>) -> Result<Entries<'p>, Fault> {
    let mut entries = parsed.mapping(parsed.root).ok_or_else(|| no_dict(parsed))?;
    for _ in 0..MAX_WRAPPERS {
        if entries.iter().any(|&(_, value)| is_tensor(parsed, value)) {
            return Ok(entries);
        }
        let inner = WRAPPER_KEYS.iter().find_map(|&wrapper| {
            let (_, value) = entries
                .iter()
                .find(|&&(key, _)| key == Value::Text(wrapper))?;
            parsed.mapping(*value)
        });
        match inner {
            Some(inner) => entries = inner,
            None => break,
        }
    }
    if entries.iter().any(|&(_, value)| is_tensor(parsed, value)) {
        return Ok(entries);
    }
    let keys = entries.iter().filter_map(|&(key, value)| match key {
        Value::Text(key) => Some(match parsed.object(value) {
            Some(((module, name), _)) => {
                format!(
                    "{} (a {})",
                    Quoted(key),
                    Quoted(&format!("{module}.{name}"))
                )
            }
            None => Quoted(key).to_string(),
        }),
        _ => None,
    });
    Err(Fault::unsupported(format!(
        "no dict of tensors in the pickle; its keys are: {}",
        keys.take(10).collect::<Vec<_>>().join(", ")
    )))
}

fn no_dict(parsed: &Parsed<'_>) -> Fault {
    let found = match parsed.object(parsed.root) {
        Some(((module, name), _)) => Quoted(&format!("{module}.{name}")).to_string(),
        None => "another value".to_owned(),
    };
    Fault::unsupported(format!(
        "expected a state dict in the pickle, found {found}; save the weights alone, with \
         torch.save(model.state_dict(), ...)"
    ))
}

/// The tensors in `entries` and in the dicts within, with their full names.
fn flatten<'p>(
    parsed: &Parsed<'p>,
    entries: Entries<'p>,
) -> Result<Vec<(String, Value<'p>)>, Fault> {
    let mut tensors = Vec::new();
    let mut seen = 0;
    let mut name_bytes = 0;
    // Innermost last; each level is what is left of its dict and the name that leads to it.
    let mut levels = vec![(String::new(), entries.into_iter())];
    while let Some((prefix, rest)) = levels.last_mut() {
        let Some((key, value)) = rest.next() else {
            levels.pop();
            continue;
        };
        seen += 1;
        if seen > MAX_ENTRIES {
            return Err(Fault::too_large(format!(
                "a state dict above {MAX_ENTRIES} entries"
            )));
        }
        let inner = parsed.mapping(value);
        let is_tensor = is_tensor(parsed, value);
        if inner.is_none() && !is_tensor {
            continue;
        }
        let key = match key {
            Value::Text(key) => Cow::Borrowed(key),
            Value::Int(key) => Cow::Owned(key.to_string()),
            _ => {
                return Err(Fault::unsupported(
                    "a state dict with keys that are no text",
                ));
            }
        };
        // Before the name is built: one long key can be used by many entries.
        name_bytes += prefix.len() + key.len();
        if name_bytes > MAX_NAME_BYTES {
            return Err(Fault::too_large(format!(
                "names of more than {MAX_NAME_BYTES} bytes"
            )));
        }
        let name = format!("{prefix}{key}");
        if is_tensor {
            tensors.push((name, value));
        } else if let Some(inner) = inner {
            if levels.len() == MAX_DEPTH {
                return Err(Fault::too_large(format!(
                    "dicts nested more than {MAX_DEPTH} deep"
                )));
            }
            levels.push((name + ".", inner.into_iter()));
        }
    }
    Ok(tensors)
}
