//! How fast a stored trace is read, lifted and replayed, one thread each. `cargo bench -p profiler --bench replay -- TRACE [MODEL…]`.
//!
//! Prints one `what: figure` per line. Each step runs over the whole trace several times and shows its median of CPU time; what it
//! reads lies in memory already, so that steps are timed alone although a replay runs them side by side.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use profiler::event::{Event, ProcessId};
use profiler::model::REGISTRY;
use profiler::replay::{Policy, Recording, Run};
use profiler::trace::Reader;
use profiler::vm::thp;
use profiler::workload::{Lifter, Op};

const REPETITIONS: usize = 5;

/// Seconds that this thread has had of a CPU, so that a busy machine does not count. Where the kernel does not tell, of the clock.
fn cpu_seconds(clock: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos: Option<f64> = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| clock.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

/// Median seconds of an operation, and what it last gave.
fn timed<T>(mut operation: impl FnMut() -> T) -> (f64, T) {
    let clock = Instant::now();
    let (mut seconds, mut last) = (Vec::new(), None);
    for _ in 0..REPETITIONS {
        let began = cpu_seconds(clock);
        last = Some(operation());
        seconds.push(cpu_seconds(clock) - began);
    }
    seconds.sort_by(f64::total_cmp);
    (seconds[REPETITIONS / 2], last.expect("at least one repetition"))
}

fn rate(what: &str, count: usize, unit: &str, seconds: f64) {
    println!("{what}: {:.1} million {unit} per second", count as f64 / 1e6 / seconds);
}

fn read(trace: &Path) -> Vec<Event> {
    let mut reader = Reader::open(trace).expect("a trace");
    let mut events = Vec::new();
    while let Some(batch) = reader.next_batch() {
        events.extend_from_slice(batch);
    }
    assert_eq!(reader.damage(), None);
    events
}

fn lift(events: &[Event], selected: ProcessId, machine: thp::Mode) -> Vec<Op> {
    let mut lifter = Lifter::new(selected, machine);
    let mut ops = Vec::with_capacity(events.len());
    events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
    lifter.finish(&mut ops);
    ops
}

fn lift_and_measure(events: &[Event], selected: ProcessId, machine: thp::Mode) -> Vec<Op> {
    let mut recording = Recording::new(selected, machine);
    let mut ops = Vec::with_capacity(events.len());
    events.iter().for_each(|event| recording.feed(event, &mut ops));
    recording.finish(&mut ops);
    ops
}

/// The process with most events.
fn busiest(events: &[Event]) -> ProcessId {
    let mut counts: BTreeMap<ProcessId, usize> = BTreeMap::new();
    events.iter().for_each(|event| *counts.entry(event.process).or_default() += 1);
    counts.into_iter().max_by_key(|&(_, count)| count).map_or(0, |(process, _)| process)
}

fn main() {
    // Cargo adds a word of its own for benches.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let Some((trace, only)) = words.split_first() else {
        return println!("skipped: no trace was named");
    };
    let trace = Path::new(trace);
    let reader = Reader::open(trace).expect("a trace");
    let machine = reader.manifest().host.thp.as_deref().and_then(|mode| mode.parse().ok()).unwrap_or_default();

    let (seconds, events) = timed(|| read(trace));
    println!("events in the trace: {}", events.len());
    println!("bytes of trace per event: {:.2}", reader.bytes_total() as f64 / events.len() as f64);
    rate("reading", events.len(), "events", seconds);

    let selected = busiest(&events);
    let (lifting, _) = timed(|| lift(&events, selected, machine));
    rate("lifting", events.len(), "events", lifting);
    let (seconds, ops) = timed(|| lift_and_measure(&events, selected, machine));
    rate("lifting, with the recorded and measured curves", events.len(), "events", seconds);
    rate("replay of recorded, beside lifting", events.len(), "operations", seconds - lifting);

    for spec in REGISTRY.iter().filter(|spec| only.is_empty() || only.iter().any(|name| name == spec.id)) {
        let policy = Policy::parse(spec.id).expect("the name of a model");
        let (seconds, _) = timed(|| {
            let mut run = Run::new(&policy, machine).expect("a policy of defaults");
            run.feed(&ops);
            run.finish()
        });
        rate(&format!("replay of {}", spec.id), ops.len(), "operations", seconds);
    }
}
