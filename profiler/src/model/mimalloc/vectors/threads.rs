//! Threads that free each other's blocks and end: scripts that were played under the real library, all threads taking turns.
//!
//! The C library asks for [`VECTOR`] bytes when a thread is started and frees them when it is joined. The library's static data was resident
//! from the start, so that every fault is the heap's.

use super::script::{What, script};
use super::*;

/// A thread's table of thread-local storage: 18 entries of 16 bytes.
const VECTOR: u64 = 288;
/// The most threads and slots of a script.
const MOST: usize = 1 << 16;

/// Plays a script; answers with the checksum of the pointers relative to the first segment, calls, bytes of calls, and faults.
fn play(settings: &[(&str, i64)], (seed, steps, threads, bits): (u64, usize, usize, u64)) -> (u64, u64, u64, u64) {
    let (mut os, mut model) = (Watched::new(), with(settings));
    let (mut live, mut vectors) = (vec![None; MOST], vec![None; MOST]);
    let (mut sum, mut base) = (BASIS, None);
    for step in script(seed, steps, threads, bits) {
        let request = Request { tid: step.thread, size: Bytes(step.size), align: 0, zeroed: false };
        let slot = &mut live[step.slot];
        let found = match step.what {
            What::Malloc => model.malloc(&mut os, request),
            What::Calloc => model.malloc(&mut os, Request { zeroed: true, ..request }),
            What::Memalign => model.malloc(&mut os, Request { align: step.align, ..request }),
            What::Realloc => slot.and_then(|block| model.realloc(&mut os, request, block)),
            What::Free => {
                slot.take().into_iter().for_each(|block| model.free(&mut os, step.thread, block));
                continue;
            }
            What::Fill => {
                slot.iter().for_each(|block| os.touch(block.addr, block.usable, Access::Write));
                continue;
            }
            What::Spawn => {
                vectors[step.slot] = model.malloc(&mut os, Request { tid: 0, size: Bytes(VECTOR), align: 0, zeroed: true });
                continue;
            }
            What::Exit => {
                model.thread_exit(&mut os, step.thread);
                vectors[step.thread as usize].take().into_iter().for_each(|block| model.free(&mut os, 0, block));
                continue;
            }
        };
        let block = found.expect("memory");
        *slot = found;
        let base = *base.get_or_insert(block.addr.0 / SEGMENT * SEGMENT);
        sum = fnv(sum, block.addr.0 - base);
    }
    let bytes = os.calls.iter().map(|call| call.1).sum();
    (sum, os.calls.len() as u64, bytes, os.kernel.space().counters(0).minor_faults)
}

const NEVER: &[(&str, i64)] = &[("decommit_delay", LONG), ("segment_decommit_delay", LONG)];
const AT_ONCE: &[(&str, i64)] = &[("decommit_delay", 0), ("segment_decommit_delay", 0)];
const LAZY: &[(&str, i64)] = &[("decommit_delay", 0), ("segment_decommit_delay", 0), ("abandoned_page_decommit", 1), ("eager_commit", 0)];

type Settings = &'static [(&'static str, i64)];

/// Settings with calls, their bytes, and faults.
type Runs = [(Settings, u64, u64, u64); 3];

/// Seed, which is the magnitude too, and checksum of the pointers; what happened.
const REAL: [(u64, u64, Runs); 4] = [
    (10, 0x608e_42f5_094b_7ae6, [(NEVER, 21, 177_438_720, 372), (AT_ONCE, 342, 1_340_571_648, 661), (LAZY, 346, 1_343_782_912, 670)]),
    (15, 0xa38b_af1a_03c9_2fe7, [(NEVER, 28, 191_004_672, 1030), (AT_ONCE, 1018, 2_492_432_384, 2195), (LAZY, 1022, 2_496_692_224, 2203)]),
    (
        20,
        0x6624_8511_e02d_4888,
        [(NEVER, 48, 232_947_712, 4608), (AT_ONCE, 2332, 6_413_975_552, 10489), (LAZY, 2334, 6_415_089_664, 10498)],
    ),
    (
        24,
        0x5520_5b13_3b26_d56c,
        [(NEVER, 145, 952_467_456, 57959), (AT_ONCE, 2930, 11_876_597_760, 95994), (LAZY, 2967, 12_009_766_912, 96025)],
    ),
];

#[test]
fn scripts_of_several_threads_go_as_under_the_real_library() {
    for (seed, sum, runs) in REAL {
        for (settings, calls, bytes, faults) in runs {
            assert_eq!(play(settings, (seed, 6000, 5, seed)), (sum, calls, bytes, faults), "seed {seed}, {settings:?}");
        }
    }
}
