//! The rows of the policies: legend, summary and system calls.

use crate::chart::{self, Style};
use crate::reading::{self, SelfCheck};
use crate::study::{PolicyResult, Study};
use crate::tables::{self, Column, Unit};
use crate::words;

use super::Cell;

/// A policy's line as the legend and the table show it.
pub(super) struct Legend {
    pub(super) label: String,
    pub(super) swatch: Swatch,
    pub(super) has_curve: bool,
    /// Whether the curve is there from the start.
    pub(super) shown: bool,
}

/// A short piece of the policy's line.
pub(super) struct Swatch {
    pub(super) hue: usize,
    pub(super) dash: String,
    pub(super) width: String,
}

impl Swatch {
    fn of(style: &Style) -> Self {
        let dash: Vec<_> = style.dash.iter().map(u8::to_string).collect();
        Swatch { hue: style.hue, dash: dash.join(" "), width: format!("{:.1}", f64::from(style.tenths) / 10.0) }
    }
}

pub(super) fn legend(study: &Study) -> Vec<Legend> {
    let rows = study.policies.iter().zip(chart::styles(study)).zip(chart::shown(study));
    let rows = rows.map(|((policy, style), shown)| Legend {
        label: reading::name(policy),
        swatch: Swatch::of(&style),
        shown,
        has_curve: policy.timeline.iter().any(|point| point.rss_bytes.is_some()),
    });
    rows.collect()
}

/// A column's heading with its meaning.
pub(super) struct Heading {
    pub(super) label: &'static str,
    pub(super) doc: &'static str,
}

/// The summary as two tables over the same policies.
pub(super) struct Summary {
    pub(super) baseline: String,
    pub(super) memory: Vec<Heading>,
    pub(super) calls: Vec<Heading>,
    pub(super) rows: Vec<Row>,
}

/// A policy's cells, in the order of the headings.
pub(super) struct Row {
    pub(super) policy: String,
    pub(super) origin: String,
    pub(super) is_model: bool,
    pub(super) swatch: Swatch,
    pub(super) interval: Option<Interval>,
    pub(super) memory: Vec<Cell>,
    /// The kernel's time, split by what it was spent for.
    pub(super) work: Vec<Piece>,
    /// Whether its bar is longer than there is room.
    pub(super) is_cut: bool,
    pub(super) calls: Vec<Cell>,
}

/// The peak on a common axis, in percent of its length.
pub(super) struct Interval {
    pub(super) at: String,
    pub(super) low: String,
    pub(super) span: String,
    pub(super) reference: Option<String>,
}

type Get = fn(&PolicyResult) -> Option<u64>;

/// A shown column: which one, its value, and its low and high reading.
struct Shown {
    column: &'static str,
    get: Get,
    range: Option<(Get, Get)>,
}

const fn shown(column: &'static str, get: Get) -> Shown {
    Shown { column, get, range: None }
}

const MEMORY: [Shown; 5] = [
    Shown { column: "peak_rss_bytes", get: |p| p.peak_rss_bytes, range: Some((|p| p.peak_rss_low_bytes, |p| p.peak_rss_high_bytes)) },
    shown("mean_rss_bytes", |p| p.mean_rss_bytes),
    shown("final_rss_bytes", |p| p.final_rss_bytes),
    shown("peak_live_bytes", |p| p.peak_live_bytes),
    shown("peak_mapped_bytes", |p| p.peak_mapped_bytes),
];

/// Only these are compared with the baseline; the self-check says nothing about the others.
const COMPARED: [&str; 3] = ["peak_rss_bytes", "mean_rss_bytes", "minor_faults"];

const FAULTS: [Shown; 2] = [
    Shown { column: "minor_faults", get: |p| p.minor_faults, range: Some((|p| p.minor_faults_low, |p| p.minor_faults_high)) },
    shown("returned_bytes", |p| p.returned_bytes),
];

const CALLS: [Shown; 6] = [
    shown("brk_calls", |p| p.brk_calls),
    shown("mmap_calls", |p| p.mmap_calls),
    shown("munmap_calls", |p| p.munmap_calls),
    shown("mremap_calls", |p| p.mremap_calls),
    shown("madvise_calls", |p| p.madvise_calls),
    shown("major_faults", |p| p.major_faults),
];

