#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unprompt_fuzz::bodies::picture_metadata(data));
