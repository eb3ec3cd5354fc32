//! Every program of `tests/targets` is recorded as it promises: each call once, nothing lost, nothing unpaired.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;
use std::sync::OnceLock;

use profiler::event::{Access, Call, Errno, Event, MAP_ANONYMOUS, What};
use profiler::trace::kind_name;
use profiler::units::{Addr, Bytes, Nanos};
use profiler::vm::thp;
use profiler::workload::{Action, Lifter};

use super::{error, possible, record, replayed};
use crate::programs;
use crate::support::{Folder, Trace};

/// One test per program, and one that none is left out.
macro_rules! each {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_program_is_recorded() {
            let elsewhere = [
                "call_sites", "calls_of_c", "flood", "kernel_rules", "late_library", "leader_exit", "left_memory", "lock_all", "loop_forever",
                "many_threads", "nothing", "older_heap", "opens_later",
            ];
            let mut named: Vec<&str> = vec![$(stringify!($name)),*];
            named.extend(elsewhere);
            named.sort();
            assert_eq!(named, programs::all());
        }
    };
}

each! {
    burst cross_thread_free each_call failed_map fork_tree huge_touch madvise_free map_over_hole populate read_then_write
    realloc_place spawn_exec static_malloc stride_touch threads_exit trim_and_sbrk unmap_parts
}

/// Records a program with the arguments under which its promises hold.
fn recorded(name: &str) -> Option<(Folder, Trace)> {
    let program = match programs::compile(name) {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let folder = Folder::new(name);
    // Cargo names folders in it, for each of which a static libc allocates before main.
    let (_, trace) = record(&folder, Command::new(program).args(programs::arguments(name)).env("LD_LIBRARY_PATH", ""));
    Some((folder, trace))
}

fn check(name: &str) {
    let Some(_alone) = possible() else { return };
    let Some((folder, trace)) = recorded(name) else { return };
    let promised = programs::expectations(name);
    books_balance(&trace);
    heap_calls(name, &trace, &promised);
    lives(name, &trace, &promised);
    let single = ["threads", "processes", "execs"].iter().all(|key| !promised.contains_key(*key));
    if single && name != "static_malloc" {
        system_calls(name, &trace, &promised);
        touches(name, &trace, &promised);
    }
    if !promised.contains_key("processes") {
        kernel_agrees(name, &trace, promised.get("populated-pages").copied().unwrap_or(0));
        page_model_agrees(name, &folder);
    }
}

/// Nothing lost, and every record accounted for.
pub(super) fn books_balance(trace: &Trace) {
    let counts = &trace.manifest.counts;
    assert_eq!((trace.lost(), trace.damage.as_deref()), (0, None), "{counts:?}");
    assert!(counts.rejected.is_empty() && trace.manifest.complete, "{counts:?}");
    let made: u64 = counts.kinds.values().map(|kind| kind.made).sum();
    assert_eq!(made, counts.decoded + counts.before_exec + counts.after_end, "{counts:?}");
}

/// Calls of the malloc family, exactly.
fn heap_calls(name: &str, trace: &Trace, promised: &BTreeMap<String, u64>) {
    // In glibc these are one function.
    let one = |call: &str| if call == "aligned_alloc" { "memalign".to_owned() } else { call.to_owned() };
    let (mut exact, mut least) = (BTreeMap::new(), BTreeMap::new());
    for call in Call::ALL.iter().map(|(_, call)| *call).chain(["free", "malloc_trim", "mallopt"]) {
        let at_least = promised.get(&format!("at-least-{call}"));
        let into = if at_least.is_some() { &mut least } else { &mut exact };
        *into.entry(one(call)).or_insert(0) += at_least.or(promised.get(call)).copied().unwrap_or(0);
    }
    for (call, count) in exact {
        assert_eq!(trace.count(&call), count, "{name}: {call}");
    }
    for (call, count) in least {
        assert!(trace.count(&call) >= count, "{name}: {call} {} < {count}", trace.count(&call));
    }
    if let Some(count) = promised.get("released") {
        assert_eq!(released(trace), *count, "{name}: released");
    }
}

/// Blocks of `malloc` that were given back, each once: glibc frees some again when a thread's cache goes.
fn released(trace: &Trace) -> u64 {
    let mut live: HashMap<Addr, Call> = HashMap::new();
    let mut count = 0;
    for event in &trace.events {
        match event.what {
            What::Alloc { call, ptr, .. } => drop(live.insert(ptr, call)),
            What::Free { ptr } => count += u64::from(live.remove(&ptr) == Some(Call::Malloc)),
            _ => {}
        }
    }
    count
}

/// Threads, processes, and programs that replaced another one.
fn lives(name: &str, trace: &Trace, promised: &BTreeMap<String, u64>) {
    let pids: BTreeSet<u32> = trace.manifest.processes.iter().map(|process| process.pid).collect();
    // The child of posix_spawn shares its parent's memory until it executes: it begins as a thread and becomes a process.
    let thread = |event: &&Event| matches!(event.what, What::ThreadStart { child } if !pids.contains(&child));
    let threads = trace.events.iter().filter(thread).count() as u64;
    let found = [("threads", threads, 0), ("processes", pids.len() as u64, 1), ("execs", trace.count("start") - 1, 0)];
    for (key, count, unpromised) in found {
        assert_eq!(count, promised.get(key).copied().unwrap_or(unpromised), "{name}: {key}");
    }
    let first = &trace.manifest.processes[0];
    assert_eq!(first.ending.as_deref(), Some("exited 0"), "{name}");
}

/// What the kernel does for each program before its first own instruction.
fn start_of_any_program() -> &'static Trace {
    static NOTHING: OnceLock<Trace> = OnceLock::new();
    NOTHING.get_or_init(|| recorded("nothing").expect("compiled like the others").1)
}

