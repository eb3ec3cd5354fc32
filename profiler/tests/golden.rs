//! Stored traces give the stored reports, cell by cell. `BLESS=1` stores what they give now; `cargo xtask gallery` makes the pages as well.

use std::path::{Path, PathBuf};

use crate::support::{Folder, heapcast, said};

/// What is compared. The page shows the same values, drawn.
const FILES: [&str; 9] =
    ["summary.csv", "timeline.csv", "fidelity.csv", "memory.csv", "pins.csv", "sizes.csv", "lifetimes.csv", "threads.csv", "terminal.txt"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn gallery() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/gallery")
}

/// Names of the stored traces.
pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(data()).expect("the stored traces").map(|entry| entry.expect("an entry"));
    let folders = entries.filter(|entry| entry.path().join("events.arrow").is_file());
    let mut names: Vec<String> = folders.map(|folder| folder.file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

/// A stored trace.
pub(crate) fn stored(name: &str) -> PathBuf {
    data().join(name)
}

/// Replays a stored trace; the table for the terminal is put beside the other results.
fn replay(name: &str, report: &Path) {
    let said = said(heapcast(&["replay", "-q"]).arg(stored(name)).arg("-o").arg(report)).exits(0);
    assert!(said.err.is_empty(), "{}", said.err);
    std::fs::write(report.join("terminal.txt"), said.out).expect("a file for the table");
}

#[test]
fn stored_traces_give_the_stored_reports() {
    let names = names();
    assert!(names.len() >= 3, "{names:?}");
    let folder = Folder::new("golden");
    for name in names {
        let (report, kept) = (folder.join(&name), gallery().join(&name));
        replay(&name, &report);
        for file in FILES {
            let given = std::fs::read_to_string(report.join(file)).expect("a result");
            if std::env::var_os("BLESS").is_some() {
                std::fs::create_dir_all(&kept).expect("a folder in the gallery");
                std::fs::write(kept.join(file), &given).expect("a file in the gallery");
            }
            let expected = std::fs::read_to_string(kept.join(file)).unwrap_or_default();
            let differs = expected.lines().zip(given.lines()).position(|(one, other)| one != other);
            assert!(given == expected, "{name}/{file} differs from the gallery (first in line {differs:?}, from 0); BLESS=1 accepts it");
        }
    }
}

#[test]
fn the_gallery_has_a_page_for_each_trace_and_no_other() {
    let folders = std::fs::read_dir(gallery()).expect("the gallery").map(|entry| entry.expect("an entry").path());
    let mut shown: Vec<String> = folders
        .filter(|folder| folder.join("report.html").is_file())
        .map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    shown.sort();
    assert_eq!(shown, names());
}

#[test]
fn the_same_trace_gives_the_same_bytes() {
    let folder = Folder::new("twice");
    for name in names() {
        let reports = ["first", "second"].map(|round| folder.join(&format!("{name}-{round}")));
        reports.iter().for_each(|report| replay(&name, report));
        for file in FILES.iter().chain(&["study.json", "report.html"]) {
            let [first, second] = reports.each_ref().map(|report| std::fs::read(report.join(file)).expect("a result"));
            assert!(first == second, "{name}/{file}");
        }
    }
}
