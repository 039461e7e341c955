use super::*;
use crate::convolution::{Axis, Padding, channels_first};
use crate::testing::uniform;
use candle_core::{Device, Result, Tensor};
use pulp::Arch;

fn tensor(dims: &[usize], seed: u32) -> Tensor {
    let count = dims.iter().product();
    Tensor::from_vec(uniform(count, seed), dims, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Every instruction set that this machine has.
fn architectures() -> Vec<Arch> {
    let mut all = vec![Arch::Scalar, Arch::new()];
    #[cfg(target_arch = "x86_64")]
    all.extend(pulp::x86::V3::try_new().map(Arch::V3));
    all
}

/// A picture, channels last, and how large it is.
#[derive(Clone)]
struct Plain {
    values: Vec<f32>,
    size: (usize, usize),
    channels: usize,
}

impl Plain {
    /// The definition of a dense convolution: from the bias on, one chain of fused multiply-adds
    /// over (row, column, channel), zeros around the picture included. `weight` gives the weight of
    /// an output at a (row, column, channel); a depthwise convolution has none of other channels.
    fn convolve(
        &self,
        (kernel, stride): (usize, usize),
        bias: &[f32],
        weight: impl Fn(usize, (usize, usize, usize)) -> Option<f32>,
    ) -> Self {
        let rows = Axis::new(self.size.0, kernel, stride, Padding::Same);
        let columns = Axis::new(self.size.1, kernel, stride, Padding::Same);
        let value = |row: Option<usize>, column: Option<usize>, channel: usize| match (row, column)
        {
            (Some(row), Some(column)) if row < rows.size && column < columns.size => {
                self.values[(row * columns.size + column) * self.channels + channel]
            }
            _ => 0.0,
        };
        let mut values = Vec::new();
        for row in 0..rows.outputs {
            for column in 0..columns.outputs {
                for (output, bias) in bias.iter().enumerate() {
                    let mut sum = *bias;
                    for i in 0..kernel {
                        for j in 0..kernel {
                            let y = (row * stride + i).checked_sub(rows.pad_before);
                            let x = (column * stride + j).checked_sub(columns.pad_before);
                            for channel in 0..self.channels {
                                if let Some(weight) = weight(output, (i, j, channel)) {
                                    sum = value(y, x, channel).mul_add(weight, sum);
                                }
                            }
                        }
                    }
                    values.push(sum);
                }
            }
        }
        Self {
            values,
            size: (rows.outputs, columns.outputs),
            channels: bias.len(),
        }
    }

    fn pointwise(&self, weight: &[f32], bias: &[f32]) -> Self {
        let inputs = self.channels;
        self.convolve((1, 1), bias, |output, (_, _, channel)| {
            Some(weight[output * inputs + channel])
        })
    }

    fn rectified(mut self) -> Self {
        self.values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0));
        self
    }
}

/// A block's weights and biases.
struct Block {
    expand: Option<(Tensor, Tensor)>,
    depthwise: (Tensor, Tensor),
    project: (Tensor, Tensor),
    kernel: usize,
    stride: usize,
}

impl Block {
    fn new(
        (inputs, expansion, outputs): (usize, usize, usize),
        (kernel, stride): (usize, usize),
    ) -> Self {
        let inner = inputs * expansion;
        Self {
            expand: (expansion > 1).then(|| (tensor(&[inner, inputs], 2), tensor(&[inner], 3))),
            depthwise: (tensor(&[inner, 1, kernel, kernel], 4), tensor(&[inner], 5)),
            project: (tensor(&[outputs, inner], 6), tensor(&[outputs], 7)),
            kernel,
            stride,
        }
    }

    fn layer(&self) -> Result<InvertedBottleneck> {
        let expand = self.expand.as_ref().map(|(weight, bias)| (weight, bias));
        let depthwise = (&self.depthwise.0, &self.depthwise.1);
        let project = (&self.project.0, &self.project.1);
        InvertedBottleneck::new(expand, depthwise, self.stride, project)
    }

    fn expected(&self, x: &Plain) -> Plain {
        let expanded = match &self.expand {
            Some((weight, bias)) => x.pointwise(&flat(weight), &flat(bias)).rectified(),
            None => x.clone(),
        };
        let (taps, bias) = (flat(&self.depthwise.0), flat(&self.depthwise.1));
        let kernel = self.kernel;
        let filtered =
            expanded.convolve((kernel, self.stride), &bias, |output, (i, j, channel)| {
                (output == channel).then(|| taps[(output * kernel + i) * kernel + j])
            });
        let mut out = filtered
            .rectified()
            .pointwise(&flat(&self.project.0), &flat(&self.project.1));
        if self.stride == 1 && x.channels == out.channels {
            let pairs = out.values.iter_mut().zip(&x.values);
            pairs.for_each(|(out, x)| *out += x);
        }
        out
    }
}

