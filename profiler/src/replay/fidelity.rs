//! The self-check: one outcome against another, metric by metric.

use super::outcome::Outcome;
use crate::units::Bytes;

/// One metric of the self-check.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `placements` (a share, 0 to 1), `brk_calls`, `peak_rss_bytes`, …
    pub metric: &'static str,
    /// What the kernel or the recording says.
    pub recorded: Option<f64>,
    /// What the replay says.
    pub replayed: Option<f64>,
    /// (replayed − recorded) / recorded; `None` where either is unknown, or `recorded` is 0 and `replayed` is not.
    pub error: Option<f64>,
}

/// Compares `replayed` with `recorded` (what the kernel measured, or the recorded placements). `placements` is the share of allocations whose simulated
/// address equals the recorded one; `None` while no model of the recorded allocator exists.
pub fn rows(recorded: &Outcome, replayed: &Outcome, placements: Option<f64>) -> Vec<Row> {
    let calls = |outcome: &Outcome| outcome.call_counts().map(|count| Some(count as f64));
    let ([brk, mmap, munmap, _, madvise], [brk2, mmap2, munmap2, _, madvise2]) = (calls(recorded), calls(replayed));
    let bytes = |value: Option<Bytes>| value.map(|bytes| bytes.0 as f64);
    let peak = |outcome: &Outcome| bytes(outcome.peak_rss.map(|peak| peak.expected));
    let faults = |outcome: &Outcome| Some(outcome.minor_faults.expected as f64);
    vec![
        row("placements", placements.map(|_| 1.0), placements),
        row("brk_calls", brk, brk2),
        row("mmap_calls", mmap, mmap2),
        row("munmap_calls", munmap, munmap2),
        row("madvise_calls", madvise, madvise2),
        row("peak_rss_bytes", peak(recorded), peak(replayed)),
        row("mean_rss_bytes", bytes(recorded.mean_rss), bytes(replayed.mean_rss)),
        row("minor_faults", faults(recorded), faults(replayed)),
    ]
}

fn row(metric: &'static str, recorded: Option<f64>, replayed: Option<f64>) -> Row {
    let error = match (recorded, replayed) {
        (Some(a), Some(b)) if a == b => Some(0.0),
        (Some(a), Some(b)) if a != 0.0 => Some((b - a) / a),
        _ => None,
    };
    Row { metric, recorded, replayed, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_and_unknown_stays_unknown() {
        let error = |recorded, replayed| row("x", recorded, replayed).error;
        assert_eq!(error(Some(200.0), Some(198.0)), Some(-0.01));
        assert_eq!(error(Some(0.0), Some(0.0)), Some(0.0));
        assert_eq!(error(Some(0.0), Some(3.0)), None);
        assert_eq!(error(None, Some(3.0)), None);
    }
}
