//! How a list is made.

use crate::{
    Damaged, is_printable,
    quantised::quantise,
    text_list::{BLOCK, TextList},
};
use flate2::{Compression, write::DeflateEncoder};
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::HashMap, io::Write};

/// Texts of one source, with their embeddings at unit length.
#[derive(Clone, Debug)]
pub struct NewSegment {
    /// What it is called.
    pub name: String,
    /// The texts, none of them with a line break.
    pub texts: Vec<String>,
    /// One embedding a text.
    pub embeddings: Vec<Vec<f32>>,
}

/// A segment as it is stored: each text with the scale and the bytes of its row.
struct StoredSegment {
    name: String,
    texts: Vec<String>,
    rows: Vec<(f32, Vec<i8>)>,
}

/// The bytes of a list; the same segments give the same bytes.
///
/// # Errors
/// When there is no text, or embeddings are missing or of different widths.
pub fn make_list(segments: &[NewSegment]) -> Result<Vec<u8>, Damaged> {
    let stored = segments.iter().map(|segment| StoredSegment {
        name: segment.name.clone(),
        texts: segment.texts.clone(),
        rows: segment.embeddings.iter().map(|row| quantise(row)).collect(),
    });
    store(&stored.collect::<Vec<_>>())
}

/// The bytes of a list with those texts of another that `keeps` names by their places, marked by the
/// rule of what may be shown as it is now. It has the bytes that [`make_list`] gives of these texts.
///
/// # Errors
/// When the list is damaged, or no text stays.
pub fn remake_list(list: &TextList, keeps: impl Fn(usize) -> bool) -> Result<Vec<u8>, Damaged> {
    let mut segments = Vec::new();
    for segment in list.segments() {
        let mut stored = StoredSegment {
            name: segment.name.clone(),
            texts: Vec::new(),
            rows: Vec::new(),
        };
        let texts = list.texts(segment.rows.clone())?;
        for (index, text) in segment.rows.clone().zip(texts) {
            if keeps(index) {
                let row = list.row(index);
                stored.texts.push(text);
                stored.rows.push((row.scale, row.values.to_vec()));
            }
        }
        segments.push(stored);
    }
    store(&segments)
}

fn store(segments: &[StoredSegment]) -> Result<Vec<u8>, Damaged> {
    let texts: Vec<&str> = segments
        .iter()
        .flat_map(|one| &one.texts)
        .map(String::as_str)
        .collect();
    let rows = || segments.iter().flat_map(|one| &one.rows);
    let width = rows().next().map_or(0, |(_, row)| row.len());
    let belong = segments.iter().all(|one| one.texts.len() == one.rows.len())
        && width > 0
        && rows().all(|(_, row)| row.len() == width)
        && texts.iter().all(|text| !text.contains('\n'));
    if !belong {
        return Err(Damaged::new("texts and embeddings do not belong together"));
    }
    // Of what is stored, not of what it was made from.
    let mean = mean(rows());
    let (mut values, mut scales, mut centred) = (Vec::new(), Vec::new(), Vec::new());
    for (scale, bytes) in rows() {
        values.extend(bytes.iter().map(|byte| byte.cast_unsigned()));
        scales.push(*scale);
        let length: f32 = bytes
            .iter()
            .zip(&mean)
            .map(|(byte, mean)| (f32::from(*byte) * scale - mean).powi(2))
            .sum();
        centred.push(1.0 / length.sqrt().max(1e-6));
    }
    let means: Vec<f32> = segments
        .iter()
        .flat_map(|one| self::mean(one.rows.iter()))
        .collect();
    let printable: Vec<u8> = texts
        .iter()
        .map(|text| u8::from(is_printable(text)))
        .collect();
    let (blocks, ends) = pack(&texts)?;
    let names: Vec<(&str, usize)> = segments
        .iter()
        .map(|one| (one.name.as_str(), one.texts.len()))
        .collect();
    let names = serde_json::to_string(&names).map_err(Damaged::new)?;

    let floats = |values: &[f32]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    };
    let ends: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
    let count = texts.len();
    let parts = [
        ("values", Dtype::I8, vec![count, width], values),
        ("scales", Dtype::F32, vec![count], floats(&scales)),
        ("centred", Dtype::F32, vec![count], floats(&centred)),
        ("printable", Dtype::U8, vec![count], printable),
        ("blocks", Dtype::U8, vec![blocks.len()], blocks),
        ("block_ends", Dtype::U32, vec![ends.len() / 4], ends),
        ("mean", Dtype::F32, vec![width], floats(&mean)),
        (
            "segment_means",
            Dtype::F32,
            vec![segments.len(), width],
            floats(&means),
        ),
    ];
    let mut tensors = Vec::new();
    for (name, dtype, shape, bytes) in &parts {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(Damaged::new)?;
        tensors.push((*name, view));
    }
    let metadata = HashMap::from([("segments".to_owned(), names)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(Damaged::new)
}

/// Texts in compressed blocks, and where each block ends.
fn pack(texts: &[&str]) -> Result<(Vec<u8>, Vec<u32>), Damaged> {
    let (mut blocks, mut ends) = (Vec::new(), Vec::new());
    for texts in texts.chunks(BLOCK) {
        let mut encoder = DeflateEncoder::new(&mut blocks, Compression::best());
        encoder
            .write_all(texts.join("\n").as_bytes())
            .map_err(Damaged::new)?;
        encoder.finish().map_err(Damaged::new)?;
        ends.push(u32::try_from(blocks.len()).map_err(Damaged::new)?);
    }
    Ok((blocks, ends))
}

fn mean<'a>(rows: impl Iterator<Item = &'a (f32, Vec<i8>)>) -> Vec<f32> {
    let mut sum: Vec<f64> = Vec::new();
    let mut count = 0.0f64;
    for (scale, row) in rows {
        sum.resize(row.len(), 0.0);
        let values = sum.iter_mut().zip(row);
        values.for_each(|(sum, byte)| *sum += f64::from(f32::from(*byte) * scale));
        count += 1.0;
    }
    sum.iter()
        .map(|sum| (sum / count.max(1.0)) as f32)
        .collect()
}
