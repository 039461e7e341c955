//! The first convolution: from pixels to feature maps.

use super::{
    FeatureMaps, LANES, Lanes, for_each,
    memory::Memory,
    pointwise::{BLOCKS, Pixels, Pointwise, Rectified, slots},
};
use crate::convolution::{Axis, Padding};
use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

/// Rows that one thread takes at a time.
const SHARE: usize = 4;

/// A dense convolution of pictures with TensorFlow's SAME padding and a ReLU6. On the CPU, in f32.
#[derive(Debug)]
pub struct StemConv2d {
    // of patches: (row, column, channel)
    patches: Pointwise,
    kernel: usize,
    channels: usize,
    stride: usize,
    arch: Arch,
}

impl StemConv2d {
    /// A layer from a weight of shape (out, channels, kernel, kernel) and a bias of (out).
    ///
    /// # Errors
    /// When the shapes do not fit each other or the stride is 0.
    pub fn new(weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Self> {
        let (outputs, channels, kernel, width) = weight.dims4()?;
        if kernel != width || kernel * channels * stride == 0 {
            bail!("stem: weight {:?}, stride {stride}", weight.dims());
        }
        let patches = weight.permute((0, 2, 3, 1))?.contiguous()?;
        let patches = patches.reshape((outputs, kernel * kernel * channels))?;
        Ok(Self {
            patches: Pointwise::new(&patches, bias)?,
            kernel,
            channels,
            stride,
            arch: Arch::new(),
        })
    }

    /// Pictures of (height, width, channels) to maps of
    /// (ceil(height / stride), ceil(width / stride)).
    ///
    /// # Errors
    /// When a picture has another number of values.
    pub fn forward<P: AsRef<[f32]> + Sync>(
        &self,
        pictures: &[P],
        (height, width): (usize, usize),
    ) -> Result<FeatureMaps> {
        self.forward_by(self.arch, pictures, (height, width))
    }

    pub(super) fn forward_by<P: AsRef<[f32]> + Sync>(
        &self,
        arch: Arch,
        pictures: &[P],
        (height, width): (usize, usize),
    ) -> Result<FeatureMaps> {
        let values = height.checked_mul(width);
        let values = values.and_then(|pixels| pixels.checked_mul(self.channels));
        for picture in pictures {
            let found = picture.as_ref().len();
            if values != Some(found) {
                bail!(
                    "stem: {found} values for a picture of {height} x {width} x {}",
                    self.channels
                );
            }
        }
        let down = Axis::new(height, self.kernel, self.stride, Padding::Same);
        let across = Axis::new(width, self.kernel, self.stride, Padding::Same);
        let size = (pictures.len(), down.outputs, across.outputs);
        let mut out = FeatureMaps::unwritten(size, self.patches.outputs());
        if out.plane() == 0 {
            return Ok(out);
        }
        let shares = down.outputs.div_ceil(SHARE);
        let rows = |share: usize| {
            let first = share % shares * SHARE;
            first..down.outputs.min(first + SHARE)
        };
        let shares_of_all = 0..pictures.len() * shares;
        let lengths = shares_of_all.map(|share| rows(share).len() * across.outputs);
        let targets = out.parts(lengths).into_iter().enumerate().collect();
        for_each(targets, |(share, targets)| {
            arch.dispatch(Rows {
                layer: self,
                picture: pictures[share / shares].as_ref(),
                axes: (down, across),
                rows: rows(share),
                targets,
            });
        });
        Ok(out)
    }

    /// Writes the patch under each output of a row: (blocks of its values, outputs).
    #[inline(always)]
    fn gather(
        &self,
        picture: &[f32],
        (down, across): (Axis, Axis),
        row: usize,
        patches: &mut [Lanes],
    ) {
        let line = self.kernel * self.channels;
        let mut patch = vec![0.0; self.patches.inputs().next_multiple_of(LANES)];
        for column in 0..across.outputs {
            let first = column * across.stride;
            let inside = first >= across.pad_before
                && first + across.kernel <= across.pad_before + across.size;
            for (i, target) in patch.chunks_exact_mut(line).take(self.kernel).enumerate() {
                let y = (row * down.stride + i).checked_sub(down.pad_before);
                let Some(y) = y.filter(|y| *y < down.size) else {
                    target.fill(0.0);
                    continue;
                };
                let length = across.size * self.channels;
                let source = &picture[y * length..(y + 1) * length];
                if inside {
                    let source = &source[(first - across.pad_before) * self.channels..];
                    match (target.first_chunk_mut::<9>(), source.first_chunk::<9>()) {
                        // Three pixels of three channels, without a call.
                        (Some(target), Some(source)) if line == 9 => *target = *source,
                        _ => target.copy_from_slice(&source[..line]),
                    }
                } else {
                    target.fill(0.0);
                    for (tap, x) in across.taps(column) {
                        target[tap * self.channels..(tap + 1) * self.channels]
                            .copy_from_slice(&source[x * self.channels..(x + 1) * self.channels]);
                    }
                }
            }
            for (block, values) in patch.as_chunks::<LANES>().0.iter().enumerate() {
                patches[block * across.outputs + column].0 = *values;
            }
        }
    }
}

/// Some rows of outputs.
struct Rows<'a> {
    layer: &'a StemConv2d,
    picture: &'a [f32],
    axes: (Axis, Axis),
    rows: std::ops::Range<usize>,
    // by block of channels
    targets: Vec<&'a mut [Lanes]>,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            layer,
            picture,
            axes,
            rows,
            mut targets,
        } = self;
        let columns = axes.1.outputs;
        let product = &layer.patches;
        let mut patches = Memory::new(product.inputs().div_ceil(LANES) * columns);
        for (index, row) in rows.enumerate() {
            layer.gather(picture, axes, row, &mut patches);
            let pixels = Pixels {
                planes: &patches,
                stride: columns,
                first: 0,
                count: columns,
            };
            for (panel, targets) in targets.chunks_mut(BLOCKS).enumerate() {
                let mut planes = slots(targets.iter_mut().map(|target| &mut **target));
                let mut done = 0;
                while done < columns {
                    let (first, tile) = Pointwise::tile(done, columns);
                    done = first + tile;
                    let mut sink = Rectified {
                        planes: &mut planes,
                        first: index * columns + first,
                    };
                    product.multiply(simd, panel, pixels, (first, tile), &mut sink);
                }
            }
        }
    }
}
