//! What recording costs a program that only allocates, beside bpftrace doing the same, and how fast a replay is. All in one run on one machine.

mod page;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::command::{self, cargo, find, output, root};

/// Rounds of every way of recording, in turn, so that a noisy moment hits none of them alone.
const ROUNDS: usize = 5;
/// Arguments of `churn`: repetitions, and pairs of malloc and free in each.
const UNTRACED: [&str; 2] = ["25", "200000"];
const TRACED: [&str; 2] = ["15", "20000"];
/// The recorder's own default.
const RING: &str = "64M";

/// Allocates strings and containers, keeps most of them, and ends with more than a million events.
const PYTHON: &str = "import json; d=[json.dumps({'k': i, 'v': [i]*(i%9)}) for i in range(130000)]; d.sort(); e=[json.loads(s) for s in d]";

/// Lines of `what: figure`, aligned.
#[derive(Default)]
struct Table(Vec<(String, String)>);

impl Table {
    fn row(&mut self, what: &str, figure: impl Into<String>) {
        self.0.push((what.to_string(), figure.into()));
    }

    fn print(&self) {
        let width = self.0.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
        println!();
        self.0.iter().for_each(|(what, figure)| println!("{what:<width$}   {figure}"));
    }
}

/// `cargo xtask bench`.
pub(crate) fn run() -> Result<(), String> {
    command::run(&mut cargo("build --release --package profiler --locked"))?;
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut table = Table::default();
    let bench = Bench { heapcast: target().join("release/heapcast"), folder };
    match output("id", &["-u"]) {
        Some(id) if id.trim() == "0" => {
            recording(&bench, &mut table)?;
            replay(&bench, &mut table)?;
        }
        _ => table.row("recording, and replay of what was recorded", "skipped: recording needs root"),
    }
    page::figures(&bench.heapcast, &bench.folder)?.into_iter().for_each(|(what, figure)| table.row(&what, figure));
    table.print();
    Ok(())
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// What every measurement needs.
struct Bench {
    heapcast: PathBuf,
    /// Where programs and traces are put.
    folder: PathBuf,
}

fn recording(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let Some(compiler) = find("gcc").or_else(|| find("cc")) else {
        table.row("recording", "skipped: no C compiler");
        return Ok(());
    };
    let churn = bench.folder.join("churn");
    let source = root().join("profiler/benches/churn.c");
    command::run(Command::new(compiler).args(["-O2", "-fno-builtin", "-o"]).arg(&churn).arg(source))?;
    let bpftrace = bpftrace(&churn);
    let (mut bare, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut peak_kib, mut lost, mut events) = (0, 0, 0);
    for round in 1..=ROUNDS {
        eprintln!("recording: round {round} of {ROUNDS}");
        bare.push(measure(Command::new(&churn).args(UNTRACED))?.ns);
        let run = measure(&mut bench.record("churn.trace", &churn, &TRACED))?;
        ours.push(run.ns);
        peak_kib = peak_kib.max(run.peak_kib);
        let counts = counts(&bench.folder.join("churn.trace"))?;
        (events, lost) = (events + counts.0, lost + counts.1);
        if let Ok(program) = &bpftrace {
            theirs.push(measure(&mut watched(program, &churn))?.ns);
        }
    }
    table.row("malloc + free, not recorded", micros(&mut bare));
    table.row("the same under heapcast record", micros(&mut ours));
    match bpftrace {
        Ok(_) => {
            table.row("the same under bpftrace", micros(&mut theirs));
            let ratio = (median(&mut theirs) - median(&mut bare)) / (median(&mut ours) - median(&mut bare));
            table.row("cost of recording, bpftrace : heapcast", format!("{ratio:.1} : 1"));
        }
        Err(reason) => table.row("the same under bpftrace", format!("skipped: {reason}")),
    }
    table.row("events recorded meanwhile", events.to_string());
    table.row("events lost meanwhile", lost.to_string());
    table.row(
        "heapcast's own peak memory",
        format!("{:.1} MiB resident; its ring buffer of {RING} is mapped twice and counted twice", peak_kib as f64 / 1024.0),
    );
    Ok(())
}

impl Bench {
    fn record(&self, trace: &str, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.heapcast);
        command
            .args(["record", "--quiet", "--force", "--ring", RING, "-o"])
            .arg(self.folder.join(trace))
            .arg("--")
            .arg(program)
            .args(arguments);
        command
    }
}