impl Summary {
    pub(super) fn of(study: &Study, check: &SelfCheck) -> Self {
        let base = reading::baseline(study);
        let longest = study.policies.iter().flat_map(|p| [p.peak_rss_bytes, p.peak_rss_high_bytes]).flatten().max();
        // Bounds may take a hundred times as long as all others: theirs are cut.
        let time = |policy| reading::kernel_time(study, policy).unwrap_or(0);
        let slowest = study.policies.iter().filter(|row| !reading::is_bound(study, row)).map(time).max().unwrap_or(0);
        let rows = study.policies.iter().zip(chart::styles(study)).map(|(policy, style)| Row {
            policy: reading::name(policy),
            origin: origin(study, policy),
            is_model: !reading::is_truth(study, policy),
            swatch: Swatch::of(&style),
            interval: longest.and_then(|longest| Interval::of(policy, base, longest)),
            memory: MEMORY.iter().map(|shown| cell(shown, policy, base, check, reading::is_truth(study, policy))).collect(),
            work: work(study, policy, slowest),
            is_cut: time(policy) > slowest,
            calls: calls(study, policy, base, check),
        });
        Summary {
            baseline: base.map_or_else(String::new, |base| base.policy.clone()),
            memory: headings(&MEMORY),
            calls: call_headings(),
            rows: rows.collect(),
        }
    }
}

fn origin(study: &Study, policy: &PolicyResult) -> String {
    match (policy.policy.as_str(), policy.source.as_str()) {
        ("measured", _) => "counted by the kernel".into(),
        ("recorded", _) => "recorded placements, replayed".into(),
        (_, "replayed") => "counted by the kernel".into(),
        (_, "") => "source unknown".into(),
        (_, source) => match reading::against_library(study, policy) {
            Some(differences) => format!("{source}; against its library: {differences}"),
            None => source.to_owned(),
        },
    }
}

fn declared(name: &str) -> Option<&'static Column> {
    tables::table("summary").and_then(|table| table.column(name))
}

fn headings(columns: &[Shown]) -> Vec<Heading> {
    let found = columns.iter().filter_map(|shown| declared(shown.column));
    found.map(|column| Heading { label: column.label, doc: column.doc }).collect()
}

fn call_headings() -> Vec<Heading> {
    let all = Heading { label: "All calls", doc: "brk, mmap, munmap, mremap and madvise together." };
    let time = declared("kernel_time_ns").map(|column| Heading { label: column.label, doc: column.doc });
    time.into_iter().chain(headings(&FAULTS)).chain([all]).chain(headings(&CALLS)).collect()
}

fn calls(study: &Study, policy: &PolicyResult, base: Option<&PolicyResult>, check: &SelfCheck) -> Vec<Cell> {
    let time = Cell::of(reading::kernel_time(study, policy), Unit::Nanos);
    let faults = FAULTS.iter().map(|shown| cell(shown, policy, base, check, reading::is_truth(study, policy)));
    let all = Cell::of(reading::syscalls(policy), Unit::Count);
    let kinds = CALLS.iter().map(|shown| Cell::of((shown.get)(policy), Unit::Count));
    std::iter::once(time).chain(faults).chain([all]).chain(kinds).collect()
}

/// A piece of a bar.
pub(super) struct Piece {
    pub(super) class: &'static str,
    /// Percent of the longest.
    pub(super) width: String,
    pub(super) tip: String,
}

fn work(study: &Study, policy: &PolicyResult, slowest: u64) -> Vec<Piece> {
    const KINDS: [(&str, &str); 3] =
        [("work-faults", "page faults"), ("work-calls", "system calls"), ("work-returned", "giving pages back")];
    let parts = reading::kernel_work(study, policy).unwrap_or_default();
    let pieces = KINDS.into_iter().zip(parts).filter(|(_, time)| *time > 0).map(|((class, name), time)| Piece {
        class,
        width: format!("{:.2}", (100.0 * time as f64 / slowest.max(1) as f64).min(100.0)),
        tip: format!("{name}: {}", words::duration(time)),
    });
    pieces.collect()
}

