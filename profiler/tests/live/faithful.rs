//! Programs on glibc's malloc: its model puts every block where it really was, and a recording replayed with a setting is the program really run with it.

use std::collections::HashMap;
use std::fmt::Write;
use std::process::{Command, Stdio};

use profiler::event::{Event, What};
use profiler::units::Addr;

use super::{Row, error, installed, possible, record, summary};
use crate::support::{Folder, Trace, heapcast, said};

/// What is compared exactly; `mremap` is left out, because where a mapping can grow in place depends on its neighbours.
const CALLS: [&str; 3] = ["brk_calls", "mmap_calls", "munmap_calls"];
/// Relative errors that are allowed.
const PEAK: f64 = 0.01;
const FAULTS: f64 = 0.02;
/// Faults by which two runs may differ in any case: how many pages of a file come with one fault depends on what the page cache holds.
const FEW: u64 = 10;

/// A tunable that changes nothing at 0. It stands where a setting would: the loader keeps a copy of the variable, with memory of its own.
const NEUTRAL: (&str, u64) = ("perturb", 0);
/// Characters of the variable's value, whatever the setting.
const LENGTH: usize = 48;

/// A program with one thread that does the same each time.
struct Case<'a> {
    program: &'a str,
    arguments: &'a [&'a str],
    /// A tunable that changes what it asks of the system, and a value for it.
    setting: (&'a str, u64),
    /// It goes by the addresses of its objects (the order in which it frees them), which a setting changes: it does not ask for the same again.
    by_address: bool,
}

/// What a program asked for, in order, whatever the addresses: sizes, and which blocks were freed.
fn requests(trace: &Trace) -> Vec<(u64, u64)> {
    let (mut live, mut count) = (HashMap::new(), 0);
    let mut number = |live: &mut HashMap<u64, u64>, old: Addr, ptr: Addr| {
        let number = live.remove(&old.0).unwrap_or_else(|| {
            count += 1;
            count
        });
        live.insert(ptr.0, number);
        number
    };
    let request = |event: &Event| match event.what {
        What::Alloc { ptr, size, old, .. } => Some((number(&mut live, old, ptr), size.0)),
        What::Free { ptr } => Some((live.remove(&ptr.0).unwrap_or(0), u64::MAX)),
        _ => None,
    };
    trace.events.iter().filter_map(request).collect()
}

impl Case<'_> {
    /// Programs copy their environment into the heap: it must take as much room without the setting as with it.
    fn command(&self, folder: &Folder, with_setting: bool) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.envs([("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0"), ("PYTHONDONTWRITEBYTECODE", "1"), ("PERL_HASH_SEED", "0")]);
        command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("LC_ALL", "C")]);
        let (key, value) = if with_setting { self.setting } else { NEUTRAL };
        let (head, digits) = (format!("glibc.malloc.{key}=0x"), format!("{value:x}"));
        command.env("GLIBC_TUNABLES", format!("{head}{digits:0>width$}", width = LENGTH - head.len()));
        command
    }
}

/// What a replay told.
struct Report {
    rows: HashMap<String, Row>,
    /// The policy that stands for the allocator that really ran.
    ran: String,
    /// The share of its blocks that lie where they were recorded, and what is said of the others.
    placed: (Option<f64>, String),
}

/// Replays what was recorded last, also with a policy.
fn replay(folder: &Folder, policy: &str) -> Report {
    let out = folder.join("report");
    let mut command = heapcast(&["replay", "--quiet", "--force", "--policy", policy]);
    said(command.arg(folder.join("trace")).arg("-o").arg(&out)).exits(0);
    let text = std::fs::read_to_string(out.join("study.json")).expect("a study");
    let study: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = study["fidelity"].as_array().into_iter().flatten();
    let share = rows.clone().find(|row| row["metric"] == "placements").and_then(|row| row["replayed"].as_f64());
    let ran = study["checked"].as_str().expect("a policy").to_owned();
    Report { rows: summary(&out.join("summary.csv")), ran, placed: (share, study["explanation"].to_string()) }
}

fn check(name: &str, folder: &Folder, case: &Case) {
    let policy = format!("glibc:{}={}", case.setting.0, case.setting.1);
    let (_, first) = record(folder, &mut case.command(folder, false));
    let default = replay(folder, &policy);
    let (_, second) = record(folder, &mut case.command(folder, true));
    let really = replay(folder, "recorded");
    for report in [&default, &really] {
        assert!(report.ran.starts_with("glibc"), "{name}: {} is what ran", report.ran);
        assert_eq!(report.placed.0, Some(1.0), "{name}: {}", report.placed.1);
    }
    let (before, after) = (&default.rows["measured"], &really.rows["measured"]);
    near(name, "as it ran", before, &default.rows[&default.ran]);
    near(name, &policy, after, &default.rows[&policy]);
    for report in [&default, &really] {
        assert_eq!(calls(&report.rows["measured"]), calls(&report.rows[&report.ran]), "{name}, {}: {CALLS:?}", report.ran);
    }
    assert_ne!(calls(before), calls(after), "{name}: {policy} changes nothing");
    if !case.by_address {
        assert!(requests(&first) == requests(&second), "{name}: asks otherwise with {policy}");
        assert_eq!(calls(after), calls(&default.rows[&policy]), "{name}, {policy}: {CALLS:?}");
    }
}

fn calls(row: &Row) -> [u64; 3] {
    CALLS.map(|call| row[call])
}

