//! Threads as a table.

use super::Cell;
use super::summary::Heading;
use crate::study::{Study, ThreadRow};
use crate::tables;

/// Threads that are shown, those with most requests; the CSV file has all.
const SHOWN: usize = 20;

type Get = fn(&ThreadRow) -> u64;

const COLUMNS: [(&str, Get); 7] = [
    ("allocations", |row| row.allocations),
    ("requested_bytes", |row| row.requested_bytes),
    ("frees", |row| row.frees),
    ("foreign_frees", |row| row.foreign_frees),
    ("temporary", |row| row.temporary),
    ("live_at_peak_bytes", |row| row.live_at_peak_bytes),
    ("live_at_end_bytes", |row| row.live_at_end_bytes),
];

/// The table.
#[derive(Default)]
pub(super) struct Threads {
    pub(super) headings: Vec<Heading>,
    /// The thread's number, its name and its cells.
    pub(super) rows: Vec<(u32, String, Vec<Cell>)>,
    /// Threads that are not shown.
    pub(super) more: usize,
}

impl Threads {
    pub(super) fn of(study: &Study) -> Threads {
        let Some(table) = tables::table("threads") else { return Threads::default() };
        let columns: Vec<_> = COLUMNS.iter().filter_map(|(name, get)| Some((table.column(name)?, get))).collect();
        let mut shown: Vec<&ThreadRow> = study.threads.iter().collect();
        shown.sort_by_key(|row| std::cmp::Reverse(row.allocations));
        shown.truncate(SHOWN);
        let cells = |row: &ThreadRow| columns.iter().map(|(column, get)| Cell::of(Some(get(row)), column.unit)).collect();
        Threads {
            headings: columns.iter().map(|(column, _)| Heading { label: column.label, doc: column.doc }).collect(),
            rows: shown.iter().map(|row| (row.tid, row.name.clone(), cells(row))).collect(),
            more: study.threads.len() - shown.len(),
        }
    }
}
