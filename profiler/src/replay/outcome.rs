//! What one policy did with a workload.

use super::placements::Placements;
use crate::metrics::survey::Surveyed;
use crate::metrics::{Meter, Point};
use crate::units::Bytes;
use crate::vm::{Calls, Syscall};
use std::fmt;

/// Where an outcome comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel counted it.
    Measured,
    /// A model computed it.
    Simulated,
    /// The kernel counted it while the real library did the same work.
    Replayed,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Source::Measured => "measured",
            Source::Simulated => "simulated",
            Source::Replayed => "replayed",
        })
    }
}

/// A value in three readings of what the program touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings<T> {
    /// Usually of the reading that only touches that were seen happened.
    pub low: T,
    /// Touches that were seen, and those inferred and assumed.
    pub expected: T,
    /// Usually of the reading that all was touched whose touch could not be seen.
    pub high: T,
}

impl<T: Copy + Ord> Readings<T> {
    /// An expected value between the extremes of all readings. More touches can mean fewer faults (a page that is read before it is
    /// written costs two) and, with huge pages, less memory: so which reading is lowest is not known beforehand.
    pub fn around(expected: T, others: [T; 2]) -> Readings<T> {
        let [a, b] = others;
        Readings { low: expected.min(a).min(b), expected, high: expected.max(a).max(b) }
    }

    /// The same in every reading.
    pub fn certain(value: T) -> Readings<T> {
        Readings { low: value, expected: value, high: value }
    }
}

/// One row of the summary with its curve. Resident memory, faults and calls are the whole process's.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The SPEC as given, or `measured`, `recorded`.
    pub policy: String,
    /// Where it comes from.
    pub source: Source,
    /// Highest resident set; `None` when it was not measured.
    pub peak_rss: Option<Readings<Bytes>>,
    /// Time-weighted mean.
    pub mean_rss: Option<Bytes>,
    /// At the end.
    pub final_rss: Option<Bytes>,
    /// Highest sum of requested bytes of live blocks.
    pub peak_live: Bytes,
    /// Highest size of all mappings and the break area.
    pub peak_mapped: Bytes,
    /// Minor faults.
    pub minor_faults: Readings<u64>,
    /// Major faults, where they are known.
    pub major_faults: Option<u64>,
    /// System calls by kind.
    pub calls: Calls,
    /// Whether [`Outcome::calls`] has a meaning.
    pub calls_known: bool,
    /// Resident anonymous bytes given back while the program ran, where that is known.
    pub returned: Option<Bytes>,
    /// Blocks that the policy could not provide because the simulated system refused.
    pub refused: u64,
    /// Where the allocator's memory sat at the highest resident set, part by part, where that is known.
    pub held: Vec<(&'static str, Bytes)>,
    /// Where the memory sits over time and what keeps it, where that is known.
    pub survey: Option<Surveyed>,
    /// How the blocks lie in comparison with the recording, where they were compared.
    pub placements: Option<Placements>,
    /// The curve. Its `returned` has no meaning where [`Outcome::returned`] is unknown.
    pub timeline: Vec<Point>,
}

impl Outcome {
    /// Of a run whose single reading `meter` followed.
    pub fn of(policy: &str, source: Source, meter: &Meter, calls: Calls) -> Outcome {
        let (peak, last) = (meter.peak(), meter.last());
        Outcome {
            policy: policy.to_owned(),
            source,
            peak_rss: Some(Readings::certain(peak.rss)),
            mean_rss: Some(meter.mean_rss()),
            final_rss: Some(last.rss),
            peak_live: peak.live,
            peak_mapped: peak.mapped,
            minor_faults: Readings::certain(last.minor_faults),
            major_faults: None,
            calls,
            calls_known: true,
            returned: Some(last.returned),
            refused: 0,
            held: Vec::new(),
            survey: None,
            placements: None,
            timeline: meter.timeline(),
        }
    }

    /// Calls of `brk`, `mmap`, `munmap`, `mremap`, `madvise`, in this order.
    pub fn call_counts(&self) -> [u64; 5] {
        [Syscall::Brk, Syscall::Mmap, Syscall::Munmap, Syscall::Mremap, Syscall::Madvise].map(|kind| self.calls.of(kind))
    }
}
