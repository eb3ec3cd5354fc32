//! What a recorder leaves behind, however it ends: a process that goes on, unless somebody else has stopped it, and no trace of a probe.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use super::running::started;
use super::{installed, possible, recorder};
use crate::programs;
use crate::support::{Folder, Running, Trace, said, signal, terminate, until};

/// A flood of blocks under way, and what it writes.
fn flooding() -> Option<(Running, BufReader<ChildStdout>)> {
    let program = match programs::compile("flood") {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let mut target = Running::start(Command::new(program).args(["0", "2", "blocks"]).stdout(Stdio::piped()));
    let mut output = BufReader::new(target.0.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    Some((target, output))
}

/// A lossless recording of it through the smallest ring, which stops it again and again.
fn recording_of(target: &Running, trace: &Path) -> Running {
    let options = ["--lossless", "--ring", "64K", "--pid", &target.pid().to_string()];
    let recording = Running::start(recorder(trace, &options).stdout(Stdio::null()));
    started(trace);
    recording
}

fn stat(pid: u32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|error| panic!("process {pid}: {error}"));
    stat.rsplit_once(") ").expect("a name").1.split(' ').map(str::to_owned).collect()
}

fn is_stopped(pid: u32) -> bool {
    stat(pid)[0] == "T"
}

/// Ticks of its own time.
fn worked(pid: u32) -> u64 {
    stat(pid)[11].parse().expect("a number")
}

/// Waits until it has worked for 0.2 s more.
#[track_caller]
fn goes_on(pid: u32) {
    let before = worked(pid);
    until("the process goes on", || (worked(pid) > before + 20).then_some(()));
}

/// Numbers of the BPF programs that heapcast has loaded, of whatever process.
fn programs_loaded() -> Vec<String> {
    let listed = said(Command::new("bpftool").args(["prog", "show"])).exits(0).out;
    let ours = |line: &&str| [" heap_enter ", " heap_return ", " heap_free ", " rss_stat "].iter().any(|name| line.contains(name));
    listed.lines().filter(ours).map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}

/// Whether the code of libc in this process is what its file holds: a probe is a changed byte.
fn is_code_intact(pid: u32) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it is there");
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("as root");
    let mut looked = 0;
    for line in maps.lines().filter(|line| line.contains(" r-xp ") && line.contains("libc.so")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let hex = |text: &str| u64::from_str_radix(text, 16).expect("hex");
        let (start, end) = words[0].split_once('-').expect("a range");
        let (start, end, offset) = (hex(start), hex(end), hex(words[2]));
        let (mut there, mut stored) = (vec![0; (end - start) as usize], vec![0; (end - start) as usize]);
        memory.read_exact_at(&mut there, start).expect("mapped");
        let file = std::fs::File::open(words[5]).expect("the library");
        let read = file.read_at(&mut stored, offset).expect("the library");
        looked += read;
        if there[..read] != stored[..read] {
            return false;
        }
    }
    assert!(looked > 0, "{maps}");
    true
}

/// Waits until nothing of a recorder is left: no program, no uprobe, nothing pinned, no changed byte.
#[track_caller]
fn nothing_is_left(before: &[String], pid: u32) {
    until("the programs are unloaded", || programs_loaded().iter().all(|program| before.contains(program)).then_some(()));
    until("the code is as it was", || is_code_intact(pid).then_some(()));
    assert_eq!(std::fs::read_to_string("/sys/kernel/tracing/uprobe_events").unwrap_or_default(), "");
    let pinned = std::fs::read_dir("/sys/fs/bpf").map(|entries| entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>());
    assert!(pinned.unwrap_or_default().iter().all(|name| !name.to_string_lossy().contains("heapcast")));
}

