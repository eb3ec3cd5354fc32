//! What each place in the code asked for.

use super::{Table, Unit, Values, column};
use crate::reading;
use crate::study::{CallSite, Study};

pub(super) const CALLSITES: Table = Table {
    name: "callsites",
    title: "Call sites",
    doc: "Places in the code that asked for memory, those with most live bytes at the peak first; a block belongs to the place that asked for it last. The same under every policy.",
    columns: &[
        column(
            "function",
            "Function",
            Unit::Text,
            "The function that called the allocator; where it has no name, its file and place in it.",
            |s| Values::Text(s.callsites.iter().map(|row| reading::function(s, row).to_owned()).collect()),
        ),
        column(
            "stack",
            "Stack",
            Unit::Text,
            "The call stack, outermost first, with semicolons between; one function where only immediate callers were recorded.",
            |s| Values::Text(s.callsites.iter().map(|row| reading::folded(s, row)).collect()),
        ),
        column("allocations", "Requests", Unit::Count, "Requests; a realloc counts as one.", |s| per_site(s, |row| row.allocations)),
        column("requested_bytes", "Requested", Unit::Bytes, "Sum of the requested sizes.", |s| per_site(s, |row| row.requested_bytes)),
        column("temporary", "Temporary", Unit::Count, "Blocks that were freed before their thread asked for another one.", |s| {
            per_site(s, |row| row.temporary)
        }),
        column("faults", "Page faults", Unit::Count, "Page faults that showed a first touch of its blocks, in the recorded run.", |s| {
            per_site(s, |row| row.faults)
        }),
        column(
            "live_at_peak_bytes",
            "Live at peak",
            Unit::Bytes,
            "Requested bytes of its blocks when the whole program's live bytes peaked.",
            |s| per_site(s, |row| row.live_at_peak_bytes),
        ),
        column("live_at_end_bytes", "Live at the end", Unit::Bytes, "Requested bytes of its blocks that were never freed.", |s| {
            per_site(s, |row| row.live_at_end_bytes)
        }),
    ],
};

fn per_site(study: &Study, get: impl Fn(&CallSite) -> u64) -> Values {
    Values::Integer(study.callsites.iter().map(|row| Some(get(row))).collect())
}