const SYSTEM_CALLS: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "madvise", "mprotect"];

/// Memory system calls outside of the allocator, those of a program that does nothing subtracted.
fn system_calls(name: &str, trace: &Trace, promised: &BTreeMap<String, u64>) {
    let own = |trace: &Trace, call: &str| {
        let of_blocks = if call == "munmap" { unmapped_by_free(trace) } else { 0 };
        trace.events.iter().filter(|event| !event.in_heap && kind_name(event) == call).count() as u64 - of_blocks
    };
    let failed = |trace: &Trace, call: &str| trace.events.iter().filter(|event| fails(event) && kind_name(event) == call).count() as u64;
    for call in SYSTEM_CALLS {
        let of_all = own(start_of_any_program(), call);
        let promise = |key: String| promised.get(&key).copied().unwrap_or(0);
        assert_eq!(own(trace, call) - of_all, promise(format!("own-{call}")), "{name}: own {call}");
        assert_eq!(failed(trace, call), promise(format!("failed-{call}")), "{name}: failed {call}");
    }
}

/// Mappings of the allocator that went outside of its calls as far as the recorder knows: it sees where `free` begins, not where it ends.
fn unmapped_by_free(trace: &Trace) -> u64 {
    let mut by_allocator = HashMap::new();
    let mut count = 0;
    for event in &trace.events {
        match event.what {
            What::Mmap { result: Ok(start), .. } | What::Mremap { result: Ok(start), .. } => {
                by_allocator.insert(start, event.in_heap);
            }
            What::Munmap { addr, errno: 0, .. } if !event.in_heap => count += u64::from(by_allocator.remove(&addr) == Some(true)),
            _ => {}
        }
    }
    count
}

/// Whether it is a failed system call outside of the allocator.
fn fails(event: &Event) -> bool {
    !event.in_heap && errno(&event.what).is_some_and(|errno| errno != 0)
}

/// The error of a system call, 0 when it succeeded; a refused `brk` has none and counts as `ENOMEM`.
fn errno(what: &What) -> Option<Errno> {
    match *what {
        What::Mmap { result, .. } | What::Mremap { result, .. } => Some(result.err().unwrap_or(0)),
        What::Munmap { errno, .. } | What::Madvise { errno, .. } | What::Mprotect { errno, .. } => Some(errno),
        What::Brk { asked, got } if asked != Addr(0) && asked != got => Some(libc::ENOMEM as Errno),
        What::Brk { .. } => Some(0),
        _ => None,
    }
}

#[test]
fn failures_keep_their_error_numbers() {
    let Some(_alone) = possible() else { return };
    let Some((_folder, trace)) = recorded("failed_map") else { return };
    let failed: Vec<(&str, i32)> =
        trace.events.iter().filter(|event| fails(event)).map(|event| (kind_name(event), errno(&event.what).map_or(0, i32::from))).collect();
    let expected = [
        ("mmap", libc::ENODEV),
        ("munmap", libc::EINVAL),
        ("mprotect", libc::ENOMEM),
        ("madvise", libc::ENOMEM),
        ("mremap", libc::EFAULT),
        ("brk", libc::ENOMEM),
    ];
    assert_eq!(failed, expected);
}

/// The anonymous mappings that the program made itself (the last ones), and those that the allocator made for a block: from when, and where.
fn own_ranges(trace: &Trace, own: usize) -> Vec<(Nanos, Addr, Addr)> {
    let range = |event: &&Event| match event.what {
        What::Mmap { len, flags, file: false, result: Ok(start), .. } if flags & MAP_ANONYMOUS != 0 => {
            Some((event.time, start, Addr(start.0 + len.0)))
        }
        _ => None,
    };
    let (by_allocator, by_program): (Vec<&Event>, Vec<&Event>) =
        trace.events.iter().filter(|event| range(event).is_some()).partition(|event| event.in_heap);
    let own = &by_program[by_program.len() - own.min(by_program.len())..];
    own.iter().chain(&by_allocator).filter_map(range).collect()
}

