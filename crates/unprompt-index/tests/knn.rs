//! The regression equals the notebook's arithmetic in numpy.
#![allow(missing_docs)]

mod common;

use common::build_with;
use safetensors::SafeTensors;
use unprompt_index::{BuildOptions, Match, NegativeDistance, PromptIndex, Regression, Space};

struct Fixture(Vec<u8>);

impl Fixture {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/knn.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    fn bytes(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        (tensor.shape().to_vec(), tensor.data().to_vec())
    }

    fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        let (shape, bytes) = self.bytes(name);
        let numbers = bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes));
        let numbers: Vec<f32> = numbers.collect();
        let rows = numbers.chunks_exact(*shape.last().unwrap());
        rows.map(<[f32]>::to_vec).collect()
    }

    fn row_numbers(&self, name: &str) -> Vec<Vec<u64>> {
        let (shape, bytes) = self.bytes(name);
        let numbers = bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes));
        let numbers: Vec<u64> = numbers.collect();
        let rows = numbers.chunks_exact(*shape.last().unwrap());
        rows.map(<[u64]>::to_vec).collect()
    }
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
    }
}

const KINDS: [(&str, NegativeDistance); 2] = [
    ("clamped", NegativeDistance::Zero),
    ("published", NegativeDistance::AsPublished),
];

#[test]
fn it_equals_numpy_in_both_spaces_and_both_ways() {
    let fixture = Fixture::load();
    let (clip, sentence) = (fixture.rows("clip"), fixture.rows("sentence"));
    let row = |text: &str| text.parse::<usize>().unwrap();
    let texts: Vec<String> = (0..clip.len()).map(|row| row.to_string()).collect();
    let folder = tempfile::tempdir().unwrap();
    let options = BuildOptions {
        segment_rows: 64,
        ..BuildOptions::default()
    };
    build_with(
        folder.path(),
        &texts,
        &|text| clip[row(text)].clone(),
        &|text| sentence[row(text)].clone(),
        options,
        &mut |_| (),
    )
    .unwrap();
    let index = PromptIndex::open(folder.path()).unwrap();
    for (name, space, queries) in [
        ("in_clip", Space::Clip, "queries"),
        ("in_sentence", Space::Sentence, "sentence_queries"),
    ] {
        let neighbours = fixture.row_numbers(&format!("{name}.neighbours"));
        let similarities = fixture.rows(&format!("{name}.similarities"));
        for (kind, negative) in KINDS {
            let regression = Regression {
                negative,
                ..Regression::default()
            };
            let found = regression
                .predict(&index, space, &fixture.rows(queries))
                .unwrap();
            let expected = fixture.rows(&format!("{name}.{kind}"));
            assert_eq!(found.len(), expected.len());
            for (query, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let rows: Vec<u64> = found.matches.iter().map(|found| found.row).collect();
                assert_eq!(rows, neighbours[query], "{name} {query}");
                let cosines: Vec<f32> =
                    found.matches.iter().map(|found| found.similarity).collect();
                assert_near(&cosines, &similarities[query]);
                assert_near(&found.embedding, expected);
            }
        }
    }
}

#[test]
fn the_weights_are_the_notebooks_at_ties_and_below_zero() {
    let fixture = Fixture::load();
    let similarities = fixture.rows("weights.similarities").remove(0);
    let matches: Vec<Match> = similarities
        .iter()
        .zip(fixture.rows("weights.embeddings"))
        .map(|(similarity, embedding)| Match {
            row: 0,
            prompt: String::new(),
            similarity: *similarity,
            embedding,
        })
        .collect();
    let mut results = Vec::new();
    for (kind, negative) in KINDS {
        let regression = Regression {
            negative,
            ..Regression::default()
        };
        let found = regression.combine(&matches);
        assert_near(&found, &fixture.rows(&format!("weights.{kind}"))[0]);
        results.push(found);
    }
    let difference = results[0]
        .iter()
        .zip(&results[1])
        .map(|(a, b)| (a - b).abs());
    assert!(
        difference.fold(0.0, f32::max) > 1e-2,
        "the two ways must differ here"
    );
}

#[test]
fn of_nothing_comes_nothing() {
    let regression = Regression::default();
    assert_eq!(regression.combine(&[]), Vec::<f32>::new());
    let zero = Match {
        row: 0,
        prompt: String::new(),
        similarity: 1.0,
        embedding: vec![0.0; 3],
    };
    assert_eq!(regression.combine(&[zero]), [0.0; 3]);
}
