//! Every allocator, wherever it is: as many calls are recorded as the program itself counted.

use std::path::Path;
use std::process::Command;

use super::counts::books_balance;
use super::ledger::{Ledger, told};
use super::{possible, record};
use crate::programs;
use crate::support::{Folder, Said, Trace};

/// Libraries of Debian's packages: the allocator, the file to be preloaded or linked, and the archive to be linked.
const LIBRARIES: [(&str, &str, Option<&str>); 3] = [
    ("jemalloc", "libjemalloc.so.2", Some("libjemalloc.a")),
    ("mimalloc", "libmimalloc.so.2", None),
    ("tcmalloc", "libtcmalloc_minimal.so.4", Some("libtcmalloc_minimal.a")),
];

/// A way for a program to come to an allocator.
struct Way {
    allocator: &'static str,
    /// What is preloaded.
    preload: Option<String>,
    /// What the linker is told.
    link: Vec<String>,
    /// Which file has it; none: the program.
    file: Option<String>,
}

fn ways() -> Vec<Way> {
    let mut ways = vec![Way { allocator: "glibc", preload: None, link: Vec::new(), file: Some("libc.so.6".into()) }];
    for (allocator, library, archive) in LIBRARIES {
        let way = |preload: Option<String>, link: Vec<String>, file: bool| Way {
            allocator,
            preload,
            link,
            file: file.then(|| library.to_owned()),
        };
        if let Some(path) = super::libraries::find(library) {
            ways.push(way(Some(path.clone()), Vec::new(), true));
            ways.push(way(None, vec!["-Wl,--no-as-needed".into(), path], true));
        }
        if let Some(path) = archive.and_then(super::libraries::find) {
            let link = ["-Wl,--whole-archive", &path, "-Wl,--no-whole-archive", "-lstdc++", "-lm", "-ldl"];
            ways.push(way(None, link.map(str::to_owned).to_vec(), false));
        }
    }
    ways
}

/// Builds and records a program on an allocator. `None` where there is no compiler.
fn recorded(way: &Way, number: usize, source: &str, arguments: &[&str]) -> Option<(Said, Trace)> {
    let name = format!("{}.{}.{number}", source.replace('.', "_"), way.allocator);
    let program = match programs::compile_as(source, &name, &way.link) {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let folder = Folder::new(&name);
    let mut command = Command::new("env");
    command.args(way.preload.iter().map(|library| format!("LD_PRELOAD={library}"))).arg(program).args(arguments);
    Some(record(&folder, &mut command))
}

/// The allocator was found where it is, and under no second name.
fn is_found(way: &Way, trace: &Trace) {
    let last = trace.manifest.processes.last().expect("a process");
    let found: Vec<(&str, &str)> = last.allocators.iter().map(|found| (found.name.as_str(), found.path.as_str())).collect();
    let file = way.file.clone().unwrap_or_else(|| last.exe.rsplit('/').next().unwrap_or_default().to_owned());
    // A library's name may be that of a link.
    let in_file = |path: &str| Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().starts_with(&file));
    let here = found.iter().filter(|(name, path)| *name == way.allocator && in_file(path)).count();
    assert_eq!(here, 1, "{} in {file}: {found:?}", way.allocator);
    let others = found.iter().filter(|(name, _)| *name != way.allocator && *name != "glibc").count();
    assert_eq!(others, 0, "{found:?}");
}

#[test]
fn every_form_of_new_and_delete_on_every_allocator() {
    let Some(_alone) = possible() else { return };
    for (number, way) in ways().iter().enumerate() {
        // Debian's mimalloc is C, and ends the program where others throw.
        let arguments: &[&str] = if way.allocator == "mimalloc" { &[] } else { &["refuse"] };
        let Some((said, trace)) = recorded(way, number, "operators.cpp", arguments) else { return };
        println!("{} {:?} {:?}", way.allocator, way.preload, way.link);
        assert_eq!(told(&said.out, "refused"), if arguments.is_empty() { 0 } else { 6 });
        books_balance(&trace);
        is_found(way, &trace);
        assert_eq!(Ledger::of(&trace), operators(&said, &not_recorded(&trace)), "{} {:?}", way.allocator, way.preload);
    }
}

/// The functions of which the manifest says that they are not recorded.
fn not_recorded(trace: &Trace) -> Vec<&str> {
    let found = trace.manifest.processes.last().expect("a process").allocators.iter();
    found.flat_map(|found| &found.skipped).filter_map(|skipped| skipped.split(':').next()).collect()
}

/// What the program of that name says, without the calls of some functions. Their blocks are given back all the same.
fn operators(said: &Said, without: &[&str]) -> Ledger {
    let forms = [("_Znwm", false), ("_Znam", false), ("_ZnwmSt11align_val_t", true), ("_ZnamSt11align_val_t", true)];
    let missing = |only_aligned: bool| {
        let forms = forms.iter().filter(|(form, aligned)| without.contains(form) && (*aligned || !only_aligned));
        forms.map(|(form, _)| told(&said.out, form)).sum::<u64>()
    };
    let [allocations, releases, aligned] = ["allocations", "releases", "aligned"].map(|word| told(&said.out, word));
    let strays = missing(false);
    Ledger { allocations: allocations - strays, releases: releases - strays, aligned: aligned - missing(true), strays, ..Ledger::default() }
}

