//! heapcast on a subject, and the tables that it wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::subjects::Subject;
use crate::command;

/// System calls of the tables, by their columns in `summary.csv`.
pub(super) const CALLS: [&str; 5] = ["brk_calls", "mmap_calls", "munmap_calls", "mremap_calls", "madvise_calls"];

/// Where the work is done.
pub(super) struct Lab {
    pub(super) folder: PathBuf,
}

/// What a replay gave.
pub(super) struct Report {
    /// `summary.csv`, and the column `policy` apart.
    rows: Vec<(String, BTreeMap<String, u64>)>,
    /// `fidelity.csv` by metric.
    fidelity: BTreeMap<String, [Option<f64>; 3]>,
    pub(super) study: serde_json::Value,
}

impl Lab {
    /// With a heapcast that was built just now.
    pub(super) fn new() -> Result<Lab, String> {
        command::run(&mut command::cargo("build --release --locked -p profiler --bins --example on_clock"))?;
        let folder = command::root().join("target/accuracy");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Lab { folder })
    }

    fn heapcast() -> PathBuf {
        command::root().join("target/release/heapcast")
    }

    /// Records a subject into the folder `name`, with more variables in its environment.
    pub(super) fn record(&self, subject: &Subject, name: &str, more: &[(&str, String)]) -> Result<PathBuf, String> {
        self.record_with(subject, name, more, &[])
    }

    /// The same without its calls of malloc, so that it runs at its own speed.
    pub(super) fn record_fast(&self, subject: &Subject, name: &str) -> Result<PathBuf, String> {
        self.record_with(subject, name, &[], &["--events", "vm"])
    }

    fn record_with(&self, subject: &Subject, name: &str, more: &[(&str, String)], options: &[&str]) -> Result<PathBuf, String> {
        let trace = self.folder.join(name);
        let mut record = Command::new("setarch");
        record.arg("-R").arg(Lab::heapcast()).args(["record", "--quiet", "--force", "--rss-step", "4K", "-o"]).arg(&trace);
        record.args(options).arg("--").args(&subject.command).current_dir(&self.folder);
        // An environment of its own: programs copy it into their heaps.
        record.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LC_ALL", "C");
        record.envs(subject.environment.iter().copied()).envs(more.iter().map(|(name, value)| (name, value)));
        record.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = record.spawn().map_err(|error| error.to_string())?;
        if let Some(port) = subject.port {
            load_and_end(port, &mut child)?;
        }
        match child.wait() {
            Ok(status) if status.success() => Ok(trace),
            Ok(status) => Err(format!("{}: heapcast record: {status}", subject.name)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Replays what was recorded of a subject against policies, beside the allocator that really ran.
    pub(super) fn replay(&self, subject: &Subject, trace: &Path, policies: &[String]) -> Result<Report, String> {
        let policies = std::iter::once("recorded").chain(policies.iter().map(String::as_str));
        report("replay", subject, trace, &policies.flat_map(|policy| ["--policy", policy]).collect::<Vec<_>>())
    }

    /// Runs what was recorded of a subject through the real libraries in the recorded time, beside their models.
    pub(super) fn measure(&self, subject: &Subject, trace: &Path, policies: &[String]) -> Result<Report, String> {
        let words: Vec<&str> = policies.iter().flat_map(|policy| ["--policy", policy]).chain(["--paced"]).collect();
        report("measure", subject, trace, &words)
    }

    /// The time-averaged RSS that the kernel counted in one recording, on the clock of another; with what was read from each.
    pub(super) fn mean_on_clock(&self, clock: (&Path, &Report), real: (&Path, &Report)) -> Result<u64, String> {
        let process = |report: &Report| Ok::<_, String>(report.process()?.to_string());
        let mut command = Command::new(command::root().join("target/release/examples/on_clock"));
        command.arg(clock.0).arg(process(clock.1)?).arg(real.0).arg(process(real.1)?);
        let output = command.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout);
        said.trim().parse().map_err(|_| format!("on_clock: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn report(verb: &str, subject: &Subject, trace: &Path, options: &[&str]) -> Result<Report, String> {
    let out = trace.with_extension("report");
    let mut command = Command::new(Lab::heapcast());
    command.args([verb, "--quiet", "--force"]).arg(trace).arg("-o").arg(&out).args(options);
    command.args(subject.process.iter().flat_map(|process| ["--process", process])).stdout(Stdio::null());
    command::run(&mut command).map_err(|error| format!("{}: {error}", subject.name))?;
    Report::read(&out)
}

/// The row of a policy's real library, where a report also has its model.
pub(super) fn by_library(policy: &str) -> String {
    format!("{policy}, real library")
}

impl Report {
    fn read(folder: &Path) -> Result<Report, String> {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"));
        let (summary, fidelity) = (read("summary.csv")?, read("fidelity.csv")?);
        let mut lines = summary.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let row = |line: &str| {
            let (policy, cells) = fields(line);
            let policy = if cells[0] == "replayed" { by_library(&policy) } else { policy };
            let numbers = names[1..].iter().zip(cells).filter_map(|(name, cell)| Some(((*name).to_owned(), cell.parse().ok()?)));
            (policy, numbers.collect())
        };
        let metric = |line: &str| {
            let (name, cells) = fields(line);
            let mut numbers = cells.into_iter().map(|cell| cell.parse().ok());
            (name, [(); 3].map(|()| numbers.next().flatten()))
        };
        Ok(Report {
            rows: lines.map(row).collect(),
            fidelity: fidelity.lines().skip(1).map(metric).collect(),
            study: serde_json::from_str(&read("study.json")?).map_err(|error| error.to_string())?,
        })
    }

    /// A number of a policy's row.
    pub(super) fn cell(&self, policy: &str, column: &str) -> Result<u64, String> {
        let row = self.rows.iter().find(|(name, _)| name == policy).ok_or_else(|| format!("no row {policy}"))?;
        row.1.get(column).copied().ok_or_else(|| format!("no {column} of {policy}"))
    }

    /// Whether a value lies between a policy's lowest and highest reading.
    pub(super) fn covers(&self, policy: &str, column: &str, value: u64) -> bool {
        let bounds = [low(column), high(column)].map(|bound| self.cell(policy, &bound));
        matches!(bounds, [Ok(low), Ok(high)] if (low..=high).contains(&value))
    }

    /// What was recorded, what was replayed, and their relative difference.
    pub(super) fn fidelity(&self, metric: &str) -> [Option<f64>; 3] {
        self.fidelity.get(metric).copied().unwrap_or_default()
    }

    /// The number of the process that was looked at.
    fn process(&self) -> Result<u64, String> {
        let rows = self.study["recording"]["processes"].as_array().into_iter().flatten();
        let number = rows.filter(|row| row["selected"] == true).find_map(|row| row["id"].as_u64());
        number.ok_or_else(|| "the study does not name its process".to_owned())
    }

    /// The row of the allocator that really ran.
    pub(super) fn ran(&self) -> Result<&str, String> {
        self.study["checked"].as_str().ok_or_else(|| "the study does not name the allocator that ran".to_owned())
    }

    /// brk, mmap, munmap, mremap and madvise of a policy.
    pub(super) fn calls(&self, policy: &str) -> Result<[u64; 5], String> {
        let mut calls = [0; 5];
        for (count, column) in calls.iter_mut().zip(CALLS) {
            *count = self.cell(policy, column)?;
        }
        Ok(calls)
    }

    /// The sum of a list of counts in the recording's facts, of the names that count.
    pub(super) fn count(&self, list: &str, counts: impl Fn(&str) -> bool) -> u64 {
        let entries = self.study["recording"][list].as_array().into_iter().flatten();
        entries.filter(|entry| entry["name"].as_str().is_some_and(&counts)).filter_map(|entry| entry["count"].as_u64()).sum()
    }
}

/// The column of a column's lowest reading.
pub(super) fn low(column: &str) -> String {
    bound(column, "low")
}

/// The column of a column's highest reading.
pub(super) fn high(column: &str) -> String {
    bound(column, "high")
}

/// `peak_rss_bytes` has its unit at the end, `minor_faults` has none.
fn bound(column: &str, which: &str) -> String {
    column.strip_suffix("_bytes").map_or_else(|| format!("{column}_{which}"), |stem| format!("{stem}_{which}_bytes"))
}

/// The name at a line's start, which may be quoted because a SPEC has commas, and the cells after it.
fn fields(line: &str) -> (String, Vec<&str>) {
    let (name, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once("\",").unwrap_or((quoted, "")),
        None => line.split_once(',').unwrap_or((line, "")),
    };
    (name.to_owned(), rest.split(',').collect())
}

/// Loads the server with a benchmark once it answers, then asks it to end.
fn load_and_end(port: u16, child: &mut Child) -> Result<(), String> {
    let port = port.to_string();
    let quiet = |program: &str, words: &[&str]| {
        Command::new(program).args(["-h", "127.0.0.1", "-p", &port]).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let begun = Instant::now();
    while !quiet("redis-cli", &["ping"]).map_err(|error| error.to_string())?.success() {
        if begun.elapsed() > Duration::from_secs(60) || child.try_wait().map_err(|error| error.to_string())?.is_some() {
            return Err("the server does not answer".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let words = ["-n", "100000", "-t", "set,lpush", "-r", "100000", "-d", "100", "-q"];
    quiet("redis-benchmark", &words).map_err(|error| error.to_string())?;
    // What a server does while nobody asks is part of it.
    std::thread::sleep(Duration::from_secs(3));
    quiet("redis-cli", &["shutdown", "nosave"]).map_err(|error| error.to_string())?;
    Ok(())
}

/// Mebibytes, as the tables show them.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// A difference as a share of the true value.
pub(super) fn error(found: u64, truth: u64) -> f64 {
    (found as f64 - truth as f64) / truth.max(1) as f64
}

/// A share as a difference in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:+.2} %", share * 100.0)
}

/// Counts with slashes between them.
pub(super) fn slashed(counts: &[u64]) -> String {
    counts.iter().map(u64::to_string).collect::<Vec<_>>().join("/")
}
