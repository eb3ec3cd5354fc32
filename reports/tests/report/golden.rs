//! A small study's files, compared byte by byte. `BLESS=1 cargo test -p reports` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use reports::study::Study;

use crate::made_up;

/// The page without its styles and scripts: they are the same in every page, and have files and tests of their own.
fn without_assets(page: &str) -> String {
    without(&without(page, "<style>", "</style>\n"), "<script>", "</script>\n")
}

fn without(text: &str, begin: &str, end: &str) -> String {
    let mut parts = text.split(begin);
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once(end).unwrap().1).collect::<String>()
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn compare(name: &str, found: &str) {
    let path = data().join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 makes it", path.display()));
    let line = wanted.lines().zip(found.lines()).position(|(wanted, found)| wanted != found);
    assert!(wanted == found, "{name} differs from line {} on; BLESS=1 accepts it", line.map_or(0, |line| line + 1));
}

#[test]
fn files_are_as_they_were() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden");
    reports::write(&dir, &made_up::study(12)).unwrap();
    for name in reports::file_names() {
        let text = fs::read_to_string(dir.join(&name)).unwrap();
        let text = if name.ends_with(".html") { without_assets(&text) } else { text };
        compare(&name, &text);
    }
}

#[test]
fn terminal_is_as_it_was() {
    for width in [80, 160] {
        compare(&format!("terminal-{width}.txt"), &reports::terminal(&made_up::study(12), width));
    }
}

#[test]
fn study_json_reads_back() {
    let study = made_up::study(12);
    let text = serde_json::to_string(&study).unwrap();
    assert_eq!(serde_json::from_str::<Study>(&text).unwrap(), study);
    let stored: Study = serde_json::from_slice(&fs::read(data().join("study.json")).unwrap()).unwrap();
    assert_eq!(stored, study);
}

#[test]
fn csv_numbers_read_back() {
    let study = made_up::study(12);
    let table = reports::tables::table("timeline").unwrap();
    let text = String::from_utf8(reports::csv::text(table, &study).unwrap()).unwrap();
    let points = study.policies.iter().flat_map(|policy| &policy.timeline);
    let mut rows = 0;
    for (line, point) in text.lines().skip(1).zip(points) {
        // Policies of this study may hold commas, numbers do not: read from the right, past the readings and the source.
        let cells: Vec<_> = line.rsplit(',').skip(3).take(6).map(|cell| cell.parse::<u64>().ok()).collect();
        let wanted = [point.returned_bytes, point.minor_faults, point.mapped_bytes, point.live_bytes, point.rss_bytes, Some(point.time_ns)];
        assert_eq!(cells, wanted);
        rows += 1;
    }
    assert_eq!(rows, 12 * study.policies.len());
}
