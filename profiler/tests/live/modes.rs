//! Less than everything: without calls of malloc, in windows, up to a limit.

use std::process::{Command, Stdio};

use profiler::event::What;
use profiler::trace::manifest::Calls;

use super::counts::books_balance;
use super::running::{goes_on, ready};
use super::{error, installed, possible, record_with, recorder, replayed};
use crate::programs;
use crate::support::{Folder, Running, Trace, heapcast, said, signal, terminate, until};

const SQL: &str = "create table t(a, b); with recursive n(x) as (select 1 union all select x + 1 from n where x < 20000) \
                   insert into t select x, hex(randomblob(20)) from n; create index i on t(b);";
const PYTHON: &str = "import json; d = [json.dumps({'k': i}) for i in range(100000)]; d.sort()";

/// Recorded without a call of malloc, and replayed page by page as it was.
fn light(name: &str, program: &str, arguments: &[&str]) {
    let Some(_alone) = possible() else { return };
    if !installed(program) {
        return;
    }
    let folder = Folder::new(&format!("light-{name}"));
    let (said, trace) = record_with(&folder, &["--events", "vm"], Command::new(program).args(arguments));
    assert!(said.out.contains("not recorded, as asked for with --events vm"), "{}", said.out);
    books_balance(&trace);
    assert_eq!((trace.manifest.calls, trace.count("malloc") + trace.count("free")), (Calls::None, 0));
    assert!(trace.manifest.processes[0].allocators.iter().all(|allocator| allocator.probes == 0), "found, and not probed");
    assert!(trace.count("brk") > 0 && trace.count("mmap") > 0);
    let rows = replayed(&folder, None);
    let (measured, recorded) = (&rows["measured"], &rows["recorded"]);
    for (column, limit) in [("peak_rss_bytes", 0.0005), ("minor_faults", 0.001)] {
        let off = error(recorded[column], measured[column]);
        println!("{name}: {column} measured {}, recorded {:+.3} %", measured[column], off * 100.0);
        assert!(off.abs() <= limit, "{name}: {column}, see the line above");
    }
    assert!(!measured.contains_key("peak_live_bytes"), "nobody knows what was live");
    let mut glibc = heapcast(&["replay", "-q", "--policy", "glibc", "-o"]);
    let refused = crate::support::said(glibc.arg(folder.join("refused")).arg(folder.join("trace"))).exits(2);
    assert!(refused.err.contains("glibc needs every call of malloc") && refused.err.contains("--events all"), "{}", refused.err);
}

#[test]
fn python3_without_calls() {
    light("python3", "/usr/bin/python3", &["-c", PYTHON]);
}

#[test]
fn sqlite3_without_calls() {
    light("sqlite3", "sqlite3", &[":memory:", SQL]);
}

#[test]
fn without_calls_no_probe_and_no_stop_touches_the_process() {
    let Some(_alone) = possible() else { return };
    let Some((mut target, _output)) = ready() else { return };
    let folder = Folder::new("light-attached");
    let trace = folder.join("trace");
    let mut command = recorder(&trace, &["--events", "vm", "--pid"]);
    let mut recording = Running::start(command.arg(target.pid().to_string()).stdout(Stdio::null()));
    until("it is recorded", || Trace::try_open(&trace).filter(|trace| trace.count("resident") > 0));
    goes_on(target.pid());
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", target.pid())).expect("the target's maps");
    assert!(!maps.contains("[uprobes]"), "{maps}");
    terminate(target.pid());
    assert_eq!((target.code(), recording.code()), (Some(0), Some(0)));
    let trace = Trace::open(&trace);
    books_balance(&trace);
    assert!(!trace.manifest.counts.kinds.contains_key("stopped"), "{:?}", trace.manifest.counts);
}

#[test]
fn a_child_without_calls_is_followed_and_left_alone_as_asked() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("fork_tree") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("light-fork");
    let (_, trace) = record_with(&folder, &["--events", "vm"], &mut Command::new(&program));
    books_balance(&trace);
    assert!(trace.manifest.processes.len() > 1, "children are followed");
    let all = trace.manifest.processes.len();
    let (_, trace) = record_with(&folder, &["--events", "vm", "--no-follow"], &mut Command::new(&program));
    books_balance(&trace);
    let followed = |process: &&profiler::trace::manifest::Process| process.ending.as_deref() != Some("not followed");
    assert_eq!(trace.manifest.processes.iter().filter(followed).count(), 1, "of {all}");
}

