//! Where each model's resident set sat when it was highest: a bar of parts that make up all of it.

use crate::reading;
use crate::study::{MemoryPoint, PolicyResult, Study};
use crate::tables;
use crate::words;

/// Bytes of a part at a moment.
type Get = fn(&MemoryPoint) -> u64;

/// Columns of the table `memory` in the order in which they are stacked; also the classes that colour them.
const PARTS: [(&str, Get); 10] = [
    ("live_bytes", |p| p.live_bytes),
    ("overhead_bytes", |p| p.overhead_bytes),
    ("cache_bytes", |p| p.cache_bytes),
    ("inside_bytes", |p| p.inside_bytes),
    ("below_bytes", |p| p.below_bytes),
    ("top_bytes", |p| p.top_bytes),
    ("waiting_bytes", |p| p.waiting_bytes),
    ("huge_bytes", |p| p.huge_bytes),
    ("other_bytes", |p| p.other_bytes),
    ("file_bytes", |p| p.file_bytes),
];

/// A look within this part of the peak is one at the peak.
const NEAR: u64 = 100;

/// A part that some policy has.
pub(super) struct Part {
    /// Its column, which is its class as well.
    pub(super) column: &'static str,
    pub(super) label: &'static str,
    pub(super) doc: &'static str,
}

/// One model at its highest resident set.
pub(super) struct Row {
    pub(super) policy: String,
    pub(super) total: String,
    /// The peak, where the nearest look at the memory was not at it.
    pub(super) of_peak: Option<String>,
    pub(super) when: String,
    pub(super) pieces: Vec<Piece>,
    pub(super) words: String,
}

/// A piece of its bar.
pub(super) struct Piece {
    pub(super) class: &'static str,
    /// Of the widest bar, percent.
    pub(super) width: String,
    pub(super) tip: String,
}

/// The parts that anybody has at any time.
pub(super) fn parts(study: &Study) -> Vec<Part> {
    let Some(table) = tables::table("memory") else { return Vec::new() };
    let points = || study.policies.iter().flat_map(|policy| &policy.memory);
    let used = PARTS.iter().filter(|(_, get)| points().any(|point| get(point) > 0));
    used.filter_map(|(name, _)| table.column(name))
        .map(|column| Part { column: column.name, label: column.label, doc: column.doc })
        .collect()
}

pub(super) fn rows(study: &Study) -> Vec<Row> {
    let peaks: Vec<_> = study.policies.iter().filter_map(|policy| Some((policy, peak(policy)?))).collect();
    let widest = peaks.iter().map(|(_, point)| point.rss_bytes).max().unwrap_or(0).max(1);
    peaks.into_iter().map(|(policy, point)| Row::of(policy, point, widest)).collect()
}

fn peak(policy: &PolicyResult) -> Option<&MemoryPoint> {
    // The first of equals.
    policy.memory.iter().rev().max_by_key(|point| point.rss_bytes)
}

impl Row {
    fn of(policy: &PolicyResult, point: &MemoryPoint, widest: u64) -> Row {
        let parts: Vec<_> = PARTS
            .iter()
            .map(|(column, get)| (*column, tables::table("memory").and_then(|table| table.column(column)), get(point)))
            .collect();
        let parts = parts.into_iter().filter(|part| part.2 > 0).filter_map(|(class, column, bytes)| Some((class, column?.label, bytes)));
        let parts: Vec<_> = parts.collect();
        let piece = |&(class, label, bytes): &(&'static str, &str, u64)| Piece {
            class,
            width: format!("{:.2}", bytes as f64 / widest as f64 * 100.0),
            tip: format!("{label}: {}", words::bytes(bytes)),
        };
        let words: Vec<String> =
            parts.iter().map(|(_, label, bytes)| format!("{} {}", label.to_lowercase(), words::bytes(*bytes))).collect();
        Row {
            policy: reading::name(policy),
            total: words::bytes(point.rss_bytes),
            of_peak: policy.peak_rss_bytes.filter(|peak| *peak > point.rss_bytes + point.rss_bytes / NEAR).map(words::bytes),
            when: words::duration(point.time_ns),
            pieces: parts.iter().map(piece).collect(),
            words: words.join(" · "),
        }
    }
}
