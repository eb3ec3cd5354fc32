//! Real programs, checked against `strace`, against the kernel's own totals, and replayed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Command, Stdio};

use super::counts::books_balance;
use super::{error, installed, possible, record, replayed};
use crate::support::{Folder, Trace};

const SYSTEM_CALLS: &str = "brk,mmap,munmap,mremap,madvise,mprotect";

const SQL: &str = "create table t(a integer primary key, b text);
    with recursive c(x) as (select 1 union all select x + 1 from c where x < 12000) insert into t select x, printf('%01000d', x * 7919 % 12007) from c;
    create index i on t(b);
    select count(*), max(b) from t where b like '%3%';
    delete from t where a % 3 = 0;
    select sum(length(b)) from t order by b desc;";

const PYTHON: &str = "import json
d = [json.dumps({'k': i}) for i in range(60000)]
del d
e = [bytearray(5000) for i in range(9000)]";

const PERL: &str = "$h{$_} = 'x' x ($_ % 5000) for 1..20000; delete $h{$_} for 1..9000; print scalar keys %h";

/// What two runs of a program would otherwise differ in, beside their addresses: random hashes decide when tables grow, and Python's first run
/// as root compiles its modules and leaves them for the next.
const ALIKE: [(&str, &str); 3] = [("PYTHONHASHSEED", "0"), ("PYTHONDONTWRITEBYTECODE", "1"), ("PERL_HASH_SEED", "0")];

/// A program that does the same each time, in a folder that holds what it needs.
fn command(program: &str, arguments: &[&str], folder: &Folder) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).envs(ALIKE).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Calls by name, as `strace` counts them over all processes.
fn traced_calls(command: &Command, folder: &Folder) -> BTreeMap<String, u64> {
    let table = folder.join("strace");
    let mut strace = Command::new("setarch");
    strace.args(["-R", "strace", "-f", "-c", "-U", "name,calls", "-e"]).arg(format!("trace={SYSTEM_CALLS}")).arg("-o").arg(&table);
    strace.arg(command.get_program()).args(command.get_args()).envs(ALIKE).current_dir(folder.path());
    assert!(strace.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("strace runs").success());
    let text = std::fs::read_to_string(table).expect("strace's table");
    let known = |name: &str| SYSTEM_CALLS.split(',').any(|call| call == name);
    let rows = text.lines().filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok());
    rows.filter(|[name, _]: &[&str; 2]| known(name)).map(|[name, calls]| (name.to_owned(), calls.parse().expect("a count"))).collect()
}

