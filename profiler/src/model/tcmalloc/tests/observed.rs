//! What the fact sheet's vectors do not reach, as the packaged library did it: `calloc`, `memalign`, `realloc` and refusals mixed, and
//! several threads whose calls come in a fixed order. Observed with libtcmalloc-minimal4 2.10-1 under LD_PRELOAD, libraries populated
//! beforehand, twice each.

use super::programs::{Draws, FNV, Play, fnv};
use crate::event::{Access, Tid};
use crate::model::{Block, Request};
use crate::units::Bytes;

/// How far the break of the observed process lay above the simulated one's, in the 2 GiB that a piece of the page map stands for.
const BREAK: i64 = 0x7ff6_a000;

fn ask(tid: Tid, size: u64) -> Request {
    Request { tid, size: Bytes(size), align: 0, zeroed: false }
}

/// Sizes up to 3 MB, mostly small.
fn size(draws: &mut Draws) -> u64 {
    let (kind, draw) = (draws.next() % 100, draws.next());
    match kind {
        ..70 => draw % 1024,
        70..90 => draw % 32768,
        90..98 => draw % 400_000,
        _ => draw % 3_000_000,
    }
}

/// What happens to a slot: the block that is in it afterwards.
fn step(play: &mut Play, old: Option<Block>, choice: u64, size: u64, align: u64) -> Option<Block> {
    let Play { model, machine, .. } = play;
    match old {
        Some(old) if choice < 25 => model.realloc(machine, ask(1, size.max(1)), old),
        Some(old) => {
            model.free(machine, 1, old);
            None
        }
        None if choice < 70 => model.malloc(machine, ask(1, size)),
        None if choice < 85 => model.malloc(machine, Request { zeroed: true, ..ask(1, size) }),
        None => model.malloc(machine, Request { align, ..ask(1, size) }),
    }
}

/// Every call in turn; the first byte of a block is written after each but `calloc`.
fn calls(settings: &str) -> (String, String, u64, u64) {
    let mut play = Play::above(settings, BREAK);
    let (mut draws, mut slots, mut hash) = (Draws(2), vec![None; 600], FNV);
    for _ in 0..30_000 {
        let (slot, choice) = ((draws.next() % 600) as usize, draws.next() % 100);
        let size = size(&mut draws);
        let align = 8 << (draws.next() % 18);
        let old: Option<Block> = slots[slot].take();
        let cleared = old.is_none() && (70..85).contains(&choice);
        slots[slot] = step(&mut play, old, choice, size, align);
        if let Some(block) = slots[slot]
            && !cleared
        {
            play.machine.kernel.space_mut().touch(block.addr, Bytes(size.min(1)), Access::Write);
        }
        hash = fnv(hash, slots[slot].map_or(0, |block| block.addr.0 - play.heap));
    }
    play.report();
    let point = play.points.pop().unwrap();
    (format!("{hash:016x}"), point.calls, point.resident, point.faults)
}

#[test]
fn every_call_in_turn() {
    let expected: [(&str, &str, u64, u64, u64, u64); 5] = [
        ("", "b388950e712be953", 25, 0, 10709, 11111),
        ("aggressive_decommit=1", "b388950e712be953", 25, 3455, 1271, 32608),
        ("heap_limit_mb=40", "901118cca5eca2a8", 30, 1596, 1966, 28590),
        ("transfer_num_obj=5", "ea445d35b5a483a4", 24, 0, 11189, 11578),
        ("max_total_thread_cache=524288", "d3d19f0c23c6cc22", 22, 0, 9191, 9367),
    ];
    for (settings, checksum, brk, madvise, resident, faults) in expected {
        let seen = calls(settings);
        let count = |call: &str| {
            let found = seen.1.split(", ").find_map(|part| part.strip_prefix(call)?.trim().split(' ').next()?.parse::<u64>().ok());
            found.unwrap_or(0)
        };
        let counts = (count("brk"), count("madvise"));
        assert_eq!((seen.0.as_str(), counts, seen.2, seen.3), (checksum, (brk, madvise), resident, faults), "{settings}");
    }
}

