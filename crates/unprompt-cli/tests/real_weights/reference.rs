//! The reference outputs in `fixtures/models`, and arithmetic to compare with.

use crate::harness::{json, workspace};
use safetensors::SafeTensors;
use serde_json::Value;

pub fn document(name: &str) -> Value {
    let path = workspace("fixtures/models").join(name);
    json(&std::fs::read_to_string(path).unwrap())
}

/// A file of tensors.
pub struct Tensors(Vec<u8>);

impl Tensors {
    pub fn open(name: &str) -> Self {
        Self(std::fs::read(workspace("fixtures/models").join(name)).unwrap())
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name);
        let (numbers, rest) = bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        numbers.iter().copied().map(f32::from_le_bytes).collect()
    }
}

/// The largest absolute difference. No number may be missing or not a number.
#[track_caller]
pub fn largest_difference<A, B>(found: &[A], expected: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    assert_eq!(found.len(), expected.len());
    let mut largest = 0f64;
    for (&found, &expected) in found.iter().zip(expected) {
        let difference = (found.into() - expected.into()).abs();
        assert!(difference.is_finite());
        largest = largest.max(difference);
    }
    largest
}

pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The sum of weighted vectors, at unit length.
pub fn blend(rows: &[(f64, Vec<f64>)]) -> Vec<f64> {
    let width = rows[0].1.len();
    let sum: Vec<f64> = (0..width)
        .map(|i| rows.iter().map(|(weight, row)| weight * row[i]).sum())
        .collect();
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    sum.into_iter().map(|x| x / length).collect()
}

/// The numbers of a record's `embedding`, as they were before they were written.
#[track_caller]
pub fn embedding_f32(record: &Value) -> Vec<f32> {
    embedding(record).iter().map(|x| *x as f32).collect()
}

/// The numbers of a record's `embedding`.
#[track_caller]
pub fn embedding(record: &Value) -> Vec<f64> {
    let numbers = record["embedding"]
        .as_array()
        .unwrap_or_else(|| panic!("no embedding in {record}"));
    numbers.iter().map(|n| n.as_f64().unwrap()).collect()
}
