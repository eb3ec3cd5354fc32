//! Small workloads with known outcomes.

use super::*;
use crate::vm::Syscall;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn run(spec: &str, actions: &[Action]) -> Outcome {
    let ops: Vec<Op> = actions.iter().enumerate().map(|(i, &action)| Op { time: Nanos(i as u64 * 1000), action }).collect();
    run_ops(spec, &ops, ops.len().max(1))
}

fn run_ops(spec: &str, ops: &[Op], chunk: usize) -> Outcome {
    let mut run = Run::new(&Policy::parse(spec).unwrap(), thp::Mode::Madvise).unwrap();
    ops.chunks(chunk).for_each(|ops| run.feed(ops));
    run.finish()
}

fn alloc(id: u32, size: u64, assumed: bool) -> Action {
    Action::Alloc { id, tid: 1, size: Bytes(size), align_log2: 0, zeroed: false, assumed, site: 0 }
}

fn touch(id: u32, from: u64, len: u64, seen: bool) -> Action {
    known(id, from, len, if seen { Evidence::Seen } else { Evidence::Assumed })
}

fn known(id: u32, from: u64, len: u64, evidence: Evidence) -> Action {
    Action::Touch { id, from: Bytes(from), len: Bytes(len), access: Access::Write, evidence }
}

fn free(id: u32) -> Action {
    Action::Free { id, tid: 1 }
}

#[test]
fn three_readings_differ_in_what_was_touched() {
    let possible = known(0, 0, MIB, Evidence::Possible);
    let actions = [alloc(0, MIB, false), possible, touch(0, 0, 100, true), touch(0, 8192, 8192, false), alloc(1, 100, true), Action::End];
    let outcome = run("mmap-only", &actions);
    let pages = |bytes: Bytes| bytes.0 / PAGE;
    let peak = outcome.peak_rss.unwrap();
    // Two headers; two or three pages of the assumed touch, which begins 16 bytes into a page; all that is possible and the header's page.
    assert_eq!([peak.low, peak.expected, peak.high].map(pages), [2, 2 + 3, 257 + 1]);
    assert_eq!([outcome.minor_faults.low, outcome.minor_faults.expected, outcome.minor_faults.high], [2, 5, 258]);
    assert_eq!((outcome.peak_live, outcome.peak_mapped), (Bytes(MIB + 100), Bytes(258 * PAGE)));
    assert_eq!(outcome.call_counts(), [0, 2, 0, 0, 0]);
}

#[test]
fn mappings_give_back_at_once_and_the_break_keeps_what_is_below_a_live_block() {
    let mut actions: Vec<Action> = (0..50).map(|id| alloc(id, MIB, true)).collect();
    actions.push(alloc(50, 10, true));
    actions.extend((0..50).map(free));
    actions.push(Action::End);
    let [mapped, broken] = ["mmap-only", "brk-only"].map(|spec| run(spec, &actions));
    assert_eq!(mapped.final_rss, Some(Bytes(PAGE)));
    assert_eq!(mapped.returned, Some(Bytes(50 * (MIB + PAGE))));
    assert!(broken.final_rss >= Some(Bytes(50 * MIB)) && broken.returned == Some(Bytes(0)), "{broken:?}");
    assert_eq!((mapped.call_counts()[2], broken.call_counts()[1]), (50, 0));
    assert!(mapped.timeline.is_sorted_by_key(|point| point.time) && mapped.timeline.len() > 50);
}

#[test]
fn carried_memory_is_added_to_every_policy() {
    let carried = [
        Action::Mapping { calls: Some((Syscall::Madvise, 3)), mapped: 1 << 20, returned: 2 },
        Action::Resident { anon: 5, file: 100, shmem: 7, faults: 9 },
        Action::Resident { anon: -2, file: -50, shmem: 0, faults: 0 },
        Action::End,
    ];
    for spec in ["mmap-only", "brk-only"] {
        let outcome = run(spec, &carried);
        assert_eq!((outcome.peak_rss.unwrap().low, outcome.final_rss), (Bytes(112 * PAGE), Some(Bytes(60 * PAGE))));
        assert_eq!((outcome.minor_faults.low, outcome.calls.of(Syscall::Madvise)), (9, 3));
        assert_eq!((outcome.peak_mapped, outcome.returned), (Bytes(1 << 20), Some(Bytes(2 * PAGE))));
    }
}

#[test]
fn a_peak_inside_an_operation_is_seen() {
    let small = run("brk-only:trim_threshold=0,top_pad=0", &[alloc(0, MIB, true), alloc(1, 10, true), free(1), Action::End]);
    let resize = Action::Realloc { id: 0, tid: 1, size: Bytes(MIB + 4096), site: 0 };
    let moved =
        run("brk-only:trim_threshold=0,top_pad=0", &[alloc(0, MIB, true), alloc(1, 10, true), resize, free(1), free(0), Action::End]);
    // Both copies are resident while the block moves.
    assert!(moved.peak_rss.unwrap().expected.0 > 2 * MIB && small.peak_rss.unwrap().expected.0 < MIB + 3 * PAGE);
    assert!(moved.final_rss.unwrap().0 <= 2 * PAGE);
}

#[test]
fn huge_pages_trade_faults_for_memory() {
    let all = known(0, 0, 8 * MIB, Evidence::Possible);
    let actions = [alloc(0, 8 * MIB, false), all, touch(0, 3 * MIB, 1, true), touch(0, 7 * MIB, 1, true), Action::End];
    let [small, huge] = ["brk-only", "brk-only+thp=always"].map(|spec| run(spec, &actions));
    assert!(huge.peak_rss.unwrap().low.0 >= 4 * MIB && small.peak_rss.unwrap().low.0 < 8 * PAGE);
    assert!(huge.minor_faults.high < small.minor_faults.high / 100);
}

