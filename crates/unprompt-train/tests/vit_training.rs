//! A whole run of a tiny Vision Transformer.

use candle_core::Device;
use unprompt_train::{
    Augment, Draw, Numbers, Parameter, SourceItems, Stage, TrainError, Vit, VitBatch, VitFamily,
    VitOptions, VitShape, VitTraining,
};

const SHAPE: VitShape = VitShape {
    family: VitFamily::Plain,
    image: (8, 8),
    patch: 4,
    width: 32,
    depth: 2,
    heads: 2,
    inner: 64,
    outputs: 12,
};

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

fn vit() -> Vit {
    let tensor = |name: &str, shape: &[usize], seed: u64| {
        let count = shape.iter().product();
        let inputs = *shape.last().unwrap() as f32;
        let values: Vec<f32> = match name.contains("norm") && name.ends_with("weight") {
            true => vec![1.0; count],
            false => numbers(seed, count)
                .iter()
                .map(|value| value / inputs.sqrt())
                .collect(),
        };
        Parameter {
            name: name.into(),
            shape: shape.into(),
            values,
        }
    };
    let (width, inner) = (SHAPE.width, SHAPE.inner);
    let mut tensors = vec![
        tensor("cls_token", &[1, 1, width], 1),
        tensor("pos_embed", &[1, 5, width], 2),
        tensor("patch_embed.proj.weight", &[width, 3, 4, 4], 3),
        tensor("patch_embed.proj.bias", &[width], 4),
        tensor("norm.weight", &[width], 5),
        tensor("norm.bias", &[width], 6),
    ];
    for block in 0..SHAPE.depth {
        let shapes: [(&str, &[usize]); 12] = [
            ("norm1.weight", &[width]),
            ("norm1.bias", &[width]),
            ("attn.qkv.weight", &[3 * width, width]),
            ("attn.qkv.bias", &[3 * width]),
            ("attn.proj.weight", &[width, width]),
            ("attn.proj.bias", &[width]),
            ("norm2.weight", &[width]),
            ("norm2.bias", &[width]),
            ("mlp.fc1.weight", &[inner, width]),
            ("mlp.fc1.bias", &[inner]),
            ("mlp.fc2.weight", &[width, inner]),
            ("mlp.fc2.bias", &[width]),
        ];
        for (index, (name, shape)) in shapes.into_iter().enumerate() {
            let seed = (10 + 12 * block + index) as u64;
            tensors.push(tensor(&format!("blocks.{block}.{name}"), shape, seed));
        }
    }
    tensors.extend(Vit::new_head(&SHAPE, 7));
    Vit::new(SHAPE, tensors).unwrap()
}

fn options() -> VitOptions {
    VitOptions {
        head_epochs: 2,
        head_rate: 1e-2,
        epochs: 6,
        rate: 5e-3,
        last_epochs: 1,
        last_rate: 1e-3,
        layer_decay: 0.8,
        decay: 0.01,
        average: 0.99,
        warm_up: 0.05,
        batch: 8,
        part: 4,
        augment: Augment::default(),
        head_bias: false,
        seed: 5,
    }
}

/// The pictures of some draws: of 32 items, some with a second picture.
fn load(draws: &[Draw]) -> Result<VitBatch, TrainError> {
    let mut batch = VitBatch::default();
    for draw in draws {
        let seed = (draw.item + 100 * draw.picture) as u64;
        batch.pictures.extend(numbers(1000 + seed, SHAPE.picture()));
        batch
            .targets
            .extend(numbers(5000 + draw.item as u64, SHAPE.outputs));
    }
    Ok(batch)
}

/// One source of these items.
fn items(pictures: Vec<usize>) -> Vec<SourceItems> {
    let weight = 1.0;
    vec![SourceItems { weight, pictures }]
}

fn run(options: VitOptions) -> VitTraining {
    VitTraining::new(vit(), options, items(vec![1; 32])).unwrap()
}

fn cosine(vit: &Vit) -> f64 {
    let draws = (0..32).map(|item| Draw {
        item,
        picture: 0,
        keys: None,
    });
    let batch = load(&draws.collect::<Vec<_>>()).unwrap();
    let outputs = vit.outputs(&batch.pictures).unwrap();
    let shares = vec![1.0 / 32.0; 32];
    1.0 - unprompt_train::cosine_loss(&outputs, &batch.targets, SHAPE.outputs, &shares).value
}

