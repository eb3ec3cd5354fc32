//! Recordings whose outcomes are known.

use super::*;
use crate::event::{Access, Advice};
use crate::replay::{Policy, Run, fidelity};
use crate::units::PAGE;
use crate::workload::script::{HEAP, MAPS, PRIVATE, Script};

fn read(script: &Script) -> (Facts, Vec<Op>) {
    let mut recording = Recording::new(0, thp::Mode::Madvise);
    let mut ops = Vec::new();
    script.events.iter().for_each(|event| recording.feed(event, &mut ops));
    (recording.finish(&mut ops), ops)
}

/// A program that maps, touches, forks nothing, and whose kernel counters follow its faults.
fn program() -> Script {
    let mut script = Script::with_heap();
    script.rss(0, 50, 0);
    script.in_heap(|heap| heap.fault(HEAP, Access::Write)).malloc(HEAP + 16, 10 * PAGE).rss(1, 50, 0);
    for page in 1..=9 {
        script.fault(HEAP + page * PAGE, Access::Write).rss(1 + page, 50, 0);
    }
    script.mmap(MAPS, 20, PRIVATE).write_pages(MAPS, 20).rss(30, 50, 0).madvise(MAPS, 20, Advice::DontNeed).rss(10, 50, 0);
    script.wait(1_000_000).free(HEAP + 16).push(What::End);
    script
}

#[test]
fn the_recorded_placements_land_on_what_the_kernel_counted() {
    let (facts, _) = read(&program());
    let rows = fidelity::rows(&facts.measured, &facts.recorded);
    for row in rows.iter().filter(|row| row.metric != "placements") {
        assert!(row.error.is_some_and(|error| error.abs() < 1e-3), "{row:?}");
    }
    assert_eq!((rows[0].recorded, rows[0].replayed, rows[0].error), (None, None, None));
    assert_eq!(facts.recorded.peak_rss.unwrap().expected, Bytes(80 * PAGE));
    assert_eq!((facts.recorded.minor_faults.expected, facts.recorded.returned), (30, Some(Bytes(20 * PAGE))));
    assert_eq!((facts.measured.returned, facts.measured.source), (None, Source::Measured));
    assert_eq!(facts.recorded.call_counts(), [2, 1, 0, 0, 1]);
    assert_eq!((facts.sizes.len(), facts.lifetimes.len(), facts.strays), (1, 1, 0));
    assert_eq!(facts.books.events, program().events.len() as u64);
}

#[test]
fn without_counters_the_measured_resident_set_is_unknown() {
    let mut script = Script::with_heap();
    script.malloc(HEAP + 16, 10);
    let (facts, _) = read(&script);
    assert_eq!((facts.measured.peak_rss, facts.measured.final_rss), (None, None));
    assert!(facts.measured.timeline.is_empty());
    assert_eq!(facts.lifetimes.last().map(|class| (class.to, class.count)), Some((None, 1)));
}

#[test]
fn policies_carry_what_the_recording_carries() {
    let (facts, ops) = read(&program());
    let mut run = Run::new(&Policy::parse("brk-only:top_pad=0").unwrap(), thp::Mode::Madvise).unwrap();
    run.feed(&ops);
    let outcome = run.finish();
    // The heap is laid out alike, so the break costs the same pages; the tail of the block reaches one page further or not.
    let difference = outcome.peak_rss.unwrap().expected.0.abs_diff(facts.recorded.peak_rss.unwrap().expected.0);
    assert!(difference <= 2 * PAGE, "{difference}");
    assert_eq!(outcome.calls.of(crate::vm::Syscall::Madvise), 1);
    assert_eq!(outcome.timeline.last().map(|point| point.time), facts.recorded.timeline.last().map(|point| point.time));
}

#[test]
fn a_recording_without_the_process_is_empty_and_not_an_error() {
    let mut recording = Recording::new(5, thp::Mode::Never);
    let mut ops = Vec::new();
    program().events.iter().for_each(|event| recording.feed(event, &mut ops));
    let facts = recording.finish(&mut ops);
    assert_eq!((facts.books.events, ops.len(), facts.recorded.peak_mapped), (0, 0, Bytes(0)));
}
