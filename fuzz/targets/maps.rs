//! The text of `/proc/PID/maps`: its paths are chosen by the recorded program.
#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::target::maps;

fuzz_target!(|data: &[u8]| {
    for mapping in maps::parse(&String::from_utf8_lossy(data)) {
        assert!(!mapping.is_empty());
        let _ = (mapping.len(), mapping.is_code(), maps::backing(&mapping));
    }
});