/// Page faults in the program's own mappings. Before they were made, something else may have been in their place.
fn touches(name: &str, trace: &Trace, promised: &BTreeMap<String, u64>) {
    let promise = |key: &str| promised.get(key).copied();
    let ranges = own_ranges(trace, promise("own-mmap").unwrap_or(0) as usize);
    let faults = |writes_to_fresh: bool| {
        let counts = |event: &&Event| match event.what {
            What::Fault { addr, access, .. } => {
                let made = |&(since, start, end): &(Nanos, Addr, Addr)| event.time >= since && (start..end).contains(&addr);
                ranges.iter().any(made) && (!writes_to_fresh || access == Access::Write)
            }
            _ => false,
        };
        trace.events.iter().filter(counts).count() as u64
    };
    if let Some(pages) = promise("touched-pages") {
        let faults = faults(true);
        // One fault for 512 pages wherever the kernel found a huge one, which is its choice.
        let huge = name == "huge_touch" && faults <= pages && (pages - faults) % 511 == 0;
        assert!(faults == pages || huge, "{name}: {faults} faults for {pages} pages");
    }
    if let Some(count) = promise("faults") {
        assert_eq!(faults(false), count, "{name}: faults");
    }
    if let Some(pages) = promise("populated-pages") {
        assert_eq!(faults(false), 0, "{name}: faults");
        let most = |trace: &Trace| trace.events.iter().filter_map(anonymous).max().unwrap_or(0);
        let (others, all) = (most(start_of_any_program()), most(trace));
        assert!((pages..pages + 10).contains(&(all - others)), "{name}: {all} anonymous pages, {others} of them in any program");
    }
}

fn anonymous(event: &Event) -> Option<u64> {
    match event.what {
        What::Rss { anon, .. } => Some(anon.0),
        _ => None,
    }
}

/// Recorded faults are the kernel's own count, but for a handful around the beginning and the end. It counts what it populates by itself, too.
fn kernel_agrees(name: &str, trace: &Trace, populated: u64) {
    let first = &trace.manifest.processes[0];
    let kernel = first.minor_faults.expect("told") + first.major_faults.expect("told");
    let faults = trace.count("fault") + populated;
    assert!(faults.abs_diff(kernel) <= 3.max(kernel / 100), "{name}: {faults} faults recorded, {kernel} counted by the kernel");
}

/// The recorded placements, driven through the page model, land on what was measured: 1 % of the peak and 2 % of the faults, or a few pages.
fn page_model_agrees(name: &str, folder: &Folder) {
    let rows = replayed(folder, None);
    let (measured, recorded) = (&rows["measured"], &rows["recorded"]);
    // mlock populates too, and is not recorded.
    let locked = if name == "populate" { 10 } else { 0 };
    for (column, share, least) in [("peak_rss_bytes", 0.01, 16 * 4096), ("minor_faults", 0.02, 4 + locked)] {
        let (truth, found) = (measured[column], recorded[column]);
        println!("{name}: {column} measured {truth}, recorded {found}, {:+.2} %", error(found, truth) * 100.0);
        assert!(found.abs_diff(truth) <= least || error(found, truth).abs() <= share, "{name}: {column} {found}, measured {truth}");
    }
}

#[test]
fn the_programs_break_is_told_from_the_allocators() {
    let Some(_alone) = possible() else { return };
    let Some((_folder, trace)) = recorded("trim_and_sbrk") else { return };
    let mut lifter = Lifter::new(0, thp::Mode::Never);
    let mut ops = Vec::new();
    trace.events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
    let told: Vec<Action> = ops.iter().map(|op| op.action).filter(tells_the_allocator).collect();
    let tid = trace.manifest.processes[0].pid;
    let page = 4096;
    let expected = [
        Action::Sbrk { delta: page },
        Action::Configure { tid, parameter: libc::M_TOP_PAD, value: 64 << 10 },
        Action::Configure { tid, parameter: libc::M_MMAP_THRESHOLD, value: 1 << 30 },
        Action::Sbrk { delta: 3 * page },
        Action::Trim { tid, pad: Bytes(0) },
        Action::Sbrk { delta: -3 * page },
        Action::Trim { tid, pad: Bytes(4096) },
    ];
    assert_eq!(told, expected);
}

fn tells_the_allocator(action: &Action) -> bool {
    matches!(action, Action::Sbrk { .. } | Action::Trim { .. } | Action::Configure { .. })
}

#[test]
fn each_process_has_a_stream_of_its_own() {
    let Some(_alone) = possible() else { return };
    let Some((_folder, trace)) = recorded("fork_tree") else { return };
    let calls = |kind| trace.manifest.processes.iter().map(|process| trace.count_of(process.id, kind)).collect::<Vec<_>>();
    assert_eq!((calls("malloc"), calls("free")), (vec![10, 20, 30], vec![10, 30, 60]));
    let parents: Vec<Option<u32>> = trace.manifest.processes.iter().map(|process| process.parent).collect();
    assert_eq!(parents, [None, Some(0), Some(1)]);
}

#[test]
fn a_memory_that_was_left_is_no_more_its_former_owners() {
    let Some(_alone) = possible() else { return };
    let Some((_folder, trace)) = recorded("left_memory") else { return };
    let second = trace.manifest.processes.get(1).expect("the program executed itself");
    assert_eq!(second.ending.as_deref(), Some("exited 0"));
    let anon = trace.events.iter().filter(|event| event.process == second.id).filter_map(anonymous).max().expect("some");
    assert!(anon < 500, "{anon} anonymous pages; 2000 were written in the memory that was left");
}
