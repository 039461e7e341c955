//! Entropy decoding of one scan.

use super::{
    Tables,
    bits::BitReader,
    damaged,
    frame::{Component, Frame},
    huffman::HuffmanTable,
    transform::ZIGZAG,
};
use crate::Result;

/// What part of the coefficients a scan carries.
struct Band {
    first: usize,
    last: usize,
    /// Bit position that is already known (0 in a first scan), and the one that this scan brings.
    high: u32,
    low: u32,
}

/// A component's part in the scan.
struct Part<'t> {
    component: usize,
    dc: Option<&'t HuffmanTable>,
    ac: Option<&'t HuffmanTable>,
    /// Last DC value.
    predictor: i32,
}

/// Decodes the scan whose header is `header` and whose data start `data`; returns the data's
/// length.
pub(super) fn decode(
    frame: &mut Frame,
    tables: &Tables,
    header: &[u8],
    data: &[u8],
) -> Result<usize> {
    let (mut parts, band) = parse_header(frame, tables, header)?;
    let progressive = frame.progressive;
    for part in &parts {
        frame.components[part.component].begin(progressive)?;
    }
    let mut bits = BitReader::new(data);
    let mut end_of_band_run = 0;

    let single = parts.len() == 1;
    let (across, down) = if single {
        frame.components[parts[0].component].own_blocks()
    } else {
        (frame.mcus_across, frame.mcus_down)
    };
    for unit in 0..across * down {
        if tables.restart_interval > 0 && unit > 0 && unit % tables.restart_interval == 0 {
            bits.restart((unit / tables.restart_interval - 1) % 8)?;
            parts.iter_mut().for_each(|part| part.predictor = 0);
            end_of_band_run = 0;
        }
        let (unit_row, unit_column) = (unit / across, unit % across);
        for part in &mut parts {
            let component = &mut frame.components[part.component];
            let (h, v) = if single {
                (1, 1)
            } else {
                (component.h, component.v)
            };
            for row in unit_row * v..unit_row * v + v {
                for column in unit_column * h..unit_column * h + h {
                    if progressive {
                        let start = (row * component.blocks_across + column) * 64;
                        let block = component.coefficients[start..]
                            .first_chunk_mut()
                            .ok_or_else(|| damaged("a block outside the picture"))?;
                        progressive_block(&mut bits, part, &band, &mut end_of_band_run, block)?;
                    } else {
                        let block = sequential_block(&mut bits, part)?;
                        component.store(row, column, &block);
                    }
                }
            }
        }
        bits.check()?;
    }
    for part in &parts {
        frame.components[part.component].done = true;
    }
    Ok(bits.position())
}

fn parse_header<'t>(
    frame: &mut Frame,
    tables: &'t Tables,
    header: &[u8],
) -> Result<(Vec<Part<'t>>, Band)> {
    let cut_short = || damaged("a scan header is cut short");
    let (&count, rest) = header.split_first().ok_or_else(cut_short)?;
    let (selectors, rest) = rest
        .split_at_checked(usize::from(count) * 2)
        .ok_or_else(cut_short)?;
    let &[first, last, approximation, ..] = rest else {
        return Err(cut_short());
    };
    if !(1..=4).contains(&count) {
        return Err(damaged("a scan of no component"));
    }
    let progressive = frame.progressive;
    let band = Band {
        first: usize::from(first),
        last: usize::from(last),
        high: u32::from(approximation >> 4),
        low: u32::from(approximation & 15),
    };
    let sound = band.first <= band.last
        && band.last < 64
        && (band.first > 0 || band.last == 0)
        && (band.first == 0 || count == 1)
        && band.low <= 13
        && (band.high == 0 || band.high == band.low + 1);
    if progressive && !sound {
        return Err(damaged("a scan of an impossible band"));
    }

    let mut parts: Vec<Part<'t>> = Vec::new();
    let mut blocks_per_unit = 0;
    for &[id, selector] in selectors.as_chunks::<2>().0 {
        let component = frame
            .components
            .iter()
            .position(|component| component.id == id)
            .ok_or_else(|| damaged("a scan of an unknown component"))?;
        let fields: &mut Component = &mut frame.components[component];
        if parts.iter().any(|part| part.component == component) || (!progressive && fields.done) {
            return Err(damaged("a component is scanned twice"));
        }
        fields.latch(&tables.quantization)?;
        blocks_per_unit += fields.h * fields.v;
        let table = |bank: &'t [Option<HuffmanTable>; 4], index: u8| {
            bank.get(usize::from(index)).and_then(Option::as_ref)
        };
        parts.push(Part {
            component,
            dc: table(&tables.dc, selector >> 4),
            ac: table(&tables.ac, selector & 15),
            predictor: 0,
        });
    }
    if parts.len() > 1 && blocks_per_unit > 10 {
        return Err(damaged("too many blocks in a unit"));
    }
    Ok((parts, band))
}

