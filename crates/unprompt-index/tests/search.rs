//! The search finds what comparing everything with everything finds.
#![allow(missing_docs)]

mod common;

use common::{Numbers, build_plain, build_with, embedding, texts};
use unprompt_index::{BuildOptions, NearestPrompts, PromptIndex, Space};

fn options(segment_rows: usize) -> BuildOptions {
    BuildOptions {
        batch: 50,
        segment_rows,
    }
}

/// A row as the index holds it, and its product with a query: one chain of fused multiply-adds.
fn similarity(row: &[f32], query: &[f32]) -> f32 {
    let unit = |values: &[f32]| -> Vec<f32> {
        let norm = values
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt();
        values
            .iter()
            .map(|x| (f64::from(*x) / norm) as f32)
            .collect()
    };
    let row = unit(row)
        .into_iter()
        .map(|x| half::f16::from_f32(x).to_f32());
    row.zip(unit(query))
        .fold(0.0, |sum, (x, y)| x.mul_add(y, sum))
}

fn brute_force(rows: &[Vec<f32>], query: &[f32], count: usize) -> Vec<(u64, f32)> {
    let mut all: Vec<(u64, f32)> = rows
        .iter()
        .enumerate()
        .map(|(row, values)| (row as u64, similarity(values, query)))
        .collect();
    all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    all.truncate(count);
    all
}

#[test]
fn it_equals_brute_force_whatever_the_segments_threads_and_batches() {
    let texts = texts(1500);
    for (space, width) in [(Space::Clip, 24), (Space::Sentence, 16)] {
        let rows: Vec<Vec<f32>> = texts.iter().map(|text| embedding(text, width)).collect();
        let mut numbers = Numbers(5);
        let queries: Vec<Vec<f32>> = (0..300).map(|_| numbers.vector(width)).collect();
        for segment_rows in [1500, 700, 37] {
            let folder = tempfile::tempdir().unwrap();
            build_plain(folder.path(), &texts, options(segment_rows)).unwrap();
            for (threads, count) in [(1, 100), (3, 100), (8, 1), (2, 2000)] {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let index = PromptIndex::open(folder.path()).unwrap();
                let queries = if count == 100 {
                    &queries[..]
                } else {
                    &queries[..3]
                };
                let found = pool
                    .install(|| index.nearest_rows(space, queries, count))
                    .unwrap();
                assert_eq!(found.len(), queries.len());
                for (found, query) in found.iter().zip(queries) {
                    let found: Vec<(u64, f32)> = found
                        .iter()
                        .map(|found| (found.row, found.similarity))
                        .collect();
                    // Bit for bit, not nearly.
                    assert!(
                        found == brute_force(&rows, query, count),
                        "{segment_rows} {threads}"
                    );
                }
                let alone = index.nearest_rows(space, &queries[2..3], count).unwrap();
                let together = index.nearest_rows(space, &queries[..3], count).unwrap();
                assert_eq!(alone[0], together[2]);
            }
        }
    }
}

#[test]
fn equal_rows_come_in_their_order_even_where_they_are_everywhere() {
    let texts = texts(900);
    let folder = tempfile::tempdir().unwrap();
    // Three vectors for nine hundred prompts, and one that is orthogonal to the query with a zero
    // of either sign.
    let clip = |text: &str| {
        let row: usize = text["prompt ".len()..].parse().unwrap();
        [[1.0, 0.0], [0.0, 1.0], [-0.0, -1.0]][row % 3].to_vec()
    };
    build_with(
        folder.path(),
        &texts,
        &clip,
        &clip,
        options(50),
        &mut |_| (),
    )
    .unwrap();
    let index = PromptIndex::open(folder.path()).unwrap();
    let found = index
        .nearest(Space::Clip, &[vec![2.0, 0.0], vec![0.0, -0.5]], 400)
        .unwrap();
    let rows: Vec<u64> = found[0].iter().map(|found| found.row).collect();
    let firsts = (0..900).filter(|row| row % 3 == 0);
    let others = (0..900).filter(|row| row % 3 != 0);
    assert_eq!(rows, firsts.chain(others).take(400).collect::<Vec<u64>>());
    assert_eq!(found[1][0].prompt, "prompt 2");
    assert_eq!(found[1][0].similarity, 1.0);
    assert_eq!(found[1][0].embedding, [0.0, -1.0]);
    assert_eq!(found[1][300].similarity, 0.0);
}

#[test]
fn what_cannot_be_searched_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    build_plain(folder.path(), &texts(3), options(2)).unwrap();
    let index = PromptIndex::open(folder.path()).unwrap();
    for (query, expected) in [
        (vec![1.0; 23], "query 1 has 23 numbers, expected 24"),
        (vec![0.0; 24], "query 1 has the length 0"),
        (vec![f32::NAN; 24], "query 1 has the length NaN"),
        (vec![f32::INFINITY; 24], "query 1 has the length inf"),
    ] {
        let error = index
            .nearest(Space::Clip, &[vec![1.0; 24], query], 2)
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_of_the_index(), "{error}");
    }
    // As large and as small as numbers are.
    let queries = [
        vec![f32::MAX; 24],
        vec![f32::MIN_POSITIVE / 1e6; 24],
        vec![1.0; 24],
    ];
    let found = index.nearest(Space::Clip, &queries, 3).unwrap();
    assert_eq!(found[0][0].row, found[2][0].row);
    assert_eq!(found[1][0].row, found[2][0].row);
    assert_eq!(index.nearest(Space::Clip, &[], 5).unwrap().len(), 0);
    assert_eq!(
        index.nearest(Space::Clip, &queries, 0).unwrap(),
        vec![vec![]; 3]
    );
}
