//! Limits that a study must keep, for continuous integration.

use serde::Serialize;

use crate::reading::{self, SelfCheck};
use crate::study::{PolicyResult, Study};
use crate::tables::{self, Unit, Values};
use crate::text::{self, Column};
use crate::words::{self, UNKNOWN};

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A column of `summary.csv`, of each policy that is checked.
    Summary(&'static str),
    /// Calls into the kernel for memory, of each policy that is checked.
    Syscalls,
    /// Lost events of the recording.
    LostEvents,
    /// Error of the self-check against the measured peak, in millionths.
    SelfCheckPpm,
}

/// The highest value that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of what.
    pub what: What,
    /// The value itself is allowed.
    pub most: u64,
}

/// How one limit came out; written as it is by `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The policy; empty for limits of the recording.
    pub policy: String,
    /// A column of `summary.csv`, `syscalls`, `lost_events` or `self_check_ppm` (millionths).
    pub metric: &'static str,
    /// What the study says; null if unknown.
    pub value: Option<u64>,
    /// The value's lowest reading, where there is one.
    pub low: Option<u64>,
    /// The value's highest reading, where there is one.
    pub high: Option<u64>,
    /// The highest value that is allowed.
    pub most: u64,
    /// Whether it is kept. What is unknown is not.
    pub kept: bool,
    /// Whether the lowest and the highest reading lie on different sides of the limit.
    pub uncertain: bool,
}

/// A policy that the study does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchPolicy {
    /// What was asked for.
    pub policy: String,
    /// What there is.
    pub known: Vec<String>,
}

/// Compares a study with limits, those of policies for each of `policies`.
///
/// # Errors
/// A policy that is not in the study.
pub fn check(study: &Study, policies: &[String], limits: &[Limit]) -> Result<Vec<Finding>, NoSuchPolicy> {
    let rows = policies.iter().map(|policy| find(study, policy)).collect::<Result<Vec<_>, _>>()?;
    let mut findings = Vec::new();
    for limit in limits {
        match limit.what {
            What::Summary(column) => findings.extend(rows.iter().map(|row| summary(study, row, column, limit.most))),
            What::Syscalls => findings.extend(rows.iter().map(|row| {
                let value = reading::syscalls(row);
                finding(reading::name(row), "syscalls", value, [value, value], limit.most)
            })),
            What::LostEvents => {
                let lost = Some(reading::total(&study.recording.lost));
                findings.push(finding(String::new(), "lost_events", lost, [lost, lost], limit.most));
            }
            What::SelfCheckPpm => {
                let error = SelfCheck::of(study).peak.map(|check| (check.error.abs() * 1e6).round() as u64);
                findings.push(finding(String::new(), "self_check_ppm", error, [error, error], limit.most));
            }
        }
    }
    Ok(findings)
}

/// The row of that name. The model of the allocator that ran answers to its name without the version as well.
fn find<'a>(study: &'a Study, policy: &str) -> Result<&'a PolicyResult, NoSuchPolicy> {
    let ran = || reading::row(study, reading::checked(study)).filter(|row| row.policy.split(['@', ':']).next() == Some(policy));
    let named = study.policies.iter().find(|row| row.policy == policy || reading::name(row) == policy);
    named.or_else(ran).ok_or_else(|| NoSuchPolicy { policy: policy.to_owned(), known: study.policies.iter().map(reading::name).collect() })
}

fn summary(study: &Study, row: &PolicyResult, column: &'static str, most: u64) -> Finding {
    let at = study.policies.iter().position(|other| std::ptr::eq(other, row)).unwrap_or_default();
    let value = |column: &str| match tables::table("summary").and_then(|table| table.column(column)).map(|column| (column.values)(study)) {
        Some(Values::Integer(values)) => values[at],
        _ => None,
    };
    let readings = match column {
        "peak_rss_bytes" => [value("peak_rss_low_bytes"), value("peak_rss_high_bytes")],
        "minor_faults" => [value("minor_faults_low"), value("minor_faults_high")],
        _ => [value(column), value(column)],
    };
    finding(reading::name(row), column, value(column), readings, most)
}

fn finding(policy: String, metric: &'static str, value: Option<u64>, [low, high]: [Option<u64>; 2], most: u64) -> Finding {
    let uncertain = low.zip(high).is_some_and(|(low, high)| low <= most && high > most);
    Finding { policy, metric, value, low, high, most, kept: value.is_some_and(|value| value <= most), uncertain }
}

