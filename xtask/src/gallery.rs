//! `reports/gallery`: the reports of the stored traces, which are also what the golden tests expect.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;

/// What a folder of the gallery does not hold: the values of the tables once more, in many more bytes.
const LEFT_OUT: &str = "study.json";

/// Replays every stored trace into its folder of the gallery.
pub(crate) fn run() -> Result<(), String> {
    command::run(&mut command::cargo("build --package profiler --bin heapcast --locked"))?;
    let traces = traces(&command::root().join("profiler/tests/data"))?;
    traces.iter().try_for_each(|trace| replay(trace))?;
    println!("{} reports made", traces.len());
    Ok(())
}

/// The tables, the page, and what a terminal shows.
fn replay(trace: &Path) -> Result<(), String> {
    let gallery = command::root().join("reports/gallery").join(trace.file_name().unwrap_or_default());
    let mut replay = Command::new(target().join("debug/heapcast"));
    replay.args(["replay", "--quiet", "--force"]).arg(trace).arg("-o").arg(&gallery).stderr(Stdio::inherit());
    let output = replay.output().map_err(|error| format!("cannot run heapcast: {error}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}", trace.display(), output.status));
    }
    let shown = std::fs::write(gallery.join("terminal.txt"), output.stdout);
    shown.and_then(|()| std::fs::remove_file(gallery.join(LEFT_OUT))).map_err(|error| format!("{}: {error}", gallery.display()))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| command::root().join("target"), |dir| command::root().join(dir))
}

/// The folders in `data` that hold a trace, by name.
fn traces(data: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(data).map_err(|error| format!("{}: {error}", data.display()))?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut traces: Vec<PathBuf> = folders.filter(|folder| folder.join("events.arrow").is_file()).collect();
    traces.sort();
    Ok(traces)
}
