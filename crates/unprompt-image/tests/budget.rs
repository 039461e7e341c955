//! Pictures that are decoded at the same time stay within one budget.
//!
//! One test only, because the budget and the memory are those of the whole process.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};
use unprompt_image::{
    Admission, DecodeOptions, ImageErrorKind, Limits, decode, decoding_bytes, set_memory,
};

/// A grey BMP.
fn bmp(side: u32) -> Vec<u8> {
    let sides = [side.to_le_bytes(), side.to_le_bytes()].concat();
    let info = [&40u32.to_le_bytes()[..], &sides, &[1, 0, 8, 0], &[0; 24]].concat();
    let begin = [&b"BM"[..], &[0; 8], &54u32.to_le_bytes(), &info].concat();
    [begin, vec![0; (side.div_ceil(4) * 4 * side) as usize]].concat()
}

#[test]
fn pictures_wait_for_their_turn_and_one_that_never_fits_is_refused() {
    let picture = bmp(512);
    let options = DecodeOptions::default();
    let needs = decoding_bytes(&picture).unwrap();
    assert_eq!(needs, 7 * 512 * 512 + picture.len() as u64 + (256 << 10));
    set_memory(needs - 1);
    let error = decode(&picture, &options).unwrap_err();
    assert_eq!(error.kind(), ImageErrorKind::LimitExceeded);
    assert!(error.to_string().contains(&needs.to_string()), "{error}");
    // What is refused anyway says why, and not how much it would need.
    let huge = bmp_header_of(100_000);
    let error = decode(&huge, &options).unwrap_err();
    assert!(error.to_string().contains("longest side"), "{error}");

    set_memory(2 * needs + needs / 2);
    let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let admission = Admission::wait(&picture, &Limits::default()).unwrap();
                    let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    // Within the same admission, so it does not wait for itself.
                    decode(&picture, &options).unwrap();
                    thread::sleep(Duration::from_millis(2));
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    drop(admission);
                }
            });
        }
    });
    assert_eq!(most.into_inner(), 2);
    // All of it was given back.
    set_memory(needs);
    decode(&picture, &options).unwrap();
}

fn bmp_header_of(side: u32) -> Vec<u8> {
    let mut bytes = bmp(4);
    bytes[18..22].copy_from_slice(&side.to_le_bytes());
    bytes[22..26].copy_from_slice(&side.to_le_bytes());
    bytes
}
