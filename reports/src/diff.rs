//! Two studies side by side: before a change and after it.

use serde::Serialize;

use crate::reading::{self, SelfCheck};
use crate::study::{PolicyResult, SizeRow, Study};
use crate::tables::{self, Unit, Values};
use crate::text::{self, Column, NARROWEST, printable, wrapped};
use crate::words::{self, UNKNOWN};

/// Size classes that are shown.
const CLASSES: usize = 5;

/// What differs between two studies; written as it is by `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// The program as it was recorded first.
    pub before: Side,
    /// The same after the change.
    pub after: Side,
    /// Every number of `summary.csv` for each policy that both have, in the order of the first.
    pub rows: Vec<Row>,
    /// Policies that only one of them has.
    pub unmatched: Vec<Unmatched>,
    /// Requests by size class, where they differ.
    pub sizes: Vec<SizeChange>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Its command line.
    pub command: Vec<String>,
    /// Kernel process id.
    pub pid: u32,
    /// Length of its recording.
    pub duration_ns: u64,
    /// Events that were lost.
    pub lost_events: u64,
    /// Error of the self-check, a share of the measured peak; null if unknown.
    pub peak_error: Option<f64>,
    /// The same for minor faults.
    pub faults_error: Option<f64>,
}

/// One number of one policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The policy.
    pub policy: String,
    /// `measured`, `simulated` or `replayed`.
    pub source: String,
    /// Column of `summary.csv`.
    pub metric: &'static str,
    /// What it was; null is unknown.
    pub before: Option<u64>,
    /// What it is.
    pub after: Option<u64>,
    /// (after − before) / before; null if that is no number.
    pub change: Option<f64>,
    /// Whether a simulated figure changed by no more than the two self-checks are off: then nothing is known to have changed.
    pub tie: bool,
}

/// A policy without a counterpart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unmatched {
    /// The policy.
    pub policy: String,
    /// `before` or `after`.
    pub only: &'static str,
}

/// Requests of a size class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeChange {
    /// Smallest size of the class.
    pub from_bytes: u64,
    /// Largest size of the class.
    pub to_bytes: u64,
    /// Requests.
    pub requests: [u64; 2],
    /// Requested bytes that were live when the program's live bytes peaked.
    pub live_at_peak_bytes: [u64; 2],
}

impl Diff {
    /// Compares.
    pub fn of(before: &Study, after: &Study) -> Diff {
        let margins = [margin(before, after, SelfCheck::peak_margin), margin(before, after, SelfCheck::faults_margin)];
        let pairs: Vec<(usize, usize)> =
            (0..before.policies.len()).filter_map(|at| Some((at, counterpart(after, &before.policies[at])?))).collect();
        let columns: Vec<_> = tables::table("summary").into_iter().flat_map(|table| table.columns).collect();
        let numbers = columns.iter().filter_map(|column| match ((column.values)(before), (column.values)(after)) {
            (Values::Integer(before), Values::Integer(after)) => Some((column, before, after)),
            _ => None,
        });
        let numbers: Vec<_> = numbers.collect();
        let row = |&(one, other): &(usize, usize)| {
            let PolicyResult { policy, source, .. } = &before.policies[one];
            let rows = numbers.iter().map(|(column, olds, news)| {
                let (before, after) = (olds[one], news[other]);
                let change = reading::difference(after, before);
                let margin = margins[usize::from(column.unit == Unit::Count)];
                let tie = source == "simulated" && change.is_some_and(|change| change.abs() <= margin);
                Row { policy: policy.clone(), source: source.clone(), metric: column.name, before, after, change, tie }
            });
            rows.collect::<Vec<_>>()
        };
        Diff {
            before: Side::of(before),
            after: Side::of(after),
            rows: pairs.iter().flat_map(row).collect(),
            unmatched: [unmatched(before, after, "before"), unmatched(after, before, "after")].concat(),
            sizes: sizes(before, after),
        }
    }

    fn row(&self, policy: &str, metric: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.policy == policy && row.metric == metric)
    }
}

impl Side {
    fn of(study: &Study) -> Side {
        let check = SelfCheck::of(study);
        Side {
            command: study.recording.command.clone(),
            pid: study.recording.pid,
            duration_ns: study.recording.duration_ns,
            lost_events: reading::total(&study.recording.lost),
            peak_error: check.peak.map(|check| check.error),
            faults_error: check.faults.map(|check| check.error),
        }
    }
}

/// Both replays may be off, and to different sides.
fn margin(before: &Study, after: &Study, of: fn(&SelfCheck) -> f64) -> f64 {
    of(&SelfCheck::of(before)) + of(&SelfCheck::of(after))
}

/// The model of the allocator that ran has its version in its name, which is just what may have changed.
fn counterpart(study: &Study, policy: &PolicyResult) -> Option<usize> {
    study.policies.iter().position(|other| other.policy == policy.policy && other.source == policy.source)
}