#[test]
fn thirty_two_pairs_are_learnt_by_heart() {
    let options = VitOptions {
        epochs: 150,
        ..options()
    };
    let mut run = run(options);
    let before = cosine(run.vit().unwrap());
    while run.position().is_some() {
        run.advance(load).unwrap();
    }
    let (after, averaged) = (cosine(run.vit().unwrap()), cosine(&run.averaged().unwrap()));
    assert!(
        before < 0.5 && after > 0.99 && averaged > 0.99,
        "{before} {after} {averaged}"
    );
    assert_eq!(run.step(), run.steps());
    assert!(run.advance(load).is_err());
}

#[test]
fn a_run_that_stopped_goes_on_as_if_it_had_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let mut whole = run(options());
    let mut losses = Vec::new();
    let mut stages = Vec::new();
    while let Some(position) = whole.position() {
        stages.push(position.stage);
        losses.push(whole.advance(load).unwrap().loss.to_bits());
    }
    assert_eq!(losses.len(), 9 * 4);
    assert_eq!(
        stages.iter().filter(|stage| **stage == Stage::Head).count(),
        8
    );
    assert_eq!(
        stages.iter().filter(|stage| **stage == Stage::Last).count(),
        4
    );
    // In every stage, and at the borders between them.
    for stop in [1, 8, 9, 20, 32, 35] {
        let mut first = run(options());
        for _ in 0..stop {
            first.advance(load).unwrap();
        }
        first.save(&path, "plan").unwrap();
        let mut second = run(options());
        second.restore(&path, "plan").unwrap();
        assert_eq!(second.step(), stop);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        pool.install(|| {
            for expected in &losses[stop as usize..] {
                assert_eq!(
                    second.advance(load).unwrap().loss.to_bits(),
                    *expected,
                    "{stop}"
                );
            }
        });
        let weights = |run: &mut VitTraining| run.averaged().unwrap().parameters().to_vec();
        assert_eq!(weights(&mut second), weights(&mut whole));
    }
}

#[test]
fn sources_are_mixed_by_weight_also_by_a_run_that_stopped() {
    let begin = || {
        let source = |weight, pictures: &[usize]| SourceItems {
            weight,
            pictures: pictures.to_vec(),
        };
        let sources = vec![source(0.4, &[1; 20]), source(2.0, &[3, 1, 1, 1])];
        VitTraining::new(vit(), options(), sources).unwrap()
    };
    let mut whole = begin();
    let (mut losses, mut draws) = (Vec::new(), Vec::new());
    while let Some(position) = whole.position() {
        draws.push(whole.draws(&position));
        losses.push(whole.advance(load).unwrap().loss.to_bits());
    }
    // Eight and eight pictures an epoch.
    assert_eq!(losses.len(), 9 * 2);
    let mut times = [0; 24];
    for epoch in draws.chunks(2) {
        let draws = epoch.concat();
        assert_eq!(draws.iter().filter(|draw| draw.item < 20).count(), 8);
        draws.iter().for_each(|draw| times[draw.item] += 1);
        // What is seen twice is changed in two ways.
        let mut keys: Vec<[u64; 3]> = draws.iter().filter_map(|draw| draw.keys).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
    assert!(
        times[..20].iter().all(|times| (3..=4).contains(times)),
        "{times:?}"
    );
    assert_eq!(times[20..], [18; 4]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for stop in [3, 5, 13] {
        let mut first = begin();
        for _ in 0..stop {
            first.advance(load).unwrap();
        }
        first.save(&path, "plan").unwrap();
        let mut second = begin();
        second.restore(&path, "plan").unwrap();
        for expected in &losses[stop..] {
            assert_eq!(second.advance(load).unwrap().loss.to_bits(), *expected);
        }
    }
}

/// candle's CPU device stands for a graphics card.
#[test]
fn a_run_on_a_device_is_near_to_one_on_the_processor_and_each_goes_on_with_the_others_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let there = |numbers| {
        let mut run = run(options());
        run.on_device(&Device::Cpu, numbers).unwrap();
        run
    };
    let (mut here, mut other) = (run(options()), there(Numbers::F32));
    let near = |one: &mut VitTraining, other: &mut VitTraining| {
        for (one, other) in [
            (one.vit().unwrap().clone(), other.vit().unwrap().clone()),
            (one.averaged().unwrap(), other.averaged().unwrap()),
        ] {
            for (one, other) in one.parameters().iter().zip(other.parameters()) {
                // A bias of keys has no gradient but what rounding leaves, which AdamW makes large.
                let keys = match one.name.ends_with("qkv.bias") {
                    true => SHAPE.width..2 * SHAPE.width,
                    false => 0..0,
                };
                for (index, (a, b)) in one.values.iter().zip(&other.values).enumerate() {
                    let is_near = (a - b).abs() < 1e-3 || keys.contains(&index);
                    assert!(is_near, "{}[{index}]: {a} {b}", one.name);
                }
            }
        }
    };
    for step in 0..12 {
        let (one, two) = (here.advance(load).unwrap(), other.advance(load).unwrap());
        assert!(
            (one.loss - two.loss).abs() < 1e-4,
            "{step}: {one:?} {two:?}"
        );
        assert_eq!((one.step, one.rate), (two.step, two.rate));
    }
    near(&mut here, &mut other);
    // Each with the state of the other, across the border to the last stage.
    for stop in [12, 30] {
        while here.step() < stop {
            here.advance(load).unwrap();
        }
        here.save(&path, "plan").unwrap();
        let mut resumed = there(Numbers::F32);
        resumed.restore(&path, "plan").unwrap();
        resumed.save(&path, "plan").unwrap();
        let mut back = run(options());
        back.restore(&path, "plan").unwrap();
        assert_eq!(
            back.vit().unwrap().parameters(),
            here.vit().unwrap().parameters()
        );
        for _ in 0..4 {
            let (one, two) = (resumed.advance(load).unwrap(), back.advance(load).unwrap());
            assert!((one.loss - two.loss).abs() < 1e-4);
        }
        near(&mut resumed, &mut back);
    }
}

#[test]
fn bf16_learns_by_heart_too() {
    let options = VitOptions {
        epochs: 70,
        ..options()
    };
    let mut run = run(options);
    run.on_device(&Device::Cpu, Numbers::Bf16).unwrap();
    while run.position().is_some() {
        run.advance(load).unwrap();
    }
    // As the processor sees it, in f32.
    let after = cosine(&run.averaged().unwrap());
    assert!(after > 0.97, "{after}");
}

#[test]
fn what_was_kept_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    run(options()).save(&path, "plan").unwrap();
    let fails = |plan: &str, expected: &str| {
        let error = run(options()).restore(&path, plan).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails("another", "other options");
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 7, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        fails("plan", "damaged");
    }
    std::fs::remove_file(&path).unwrap();
    fails("plan", "cannot read");
}

