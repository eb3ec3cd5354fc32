//! How large the report is and how soon a browser shows it: of the largest stored trace, and of twenty models with ten thousand points each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, cargo, root};

/// Lines of what was measured, and its figures.
pub(super) fn figures(heapcast: &Path, folder: &Path) -> Result<Vec<(String, String)>, String> {
    let trace = largest(&root().join("profiler/tests/data")).ok_or("no trace is stored")?;
    let out = folder.join("page");
    command::run(Command::new(heapcast).args(["replay", "--quiet", "--force"]).arg(&trace).arg("-o").arg(&out))?;
    let name = trace.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut test = cargo("test --package reports --test report --locked -- --exact --nocapture timings::large_pages_open_and_are_timed");
    test.env("HEAPCAST_PAGES", format!("{name}={}", out.join("report.html").display()));
    let output = test.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    }
    let rows: Vec<_> = text.lines().filter_map(row).collect();
    Ok(if rows.is_empty() { vec![("report in a browser".into(), "skipped: no Chromium here".into())] } else { rows })
}

/// A line of the test: name, bytes, and milliseconds.
fn row(line: &str) -> Option<(String, String)> {
    let at = line.find("page of ")?;
    let cells: Vec<&str> = line[at..].split('\t').collect();
    let [name, bytes, paint, loaded, cursor, redraw] = cells[..] else { return None };
    let kib = bytes.parse::<u64>().ok()? / 1024;
    let told =
        format!("{kib} KiB, first paint {paint} ms, all charts {loaded} ms, a move of the cross-hair {cursor} ms, a zoom {redraw} ms");
    Some((name.to_owned(), told))
}

/// The folder with the largest events.
fn largest(data: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(data).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let sized = folders.filter_map(|folder| Some((fs::metadata(folder.join("events.arrow")).ok()?.len(), folder)));
    sized.max().map(|found| found.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_test_is_read() {
        let line = "test timings::large_pages_open_and_are_timed ... page of x\t2048\t30\t90\t0.2\t5.0";
        let told = "2 KiB, first paint 30 ms, all charts 90 ms, a move of the cross-hair 0.2 ms, a zoom 5.0 ms";
        assert_eq!(row(line), Some(("page of x".into(), told.into())));
        assert_eq!(row("running 1 test"), None);
    }
}