fn unmatched(here: &Study, there: &Study, only: &'static str) -> Vec<Unmatched> {
    let alone = here.policies.iter().filter(|policy| counterpart(there, policy).is_none());
    alone.map(|policy| Unmatched { policy: reading::name(policy), only }).collect()
}

fn sizes(before: &Study, after: &Study) -> Vec<SizeChange> {
    let mut classes: Vec<(u64, u64)> = before.sizes.iter().chain(&after.sizes).map(|row| (row.from_bytes, row.to_bytes)).collect();
    classes.sort_unstable();
    classes.dedup();
    let of = |study: &Study, class: (u64, u64), get: fn(&SizeRow) -> u64| {
        study.sizes.iter().filter(|row| (row.from_bytes, row.to_bytes) == class).map(get).sum::<u64>()
    };
    let both = |class, get| [of(before, class, get), of(after, class, get)];
    let changes = classes.into_iter().map(|class| SizeChange {
        from_bytes: class.0,
        to_bytes: class.1,
        requests: both(class, |row| row.count),
        live_at_peak_bytes: both(class, |row| row.live_at_peak_bytes),
    });
    changes.filter(|change| [change.requests, change.live_at_peak_bytes].iter().any(|[old, new]| old != new)).collect()
}

/// The comparison for a terminal of `width` columns. Ends with a line feed.
pub fn text(diff: &Diff, width: usize) -> String {
    let width = width.max(NARROWEST);
    let mut out = String::new();
    for (name, side) in [("before", &diff.before), ("after ", &diff.after)] {
        let command = printable(&side.command.join(" "));
        out += &(text::cut(&format!("{name}  {command}, pid {}, {}", side.pid, words::duration(side.duration_ns)), width) + "\n");
    }
    out += &format!("\n{}", wrapped(&verdict(diff), width));
    out += &format!("\n{}", text::table(policy_columns(diff), width));
    if !diff.sizes.is_empty() {
        out += &format!("\n{}", text::table(size_columns(diff), width));
    }
    notes(diff).iter().for_each(|note| out += &wrapped(note, width));
    out
}

/// What happened to the program itself, in one or two sentences.
fn verdict(diff: &Diff) -> String {
    let Some(peak) = ["measured", "recorded"].iter().find_map(|policy| diff.row(policy, "peak_rss_bytes").filter(|row| known(row))) else {
        return "The peak RSS of one of the two is unknown.".into();
    };
    let live = diff.row(&peak.policy, "peak_live_bytes").filter(|row| known(row));
    let live = live.map_or(String::new(), |row| format!(" The program's live blocks at their peak: {}.", moved(row, words::bytes)));
    format!("Peak RSS, {}: {}.{live}", peak.policy, moved(peak, words::bytes))
}

fn known(row: &Row) -> bool {
    row.before.is_some() && row.after.is_some()
}

/// `29.9 MiB before, 35.1 MiB after, 5.2 MiB more (+17.4 %)`.
fn moved(row: &Row, shown: fn(u64) -> String) -> String {
    let (Some(before), Some(after)) = (row.before, row.after) else { return UNKNOWN.into() };
    let share = row.change.map_or(String::new(), |change| format!(" ({})", words::percent(change)));
    match after.cmp(&before) {
        std::cmp::Ordering::Equal => format!("{} before and after", shown(before)),
        std::cmp::Ordering::Greater => format!("{} before, {} after, {} more{share}", shown(before), shown(after), shown(after - before)),
        std::cmp::Ordering::Less => format!("{} before, {} after, {} less{share}", shown(before), shown(after), shown(before - after)),
    }
}

fn policy_columns(diff: &Diff) -> Vec<Column> {
    let peaks: Vec<&Row> = diff.rows.iter().filter(|row| row.metric == "peak_rss_bytes").collect();
    let name = |row: &&Row| if row.source == "replayed" { format!("{} (real library)", row.policy) } else { row.policy.clone() };
    let mut columns =
        vec![Column { heading: "policy".into(), cells: peaks.iter().map(|row| printable(&name(row))).collect(), dispensable: 0 }];
    for (metric, dispensable) in [("peak_rss_bytes", 0), ("mean_rss_bytes", 3), ("minor_faults", 1), ("returned_bytes", 4)] {
        let rows: Vec<&Row> = diff.rows.iter().filter(|row| row.metric == metric).collect();
        let (label, unit, _) = tables::metric(metric);
        let shown = if unit == Unit::Bytes { words::bytes } else { words::count };
        let value = |value: Option<u64>| value.map_or(UNKNOWN.to_owned(), shown);
        let both = rows.iter().map(|row| format!("{} → {}", value(row.before), value(row.after))).collect();
        columns.push(Column { heading: label.into(), cells: both, dispensable });
        columns.push(Column { heading: "change".into(), cells: rows.iter().map(|row| change(row)).collect(), dispensable });
    }
    columns
}

