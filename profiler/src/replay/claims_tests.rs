//! Recordings whose counts are known.

use super::*;
use crate::event::{Advice, Call, PROT_READ};
use crate::replay::Recording;
use crate::vm::thp;
use crate::workload::script::{HEAP, MAPS, PRIVATE, Script};

fn claims(script: &Script) -> Claims {
    let mut recording = Recording::new(0, thp::Mode::Never);
    recording.count_claims();
    let mut ops = Vec::new();
    script.events.iter().for_each(|event| recording.feed(event, &mut ops));
    recording.finish(&mut ops).claims.expect("was asked for")
}

fn space(granted: u64, untouched: u64) -> Space {
    Space { granted: Pages(granted).bytes(), untouched: Pages(untouched).bytes() }
}

#[test]
fn address_space_that_was_never_touched() {
    let mut script = Script::with_heap();
    script.write_pages(HEAP, 3);
    script.mmap(MAPS, 20, PRIVATE).write_pages(MAPS, 5).munmap(MAPS + 2 * PAGE, 10);
    let claims = claims(&script);
    assert_eq!(claims.space[&Granted::Break], space(16, 13));
    assert_eq!(claims.space[&Granted::Mappings], space(20, 15));
    assert_eq!((claims.zeroed, claims.copied), (Pages(8).bytes(), Bytes(0)));
}

#[test]
fn a_moved_mapping_keeps_its_touches() {
    let mut script = Script::with_heap();
    script.mmap(MAPS, 4, PRIVATE).write_pages(MAPS, 3).mremap(MAPS, 4, MAPS + 64 * PAGE, 10);
    script.munmap(MAPS + 64 * PAGE, 10).mmap(MAPS, 2, PRIVATE);
    assert_eq!(claims(&script).space[&Granted::Mappings], space(4 + 6 + 2, 7 + 2));
}

#[test]
fn what_went_back_and_by_which_call() {
    let mut script = Script::with_heap();
    script.write_pages(HEAP, 16).in_heap(|heap| heap.brk(HEAP + 6 * PAGE, HEAP + 6 * PAGE));
    script.mmap(MAPS, 20, PRIVATE).write_pages(MAPS, 20).madvise(MAPS, 4, Advice::DontNeed).munmap(MAPS, 20);
    let claims = claims(&script);
    let returned = [Syscall::Brk, Syscall::Madvise, Syscall::Munmap].map(|call| claims.returned[&call].0 / PAGE);
    assert_eq!(returned, [10, 4, 16]);
    assert_eq!(claims.space[&Granted::Mappings], space(20, 0), "given back, but not untouched");
}

#[test]
fn the_threshold_moves_with_freed_mappings() {
    let mut script = Script::with_heap();
    let block = |script: &mut Script, at: u64, pages: u64, size: u64| {
        script.in_heap(|heap| heap.mmap(at, pages, PRIVATE)).malloc(at + HEADER, size);
    };
    script.malloc(HEAP + 16, 100_000);
    block(&mut script, MAPS, 50, 200_000);
    block(&mut script, MAPS + 100 * PAGE, 35, 140_000);
    // It grows to 60 pages before it is freed, the other one is below that then.
    script.in_heap(|heap| heap.mremap(MAPS, 50, MAPS + 200 * PAGE, 60)).realloc(MAPS + HEADER, MAPS + 200 * PAGE + HEADER, 240_000);
    script.free(MAPS + 200 * PAGE + HEADER).free(MAPS + 100 * PAGE + HEADER);
    script.malloc(HEAP + 200_016, 150_000);
    let found = claims(&script).threshold;
    assert_eq!((found.smallest_mapped, found.largest_in_heap), (Some(Bytes(140_000)), Some(Bytes(150_000))));
    assert_eq!(found.raised.iter().map(|raised| raised.1).collect::<Vec<_>>(), [Pages(60).bytes()]);
}

#[test]
fn a_threshold_that_was_fixed_does_not_move() {
    let mut script = Script::with_heap();
    script.push(What::Configure { parameter: -3, value: 128 << 10 });
    script.in_heap(|heap| heap.mmap(MAPS, 50, PRIVATE)).malloc(MAPS + HEADER, 200_000).free(MAPS + HEADER);
    let found = claims(&script).threshold;
    assert!(found.fixed && found.raised.is_empty());
}

#[test]
fn refusals_are_told_apart() {
    let mut script = Script::with_heap();
    let mmap = |file, errno| What::Mmap { hint: Addr(0), len: Bytes(PAGE), prot: PROT_READ, flags: 2, file, result: Err(errno) };
    script.push(mmap(true, 19)).push(mmap(true, 19)).push(mmap(false, 12));
    let refused = claims(&script).refused;
    assert_eq!(refused[&Refusal { call: Syscall::Mmap, errno: 19, file: true }], 2);
    assert_eq!(refused[&Refusal { call: Syscall::Mmap, errno: 12, file: false }], 1);
}

#[test]
fn what_a_fork_shares_is_copied_when_it_is_written() {
    let mut script = Script::with_heap();
    script.write_pages(HEAP, 6).push(What::Fork { child: 7, process: 1 }).write_pages(HEAP, 2).write_pages(HEAP, 2);
    let claims = claims(&script);
    assert_eq!((claims.forks, claims.shared_at_fork, claims.written_after_fork), (1, Pages(6).bytes(), 2));
    assert_eq!(claims.shared_at_end, Pages(4).bytes());
    assert_eq!(claims.zeroed, Pages(6).bytes());
}

#[test]
fn a_written_page_of_a_file_is_copied() {
    let mut script = Script::with_heap();
    script.mmap(MAPS, 3, 2).fault(MAPS, Access::Read).fault(MAPS, Access::Write).fault(MAPS + PAGE, Access::Write);
    script.alloc(Call::Malloc, HEAP + 16, 10, 0);
    let claims = claims(&script);
    assert_eq!((claims.copied, claims.zeroed, claims.space.len()), (Pages(2).bytes(), Bytes(0), 1));
}
