//! More than one process: by their numbers, by their control group; and what their threads are called.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::counts::books_balance;
use super::running::{end, goes_on, in_order, ready};
use super::{possible, record, recorder};
use crate::programs;
use crate::support::{Folder, Running, Trace, heapcast, said, signal, terminate, until};

#[test]
fn several_processes_are_recorded_at_once() {
    let Some(_alone) = possible() else { return };
    let (Some((first, _one)), Some((second, _other))) = (ready(), ready()) else { return };
    let folder = Folder::new("several");
    let trace = folder.join("trace");
    let pids = [first.pid(), second.pid()];
    let mut command = recorder(&trace, &["--pid", &pids[0].to_string(), "--pid", &pids[1].to_string(), "--pid", &pids[1].to_string()]);
    let mut recording = Running::start(command.stdout(Stdio::null()));
    until("both are recorded", || Trace::try_open(&trace).filter(|trace| [0, 1].iter().all(|of| trace.count_of(*of, "malloc") > 10)));
    terminate(pids[0]);
    until("the end of one is seen", || Trace::try_open(&trace).filter(|trace| trace.count_of(0, "end") == 1));
    signal(recording.pid(), libc::SIGINT);
    assert_eq!(recording.code(), Some(0));
    goes_on(pids[1]);
    let trace = Trace::open(&trace);
    in_order(&trace);
    let recorded: Vec<u32> = trace.manifest.processes.iter().map(|process| process.pid).collect();
    assert_eq!(recorded, pids, "each once");
}

/// A group of this test; none where groups cannot be made. It goes with its processes.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Group> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts");
        let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let Some(mount) = fields.find(|fields| fields[2] == "cgroup2").map(|fields| Path::new(fields[1]).to_owned()) else {
            println!("skipped: no control groups of version 2 are mounted");
            return None;
        };
        let folder = mount.join(format!("heapcast-{name}-{}", std::process::id()));
        match std::fs::create_dir_all(folder.join("below")) {
            Ok(()) => Some(Group(folder)),
            Err(error) => {
                println!("skipped: {}: {error}", folder.display());
                None
            }
        }
    }

    fn take(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process moves");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let remove = || [self.0.join("below"), self.0.clone()].iter().all(|folder| !folder.exists() || std::fs::remove_dir(folder).is_ok());
        until("the group is empty", || remove().then_some(()));
    }
}

#[test]
fn a_control_group_is_recorded_and_whoever_comes_into_it() {
    let Some(_alone) = possible() else { return };
    let Some(group) = Group::new("members") else { return };
    let program = match programs::compile("loop_forever") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let (Some((mut member, _one)), Some((mut newcomer, _other))) = (ready(), ready()) else { return };
    group.take(member.pid());
    let folder = Folder::new("group");
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--cgroup"]).arg(&group.0).stdout(Stdio::null()));
    let calls =
        |process: u32| until("calls are recorded", || Trace::try_open(&trace).filter(|trace| trace.count_of(process, "malloc") > 10));
    calls(0);
    // One that comes in the middle of its program, and one that begins in the group: of that one everything is seen.
    group.take(newcomer.pid());
    calls(1);
    let enter = format!("echo $$ > {}/below/cgroup.procs; exec {}", group.0.display(), program.display());
    let mut born = Running::start(Command::new("sh").args(["-c", &enter]).stdout(Stdio::piped()));
    calls(2);
    for process in [&mut member, &mut newcomer, &mut born] {
        signal(process.pid(), libc::SIGTERM);
        process.code();
    }
    // With its last process the group's recording ends.
    assert_eq!(recording.code(), Some(0));
    let trace = Trace::open(&trace);
    in_order(&trace);
    let of = |pid: u32| trace.manifest.processes.iter().filter(|process| process.pid == pid).collect::<Vec<_>>();
    assert_eq!([of(member.pid()).len(), of(newcomer.pid()).len(), of(born.pid()).len()], [1, 1, 1], "{:?}", trace.manifest.processes);
    let born = of(born.pid())[0];
    assert!(born.exe.ends_with("loop_forever"), "{}", born.exe);
    let unknown = trace.count_of(born.id, "free") - trace.count_of(born.id, "malloc");
    assert_eq!(unknown, 0, "from its first instruction on");
}

#[test]
fn what_is_no_group_to_record_is_refused() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("no-group");
    let refused = |path: &Path| said(recorder(&folder.join("trace"), &["--cgroup"]).arg(path)).exits(5).err;
    assert!(refused(Path::new("no-such-group")).contains("no control group no-such-group"));
    assert!(refused(folder.path()).contains("version 2"));
    if let Some(group) = Group::new("empty") {
        assert!(refused(&group.0).contains("no process is in the control group"));
    }
    assert!(!folder.join("trace").exists(), "nothing was made");
}

#[test]
fn threads_have_the_names_that_the_program_gave_them() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("threads_exit") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("names");
    let (_, trace) = record(&folder, &mut Command::new(&program));
    books_balance(&trace);
    let process = trace.manifest.processes.last().expect("a process");
    let names: Vec<&str> = process.threads.values().map(String::as_str).collect();
    for name in ["worker-0", "worker-1", "worker-2", "worker-3", "threads_exit"] {
        assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{name}: {names:?}");
    }
    let report = folder.join("report");
    said(heapcast(&["replay", "-q", "--policy", "recorded", "-o"]).arg(&report).arg(folder.join("trace"))).exits(0);
    let threads = std::fs::read_to_string(report.join("threads.csv")).expect("a table");
    assert!(threads.lines().next().is_some_and(|header| header.ends_with(",name")), "{threads}");
    assert_eq!(threads.lines().filter(|line| line.contains(",worker-")).count(), 4, "{threads}");
}

#[test]
fn a_thread_that_lives_on_is_named_and_a_new_program_begins_anew() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("renamed");
    let trace = folder.join("trace");
    let script = "printf first > /proc/$$/comm; exec sleep 600";
    let mut recording = Running::start(recorder(&trace, &["--events", "vm", "--", "bash", "-c", script]).stdout(Stdio::null()));
    let pid = until("the second program runs", || {
        let trace = Trace::try_open(&trace)?;
        trace.manifest.processes.iter().find(|process| process.comm == "sleep").map(|process| process.pid)
    });
    signal(recording.pid(), libc::SIGINT);
    assert_eq!(recording.code(), Some(0));
    end(pid);
    let trace = Trace::open(&trace);
    let name = |id: usize| trace.manifest.processes[id].threads.get(&pid).map(String::as_str);
    assert_eq!((name(0), name(1)), (Some("first"), Some("sleep")), "{:?}", trace.manifest.processes);
}
