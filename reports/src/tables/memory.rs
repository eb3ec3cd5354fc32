//! Where the resident set sits over time.

use super::{POLICY_DOC, Table, Unit, Values, column};
use crate::study::{MemoryPoint, PolicyResult, Study};

pub(super) const MEMORY: Table = Table {
    name: "memory",
    title: "Where the memory sits",
    doc: "The resident set of each model, split into parts that make up all of it, at up to 300 moments: of each span of time the one with the highest resident set. Only models know this.",
    columns: &[
        column("policy", "Policy", Unit::Text, POLICY_DOC, |s| Values::Text(points(s).map(|(policy, _)| policy.policy.clone()).collect())),
        column("time_ns", "Time", Unit::Nanos, "Time since the process began to be recorded.", |s| per_point(s, |p| p.time_ns)),
        column("rss_bytes", "RSS", Unit::Bytes, "Resident set of the whole process; the sum of the parts.", |s| {
            per_point(s, |p| p.rss_bytes)
        }),
        column("live_bytes", "Live blocks", Unit::Bytes, "Requested bytes of live blocks, as far as they lie on resident pages.", |s| {
            per_point(s, |p| p.live_bytes)
        }),
        column(
            "overhead_bytes",
            "Headers and rounding",
            Unit::Bytes,
            "Headers, what blocks are larger than requested, and the allocator's bookkeeping.",
            |s| per_point(s, |p| p.overhead_bytes),
        ),
        column(
            "cache_bytes",
            "Cached blocks",
            Unit::Bytes,
            "Freed blocks in a cache (tcache, fastbins, thread caches) that the allocator hands out again as they are.",
            |s| per_point(s, |p| p.cache_bytes),
        ),
        column(
            "inside_bytes",
            "Free beside live blocks",
            Unit::Bytes,
            "Free memory on pages, or in slabs and spans, in which live blocks lie.",
            |s| per_point(s, |p| p.inside_bytes),
        ),
        column(
            "below_bytes",
            "Free below a block",
            Unit::Bytes,
            "Free pages of a heap that shrinks from its top only: a block lies above them.",
            |s| per_point(s, |p| p.below_bytes),
        ),
        column(
            "top_bytes",
            "Free at the top",
            Unit::Bytes,
            "Free pages above the last block of such a heap, kept for the next request.",
            |s| per_point(s, |p| p.top_bytes),
        ),
        column(
            "waiting_bytes",
            "Waiting to go back",
            Unit::Bytes,
            "Free pages that the allocator gives back after a while (decay, purge).",
            |s| per_point(s, |p| p.waiting_bytes),
        ),
        column(
            "huge_bytes",
            "Rest of huge pages",
            Unit::Bytes,
            "Pages that are resident only because the rest of their huge page is.",
            |s| per_point(s, |p| p.huge_bytes),
        ),
        column(
            "other_bytes",
            "Not the heap",
            Unit::Bytes,
            "Stacks, data and the program's own mappings, carried over from the recording.",
            |s| per_point(s, |p| p.other_bytes),
        ),
        column("file_bytes", "Files", Unit::Bytes, "Pages of files and shared memory: code, libraries.", |s| {
            per_point(s, |p| p.file_bytes)
        }),
    ],
};

fn points(study: &Study) -> impl Iterator<Item = (&PolicyResult, &MemoryPoint)> {
    study.policies.iter().flat_map(|policy| policy.memory.iter().map(move |point| (policy, point)))
}

fn per_point(study: &Study, get: impl Fn(&MemoryPoint) -> u64) -> Values {
    Values::Integer(points(study).map(|(_, point)| Some(get(point))).collect())
}
