//! Call sites as a table; their flame graph is drawn by the page's script.

use super::Cell;
use super::summary::Heading;
use crate::reading;
use crate::study::{CallSite, Study};
use crate::tables;

/// Places that are shown; the CSV file has all.
const SHOWN: usize = 20;

type Get = fn(&CallSite) -> u64;

const COLUMNS: [(&str, Get); 6] = [
    ("live_at_peak_bytes", |row| row.live_at_peak_bytes),
    ("live_at_end_bytes", |row| row.live_at_end_bytes),
    ("allocations", |row| row.allocations),
    ("requested_bytes", |row| row.requested_bytes),
    ("temporary", |row| row.temporary),
    ("faults", |row| row.faults),
];

/// The table.
#[derive(Default)]
pub(super) struct CallSites {
    pub(super) headings: Vec<Heading>,
    pub(super) rows: Vec<Row>,
    /// Places that are not shown.
    pub(super) more: usize,
    /// Whether stacks were recorded.
    pub(super) stacks: bool,
}

/// A place.
pub(super) struct Row {
    pub(super) function: String,
    /// Its callers, the nearest first.
    pub(super) callers: String,
    pub(super) cells: Vec<Cell>,
}

impl CallSites {
    pub(super) fn of(study: &Study) -> CallSites {
        let Some(table) = tables::table("callsites") else { return CallSites::default() };
        let columns: Vec<_> = COLUMNS.iter().filter_map(|(name, get)| Some((table.column(name)?, get))).collect();
        let row = |site: &CallSite| Row {
            function: reading::function(study, site).to_owned(),
            callers: site.stack.iter().skip(1).filter_map(|&name| study.frames.get(name as usize)).cloned().collect::<Vec<_>>().join(" ← "),
            cells: columns.iter().map(|(column, get)| Cell::of(Some(get(site)), column.unit)).collect(),
        };
        CallSites {
            headings: columns.iter().map(|(column, _)| Heading { label: column.label, doc: column.doc }).collect(),
            rows: study.callsites.iter().take(SHOWN).map(row).collect(),
            more: study.callsites.len().saturating_sub(SHOWN),
            stacks: study.callsites.iter().any(|site| site.stack.len() > 1),
        }
    }
}
