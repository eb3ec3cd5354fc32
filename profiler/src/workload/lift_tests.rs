//! Small recordings with known workloads.

use super::super::script::{HEAP, MAPS, PRIVATE, Script};
use super::super::{Action, Evidence, books::*};
use super::*;
use crate::event::{Access, Advice, Backing, Call, MAP_FIXED, MAP_POPULATE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::Syscall;
use proptest::prelude::*;

pub(super) fn lift(script: &Script) -> (Vec<Action>, Lifter) {
    lift_of(script, 0)
}

fn lift_of(script: &Script, process: ProcessId) -> (Vec<Action>, Lifter) {
    let (mut lifter, mut ops) = (Lifter::new(process, thp::Mode::Never), Vec::new());
    script.events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
    lifter.finish(&mut ops);
    assert!(ops.is_sorted_by_key(|op| op.time));
    balanced(&lifter);
    (ops.into_iter().map(|op| op.action).collect(), lifter)
}

fn balanced(lifter: &Lifter) {
    let books = lifter.books().expect("begun");
    assert_eq!(books.events, books.lifted + books.carried + books.set_aside.values().sum::<u64>(), "{books:?}");
}

pub(super) fn aside(lifter: &Lifter, reason: &str) -> u64 {
    lifter.books().and_then(|books| books.set_aside.get(reason).copied()).unwrap_or(0)
}

/// What is carried in the end: anonymous pages, faults, mapped pages, returned pages.
pub(super) fn carried(actions: &[Action]) -> (i64, i64, i64, u64) {
    let mut sum = (0, 0, 0, 0);
    for action in actions {
        match *action {
            Action::Resident { anon, faults, .. } => (sum.0, sum.1) = (sum.0 + i64::from(anon), sum.1 + i64::from(faults)),
            Action::Mapping { mapped, returned, .. } => (sum.2, sum.3) = (sum.2 + mapped / PAGE as i64, sum.3 + u64::from(returned)),
            _ => {}
        }
    }
    sum
}

pub(super) fn carried_calls(actions: &[Action], wanted: Syscall) -> i64 {
    let count = |action: &Action| match *action {
        Action::Mapping { calls: Some((kind, count)), .. } if kind == wanted => i64::from(count),
        _ => 0,
    };
    actions.iter().map(count).sum()
}

pub(super) fn heap_ops(actions: &[Action]) -> Vec<Action> {
    use Action::{Break, End, Map, Mapping, Resident};
    actions.iter().filter(|action| !matches!(action, Resident { .. } | Mapping { .. } | Break { .. } | Map { .. } | End)).copied().collect()
}

pub(super) fn malloc(id: u32, tid: u32, size: u64, assumed: bool) -> Action {
    Action::Alloc { id, tid, size: Bytes(size), align_log2: 0, zeroed: false, assumed, site: 0 }
}

pub(super) fn touch(id: u32, from: u64, len: u64, access: Access, seen: bool) -> Action {
    let evidence = if seen { Evidence::Seen } else { Evidence::Assumed };
    Action::Touch { id, from: Bytes(from), len: Bytes(len), access, evidence }
}

#[test]
fn a_block_is_touched_where_a_fault_shows_it_and_assumed_where_none_can() {
    let mut script = Script::with_heap();
    script.in_heap(|heap| heap.fault(HEAP + 8, Access::Write));
    script.malloc(HEAP + 16, 100).malloc(HEAP + PAGE - 96, 2 * PAGE).fault(HEAP + PAGE, Access::Read);
    script.fault(HEAP + PAGE, Access::Write).free(HEAP + 16).malloc(HEAP + 16, 50);
    let (actions, lifter) = lift(&script);
    assert_eq!(
        heap_ops(&actions),
        [
            malloc(0, 1, 100, true),
            malloc(1, 1, 2 * PAGE, false),
            touch(1, 0, 96, Access::Write, false),
            touch(1, 96, PAGE, Access::Read, true),
            touch(1, 96, PAGE, Access::Write, true),
            Action::Free { id: 0, tid: 1 },
            malloc(0, 1, 50, true),
        ]
    );
    assert_eq!((aside(&lifter, OWN_TOUCH), aside(&lifter, OWN_CALL)), (1, 1));
    assert_eq!(carried(&actions), (0, 0, 0, 0));
    assert_eq!(carried_calls(&actions, Syscall::Brk), 1);
}

#[test]
fn a_block_tells_where_it_was_asked_for() {
    let mut script = Script::with_heap();
    script.site(7).malloc(HEAP + 16, 10).site(9).realloc(HEAP + 16, HEAP + 16, 20);
    let sites = lift(&script).0.into_iter().filter_map(|action| match action {
        Action::Alloc { site, .. } | Action::Realloc { site, .. } => Some(site),
        _ => None,
    });
    assert_eq!(sites.collect::<Vec<_>>(), [7, 9]);
}

#[test]
fn realloc_keeps_the_object_in_place_and_moved() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 100).realloc(HEAP + 16, HEAP + 16, 200).realloc(HEAP + 16, HEAP + 512, 300).free(HEAP + 16).free(HEAP + 512);
    script.realloc(0, HEAP + 16, 10).realloc(HEAP + 16, 0, 0);
    let (actions, lifter) = lift(&script);
    let resize = |size| Action::Realloc { id: 0, tid: 1, size: Bytes(size), site: 0 };
    let free = Action::Free { id: 0, tid: 1 };
    assert_eq!(heap_ops(&actions), [malloc(0, 1, 100, false), resize(200), resize(300), free, malloc(0, 1, 10, false), free]);
    assert_eq!(aside(&lifter, FREE_UNKNOWN), 1);
}