/// Peak and faults within their bounds.
fn near(name: &str, what: &str, measured: &Row, replayed: &Row) {
    let of = |column: &str| error(replayed[column], measured[column]);
    let (peak, faults) = (of("peak_rss_bytes"), of("minor_faults"));
    println!("{name}, {what}: peak RSS {} replayed {:+.2} %", measured["peak_rss_bytes"], peak * 100.0);
    println!("{name}, {what}: minor faults {} replayed {:+.2} %", measured["minor_faults"], faults * 100.0);
    let few = replayed["minor_faults"].abs_diff(measured["minor_faults"]) <= FEW;
    assert!(peak.abs() <= PEAK && (few || faults.abs() <= FAULTS), "{name}, {what}: see the lines above");
}

/// Runs a case whose program needs nothing but its arguments.
fn alone(name: &str, case: &Case) {
    let Some(_alone) = possible() else { return };
    if installed(case.program) {
        check(name, &Folder::new(&format!("faithful-{name}")), case);
    }
}

const SQL: &str = "create table t(a integer primary key, b text);
    with recursive c(x) as (select 1 union all select x + 1 from c where x < 12000) insert into t select x, hex(x * 7919) from c;
    create index i on t(b);
    delete from t where a % 3 = 0;
    select count(*) from t where b > '8';";

#[test]
fn sqlite3() {
    alone("sqlite3", &Case { program: "sqlite3", arguments: &[":memory:", SQL], setting: ("top_pad", 1 << 20), by_address: false });
}

#[test]
fn python3() {
    let arguments = ["-c", "d = {str(i): i for i in range(40000)}"];
    alone("python3", &Case { program: "/usr/bin/python3", arguments: &arguments, setting: ("mmap_max", 0), by_address: true });
}

#[test]
fn perl() {
    let arguments = ["-e", "$h{$_} = 'x' x ($_ % 5000) for 1..4000; delete $h{$_} for 1..2000; print scalar keys %h"];
    alone("perl", &Case { program: "perl", arguments: &arguments, setting: ("top_pad", 0), by_address: true });
}

#[test]
fn jq() {
    let arguments = ["-n", "[range(10000) | {id: ., name: \"n\\(. * 7919 % 10007)\"}] | group_by(.id % 7) | map(length)"];
    alone("jq", &Case { program: "jq", arguments: &arguments, setting: ("mmap_threshold", 1 << 20), by_address: false });
}

#[test]
fn xz() {
    let Some(_alone) = possible() else { return };
    if !installed("xz") {
        return;
    }
    let folder = Folder::new("faithful-xz");
    let line = |i: u32| format!("{:08x} some words for the line {}\n", i.wrapping_mul(2_654_435_761), i % 1000);
    std::fs::write(folder.join("lines"), (0..40_000).map(line).collect::<String>()).expect("a file to compress");
    check("xz", &folder, &Case { program: "xz", arguments: &["-1", "-k", "-f", "lines"], setting: ("mmap_max", 0), by_address: false });
}

#[test]
fn git() {
    const GIT: &str = "/usr/bin/git";
    let Some(_alone) = possible() else { return };
    if !installed(GIT) {
        return;
    }
    let folder = Folder::new("faithful-git");
    std::fs::write(folder.join("history"), commits()).expect("a history");
    let history = std::fs::File::open(folder.join("history")).expect("the history");
    assert!(
        Command::new(GIT).args(["init", "-q", "--initial-branch=main"]).current_dir(folder.path()).status().expect("git runs").success()
    );
    let mut import = Command::new(GIT);
    import.args(["fast-import", "--quiet"]).current_dir(folder.path()).stdin(history);
    assert!(import.status().expect("git runs").success());
    let arguments = ["--no-pager", "log", "-p", "main"];
    check("git", &folder, &Case { program: GIT, arguments: &arguments, setting: ("top_pad", 0), by_address: false });
}

/// What `git fast-import` reads: commits that change lines in some files.
fn commits() -> String {
    let mut text = String::new();
    for commit in 1..=60 {
        let date = 1_600_000_000 + commit * 3600;
        write!(text, "commit refs/heads/main\ncommitter A <a@example.org> {date} +0000\ndata 4\nStep\n")
            .expect("a string takes everything");
        for file in [commit % 7, commit % 11 + 7] {
            let body: String = (0..80).map(|line| format!("line {} of {file}\n", line * (commit / 5 + line % 5) % 1009)).collect();
            write!(text, "M 644 inline file{file}\ndata {}\n{body}\n", body.len()).expect("a string takes everything");
        }
    }
    text
}

#[test]
fn cc1() {
    let Some(_alone) = possible() else { return };
    let output = match Command::new("gcc").arg("-print-prog-name=cc1").output() {
        Ok(output) => String::from_utf8(output.stdout).expect("a path"),
        Err(error) => return println!("skipped: gcc cannot be run: {error}"),
    };
    let folder = Folder::new("faithful-cc1");
    let function = |i: u32| format!("int f{i}(int a) {{ int s = 0; for (int i = 0; i < a; i++) s += i * {i} ^ a; return s; }}\n");
    std::fs::write(folder.join("source.c"), (0..20).map(function).collect::<String>()).expect("a source");
    let arguments = ["-quiet", "-O2", "source.c", "-o", "assembly.s"];
    check("cc1", &folder, &Case { program: output.trim(), arguments: &arguments, setting: ("trim_threshold", 1 << 20), by_address: true });
}
