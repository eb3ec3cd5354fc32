//! Attaching to what runs already, and letting it go.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};

use super::{possible, recorder};
use crate::programs;
use crate::support::{Folder, Running, Trace, said, signal, terminate, until};

/// A program of `tests/targets` that has said that it is ready, and what it writes: at its end it wants to be heard.
pub(crate) fn ready() -> Option<(Running, BufReader<ChildStdout>)> {
    ready_as("loop_forever")
}

/// The same of another program.
pub(super) fn ready_as(name: &str) -> Option<(Running, BufReader<ChildStdout>)> {
    let program = match programs::compile(name) {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let mut running = Running::start(Command::new(program).stdout(Stdio::piped()));
    let mut line = String::new();
    let mut output = BufReader::new(running.0.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    Some((running, output))
}

/// Waits until the process has done something again: it was not left stopped.
#[track_caller]
pub(super) fn goes_on(pid: u32) {
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
    };
    let before = switches().unwrap_or_else(|| panic!("process {pid} is gone"));
    until("the process goes on", || switches().filter(|now| *now > before + 20));
}

#[test]
fn a_process_is_recorded_for_a_while_and_lives_on() {
    let Some(_alone) = possible() else { return };
    let Some((target, _output)) = ready() else { return };
    let folder = Folder::new("attach");
    let mut command = recorder(&folder.join("trace"), &["--duration", "1s", "--pid"]);
    let said = said(command.arg(target.pid().to_string())).exits(0);
    assert!(said.out.contains("stopped after the given time") && said.err.is_empty(), "{}{}", said.out, said.err);
    goes_on(target.pid());
    let trace = Trace::open(&folder.join("trace"));
    in_order(&trace);
    assert!(trace.count("malloc") > 0 && trace.count("free") >= trace.count("malloc") - 1, "no block whose end was missed");
    assert!(trace.count("mapped") > 0 && trace.count("resident") > 0, "what was there before belongs to it");
    let process = &trace.manifest.processes[0];
    assert_eq!((process.pid, process.ended_ns), (target.pid(), None));
}

/// Nothing lost but the calls that ran while the probes were put in place, which are counted.
pub(super) fn in_order(trace: &Trace) {
    let counts = &trace.manifest.counts;
    let made: u64 = counts.kinds.values().map(|kind| kind.made).sum();
    assert!(trace.manifest.complete && trace.damage.is_none() && counts.kinds.values().all(|kind| kind.lost == 0), "{counts:?}");
    assert!(counts.rejected.is_empty(), "{counts:?}");
    assert_eq!(made, counts.decoded + counts.before_exec + counts.after_end, "{counts:?}");
}

#[test]
fn a_second_recording_of_the_same_process_works() {
    let Some(_alone) = possible() else { return };
    let Some((target, _output)) = ready() else { return };
    let folder = Folder::new("attach-twice");
    for round in ["first", "second"] {
        let trace = folder.join(round);
        let mut recording = Running::start(recorder(&trace, &["--pid"]).arg(target.pid().to_string()).stdout(Stdio::null()));
        assert_eq!(started(&trace), target.pid());
        signal(recording.pid(), libc::SIGINT);
        assert_eq!(recording.code(), Some(0));
        in_order(&Trace::open(&trace));
    }
    goes_on(target.pid());
}

#[test]
fn a_process_that_ends_ends_its_recording() {
    let Some(_alone) = possible() else { return };
    let Some((mut target, _output)) = ready() else { return };
    let folder = Folder::new("attach-end");
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--pid"]).arg(target.pid().to_string()).stdout(Stdio::null()));
    until("calls are recorded", || Trace::try_open(&trace).filter(|trace| trace.count("malloc") > 0));
    terminate(target.pid());
    assert_eq!(target.code(), Some(0));
    assert_eq!(recording.code(), Some(0));
    let trace = Trace::open(&trace);
    assert!(trace.manifest.complete && trace.damage.is_none() && trace.manifest.processes[0].ended_ns.is_some());
}

#[test]
fn a_process_that_is_gone_is_named() {
    let Some(_alone) = possible() else { return };
    let mut gone = Running::start(&mut Command::new("true"));
    gone.code();
    let folder = Folder::new("attach-gone");
    let said = said(recorder(&folder.join("trace"), &["--pid"]).arg(gone.pid().to_string())).exits(5);
    assert!(said.err.contains(&format!("there is no process {}", gone.pid())), "{}", said.err);
    assert!(said.out.is_empty());
}

/// The process that is recorded, once calls of it are on disk.
pub(super) fn started(trace: &std::path::Path) -> u32 {
    until("calls are recorded", || {
        let trace = Trace::try_open(trace).filter(|trace| trace.count("malloc") > 0)?;
        trace.manifest.processes.first().map(|process| process.pid)
    })
}

/// Ends a process that is no child of this test.
pub(super) fn end(pid: u32) {
    signal(pid, libc::SIGTERM);
    until("the process ends", || (!std::path::Path::new(&format!("/proc/{pid}/mem")).exists() || zombie(pid)).then_some(()));
}

fn zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
