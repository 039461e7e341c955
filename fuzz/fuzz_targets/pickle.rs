#![no_main]

libfuzzer_sys::fuzz_target!(
    init: unprompt_fuzz::end_at_our_own_panics(),
    |data: &[u8]| unprompt_fuzz::bodies::pickle(data)
);
