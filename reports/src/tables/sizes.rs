//! Requests by size.

use super::{Table, Unit, Values, column};
use crate::study::{SizeRow, Study};

pub(super) const SIZES: Table = Table {
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
        column("live_at_end_bytes", "Live at the end", Unit::Bytes, "Requested bytes of that class that were never freed.", |s| {
            per_size(s, |row| row.live_at_end_bytes)
        }),
        column(
            "temporary",
            "Temporary",
            Unit::Count,
            "Blocks of that class that were freed before their thread asked for another one.",
            |s| per_size(s, |row| row.temporary),
        ),
    ],
};

fn per_size(study: &Study, get: impl Fn(&SizeRow) -> u64) -> Values {
    Values::Integer(study.sizes.iter().map(|row| Some(get(row))).collect())
}
