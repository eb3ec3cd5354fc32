//! Processes stand still while the recorder places its probes: that is told in the trace, and not part of the workload.

use std::process::Command;

use profiler::event::{Event, ProcessId, What};
use profiler::units::Nanos;
use profiler::vm::thp;
use profiler::workload::Lifter;

use super::counts::books_balance;
use super::{possible, record};
use crate::programs;
use crate::support::{Folder, Trace};

#[test]
fn each_new_process_and_program_pauses_and_its_own_clock_does_not_run_on() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("spawn_exec") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("pauses");
    let (_, trace) = record(&folder, &mut Command::new(program));
    books_balance(&trace);
    // The program, one that was spawned, and a forked child before and after its exec.
    assert_eq!((trace.manifest.processes.len(), trace.count("start"), trace.count("fork")), (4, 3, 1));
    (0..4).for_each(|process| check(&trace, process));
}

fn check(trace: &Trace, process: ProcessId) {
    let born = |event: &&Event| event.process == process || matches!(event.what, What::Fork { process: child, .. } if child == process);
    let begin = trace.events.iter().find(born).expect("it was recorded").time;
    let events: Vec<&Event> = trace.events.iter().filter(|event| event.process == process).collect();
    let pauses: Vec<(Nanos, Nanos)> = events.iter().filter_map(|event| pause(event)).collect();
    assert!(pauses.iter().all(|(since, until)| begin <= *since && since < until), "process {process}: {pauses:?}");
    assert!(pauses.is_sorted_by(|(_, until), (since, _)| until <= since), "process {process}: {pauses:?}");
    let (_, probed) = *pauses.first().unwrap_or_else(|| panic!("process {process} was not stopped for its probes"));
    let calls: Vec<Nanos> = events.iter().filter(|event| is_heap_call(event)).map(|event| event.time).collect();
    assert!(calls.iter().all(|call| *call > probed), "process {process}: a call before its probes");
    assert!(
        !calls.iter().any(|call| pauses.iter().any(|(since, until)| since < call && call < until)),
        "process {process}: a call in a pause"
    );
    let still: u64 = pauses.iter().map(|(since, until)| until.0 - since.0).sum();
    let recorded = events.last().expect("its end").time.0 - begin.0;
    println!("process {process}: recorded for {recorded} ns, stood still for {still} ns in {} pauses", pauses.len());
    assert_eq!(lifted(trace, process) + still, recorded, "process {process}");
}

fn pause(event: &Event) -> Option<(Nanos, Nanos)> {
    match event.what {
        What::Paused { since } => Some((since, event.time)),
        _ => None,
    }
}

fn is_heap_call(event: &Event) -> bool {
    matches!(event.what, What::Alloc { .. } | What::Free { .. })
}

/// Length of a process's workload, ns.
fn lifted(trace: &Trace, process: ProcessId) -> u64 {
    let mut lifter = Lifter::new(process, thp::Mode::Never);
    let mut ops = Vec::new();
    trace.events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
    lifter.finish(&mut ops);
    lifter.now().0
}
