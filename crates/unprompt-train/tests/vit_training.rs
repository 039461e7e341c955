//! A whole run of a tiny Vision Transformer.

use unprompt_train::{
    Augment, Draw, Parameter, Stage, TrainError, Vit, VitBatch, VitFamily, VitOptions, VitShape,
    VitTraining,
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

fn run(options: VitOptions) -> VitTraining {
    VitTraining::new(vit(), options, vec![1; 32]).unwrap()
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
    let before = cosine(run.vit());
    while run.position().is_some() {
        run.advance(load).unwrap();
    }
    let (after, averaged) = (cosine(run.vit()), cosine(&run.averaged()));
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
        let weights = |run: &VitTraining| run.averaged().parameters().to_vec();
        assert_eq!(weights(&second), weights(&whole));
    }
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
    let mut run = VitTraining::new(vit(), options(), vec![3; 30]).unwrap();
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
    let before = run.vit().parameters().to_vec();
    let broken = |draws: &[Draw]| {
        let mut batch = load(draws)?;
        batch.pictures[3] = f32::NAN;
        Ok(batch)
    };
    match run.advance(broken).unwrap_err() {
        TrainError::NotFinite { step: 1, items } => assert_eq!(items.len(), 8),
        error => panic!("{error}"),
    }
    assert_eq!(run.vit().parameters(), before);
    assert_eq!(run.step(), 1);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |change: fn(&mut VitOptions)| {
        let mut options = options();
        change(&mut options);
        assert!(
            VitTraining::new(vit(), options, vec![1]).is_err(),
            "{options:?}"
        );
    };
    refused(|options| options.rate = 0.0);
    refused(|options| options.layer_decay = 1.5);
    refused(|options| options.average = 1.0);
    refused(|options| options.part = 0);
    refused(|options| options.augment.least_area = 2.0);
    assert!(VitTraining::new(vit(), options(), vec![]).is_err());
    assert!(VitTraining::new(vit(), options(), vec![1, 0]).is_err());
}
