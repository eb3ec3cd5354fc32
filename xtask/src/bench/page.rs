//! How large the report is and how soon a browser shows it: of traces, and of twenty models with ten thousand points each.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::figures::Table;
use super::{Bench, replay};
use crate::command::{self, cargo, root};

/// The table of this subject: the largest stored trace, and the largest that this benchmark records.
pub(super) fn table(bench: &Bench) -> Result<String, String> {
    let stored = largest(&root().join("profiler/tests/data")).ok_or("no trace is stored")?;
    let traces = [stored, replay::largest(bench)?];
    let pages = traces.iter().map(|trace| page(bench, trace)).collect::<Result<Vec<_>, _>>()?;
    let mut test = cargo("test --package reports --test report --locked -- --exact --nocapture timings::large_pages_open_and_are_timed");
    let output = test.env("HEAPCAST_PAGES", pages.join(";")).output().map_err(|error| format!("cannot run cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut table = Table::new(&["page of", "size", "first paint", "all charts", "a move of the cross-hair", "a zoom"]);
    let rows: Vec<_> = text.lines().filter_map(row).collect();
    rows.iter().for_each(|cells| table.row(cells));
    if rows.is_empty() { Err("no Chromium here".to_owned()) } else { Ok(format!("Headless Chromium, median of five.\n\n{}", table.text())) }
}

/// Replays a trace. Answers with its name and its page as the test takes them.
fn page(bench: &Bench, trace: &Path) -> Result<String, String> {
    let name = trace.file_stem().unwrap_or_default().to_string_lossy();
    let out = bench.folder.join(format!("page-{name}"));
    let mut replay = Command::new(&bench.heapcast);
    command::run(replay.args(["replay", "--quiet", "--force"]).arg(trace).arg("-o").arg(&out).stdout(Stdio::null()))?;
    Ok(format!("{name} ({} events)={}", replay::events(trace)?, out.join("report.html").display()))
}

/// A line of the test: name, bytes, and milliseconds.
fn row(line: &str) -> Option<[String; 6]> {
    let cells: Vec<&str> = line.split_once("page of ")?.1.split('\t').collect();
    let [name, bytes, times @ ..] = &cells[..] else { return None };
    let kib = format!("{} KiB", bytes.parse::<u64>().ok()? / 1024);
    let [paint, loaded, cursor, redraw] = <[&str; 4]>::try_from(times).ok()?.map(|time| format!("{time} ms"));
    Some([(*name).to_owned(), kib, paint, loaded, cursor, redraw])
}

/// The folder with the largest events.
fn largest(data: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(data).ok()?.flatten().map(|entry| entry.path());
    let sized = folders.filter_map(|folder| Some((std::fs::metadata(folder.join("events.arrow")).ok()?.len(), folder)));
    sized.max().map(|found| found.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_test_is_read() {
        let line = "test timings::large_pages_open_and_are_timed ... page of x\t2048\t30\t90\t0.2\t5.0";
        assert_eq!(row(line), Some(["x", "2 KiB", "30 ms", "90 ms", "0.2 ms", "5.0 ms"].map(str::to_owned)));
        assert_eq!(row("running 1 test"), None);
    }
}
