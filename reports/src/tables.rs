//! Every table that is reported, declared once: its columns, their units, what they mean and what they cannot know.
//!
//! The CSV headers, the embedded data of the page, its download buttons, tool tips and glossary are all derived from [`TABLES`].

use crate::study::{FidelityRow, HeldPart, LifetimeRow, PolicyResult, SizeRow, Study, TimePoint};

/// What a column counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A name.
    Text,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanos,
    /// A number of things.
    Count,
    /// A share, 1 is all.
    Share,
    /// Whatever the metric in the first column of the row counts in.
    Metric,
}

impl Unit {
    /// The unit's name as it stands in the glossary.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Text => "text",
            Unit::Bytes => "bytes",
            Unit::Nanos => "nanoseconds",
            Unit::Count => "count",
            Unit::Share => "share, 1 is all",
            Unit::Metric => "the metric's own unit",
        }
    }
}

/// One column's values; `None` is unknown.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Names.
    Text(Vec<String>),
    /// Whole numbers.
    Integer(Vec<Option<u64>>),
    /// Other numbers.
    Real(Vec<Option<f64>>),
}

/// A column and how to read it from a study.
pub struct Column {
    /// Name in the CSV header.
    pub name: &'static str,
    /// Heading for people.
    pub label: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// What it means and what it cannot know; full sentences.
    pub doc: &'static str,
    /// Its values, one per row of the table.
    pub values: fn(&Study) -> Values,
}

/// A table and its columns in the order of the CSV file.
pub struct Table {
    /// Name, and stem of its CSV file.
    pub name: &'static str,
    /// Heading for people.
    pub title: &'static str,
    /// What its rows are; full sentences.
    pub doc: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
}