#[test]
fn calls_are_recorded_in_windows_and_nothing_of_the_gaps() {
    let Some(_alone) = possible() else { return };
    let Some((mut target, _output)) = ready() else { return };
    let folder = Folder::new("windows");
    let trace = folder.join("trace");
    let mut command = recorder(&trace, &["--for", "100ms", "--every", "400ms", "--pid"]);
    let mut recording = Running::start(command.arg(target.pid().to_string()).stdout(Stdio::null()));
    until("three windows have ended", || Trace::try_open(&trace).filter(|trace| trace.count("window_end") >= 3));
    signal(recording.pid(), libc::SIGINT);
    assert_eq!(recording.code(), Some(0));
    goes_on(target.pid());
    terminate(target.pid());
    assert_eq!(target.code(), Some(0));
    let trace = Trace::open(&trace);
    assert_eq!(trace.manifest.calls, Calls::Windows);
    let (mut open, mut calls) = (true, Vec::new());
    for event in &trace.events {
        match event.what {
            What::WindowBegin => {
                assert!(!std::mem::replace(&mut open, true), "a window in a window");
                calls.push(0);
            }
            What::WindowEnd => assert!(std::mem::replace(&mut open, false), "an end without a beginning"),
            What::Alloc { .. } | What::Free { .. } => {
                assert!(open, "a call outside of a window: {event:?}");
                calls.last_mut().into_iter().for_each(|calls| *calls += 1);
            }
            _ => {}
        }
    }
    assert!(calls.len() >= 2 && calls[0] > 0 && calls[1] > 0, "{calls:?}");
    let inspect = |words: &[&str]| said(heapcast(&["inspect", "-q"]).args(words).arg(folder.join("trace"))).exits(0).out;
    assert!(inspect(&[]).contains("calls     of malloc were recorded in"), "{}", inspect(&[]));
    let study: serde_json::Value = serde_json::from_str(&inspect(&["--json"])).expect("JSON");
    let notes: Vec<&str> = study["recording"]["notes"].as_array().expect("notes").iter().filter_map(|note| note.as_str()).collect();
    let about = notes.iter().find(|note| note.contains("recorded in windows")).unwrap_or_else(|| panic!("{notes:?}"));
    assert!(about.contains("were live when a window ended"), "{about}");
    let mut replay = heapcast(&["replay", "-q", "--force", "-o"]);
    let told = said(replay.arg(folder.join("report")).arg(folder.join("trace"))).exits(0);
    assert!(told.out.contains("No model of an allocator was replayed"), "{}", told.out);
}

#[test]
fn a_recording_stops_at_its_limits() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("burst") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("limits");
    let limited = |name: &str, limit: &str| {
        let mut command = recorder(&folder.join(name), &["--stop-after", limit, "--stop-after", "60s", "--"]);
        let said = said(command.arg(&program).args(["100000", "2"])).exits(0);
        (said.out, Trace::open(&folder.join(name)))
    };
    let (out, trace) = limited("events", "1Kevents");
    assert!(out.contains("stopped after the given number of events"), "{out}");
    assert!(trace.events.len() >= 1000 && trace.manifest.complete, "{}", trace.events.len());
    assert_eq!(trace.manifest.options["stop_after_events"], "1000");
    let Some((target, _output)) = ready() else { return };
    let mut command = recorder(&folder.join("time"), &["--stop-after", "300ms", "--pid"]);
    let said = said(command.arg(target.pid().to_string())).exits(0);
    assert!(said.out.contains("stopped after the given time"), "{}", said.out);
    let mut command = recorder(&folder.join("size"), &["--stop-after", "16K", "--pid"]);
    let said = crate::support::said(command.arg(target.pid().to_string())).exits(0);
    assert!(said.out.contains("stopped at the given size of the trace"), "{}", said.out);
    let events = std::fs::metadata(folder.join("size").join("events.arrow")).expect("the events").len();
    assert!((16 << 10..64 << 10).contains(&events), "{events}");
}