fn change(row: &Row) -> String {
    let share = row.change.map_or(UNKNOWN.to_owned(), words::percent);
    if row.tie && row.before != row.after { format!("tie {share}") } else { share }
}

fn size_columns(diff: &Diff) -> Vec<Column> {
    let mut classes: Vec<&SizeChange> = diff.sizes.iter().collect();
    // The order of classes decides between equals, so that the same studies give the same text.
    classes.sort_by_key(|class| std::cmp::Reverse(class.live_at_peak_bytes[0].abs_diff(class.live_at_peak_bytes[1])));
    classes.truncate(CLASSES);
    let column = |heading: &str, cell: &dyn Fn(&SizeChange) -> String| Column {
        heading: heading.into(),
        cells: classes.iter().map(|class| cell(class)).collect(),
        dispensable: 0,
    };
    vec![
        column("requested size", &|class| format!("{} – {}", words::round_bytes(class.from_bytes), words::round_bytes(class.to_bytes))),
        column("live at peak", &|class| {
            let [before, after] = class.live_at_peak_bytes.map(words::bytes);
            format!("{before} → {after}")
        }),
        column("requests", &|class| {
            let [before, after] = class.requests.map(words::count);
            format!("{before} → {after}")
        }),
    ]
}

fn notes(diff: &Diff) -> Vec<String> {
    let mut notes = Vec::new();
    if diff.sizes.len() > CLASSES {
        notes.push(format!("{} further size classes differ by less; --json has all.", diff.sizes.len() - CLASSES));
    }
    if diff.before.command != diff.after.command {
        notes.push("Note: the two recordings are of different commands.".into());
    }
    for side in ["before", "after"] {
        let names: Vec<String> = diff.unmatched.iter().filter(|one| one.only == side).map(|one| printable(&one.policy)).collect();
        if !names.is_empty() {
            notes.push(format!("Note: only {side}: {}.", names.join(", ")));
        }
    }
    for (name, side) in [("before", &diff.before), ("after", &diff.after)].iter().filter(|(_, side)| side.lost_events > 0) {
        notes.push(format!(
            "Note: the recording {name} has lost {} events, so that its numbers are uncertain.",
            words::count(side.lost_events)
        ));
    }
    notes.push("Two runs of the same program differ as well; how much is known only from a second recording of each.".into());
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(peak: u64, model: u64) -> Study {
        let row = |policy: &str, source: &str, peak: u64| PolicyResult {
            policy: policy.into(),
            source: source.into(),
            peak_rss_bytes: Some(peak << 20),
            peak_live_bytes: Some(50 << 20),
            ..Default::default()
        };
        let mut study = Study {
            policies: vec![row("measured", "measured", peak), row("recorded", "simulated", 99), row("jemalloc", "simulated", model)],
            ..Default::default()
        };
        study.recording.command = vec!["server".into()];
        study.sizes = vec![SizeRow { from_bytes: 48, to_bytes: 56, count: peak, live_at_peak_bytes: peak << 10, ..Default::default() }];
        study
    }

    #[test]
    fn what_was_measured_is_told_first() {
        let text = text(&Diff::of(&study(100, 200), &study(150, 200)), 120);
        assert!(text.contains("Peak RSS, measured: 100.0 MiB before, 150.0 MiB after, 50.0 MiB more (+50.0 %)."), "{text}");
        assert!(text.contains("50.0 MiB before and after"), "{text}");
        assert!(text.contains("48 B – 56 B") && text.contains("100 → 150"), "{text}");
    }

    #[test]
    fn a_model_that_moves_less_than_the_error_is_a_tie() {
        // The self-checks are off by 1 % and by 34 %.
        let diff = Diff::of(&study(100, 200), &study(150, 220));
        assert!(diff.row("jemalloc", "peak_rss_bytes").unwrap().tie);
        assert!(!diff.row("measured", "peak_rss_bytes").unwrap().tie, "what was measured has no such error");
        assert!(!Diff::of(&study(100, 200), &study(100, 220)).row("jemalloc", "peak_rss_bytes").unwrap().tie);
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        let mut after = study(100, 200);
        after.policies[2].policy = "mimalloc".into();
        after.recording.command = vec!["other".into()];
        let text = text(&Diff::of(&study(100, 200), &after), 200);
        for told in ["only before: jemalloc", "only after: mimalloc", "different commands"] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }

    #[test]
    fn the_same_has_no_difference() {
        let diff = Diff::of(&study(100, 200), &study(100, 200));
        assert!(diff.sizes.is_empty() && diff.unmatched.is_empty());
        assert!(diff.rows.iter().all(|row| row.before == row.after && row.change.is_none_or(|change| change == 0.0)));
    }

    #[test]
    fn an_empty_study_is_no_panic() {
        let text = text(&Diff::of(&Study::default(), &Study::default()), 0);
        assert!(text.contains("unknown"), "{text}");
    }
}
