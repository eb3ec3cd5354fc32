//! What a program does to its break, tells its allocator, and does when a thread ends.

use super::super::Action;
use super::super::books::*;
use super::super::script::{HEAP, MAPS, PRIVATE, Script};
use super::tests::{aside, carried, carried_calls, heap_ops, lift, malloc, touch};
use crate::event::{Access, Call, MAP_STACK, What};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::{Area, Syscall};

fn moved(delta: i64) -> Action {
    Action::Sbrk { delta }
}

#[test]
fn the_programs_own_break_moves_every_policys_and_its_pages_are_carried() {
    // As a static program does before it has an allocator: less than a page.
    let mut script = Script::default();
    script.tid(1).push(What::Start).brk(0, HEAP).brk(HEAP + 0xd00, HEAP + 0xd00).fault(HEAP, Access::Write);
    script.in_heap(|heap| heap.brk(HEAP + 0x2_1d00, HEAP + 0x2_1d00).brk(HEAP + 0x2_2000, HEAP + 0x2_2000));
    script.malloc(HEAP + 0x16d0, 24).brk(HEAP + 0x2_4000, HEAP + 0x2_4000).write_pages(HEAP + 0x2_2000, 2);
    script.in_heap(|heap| heap.brk(HEAP + 0x2_8000, HEAP + 0x2_8000).fault(HEAP + 0x2_4000, Access::Write));
    let (actions, lifter) = lift(&script);
    assert_eq!(heap_ops(&actions), [moved(0xd00), malloc(0, 1, 24, false), moved(0x2000)]);
    assert_eq!((carried(&actions), carried_calls(&actions, Syscall::Brk)), ((3, 3, 0, 0), 3));
    assert_eq!((aside(&lifter, OWN_CALL), aside(&lifter, OWN_TOUCH)), (3, 1));
    let spot = lifter.placement().unwrap().spot(Addr(HEAP + 0x16d0)).unwrap();
    assert_eq!((spot.area, spot.offset), (Area::Heap, Bytes(0x16d0)));
}

#[test]
fn a_break_that_shrinks_is_the_allocators_after_a_free_and_the_programs_otherwise() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 100).malloc(HEAP + 200, 1).free(HEAP + 200).fault(HEAP, Access::Write);
    script.brk(HEAP + 12 * PAGE, HEAP + 12 * PAGE).brk(HEAP + 11 * PAGE, HEAP + 11 * PAGE);
    script.free(HEAP + 16).tid(2).brk(HEAP + 10 * PAGE, HEAP + 10 * PAGE).brk(HEAP + 14 * PAGE, HEAP + 14 * PAGE).tid(1);
    // What the program has at the top is in the way of a trim.
    script.free(0).brk(HEAP + 13 * PAGE, HEAP + 13 * PAGE).free(0).brk(HEAP + 10 * PAGE, HEAP + 10 * PAGE);
    script.free(0).brk(HEAP + 9 * PAGE, HEAP + 9 * PAGE);
    let (actions, lifter) = lift(&script);
    let sbrks: Vec<Action> = heap_ops(&actions).into_iter().filter(|action| matches!(action, Action::Sbrk { .. })).collect();
    assert_eq!(sbrks, [-1, -1, 4, -1, -3].map(|pages| moved(pages * PAGE as i64)));
    assert_eq!((aside(&lifter, OWN_CALL), carried_calls(&actions, Syscall::Brk)), (3, 6));
}

#[test]
fn an_arena_made_by_a_threads_first_free_is_the_allocators() {
    let reserve = |script: &mut Script, at: u64, flags: u32| {
        let (hint, len) = (Addr(0), Bytes(4 * PAGE));
        script.push(What::Mmap { hint, len, prot: 0, flags: PRIVATE | flags, file: false, result: Ok(Addr(at)) });
    };
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 100).malloc(HEAP + 200, 1).tid(2).free(HEAP + 16);
    reserve(&mut script, MAPS, 0);
    script.munmap(MAPS, 1).push(What::Mprotect { addr: Addr(MAPS + PAGE), len: Bytes(PAGE), prot: 3, errno: 0 });
    script.free(HEAP + 200);
    reserve(&mut script, MAPS + 100 * PAGE, MAP_STACK);
    reserve(&mut script, MAPS + 200 * PAGE, 0);
    let (actions, lifter) = lift(&script);
    assert_eq!(([Syscall::Mmap, Syscall::Munmap, Syscall::Mprotect].map(|kind| carried_calls(&actions, kind))), [2, 0, 0]);
    assert_eq!(aside(&lifter, OWN_CALL), 4);
    let spot = lifter.placement().unwrap().spot(Addr(MAPS + PAGE + 0x30)).unwrap();
    assert_eq!((spot.area, spot.offset), (Area::Reserve, Bytes(0x30)));
}

#[test]
fn a_call_that_began_before_a_thread_ended_was_made_while_it_lived() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 10).tid(2).in_heap(|heap| heap.mmap(MAPS, 4, PRIVATE)).tid(3).push(What::ThreadEnd);
    script.tid(1).free(HEAP + 16).tid(2).malloc(MAPS + 16, 20).tid(4).in_heap(|heap| heap.fault(MAPS, Access::Write));
    script.tid(2).push(What::ThreadEnd).tid(4).push(What::ThreadEnd);
    let (actions, _) = lift(&script);
    let end = |tid| Action::ThreadEnd { tid };
    let hidden = touch(0, 0, 20, Access::Write, false);
    let expected = [malloc(0, 1, 10, false), Action::Free { id: 0, tid: 1 }, malloc(0, 2, 20, false), end(3), hidden, end(2), end(4)];
    assert_eq!(heap_ops(&actions), expected);
}

#[test]
fn frees_in_a_threads_teardown_are_told_apart() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 10).malloc(HEAP + 64, 10).tid(2).free(HEAP + 16).free(HEAP + 999).free(HEAP + 64);
    script.free(HEAP + 64).free(HEAP + 16).free(HEAP + 512).tid(1).free(HEAP + 16).malloc(HEAP + 16, 10).tid(2).push(What::ThreadEnd);
    script.tid(1).free(HEAP + 16);
    let (actions, lifter) = lift(&script);
    assert_eq!([FREE_UNKNOWN, FREE_AT_EXIT].map(|reason| aside(&lifter, reason)), [2, 3]);
    let frees = heap_ops(&actions).iter().filter(|action| matches!(action, Action::Free { .. })).count();
    assert_eq!(frees, 3);
}

#[test]
fn what_a_program_tells_its_allocator_is_handed_on() {
    let mut script = Script::with_heap();
    script.push(What::Configure { parameter: -2, value: 4096 }).push(What::Trim { pad: Bytes(7) });
    script.alloc(Call::Pvalloc, HEAP + PAGE, PAGE + 1, 0);
    let (actions, _) = lift(&script);
    let expected =
        [Action::Configure { tid: 1, parameter: -2, value: 4096 }, Action::Trim { tid: 1, pad: Bytes(7) }, malloc(0, 1, 2 * PAGE, false)];
    assert_eq!(heap_ops(&actions), expected);
}
