//! Every table that is reported, declared once: its columns, their units, what they mean and what they cannot know.
//!
//! The CSV headers, the embedded data of the page, its download buttons, tool tips and glossary are all derived from [`TABLES`].

mod fidelity;
mod held;
mod lifetimes;
mod memory;
mod pins;
mod sizes;
mod summary;
mod threads;
mod timeline;

use crate::study::Study;
use fidelity::FIDELITY;
pub use fidelity::{metric, own_metrics};
use held::HELD;
use lifetimes::LIFETIMES;
use memory::MEMORY;
use pins::PINS;
use sizes::SIZES;
use summary::SUMMARY;
use threads::THREADS;
use timeline::TIMELINE;

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
#[rustfmt::skip]
pub static TABLES: &[Table] = &[
    SUMMARY,
    TIMELINE,
    FIDELITY,
    MEMORY,
    HELD,
    PINS,
    SIZES,
    LIFETIMES,
    THREADS,
];

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

const fn column(name: &'static str, label: &'static str, unit: Unit, doc: &'static str, values: fn(&Study) -> Values) -> Column {
    Column { name, label, unit, doc, values }
}

const POLICY_DOC: &str = "An allocator with its settings, as given. `measured` is what the kernel counted in the recorded run; `recorded` is the recorded calls and placements driven through the page model.";

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
