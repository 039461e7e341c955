//! PNGs that unpack to far more than they have.
#![allow(dead_code, reason = "each test uses a part")]

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

/// A chunk with its checksum.
pub fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let typed = [kind, body].concat();
    let length = (body.len() as u32).to_be_bytes();
    [&length[..], &typed, &crc32(&typed).to_be_bytes()].concat()
}

/// A PNG of these chunks.
pub fn png(width: u32, height: u32, depth: u8, colour: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let sizes = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = chunk(b"IHDR", &[&sizes[..], &[depth, colour, 0, 0, 0]].concat());
    [b"\x89PNG\r\n\x1a\n".to_vec(), header, chunks.concat()].concat()
}

/// So many zeros, at least one, packed 1000:1 as zlib does: literals, then copies of length 258 at distance 1, in the
/// fixed codes.
pub fn zlib_of_zeros(count: usize) -> Vec<u8> {
    let runs = (count - 1) / 258;
    let mut bits: Vec<bool> = vec![true, true, false]; // last block, fixed codes
    let mut push = |code: u32, length: u32| {
        bits.extend((0..length).rev().map(|shift| code >> shift & 1 == 1));
    };
    for _ in 0..count - runs * 258 {
        push(0x30, 8); // literal 0
    }
    for _ in 0..runs {
        push(0b1100_0101, 8); // length 258
        push(0, 5); // distance 1
    }
    push(0, 7); // end of block
    let mut bytes = vec![0x78, 0x01];
    bytes.extend(bits.chunks(8).map(|byte| {
        byte.iter()
            .enumerate()
            .fold(0u8, |byte, (index, &bit)| byte | u8::from(bit) << index)
    }));
    // Adler-32 of zeros: a stays 1, b counts them.
    let sum = (count % 65_521) as u32;
    bytes.extend((sum << 16 | 1).to_be_bytes());
    bytes
}

/// A whole picture of black pixels, so many a side.
pub fn black(side: u32) -> Vec<u8> {
    let rows = zlib_of_zeros((side * (side + 1)) as usize);
    let chunks = [chunk(b"IDAT", &rows), chunk(b"IEND", &[])];
    png(side, side, 8, 0, &chunks)
}
