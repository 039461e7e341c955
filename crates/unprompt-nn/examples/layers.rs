//! Times the layers and whole encoders on random weights, in GFLOP/s and as a share of the peak
//! that the machine reaches in fused multiply-adds.
//!
//! ```text
//! cargo run --release -p unprompt-nn --example layers            # all, or those whose name holds a word
//! cargo run --release -p unprompt-nn --example layers -- serve   # for compare.py: see there
//! ```

use candle_core::{Device, Result, Tensor, bail};
use mimalloc::MiMalloc;
use pulp::{Arch, Simd, WithSimd};
use std::{
    io::{BufRead, Write},
    time::Instant,
};
use unprompt_nn::{
    Activation, LayerNorm, Linear, Mask, Padding, PatchConv2d, Precision, self_attention,
};

/// As in the command line.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How often a measurement is repeated; the median counts.
const REPEATS: usize = 11;

/// (name, rows, inputs, outputs, activation)
const LINEARS: [(&str, usize, usize, usize, Activation); 16] = [
    ("ViT-B/16 qkv, 1", 197, 768, 2304, Activation::Identity),
    (
        "ViT-B/16 projection, 1",
        197,
        768,
        768,
        Activation::Identity,
    ),
    ("ViT-B/16 inner, 1", 197, 768, 3072, Activation::Gelu),
    ("ViT-B/16 output, 1", 197, 3072, 768, Activation::Identity),
    ("ViT-B/16 qkv, 8", 1576, 768, 2304, Activation::Identity),
    (
        "ViT-B/16 projection, 8",
        1576,
        768,
        768,
        Activation::Identity,
    ),
    ("ViT-B/16 inner, 8", 1576, 768, 3072, Activation::Gelu),
    ("ViT-B/16 output, 8", 1576, 3072, 768, Activation::Identity),
    ("ViT-L/14 qkv, 1", 257, 1024, 3072, Activation::Identity),
    (
        "ViT-L/14 projection, 1",
        257,
        1024,
        1024,
        Activation::Identity,
    ),
    ("ViT-L/14 inner, 1", 257, 1024, 4096, Activation::QuickGelu),
    ("ViT-L/14 output, 1", 257, 4096, 1024, Activation::Identity),
    ("MiniLM qkv, 32 x 32", 1024, 384, 1152, Activation::Identity),
    ("MiniLM inner, 32 x 32", 1024, 384, 1536, Activation::Gelu),
    ("one row", 1, 1024, 4096, Activation::Identity),
    ("ten rows", 10, 768, 3072, Activation::QuickGelu),
];

/// What shapes an encoder.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    /// Side of the picture and of its patches; no picture for a text encoder.
    picture: Option<(usize, usize)>,
    tokens: usize,
    width: usize,
    heads: usize,
    layers: usize,
    activation: Activation,
    batches: &'static [usize],
}

const ENCODERS: [Shape; 3] = [
    Shape {
        name: "vit-b-16",
        picture: Some((224, 16)),
        tokens: 197,
        width: 768,
        heads: 12,
        layers: 12,
        activation: Activation::Gelu,
        batches: &[1, 8],
    },
    Shape {
        name: "vit-l-14",
        picture: Some((224, 14)),
        tokens: 257,
        width: 1024,
        heads: 16,
        layers: 24,
        activation: Activation::QuickGelu,
        batches: &[1, 4],
    },
    Shape {
        name: "minilm",
        picture: None,
        tokens: 32,
        width: 384,
        heads: 12,
        layers: 6,
        activation: Activation::Gelu,
        batches: &[32],
    },
];