/// The job of `heapcast record` in three lines of bpftrace: requested size of every live block, by address.
fn bpftrace(churn: &Path) -> Result<String, String> {
    if find("bpftrace").is_none() {
        return Err("bpftrace not installed".into());
    }
    let libraries = output("ldd", &[&churn.to_string_lossy()]).unwrap_or_default();
    let libc = libraries.lines().find_map(|line| line.trim().strip_prefix("libc.so.6 => ")?.split(' ').next());
    let libc = libc.ok_or("no libc.so.6 found by ldd")?;
    Ok(format!(
        "uprobe:{libc}:malloc /pid == cpid/ {{ @size[tid] = arg0; }} \
         uretprobe:{libc}:malloc /pid == cpid/ {{ @live[retval] = @size[tid]; }} \
         uprobe:{libc}:free /pid == cpid/ {{ delete(@live[arg0]); }} \
         END {{ clear(@size); clear(@live); }}"
    ))
}

fn watched(program: &str, churn: &Path) -> Command {
    let mut command = Command::new("bpftrace");
    command.arg("-c").arg(format!("{} {}", churn.display(), TRACED.join(" "))).args(["-e", program]);
    command
}

/// One run of `churn`, alone or under another program.
struct Churned {
    ns: f64,
    /// High-water mark of the resident memory of the program that was started.
    peak_kib: u64,
}

fn measure(command: &mut Command) -> Result<Churned, String> {
    let name = command.get_program().display().to_string();
    let failed = |why: String| format!("{name}: {why}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| failed(error.to_string()))?;
    let peak_kib = watch(&mut child).map_err(|error| failed(error.to_string()))?;
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ns = text.lines().find_map(|line| line.strip_prefix("churn: ")?.split(' ').next()?.parse().ok());
    let complaint = || failed(format!("{}; it printed: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)));
    let ns = ns.filter(|_| output.status.success()).ok_or_else(complaint)?;
    Ok(Churned { ns, peak_kib })
}

/// Waits for the end; what these programs print fits into the pipe. The mark only rises, so the last look is the peak but for a moment.
fn watch(child: &mut Child) -> std::io::Result<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = high_water(&status).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(peak)
}

/// `VmHWM` in KiB; none of a process that has ended.
fn high_water(status: &str) -> Option<u64> {
    let mut text = String::new();
    File::open(status).ok()?.read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// Events made and lost, by the trace's manifest.
fn counts(trace: &Path) -> Result<(u64, u64), String> {
    let path = trace.join("manifest.json");
    let failed = |why: String| format!("{}: {why}", path.display());
    let text = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    let kinds = manifest["counts"]["kinds"].as_object().ok_or_else(|| failed("it counts nothing".into()))?;
    let sum = |field: &str| kinds.values().filter_map(|kind| kind[field].as_u64()).sum();
    Ok((sum("made"), sum("lost")))
}

/// Records Python with its own allocator out of the way, and has every stage of a replay timed on that.
fn replay(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let Some(python) = find("python3") else {
        table.row("replay", "skipped: no python3 to record");
        return Ok(());
    };
    eprintln!("replay: recording python3");
    let mut record = bench.record("python.trace", &python, &["-I", "-S", "-c", PYTHON]);
    command::run(record.env("PYTHONMALLOC", "malloc").stdout(Stdio::null()))?;
    eprintln!("replay: timing each stage");
    let trace = bench.folder.join("python.trace");
    let mut stages = cargo("bench --package profiler --bench replay --locked --");
    let printed = stages.arg(&trace).stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
    if !printed.status.success() {
        return Err(format!("the bench of the replay: {}", printed.status));
    }
    for line in String::from_utf8_lossy(&printed.stdout).lines() {
        if let Some((what, figure)) = line.split_once(": ") {
            table.row(what, figure);
        }
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median and extremes of nanoseconds.
fn micros(ns: &mut [f64]) -> String {
    let median = median(ns) / 1e3;
    format!("{median:.3} µs ({:.3} to {:.3} in {} rounds)", ns[0] / 1e3, ns[ns.len() - 1] / 1e3, ns.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_value_counts_and_the_extremes_are_shown() {
        assert_eq!(median(&mut [9.0, 1.0, 5.0]), 5.0);
        assert_eq!(micros(&mut [2164.0, 2999.0, 2000.0]), "2.164 µs (2.000 to 2.999 in 3 rounds)");
    }

    #[test]
    fn losses_are_added_over_all_kinds() {
        let folder = std::env::temp_dir().join(format!("heapcast-bench-counts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let text = r#"{"counts": {"kinds": {"free": {"made": 7, "lost": 1}, "malloc": {"made": 9, "lost": 2}}}}"#;
        std::fs::write(folder.join("manifest.json"), text).unwrap();
        let found = counts(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, Ok((16, 3)));
        assert!(counts(&folder).is_err());
    }
}
