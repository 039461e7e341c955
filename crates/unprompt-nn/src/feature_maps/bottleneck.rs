//! The inverted bottleneck: 1x1 up, depthwise, 1x1 down.
//!
//! What lies between is six times as much as what goes in and comes out, so it never exists whole:
//! a band of outputs at a time, and of that the wide maps panel by panel, row by row.

use super::{
    FeatureMaps, LANES, Lanes,
    band::{Axes, Band},
    depthwise::Depthwise,
    for_each,
    memory::Memory,
    pointwise::{BLOCKS, Pixels, Pointwise, Sink, Slots, TILE, slots},
    relu6,
};
use crate::convolution::{Axis, Padding};
use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

/// Pieces of work for each thread, so that a slow one can be helped.
const PIECES: usize = 4;

/// A convolution's weight and bias.
pub type Parameters<'a> = (&'a Tensor, &'a Tensor);

/// MobileNetV2's block (Sandler et al., 2018): a 1x1 convolution to more channels and a depthwise
/// one with TensorFlow's SAME padding, each with a ReLU6, and a 1x1 convolution back. Where input
/// and output have one shape the input is added. On the CPU, in f32.
#[derive(Debug)]
pub struct InvertedBottleneck {
    expand: Option<Pointwise>,
    depthwise: Depthwise,
    project: Pointwise,
    skip: bool,
    arch: Arch,
}

impl InvertedBottleneck {
    /// A block from weights of shape (inner, in), (inner, 1, kernel, kernel) and (out, inner), and
    /// biases of as many outputs. Without the first, the input is what goes into the depthwise
    /// convolution.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the stride is 0.
    pub fn new(
        expand: Option<Parameters<'_>>,
        depthwise: Parameters<'_>,
        stride: usize,
        project: Parameters<'_>,
    ) -> Result<Self> {
        let inner = depthwise.1.dims();
        let expand = expand
            .map(|(weight, bias)| Pointwise::new(weight, bias))
            .transpose()?;
        let depthwise = Depthwise::new(depthwise.0, depthwise.1, stride)?;
        let project = Pointwise::new(project.0, project.1)?;
        let expanded = expand.as_ref().map(Pointwise::outputs);
        if inner != [project.inputs()] || expanded.is_some_and(|found| inner != [found]) {
            bail!(
                "inverted bottleneck: {expanded:?}, {inner:?} and {} inner channels",
                project.inputs()
            );
        }
        let inputs = expand.as_ref().map_or(project.inputs(), Pointwise::inputs);
        Ok(Self {
            skip: stride == 1 && inputs == project.outputs(),
            expand,
            depthwise,
            project,
            arch: Arch::new(),
        })
    }

    /// (height, width) to (ceil(height / stride), ceil(width / stride)).
    ///
    /// # Errors
    /// When the input has another number of channels.
    pub fn forward(&self, x: &FeatureMaps) -> Result<FeatureMaps> {
        self.forward_by(self.arch, x)
    }

    pub(super) fn forward_by(&self, arch: Arch, x: &FeatureMaps) -> Result<FeatureMaps> {
        let inputs = self.expand.as_ref().unwrap_or(&self.project).inputs();
        if x.channels != inputs {
            bail!(
                "inverted bottleneck: {} channels where {inputs} are needed",
                x.channels
            );
        }
        let (kernel, stride) = (self.depthwise.kernel, self.depthwise.stride);
        let axes = Axes {
            rows: Axis::new(x.height, kernel, stride, Padding::Same),
            columns: Axis::new(x.width, kernel, stride, Padding::Same),
        };
        let size = (x.batch, axes.rows.outputs, axes.columns.outputs);
        let mut out = FeatureMaps::unwritten(size, self.project.outputs());
        if out.plane() == 0 {
            return Ok(out);
        }
        let bands = Band::divide(axes, x.batch, self.project.inputs());
        let targets = out.parts(bands.iter().map(Band::outputs));
        let work = bands.iter().zip(targets).collect();
        for_each(work, |(band, targets)| self.compute(arch, x, band, targets));
        Ok(out)
    }

    /// Computes a band: first all its inner channels, then its outputs.
    fn compute(&self, arch: Arch, x: &FeatureMaps, band: &Band, mut targets: Vec<&mut [Lanes]>) {
        let outputs = band.outputs();
        let mut inner = Memory::new(self.project.inputs().div_ceil(LANES) * outputs);
        let positions = band.positions();
        let panels = inner.chunks_mut(BLOCKS * outputs).enumerate().collect();
        for_each(panels, |(panel, target)| {
            arch.dispatch(Filter {
                layer: self,
                x,
                band,
                positions: &positions,
                panel,
                target,
            });
        });

        // Pieces of whole tiles.
        let tiles = outputs.div_ceil(TILE);
        let cuts = match rayon::current_num_threads() {
            1 => 1,
            threads => (PIECES * threads)
                .div_ceil(self.project.panels())
                .min(tiles),
        };
        let length = tiles.div_ceil(cuts) * TILE;
        let mut pieces = Vec::with_capacity(self.project.panels() * cuts);
        for (panel, targets) in targets.chunks_mut(BLOCKS).enumerate() {
            let mut parts: Vec<_> = targets.iter_mut().map(|t| t.chunks_mut(length)).collect();
            for first in (0..outputs).step_by(length) {
                pieces.push(Project {
                    layer: self,
                    x,
                    band,
                    panel,
                    inner: Pixels {
                        planes: &inner,
                        stride: outputs,
                        first,
                        count: length.min(outputs - first),
                    },
                    targets: slots(parts.iter_mut().filter_map(Iterator::next)),
                });
            }
        }
        for_each(pieces, |piece| arch.dispatch(piece));
    }
}

