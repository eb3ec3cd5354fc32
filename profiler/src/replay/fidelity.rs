//! The self-check: one outcome against another, metric by metric.

use super::outcome::Outcome;
use super::placements::Placements;
use crate::units::Bytes;
use crate::vm::Syscall;

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

/// Compares `replayed` (the model of the allocator that really ran, or the recorded placements where there is none) with `recorded` (what the kernel
/// measured). `placements` is known only of a model.
pub fn rows(recorded: &Outcome, replayed: &Outcome) -> Vec<Row> {
    let placements = replayed.placements.as_ref().and_then(Placements::share);
    let calls = |metric, kind| {
        let count = |outcome: &Outcome| Some(outcome.calls.of(kind) as f64);
        row(metric, count(recorded), count(replayed))
    };
    let bytes = |value: Option<Bytes>| value.map(|bytes| bytes.0 as f64);
    let peak = |outcome: &Outcome| bytes(outcome.peak_rss.map(|peak| peak.expected));
    let faults = |outcome: &Outcome| Some(outcome.minor_faults.expected as f64);
    vec![
        row("placements", placements.map(|_| 1.0), placements),
        calls("brk_calls", Syscall::Brk),
        calls("mmap_calls", Syscall::Mmap),
        calls("munmap_calls", Syscall::Munmap),
        calls("madvise_calls", Syscall::Madvise),
        row("peak_rss_bytes", peak(recorded), peak(replayed)),
        row("mean_rss_bytes", bytes(recorded.mean_rss), bytes(replayed.mean_rss)),
        row("minor_faults", faults(recorded), faults(replayed)),
        calls("mremap_calls", Syscall::Mremap),
        calls("mprotect_calls", Syscall::Mprotect),
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
