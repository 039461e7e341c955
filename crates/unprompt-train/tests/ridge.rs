//! The head against numpy's, from `fixtures/ridge.py`.

use serde::Deserialize;
use unprompt_train::{
    HeadConfig, RidgeOptions, STRENGTHS, SourceRows, StrengthScore, TrainError, choose_strength,
    ridge, save_head,
};

#[derive(Deserialize)]
struct Fixture {
    strength: f64,
    sources: Vec<Source>,
    outputs: Vec<Vec<f64>>,
    target_mean: Vec<f64>,
    fold_of: Vec<Vec<usize>>,
    tried: Vec<Tried>,
    chosen: f64,
    outputs_of_chosen: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Tried {
    strength: f64,
    mean_cosine: f64,
    folds: Vec<f64>,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    weight: f64,
    features: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
}

fn fixture() -> (Fixture, Vec<SourceRows>, RidgeOptions) {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/ridge.json")).unwrap();
    let rows = |source: &Source| SourceRows {
        name: source.name.clone(),
        weight: source.weight,
        features: source.features.clone(),
        targets: source.targets.clone(),
        words: Vec::new(),
    };
    let sources = fixture.sources.iter().map(rows).collect();
    let options = RidgeOptions {
        strength: fixture.strength,
    };
    (fixture, sources, options)
}

#[test]
fn the_head_is_numpys() {
    let (fixture, sources, options) = fixture();
    let head = ridge(&sources, options).unwrap();
    let features = sources.iter().flat_map(|source| &source.features);
    let mut count = 0;
    for (features, expected) in features.zip(&fixture.outputs) {
        for (found, expected) in head.output(features).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            count += 1;
        }
    }
    assert_eq!(count, 73 * 5);
    for (found, expected) in head.target_mean.iter().zip(&fixture.target_mean) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn the_bits_are_the_same_with_any_number_of_threads() {
    let (_, sources, options) = fixture();
    let bits = |threads| -> Vec<u64> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let head = pool.install(|| ridge(&sources, options).unwrap());
        let values = head
            .weight
            .iter()
            .flatten()
            .chain(&head.bias)
            .chain(&head.target_mean);
        values.map(|value| value.to_bits()).collect()
    };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn the_strength_is_the_one_that_numpy_chooses() {
    let (fixture, sources, _) = fixture();
    let choose = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let chosen = || choose_strength(&sources, &fixture.fold_of, &STRENGTHS);
        pool.build().unwrap().install(chosen).unwrap()
    };
    let choice = choose(1);
    assert_eq!(choice, choose(3));
    assert_eq!(choice.strength, fixture.chosen);
    assert_eq!(choice.tried.len(), fixture.tried.len());
    for (found, expected) in choice.tried.iter().zip(&fixture.tried) {
        let StrengthScore {
            strength,
            mean_cosine,
            folds,
        } = found;
        assert_eq!(*strength, expected.strength);
        assert!((mean_cosine - expected.mean_cosine).abs() < 1e-6);
        assert_eq!(folds.len(), expected.folds.len());
        for (found, expected) in folds.iter().zip(&expected.folds) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
    let strength = choice.strength;
    let head = ridge(&sources, RidgeOptions { strength }).unwrap();
    let features = sources.iter().flat_map(|source| &source.features);
    for (features, expected) in features.zip(&fixture.outputs_of_chosen) {
        for (found, expected) in head.output(features).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}

#[test]
fn folds_that_cannot_be_are_refused() {
    let (fixture, sources, _) = fixture();
    let fails = |change: fn(&mut Vec<Vec<usize>>), expected: &str| {
        let mut fold_of = fixture.fold_of.clone();
        change(&mut fold_of);
        let error = choose_strength(&sources, &fold_of, &STRENGTHS).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    fails(|fold_of| fold_of[0].truncate(3), "not as many places");
    fails(|fold_of| fold_of.truncate(3), "not as many places");
    let zeros =
        |fold_of: &mut Vec<Vec<usize>>| fold_of.iter_mut().flatten().for_each(|fold| *fold = 0);
    fails(zeros, "not enough different captions");
    fails(|fold_of| fold_of[0][0] = usize::MAX - 1, "not enough");
    assert!(choose_strength(&sources, &fixture.fold_of, &[]).is_err());
    assert!(choose_strength(&sources, &fixture.fold_of, &[1.0, -1.0]).is_err());
}

#[test]
fn rows_that_cannot_be_right_are_refused() {
    let (_, sources, options) = fixture();
    let fails = |change: fn(&mut Vec<SourceRows>), expected: &str| {
        let mut sources = sources.clone();
        change(&mut sources);
        let error = ridge(&sources, options).unwrap_err();
        assert!(matches!(error, TrainError::Data(_)));
        assert!(error.to_string().contains(expected), "{error}");
    };
    fails(Vec::clear, "no sample");
    fails(|sources| sources[1].weight = 0.0, "weight 0");
    fails(|sources| sources[1].features[2][3] = f32::NAN, "not finite");
    fails(|sources| sources[1].features[2].truncate(3), "expected");
    fails(|sources| sources[2].targets.truncate(3), "not as many");
    assert!(ridge(&sources, RidgeOptions { strength: 0.0 }).is_err());
}

#[test]
fn a_head_is_written_once() {
    let (_, sources, options) = fixture();
    let head = ridge(&sources, options).unwrap().into();
    let config = HeadConfig {
        model_type: "head",
        tower: "tower".into(),
        tower_sha256: "00".into(),
        features: "pooled",
        more_towers: Vec::new(),
        encoder: "encoder".into(),
        inputs: 12,
        outputs: 5,
        solver: "ridge".into(),
        strength: Some(options.strength),
        tried: Vec::new(),
        gradient: None,
        data: Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep/head");
    save_head(&folder, &head, &config).unwrap();
    let bytes = std::fs::read(folder.join("head.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("weight").unwrap().shape(), [5, 12]);
    assert_eq!(tensors.tensor("bias").unwrap().data().len(), 20);
    assert!(matches!(
        save_head(&folder, &head, &config),
        Err(TrainError::Occupied(_))
    ));
}
