//! Records of the ring buffer: every byte string is decoded or counted as rejected, and an event that comes out can be stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::capture::decode::Decoder;

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::new(1_000);
    // Records of threads that nobody knows are rejected at once; these few are known.
    decoder.tasks.attach(1, &[1, 2, 3]);
    let mut events = Vec::new();
    for record in data.chunks(48) {
        // The last byte of a piece decides how much of the piece is the record.
        let length = record.last().map_or(0, |last| usize::from(*last) % (record.len() + 1));
        let _ = decoder.decode(&record[..length], &mut events);
    }
});
