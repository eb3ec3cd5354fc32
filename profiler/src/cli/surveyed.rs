//! What a survey of a policy's heap found, for the report.

use std::collections::BTreeMap;

use reports::study as report;

use super::origins::Names;

use crate::event::Tid;
use crate::metrics::ThreadUse;
use crate::metrics::survey::{AddressMap, Cell, Hold, Moment, Part, Parts, Pinned, Sites, Surveyed};

/// Puts it into the policy's row.
pub(super) fn fill(row: &mut report::PolicyResult, survey: &Surveyed, names: &Names) {
    row.memory = survey.parts.iter().map(memory).collect();
    let pins = survey.pinned.iter().zip(["most free", "end"]);
    row.pins = pins.flat_map(|(pinned, moment)| pin_rows(pinned, moment, names)).collect();
    row.map = (!survey.map.areas.is_empty()).then(|| map(&survey.map));
}

fn memory(moment: &Moment<Parts>) -> report::MemoryPoint {
    let of = |part| moment.seen.of(part).0;
    report::MemoryPoint {
        time_ns: moment.time.0,
        rss_bytes: moment.rss.0,
        live_bytes: of(Part::Live),
        overhead_bytes: of(Part::Overhead),
        cache_bytes: of(Part::Cache),
        inside_bytes: of(Part::Inside),
        below_bytes: of(Part::Below),
        top_bytes: of(Part::Top),
        waiting_bytes: of(Part::Waiting),
        huge_bytes: of(Part::Huge),
        other_bytes: of(Part::Other),
        file_bytes: of(Part::File),
    }
}

fn pin_rows(pinned: &Pinned, moment: &'static str, names: &Names) -> impl Iterator<Item = report::PinRow> {
    pinned.pins.iter().map(move |pin| report::PinRow {
        moment: moment.to_owned(),
        time_ns: pinned.time.0,
        hold: match pin.hold {
            Hold::Top => "top".to_owned(),
            Hold::Slab => "slab".to_owned(),
        },
        at: pin.at.0,
        blocks: pin.blocks,
        slabs: pin.slabs,
        live_bytes: pin.live.0,
        smallest_bytes: pin.sizes.0.0,
        largest_bytes: pin.sizes.1.0,
        youngest_ns: pin.ages.0.0,
        oldest_ns: pin.ages.1.0,
        holds_bytes: pin.holds.0,
        caller: match pin.sites {
            Sites::None => None,
            Sites::One(site) => names.function(site),
            Sites::Several => Some("several places".to_owned()),
        },
    })
}

fn map(map: &AddressMap) -> report::AddressMap {
    let area = |area: &crate::metrics::survey::Area| report::MapArea { start: area.start.0, cells: area.cells as u64, heap: area.heap };
    let moment =
        |moment: &Moment<Vec<Cell>>| report::MapMoment { time_ns: moment.time.0, rss_bytes: moment.rss.0, cells: runs(&moment.seen) };
    report::AddressMap {
        cell_bytes: map.cell_pages * crate::units::PAGE,
        areas: map.areas.iter().map(area).collect(),
        moments: map.moments.iter().map(moment).collect(),
    }
}

fn runs(cells: &[Cell]) -> String {
    let mut out = String::new();
    for run in cells.chunk_by(|one, other| one == other) {
        out.push(match run[0] {
            Cell::Absent => 'a',
            Cell::Free => 'f',
            Cell::Partly => 'p',
            Cell::Live => 'l',
        });
        if run.len() > 1 {
            out += &run.len().to_string();
        }
    }
    out
}

/// A thread's row; `names` of the threads as far as they are known.
pub(super) fn thread(thread: &ThreadUse, names: &BTreeMap<Tid, String>) -> report::ThreadRow {
    report::ThreadRow {
        name: names.get(&thread.tid).cloned().unwrap_or_default(),
        tid: thread.tid,
        allocations: thread.allocations,
        requested_bytes: thread.requested.0,
        frees: thread.frees,
        foreign_frees: thread.foreign_frees,
        temporary: thread.temporary,
        live_at_peak_bytes: thread.live_at_peak.0,
        live_at_end_bytes: thread.live_at_end.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_as_runs() {
        use Cell::*;
        assert_eq!(runs(&[Absent, Absent, Free, Partly, Live, Live, Live]), "a2fpl3");
        assert_eq!(runs(&[]), "");
    }
}