#[test]
fn a_recorder_that_is_killed_while_its_target_stands_still_lets_it_go() {
    let Some(_alone) = possible() else { return };
    if !installed("bpftool") {
        return;
    }
    let Some((mut target, _output)) = flooding() else { return };
    let before = programs_loaded();
    let folder = Folder::new("killed-while-stopped");
    for round in 0..3 {
        let trace = folder.join(&round.to_string());
        let mut recording = recording_of(&target, &trace);
        assert!(!is_code_intact(target.pid()), "it is probed");
        until("it stands still", || is_stopped(target.pid()).then_some(()));
        signal(recording.pid(), libc::SIGKILL);
        recording.code();
        goes_on(target.pid());
        let trace = Trace::open(&trace);
        assert!(trace.count("malloc") > 0 && !trace.manifest.complete);
        nothing_is_left(&before, target.pid());
    }
    terminate(target.pid());
    assert_eq!(target.code(), Some(0));
}

#[test]
fn a_detached_process_is_as_it_was() {
    let Some(_alone) = possible() else { return };
    if !installed("bpftool") {
        return;
    }
    let Some((mut target, _output)) = flooding() else { return };
    let before = programs_loaded();
    let folder = Folder::new("detached");
    for (round, request) in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].into_iter().enumerate() {
        let trace = folder.join(&round.to_string());
        let mut recording = recording_of(&target, &trace);
        signal(recording.pid(), request);
        assert_eq!(recording.code(), Some(0));
        goes_on(target.pid());
        nothing_is_left(&before, target.pid());
        assert!(Trace::open(&trace).manifest.complete);
    }
    terminate(target.pid());
    assert_eq!(target.code(), Some(0));
}

#[test]
fn whom_somebody_else_has_stopped_stays_stopped() {
    let Some(_alone) = possible() else { return };
    let Some((mut target, _output)) = flooding() else { return };
    let folder = Folder::new("stopped-by-others");
    let pid = target.pid();
    let stays_stopped = |when: &str| {
        until("it is stopped", || is_stopped(pid).then_some(()));
        let before = worked(pid);
        // As long as a guard looks for whom to continue.
        (0..120).for_each(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            assert!(is_stopped(pid), "{when}");
        });
        assert!(worked(pid) <= before + 1, "{when}");
    };
    // Before the recording begins, and over the recorder's death.
    signal(pid, libc::SIGSTOP);
    let trace = folder.join("before");
    let options = ["--lossless", "--ring", "64K", "--pid", &pid.to_string()];
    let mut recording = Running::start(recorder(&trace, &options).stdout(Stdio::null()));
    until("it is recorded", || Trace::try_open(&trace).filter(|trace| trace.count("mapped") > 0));
    stays_stopped("attached");
    signal(recording.pid(), libc::SIGKILL);
    recording.code();
    stays_stopped("killed");
    signal(pid, libc::SIGCONT);
    goes_on(pid);
    // While it stands still for the recorder.
    let mut recording = recording_of(&target, &folder.join("amid"));
    for round in 0..2 {
        until("it stands still", || is_stopped(pid).then_some(()));
        signal(pid, libc::SIGSTOP);
        stays_stopped(&format!("round {round}"));
        signal(pid, libc::SIGCONT);
        goes_on(pid);
    }
    signal(recording.pid(), libc::SIGINT);
    assert_eq!(recording.code(), Some(0));
    terminate(pid);
    assert_eq!(target.code(), Some(0));
}

#[test]
fn two_recordings_at_once_of_the_same_process() {
    let Some(_alone) = possible() else { return };
    let Some((mut target, _output)) = flooding() else { return };
    let folder = Folder::new("two-at-once");
    let traces = ["one", "other"].map(|name| folder.join(name));
    let mut recordings = traces.each_ref().map(|trace| recording_of(&target, trace));
    goes_on(target.pid());
    terminate(target.pid());
    assert_eq!(target.code(), Some(0));
    for (recording, trace) in recordings.iter_mut().zip(&traces) {
        assert_eq!(recording.code(), Some(0));
        let trace = Trace::open(trace);
        super::running::in_order(&trace);
        assert!(trace.count("malloc") > 10 && trace.manifest.processes[0].ended_ns.is_some());
    }
}
