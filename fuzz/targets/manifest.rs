//! The manifest of a trace.
#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::trace::Manifest;

fuzz_target!(|data: &[u8]| {
    let _ = Manifest::parse(data);
});
