//! Blocks by the time they lived.

use super::{Table, Unit, Values, column};
use crate::study::{LifetimeRow, Study};

pub(super) const LIFETIMES: Table = Table {
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

fn per_lifetime(study: &Study, get: impl Fn(&LifetimeRow) -> Option<u64>) -> Values {
    Values::Integer(study.lifetimes.iter().map(get).collect())
}