fn cell(shown: &Shown, policy: &PolicyResult, base: Option<&PolicyResult>, check: &SelfCheck, is_truth: bool) -> Cell {
    let unit = declared(shown.column).map_or(Unit::Count, |column| column.unit);
    let mut cell = Cell::of((shown.get)(policy), unit);
    if COMPARED.contains(&shown.column) {
        let margin = if unit == Unit::Bytes { check.peak_margin() } else { check.faults_margin() };
        cell.delta = base.filter(|base| !std::ptr::eq(*base, policy)).and_then(|base| {
            let share = reading::difference((shown.get)(policy), (shown.get)(base))?;
            let between = shown.range.is_some_and(|(low, high)| (low(policy)..=high(policy)).contains(&(shown.get)(base)));
            Some(delta(share, margin, !is_truth, between))
        });
    }
    cell.range = shown.range.and_then(|(low, high)| range(low(policy), high(policy), unit));
    cell
}

/// A model's difference within the self-check's error is a tie, and so is one whose readings lie on both sides; the replay's own difference *is* that
/// error.
fn delta(share: f64, margin: f64, is_model: bool, between: bool) -> (String, &'static str) {
    let text = words::percent(share);
    match () {
        () if !is_model => (text, "same"),
        () if share.abs() <= margin || between => (format!("{text}, tie"), "same"),
        () if share < 0.0 => (text, "less"),
        () => (text, "more"),
    }
}

fn range(low: Option<u64>, high: Option<u64>, unit: Unit) -> Option<String> {
    match (low?, high?) {
        (low, high) if low == high => None,
        (low, high) if unit == Unit::Bytes => Some(words::byte_range(low, high)),
        (low, high) => Some(format!("{}–{}", words::count(low), words::count(high))),
    }
}

impl Interval {
    fn of(policy: &PolicyResult, base: Option<&PolicyResult>, longest: u64) -> Option<Self> {
        let place = |value: u64| 100.0 * value as f64 / longest.max(1) as f64;
        let at = policy.peak_rss_bytes?;
        let (low, high) = (policy.peak_rss_low_bytes.unwrap_or(at), policy.peak_rss_high_bytes.unwrap_or(at));
        let text = |percent: f64| format!("{percent:.2}");
        let reference = base.and_then(|base| base.peak_rss_bytes).map(|peak| text(place(peak)));
        Some(Interval { at: text(place(at)), low: text(place(low)), span: text((place(high) - place(low)).max(0.0)), reference })
    }

    /// The same for a reader who cannot see it.
    pub(super) fn has_span(&self) -> bool {
        self.span != "0.00"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::UNKNOWN;

    #[test]
    fn every_shown_column_is_declared() {
        assert_eq!(headings(&MEMORY).len(), MEMORY.len());
        assert_eq!(headings(&CALLS).len(), CALLS.len());
        assert_eq!(headings(&FAULTS).len(), FAULTS.len());
        assert!(COMPARED.iter().all(|name| declared(name).is_some()));
    }

    #[test]
    fn an_unknown_value_is_a_dash_without_a_difference() {
        let base = PolicyResult { policy: "measured".into(), peak_rss_bytes: Some(10), ..Default::default() };
        let check = SelfCheck::default();
        let unknown = cell(&MEMORY[0], &PolicyResult { policy: "x".into(), ..Default::default() }, Some(&base), &check, false);
        assert_eq!(unknown.text, UNKNOWN);
        assert!(unknown.delta.is_none() && unknown.range.is_none());
    }

    #[test]
    fn differences_within_the_margin_are_ties() {
        assert_eq!(delta(0.005, 0.01, true, false), ("+0.50 %, tie".into(), "same"));
        assert_eq!(delta(-0.02, 0.01, true, false).1, "less");
        assert_eq!(delta(0.02, 0.01, true, false).1, "more");
        assert_eq!(delta(0.02, 0.01, true, true).0, "+2.0 %, tie");
        assert_eq!(delta(0.02, 0.01, false, false).1, "same");
    }
}