/// Pictures as feature maps.
fn maps(pictures: &[Plain]) -> FeatureMaps {
    let Plain { size, channels, .. } = pictures[0];
    let mut maps = FeatureMaps::unwritten((pictures.len(), size.0, size.1), channels);
    let area = size.0 * size.1;
    let plane = maps.plane();
    for (index, lanes) in maps.values.iter_mut().enumerate() {
        let (block, picture, pixel) = (index / plane, index % plane / area, index % area);
        for (lane, value) in lanes.0.iter_mut().enumerate() {
            let channel = block * LANES + lane;
            let place = pixel * channels + channel;
            *value = match channel < channels {
                true => pictures[picture].values[place],
                false => 0.0,
            };
        }
    }
    maps
}

fn pictures(count: usize, size: (usize, usize), channels: usize) -> Vec<Plain> {
    let picture = |seed: usize| Plain {
        values: uniform(size.0 * size.1 * channels, 11 + seed as u32),
        size,
        channels,
    };
    (0..count).map(picture).collect()
}

fn all_values(pictures: &[Plain]) -> Vec<f32> {
    pictures.iter().flat_map(|p| p.values.clone()).collect()
}

/// Fills the memory that is used next with what would be seen in a result.
fn poison() {
    let mut memory = [1 << 12, 1 << 14, 1 << 16].map(Memory::new);
    for memory in &mut memory {
        memory.fill(Lanes([f32::NAN; LANES]));
    }
}

/// Sizes, (inputs, expansion, outputs), (kernel, stride).
type Case = ((usize, usize), (usize, usize, usize), (usize, usize));

const CASES: [Case; 11] = [
    ((7, 7), (16, 6, 16), (5, 1)),
    ((7, 7), (20, 2, 33), (3, 2)),
    ((14, 14), (24, 2, 40), (5, 2)),
    ((15, 16), (3, 3, 17), (3, 1)),
    ((9, 5), (16, 1, 16), (5, 1)),
    ((6, 23), (40, 1, 24), (3, 2)),
    ((1, 1), (8, 2, 8), (5, 2)),
    ((2, 3), (16, 2, 16), (3, 1)),
    ((5, 4), (4, 1, 4), (1, 2)),
    ((8, 9), (4, 2, 5), (4, 3)),
    // Parts of a picture.
    ((58, 44), (10, 6, 10), (5, 1)),
];

#[test]
fn bottlenecks_equal_the_definition_bit_for_bit() -> Result<()> {
    for (size, channels, kernel) in CASES {
        let block = Block::new(channels, kernel);
        let layer = block.layer()?;
        let pictures = pictures(3, size, channels.0);
        let expected: Vec<Plain> = pictures.iter().map(|p| block.expected(p)).collect();
        let outputs = (expected[0].size, expected[0].channels);
        let expected = all_values(&expected);
        for arch in architectures() {
            poison();
            let found = layer.forward_by(arch, &maps(&pictures))?;
            assert_eq!(((found.height, found.width), found.channels), outputs);
            assert!(
                found.channels_last() == expected,
                "{size:?}, {channels:?}, {kernel:?}, {arch:?}"
            );
            // Beyond the last channel there are zeros, which the next layer counts on.
            let sums: f32 = found.values.iter().flat_map(|l| l.0).map(f32::abs).sum();
            let real: f32 = expected.iter().copied().map(f32::abs).sum();
            assert!((sums - real).abs() <= 1e-3 * real);
        }
    }
    Ok(())
}

#[test]
fn threads_and_batch_change_no_bit() -> Result<()> {
    for (size, channels, kernel) in CASES {
        let layer = Block::new(channels, kernel).layer()?;
        let pictures = pictures(9, size, channels.0);
        let alone: Vec<f32> = pictures
            .iter()
            .map(|picture| {
                Ok(layer
                    .forward(&maps(std::slice::from_ref(picture)))?
                    .channels_last())
            })
            .collect::<Result<Vec<_>>>()?
            .concat();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let found = pool.install(|| layer.forward(&maps(&pictures)))?;
            assert!(
                found.channels_last() == alone,
                "{size:?}, {channels:?}, {kernel:?}, {threads} threads"
            );
        }
    }
    Ok(())
}