#[test]
fn the_bounds_of_faults_hold_whenever_khugepaged_comes() {
    // The break reaches the room of each huge page in parts, so that its pages begin small; more of them are touched every 20 s.
    let blocks = (0..128).flat_map(|id| [alloc(id, 64 << 10, false), touch(id, 0, 1, true)]).map(|action| (0, action));
    let later = (1..10).flat_map(|round| (0..128).map(move |id| (20 * round, touch(id, round * 4096, 1, true))));
    let op = |(second, action)| Op { time: Nanos(second * 1_000_000_000), action };
    let ops: Vec<Op> = blocks.chain(later).chain([(200, Action::End)]).map(op).collect();
    let faults = |sleep: Option<u64>| {
        let set = sleep.map(|sleep| Khugepaged { pages: 1024, sleep: Nanos(sleep * 1_000_000_000), most_absent: 511 });
        let mut run = Run::new(&Policy::parse("brk-only:top_pad=0+thp=always").unwrap(), thp::Mode::Madvise).unwrap().under(set);
        run.feed(&ops);
        run.finish().minor_faults
    };
    let (never, often, as_set) = (faults(None), faults(Some(1)), faults(Some(60)));
    assert!(often.expected < as_set.expected && as_set.expected < never.expected, "{often:?} {as_set:?} {never:?}");
    assert!(as_set.low <= often.expected && as_set.high >= never.expected, "{often:?} {as_set:?} {never:?}");
}

#[test]
fn a_sparse_terabyte_costs_nothing() {
    let terabyte = 1 << 40;
    let round = |at: u64| [alloc(0, terabyte, false), touch(0, at * MIB, 1, true), free(0)];
    let actions: Vec<Action> = (0..100).flat_map(round).collect();
    let [small, huge] = ["mmap-only", "brk-only+thp=always"].map(|spec| run(spec, &actions));
    assert!(small.peak_rss.unwrap().high <= Bytes(3 * PAGE) && huge.peak_rss.unwrap().high <= Bytes(2 * 512 * PAGE));
    assert!(small.peak_mapped.0 >= terabyte && huge.peak_mapped.0 >= terabyte);
}

#[test]
fn after_a_fork_the_first_write_to_a_page_faults_again() {
    let actions = [alloc(0, 100, true), Action::Fork, touch(0, 0, 100, true), touch(0, 50, 10, true), Action::End];
    let outcome = run("mmap-only", &actions);
    assert_eq!((outcome.minor_faults.expected, outcome.peak_rss.unwrap().expected), (2, Bytes(PAGE)));
}

#[test]
fn a_refused_block_is_counted_and_its_operations_pass() {
    let huge = 1 << 60;
    let resize = |size| Action::Realloc { id: 1, tid: 1, size: Bytes(size), site: 0 };
    let actions =
        [alloc(0, huge, true), touch(0, 0, 10, true), free(0), alloc(1, 10, true), resize(huge), resize(20), free(1), Action::End];
    for spec in ["mmap-only", "brk-only"] {
        let outcome = run(spec, &actions);
        assert_eq!((outcome.refused, outcome.peak_live), (2, Bytes(20)), "{spec}");
    }
}

/// A workload that could have been recorded.
fn workload() -> impl Strategy<Value = Vec<Op>> {
    let step = (0u8..5, 0u32..40, 0u64..20_000, any::<bool>(), 0u64..5_000_000);
    prop::collection::vec(step, 1..200).prop_map(|steps| {
        let (mut live, mut time, mut ops) = (std::collections::BTreeMap::new(), 0, Vec::new());
        for (what, id, size, flag, wait) in steps {
            time += wait;
            let action = match (what, live.get(&id).copied()) {
                (_, None) => Action::Alloc {
                    id,
                    tid: 1,
                    size: Bytes(size),
                    align_log2: if flag { 6 } else { 0 },
                    zeroed: flag,
                    assumed: !flag,
                    site: 0,
                },
                (0, _) => free(id),
                (1, _) => Action::Realloc { id, tid: 1, size: Bytes(size), site: 0 },
                (_, Some(held)) => touch(id, size / 2 % (held + 1), held / 3, flag),
            };
            match action {
                Action::Free { .. } => _ = live.remove(&id),
                Action::Alloc { .. } | Action::Realloc { .. } => _ = live.insert(id, size),
                _ => {}
            }
            ops.push(Op { time: Nanos(time), action });
        }
        ops
    })
}

proptest! {
    #[test]
    fn readings_are_ordered_and_the_same_however_it_is_fed(ops in workload(), chunk in 1usize..50) {
        for spec in ["mmap-only", "brk-only", "brk-only:trim_threshold=0,top_pad=0+thp=always"] {
            let whole = run_ops(spec, &ops, ops.len());
            prop_assert_eq!(&whole, &run_ops(spec, &ops, chunk));
            let (peak, faults) = (whole.peak_rss.unwrap(), whole.minor_faults);
            prop_assert!(peak.low <= peak.expected && peak.expected <= peak.high);
            prop_assert!(faults.low <= faults.expected && faults.expected <= faults.high);
            prop_assert!(peak.high <= whole.peak_mapped && whole.peak_live <= whole.peak_mapped);
            prop_assert!(whole.mean_rss.unwrap() <= peak.expected);
        }
    }
}