impl Table {
    /// Name of its CSV file.
    pub fn file_name(&self) -> String {
        format!("{}.csv", self.name)
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// All tables; the order is that of the glossary.
pub static TABLES: [Table; 6] = [SUMMARY, TIMELINE, FIDELITY, HELD, SIZES, LIFETIMES];

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

const fn column(name: &'static str, label: &'static str, unit: Unit, doc: &'static str, values: fn(&Study) -> Values) -> Column {
    Column { name, label, unit, doc, values }
}

const SUMMARY: Table = Table {
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
    ],
};

const TIMELINE: Table = Table {
    name: "timeline",
    title: "Timeline",
    doc: "The curves: samples of each policy in time order, thinned so that peaks stay. A value holds until the next sample of the same policy.",
    columns: &[
        column("policy", "Policy", Unit::Text, POLICY_DOC, |s| Values::Text(points(s).map(|(policy, _)| policy.policy.clone()).collect())),
        column(
            "time_ns",
            "Time",
            Unit::Nanos,
            "Time since the process began to be recorded. Every policy runs on the recorded clock: a faster or slower allocator does not change it.",
            |s| per_point(s, |p| Some(p.time_ns)),
        ),
        column("rss_bytes", "RSS", Unit::Bytes, "Resident set of the whole process.", |s| per_point(s, |p| p.rss_bytes)),
        column("live_bytes", "Live", Unit::Bytes, "Requested bytes in blocks that were allocated and not yet freed.", |s| {
            per_point(s, |p| p.live_bytes)
        }),
        column("mapped_bytes", "Mapped", Unit::Bytes, "Size of all mappings and the break area.", |s| per_point(s, |p| p.mapped_bytes)),
        column("minor_faults", "Minor faults", Unit::Count, "Minor faults so far.", |s| per_point(s, |p| p.minor_faults)),
        column("returned_bytes", "Returned", Unit::Bytes, "Bytes given back to the kernel so far.", |s| per_point(s, |p| p.returned_bytes)),
        column(
            "source",
            "Source",
            Unit::Text,
            "Where the curve comes from, as in the summary: a policy's model and its library have the same name.",
            |s| Values::Text(points(s).map(|(policy, _)| policy.source.clone()).collect()),
        ),
    ],
};

const FIDELITY: Table = Table {
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

const HELD: Table = Table {
    name: "held",
    title: "Where the memory sits",
    doc: "What each model had from the system when the resident set was highest (within one hundredth): the program's blocks, and where the rest is. Not all of it is resident. Only models know this.",
    columns: &[
        column("policy", "Policy", Unit::Text, POLICY_DOC, |s| Values::Text(held(s).map(|(policy, _)| policy.policy.clone()).collect())),
        column(
            "part",
            "Part",
            Unit::Text,
            "`live` is what the program asked for and has not freed, `rounding` what blocks are larger than that, `headers` the allocator's bookkeeping; the others are free memory, by the allocator's own names (`tcache`, `bins`, `top`, `dirty`, …).",
            |s| Values::Text(held(s).map(|(_, part)| part.part.clone()).collect()),
        ),
        column("bytes", "Bytes", Unit::Bytes, "Size of the part, resident or not.", |s| {
            Values::Integer(held(s).map(|(_, part)| Some(part.bytes)).collect())
        }),
    ],
};

const SIZES: Table = Table {
    name: "sizes",
    title: "Requested sizes",
    doc: "Requests by size, in quarter steps of powers of two. These are the program's requests; they are the same under every policy.",
    columns: &[
        column("from_bytes", "From", Unit::Bytes, "Smallest size of the class.", |s| per_size(s, |row| row.from_bytes)),
        column("to_bytes", "To", Unit::Bytes, "Largest size of the class.", |s| per_size(s, |row| row.to_bytes)),
        column("count", "Requests", Unit::Count, "Requests of that size; a realloc counts as a request of its new size.", |s| {
            per_size(s, |row| row.count)
        }),
        column("total_bytes", "Requested", Unit::Bytes, "Sum of the requested sizes.", |s| per_size(s, |row| row.total_bytes)),
        column(
            "live_at_peak_bytes",
            "Live at peak",
            Unit::Bytes,
            "Requested bytes of that class that were live at the moment when the whole program's live bytes peaked.",
            |s| per_size(s, |row| row.live_at_peak_bytes),
        ),
    ],
};

const LIFETIMES: Table = Table {
    name: "lifetimes",
    title: "Lifetimes",
    doc: "Blocks by the time between allocation and free, in decades. Blocks that were never freed stand in the last row.",
    columns: &[
        column("from_ns", "From", Unit::Nanos, "Shortest lifetime of the class.", |s| per_lifetime(s, |row| Some(row.from_ns))),
        column("to_ns", "To", Unit::Nanos, "End of the class, exclusive; empty for blocks that were never freed.", |s| {
            per_lifetime(s, |row| row.to_ns)
        }),
        column("count", "Blocks", Unit::Count, "Blocks that lived that long.", |s| per_lifetime(s, |row| Some(row.count))),
        column("total_bytes", "Requested", Unit::Bytes, "Sum of their requested sizes.", |s| per_lifetime(s, |row| Some(row.total_bytes))),
    ],
};

const POLICY_DOC: &str = "An allocator with its settings, as given. `measured` is what the kernel counted in the recorded run; `recorded` is the recorded calls and placements driven through the page model.";

const RETURNED_DOC: &str = "Anonymous memory that was resident when munmap, a shrinking brk, MADV_DONTNEED, MADV_FREE or a shrinking mremap gave it up, summed while the program ran. The same page can be returned many times; what goes back when the process ends does not count.";

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

fn points(study: &Study) -> impl Iterator<Item = (&PolicyResult, &TimePoint)> {
    study.policies.iter().flat_map(|policy| policy.timeline.iter().map(move |point| (policy, point)))
}

fn held(study: &Study) -> impl Iterator<Item = (&PolicyResult, &HeldPart)> {
    study.policies.iter().flat_map(|policy| policy.held.iter().map(move |part| (policy, part)))
}

fn per_policy(study: &Study, get: impl Fn(&PolicyResult) -> Option<u64>) -> Values {
    Values::Integer(study.policies.iter().map(get).collect())
}

fn per_policy_text(study: &Study, get: impl Fn(&PolicyResult) -> &str) -> Values {
    Values::Text(study.policies.iter().map(|policy| get(policy).to_owned()).collect())
}

fn per_point(study: &Study, get: impl Fn(&TimePoint) -> Option<u64>) -> Values {
    Values::Integer(points(study).map(|(_, point)| get(point)).collect())
}

fn per_check(study: &Study, get: impl Fn(&FidelityRow) -> Option<f64>) -> Values {
    // JSON and CSV have no word for infinity or not-a-number: such a value is unknown.
    Values::Real(study.fidelity.iter().map(|row| get(row).filter(|value| value.is_finite())).collect())
}

fn per_size(study: &Study, get: impl Fn(&SizeRow) -> u64) -> Values {
    Values::Integer(study.sizes.iter().map(|row| Some(get(row))).collect())
}

fn per_lifetime(study: &Study, get: impl Fn(&LifetimeRow) -> Option<u64>) -> Values {
    Values::Integer(study.lifetimes.iter().map(get).collect())
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
