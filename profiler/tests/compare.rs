//! `diff` and `check`: what they print, and their exit codes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::golden::stored;
use crate::support::{Folder, Said, heapcast, said};

/// A report of the stored trace.
fn report(folder: &Folder, trace: &str) -> PathBuf {
    let report = folder.join(&format!("{trace}.report"));
    said(heapcast(&["replay", "-q", "--policy", "brk-only", "-o"]).arg(&report).arg(stored(trace))).exits(0);
    report
}

fn check(study: &Path, words: &[&str]) -> Said {
    said(heapcast(&["check", "-q"]).args(words).arg(study))
}

#[test]
fn a_study_differs_from_itself_in_nothing() {
    let folder = Folder::new("diff-same");
    let report = report(&folder, "sqlite3");
    let text = said(heapcast(&["diff"]).args([&report, &report])).exits(0).out;
    assert!(text.contains("Peak RSS, measured: 7.95 MiB before and after."), "{text}");
    let same = said(heapcast(&["diff", "--json"]).args([&report, &report.join("study.json")])).exits(0).out;
    let diff: Value = serde_json::from_str(&same).expect("JSON");
    let rows = diff["rows"].as_array().expect("rows");
    assert!(rows.len() >= 4 * 17 && rows.iter().all(|row| row["before"] == row["after"]), "{} rows", rows.len());
}

/// The trace is replayed against what was asked for, so that both have it.
#[test]
fn a_trace_is_replayed_before_it_is_compared() {
    let folder = Folder::new("diff-trace");
    let report = report(&folder, "sqlite3");
    let compared = said(heapcast(&["diff", "-q", "--policy", "brk-only", "--json"]).args([&report, &stored("sqlite3")])).exits(0);
    let diff: Value = serde_json::from_str(&compared.out).expect("JSON");
    assert_eq!(diff["unmatched"], Value::Array(Vec::new()));
    let other = said(heapcast(&["diff", "-q", "--policy", "brk-only"]).args([&report, &stored("each_call")])).exits(0).out;
    assert!(other.contains("different commands") && other.contains("less (−"), "{other}");
}

#[test]
fn limits_decide_the_exit_code() {
    let folder = Folder::new("check");
    let report = report(&folder, "sqlite3");
    let kept = check(&report, &["--max-peak-rss", "8M", "--max-syscalls", "69", "--max-lost", "0", "--max-error", "0.5"]).exits(0);
    assert!(kept.err.is_empty() && kept.out.matches("kept").count() == 4, "{}", kept.out);
    let broken = check(&report, &["--max-peak-rss", "7M", "--max-minor-faults", "2000", "--policy", "measured", "--policy", "brk-only"]);
    let broken = broken.exits(1);
    assert!(broken.err.contains("2 limits are not kept"), "{}", broken.err);
    assert_eq!((broken.out.matches("FAILED").count(), broken.out.matches("kept").count()), (2, 2), "{}", broken.out);
    let json = check(&report, &["--max-peak-rss", "7M", "--json"]).exits(1).out;
    let findings: Value = serde_json::from_str(&json).expect("JSON");
    let study: Value = serde_json::from_slice(&std::fs::read(report.join("study.json")).expect("a study")).expect("JSON");
    assert_eq!((&findings[0]["kept"], &findings[0]["value"]), (&Value::Bool(false), &study["policies"][0]["peak_rss_bytes"]));
}

/// What is not known is not kept: nobody measured what was returned, or any model's major faults.
#[test]
fn a_trace_can_be_checked_against_a_model() {
    let said = check(&stored("sqlite3"), &["--policy", "mmap-only", "--max-syscalls", "1000"]).exits(1);
    assert!(said.out.contains("mmap-only system calls"), "{}", said.out);
    check(&stored("sqlite3"), &["--policy", "glibc", "--max-peak-rss", "8M"]).exits(0);
}

#[test]
fn what_cannot_be_checked_is_named() {
    let folder = Folder::new("check-refused");
    let report = report(&folder, "each_call");
    check(&report, &[]).exits(2);
    let unknown = check(&report, &["--policy", "jemalloc", "--max-peak-rss", "1G"]).exits(2).err;
    assert!(unknown.contains("jemalloc") && unknown.contains("brk-only") && unknown.contains("heapcast replay"), "{unknown}");
    let neither = check(folder.path(), &["--max-lost", "0"]).exits(6).err;
    assert!(neither.contains("study.json") && neither.contains("events.arrow"), "{neither}");
    let file = folder.join("study.json");
    std::fs::write(&file, "{\"version\": 99}").expect("a file");
    let later = check(&file, &["--max-lost", "0"]).exits(6).err;
    assert!(later.contains("version 99") && later.contains("heapcast replay"), "{later}");
    std::fs::write(&file, "no JSON").expect("a file");
    assert!(check(&file, &["--max-lost", "0"]).exits(6).err.contains("no study of heapcast"));
}
