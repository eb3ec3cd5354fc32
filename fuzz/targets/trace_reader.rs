//! The stream of events. Checksums are not compared here (`cfg(fuzzing)`): what protects the Arrow crate must do without them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use profiler::event::{Access, Call, Event, What};
use profiler::trace::{EVENTS, Events, Manifest, Writer};
use profiler::units::{Addr, Bytes, Nanos};

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    if mode % 2 == 0 { read(rest) } else { read(&edited(rest)) }
});

fn read(bytes: &[u8]) {
    let Ok(mut events) = Events::new(bytes, bytes.len() as u64, EVENTS.into()) else { return };
    while events.next_batch().is_some() {}
    let _ = events.damage().map(ToString::to_string);
}

/// A good trace with bytes replaced: two say where, one by what.
fn edited(edits: &[u8]) -> Vec<u8> {
    let mut bytes = GOOD.clone();
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[place] = edit[2];
    }
    bytes
}

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("heapcast-fuzz-{}", std::process::id()));
    let mut writer = Writer::create(&dir, &Manifest::default(), false).expect("a new folder");
    let call = |i: u64| What::Alloc { call: Call::Malloc, ptr: Addr(i * 64), size: Bytes(i), old: Addr(0), align: 0, site: i as u32 };
    let fault = |i: u64| What::Fault { addr: Addr(i), access: Access::Write, protection: false, by_kernel: false };
    for i in 0..30 {
        let what = if i % 2 == 0 { call(i) } else { fault(i) };
        writer.push(&Event { time: Nanos(i), process: 0, tid: 1, in_heap: false, what }).expect("room for a row");
        if i == 15 {
            writer.flush().expect("room for a batch");
        }
    }
    writer.finish(&Manifest::default()).expect("room for the rest");
    let bytes = std::fs::read(dir.join(EVENTS)).expect("the file written above");
    std::fs::remove_dir_all(&dir).expect("the folder made above");
    bytes
});