struct Encoder {
    shape: Shape,
    patches: Option<(PatchConv2d, Tensor)>,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

struct Block {
    norms: [LayerNorm; 2],
    query_key_value: Linear,
    projection: Linear,
    inner: Linear,
    output: Linear,
}

fn random(dims: &[usize], deviation: f32) -> Result<Tensor> {
    Tensor::randn(0f32, deviation, dims, &Device::Cpu)
}

fn norm(width: usize) -> Result<LayerNorm> {
    let weight = Tensor::randn(1f32, 0.1, width, &Device::Cpu)?;
    LayerNorm::new(weight, random(&[width], 0.1)?, 1e-6)
}

impl Encoder {
    /// The same weights in each of the precisions.
    fn pair(shape: Shape) -> Result<[Self; 2]> {
        let Shape { width, layers, .. } = shape;
        let patches = || -> Result<Option<(Tensor, Tensor)>> {
            let Some((_, side)) = shape.picture else {
                return Ok(None);
            };
            let weight = random(&[width, 3, side, side], 0.04)?;
            Ok(Some((weight, random(&[1, shape.tokens, width], 0.02)?)))
        };
        let patches = patches()?;
        let mut pair = [Precision::F32, Precision::Int8].map(|_| Vec::with_capacity(layers));
        for _ in 0..layers {
            let linear = |inputs: usize, outputs: usize, activation| -> Result<[Linear; 2]> {
                let weight = random(&[outputs, inputs], (inputs as f32).sqrt().recip())?;
                let bias = random(&[outputs], 0.02)?;
                Ok([
                    Linear::new(&weight, Some(&bias), activation)?,
                    Linear::with_precision(&weight, Some(&bias), activation, Precision::Int8)?,
                ])
            };
            let parts = [
                linear(width, 3 * width, Activation::Identity)?,
                linear(width, width, Activation::Identity)?,
                linear(width, 4 * width, shape.activation)?,
                linear(4 * width, width, Activation::Identity)?,
            ];
            let [a, b, c, d] = parts.map(<[Linear; 2]>::into_iter);
            let norms = [norm(width)?, norm(width)?];
            for ((((blocks, query_key_value), projection), inner), output) in
                pair.iter_mut().zip(a).zip(b).zip(c).zip(d)
            {
                blocks.push(Block {
                    norms: norms.clone(),
                    query_key_value,
                    projection,
                    inner,
                    output,
                });
            }
        }
        let last = norm(width)?;
        let [exact, quantised] = pair.map(|blocks| -> Result<Self> {
            let patches = match &patches {
                Some((weight, positions)) => {
                    let stride = (weight.dims()[2], Padding::None);
                    let layer = PatchConv2d::new(weight, None, stride, Activation::Identity)?;
                    Some((layer, positions.clone()))
                }
                None => None,
            };
            Ok(Self {
                shape,
                patches,
                blocks,
                norm: last.clone(),
            })
        });
        Ok([exact?, quantised?])
    }

    fn input(&self, batch: usize) -> Result<Tensor> {
        match self.shape.picture {
            Some((side, _)) => random(&[batch, side, side, 3], 1.0),
            None => random(&[batch * self.shape.tokens, self.shape.width], 1.0),
        }
    }

    fn forward(&self, x: &Tensor, batch: usize) -> Result<Tensor> {
        let Shape {
            tokens,
            width,
            heads,
            ..
        } = self.shape;
        let lengths = vec![tokens; batch];
        let Some((patches, positions)) = &self.patches else {
            return self.post_norm(x, &lengths);
        };
        let x = patches.forward(x)?.reshape((batch, tokens - 1, width))?;
        let class = Tensor::zeros((batch, 1, width), x.dtype(), x.device())?;
        let x = Tensor::cat(&[class, x], 1)?.broadcast_add(positions)?;
        let mut x = x.reshape((batch * tokens, width))?;
        for block in &self.blocks {
            let y = block
                .query_key_value
                .forward(&block.norms[0].forward(&x)?)?;
            let y = self_attention(&y, &lengths, heads, Mask::None)?;
            x = block.projection.forward_residual(&y, &x)?;
            let y = block.inner.forward(&block.norms[1].forward(&x)?)?;
            x = block.output.forward_residual(&y, &x)?;
        }
        self.norm.forward(&x)
    }

