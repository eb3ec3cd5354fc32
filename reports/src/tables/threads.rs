//! What each thread asked for and freed.

use super::{Table, Unit, Values, column};
use crate::study::{Study, ThreadRow};

pub(super) const THREADS: Table = Table {
    name: "threads",
    title: "Threads",
    doc: "What each thread asked for and freed, in the order in which they first did. The same under every policy.",
    columns: &[
        column("tid", "Thread", Unit::Count, "The kernel's number for it.", |s| per_thread(s, |row| row.tid.into())),
        column("allocations", "Requests", Unit::Count, "Requests; a realloc counts as one.", |s| per_thread(s, |row| row.allocations)),
        column("requested_bytes", "Requested", Unit::Bytes, "Sum of the requested sizes.", |s| per_thread(s, |row| row.requested_bytes)),
        column("frees", "Frees", Unit::Count, "Blocks that it freed.", |s| per_thread(s, |row| row.frees)),
        column("foreign_frees", "Of others", Unit::Count, "Freed blocks that another thread had asked for.", |s| {
            per_thread(s, |row| row.foreign_frees)
        }),
        column("temporary", "Temporary", Unit::Count, "Blocks that it freed before it asked for the next one.", |s| {
            per_thread(s, |row| row.temporary)
        }),
        column(
            "live_at_peak_bytes",
            "Live at peak",
            Unit::Bytes,
            "Requested bytes of its blocks when the whole program's live bytes peaked.",
            |s| per_thread(s, |row| row.live_at_peak_bytes),
        ),
        column("live_at_end_bytes", "Live at the end", Unit::Bytes, "Requested bytes of its blocks that were never freed.", |s| {
            per_thread(s, |row| row.live_at_end_bytes)
        }),
        column(
            "name",
            "Name",
            Unit::Text,
            "What the thread was called at last; empty where that is not known. The program chooses it.",
            |s| Values::Text(s.threads.iter().map(|row| row.name.clone()).collect()),
        ),
    ],
};

fn per_thread(study: &Study, get: impl Fn(&ThreadRow) -> u64) -> Values {
    Values::Integer(study.threads.iter().map(|row| Some(get(row))).collect())
}
