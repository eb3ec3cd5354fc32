//! However a recording ends, what was recorded is there.

use std::process::Stdio;

use super::running::{end, goes_on, ready, started};
use super::{possible, recorder};
use crate::programs;
use crate::support::{Folder, Running, Said, Trace, heapcast, said, signal, terminate, until};

/// A recording under way of a program that does not end by itself, and that program's number.
fn under_way(folder: &Folder) -> Option<(Running, u32)> {
    let program = match programs::compile("loop_forever") {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let trace = folder.join("trace");
    let mut command = recorder(&trace, &["--"]);
    let recording = Running::start(command.arg(program).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = started(&trace);
    Some((recording, pid))
}

fn finish(mut recording: Running) -> Said {
    let (mut out, mut err) = (String::new(), String::new());
    let (stdout, stderr) = (recording.0.stdout.take(), recording.0.stderr.take());
    let code = recording.code();
    std::io::Read::read_to_string(&mut stdout.expect("a pipe"), &mut out).expect("text");
    std::io::Read::read_to_string(&mut stderr.expect("a pipe"), &mut err).expect("text");
    Said { code, out, err }
}

#[test]
fn ctrl_c_keeps_everything() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("interrupt");
    let Some((recording, pid)) = under_way(&folder) else { return };
    signal(recording.pid(), libc::SIGINT);
    goes_on(pid);
    // The recorder does not take the program with it, and the program holds the other end of the pipe.
    end(pid);
    let said = finish(recording).exits(0);
    assert!(said.out.contains("stopped on request"), "{}", said.out);
    let trace = Trace::open(&folder.join("trace"));
    super::counts::books_balance(&trace);
    assert!(trace.count("malloc") > 0);
}

#[test]
fn a_killed_recorder_leaves_what_it_had_written_and_a_running_program() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("killed-recorder");
    let Some((mut recording, pid)) = under_way(&folder) else { return };
    signal(recording.pid(), libc::SIGKILL);
    recording.code();
    goes_on(pid);
    end(pid);
    let trace = Trace::open(&folder.join("trace"));
    assert!(trace.count("malloc") > 0 && !trace.manifest.complete);
    let damage = trace.damage.expect("it was cut off");
    assert!(damage.contains("cut off") && damage.contains("events.arrow"), "{damage}");
    let report = folder.join("report");
    let mut replay = heapcast(&["replay", "-q"]);
    let said = said(replay.arg(folder.join("trace")).arg("-o").arg(report)).exits(0);
    let told = said.out.replace('\n', " ");
    assert!(told.contains("The trace is incomplete") && told.contains("cut off"), "{told}");
}

#[test]
fn a_killed_recorder_lets_an_attached_process_go() {
    let Some(_alone) = possible() else { return };
    let Some((mut target, _output)) = ready() else { return };
    let folder = Folder::new("killed-attached");
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--pid"]).arg(target.pid().to_string()).stdout(Stdio::null()));
    started(&trace);
    signal(recording.pid(), libc::SIGKILL);
    recording.code();
    goes_on(target.pid());
    terminate(target.pid());
    assert_eq!(target.code(), Some(0));
}

#[test]
fn a_killed_program_is_told() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("killed-program");
    let Some((recording, pid)) = under_way(&folder) else { return };
    signal(pid, libc::SIGKILL);
    let said = finish(recording).exits(0);
    assert!(said.out.contains("killed by signal 9"), "{}", said.out);
    let trace = Trace::open(&folder.join("trace"));
    super::counts::books_balance(&trace);
    assert_eq!(trace.manifest.processes[0].ending.as_deref(), Some("killed by signal 9"));
}

#[test]
fn a_terminated_recorder_ends_like_an_interrupted_one() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("terminated");
    let Some((recording, pid)) = under_way(&folder) else { return };
    terminate(recording.pid());
    until("the recording is complete", || Trace::try_open(&folder.join("trace")).filter(|trace| trace.manifest.complete));
    end(pid);
    finish(recording).exits(0);
}
