//! Programs whose allocator is not where it usually is.

use std::process::{Command, Stdio};

use profiler::event::What;

use super::counts::books_balance;
use super::running::end;
use super::{possible, record, recorder};
use crate::programs;
use crate::support::{Folder, Running, Trace, until};

#[test]
fn of_a_stripped_static_program_the_rest_is_recorded() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("static_malloc") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("stripped");
    let stripped = folder.join("stripped");
    assert!(Command::new("strip").arg("-o").arg(&stripped).arg(program).status().expect("strip, as there is gcc").success());
    let (said, trace) = record(&folder, &mut Command::new(&stripped));
    assert!(said.out.contains("NOT recorded") && said.out.contains("no allocator with symbols"), "{}", said.out);
    books_balance(&trace);
    assert_eq!(trace.count("malloc") + trace.count("free"), 0);
    assert!(trace.count("brk") > 0 && trace.count("fault") > 10 && trace.count("rss") > 0);
    let rows = super::replayed(&folder, None);
    assert!(rows["measured"]["peak_rss_bytes"] > 0);
}

#[test]
fn a_library_that_is_opened_later_is_recorded() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("late_library") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    // jemalloc wants its thread data at a fixed place, for which glibc keeps little room unless told.
    let room = ("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384");
    let arguments = programs::arguments("late_library");
    let there = Command::new(&program).args(&arguments).env(room.0, room.1).stdout(Stdio::null()).status().expect("it starts");
    if there.code() == Some(3) {
        return println!("skipped: there is no {arguments:?} here");
    }
    let folder = Folder::new("late");
    let (_, trace) = record(&folder, Command::new(&program).args(&arguments).env(room.0, room.1));
    books_balance(&trace);
    let names: Vec<&str> = trace.manifest.processes[0].allocators.iter().map(|allocator| allocator.name.as_str()).collect();
    assert!(names.contains(&"glibc") && names.contains(&"jemalloc"), "{names:?}");
    // Sizes that nothing else asks for in this order.
    let sizes: Vec<u64> = trace
        .events
        .iter()
        .filter_map(|event| match event.what {
            What::Alloc { size, .. } if (5000..6000).contains(&size.0) => Some(size.0),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, (5000..6000).collect::<Vec<_>>());
}

#[test]
fn threads_that_outlive_the_first_one_are_recorded_on() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("leader_exit") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("leader-exit");
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--"]).arg(program).stdout(Stdio::null()));
    let pid = until("calls after the first thread's end", || {
        let trace = Trace::try_open(&trace)?;
        let pid = trace.manifest.processes.first()?.pid;
        let end = trace.events.iter().position(|event| event.tid == pid && matches!(event.what, What::ThreadEnd))?;
        let later = trace.events[end..].iter().filter(|event| event.tid != pid && matches!(event.what, What::Alloc { .. }));
        (later.count() > 10).then_some(pid)
    });
    end(pid);
    assert_eq!(recording.code(), Some(0));
    let trace = Trace::open(&trace);
    // Calls that ran while the probes were put to the second thread have no beginning; they are counted, and the note speaks of them.
    let counts = &trace.manifest.counts;
    assert!(counts.kinds.values().all(|kind| kind.lost == 0) && counts.rejected.is_empty(), "{counts:?}");
    assert!(trace.manifest.notes.iter().any(|note| note.contains("first thread")), "{:?}", trace.manifest.notes);
    assert_eq!(trace.manifest.processes[0].ending.as_deref(), Some("exited 0"));
}
