//! `heapcast measure`: the real libraries, on stored and on fresh recordings. It takes no privileges, except where something is recorded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use profiler::measure::script;
use profiler::trace::Reader;
use profiler::vm::thp;
use profiler::workload::{Action, Lifter};

use crate::golden::stored;
use crate::live;
use crate::programs;
use crate::support::{Folder, Said, heapcast, said};

/// The cells of a row by column; empty ones are unknown.
type Row = HashMap<String, String>;

fn measure(trace: &Path, report: &Path, options: &[&str]) -> Said {
    let mut command = heapcast(&["measure", "--quiet", "--force"]);
    said(command.args(options).arg(trace).arg("-o").arg(report))
}

/// The rows of the summary, by policy and source.
fn rows(report: &Path) -> HashMap<(String, String), Row> {
    let text = std::fs::read_to_string(report.join("summary.csv")).expect("a summary");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    let row = |line: &str| {
        let cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        let row: Row = names.iter().map(|name| (*name).to_owned()).zip(cells).collect();
        ((row["policy"].clone(), row["source"].clone()), row)
    };
    lines.map(row).collect()
}

fn row<'a>(rows: &'a HashMap<(String, String), Row>, policy: &str, source: &str) -> &'a Row {
    rows.get(&(policy.to_owned(), source.to_owned())).unwrap_or_else(|| panic!("no row {policy}, {source}: {:?}", rows.keys()))
}

fn number(row: &Row, column: &str) -> i64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} is unknown: {row:?}"))
}

/// That two rows are one run: calls equal, pages and faults to a few.
#[track_caller]
fn agree(name: &str, recorded: &Row, replayed: &Row) {
    const PAGES: i64 = 4;
    for column in ["brk_calls", "mmap_calls", "munmap_calls", "mremap_calls", "madvise_calls"] {
        assert_eq!(number(recorded, column), number(replayed, column), "{name}: {column}");
    }
    for (column, unit) in [("peak_rss_bytes", 4096), ("final_rss_bytes", 4096), ("peak_live_bytes", 1), ("minor_faults", 1)] {
        let (one, other) = (number(recorded, column), number(replayed, column));
        assert!((one - other).abs() <= PAGES * unit, "{name}: {column}: {one} recorded, {other} with the library");
    }
}

/// Whether the libc here is the one of this trace.
fn same_libc(trace: &Path) -> bool {
    let reader = Reader::open(trace).expect("a trace");
    let version = reader.manifest().processes.iter().flat_map(|process| &process.allocators).find_map(|found| found.version.clone());
    let output = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let here = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let same = version.as_ref().is_some_and(|version| here == format!("glibc {version}"));
    if !same {
        println!("skipped: {} is of glibc {version:?}, here is {here}", trace.display());
    }
    same
}

#[test]
fn libc_does_again_what_was_recorded() {
    let folder = Folder::new("measure-libc");
    for name in ["sqlite3", "threads_exit", "fork_tree"] {
        if !same_libc(&stored(name)) {
            continue;
        }
        measure(&stored(name), &folder.join(name), &["--policy", "glibc"]).exits(0);
        let rows = rows(&folder.join(name));
        agree(name, row(&rows, "recorded", "simulated"), row(&rows, "glibc", "replayed"));
    }
}

#[test]
fn libc_does_again_what_is_recorded_now() {
    let Some(_one) = live::possible() else { return };
    let folder = Folder::new("measure-live");
    for name in ["trim_and_sbrk", "realloc_place", "stride_touch"] {
        let program = match programs::compile(name) {
            Ok(program) => program,
            Err(reason) => return println!("skipped: {reason}"),
        };
        live::record(&folder, std::process::Command::new(program).args(programs::arguments(name)));
        measure(&folder.join("trace"), &folder.join(name), &["--policy", "glibc"]).exits(0);
        let rows = rows(&folder.join(name));
        agree(name, row(&rows, "recorded", "simulated"), row(&rows, "glibc", "replayed"));
    }
}

#[test]
fn recorded_time_changes_no_count() {
    if !same_libc(&stored("each_call")) {
        return;
    }
    let folder = Folder::new("measure-paced");
    let rows = [&[][..], &["--paced"][..]].map(|pace| {
        let report = folder.join(&format!("report{}", pace.len()));
        measure(&stored("each_call"), &report, &[&["--policy", "glibc"], pace].concat()).exits(0);
        row(&rows(&report), "glibc", "replayed").clone()
    });
    agree("each_call", &rows[0], &rows[1]);
}