/// The findings for a terminal of `width` columns. Ends with a line feed.
pub fn text(findings: &[Finding], width: usize) -> String {
    let column = |heading: &str, dispensable, cell: &dyn Fn(&Finding) -> String| Column {
        heading: heading.into(),
        cells: findings.iter().map(cell).collect(),
        dispensable,
    };
    let shown = |finding: &Finding, value: Option<u64>| value.map_or(UNKNOWN.to_owned(), |value| quantity(finding.metric, value));
    let columns = vec![
        column("limit", 0, &|finding| format!("{} {}", text::printable(&finding.policy), label(finding.metric)).trim_start().to_owned()),
        column("at most", 0, &|finding| shown(finding, Some(finding.most))),
        column("found", 0, &|finding| shown(finding, finding.value)),
        column("low–high", 1, &|finding| match (finding.low, finding.high) {
            (Some(low), Some(high)) if low != high => format!("{} – {}", shown(finding, Some(low)), shown(finding, Some(high))),
            _ => String::new(),
        }),
        column("", 0, &|finding| verdict(finding).to_owned()),
    ];
    text::table(columns, width)
}

fn verdict(finding: &Finding) -> &'static str {
    match (finding.value, finding.kept, finding.uncertain) {
        (None, _, _) => "FAILED: unknown",
        (_, true, false) => "kept",
        (_, true, true) => "kept, not certainly",
        (_, false, true) => "FAILED, not certainly",
        (_, false, false) => "FAILED",
    }
}

fn label(metric: &str) -> &str {
    match metric {
        "syscalls" => "system calls",
        "lost_events" => "lost events",
        "self_check_ppm" => "self-check error",
        other => tables::metric(other).0,
    }
}

fn quantity(metric: &str, value: u64) -> String {
    match (metric, tables::metric(metric).1) {
        ("self_check_ppm", _) => words::share(value as f64 / 1e6),
        (_, Unit::Bytes) => words::bytes(value),
        _ => words::count(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::KindCount;

    const MIB: u64 = 1 << 20;

    fn study() -> Study {
        let row = |policy: &str, [low, peak, high]: [u64; 3]| PolicyResult {
            policy: policy.into(),
            source: "simulated".into(),
            peak_rss_bytes: Some(peak * MIB),
            peak_rss_low_bytes: Some(low * MIB),
            peak_rss_high_bytes: Some(high * MIB),
            ..Default::default()
        };
        Study {
            policies: vec![row("measured", [100; 3]), row("recorded", [99; 3]), row("glibc@2.36", [90, 98, 110])],
            checked: "glibc@2.36".into(),
            ..Default::default()
        }
    }

    fn one(study: &Study, policy: &str, what: What, most: u64) -> Finding {
        check(study, &[policy.to_owned()], &[Limit { what, most }]).unwrap().remove(0)
    }

    #[test]
    fn the_limit_itself_is_kept() {
        let peak = What::Summary("peak_rss_bytes");
        assert!(one(&study(), "measured", peak, 100 * MIB).kept);
        assert!(!one(&study(), "measured", peak, 100 * MIB - 1).kept);
    }

    #[test]
    fn a_limit_between_the_readings_is_uncertain() {
        for (most, kept, uncertain) in [(89, false, false), (95, false, true), (98, true, true), (110, true, false)] {
            let found = one(&study(), "glibc", What::Summary("peak_rss_bytes"), most * MIB);
            assert_eq!((found.kept, found.uncertain), (kept, uncertain), "{most}");
        }
    }

    #[test]
    fn unknown_is_not_kept() {
        let found = one(&study(), "measured", What::Summary("minor_faults"), 5);
        assert!(!found.kept && text(&[found], 100).contains("FAILED: unknown"));
        assert!(!one(&study(), "measured", What::Syscalls, 5).kept);
    }

    #[test]
    fn the_recording_can_be_limited() {
        let mut study = study();
        study.recording.lost = vec![KindCount { name: "free".into(), count: 3 }];
        assert!(!one(&study, "measured", What::LostEvents, 2).kept);
        let error = one(&study, "measured", What::SelfCheckPpm, 20_000);
        assert_eq!((error.value, error.kept), (Some(20_000), true), "98 against 100 MiB");
    }

    #[test]
    fn an_unknown_policy_is_named_with_those_there_are() {
        let error = check(&study(), &["jemalloc".to_owned()], &[]).unwrap_err();
        assert_eq!((error.policy.as_str(), error.known.len()), ("jemalloc", 3));
    }
}