#[test]
fn stems_and_pooled_convolutions_equal_the_definition_bit_for_bit() -> Result<()> {
    for (size, outputs, (kernel, stride)) in [
        ((9, 30), 32, (3, 2)),
        ((33, 47), 40, (3, 2)),
        ((1, 1), 8, (3, 2)),
        ((6, 7), 17, (5, 1)),
    ] {
        let (weight, bias) = (
            tensor(&[outputs, 3, kernel, kernel], 1),
            tensor(&[outputs], 2),
        );
        let stem = StemConv2d::new(&weight, &bias, stride)?;
        let head = (tensor(&[70, outputs], 3), tensor(&[70], 4));
        let pooled = PooledPointwise::new(&head.0, &head.1)?;
        let pictures = pictures(2, size, 3);
        let taps = flat(&weight);
        let mut means = Vec::new();
        let expected: Vec<Plain> = pictures
            .iter()
            .map(|picture| {
                let map = picture.convolve((kernel, stride), &flat(&bias), |output, (i, j, c)| {
                    Some(taps[((output * 3 + c) * kernel + i) * kernel + j])
                });
                let map = map.rectified();
                let wide = map.pointwise(&flat(&head.0), &flat(&head.1)).rectified();
                let area = wide.size.0 * wide.size.1;
                let mean = |channel: usize| {
                    let pixels = wide.values.iter().skip(channel).step_by(70);
                    pixels.fold(0.0, |sum, x| sum + x) / area as f32
                };
                means.push((0..70).map(mean).collect::<Vec<f32>>());
                map
            })
            .collect();
        let plain: Vec<&[f32]> = pictures.iter().map(|p| p.values.as_slice()).collect();
        for arch in architectures() {
            poison();
            let found = stem.forward_by(arch, &plain, size)?;
            assert!(found.channels_last() == all_values(&expected), "{arch:?}");
            assert_eq!(pooled.forward_by(arch, &found)?, means, "{arch:?}");
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let found = pool.unwrap().install(|| {
            let found = stem.forward(&plain, size)?;
            pooled.forward(&found)
        })?;
        assert_eq!(found, means);
    }
    Ok(())
}

#[test]
fn a_bottleneck_equals_candle() -> Result<()> {
    for (size, channels, (kernel, stride)) in CASES.into_iter().take(8) {
        let block = Block::new(channels, (kernel, stride));
        let pictures = pictures(2, size, channels.0);
        let x = Tensor::from_vec(
            all_values(&pictures),
            (2, size.0, size.1, channels.0),
            &Device::Cpu,
        )?;
        let product = |x: &Tensor, (weight, bias): &(Tensor, Tensor)| {
            x.broadcast_matmul(&weight.t()?)?.broadcast_add(bias)
        };
        let expanded = match &block.expand {
            Some(parameters) => product(&x, parameters)?.clamp(0f32, 6f32)?,
            None => x.clone(),
        };
        let rows = Axis::new(size.0, kernel, stride, Padding::Same);
        let columns = Axis::new(size.1, kernel, stride, Padding::Same);
        let (taps, bias) = &block.depthwise;
        let filtered = channels_first(&expanded, rows, columns)?
            .conv2d(taps, 0, stride, 1, channels.0 * channels.1)?
            .permute((0, 2, 3, 1))?
            .broadcast_add(bias)?;
        let mut expected = product(&filtered.clamp(0f32, 6f32)?.contiguous()?, &block.project)?;
        if stride == 1 && channels.0 == channels.2 {
            expected = (expected + &x)?;
        }
        let found = block.layer()?.forward(&maps(&pictures))?.channels_last();
        for (found, expected) in found.iter().zip(flat(&expected)) {
            assert!((found - expected).abs() < 1e-4, "{found} and {expected}");
        }
    }
    Ok(())
}

#[test]
fn not_a_number_stays_visible() -> Result<()> {
    let layer = Block::new((16, 2, 16), (3, 1)).layer()?;
    let mut picture = pictures(1, (9, 9), 16);
    picture[0].values[40 * 16] = f32::NAN;
    for arch in architectures() {
        let found = layer.forward_by(arch, &maps(&picture))?.channels_last();
        assert!(
            found[40 * 16..41 * 16].iter().all(|x| x.is_nan()),
            "{arch:?}"
        );
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_errors() -> Result<()> {
    let (weight, bias) = (tensor(&[8, 4], 1), tensor(&[8], 2));
    let depthwise = (tensor(&[8, 1, 3, 3], 3), tensor(&[8], 4));
    let project = (tensor(&[4, 8], 5), tensor(&[4], 6));
    let new = |expand: (&Tensor, &Tensor), stride: usize, bias: &Tensor| {
        let depthwise = (&depthwise.0, bias);
        InvertedBottleneck::new(Some(expand), depthwise, stride, (&project.0, &project.1))
    };
    assert!(new((&weight, &bias), 0, &depthwise.1).is_err());
    assert!(new((&weight, &project.1), 1, &depthwise.1).is_err());
    assert!(new((&weight, &bias), 1, &project.1).is_err());
    assert!(new((&project.0, &project.1), 1, &depthwise.1).is_err());
    let layer = new((&weight, &bias), 1, &depthwise.1)?;
    assert!(layer.forward(&maps(&pictures(1, (3, 3), 5))).is_err());

    let stem = StemConv2d::new(&tensor(&[8, 3, 3, 3], 1), &bias, 2)?;
    assert!(stem.forward(&[vec![0.0; 11]], (2, 2)).is_err());
    assert!(stem.forward(&[vec![0.0; 12]], (usize::MAX, 2)).is_err());
    let none = stem.forward(&[vec![]], (0, 0))?;
    assert!(none.channels_last().is_empty());
    let pooled = PooledPointwise::new(&tensor(&[8, 8], 1), &bias)?;
    assert!(pooled.forward(&none).is_err());
    assert!(pooled.forward(&maps(&pictures(1, (3, 3), 5))).is_err());
    Ok(())
}