#[test]
fn a_block_is_freed_by_the_thread_that_frees_it() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 1).tid(2).free(HEAP + 16).push(What::ThreadEnd);
    let (actions, _) = lift(&script);
    assert_eq!(heap_ops(&actions)[1..], [Action::Free { id: 0, tid: 2 }, Action::ThreadEnd { tid: 2 }]);
}

#[test]
fn a_realloc_that_is_overtaken_by_the_next_owner_of_its_address_finds_its_object() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 100).tid(2).malloc(HEAP + 16, 40).tid(1).realloc(HEAP + 16, HEAP + 512, 200);
    script.free(HEAP + 512).free(HEAP + 16);
    let (actions, lifter) = lift(&script);
    assert_eq!(
        heap_ops(&actions),
        [
            malloc(0, 1, 100, false),
            malloc(1, 2, 40, false),
            Action::Realloc { id: 0, tid: 1, size: Bytes(200), site: 0 },
            Action::Free { id: 0, tid: 1 },
            Action::Free { id: 1, tid: 1 },
        ]
    );
    assert_eq!(lifter.books().unwrap().implicitly_freed, 0);
}

#[test]
fn a_block_whose_address_is_given_out_again_is_freed_after_a_while() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 100).malloc(HEAP + 32, 40).wait(2_000_000_000).free(0).malloc(HEAP + 600, 1);
    let (actions, lifter) = lift(&script);
    let expected = [malloc(0, 1, 100, false), malloc(1, 1, 40, false), Action::Free { id: 0, tid: 1 }, malloc(0, 1, 1, false)];
    assert_eq!(heap_ops(&actions), expected);
    assert_eq!((lifter.books().unwrap().implicitly_freed, aside(&lifter, FREE_NULL)), (1, 1));
}

#[test]
fn the_programs_own_mappings_are_carried_with_pages_faults_and_calls() {
    let mut script = Script::with_heap();
    script.mmap(MAPS, 10, PRIVATE).write_pages(MAPS, 10).munmap(MAPS, 1).munmap(MAPS + 9 * PAGE, 1).munmap(MAPS + 4 * PAGE, 2);
    let (actions, lifter) = lift(&script);
    assert_eq!(carried(&actions), (6, 10, 6, 4));
    assert_eq!([Syscall::Mmap, Syscall::Munmap].map(|kind| carried_calls(&actions, kind)), [1, 3]);
    assert_eq!(lifter.placement().unwrap().space().counters(0).anon, Pages(6));
}

#[test]
fn mapping_over_and_moving_keep_the_account() {
    let mut script = Script::with_heap();
    script.mmap(MAPS, 8, PRIVATE).write_pages(MAPS, 8).mmap(MAPS + 2 * PAGE, 3, PRIVATE | MAP_FIXED);
    script.mremap(MAPS + 5 * PAGE, 3, MAPS + 100 * PAGE, 6).madvise(MAPS + 100 * PAGE, 2, Advice::DontNeed);
    script.mremap(MAPS, 2, MAPS, 1);
    assert_eq!(carried(&lift(&script).0), (2, 8, 1 + 3 + 6, 2 + 1));
}

