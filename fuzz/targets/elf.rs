//! Files that a recorded program maps: symbols, code, probe points, identity.
#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::target::allocator::examine;
use profiler::target::emulate::Kernel;

fuzz_target!(|data: &[u8]| {
    let kernel = Kernel { major: 6, minor: 1 };
    let _ = examine(data, "/usr/lib/libc.so.6", &kernel);
});