#[test]
fn installed_libraries_stand_beside_libc() {
    let folder = Folder::new("measure-installed");
    let said = measure(&stored("sqlite3"), &folder.join("report"), &[]).exits(0);
    let rows = rows(&folder.join("report"));
    let libraries = rows.iter().filter(|((_, source), _)| source == "replayed");
    let recorded = row(&rows, "recorded", "simulated");
    for ((policy, _), row) in libraries {
        assert!(said.out.contains(&format!("{policy} (real library)")), "{}", said.out);
        assert_eq!(number(row, "peak_live_bytes"), number(recorded, "peak_live_bytes"), "{policy}");
        assert!(number(row, "peak_rss_bytes") > number(row, "peak_live_bytes"), "{policy}: {row:?}");
        assert!(number(row, "mmap_calls") + number(row, "brk_calls") > 0, "{policy}: {row:?}");
    }
    for name in ["jemalloc", "mimalloc", "tcmalloc"] {
        if !rows.contains_key(&(name.to_owned(), "replayed".to_owned())) {
            println!("skipped: {name} is not installed");
        }
    }
    let leftovers =
        std::fs::read_dir(folder.join("report")).expect("the report").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert!(leftovers.into_iter().all(|name| !name.starts_with(".measure")), "the script is gone");
}

#[test]
fn settings_reach_the_library() {
    let folder = Folder::new("measure-settings");
    let specs = ["glibc:mmap_threshold=4K", "env:GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4096", "glibc"];
    let options: Vec<&str> = specs.iter().flat_map(|spec| ["--policy", spec]).collect();
    measure(&stored("sqlite3"), &folder.join("report"), &options).exits(0);
    let rows = rows(&folder.join("report"));
    let mapped = specs.map(|spec| number(row(&rows, spec, "replayed"), "mmap_calls"));
    assert!(mapped[0] == mapped[1] && mapped[0] > mapped[2], "{mapped:?}");
}

#[test]
fn threads_of_the_library_leave_the_calls_unknown() {
    let folder = Folder::new("measure-background");
    let spec = "env:MALLOC_CONF=background_thread:true";
    let said = measure(&stored("sqlite3"), &folder.join("report"), &["--policy", spec]);
    if said.err.contains("was not found") {
        return println!("skipped: jemalloc is not installed");
    }
    let said = said.exits(0);
    let rows = rows(&folder.join("report"));
    let row = row(&rows, spec, "replayed");
    assert!(row["mmap_calls"].is_empty() && number(row, "minor_faults") > 0, "{row:?}");
    let words: Vec<&str> = said.out.split_whitespace().collect();
    assert!(words.join(" ").contains("of its own, whose system calls"), "{}", said.out);
}

/// A library of this folder; `None` where there is no compiler.
fn library(name: &str, flags: &[String]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/measure/{name}.c"));
    let arguments = [&["-shared".to_owned(), "-fPIC".to_owned()], flags].concat();
    programs::build(&source, &format!("lib{name}.so"), &arguments).map_err(|reason| println!("skipped: {reason}")).ok()
}

/// Calls of malloc, calloc, realloc, posix_memalign and free that a trace asks for.
fn asked(trace: &Path) -> ([u64; 5], u64) {
    let mut reader = Reader::open(trace).expect("a trace");
    let mut lifter = Lifter::new(0, thp::Mode::Madvise);
    let mut ops = Vec::new();
    while let Some(batch) = reader.next_batch() {
        batch.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
    }
    lifter.finish(&mut ops);
    let mut counts = [0; 5];
    let mut threads = std::collections::BTreeSet::new();
    for op in &ops {
        threads.extend(script::thread(op.action).filter(|_| !matches!(op.action, Action::ThreadEnd { .. })));
        let kind = match op.action {
            Action::Alloc { align_log2: 0, zeroed, .. } => usize::from(zeroed),
            Action::Realloc { .. } => 2,
            Action::Alloc { .. } => 3,
            Action::Free { .. } => 4,
            _ => continue,
        };
        counts[kind] += 1;
    }
    (counts, threads.len() as u64 - 1)
}

