//! Ten steps of training against PyTorch's, from `fixtures/steps.py`.

use safetensors::SafeTensors;
use unprompt_train::{
    AdamW, AdamWOptions, HeadBatch, HeadNetwork, HeadShape, Parameter, Part, Schedule, Vit,
    VitFamily, VitShape, average_weights, cosine_loss,
};

const STEPS: usize = 10;
const DECAY: f64 = 0.05;
const OPTIONS: AdamWOptions = AdamWOptions {
    first: 0.9,
    second: 0.999,
    epsilon: 1e-6,
};
const SCHEDULE: Schedule = Schedule {
    warm_up: 3,
    first: 2e-4,
    peak: 2e-3,
    last: 1e-5,
    steps: STEPS as u64,
};
const SHAPE: VitShape = VitShape {
    family: VitFamily::Plain,
    image: (12, 8),
    patch: 4,
    width: 32,
    depth: 2,
    heads: 2,
    inner: 64,
    outputs: 16,
};

const CLIP: VitShape = VitShape {
    family: VitFamily::Clip { quick: true },
    ..SHAPE
};

/// The file of a fixture.
struct Fixture<'a>(SafeTensors<'a>);

impl<'a> Fixture<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self(SafeTensors::deserialize(bytes).unwrap())
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let view = self.0.tensor(name).unwrap();
        let chunks = view.data().as_chunks::<4>().0;
        chunks
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    }

    fn parameters(&self) -> Vec<Parameter> {
        let names = self.0.names().into_iter();
        names
            .filter_map(|name| {
                Some(Parameter {
                    name: name.strip_prefix("weights.")?.to_owned(),
                    shape: self.0.tensor(name).unwrap().shape().to_vec(),
                    values: self.values(name),
                })
            })
            .collect()
    }

    /// Compares values with those that are expected.
    fn check(&self, name: &str, found: &[f32], tolerance: f32) {
        let expected = self.values(name);
        assert_eq!(expected.len(), found.len(), "{name}");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = (found - expected).abs();
            assert!(
                error <= tolerance * expected.abs().max(1.0),
                "{name}[{index}]: {found}, expected {expected}"
            );
        }
    }
}

fn vit_bytes() -> &'static [u8] {
    include_bytes!("fixtures/vit.safetensors")
}

/// Both families with their files.
fn families() -> [(VitShape, &'static [u8]); 2] {
    [
        (SHAPE, vit_bytes()),
        (CLIP, include_bytes!("fixtures/clip.safetensors")),
    ]
}

#[test]
fn gradients_of_a_vit_are_pytorchs() {
    for (shape, bytes) in families() {
        check_gradients(shape, bytes);
    }
}

fn check_gradients(shape: VitShape, bytes: &[u8]) {
    let fixture = Fixture::of(bytes);
    let vit = Vit::new(shape, fixture.parameters()).unwrap();
    let (pixels, targets) = (fixture.values("pixels"), fixture.values("targets"));
    let (pixels, targets) = (
        &pixels[..pixels.len() / STEPS],
        &targets[..targets.len() / STEPS],
    );
    let kept = vit.forward(pixels).unwrap();
    fixture.check("outputs", &kept.outputs, 1e-5);
    assert_eq!(kept.outputs, vit.outputs(pixels).unwrap());
    let loss = cosine_loss(&kept.outputs, targets, SHAPE.outputs, &[0.25; 4]);
    let mut gradients = vec![Vec::new(); vit.parameters().len()];
    vit.backward(kept.clone(), &loss.gradient, Part::All, &mut gradients)
        .unwrap();
    for (parameter, gradient) in vit.parameters().iter().zip(&gradients) {
        fixture.check(&format!("gradients.{}", parameter.name), gradient, 1e-5);
    }
    // Of the head alone the same, and nothing else.
    let mut head = vec![Vec::new(); vit.parameters().len()];
    vit.backward(kept, &loss.gradient, Part::Head, &mut head)
        .unwrap();
    let (first, last) = head.split_at(head.len() - 2);
    assert!(first.iter().all(Vec::is_empty));
    assert_eq!(last, &gradients[gradients.len() - 2..]);
}

/// Ten steps, each batch in so many parts.
fn train(shape: VitShape, bytes: &[u8], parts: usize) -> (Vit, Vec<Vec<f32>>, Vec<f64>) {
    let fixture = Fixture::of(bytes);
    let mut vit = Vit::new(shape, fixture.parameters()).unwrap();
    let (pixels, targets) = (fixture.values("pixels"), fixture.values("targets"));
    let treatments = vit.treatments(Part::All, 0.6, DECAY, true);
    let mut optimiser = AdamW::new(vit.parameters(), OPTIONS);
    let mut average: Vec<Vec<f32>> = vit
        .parameters()
        .iter()
        .map(|parameter| parameter.values.clone())
        .collect();
    let mut losses = Vec::new();
    let batches = pixels.chunks_exact(pixels.len() / STEPS);
    for (step, (pixels, targets)) in batches
        .zip(targets.chunks_exact(targets.len() / STEPS))
        .enumerate()
    {
        let mut gradients = vec![Vec::new(); vit.parameters().len()];
        let mut sum = 0.0;
        let pieces = pixels.chunks_exact(pixels.len() / parts);
        for (pixels, targets) in pieces.zip(targets.chunks_exact(targets.len() / parts)) {
            let kept = vit.forward(pixels).unwrap();
            let loss = cosine_loss(&kept.outputs, targets, SHAPE.outputs, &[0.25; 4]);
            sum += loss.value;
            vit.backward(kept, &loss.gradient, Part::All, &mut gradients)
                .unwrap();
        }
        losses.push(sum);
        let rate = SCHEDULE.rate(step as u64);
        optimiser.step(vit.parameters_mut(), &gradients, &treatments, rate);
        average_weights(&mut average, vit.parameters(), 0.9);
    }
    (vit, average, losses)
}

#[test]
fn ten_steps_of_a_vit_are_pytorchs() {
    // In one piece, and gradients gathered over two.
    for ((shape, bytes), parts) in families().into_iter().flat_map(|one| [(one, 1), (one, 2)]) {
        let fixture = Fixture::of(bytes);
        let (vit, average, losses) = train(shape, bytes, parts);
        let expected = fixture.values("losses");
        for (step, (found, expected)) in losses.iter().zip(expected).enumerate() {
            assert!(
                (found - f64::from(expected)).abs() < 1e-4,
                "{step}: {found} {expected}"
            );
        }
        for (parameter, average) in vit.parameters().iter().zip(&average) {
            let name = &parameter.name;
            fixture.check(&format!("trained.{name}"), &parameter.values, 1e-4);
            fixture.check(&format!("average.{name}"), average, 1e-4);
        }
    }
}

#[test]
fn training_has_the_same_bits_on_any_number_of_threads() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let (vit, average, _) = pool.unwrap().install(|| train(SHAPE, vit_bytes(), 2));
        let values = vit
            .parameters()
            .iter()
            .flat_map(|parameter| parameter.values.clone());
        let all = values.chain(average.concat());
        all.map(f32::to_bits).collect::<Vec<_>>()
    };
    assert!(on(1) == on(3));
}

