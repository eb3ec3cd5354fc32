//! What a user types for a policy. One that is understood is named as it was given and can be built.
#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::replay::{Policy, Run};
use profiler::vm::thp::Mode;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policy::parse(text) {
        Ok(policy) if policy.is_recorded() => {}
        Ok(policy) => assert!(Run::new(&policy, Mode::default()).is_ok(), "{text:?} was accepted and cannot be built"),
        Err(error) => assert!(!error.message.is_empty()),
    }
});