fn recorded_calls(trace: &Trace) -> BTreeMap<String, u64> {
    let counts = SYSTEM_CALLS.split(',').map(|call| (call.to_owned(), trace.count(call)));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn same_calls(name: &str, command: &Command, folder: &Folder, trace: &Trace) {
    if installed("strace") {
        assert_eq!(recorded_calls(trace), traced_calls(command, folder), "{name}: recorded, and counted by strace");
    }
}

/// What `ru_maxrss` may be off by, bytes: the kernel takes it from counters that are summed per CPU only in steps of 32 pages or
/// twice the number of CPUs, whichever is more, for anonymous and for file pages.
fn maxrss_slack() -> u64 {
    // All that are online: this process may be held to fewer, and the kernel counts by all.
    let stat = std::fs::read_to_string("/proc/stat").expect("the kernel's figures");
    let cpus = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count() as u64;
    2 * cpus * 32.max(2 * cpus) * 4096
}

/// Faults within 1 % of the kernel's count, which tells those that had to read a file apart; measured peak within 1 % of `ru_maxrss` or as near as that one is.
fn kernel_agrees(name: &str, trace: &Trace, measured_peak: u64) {
    let launched = &trace.manifest.processes[0];
    let (minor, major) = (launched.minor_faults.expect("told"), launched.major_faults.expect("told"));
    let faults = trace.count_of(launched.id, "fault");
    let peak = launched.max_rss.expect("told");
    let (of_faults, of_peak) = (error(faults, minor + major), error(measured_peak, peak));
    println!("{name}: faults recorded {faults}, ru_minflt {minor}, ru_majflt {major}, {:+.2} %", of_faults * 100.0);
    println!("{name}: peak RSS measured {measured_peak}, ru_maxrss {peak}, {:+.2} %", of_peak * 100.0);
    let near = of_peak.abs() <= 0.01 || measured_peak.abs_diff(peak) <= maxrss_slack();
    assert!(of_faults.abs() <= 0.01 && near, "{name}: see the lines above");
}

/// The recorded placements within 1 % of the measured peak and 2 % of the measured faults. Gives the measured peak.
pub(super) fn page_model_agrees(name: &str, folder: &Folder, process: Option<&str>) -> u64 {
    let rows = replayed(folder, process);
    let (measured, recorded) = (&rows["measured"], &rows["recorded"]);
    let of = |column: &str| error(recorded[column], measured[column]);
    let (peak, faults) = (of("peak_rss_bytes"), of("minor_faults"));
    println!("{name}: peak RSS measured {}, recorded {:+.2} %", measured["peak_rss_bytes"], peak * 100.0);
    println!("{name}: minor faults measured {}, recorded {:+.2} %", measured["minor_faults"], faults * 100.0);
    assert!(peak.abs() <= 0.01 && faults.abs() <= 0.02, "{name}: see the lines above");
    measured["peak_rss_bytes"]
}

/// Everything that can be asked of a program that is one process and does the same each time.
fn check(name: &str, program: &str, arguments: &[&str]) {
    let Some(_alone) = possible() else { return };
    if !installed(program) {
        return;
    }
    let folder = Folder::new(&format!("real-{name}"));
    let mut command = command(program, arguments, &folder);
    let (_, trace) = record(&folder, &mut command);
    books_balance(&trace);
    assert!(trace.count("malloc") > 1000, "{name}: {} calls of malloc", trace.count("malloc"));
    same_calls(name, &command, &folder, &trace);
    let peak = page_model_agrees(name, &folder, None);
    kernel_agrees(name, &trace, peak);
}

#[test]
fn sqlite3() {
    check("sqlite3", "sqlite3", &[":memory:", SQL]);
}

#[test]
fn python3() {
    check("python3", "/usr/bin/python3", &["-c", PYTHON]);
}

#[test]
fn perl() {
    check("perl", "perl", &["-e", PERL]);
}

/// C functions that differ, so that the compiler has to keep them all.
fn source(functions: usize) -> String {
    let mut text = String::new();
    for number in 0..functions {
        let body = format!(
            "static int t{number}[16];\nint f{number}(int a, int b) {{\n  int s = 0;\n  for (int i = 0; i < a; i++) \
             {{ s += t{number}[(i + b) & 15] * {number}; t{number}[i & 15] = s ^ b; }}\n  return s;\n}}"
        );
        writeln!(text, "{body}").expect("a string takes everything");
    }
    text
}

/// A compilation: several programs, of which the compiler proper is the second.
#[test]
fn gcc() {
    let Some(_alone) = possible() else { return };
    if !installed("gcc") {
        return;
    }
    let folder = Folder::new("real-gcc");
    // How often cc1 moves its break in a long run depends on the size of its environment; in a short one it does not.
    std::fs::write(folder.join("short.c"), "int main(void) { return 0; }").expect("a source");
    let mut short = command("gcc", &["-c", "short.c", "-o", "object.o"], &folder);
    let (_, trace) = record(&folder, &mut short);
    books_balance(&trace);
    same_calls("gcc", &short, &folder, &trace);
    std::fs::write(folder.join("source.c"), source(40)).expect("a source");
    let (_, trace) = record(&folder, &mut command("gcc", &["-O2", "-c", "source.c", "-o", "object.o"], &folder));
    books_balance(&trace);
    page_model_agrees("gcc's cc1", &folder, Some("cc1"));
}

/// The compiler proper, started by itself: the kernel tells the totals of what heapcast started.
#[test]
fn cc1() {
    let Some(_alone) = possible() else { return };
    let output = match Command::new("gcc").arg("-print-prog-name=cc1").output() {
        Ok(output) => String::from_utf8(output.stdout).expect("a path"),
        Err(error) => return println!("skipped: gcc cannot be run: {error}"),
    };
    let folder = Folder::new("real-cc1");
    std::fs::write(folder.join("source.c"), source(20)).expect("a source");
    let (_, trace) = record(&folder, &mut command(output.trim(), &["-quiet", "-O2", "source.c", "-o", "assembly.s"], &folder));
    books_balance(&trace);
    let peak = page_model_agrees("cc1", &folder, None);
    kernel_agrees("cc1", &trace, peak);
}
