//! The self-check, metric by metric.

use super::{SUMMARY, Table, Unit, Values, column};
use crate::study::{FidelityRow, Study};

pub(super) const FIDELITY: Table = Table {
    name: "fidelity",
    title: "Fidelity",
    doc: "The model of the allocator that really ran, or the recorded placements where there is none, against what the kernel and the recording say: how far the numbers of this report can be trusted.",
    columns: &[
        column("metric", "Metric", Unit::Text, "What is compared; it has the meaning of the summary's column of that name.", |s| {
            Values::Text(s.fidelity.iter().map(|row| row.metric.clone()).collect())
        }),
        column("recorded", "Recorded", Unit::Metric, "What the kernel or the recording says.", |s| per_check(s, |row| row.recorded)),
        column("replayed", "Replayed", Unit::Metric, "What the replay says.", |s| per_check(s, |row| row.replayed)),
        column(
            "error",
            "Error",
            Unit::Share,
            "(replayed − recorded) / recorded. Two policies that differ by less than this are a tie. A small error shows that the page model and this program agree; it cannot show that the model of another allocator is as good.",
            |s| per_check(s, |row| row.error),
        ),
    ],
};

/// Metrics of the self-check that are no column of the summary: name, heading, unit, meaning.
const OWN_METRICS: [(&str, &str, Unit, &str); 2] = [
    (
        "placements",
        "Placements",
        Unit::Share,
        "Share of allocations whose simulated address, relative to its region's start, equals the recorded one.",
    ),
    ("mprotect_calls", "mprotect", Unit::Count, "Calls of mprotect, the program's own included."),
];

/// Heading, unit and meaning of a metric of the self-check; an unknown one is shown by its own name as a plain number.
pub fn metric(name: &str) -> (&str, Unit, &'static str) {
    if let Some((_, label, unit, doc)) = OWN_METRICS.iter().find(|own| own.0 == name) {
        return (label, *unit, doc);
    }
    match SUMMARY.column(name) {
        Some(column) => (column.label, column.unit, column.doc),
        None => (name, Unit::Metric, ""),
    }
}

/// Metrics that only the self-check has: heading, unit and meaning, for the glossary.
pub fn own_metrics() -> impl Iterator<Item = (&'static str, &'static str, Unit, &'static str)> {
    OWN_METRICS.iter().copied()
}

fn per_check(study: &Study, get: impl Fn(&FidelityRow) -> Option<f64>) -> Values {
    // JSON and CSV have no word for infinity or not-a-number: such a value is unknown.
    Values::Real(study.fidelity.iter().map(|row| get(row).filter(|value| value.is_finite())).collect())
}