#[test]
fn every_call_of_c_on_every_allocator() {
    let Some(_alone) = possible() else { return };
    for (number, way) in ways().iter().enumerate() {
        let Some((said, trace)) = recorded(way, number, "calls_of_c.c", &[]) else { return };
        books_balance(&trace);
        is_found(way, &trace);
        assert_eq!(Ledger::of(&trace), calls_of_c(&said), "{} {:?} {:?}", way.allocator, way.preload, way.link);
    }
}

/// What the program of that name says.
fn calls_of_c(said: &Said) -> Ledger {
    let [allocations, releases, resized, aligned] = ["allocations", "releases", "resized", "aligned"].map(|word| told(&said.out, word));
    Ledger { allocations, releases, resized, aligned, ..Ledger::default() }
}

#[test]
fn static_glibc_and_musl() {
    let Some(_alone) = possible() else { return };
    let builds = [("glibc", "gcc", &["-static"][..]), ("musl", "musl-gcc", &[]), ("musl", "musl-gcc", &["-static"])];
    for (number, (allocator, gcc, flags)) in builds.into_iter().enumerate() {
        let name = format!("calls_of_c.{gcc}.{number}");
        let program = match programs::compile_with(gcc, "calls_of_c.c", &name, flags) {
            Ok(program) => program,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let (said, trace) = record(&Folder::new(&name), &mut Command::new(program));
        books_balance(&trace);
        let process = trace.manifest.processes.last().expect("a process");
        let found: Vec<&str> = process.allocators.iter().map(|found| found.name.as_str()).collect();
        assert_eq!((found, Ledger::of(&trace)), (vec![allocator], calls_of_c(&said)), "{name}");
    }
}

#[test]
fn sixty_four_threads() {
    let Some(_alone) = possible() else { return };
    for (number, way) in ways().iter().enumerate().filter(|(_, way)| way.link.is_empty()) {
        let Some((said, trace)) = recorded(way, number, "many_threads.c", &[]) else { return };
        books_balance(&trace);
        let ledger = Ledger::of(&trace);
        let [allocations, releases] = ["allocations", "releases"].map(|word| told(&said.out, word));
        assert_eq!(
            (ledger.allocations, ledger.releases, ledger.doubled),
            (allocations, releases, 0),
            "{} {:?}",
            way.allocator,
            way.preload
        );
        assert_eq!(trace.manifest.processes.len(), 2, "the program, and `env` before it");
    }
}

/// Archives of jemalloc as Rust's crates build it: with a prefix.
fn prefixed_jemalloc(folder: &Folder) -> Option<()> {
    let archive = super::libraries::find("libjemalloc_pic.a")?;
    let names = ["malloc", "calloc", "realloc", "free", "mallocx", "rallocx", "xallocx", "sdallocx", "dallocx", "posix_memalign"];
    let others = ["aligned_alloc", "memalign", "valloc", "malloc_usable_size", "mallctl"];
    let mut objcopy = Command::new("objcopy");
    objcopy.args(names.iter().chain(&others).map(|name| format!("--redefine-sym={name}=_rjem_{name}")));
    let status = objcopy.arg(archive).arg(folder.join("librjem.a")).status().expect("objcopy, as there is gcc");
    status.success().then_some(())
}

#[test]
fn rust_on_the_systems_a_prefixed_and_its_own_allocator() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("rust-allocators");
    let library = format!("-Lnative={}", folder.path().display());
    let prefixed = ["--cfg", "prefixed", &library, "-lstatic=rjem", "-lm"];
    // The compiler puts an allocator as small as the program's own into its callers when it may: then there is no call to record.
    let builds = [("glibc", &[][..], &["0", "2"][..]), ("jemalloc", &prefixed, &["0", "2"]), ("bump", &["--cfg", "bump"], &["0"])];
    for (kind, flags, levels) in builds {
        for level in levels {
            if kind == "jemalloc" && prefixed_jemalloc(&folder).is_none() {
                continue;
            }
            let name = format!("rust-{kind}-{level}");
            let program = match programs::compile_rust("global_allocator.rs", &name, level, flags) {
                Ok(program) => program,
                Err(reason) => return println!("skipped: {reason}"),
            };
            let (said, trace) = record(&folder, &mut Command::new(&program));
            books_balance(&trace);
            rust_as_told(kind, &said, &trace, &program);
        }
    }
}

fn rust_as_told(kind: &str, said: &Said, trace: &Trace, program: &Path) {
    let process = trace.manifest.processes.last().expect("a process");
    let own = process.allocators.iter().find(|found| Path::new(&found.path) == program);
    match kind {
        "glibc" => assert_eq!(own, None, "it has none of its own"),
        "jemalloc" => assert_eq!(own.map(|found| found.name.as_str()), Some("jemalloc")),
        _ => assert!(own.is_some_and(|found| program.ends_with(&found.name)), "{own:?}"),
    }
    let ledger = Ledger::of(trace);
    let [allocations, releases, resized] = ["allocations", "releases", "resized"].map(|word| told(&said.out, word));
    // Half of them are aligned; what is resized leaves the sizes that are counted. libc has no `realloc` for the aligned ones: Rust takes another
    // block, and gives the old one back.
    let resized = if kind == "glibc" { resized / 2 } else { resized };
    let expected = Ledger { allocations, releases: releases - resized, resized, aligned: allocations / 2, ..Ledger::default() };
    assert_eq!(ledger, expected, "{kind}: {}", program.display());
}
