//! A JPEG of 23 bytes that says it is progressive and as large as allowed: a decoder that makes room for the
//! coefficients when it sees the header takes half a gigabyte.

/// The file, of this side.
pub fn file(side: u16) -> Vec<u8> {
    let [high, low] = side.to_be_bytes();
    let frame = [
        0, 17, 8, high, low, high, low, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0,
    ];
    [&[0xff, 0xd8, 0xff, 0xc2][..], &frame, &[0xff, 0xd9]].concat()
}