    /// BERT's order: the layer norm after each addition.
    fn post_norm(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            let y = block.query_key_value.forward(&x)?;
            let y = self_attention(&y, lengths, self.shape.heads, Mask::None)?;
            x = block.norms[0].forward_residual(&block.projection.forward(&y)?, &x)?;
            let y = block.output.forward(&block.inner.forward(&x)?)?;
            x = block.norms[1].forward_residual(&y, &x)?;
        }
        Ok(x)
    }

    /// Floating-point operations in the matrix products of one forward.
    fn work(&self, batch: usize) -> f64 {
        let Shape {
            tokens,
            width,
            layers,
            ..
        } = self.shape;
        let patches = self.shape.picture.map_or(0, |(_, side)| 3 * side * side) * width;
        let layer = 12 * width * width + 2 * tokens * width;
        2.0 * (batch * tokens) as f64 * (layers * layer + patches) as f64
    }
}

/// Milliseconds of one call.
fn time<T>(mut call: impl FnMut() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    std::hint::black_box(call()?);
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Sixteen independent chains of fused multiply-adds: (operations, their result).
struct Peak(usize);

impl WithSimd for Peak {
    type Output = (f64, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f32) {
        let factor = simd.splat_f32s(std::hint::black_box(0.5));
        let mut sums = [simd.splat_f32s(1.0); 12];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, factor);
            }
        }
        let result = sums.map(|sum| simd.reduce_sum_f32s(sum)).iter().sum();
        ((self.0 * sums.len() * S::F32_LANES * 2) as f64, result)
    }
}

/// GFLOP/s of all threads together.
fn peak() -> f64 {
    let start = Instant::now();
    let work = rayon::broadcast(|_| Arch::new().dispatch(Peak(500_000)));
    let work: f64 = std::hint::black_box(work)
        .iter()
        .map(|(work, _)| work)
        .sum();
    work / start.elapsed().as_secs_f64() / 1e9
}

/// Calls in turn, after two rounds that do not count: the median milliseconds of each. Prints them
/// with the speed of the best round, which a busy machine disturbs least.
fn measure(
    out: &mut impl Write,
    (work, best_peak): (f64, f64),
    calls: &mut [(String, &mut dyn FnMut() -> Result<()>)],
) -> Result<Vec<f64>> {
    let mut times = vec![Vec::new(); calls.len()];
    for round in 0..REPEATS + 2 {
        for ((_, call), times) in calls.iter_mut().zip(&mut times) {
            let time = time(call)?;
            if round >= 2 {
                times.push(time);
            }
        }
    }
    for ((name, _), times) in calls.iter().zip(&times) {
        let best = work / times.iter().copied().fold(f64::INFINITY, f64::min) / 1e6;
        let share = 100.0 * best / best_peak;
        let median = median(times.clone());
        writeln!(
            out,
            "{name:<24} {median:>9.3} ms, best {best:>6.1} GFLOP/s, {share:>3.0} % of peak"
        )?;
    }
    Ok(times.into_iter().map(median).collect())
}

fn cosine(a: &Tensor, b: &Tensor) -> Result<f64> {
    let product = |a: &Tensor, b: &Tensor| -> Result<f64> {
        Ok(f64::from((a * b)?.sum_all()?.to_scalar::<f32>()?))
    };
    Ok(product(a, b)? / (product(a, a)? * product(b, b)?).sqrt())
}

/// How fast a layer is made from its weights.
fn prepare(out: &mut impl Write, precision: Precision) -> Result<()> {
    let (outputs, inputs) = (4096, 8192);
    let weight = random(&[outputs, inputs], 0.03)?;
    let layer = || Linear::with_precision(&weight, None, Activation::Identity, precision);
    let times = (0..REPEATS).map(|_| time(layer));
    let median = median(times.collect::<Result<_>>()?);
    let speed = (outputs * inputs * 4) as f64 / median / 1e6;
    writeln!(out, "preparing {precision:?} weights: {speed:.2} GB/s")?;
    Ok(())
}