#[test]
fn libraries_that_do_as_two_models_say_do_as_they_predict() {
    let folder = Folder::new("measure-by-the-book");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/by_the_book.c");
    for (policy, flag) in [("brk-only", "-DBRK"), ("mmap-only", "-DMMAP")] {
        let flags = ["-shared", "-fPIC", "-fno-builtin", flag].map(str::to_owned);
        let library = match programs::build(&source, &format!("lib{policy}.so"), &flags) {
            Ok(library) => library.display().to_string(),
            Err(reason) => return println!("skipped: {reason}"),
        };
        for name in ["sqlite3", "each_call"] {
            said(heapcast(&["replay", "--quiet", "--force", "--policy", policy]).arg(stored(name)).arg("-o").arg(folder.path())).exits(0);
            let model = rows(folder.path());
            measure(&stored(name), folder.path(), &["--library", &library]).exits(0);
            let real = rows(folder.path());
            let (model, real) = (row(&model, policy, "simulated"), row(&real, &library, "replayed"));
            for column in ["brk_calls", "mmap_calls", "munmap_calls", "mremap_calls", "madvise_calls"] {
                assert_eq!(number(model, column), number(real, column), "{name}, {policy}: {column}");
            }
            for (column, unit) in [("peak_rss_bytes", 4096), ("minor_faults", 1)] {
                let apart = (number(model, column) - number(real, column)) / unit;
                // The library has pages of its own: code, data, what the loader writes into it.
                assert!(apart.abs() <= 12, "{name}, {policy}: {column}: {apart} pages apart");
            }
        }
    }
}

#[test]
fn the_library_gets_the_calls_of_the_script_and_no_other() {
    let folder = Folder::new("measure-counting");
    let log = folder.join("log");
    let Some(library) = library("counting", &[format!("-DLOG=\"{}\"", log.display())]) else { return };
    for name in ["sqlite3", "threads_exit"] {
        measure(&stored(name), &folder.join("report"), &["--library", &library.display().to_string()]).exits(0);
        let bytes = std::fs::read(&log).expect("the counts");
        let counts: Vec<u64> = bytes.as_chunks::<8>().0.iter().take(5).map(|word| u64::from_ne_bytes(*word)).collect();
        let (mut asked, threads) = asked(&stored(name));
        // libc's own for each thread that it starts.
        asked[1] += threads;
        assert!(counts[..4] == asked[..4], "{name}: {counts:?}, not {asked:?}");
        assert!(counts[4] >= asked[4] && counts[4] <= asked[4] + threads, "{name}: {counts:?}, not {asked:?}");
        std::fs::remove_file(&log).expect("the counts");
    }
}

#[test]
fn a_crash_is_told_and_the_others_go_on() {
    let Some(library) = library("crashing", &[]) else { return };
    let (folder, library) = (Folder::new("measure-crash"), library.display().to_string());
    let alone = measure(&stored("sqlite3"), &folder.join("alone"), &["--library", &library]).exits(1);
    assert!(alone.out.is_empty() && alone.err.contains(&format!("{library} crashed after ")), "{}", alone.err);
    assert!(alone.err.contains("signal 11"), "{}", alone.err);
    let both = measure(&stored("sqlite3"), &folder.join("both"), &["--library", &library, "--policy", "glibc"]).exits(0);
    assert!(both.out.contains("glibc (real library)") && both.out.contains("crashed after"), "{}", both.out);
}

#[test]
fn what_is_no_library_is_refused() {
    let folder = Folder::new("measure-refused");
    let text = folder.join("text.so");
    std::fs::write(&text, "not a library").expect("a file");
    let refused = |path: &Path| {
        let report = folder.join("report");
        let said = measure(&stored("sqlite3"), &report, &["--library", &path.display().to_string()]).exits(5);
        assert!(said.out.is_empty() && said.err.contains(&path.display().to_string()), "{}", said.err);
        said.err
    };
    assert!(refused(&folder.join("nowhere.so")).contains("cannot open the library"));
    assert!(refused(&text).contains("no ELF file"));
    if let Some(library) = library("harmless", &[]) {
        assert!(refused(&library).contains("does it define malloc"));
        // The class and the machine of an ELF file.
        let foreign = folder.join("foreign.so");
        for (class, machine, name) in [(1, 3, "32-bit x86"), (2, 183, "arm64")] {
            let mut bytes = std::fs::read(&library).expect("the library");
            (bytes[4], bytes[18]) = (class, machine);
            std::fs::write(&foreign, bytes).expect("a file");
            assert!(refused(&foreign).contains(&format!("it is for {name}; heapcast measures x86-64 libraries")));
        }
        let foreign = foreign.display().to_string();
        let said = measure(&stored("sqlite3"), &folder.join("report"), &["--library", &foreign, "--policy", "glibc"]).exits(0);
        assert!(said.out.contains("arm64") && said.out.contains("glibc (real library)"), "{}", said.out);
    }
    for (spec, hint) in [("mmap-only", "without a library"), ("jemallok", "glibc"), ("glibc@1.0", "version")] {
        let said = measure(&stored("sqlite3"), &folder.join("report"), &["--policy", spec]).exits(2);
        assert!(said.err.contains(hint), "{spec}: {}", said.err);
    }
}
