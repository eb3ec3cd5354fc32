//! How fast a trace is replayed: stages and models, each on one thread, then a whole `heapcast replay`, its memory, and its use of the CPUs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Bench;
use super::figures::{Table, median};
use super::process::{self, Ended, all_ns};
use crate::command::{self, cargo, find};

/// Million operations per second and thread that every model is to reach.
const GOAL: f64 = 10.0;
const ROUNDS: usize = 3;

const LISTS: &str = "import json; d=[json.dumps({'k': i, 'v': [i]*(i%9)}) for i in range(130000)]; d.sort(); e=[json.loads(s) for s in d]";
/// The same work asks malloc twelve times as often where Python's own arenas are out of the way.
const FEWER: &str = "import json; d=[json.dumps({'k': i, 'v': [i]*(i%9)}) for i in range(30000)]; d.sort(); e=[json.loads(s) for s in d]";
const SQL: &str = "create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<100000) insert into t select x, hex(x*7919) from c;
create index i on t(b); select count(*) from t where b>'8'; delete from t where a%3=0; vacuum;";

/// A trace: its name, then environment, program and arguments of what is recorded.
type Recorded = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// The largest first.
const RECORDED: [Recorded; 3] = [
    ("python3-malloc", &[("PYTHONMALLOC", "malloc")], &["/usr/bin/python3", "-S", "-c", FEWER]),
    ("python3", &[], &["/usr/bin/python3", "-S", "-c", LISTS]),
    ("sqlite3", &[], &["/usr/bin/sqlite3", ":memory:", SQL]),
];

/// The trace with most events that this benchmark records.
pub(super) fn largest(bench: &Bench) -> Result<PathBuf, String> {
    let trace = path(bench, RECORDED[0].0);
    if trace.is_dir() { Ok(trace) } else { record(bench, 0) }
}

/// Events of a trace, by its manifest.
pub(super) fn events(trace: &Path) -> Result<u64, String> {
    let path = trace.join("manifest.json");
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    manifest["counts"]["decoded"].as_u64().ok_or_else(|| format!("{}: it counts nothing", path.display()))
}

fn path(bench: &Bench, name: &str) -> PathBuf {
    bench.folder.join(name).with_extension("trace")
}

fn record(bench: &Bench, which: usize) -> Result<PathBuf, String> {
    let (name, environment, words) = RECORDED[which];
    eprintln!("replay: recording {name}");
    let trace = path(bench, name);
    let mut record = Command::new(&bench.heapcast);
    record.args(["record", "--quiet", "--force", "-o"]).arg(&trace).arg("--").args(words).envs(environment.iter().copied());
    command::run(record.stdout(Stdio::null()))?;
    Ok(trace)
}

/// The tables of this subject.
pub(super) fn tables(bench: &Bench) -> Result<String, String> {
    let there = (0..RECORDED.len()).filter(|&which| Path::new(RECORDED[which].2[0]).exists());
    let traces: Vec<PathBuf> = there.map(|which| record(bench, which)).collect::<Result<_, _>>()?;
    let text = format!("{}\n{}", speeds(&traces)?, whole(bench, &traces)?);
    Ok(text)
}

fn name(trace: &Path) -> String {
    trace.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn speeds(traces: &[PathBuf]) -> Result<String, String> {
    let mut columns = Vec::new();
    for trace in traces {
        eprintln!("replay: timing each stage on {}", name(trace));
        let mut stages = cargo("bench --package profiler --bench replay --locked --");
        let printed = stages.arg(trace).stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
        if !printed.status.success() {
            return Err(format!("the bench of the replay: {}", printed.status));
        }
        let text = String::from_utf8_lossy(&printed.stdout).into_owned();
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        columns.push(lines.map(|(what, figure)| (what.to_owned(), figure.to_owned())).collect::<Vec<_>>());
    }
    let heads: Vec<String> = traces.iter().map(|trace| name(trace)).collect();
    let mut table = Table::new(&[&["million a second, one thread"][..], &heads.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    let mut below = Vec::new();
    for (row, (what, _)) in columns.first().into_iter().flatten().enumerate() {
        let cells: Vec<String> = columns.iter().map(|column| column.get(row).map_or(String::new(), |cell| cell.1.clone())).collect();
        let slow = cells.iter().any(|cell| cell.contains("operations") && number(cell) < GOAL);
        below.extend(slow.then(|| what.strip_prefix("replay of ").unwrap_or(what).to_owned()));
        let cells = cells.iter().map(|cell| cell.replace(" million", "").replace(" per second", ""));
        table.row(&std::iter::once(what.clone()).chain(cells).collect::<Vec<_>>());
    }
    let verdict = if below.is_empty() {
        format!("Every model does {GOAL} million operations a second or more on each trace.")
    } else {
        format!("Below {GOAL} million operations a second on some trace: {}.", below.join(", "))
    };
    Ok(format!(
        "#### Stages and models\n\nCPU time, median of five; three readings, survey, pins and timeline included. {verdict}\n\n{}",
        table.text()
    ))
}

fn number(cell: &str) -> f64 {
    cell.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(f64::INFINITY)
}

/// One `heapcast replay` with its default policies.
struct Whole {
    seconds: f64,
    cpu: f64,
    peak_mib: f64,
}

fn whole(bench: &Bench, traces: &[PathBuf]) -> Result<String, String> {
    if find("taskset").is_none() {
        return Ok("skipped: no taskset\n".to_owned());
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let on_all = format!("on {cpus} CPUs");
    let mut table = Table::new(&["`heapcast replay`", "events", "peak memory", "on one CPU", &on_all, "speed-up", "CPUs kept busy"]);
    for trace in traces {
        eprintln!("replay: all policies on {}", name(trace));
        let mut runs: BTreeMap<&str, Vec<Whole>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            runs.entry("all").or_default().push(replayed(bench, trace, false)?);
            runs.entry("one").or_default().push(replayed(bench, trace, true)?);
        }
        let middle = |which: &str, value: fn(&Whole) -> f64| median(&runs[which].iter().map(value).collect::<Vec<_>>());
        let (one, all) = (middle("one", |run| run.seconds), middle("all", |run| run.seconds));
        table.row(&[
            name(trace),
            events(trace)?.to_string(),
            format!("{:.0} MiB", middle("all", |run| run.peak_mib)),
            format!("{one:.2} s"),
            format!("{all:.2} s"),
            format!("× {:.2}", one / all),
            format!("{:.2}", middle("all", |run| run.cpu / run.seconds)),
        ]);
    }
    Ok(format!(
        "#### Several policies at once\n\nThe default policies with tables and report, {ROUNDS} rounds in turn, medians, by the clock.\n\n{}",
        table.text()
    ))
}

fn replayed(bench: &Bench, trace: &Path, on_one: bool) -> Result<Whole, String> {
    let begun = Instant::now();
    let mut command = Command::new(if on_one { "taskset".as_ref() } else { bench.heapcast.as_os_str() });
    if on_one {
        command.args(["-c", "0"]).arg(&bench.heapcast);
    }
    command.args(["replay", "--quiet", "--force"]).arg(trace).arg("-o").arg(bench.folder.join("replayed"));
    let child = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?);
    let pid = child.0.id();
    let mut peak_mib: f64 = 0.0;
    while !process::has_ended(pid) {
        peak_mib = process::peak_mib(pid).unwrap_or(peak_mib);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(Whole { seconds: begun.elapsed().as_secs_f64(), cpu: all_ns(pid) / 1e9, peak_mib })
}