fn overview(out: &mut impl Write, filter: &str) -> Result<()> {
    let threads = rayon::current_num_threads();
    let best = (0..20).map(|_| peak()).fold(0.0, f64::max);
    writeln!(
        out,
        "{threads} threads, {best:.0} GFLOP/s in fused multiply-adds"
    )?;
    for (name, rows, inputs, outputs, activation) in LINEARS {
        if !name.contains(filter) {
            continue;
        }
        let weight = random(&[outputs, inputs], 0.03)?;
        let bias = random(&[outputs], 0.02)?;
        let layer = |precision| Linear::with_precision(&weight, Some(&bias), activation, precision);
        let (exact, quantised) = (layer(Precision::F32)?, layer(Precision::Int8)?);
        let x = random(&[rows, inputs], 1.0)?;
        let calls: &mut [(String, &mut dyn FnMut() -> Result<()>)] = &mut [
            (name.to_owned(), &mut || exact.forward(&x).map(drop)),
            ("    int8".to_owned(), &mut || {
                quantised.forward(&x).map(drop)
            }),
        ];
        measure(out, (2.0 * (rows * inputs * outputs) as f64, best), calls)?;
    }
    for precision in [Precision::F32, Precision::Int8] {
        if filter.is_empty() || filter == "prepare" {
            prepare(out, precision)?;
        }
    }
    for shape in ENCODERS {
        if !shape.name.contains(filter) {
            continue;
        }
        let [exact, quantised] = Encoder::pair(shape)?;
        for &batch in shape.batches {
            let x = exact.input(batch)?;
            let calls: &mut [(String, &mut dyn FnMut() -> Result<()>)] = &mut [
                (format!("{}, {batch}", shape.name), &mut || {
                    exact.forward(&x, batch).map(drop)
                }),
                ("    int8".to_owned(), &mut || {
                    quantised.forward(&x, batch).map(drop)
                }),
            ];
            let times = measure(out, (exact.work(batch), best), calls)?;
            let cosine = cosine(&exact.forward(&x, batch)?, &quantised.forward(&x, batch)?)?;
            let ratio = times[1] / times[0];
            writeln!(out, "    int8 / f32: {ratio:.3}, cosine {cosine:.6}")?;
        }
    }
    Ok(())
}

/// Answers each line `ENCODER PRECISION BATCH` with the milliseconds of one forward.
fn serve(out: &mut impl Write) -> Result<()> {
    let mut encoders: Vec<[Encoder; 2]> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let (Some(name), Some(precision), Some(Ok(batch))) =
            (words.next(), words.next(), words.next().map(str::parse))
        else {
            bail!("expected `encoder precision batch`, found `{line}`");
        };
        if !encoders.iter().any(|pair| pair[0].shape.name == name) {
            let Some(shape) = ENCODERS.into_iter().find(|shape| shape.name == name) else {
                bail!("no encoder `{name}`");
            };
            // One at a time: the large ones take gigabytes.
            encoders.clear();
            encoders.push(Encoder::pair(shape)?);
        }
        let encoder = &encoders[0][usize::from(precision == "int8")];
        let x = encoder.input(batch)?;
        writeln!(out, "{}", time(|| encoder.forward(&x, batch))?)?;
        out.flush()?;
    }
    Ok(())
}

fn main() -> Result<()> {
    // On a thread of the pool: from outside, each layer would first have to wake one.
    rayon::scope(|_| {
        let mut out = std::io::stdout().lock();
        match std::env::args().nth(1).as_deref() {
            Some("serve") => serve(&mut out),
            filter => overview(&mut out, filter.unwrap_or_default()),
        }
    })
}
