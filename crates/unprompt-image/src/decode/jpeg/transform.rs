//! Dequantization and the inverse cosine transform: libjpeg's accurate integer method.

/// Natural position of each coefficient in the file's zigzag order.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Fraction bits of the constants below.
const CONSTANT_BITS: u32 = 13;
/// Extra fraction bits kept between the passes.
const BETWEEN_BITS: u32 = 2;

// The constants of the Loeffler-Ligtenberg-Moschytz algorithm, times 2^13.
const C_0_298631336: i32 = 2446;
const C_0_390180644: i32 = 3196;
const C_0_541196100: i32 = 4433;
const C_0_765366865: i32 = 6270;
const C_0_899976223: i32 = 7373;
const C_1_175875602: i32 = 9633;
const C_1_501321110: i32 = 12299;
const C_1_847759065: i32 = 15137;
const C_1_961570560: i32 = 16069;
const C_2_053119869: i32 = 16819;
const C_2_562915447: i32 = 20995;
const C_3_072711026: i32 = 25172;

/// Eight rows of eight samples from 64 coefficients in natural order.
///
/// Hostile coefficients overflow; that wraps, and yields meaningless samples but no panic.
pub(super) fn inverse_dct(coefficients: &[i16; 64], quantization: &[u16; 64]) -> [[u8; 8]; 8] {
    if coefficients[1..]
        .iter()
        .all(|&coefficient| coefficient == 0)
    {
        let level = i32::from(coefficients[0]).wrapping_mul(i32::from(quantization[0]));
        let level = descale(level.wrapping_shl(BETWEEN_BITS), BETWEEN_BITS + 3);
        return [[to_sample(level); 8]; 8];
    }
    let mut block = [[0i32; 8]; 8];
    for (index, value) in block.as_flattened_mut().iter_mut().enumerate() {
        *value = i32::from(coefficients[index]).wrapping_mul(i32::from(quantization[index]));
    }
    let block = transpose(&one_pass(&block, CONSTANT_BITS - BETWEEN_BITS));
    let block = transpose(&one_pass(&block, CONSTANT_BITS + BETWEEN_BITS + 3));
    block.map(|row| row.map(to_sample))
}

fn to_sample(level: i32) -> u8 {
    level.saturating_add(128).clamp(0, 255) as u8
}

fn descale(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

fn transpose(block: &[[i32; 8]; 8]) -> [[i32; 8]; 8] {
    std::array::from_fn(|row| std::array::from_fn(|column| block[column][row]))
}

/// Transforms each of the eight columns; written column by column so that it vectorises.
#[inline]
fn one_pass(rows: &[[i32; 8]; 8], bits: u32) -> [[i32; 8]; 8] {
    let mut output = [[0; 8]; 8];
    for column in 0..8 {
        let x: [i32; 8] = std::array::from_fn(|row| rows[row][column]);
        let mul = i32::wrapping_mul;
        let add = i32::wrapping_add;
        let sub = i32::wrapping_sub;

        let common = mul(add(x[2], x[6]), C_0_541196100);
        let even2 = sub(common, mul(x[6], C_1_847759065));
        let even3 = add(common, mul(x[2], C_0_765366865));
        let even0 = add(x[0], x[4]).wrapping_shl(CONSTANT_BITS);
        let even1 = sub(x[0], x[4]).wrapping_shl(CONSTANT_BITS);
        let even = [
            add(even0, even3),
            add(even1, even2),
            sub(even1, even2),
            sub(even0, even3),
        ];

        let z1 = mul(add(x[7], x[1]), -C_0_899976223);
        let z2 = mul(add(x[5], x[3]), -C_2_562915447);
        let z5 = mul(add(add(x[7], x[3]), add(x[5], x[1])), C_1_175875602);
        let z3 = add(mul(add(x[7], x[3]), -C_1_961570560), z5);
        let z4 = add(mul(add(x[5], x[1]), -C_0_390180644), z5);
        let odd = [
            add(mul(x[1], C_1_501321110), add(z1, z4)),
            add(mul(x[3], C_3_072711026), add(z2, z3)),
            add(mul(x[5], C_2_053119869), add(z2, z4)),
            add(mul(x[7], C_0_298631336), add(z1, z3)),
        ];
        for index in 0..4 {
            output[index][column] = descale(add(even[index], odd[index]), bits);
            output[7 - index][column] = descale(sub(even[index], odd[index]), bits);
        }
    }
    output
}
