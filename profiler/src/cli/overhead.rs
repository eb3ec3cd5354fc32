//! What a recording has cost the recorded processes, estimated: hits of each kind of probe, times what one of them takes.
//!
//! - Calls of the malloc family: from the recording itself, by the shortest gaps between calls that follow each other at once.
//! - Page faults and system calls: the same work by the recorder itself, before anything is attached, and at the end by turns while it is recorded and
//!   while it is not. The cheaper one of those without a record counts: the first lacks the probes altogether, the other one had the same disturbances.
//! - Not estimated: what the tracepoints cost processes that are not recorded, and the caches that the probes disturb.

use crate::capture::costs::Costs;
use crate::capture::{Recorded, Totals};
use crate::event::Call;
use crate::trace::manifest::{HitCost, Overhead, UnitCosts};
use crate::units::Nanos;
use crate::workload::ProbeCost;

/// Estimates.
pub(super) fn estimate(recorded: &Recorded, bare: Option<UnitCosts>, heap: ProbeCost) -> Overhead {
    let added = added(bare, recorded.probed);
    let hits = |kind: &str| hits(&recorded.totals, kind);
    let heap_calls = recorded.totals.made.iter().map(|(kind, _)| *kind).filter_map(|kind| Some((kind, heap_cost(kind, heap)?)));
    let kernel = added.into_iter().flatten();
    let kinds = heap_calls.chain(kernel).map(|(kind, each)| (kind.to_owned(), HitCost { hits: hits(kind), each_ns: each.0 }));
    let nested = HitCost { hits: recorded.totals.nested, each_ns: heap.free.0 };
    let kinds: std::collections::BTreeMap<_, _> = kinds.chain([("nested".to_owned(), nested)]).filter(|(_, cost)| cost.hits > 0).collect();
    Overhead {
        probes_ns: kinds.values().map(|cost| cost.hits * cost.each_ns).sum(),
        kinds,
        waits: recorded.totals.waits,
        waited_ns: recorded.totals.waited.0,
        stops: recorded.stops.0,
        stopped_ns: recorded.stops.1.0,
        target_cpu_ns: recorded.target_cpu.map(|time| time.0),
    }
}

fn hits(totals: &Totals, kind: &str) -> u64 {
    let of = |counts: &[(&'static str, u64)]| counts.iter().find(|(name, _)| *name == kind).map_or(0, |(_, count)| *count);
    of(&totals.made) + of(&totals.lost)
}

/// What a call of the malloc family takes longer.
fn heap_cost(kind: &str, heap: ProbeCost) -> Option<Nanos> {
    match kind {
        "free" => Some(heap.free),
        _ => Call::ALL.iter().any(|(_, name)| *name == kind).then_some(heap.alloc),
    }
}

/// What a page fault or a system call takes longer.
fn added(bare: Option<UnitCosts>, probed: Option<[Costs; 2]>) -> Option<[(&'static str, Nanos); 7]> {
    let (bare, [attached, recorded]) = (bare?, probed?);
    let more = |bare: u64, of: fn(&Costs) -> Nanos| of(&recorded).saturating_sub(of(&attached).min(Nanos(bare)));
    let grow = more(bare.grow_ns, |costs| costs.grow);
    let madvise = more(bare.madvise_ns, |costs| costs.madvise);
    Some([
        ("fault", more(bare.fault_ns, |costs| costs.fault)),
        ("mmap", more(bare.mmap_ns, |costs| costs.mmap)),
        ("munmap", more(bare.munmap_ns, |costs| costs.munmap)),
        ("mremap", grow),
        // Not done for the measurement: it would move the recorder's own heap.
        ("brk", grow),
        ("madvise", madvise),
        ("mprotect", madvise),
    ])
}

/// The estimate in a sentence; nothing where nothing was hit.
pub(super) fn sentence(overhead: &Overhead) -> Option<String> {
    if overhead.kinds.is_empty() {
        return None;
    }
    let seconds = |ns: u64| ns as f64 / 1e9;
    let hits: u64 = overhead.kinds.values().map(|cost| cost.hits).sum();
    let cost = overhead.probes_ns + overhead.waited_ns;
    let share = overhead.target_cpu_ns.filter(|time| *time > 0).map(|time| {
        format!(", {:.0} % of the {:.2} s that the recorded processes took with it", 100.0 * cost as f64 / time as f64, seconds(time))
    });
    let mut text = format!(
        "recording took about {:.3} s of CPU time ({hits} probe hits){}",
        seconds(cost),
        share.unwrap_or_else(|| ", of an unknown total".to_owned())
    );
    if overhead.waits > 0 {
        text += &format!("; {:.2} s of it were waiting for the recorder, {} times", seconds(overhead.waited_ns), overhead.waits);
    }
    if overhead.stops > 0 {
        text += &format!("; stood still {} times, {:.3} s in all", overhead.stops, seconds(overhead.stopped_ns));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_twice_is_counted() {
        let recorded = Costs { fault: Nanos(1500), mmap: Nanos(900), ..Costs::default() };
        let attached = Costs { fault: Nanos(1250), mmap: Nanos(950), ..Costs::default() };
        let bare = UnitCosts { fault_ns: 1200, mmap_ns: 1000, ..UnitCosts::default() };
        let found = added(Some(bare), Some([attached, recorded])).expect("both are known");
        assert_eq!(found[..2], [("fault", Nanos(300)), ("mmap", Nanos(0))]);
        assert!(added(None, Some([attached, recorded])).is_none() && added(Some(bare), None).is_none());
    }

    #[test]
    fn the_sentence_tells_the_share_and_what_was_waited() {
        let kinds = [("free".to_owned(), HitCost { hits: 1000, each_ns: 1_000_000 })].into();
        let overhead = Overhead { probes_ns: 1_000_000_000, kinds, target_cpu_ns: Some(4_000_000_000), ..Overhead::default() };
        let text =
            "recording took about 1.000 s of CPU time (1000 probe hits), 25 % of the 4.00 s that the recorded processes took with it";
        assert_eq!(sentence(&overhead).as_deref(), Some(text));
        let stopped = Overhead { waits: 3, waited_ns: 1_000_000_000, stops: 2, stopped_ns: 5_000_000, ..overhead };
        let said = sentence(&stopped).expect("something was hit");
        assert!(
            said.contains("50 %") && said.ends_with("waiting for the recorder, 3 times; stood still 2 times, 0.005 s in all"),
            "{said}"
        );
        assert_eq!(sentence(&Overhead::default()), None);
    }
}