#[test]
fn a_mapping_becomes_the_allocators_when_a_block_is_returned_in_it() {
    let mut script = Script::with_heap();
    script.mmap(MAPS, 10, PRIVATE).write_pages(MAPS, 4).malloc(MAPS + 64, 1000);
    let (actions, _) = lift(&script);
    assert_eq!((carried(&actions), carried_calls(&actions, Syscall::Mmap)), ((0, 0, 0, 0), 0));
    script.fault(MAPS + 5 * PAGE, Access::Write).munmap(MAPS, 10);
    let (actions, lifter) = lift(&script);
    assert_eq!(carried(&actions), (0, 0, 0, 0));
    assert_eq!((aside(&lifter, OWN_TOUCH), aside(&lifter, OWN_CALL)), (1, 2));
}

#[test]
fn munmap_leaves_alone_what_was_mapped_after_it_was_entered() {
    let mut script = Script::with_heap();
    script.mmap(MAPS, 4, PRIVATE).write_pages(MAPS, 4);
    let entered = script.now();
    script.tid(2).mmap(MAPS, 4, PRIVATE).write_pages(MAPS, 2).tid(1).munmap_entered(MAPS, 4, entered);
    let (actions, lifter) = lift(&script);
    assert_eq!(carried(&actions), (2, 6, 4, 4));
    let counters = lifter.placement().unwrap().space().counters(0);
    assert_eq!((counters.anon, counters.returned), (Pages(2), Bytes(4 * PAGE)));
}

#[test]
fn a_forked_child_brings_memory_and_its_parents_blocks_along() {
    let mut script = Script::with_heap();
    script.in_heap(|heap| heap.fault(HEAP, Access::Write));
    script.malloc(HEAP + 16, 2 * PAGE).fault(HEAP + PAGE, Access::Write).mmap(MAPS, 4, PRIVATE).write_pages(MAPS, 4);
    script.push(What::Fork { child: 9, process: 1 });
    script.process(1).tid(9).fault(MAPS, Access::Write).fault(HEAP + PAGE, Access::Write).fault(HEAP + 2 * PAGE, Access::Write);
    script.free(HEAP + 16).malloc(HEAP + 16, 10).free(HEAP + 16).in_heap(|heap| heap.brk(HEAP + PAGE, HEAP + PAGE)).push(What::End);
    let (actions, lifter) = lift_of(&script, 1);
    assert_eq!(heap_ops(&actions), [malloc(0, 9, 10, false), Action::Free { id: 0, tid: 9 }]);
    // 4 own pages and 3 of the heap, of which a shrinking break gives 2 back; copies cost faults only.
    assert_eq!(carried(&actions), (4 + 3 - 2, 3, 4, 2));
    assert_eq!(aside(&lifter, FREE_INHERITED), 1);
    let counters = lifter.placement().unwrap().space().counters(0);
    assert_eq!((counters.anon, counters.minor_faults), (Pages(5), 3));
    let (parent, _) = lift_of(&script, 0);
    assert!(parent.contains(&Action::Fork));
}

#[test]
fn what_was_there_before_is_carried_until_it_goes() {
    let mut script = Script::default();
    script.push(What::Start).mapped(HEAP, 8, Backing::Break).resident(HEAP, 6).mapped(MAPS, 2, Backing::Stack).resident(MAPS, 1);
    script.malloc(HEAP + 64, 10).free(HEAP + 2000);
    let (actions, lifter) = lift(&script);
    assert_eq!((carried(&actions), aside(&lifter, FREE_UNKNOWN)), ((7, 0, 2, 0), 1));
    script.in_heap(|heap| heap.brk(HEAP + 4 * PAGE, HEAP + 4 * PAGE)).fault(MAPS - PAGE, Access::Write);
    assert_eq!(carried(&lift(&script).0), (6, 1, 3, 2));
}

#[test]
fn file_and_shared_pages_follow_the_kernels_counters() {
    let mut script = Script::with_heap();
    script.rss(1, 100, 5).rss(1, 90, 7);
    let (actions, lifter) = lift(&script);
    let pages = |file, shmem| Action::Resident { anon: 0, file, shmem, faults: 0 };
    assert_eq!(
        actions.iter().filter(|action| matches!(action, Action::Resident { .. })).copied().collect::<Vec<_>>(),
        [pages(100, 5), pages(-10, 2)]
    );
    assert_eq!(lifter.measured_pages(), (Pages(90), Pages(7)));
}

#[test]
fn populated_pages_fault_without_an_event() {
    let mut script = Script::with_heap();
    script.mmap(MAPS, 5, PRIVATE | MAP_POPULATE).write_pages(MAPS, 1);
    let (actions, lifter) = lift(&script);
    assert_eq!((carried(&actions), aside(&lifter, IDLE_FAULT)), ((5, 5, 5, 0), 1));
}

