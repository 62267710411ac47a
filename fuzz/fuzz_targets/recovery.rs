#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawdown_fuzz::entries::recovery(data));
