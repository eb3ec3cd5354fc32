//! One row per policy.

use super::{POLICY_DOC, Table, Unit, Values, column};
use crate::reading::kernel_time;
use crate::study::{PolicyResult, Study};

pub(super) const SUMMARY: Table = Table {
    name: "summary",
    title: "Summary",
    doc: "One row per policy: first what the kernel measured, then the recorded placements driven through the page model, then the models.",
    columns: &[
        column("policy", "Policy", Unit::Text, POLICY_DOC, |s| per_policy_text(s, |p| &p.policy)),
        column(
            "source",
            "Source",
            Unit::Text,
            "Where the row comes from: measured by the kernel in the recorded run, simulated by a model, or replayed through the real allocator library.",
            |s| per_policy_text(s, |p| &p.source),
        ),
        column(
            "peak_rss_bytes",
            "Peak RSS",
            Unit::Bytes,
            "Highest resident set of the whole process: the heap and everything else that the program maps. It is exact between samples. For models it is the expected reading: which bytes of a block the program touches is known only where a page fault showed it.",
            |s| per_policy(s, |p| p.peak_rss_bytes),
        ),
        column(
            "peak_rss_low_bytes",
            "Peak RSS, low",
            Unit::Bytes,
            "The peak if only the touches that were seen happened: the resident set cannot be lower under this model.",
            |s| per_policy(s, |p| p.peak_rss_low_bytes),
        ),
        column(
            "peak_rss_high_bytes",
            "Peak RSS, high",
            Unit::Bytes,
            "The peak if the program touched every byte that it requested: the resident set cannot be higher under this model.",
            |s| per_policy(s, |p| p.peak_rss_high_bytes),
        ),
        column(
            "mean_rss_bytes",
            "Mean RSS",
            Unit::Bytes,
            "Resident set averaged over time, each value weighted by how long it held.",
            |s| per_policy(s, |p| p.mean_rss_bytes),
        ),
        column("final_rss_bytes", "Final RSS", Unit::Bytes, "Resident set when the recording ended.", |s| {
            per_policy(s, |p| p.final_rss_bytes)
        }),
        column(
            "peak_live_bytes",
            "Peak live",
            Unit::Bytes,
            "Highest sum of requested bytes in blocks that were allocated and not yet freed: what the program asked for, before any allocator's rounding, headers and caches.",
            |s| per_policy(s, |p| p.peak_live_bytes),
        ),
        column(
            "peak_mapped_bytes",
            "Peak mapped",
            Unit::Bytes,
            "Highest size of all mappings and the break area together: address space, of which only the touched pages are resident.",
            |s| per_policy(s, |p| p.peak_mapped_bytes),
        ),
        column(
            "minor_faults",
            "Minor faults",
            Unit::Count,
            "Page faults served without reading from a disk: first touches of pages, and touches of pages that had been given back. For models it is the expected reading.",
            |s| per_policy(s, |p| p.minor_faults),
        ),
        column("minor_faults_low", "Minor faults, low", Unit::Count, "Minor faults if only the touches that were seen happened.", |s| {
            per_policy(s, |p| p.minor_faults_low)
        }),
        column(
            "minor_faults_high",
            "Minor faults, high",
            Unit::Count,
            "Minor faults if the program touched every byte that it requested.",
            |s| per_policy(s, |p| p.minor_faults_high),
        ),
        column(
            "major_faults",
            "Major faults",
            Unit::Count,
            "Page faults that had to read from a disk. They depend on the page cache and on memory pressure, which no model here knows.",
            |s| per_policy(s, |p| p.major_faults),
        ),
        column("brk_calls", "brk", Unit::Count, "Calls of brk that moved or asked for the break.", |s| per_policy(s, |p| p.brk_calls)),
        column("mmap_calls", "mmap", Unit::Count, "Calls of mmap, the program's own included.", |s| per_policy(s, |p| p.mmap_calls)),
        column("munmap_calls", "munmap", Unit::Count, "Calls of munmap, the program's own included.", |s| {
            per_policy(s, |p| p.munmap_calls)
        }),
        column("mremap_calls", "mremap", Unit::Count, "Calls of mremap, the program's own included.", |s| {
            per_policy(s, |p| p.mremap_calls)
        }),
        column("madvise_calls", "madvise", Unit::Count, "Calls of madvise, the program's own included.", |s| {
            per_policy(s, |p| p.madvise_calls)
        }),
        column("returned_bytes", "Returned", Unit::Bytes, RETURNED_DOC, |s| per_policy(s, |p| p.returned_bytes)),
        column(
            "kernel_time_ns",
            "Kernel time",
            Unit::Nanos,
            "Estimate of what the kernel's work for memory took: faults, returned pages and calls, each times what one cost on the recorded machine, measured there before the recording. Empty where it was not measured. A fault of a huge page takes longer than this knows.",
            |s| Values::Integer(s.policies.iter().map(|policy| kernel_time(s, policy)).collect()),
        ),
    ],
};

const RETURNED_DOC: &str = "Anonymous memory that was resident when munmap, a shrinking brk, MADV_DONTNEED, MADV_FREE or a shrinking mremap gave it up, summed while the program ran. The same page can be returned many times; what goes back when the process ends does not count.";

fn per_policy(study: &Study, get: impl Fn(&PolicyResult) -> Option<u64>) -> Values {
    Values::Integer(study.policies.iter().map(get).collect())
}

fn per_policy_text(study: &Study, get: impl Fn(&PolicyResult) -> &str) -> Values {
    Values::Text(study.policies.iter().map(|policy| get(policy).to_owned()).collect())
}
