//! candle's CPU device against the layers of our own, and against PyTorch.

use super::*;
use crate::{Parameter, Schedule, VitFamily};
use safetensors::SafeTensors;

const STEPS: usize = 10;
const BATCH: usize = 4;
const PLAIN: VitShape = VitShape {
    family: VitFamily::Plain,
    image: (12, 8),
    patch: 4,
    width: 32,
    depth: 2,
    heads: 2,
    inner: 64,
    outputs: 16,
};

/// What `tests/fixtures/steps.py` writes.
struct Fixture {
    shape: VitShape,
    tensors: SafeTensors<'static>,
}

fn fixtures() -> [Fixture; 2] {
    let fixture = |family, bytes| Fixture {
        shape: VitShape { family, ..PLAIN },
        tensors: SafeTensors::deserialize(bytes).unwrap(),
    };
    [
        fixture(
            VitFamily::Plain,
            include_bytes!("../../tests/fixtures/vit.safetensors").as_slice(),
        ),
        fixture(
            VitFamily::Clip { quick: true },
            include_bytes!("../../tests/fixtures/clip.safetensors").as_slice(),
        ),
    ]
}

impl Fixture {
    fn values(&self, name: &str) -> Vec<f32> {
        let view = self.tensors.tensor(name).unwrap();
        let chunks = view.data().as_chunks::<4>().0.iter();
        chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    fn vit(&self) -> Vit {
        let names = self.tensors.names().into_iter();
        let tensors = names.filter_map(|name| {
            Some(Parameter {
                name: name.strip_prefix("weights.")?.to_owned(),
                shape: self.tensors.tensor(name).unwrap().shape().to_vec(),
                values: self.values(name),
            })
        });
        Vit::new(self.shape, tensors.collect()).unwrap()
    }

    /// The pictures and targets of a step.
    fn batch(&self, step: usize) -> VitBatch {
        let part = |name: &str| {
            let values = self.values(name);
            let size = values.len() / STEPS;
            values[step * size..(step + 1) * size].to_vec()
        };
        VitBatch {
            pictures: part("pixels"),
            targets: part("targets"),
        }
    }

    fn on_device(&self, vit: &Vit, numbers: Numbers) -> OnDevice {
        let options = AdamWOptions {
            epsilon: 1e-6,
            ..AdamWOptions::default()
        };
        let optimiser = AdamW::new(vit.parameters(), options);
        let average = vit.parameters().iter();
        let average: Vec<Vec<f32>> = average.map(|parameter| parameter.values.clone()).collect();
        OnDevice::new(&Device::Cpu, numbers, vit, &optimiser, &average).unwrap()
    }
}

fn largest_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The gradients of the first batch, on the device and by our own layers.
fn gradients(fixture: &Fixture, numbers: Numbers, part: Part) -> Vec<(String, Vec<f32>, Vec<f32>)> {
    let vit = fixture.vit();
    let mut device = fixture.on_device(&vit, numbers);
    let (batch, shares) = (fixture.batch(0), [0.25; BATCH]);
    let found = device.learn(&batch, &shares, part).unwrap();
    let kept = vit.forward(&batch.pictures).unwrap();
    let loss = cosine_loss(
        &kept.outputs,
        &batch.targets,
        fixture.shape.outputs,
        &shares,
    );
    let tolerance = if numbers == Numbers::F32 { 1e-5 } else { 2e-2 };
    assert!(
        (found - loss.value).abs() < tolerance,
        "{found} {}",
        loss.value
    );
    let mut expected = vec![Vec::new(); vit.parameters().len()];
    vit.backward(kept, &loss.gradient, part, &mut expected)
        .unwrap();
    let found = device.gradients.iter().map(|gradient| {
        let gradient = gradient.as_ref();
        gradient.map_or(Vec::new(), |gradient| values(gradient).unwrap())
    });
    let names = vit
        .parameters()
        .iter()
        .map(|parameter| parameter.name.clone());
    let all = names.zip(found).zip(expected);
    all.map(|((name, found), expected)| (name, found, expected))
        .collect()
}

#[test]
fn gradients_are_those_of_our_own_layers() {
    for fixture in fixtures() {
        for part in [Part::All, Part::Head] {
            for (name, found, expected) in gradients(&fixture, Numbers::F32, part) {
                assert!(largest_error(&found, &expected) < 1e-4, "{name}");
            }
        }
    }
}

#[test]
fn gradients_in_bf16_point_the_same_way() {
    for fixture in fixtures() {
        for (name, found, expected) in gradients(&fixture, Numbers::Bf16, Part::All) {
            // A bias of keys has no gradient but what rounding leaves.
            let size = expected
                .iter()
                .fold(0.0f32, |most, value| most.max(value.abs()));
            let error = largest_error(&found, &expected);
            assert!(error < 0.1 * size.max(1e-2), "{name}: {error} of {size}");
        }
    }
}

#[test]
fn ten_steps_are_pytorchs() {
    for (fixture, parts) in fixtures()
        .iter()
        .flat_map(|fixture| [(fixture, 1), (fixture, 2)])
    {
        let mut vit = fixture.vit();
        let options = AdamWOptions {
            epsilon: 1e-6,
            ..AdamWOptions::default()
        };
        let mut device = fixture.on_device(&vit, Numbers::F32);
        let treatments = vit.treatments(Part::All, 0.6, 0.05, true);
        let schedule = Schedule {
            warm_up: 3,
            first: 2e-4,
            peak: 2e-3,
            last: 1e-5,
            steps: STEPS as u64,
        };
        let losses = fixture.values("losses");
        for (step, expected) in losses.into_iter().enumerate() {
            let batch = fixture.batch(step);
            let mut loss = 0.0;
            let pictures = batch.pictures.chunks_exact(batch.pictures.len() / parts);
            let targets = batch.targets.chunks_exact(batch.targets.len() / parts);
            for (pictures, targets) in pictures.zip(targets) {
                let part = VitBatch {
                    pictures: pictures.to_vec(),
                    targets: targets.to_vec(),
                };
                let shares = vec![0.25; BATCH / parts];
                loss += device.learn(&part, &shares, Part::All).unwrap();
            }
            assert!(
                (loss - f64::from(expected)).abs() < 1e-4,
                "{step}: {loss} {expected}"
            );
            let rate = schedule.rate(step as u64);
            device
                .step(step as u64 + 1, options, &treatments, rate)
                .unwrap();
            device.move_average(0.9).unwrap();
        }
        let mut optimiser = AdamW::new(vit.parameters(), options);
        let mut average = vec![Vec::new(); vit.parameters().len()];
        device.pull(&mut vit, &mut optimiser, &mut average).unwrap();
        for (parameter, average) in vit.parameters().iter().zip(&average) {
            let name = &parameter.name;
            for (kind, found) in [("trained", &parameter.values), ("average", average)] {
                let expected = fixture.values(&format!("{kind}.{name}"));
                assert!(largest_error(found, &expected) < 1e-4, "{kind}.{name}");
            }
        }
    }
}
