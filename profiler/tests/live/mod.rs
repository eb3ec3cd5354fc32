//! Recordings made here and now, which takes root and eBPF; where they are missing each test says so and passes.

mod allocators;
mod attached;
mod call_sites;
mod counts;
mod endings;
mod faithful;
mod flood;
mod kernel_rules;
mod ledger;
mod left_alone;
mod libraries;
mod losses;
mod modes;
mod outputs;
mod overhead;
mod pauses;
mod places;
mod privileges;
mod real;
mod redis;
mod running;
mod several;
mod unusual;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use profiler::capture::permission;

pub(crate) use running::ready;

use crate::support::{Folder, Said, Trace, heapcast, said};

/// Recordings run one after the other: attaching and detaching is the kernel's work, and it does that one at a time anyway.
static ONE: Mutex<()> = Mutex::new(());

/// Whether recordings can be made here; the value is held while one is made.
pub(crate) fn possible() -> Option<MutexGuard<'static, ()>> {
    match permission::check() {
        Ok(()) => Some(ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

/// Whether this program is installed; if not, says that the test is skipped.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = program.starts_with('/') && Path::new(program).is_file();
    let found = found || std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        println!("skipped: there is no {program} here");
    }
    found
}

/// `heapcast record -q` into a folder, with every change of the resident set, and without the program's output.
pub(crate) fn recorder(trace: &Path, options: &[&str]) -> Command {
    let mut command = heapcast(&["record", "--quiet", "--rss-step", "4K", "--output"]);
    command.arg(trace).args(options);
    command
}

/// Records a program to its end.
#[track_caller]
pub(crate) fn record(folder: &Folder, program: &mut Command) -> (Said, Trace) {
    record_with(folder, &[], program)
}

/// The same with options.
#[track_caller]
pub(crate) fn record_with(folder: &Folder, options: &[&str], program: &mut Command) -> (Said, Trace) {
    let trace = folder.join("trace");
    // Where the break begins decides how often it is moved: addresses that are not random make two runs alike.
    let mut heapcast = recorder(&trace, &["--force"]);
    heapcast.args(options).arg("--");
    let mut command = Command::new("setarch");
    command.arg("-R").arg(heapcast.get_program()).args(heapcast.get_args());
    command.arg(program.get_program()).args(program.get_args()).stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        command.env(name, value.expect("variables are only set"));
    }
    if let Some(place) = program.get_current_dir() {
        command.current_dir(place);
    }
    let said = said(&mut command).exits(0);
    (said, Trace::open(&trace))
}

/// Numbers by column.
pub(crate) type Row = HashMap<String, u64>;

/// The rows of a replay's `summary.csv` by policy: cells by column.
pub(crate) fn replayed(folder: &Folder, process: Option<&str>) -> HashMap<String, Row> {
    let report = folder.join("report");
    let mut command = heapcast(&["replay", "--quiet", "--force", "--policy", "recorded"]);
    command.args(process.map(|process| ["--process", process]).unwrap_or_default().iter().filter(|word| !word.is_empty()));
    said(command.arg(folder.join("trace")).arg("-o").arg(&report)).exits(0);
    summary(&report.join("summary.csv"))
}

/// The rows of a `summary.csv` by policy.
pub(crate) fn summary(file: &Path) -> HashMap<String, Row> {
    let text = std::fs::read_to_string(file).expect("a summary");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let numbers = names.iter().zip(&cells).filter_map(|(name, cell)| Some(((*name).to_owned(), cell.parse().ok()?)));
        (cells[0].to_owned(), numbers.collect())
    };
    lines.map(row).collect()
}

/// A difference as a share of the true value.
pub(crate) fn error(found: u64, truth: u64) -> f64 {
    (found as f64 - truth as f64) / truth.max(1) as f64
}
