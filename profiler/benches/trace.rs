//! What a trace costs: bytes per event, and events per second of writing and of reading. `cargo bench -p profiler --bench trace`.
//!
//! The events are those of a program that keeps 100 000 blocks of mixed sizes alive and replaces them in random order, with a page fault
//! now and then; the times between them vary as measured ones do.

use std::time::Instant;

use profiler::event::{Access, Call, Event, What};
use profiler::trace::{Manifest, Reader, Writer};
use profiler::units::{Addr, Bytes, Nanos};

const EVENTS: usize = 4_000_000;
const LIVE: usize = 100_000;

/// Numbers that look random and are the same each time (a xorshift generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn churn() -> Vec<Event> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut live: Vec<Addr> = Vec::new();
    let mut free: Vec<Addr> = Vec::new();
    let (mut time, mut top) = (0, 0x5555_5555_6000);
    let mut event = |dice: &mut Dice, what| {
        time += 300 + dice.below(1500);
        let tid = 4242 + u32::from(dice.below(8) == 0);
        Event { time: Nanos(time), process: 0, tid, in_heap: matches!(what, What::Fault { .. }), what }
    };
    let mut events = Vec::with_capacity(EVENTS);
    while events.len() < EVENTS {
        if live.len() >= LIVE {
            let ptr = live.swap_remove(dice.below(LIVE as u64) as usize);
            free.push(ptr);
            events.push(event(&mut dice, What::Free { ptr }));
        }
        let size = 1 << (4 + dice.below(6));
        let size = Bytes(size + dice.below(size));
        let ptr = free.pop().unwrap_or_else(|| {
            top += size.0.next_multiple_of(16) + 16;
            Addr(top)
        });
        live.push(ptr);
        if dice.below(50) == 0 {
            events.push(event(&mut dice, What::Fault { addr: ptr, access: Access::Write, protection: false, by_kernel: false }));
        }
        events.push(event(&mut dice, What::Alloc { call: Call::Malloc, ptr, size, old: Addr(0), align: 0, site: 0 }));
    }
    events
}

fn main() {
    let dir = std::env::temp_dir().join(format!("heapcast-bench-trace-{}", std::process::id()));
    let events = churn();
    let began = Instant::now();
    let mut writer = Writer::create(&dir, &Manifest::default(), false).expect("a new folder");
    events.iter().try_for_each(|event| writer.push(event)).and_then(|()| writer.flush()).expect("room for the trace");
    let (bytes, seconds) = (writer.bytes_written(), began.elapsed().as_secs_f64());
    let millions = events.len() as f64 / 1e6;
    println!("write: {:.2} bytes per event, {:.1} million events per second", bytes as f64 / events.len() as f64, millions / seconds);
    writer.finish(&Manifest::default()).expect("room for the trace");

    let began = Instant::now();
    let mut reader = Reader::open(&dir).expect("the trace that was written");
    let mut read = 0;
    while let Some(batch) = reader.next_batch() {
        read += batch.len();
    }
    assert_eq!((read, reader.damage()), (events.len(), None));
    println!("read: {:.1} million events per second", millions / began.elapsed().as_secs_f64());
    std::fs::remove_dir_all(&dir).expect("the folder made above");
}
