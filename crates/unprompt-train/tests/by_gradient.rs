//! Heads by gradient learn what there is to learn.

use unprompt_train::{GradientOptions, HeadEpoch, HeadWeights, SourceRows, head_by_gradient};

/// Numbers between -1 and 1 that look random.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Samples whose targets are a linear function of the features, or with a kink between.
fn sources(kink: bool) -> Vec<SourceRows> {
    const INPUTS: usize = 10;
    let (first, second) = (numbers(1, 8 * INPUTS), numbers(2, 5 * 8));
    let layer = |weight: &[f32], x: &[f32]| -> Vec<f32> {
        let rows = weight.chunks_exact(x.len());
        rows.map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
            .collect()
    };
    [(3u64, 300usize), (4, 100)]
        .map(|(seed, count)| {
            let rows = numbers(seed, count * INPUTS);
            let features: Vec<Vec<f32>> = rows.chunks_exact(INPUTS).map(<[f32]>::to_vec).collect();
            let targets = features.iter().map(|features| {
                let mut state = layer(&first, features);
                if kink {
                    state.iter_mut().for_each(|value| *value = value.max(0.0));
                }
                layer(&second, &state)
            });
            let words = features
                .iter()
                .map(|row| u32::from(row[0] > 0.0))
                .map(|word| vec![word]);
            SourceRows {
                name: format!("source {seed}"),
                weight: 1.0,
                targets: targets.collect(),
                words: words.collect(),
                features,
            }
        })
        .into()
}

fn mean_cosine(head: &HeadWeights, sources: &[SourceRows]) -> f64 {
    let rows = sources
        .iter()
        .flat_map(|source| source.features.iter().zip(&source.targets));
    let cosines: Vec<f64> = rows
        .map(|(features, target)| {
            let output = head.output(features);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let target: Vec<f64> = target.iter().copied().map(f64::from).collect();
            dot(&output, &target)
                / (dot(&output, &output) * dot(&target, &target))
                    .sqrt()
                    .max(1e-12)
        })
        .collect();
    cosines.iter().sum::<f64>() / cosines.len() as f64
}

fn options(hidden: Option<usize>, words: usize) -> GradientOptions {
    GradientOptions {
        hidden,
        words,
        epochs: 60,
        batch: 32,
        rate: 1e-2,
        ..GradientOptions::default()
    }
}

#[test]
fn a_linear_head_learns_what_is_linear() {
    let sources = sources(false);
    let mut epochs: Vec<HeadEpoch> = Vec::new();
    let head = head_by_gradient(&sources, &options(None, 0), |epoch| epochs.push(epoch)).unwrap();
    let cosine = mean_cosine(&head, &sources);
    assert!(cosine > 0.99, "{cosine}");
    assert_eq!(epochs.len(), 60);
    assert!(epochs[59].loss < 0.1 * epochs[0].loss, "{epochs:?}");
    assert!(head.output.bias.iter().all(|bias| *bias == 0.0) && head.hidden.is_none());
}

#[test]
fn a_hidden_layer_learns_what_is_not() {
    let sources = sources(true);
    let linear = head_by_gradient(&sources, &options(None, 0), |_| ()).unwrap();
    let hidden = head_by_gradient(&sources, &options(Some(64), 2), |_| ()).unwrap();
    let (linear, hidden) = (
        mean_cosine(&linear, &sources),
        mean_cosine(&hidden, &sources),
    );
    assert!(hidden > linear && hidden > 0.97, "{linear} {hidden}");
}

#[test]
fn a_seed_is_a_head_on_any_number_of_threads() {
    let sources = sources(true);
    let options = GradientOptions {
        epochs: 2,
        ..options(Some(16), 2)
    };
    let bits = |threads, options: &GradientOptions| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let head = pool
            .unwrap()
            .install(|| head_by_gradient(&sources, options, |_| ()));
        let weight = head.unwrap().output.weight.concat();
        weight.into_iter().map(f64::to_bits).collect::<Vec<_>>()
    };
    let first = bits(1, &options);
    assert_eq!(first, bits(3, &options));
    assert_ne!(first, bits(1, &GradientOptions { seed: 1, ..options }));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let sources = sources(false);
    let refused = |change: fn(&mut GradientOptions), expected: &str| {
        let mut options = options(None, 0);
        change(&mut options);
        let error = head_by_gradient(&sources, &options, |_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(|options| options.epochs = 0, "0 epochs");
    refused(|options| options.batch = 1, "batches of 1");
    refused(|options| options.rate = f64::NAN, "rate NaN");
    refused(|options| options.decay = -1.0, "weight decay -1");
    refused(|options| options.words = 3, "a linear head has none");
    refused(|options| options.hidden = Some(0), "no width");
    refused(|options| options.rate = 1e300, "the loss of step");
    let one = [SourceRows {
        features: vec![vec![1.0]],
        targets: vec![vec![1.0]],
        words: Vec::new(),
        ..sources[0].clone()
    }];
    assert!(head_by_gradient(&one, &options(Some(4), 0), |_| ()).is_err());
}
