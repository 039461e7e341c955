#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unprompt_fuzz::bodies::vocabulary_and_merges(data));