#[test]
fn the_schedule_is_timms() {
    let fixture = Fixture::of(vit_bytes());
    for (step, expected) in fixture.values("rates").into_iter().enumerate() {
        let found = SCHEDULE.rate(step as u64);
        assert!(
            (found - f64::from(expected)).abs() < 1e-9,
            "{step}: {found} {expected}"
        );
    }
}

#[test]
fn a_vit_of_other_tensors_is_refused() {
    let fixture = Fixture::of(vit_bytes());
    let refused = |shape, tensors, expected: &str| {
        let error = Vit::new(shape, tensors).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let shape = |change: fn(&mut VitShape)| {
        let mut shape = SHAPE;
        change(&mut shape);
        shape
    };
    let tensors = || fixture.parameters();
    refused(
        shape(|shape| shape.heads = 5),
        tensors(),
        "no Vision Transformer",
    );
    refused(
        shape(|shape| shape.patch = 5),
        tensors(),
        "no Vision Transformer",
    );
    refused(
        shape(|shape| shape.outputs = 5),
        tensors(),
        "tensor `head.weight`: expected",
    );
    refused(
        shape(|shape| shape.depth = 3),
        tensors(),
        "no tensor `blocks.2.",
    );
    refused(shape(|shape| shape.depth = 1), tensors(), "is of no use");
    let vit = Vit::new(SHAPE, tensors()).unwrap();
    assert!(vit.forward(&[0.0; 7]).is_err() && vit.forward(&[]).is_err());
}

#[test]
fn ten_steps_of_a_head_are_pytorchs() {
    let fixture = Fixture::of(include_bytes!("fixtures/head.safetensors"));
    let shape = HeadShape {
        inputs: 12,
        hidden: Some(10),
        outputs: 6,
        words: 7,
    };
    let mut network = HeadNetwork::of(shape, fixture.parameters()).unwrap();
    let [features, targets, words, counts] =
        ["features", "targets", "words", "counts"].map(|name| fixture.values(name));
    let rows = 9;
    let treatments = network.treatments(DECAY);
    let mut optimiser = AdamW::new(network.parameters(), OPTIONS);
    let losses = fixture.values("losses");
    for step in 0..STEPS {
        let part = |values: &[f32], width: usize| {
            values[step * rows * width..(step + 1) * rows * width].to_vec()
        };
        let words: Vec<Vec<u32>> = part(&words, 7)
            .chunks_exact(7)
            .map(|row| (0..7).filter(|place| row[*place as usize] > 0.5).collect())
            .collect();
        let words: Vec<&[u32]> = words.iter().map(Vec::as_slice).collect();
        let counts: Vec<f64> = part(&counts, 1).into_iter().map(f64::from).collect();
        let (loss, gradients) = network
            .learn(&HeadBatch {
                features: &part(&features, 12),
                targets: &part(&targets, 6),
                words: &words,
                counts: &counts,
            })
            .unwrap();
        assert!(
            (loss - f64::from(losses[step])).abs() < 1e-4,
            "{step}: {loss}"
        );
        if step == 0 {
            for (parameter, gradient) in network.parameters().iter().zip(&gradients) {
                fixture.check(&format!("gradients.{}", parameter.name), gradient, 1e-5);
            }
        }
        let rate = SCHEDULE.rate(step as u64);
        optimiser.step(network.parameters_mut(), &gradients, &treatments, rate);
    }
    for parameter in network.parameters() {
        fixture.check(
            &format!("trained.{}", parameter.name),
            &parameter.values,
            1e-4,
        );
    }
    fixture.check("mean", &network.running().mean, 1e-4);
    fixture.check("variance", &network.running().variance, 1e-4);
    // As it is kept, the normalisation is part of the first layer.
    let weights = network.weights(vec![0.0; 6]);
    let last = &features[(STEPS - 1) * rows * 12..];
    let answers: Vec<f32> = last
        .chunks_exact(12)
        .flat_map(|features| weights.output(features))
        .map(|value| value as f32)
        .collect();
    fixture.check("answers", &answers, 1e-4);
}