fn present(table: Option<&HuffmanTable>) -> Result<&HuffmanTable> {
    table.ok_or_else(|| damaged("a Huffman table is missing"))
}

/// The next DC value: its difference to the last one is coded.
fn dc_value(bits: &mut BitReader<'_>, part: &mut Part<'_>) -> Result<i32> {
    let size = u32::from(present(part.dc)?.decode(bits)?);
    if size > 15 {
        return Err(damaged("a DC difference of more than 15 bits"));
    }
    part.predictor = part.predictor.wrapping_add(bits.take_signed(size));
    Ok(part.predictor)
}

fn sequential_block(bits: &mut BitReader<'_>, part: &mut Part<'_>) -> Result<[i16; 64]> {
    let mut block = [0; 64];
    block[0] = dc_value(bits, part)? as i16;
    let table = present(part.ac)?;
    let mut index = 1;
    while index < 64 {
        let symbol = table.decode(bits)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run != 15 {
                break;
            }
            index += 16;
            continue;
        }
        index += run;
        let place = ZIGZAG
            .get(index)
            .ok_or_else(|| damaged("a run leaves its block"))?;
        block[usize::from(*place)] = bits.take_signed(size) as i16;
        index += 1;
    }
    Ok(block)
}

fn progressive_block(
    bits: &mut BitReader<'_>,
    part: &mut Part<'_>,
    band: &Band,
    end_of_band_run: &mut u32,
    block: &mut [i16; 64],
) -> Result<()> {
    match (band.first, band.high) {
        (0, 0) => block[0] = dc_value(bits, part)?.wrapping_shl(band.low) as i16,
        (0, _) => block[0] |= (bits.take(1) << band.low) as i16,
        (_, 0) => first_ac(bits, present(part.ac)?, band, end_of_band_run, block)?,
        _ => refine_ac(bits, present(part.ac)?, band, end_of_band_run, block)?,
    }
    Ok(())
}

/// Bits of a run of blocks whose band ends, this one included.
fn run_of_blocks(bits: &mut BitReader<'_>, exponent: usize) -> u32 {
    (1 << exponent)
        + if exponent > 0 {
            bits.take(exponent as u32) as u32
        } else {
            0
        }
}

fn first_ac(
    bits: &mut BitReader<'_>,
    table: &HuffmanTable,
    band: &Band,
    end_of_band_run: &mut u32,
    block: &mut [i16; 64],
) -> Result<()> {
    if *end_of_band_run > 0 {
        *end_of_band_run -= 1;
        return Ok(());
    }
    let mut index = band.first;
    while index <= band.last {
        let symbol = table.decode(bits)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                *end_of_band_run = run_of_blocks(bits, run) - 1;
                break;
            }
            index += 16;
            continue;
        }
        index += run;
        let place = ZIGZAG
            .get(index)
            .ok_or_else(|| damaged("a run leaves its block"))?;
        block[usize::from(*place)] = (bits.take_signed(size) << band.low) as i16;
        index += 1;
    }
    Ok(())
}

/// One more bit for coefficients that are known already, and newly found coefficients of one bit.
fn refine_ac(
    bits: &mut BitReader<'_>,
    table: &HuffmanTable,
    band: &Band,
    end_of_band_run: &mut u32,
    block: &mut [i16; 64],
) -> Result<()> {
    let bit = 1i16 << band.low;
    let mut index = band.first;
    if *end_of_band_run == 0 {
        while index <= band.last {
            let symbol = table.decode(bits)?;
            let (mut zeros_to_skip, size) = (usize::from(symbol >> 4), symbol & 15);
            let found = match size {
                0 if zeros_to_skip < 15 => {
                    *end_of_band_run = run_of_blocks(bits, zeros_to_skip);
                    break;
                }
                0 => 0,
                1 => {
                    if bits.take(1) == 1 {
                        bit
                    } else {
                        -bit
                    }
                }
                _ => return Err(damaged("a refinement of more than one bit")),
            };
            while index <= band.last {
                let coefficient = &mut block[usize::from(ZIGZAG[index])];
                index += 1;
                if *coefficient != 0 {
                    refine(bits, coefficient, bit);
                } else if zeros_to_skip == 0 {
                    *coefficient = found;
                    break;
                } else {
                    zeros_to_skip -= 1;
                }
            }
        }
    }
    if *end_of_band_run > 0 {
        for &place in &ZIGZAG[index..=band.last] {
            let coefficient = &mut block[usize::from(place)];
            if *coefficient != 0 {
                refine(bits, coefficient, bit);
            }
        }
        *end_of_band_run -= 1;
    }
    Ok(())
}

fn refine(bits: &mut BitReader<'_>, coefficient: &mut i16, bit: i16) {
    if bits.take(1) == 1 && *coefficient & bit == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient > 0 { bit } else { -bit });
    }
}