#[test]
fn an_epoch_sees_each_item_once_and_not_always_the_same_picture() {
    let mut run = VitTraining::new(vit(), options(), items(vec![3; 30])).unwrap();
    let (mut seen, mut pictures, mut epochs) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(position) = run.position() {
        let draws = run.draws(&position);
        assert!(draws.len() == 7 || draws.len() == 8);
        assert!(
            draws
                .iter()
                .all(|draw| draw.keys.is_none() == (position.stage == Stage::Last))
        );
        seen.extend(draws.iter().map(|draw| draw.item));
        pictures.extend(
            draws
                .iter()
                .filter(|draw| draw.item == 4)
                .map(|draw| draw.picture),
        );
        if seen.len() == 30 {
            epochs.push(seen.clone());
            seen.sort_unstable();
            assert_eq!(seen, (0..30).collect::<Vec<_>>());
            seen.clear();
        }
        run.advance(load).unwrap();
    }
    assert_eq!(epochs.len(), 9);
    assert_ne!(epochs[0], epochs[1]);
    pictures.sort_unstable();
    pictures.dedup();
    assert!(pictures.len() > 1 && pictures[pictures.len() - 1] < 3);
}

#[test]
fn a_loss_that_is_no_number_names_its_pictures_and_changes_nothing() {
    let mut run = run(options());
    run.advance(load).unwrap();
    let before = run.vit().unwrap().parameters().to_vec();
    let broken = |draws: &[Draw]| {
        let mut batch = load(draws)?;
        batch.pictures[3] = f32::NAN;
        Ok(batch)
    };
    match run.advance(broken).unwrap_err() {
        TrainError::NotFinite { step: 1, items } => assert_eq!(items.len(), 8),
        error => panic!("{error}"),
    }
    assert_eq!(run.vit().unwrap().parameters(), before);
    assert_eq!(run.step(), 1);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |change: fn(&mut VitOptions)| {
        let mut options = options();
        change(&mut options);
        assert!(
            VitTraining::new(vit(), options, items(vec![1])).is_err(),
            "{options:?}"
        );
    };
    refused(|options| options.rate = 0.0);
    refused(|options| options.layer_decay = 1.5);
    refused(|options| options.average = 1.0);
    refused(|options| options.part = 0);
    refused(|options| options.augment.least_area = 2.0);
    assert!(VitTraining::new(vit(), options(), items(vec![])).is_err());
    assert!(VitTraining::new(vit(), options(), items(vec![1, 0])).is_err());
}
