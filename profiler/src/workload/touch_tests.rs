//! Touches of blocks, as far as faults tell them.

use super::super::script::{HEAP, MAPS, PRIVATE, Script};
use super::super::{Action, Evidence, Touches};
use super::tests::{heap_ops, lift, touch};
use crate::event::{Access, Advice, Call};
use crate::units::{Bytes, PAGE};
use crate::vm::thp;
use crate::workload::Lifter;

fn known(id: u32, from: u64, len: u64, evidence: Evidence) -> Action {
    Action::Touch { id, from: Bytes(from), len: Bytes(len), access: Access::Write, evidence }
}

/// A block of its own mapping, its head touched by the allocator.
fn mapped(script: &mut Script, at: u64, size: u64) {
    let pages = (size + 16).div_ceil(PAGE);
    script.in_heap(|heap| heap.mmap(at, pages, PRIVATE).fault(at + 8, Access::Write)).malloc(at + 16, size);
}

/// Eight blocks of ten pages each on fresh pages, of each of which two are written after the first.
fn seen_before(script: &mut Script) {
    for block in 0..8 {
        let at = MAPS + block * 100 * PAGE;
        mapped(script, at, 10 * PAGE);
        script.write_pages(at + PAGE, 2);
    }
}

/// A block of that size on pages that were resident already.
fn unseen(script: &mut Script, call: Call) {
    script.in_heap(|heap| heap.write_pages(HEAP, 12)).alloc(call, HEAP + 16, 10 * PAGE, 0);
}

fn last_block(actions: &[Action]) -> Vec<Action> {
    let ops = heap_ops(actions);
    let last = ops.iter().rposition(|action| matches!(action, Action::Alloc { .. })).expect("a block");
    ops[last + 1..].to_vec()
}

#[test]
fn every_nth_page_is_touched_at_its_exact_byte() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 15 * PAGE);
    [1, 4, 7, 10].iter().for_each(|page| _ = script.fault(HEAP + page * PAGE + 33, Access::Write));
    let (actions, _) = lift(&script);
    // Where the page begins before the byte, that much may have been touched with it.
    let both = |page| [known(0, page * PAGE - 16, 33, Evidence::Possible), touch(0, page * PAGE + 17, PAGE - 33, Access::Write, true)];
    assert_eq!(heap_ops(&actions)[1..], [1, 4, 7, 10].map(both).concat());
}

#[test]
fn of_an_unseen_block_as_much_is_inferred_as_was_seen_of_its_like() {
    let mut script = Script::with_heap();
    seen_before(&mut script);
    unseen(&mut script, Call::Malloc);
    let (actions, lifter) = lift(&script);
    // Pages 1 and 2 were always written, 3 to 9 never.
    let expected = [
        known(8, 0, PAGE, Evidence::Assumed),
        known(8, PAGE, 2 * PAGE - 16, Evidence::Inferred),
        known(8, 3 * PAGE - 16, 7 * PAGE + 16, Evidence::Possible),
    ];
    assert_eq!(last_block(&actions), expected);
    let Touches { seen, inferred, assumed, .. } = lifter.touches();
    assert_eq!((seen, inferred, assumed), (Bytes(8 * 2 * PAGE), Bytes(2 * PAGE - 16), Bytes(9 * PAGE - 8 * 16)));
}

#[test]
fn without_its_like_all_of_an_unseen_block_is_assumed() {
    let mut script = Script::with_heap();
    unseen(&mut script, Call::Malloc);
    assert_eq!(last_block(&lift(&script).0), [touch(0, 0, 10 * PAGE, Access::Write, false)]);
    // What is cleared by calloc may be read first.
    let mut script = Script::with_heap();
    seen_before(&mut script);
    unseen(&mut script, Call::Calloc);
    let read = Action::Touch { id: 8, from: Bytes(0), len: Bytes(10 * PAGE), access: Access::Read, evidence: Evidence::Possible };
    assert_eq!(last_block(&lift(&script).0), [read, touch(8, 0, 10 * PAGE, Access::Write, false)]);
}

#[test]
fn a_neighbour_on_a_page_that_becomes_resident_is_assumed_touched() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 100).malloc(HEAP + 128, 200).malloc(HEAP + PAGE + 16, 50).fault(HEAP + 130, Access::Write);
    let touches: Vec<Action> = heap_ops(&lift(&script).0).into_iter().filter(|action| matches!(action, Action::Touch { .. })).collect();
    assert_eq!(
        touches,
        [known(1, 0, 2, Evidence::Possible), touch(1, 2, 198, Access::Write, true), touch(0, 0, 100, Access::Write, false)]
    );
}

#[test]
fn of_a_huge_page_only_the_touched_part_is_seen() {
    let huge = 512 * PAGE;
    let mut script = Script::with_heap();
    script.in_heap(|heap| heap.mmap(MAPS, 512, PRIVATE).madvise(MAPS, 512, Advice::HugePage));
    script.malloc(MAPS, huge / 2).malloc(MAPS + huge / 2, huge / 2).fault(MAPS + 4 * PAGE, Access::Write);
    let (mut lifter, mut ops) = (Lifter::new(0, thp::Mode::Madvise), Vec::new());
    script.events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
    let touches: Vec<Action> = ops.iter().map(|op| op.action).filter(|action| matches!(action, Action::Touch { .. })).collect();
    let expected = [
        touch(0, 4 * PAGE, PAGE, Access::Write, true),
        touch(0, 0, 4 * PAGE, Access::Write, false),
        touch(0, 5 * PAGE, huge / 2 - 5 * PAGE, Access::Write, false),
        touch(1, 0, huge / 2, Access::Write, false),
    ];
    assert_eq!(touches, expected);
}

#[test]
fn what_was_visible_and_never_touched_is_touched_in_no_reading() {
    let mut script = Script::with_heap();
    mapped(&mut script, MAPS, 1000 * PAGE);
    let touches = heap_ops(&lift(&script).0).into_iter().filter(|action| matches!(action, Action::Touch { .. }));
    assert_eq!(touches.collect::<Vec<_>>(), [touch(0, 0, PAGE - 16, Access::Write, false)]);
}

/// Were every page of it looked at, this would take 2^28 steps for each event.
#[test]
fn a_sparse_terabyte_costs_nothing() {
    let terabyte = 1 << 40;
    let mut script = Script::with_heap();
    for round in 0..100 {
        mapped(&mut script, MAPS, terabyte);
        script.fault(MAPS + terabyte / 2 + round * PAGE, Access::Write).free(MAPS + 16);
        script.in_heap(|heap| heap.munmap(MAPS, terabyte / PAGE + 1));
    }
    let (actions, lifter) = lift(&script);
    assert_eq!(heap_ops(&actions).len(), 400);
    assert_eq!(lifter.touches().seen, Bytes(100 * PAGE));
}