/// The first two convolutions for a panel of inner channels.
struct Filter<'a> {
    layer: &'a InvertedBottleneck,
    x: &'a FeatureMaps,
    band: &'a Band,
    positions: &'a [usize],
    panel: usize,
    // (blocks, outputs)
    target: &'a mut [Lanes],
}

impl WithSimd for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            layer,
            x,
            band,
            positions,
            panel,
            target,
        } = self;
        let outputs = band.outputs();
        let blocks = target.len() / outputs;
        let mut memory = Memory::new(blocks * band.plane());
        memory
            .chunks_exact_mut(band.plane())
            .for_each(|plane| band.clear_around(plane));
        let mut planes = slots(memory.chunks_exact_mut(band.plane()));
        let pixels = Pixels {
            planes: &x.values,
            stride: x.plane(),
            first: band.first_input(),
            count: positions.len(),
        };
        let columns = band.axes.columns.outputs;
        let (height, width) = band.padded;
        let mut done = 0;
        for picture in 0..band.pictures.len() {
            for row in 0..band.rows.len() {
                // Only what this row needs, so that it is still in the first-level cache.
                let needed = band.needed(picture, row);
                match &layer.expand {
                    Some(expand) => {
                        while done < needed {
                            let (first, tile) = Pointwise::tile(done, positions.len());
                            done = first + tile;
                            let mut sink = Padded {
                                planes: &mut planes,
                                positions: &positions[first..done],
                            };
                            expand.multiply(simd, panel, pixels, (first, tile), &mut sink);
                        }
                    }
                    None => {
                        let across = band.axes.columns.size;
                        for (block, plane) in planes.iter_mut().enumerate().take(blocks) {
                            let x = (panel * BLOCKS + block) * pixels.stride + pixels.first;
                            for index in (done..needed).step_by(across) {
                                let (from, to) = (x + index, positions[index]);
                                plane[to..to + across]
                                    .copy_from_slice(&pixels.planes[from..from + across]);
                            }
                        }
                        done = done.max(needed);
                    }
                }
                let first = (picture * height + row * layer.depthwise.stride) * width;
                let start = (picture * band.rows.len() + row) * columns;
                for (block, plane) in planes.iter().enumerate().take(blocks) {
                    let start = block * outputs + start;
                    layer.depthwise.row(
                        simd,
                        panel * BLOCKS + block,
                        (&plane[first..], width),
                        &mut target[start..start + columns],
                    );
                }
            }
        }
    }
}

/// Writes a tile, rectified, among the zeros.
struct Padded<'a, 'p> {
    planes: &'a mut Slots<'p>,
    positions: &'a [usize],
}

impl Sink for Padded<'_, '_> {
    #[inline(always)]
    fn put<S: Simd>(
        &mut self,
        simd: S,
        pixel: usize,
        (block, vector): (usize, usize),
        value: S::f32s,
    ) {
        let lanes = &mut self.planes[block][self.positions[pixel]];
        S::as_mut_simd_f32s(&mut lanes.0).0[vector] = relu6(simd, value);
    }
}

/// The last convolution for a panel of outputs and some of a band's pixels.
struct Project<'a> {
    layer: &'a InvertedBottleneck,
    x: &'a FeatureMaps,
    band: &'a Band,
    panel: usize,
    inner: Pixels<'a>,
    targets: Slots<'a>,
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            layer,
            x,
            band,
            panel,
            inner,
            mut targets,
        } = self;
        let mut done = 0;
        while done < inner.count {
            let (first, tile) = Pointwise::tile(done, inner.count);
            done = first + tile;
            let residual = layer.skip.then(|| {
                [0, 1].map(|block| {
                    let plane = (panel * BLOCKS + block) * x.plane();
                    let start = plane + band.first_output() + inner.first + first;
                    x.values.get(start..start + tile).unwrap_or_default()
                })
            });
            let mut sink = Added {
                planes: &mut targets,
                first,
                residual,
            };
            layer
                .project
                .multiply(simd, panel, inner, (first, tile), &mut sink);
        }
    }
}

/// Writes a tile from `first` on, with what is added to it.
struct Added<'a, 'p> {
    planes: &'a mut Slots<'p>,
    first: usize,
    residual: Option<[&'a [Lanes]; BLOCKS]>,
}

impl Sink for Added<'_, '_> {
    #[inline(always)]
    fn put<S: Simd>(
        &mut self,
        simd: S,
        pixel: usize,
        (block, vector): (usize, usize),
        mut value: S::f32s,
    ) {
        if let Some(residual) = &self.residual {
            let residual = S::as_simd_f32s(&residual[block][pixel].0).0[vector];
            value = simd.add_f32s(value, residual);
        }
        let lanes = &mut self.planes[block][self.first + pixel];
        S::as_mut_simd_f32s(&mut lanes.0).0[vector] = value;
    }
}
