//! Where each model's memory sat at its peak: a bar of parts, and their names and sizes.

use crate::reading;
use crate::study::{PolicyResult, Study};
use crate::words;

/// Parts that are shown by themselves; the rest is free memory of whatever name.
const LIVE: &str = "live";
const OVERHEAD: [&str; 2] = ["headers", "rounding"];
/// Address space without memory behind it: named, but no part of the bar.
const ADDRESSES: [&str; 2] = ["reserved", "retained"];

/// One model.
pub(super) struct Row {
    pub(super) policy: String,
    pub(super) total: String,
    pub(super) pieces: Vec<Piece>,
    pub(super) words: String,
}

/// A piece of its bar.
pub(super) struct Piece {
    /// `live`, `overhead` or `free`.
    pub(super) class: &'static str,
    /// Of the widest bar, percent.
    pub(super) width: String,
    pub(super) tip: String,
}

pub(super) fn rows(study: &Study) -> Vec<Row> {
    let widest = study.policies.iter().map(total).max().unwrap_or(0).max(1);
    study.policies.iter().filter(|policy| !policy.held.is_empty()).map(|policy| Row::of(policy, widest)).collect()
}

fn total(policy: &PolicyResult) -> u64 {
    policy.held.iter().filter(|part| !ADDRESSES.contains(&part.part.as_str())).map(|part| part.bytes).sum()
}

impl Row {
    fn of(policy: &PolicyResult, widest: u64) -> Row {
        let parts = || policy.held.iter().filter(|part| part.bytes > 0);
        let pieces = parts().filter(|part| !ADDRESSES.contains(&part.part.as_str())).map(|part| Piece {
            class: class(&part.part),
            width: format!("{:.2}", part.bytes as f64 / widest as f64 * 100.0),
            tip: format!("{} {}", part.part, words::bytes(part.bytes)),
        });
        let words: Vec<String> = parts().map(|part| format!("{} {}", part.part, words::bytes(part.bytes))).collect();
        Row { policy: reading::name(policy), total: words::bytes(total(policy)), pieces: pieces.collect(), words: words.join(" · ") }
    }
}

fn class(part: &str) -> &'static str {
    match part {
        LIVE => "live",
        part if OVERHEAD.contains(&part) => "overhead",
        _ => "free",
    }
}