#[test]
fn what_is_locked_is_resident_without_an_event() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 3 * PAGE).fault(HEAP + 16, Access::Write).mmap(MAPS, 5, PRIVATE).write_pages(MAPS, 1);
    script.push(What::Mlock { addr: Addr(MAPS), len: Bytes(3 * PAGE), on_fault: false, errno: 0 });
    script.push(What::Mlock { addr: Addr(HEAP + PAGE), len: Bytes(PAGE), on_fault: false, errno: 0 });
    script.push(What::Mlock { addr: Addr(MAPS), len: Bytes(5 * PAGE), on_fault: false, errno: 12 });
    let (actions, lifter) = lift(&script);
    // Three pages of the mapping; the second page of the block is every policy's to touch.
    assert_eq!((carried(&actions).0, carried(&actions).1), (3, 3));
    let touched = |action: &Action| matches!(action, Action::Touch { from: Bytes(4080), len: Bytes(PAGE), evidence: Evidence::Seen, .. });
    assert_eq!(actions.iter().filter(|action| touched(action)).count(), 1);
    assert_eq!(lifter.placement().map(|placement| placement.space().counters(0).anon), Some(Pages(5)));
}

#[test]
fn what_is_mapped_after_mlockall_is_resident_at_once() {
    let mut script = Script::with_heap();
    script.push(What::Mlockall { flags: 2, errno: 0 }).mmap(MAPS, 5, PRIVATE).push(What::Mlockall { flags: 0, errno: 0 });
    script.mmap(MAPS + 100 * PAGE, 5, PRIVATE);
    let (actions, _) = lift(&script);
    assert_eq!((carried(&actions).0, carried(&actions).1), (5, 5));
    let locks = actions.iter().filter_map(|action| if let Action::LockAll { flags } = action { Some(*flags) } else { None });
    assert_eq!(locks.collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn failed_calls_and_stray_faults_are_set_aside() {
    let mut script = Script::with_heap();
    script.alloc(Call::Malloc, 0, 1 << 60, 0).malloc(HEAP + 16, 5).realloc(HEAP + 16, 0, 1 << 60).free(HEAP + 16);
    script.fault(0x10, Access::Read).push(What::Munmap { addr: Addr(1), len: Bytes(1), entered: Nanos(0), errno: 22 });
    script.push(What::End).free(HEAP);
    let (actions, lifter) = lift(&script);
    assert_eq!(heap_ops(&actions), [malloc(0, 1, 5, false), Action::Free { id: 0, tid: 1 }]);
    assert_eq!([FAILED, STRAY_FAULT, LATE].map(|reason| aside(&lifter, reason)), [2, 1, 1]);
    assert_eq!(carried_calls(&actions, Syscall::Munmap), 1);
    assert_eq!(actions.last(), Some(&Action::End));
}

#[test]
fn impossible_numbers_are_set_aside_and_do_not_overflow() {
    let (far, endless) = (Addr(u64::MAX - 5), Bytes(u64::MAX));
    let mut script = Script::with_heap();
    script
        .push(What::Alloc { call: Call::Malloc, ptr: Addr(HEAP), size: endless, old: Addr(0), align: 0, site: 0 })
        .free(far.0)
        .brk(0, far.0);
    script.push(What::Mapped { addr: far, len: endless, prot: 3, backing: Backing::Break });
    script.push(What::Resident { addr: Addr(HEAP), pages: Pages(u64::MAX) }).rss(u64::MAX, 0, 0).fault(far.0, Access::Write);
    script.push(What::Munmap { addr: far, len: endless, entered: Nanos(0), errno: 0 });
    script.push(What::Mremap { addr: far, len: endless, new_len: endless, flags: 0, result: Ok(far) });
    script.push(What::Mmap { hint: far, len: endless, prot: 3, flags: PRIVATE, file: false, result: Ok(far) });
    let (actions, lifter) = lift(&script);
    assert_eq!((aside(&lifter, IMPOSSIBLE), heap_ops(&actions)), (10, vec![]));
}

/// Any event at all, at addresses that often coincide.
fn any_what() -> impl Strategy<Value = What> {
    let addr = (0u64..40, 0u64..3).prop_map(|(page, base)| Addr([HEAP, MAPS, MAPS + (1 << 30)][base as usize] + page * PAGE + 16));
    let page = addr.clone().prop_map(Addr::page_down);
    let size = (0u64..3 * PAGE).prop_map(Bytes);
    let len = (1u64..12).prop_map(|pages| Bytes(pages * PAGE));
    let calls = prop::sample::select(vec![Call::Malloc, Call::Calloc, Call::Realloc, Call::Memalign]);
    let old = prop_oneof![Just(Addr(0)), addr.clone()];
    let ptr = prop_oneof![1 => Just(Addr(0)), 9 => addr.clone()];
    let accesses = prop::sample::select(vec![Access::Read, Access::Write, Access::Exec]);
    let advice = prop::sample::select(vec![Advice::DontNeed, Advice::Free, Advice::HugePage, Advice::Collapse, Advice::Other(3)]);
    let flags = prop::sample::select(vec![PRIVATE, PRIVATE | MAP_FIXED, PRIVATE | MAP_POPULATE, 1, 2]);
    prop_oneof![
        (calls, ptr, size, old).prop_map(|(call, ptr, size, old)| What::Alloc { call, ptr, size, old, align: 0, site: 0 }),
        addr.clone().prop_map(|ptr| What::Free { ptr }),
        (0u64..40).prop_map(|pad| What::Trim { pad: Bytes(pad) }),
        (addr.clone(), accesses).prop_map(|(addr, access)| What::Fault { addr, access, protection: false, by_kernel: false }),
        (0u64..40).prop_map(|page| What::Brk { asked: Addr(HEAP), got: Addr(HEAP + page * PAGE) }),
        (page.clone(), len.clone(), flags).prop_map(|(at, len, flags)| What::Mmap {
            hint: Addr(0),
            len,
            prot: 3,
            flags,
            file: flags & crate::event::MAP_ANONYMOUS == 0,
            result: Ok(at)
        }),
        (page.clone(), len.clone(), 0u64..200_000).prop_map(|(addr, len, entered)| What::Munmap {
            addr,
            len,
            entered: Nanos(entered),
            errno: 0
        }),
        (page.clone(), len.clone(), len.clone(), page.clone()).prop_map(|(addr, len, new_len, to)| What::Mremap {
            addr,
            len,
            new_len,
            flags: 1,
            result: Ok(to)
        }),
        (page.clone(), len.clone(), advice).prop_map(|(addr, len, advice)| What::Madvise { addr, len, advice, errno: 0 }),
        (page.clone(), len.clone(), 0u8..4).prop_map(|(addr, len, prot)| What::Mprotect { addr, len, prot, errno: 0 }),
        (page.clone(), len.clone(), any::<bool>()).prop_map(|(addr, len, on_fault)| What::Mlock { addr, len, on_fault, errno: 0 }),
        (page.clone(), len).prop_map(|(addr, len)| What::Munlock { addr, len, errno: 0 }),
        (0u32..8).prop_map(|flags| What::Mlockall { flags, errno: 0 }),
        page.prop_map(|addr| What::Resident { addr, pages: Pages(3) }),
        Just(What::Fork { child: 7, process: 1 }),
        (0u64..300_000).prop_map(|since| What::Paused { since: Nanos(since) }),
        Just(What::WindowBegin),
        Just(What::WindowEnd),
        Just(What::ThreadEnd),
    ]
}

proptest! {
    /// Whatever comes in, in whatever order: every event is accounted for, ids are used properly, and what is carried
    /// equals what the recorded pages say about the program's own memory.
    #[test]
    fn the_books_balance(events in prop::collection::vec((any_what(), any::<bool>(), 0u32..2), 1..200)) {
        let mut script = Script::default();
        script.push(What::Start);
        for (what, in_heap, process) in events {
            script.process(process);
            if in_heap { script.in_heap(|heap| heap.push(what)); } else { script.push(what); }
        }
        for process in 0..2 {
            if !script.events.iter().any(|event| event.process == process) {
                continue;
            }
            let (actions, lifter) = lift_of(&script, process);
            let mut live = std::collections::BTreeSet::new();
            for action in &actions {
                match action {
                    Action::Alloc { id, .. } => prop_assert!(live.insert(*id)),
                    Action::Free { id, .. } | Action::Forget { id } => prop_assert!(live.remove(id)),
                    Action::Realloc { id, .. } | Action::Touch { id, .. } => prop_assert!(live.contains(id)),
                    _ => {}
                }
            }
            let placement = lifter.placement().unwrap();
            let (anon, _, mapped, _) = carried(&actions);
            prop_assert_eq!(anon as u64, placement.own_anon());
            prop_assert_eq!(mapped as u64, placement.own_mapped());
        }
    }
}
