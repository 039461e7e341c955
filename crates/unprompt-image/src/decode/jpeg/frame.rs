//! The frame: components and their samples.

use super::{damaged, transform::inverse_dct};
use crate::{Format, ImageError, Limits, Result, decode::zeroed};

/// A picture being decoded.
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    /// The end marker was seen.
    pub(super) ended: bool,
    pub(super) components: Vec<Component>,
    /// Largest sampling factors.
    pub(super) max_h: usize,
    pub(super) max_v: usize,
    /// Size in minimum coded units.
    pub(super) mcus_across: usize,
    pub(super) mcus_down: usize,
}

/// One colour component.
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, 1 to 4.
    pub(super) h: usize,
    pub(super) v: usize,
    quantization_index: usize,
    /// The table as it was when the component's first scan began.
    pub(super) quantization: Option<[u16; 64]>,
    /// Size in real samples.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Size in blocks, padded to whole units.
    pub(super) blocks_across: usize,
    blocks_down: usize,
    /// Decoded samples, `blocks_across * 8` per row; of a progressive file after its last scan.
    pub(super) samples: Vec<u8>,
    /// Progressive files: coefficients in natural order, 64 per block.
    pub(super) coefficients: Vec<i16>,
    /// Sequential files: its one scan was decoded.
    pub(super) done: bool,
}

impl Frame {
    pub(super) fn parse(body: &[u8], progressive: bool, limits: &Limits) -> Result<Self> {
        let &[precision, h1, h0, w1, w0, count, ref specifications @ ..] = body else {
            return Err(damaged("its frame header is cut short"));
        };
        let height = usize::from(u16::from_be_bytes([h1, h0]));
        let width = usize::from(u16::from_be_bytes([w1, w0]));
        if precision != 8 {
            return Err(ImageError::unsupported(
                Format::Jpeg,
                format_args!("{precision} bits a sample"),
            ));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(ImageError::unsupported(
                Format::Jpeg,
                format_args!("{count} components"),
            ));
        }
        // Four components are converted in a buffer of four.
        limits.check_pixels(width as u64, height as u64, if count == 4 { 4 } else { 3 })?;
        let (specifications, _) = specifications.as_chunks::<3>();
        if specifications.len() < usize::from(count) {
            return Err(damaged("its frame header is cut short"));
        }
        let specifications = &specifications[..usize::from(count)];
        let factors = || {
            specifications
                .iter()
                .map(|&[_, hv, _]| (usize::from(hv >> 4), usize::from(hv & 15)))
        };
        if factors().any(|(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
            return Err(damaged("bad sampling factors"));
        }
        let max_h = factors().map(|(h, _)| h).max().unwrap_or(1);
        let max_v = factors().map(|(_, v)| v).max().unwrap_or(1);
        if factors().any(|(h, v)| max_h % h != 0 || max_v % v != 0) {
            return Err(ImageError::unsupported(
                Format::Jpeg,
                "fractional sampling factors",
            ));
        }
        let mcus_across = width.div_ceil(8 * max_h);
        let mcus_down = height.div_ceil(8 * max_v);
        let mut components = Vec::new();
        for (&[id, _, table], (h, v)) in specifications.iter().zip(factors()) {
            let (blocks_across, blocks_down) = (mcus_across * h, mcus_down * v);
            components.push(Component {
                id,
                h,
                v,
                quantization_index: usize::from(table),
                quantization: None,
                width: (width * h).div_ceil(max_h),
                height: (height * v).div_ceil(max_v),
                blocks_across,
                blocks_down,
                samples: Vec::new(),
                coefficients: Vec::new(),
                done: false,
            });
        }
        Ok(Self {
            width,
            height,
            progressive,
            ended: false,
            components,
            max_h,
            max_v,
            mcus_across,
            mcus_down,
        })
    }

    /// Sequential files are complete when each component had its scan.
    pub(super) fn is_complete(&self) -> bool {
        !self.progressive && self.components.iter().all(|component| component.done)
    }

    /// After the last scan: turns coefficients into samples; fails when something is missing.
    pub(super) fn finish(&mut self) -> Result<()> {
        if !self.progressive {
            return match self.is_complete() {
                true => Ok(()),
                false => Err(damaged("it ends before all its samples")),
            };
        }
        if !self.ended {
            return Err(damaged("it ends before all its scans"));
        }
        for component in &mut self.components {
            let coefficients = std::mem::take(&mut component.coefficients);
            if component.quantization.is_none() {
                return Err(damaged("a component without any scan"));
            }
            component.samples = zeroed(component.blocks() * 64)?;
            for (index, block) in coefficients.as_chunks::<64>().0.iter().enumerate() {
                let (row, column) = (
                    index / component.blocks_across,
                    index % component.blocks_across,
                );
                component.store(row, column, block);
            }
        }
        Ok(())
    }
}

impl Component {
    /// Remembers the quantization table when the component's first scan begins.
    pub(super) fn latch(&mut self, tables: &[Option<[u16; 64]>; 4]) -> Result<()> {
        if self.quantization.is_none() {
            self.quantization = tables.get(self.quantization_index).copied().flatten();
        }
        match self.quantization {
            Some(_) => Ok(()),
            None => Err(damaged("a quantization table is missing")),
        }
    }

    /// Makes room for what the component's scans bring, when the first one begins: a header alone costs
    /// nothing.
    pub(super) fn begin(&mut self, progressive: bool) -> Result<()> {
        let length = self.blocks() * 64;
        if progressive && self.coefficients.is_empty() {
            self.coefficients = zeroed(length)?;
        } else if !progressive && self.samples.is_empty() {
            self.samples = zeroed(length)?;
        }
        Ok(())
    }

    fn blocks(&self) -> usize {
        self.blocks_across * self.blocks_down
    }

    /// Size in blocks of a scan of this component alone: without padding to whole units.
    pub(super) fn own_blocks(&self) -> (usize, usize) {
        (self.width.div_ceil(8), self.height.div_ceil(8))
    }

    /// Turns one block of coefficients into samples.
    pub(super) fn store(&mut self, row: usize, column: usize, coefficients: &[i16; 64]) {
        debug_assert!(row < self.blocks_down && column < self.blocks_across);
        let Some(quantization) = &self.quantization else {
            return;
        };
        let block = inverse_dct(coefficients, quantization);
        let stride = self.blocks_across * 8;
        let start = row * 8 * stride + column * 8;
        for (line, samples) in block.iter().enumerate() {
            self.samples[start + line * stride..][..8].copy_from_slice(samples);
        }
    }
}
