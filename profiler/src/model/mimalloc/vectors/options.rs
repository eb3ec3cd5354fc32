//! Single facts, with the numbers that the real library showed.

use super::*;
use crate::units::PAGE;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn never() -> Vec<(&'static str, i64)> {
    vec![("decommit_delay", LONG), ("segment_decommit_delay", LONG)]
}

fn request(size: u64, align: u64, zeroed: bool) -> Request {
    Request { tid: TID, size: Bytes(size), align, zeroed }
}

#[test]
fn lazily_committed_segments_are_committed_a_mebibyte_at_a_time() {
    let mut program = Program::new(&[never(), vec![("eager_commit", 0)]].concat(), false);
    run(&mut program, 4);
    let calls: Vec<_> = program.stages.iter().flat_map(|stage| stage.calls.clone()).collect();
    let sum = calls.iter().fold((0, 0), |sum, call| (sum.0 + call.1, sum.1 + call.2));
    assert!(calls.iter().all(|call| call.0 == Syscall::Mprotect));
    assert_eq!(sum, (31, 64_946_176));
    let pages: Vec<u64> = program.stages.iter().map(|stage| stage.rss).collect();
    assert_eq!(pages, [6400, 6400, 8078]);
}

#[test]
fn reset_pages_stay_resident() {
    let mut program = Program::new(&[never(), vec![("page_reset", 1)]].concat(), false);
    run(&mut program, 4);
    let calls: Vec<_> = program.stages.iter().flat_map(|stage| stage.calls.clone()).collect();
    assert_eq!(calls, [(Syscall::Madvise, 1, 61440), (Syscall::Madvise, 49, 25_690_112)]);
    assert_eq!(program.stages.iter().map(|stage| stage.rss).collect::<Vec<_>>(), [6407, 6407, 8087]);
}

#[test]
fn where_returning_is_off_only_huge_blocks_go() {
    let mut program = Program::new(&[("allow_decommit", 0), ("decommit_delay", 0), ("segment_decommit_delay", 0)], true);
    run(&mut program, 6);
    let kinds: Vec<_> = program.stages.iter().flat_map(|stage| stage.calls.clone()).collect();
    assert_eq!(kinds, [NEVER[5].stages[0].0, NEVER[5].stages[1].0].concat());
}

#[test]
fn sizes_are_what_malloc_usable_size_says() {
    let mut program = Program::new(&[], true);
    let wanted = [0, 8, 9, 64, 65, 1024, 1025, 131_072, 131_073, 600 * KIB, 16 * MIB, 16 * MIB + 1];
    let usable = wanted.map(|size| program.ask(size).usable.0);
    let large = [192 * KIB, MIB, 16 * MIB, 17 * MIB];
    assert_eq!(usable[..8], [8, 8, 16, 64, 80, 1024, 1280, 131_072]);
    assert_eq!(usable[8..], large);
}

#[test]
fn huge_blocks_are_mapped_and_unmapped() {
    let mut program = Program::new(&[], true);
    let block = program.ask(16_830_715);
    assert_eq!((block.addr.0 % SEGMENT, block.usable.0), (64 * KIB, 17 * MIB));
    program.free(block);
    assert_eq!(program.os.take_calls(), [(Syscall::Mmap, 1, 18_874_368), (Syscall::Munmap, 1, 18_874_368)]);
}

#[test]
fn zeroed_blocks_are_written_and_moved_ones_read() {
    let mut program = Program::new(&[], true);
    let before = program.resident().0;
    let block = program.model.malloc(&mut program.os, request(64 * MIB, 0, true)).expect("memory");
    assert!(program.resident().0 - before >= 64 * MIB / PAGE);
    assert_eq!(program.model.realloc(&mut program.os, request(32 * MIB, 0, false), block), Some(block));
    let small = program.model.realloc(&mut program.os, request(0, 0, false), block).expect("memory");
    assert_eq!(small.usable.0, 8);
}

#[test]
fn what_is_freed_waits_for_its_time_and_for_somebody_who_looks() {
    let mut program = Program::new(&[], false);
    let at = |program: &mut Program, millis: u64| program.os.kernel.set_now(crate::units::Nanos(millis * 1_000_000));
    let blocks: Vec<Block> = (0..4).map(|_| program.ask(MIB)).collect();
    at(&mut program, 100);
    program.free(blocks[0]);
    program.free(blocks[2]);
    // Each of these needs a fresh page, which comes out of the span that was freed last.
    let look = |program: &mut Program, millis: u64, size: u64| {
        at(program, millis);
        program.ask(size);
        program.os.take_calls()
    };
    // That keeps the mebibyte around it, and for what still waits the time begins anew.
    assert_eq!(look(&mut program, 125, 32), []);
    assert_eq!(look(&mut program, 149, 48), []);
    assert_eq!(look(&mut program, 150, 64), [(Syscall::Madvise, 2, MIB + 128 * KIB)]);
    at(&mut program, 10_000);
    program.free(blocks[1]);
    assert_eq!(program.os.take_calls(), []);
}

#[test]
fn alignments_beyond_sixteen_mebibytes_have_a_segment() {
    let mut program = Program::new(&[], true);
    let block = program.model.malloc(&mut program.os, request(100, 64 * MIB, false)).expect("memory");
    assert_eq!((block.addr.0 % (64 * MIB), block.usable.0), (0, 64 * KIB));
    program.free(block);
    assert_eq!(program.os.kernel.space().mapped().0, SEGMENT);
}

#[test]
fn a_reserved_area_holds_segments_and_is_kept() {
    let settings = [("reserve_os_memory", 100 << 20), ("limit_os_alloc", 1), ("decommit_delay", 0), ("segment_decommit_delay", 0)];
    let mut program = Program::new(&settings, true);
    assert_eq!(program.os.kernel.space().mapped().0, 128 * MIB + PAGE);
    let block = program.ask(60 * MIB);
    assert!(program.model.malloc(&mut program.os, request(60 * MIB, 0, false)).is_none());
    program.free(block);
    program.ask(60 * MIB);
    assert_eq!(program.os.take_calls(), []);
}
