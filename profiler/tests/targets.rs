//! The programs that the live tests record keep their promises, counted without the recorder; and the readers of `/proc` and ELF files
//! see in them what is there.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::process::{Command, Stdio};

use profiler::event::{Backing, What};
use profiler::target::allocator::{Verdict, examine_file};
use profiler::target::emulate::Kernel;
use profiler::target::index::Index;
use profiler::target::{process, resident};

use crate::live::ready;
use crate::programs;
use crate::support::terminate;

/// The counters of `support/count_calls.c`, in its order; the failures of the system calls follow in the same order.
const NAMES: [&str; 15] = [
    "malloc",
    "calloc",
    "realloc",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "free",
    "own-mmap",
    "own-munmap",
    "own-mremap",
    "own-madvise",
    "own-mprotect",
    "own-brk",
];

/// Runs a program under the counting library. The error is the reason to skip.
fn counted(name: &str) -> Result<BTreeMap<String, u64>, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/count_calls.c");
    let library = programs::build(&source, "count_calls.so", &["-shared".into(), "-fPIC".into()])?;
    let program = programs::compile(name)?;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}.counts", std::process::id()));
    std::fs::write(&file, [0; 2 * NAMES.len() * 8]).expect("a file for the counters");
    let mut command = Command::new(program);
    command.args(programs::arguments(name)).env("LD_PRELOAD", library).env("COUNT_CALLS_FILE", &file).stdout(Stdio::null());
    let status = command.status().expect("the program starts");
    assert!(status.success(), "{name}: {status}");
    let bytes = std::fs::read(&file).expect("the counters");
    std::fs::remove_file(&file).expect("the counters are ours");
    let failed = NAMES.map(|name| name.replace("own-", "failed-"));
    let names = NAMES.map(str::to_owned).into_iter().chain(failed);
    let counts = names.zip(bytes.as_chunks::<8>().0).map(|(name, word)| (name, u64::from_ne_bytes(*word)));
    // The calls of the malloc family have no counter of failures: those names come twice, the first one counts.
    let mut all = BTreeMap::new();
    counts.for_each(|(name, count)| {
        all.entry(name).or_insert(count);
    });
    Ok(all)
}

#[test]
fn programs_keep_their_promises() {
    // Five run until they are told to end or go on, one cannot be given a library, one brings a second allocator, one calls what the library does not
    // count; all have tests of their own.
    let others = ["flood", "leader_exit", "loop_forever", "older_heap", "opens_later", "static_malloc", "late_library", "trim_and_sbrk"];
    for name in programs::all().iter().filter(|name| !others.contains(&name.as_str())) {
        let counts = match counted(name) {
            Ok(counts) => counts,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let promised = programs::expectations(name);
        for (key, count) in &counts {
            match promised.get(&format!("at-least-{key}")) {
                Some(least) => assert!(count >= least, "{name}: {key} {count}, at least {least} promised"),
                None => assert_eq!(*count, promised.get(key).copied().unwrap_or(0), "{name}: {key}"),
            }
        }
    }
}

#[test]
fn every_promise_is_understood() {
    let other = ["malloc_trim", "mallopt", "released", "touched-pages", "populated-pages", "faults", "threads", "processes", "execs"];
    // How much `flood` does depends on the time that it is given; it says so at its end.
    for name in programs::all().into_iter().filter(|name| name != "flood") {
        let promises = programs::expectations(&name);
        assert!(!promises.is_empty(), "{name} promises nothing");
        for key in promises.keys() {
            let plain = key.strip_prefix("at-least-").unwrap_or(key).replace("failed-", "own-");
            assert!(NAMES.contains(&plain.as_str()) || other.contains(&plain.as_str()), "{name}: {key}");
        }
    }
}

#[test]
fn a_static_program_brings_its_own_allocator() {
    let program = match programs::compile("static_malloc") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    assert!(Command::new(&program).status().expect("the program starts").success());
    let verdict = examine_file(&program, &Kernel::running().unwrap()).unwrap();
    let Verdict::Allocators(allocators) = verdict else { panic!("{verdict:?}") };
    let [allocator] = &allocators[..] else { panic!("{allocators:?}") };
    assert_eq!(allocator.name, "glibc");
    let symbols: Vec<&str> = allocator.probes.iter().map(|probe| probe.symbol.as_str()).collect();
    assert!(["malloc", "calloc", "realloc", "free"].iter().all(|name| symbols.contains(name)), "{symbols:?}");
}

#[test]
fn a_running_process_is_seen() {
    let Some((mut child, mut output)) = ready() else { return };
    let pid = child.pid();
    let mut index = Index::new(Kernel::running().unwrap());
    let found = index.find_in_process(pid).unwrap();
    assert!(found.unsupported.is_empty(), "{:?}", found.unsupported);
    assert_eq!(found.allocators.len(), 1, "libc, and not the loader");
    assert_eq!(process::threads(pid).unwrap(), [pid]);
    assert_eq!(process::comm(pid).unwrap(), "loop_forever");
    assert!(process::exe(pid).unwrap().ends_with("loop_forever"));
    let events = resident::snapshot(pid).unwrap();
    let is_heap = |event: &What| matches!(event, What::Mapped { backing: Backing::Break, .. });
    assert!(events.iter().any(is_heap) && matches!(events.last(), Some(What::Rss { .. })));
    terminate(pid);
    assert_eq!(child.code(), Some(0));
    let mut pairs = String::new();
    output.read_line(&mut pairs).unwrap();
    assert!(pairs.trim().parse::<u64>().unwrap() >= 1);
}