/// Threads that act in bursts, one at a time; one ends half-way, the others at the end. Then the first frees everything and allocates anew.
struct Crew {
    play: Play,
    draws: Draws,
    slots: Vec<Option<Block>>,
    largest: u64,
    hash: u64,
}

impl Crew {
    fn run(settings: &str, seed: u64, threads: u64, steps: u64, slots: usize, largest: u64) -> String {
        let play = Play::new(settings);
        let mut crew = Crew { play, draws: Draws(seed), slots: vec![None; slots], largest, hash: FNV };
        // What libc keeps for a thread, made by the thread that starts it; with stacks of 256 KiB it is never freed.
        (1..threads).for_each(|_| {
            let Play { model, machine, .. } = &mut crew.play;
            model.malloc(machine, Request { zeroed: true, ..ask(1, 320) }).unwrap();
        });
        let mut threads = threads;
        for step in 0..steps {
            if step == steps / 2 {
                threads -= 1;
                crew.end(threads);
            }
            let thread = crew.draws.next() % threads;
            let (burst, mode) = (1 + crew.draws.next() % 200, crew.draws.next() % 3);
            (0..burst).for_each(|_| crew.act(thread, mode));
        }
        (1..threads).rev().for_each(|thread| crew.end(thread));
        for slot in 0..slots {
            crew.free(0, slot);
        }
        for slot in 0..slots {
            let size = 1 + crew.draws.next() % largest;
            crew.malloc(0, slot, size);
        }
        format!("{:016x}", crew.hash)
    }

    fn act(&mut self, thread: u64, mode: u64) {
        let slot = self.draws.next() as usize % self.slots.len();
        let (size, choice) = (1 + self.draws.next() % self.largest, self.draws.next() % 100);
        match (mode, self.slots[slot]) {
            (0, Some(_)) | (1, None) => {}
            (_, None) => self.malloc(thread, slot, size),
            (_, Some(old)) if choice < 15 => {
                let Play { model, machine, .. } = &mut self.play;
                let block = model.realloc(machine, ask(tid(thread), size), old).unwrap();
                self.keep(slot, block);
            }
            _ => self.free(thread, slot),
        }
    }

    fn malloc(&mut self, thread: u64, slot: usize, size: u64) {
        let Play { model, machine, .. } = &mut self.play;
        let block = model.malloc(machine, ask(tid(thread), size)).unwrap();
        self.keep(slot, block);
    }

    fn keep(&mut self, slot: usize, block: Block) {
        self.slots[slot] = Some(block);
        self.hash = fnv(self.hash, block.addr.0 - self.play.heap);
    }

    fn free(&mut self, thread: u64, slot: usize) {
        if let Some(block) = self.slots[slot].take() {
            self.play.model.free(&mut self.play.machine, tid(thread), block);
        }
    }

    fn end(&mut self, thread: u64) {
        self.play.model.thread_exit(&mut self.play.machine, tid(thread));
    }
}

fn tid(thread: u64) -> Tid {
    thread as Tid + 1
}

#[test]
fn threads_share_what_they_may_keep() {
    assert_eq!(Crew::run("", 1, 8, 4000, 3000, 100_000), "791702ff34d8968a");
    assert_eq!(Crew::run("max_total_thread_cache=5000000", 1, 8, 4000, 3000, 100_000), "9daed6e0ec32c50b");
    assert_eq!(Crew::run("max_total_thread_cache=600000", 3, 12, 2000, 3000, 20_000), "637d6c460b0e20a8");
}

#[test]
fn classes_take_slots_from_each_other() {
    assert_eq!(Crew::run("transfer_num_obj=4", 1, 6, 4000, 4000, 300), "e004743170494d56");
}
