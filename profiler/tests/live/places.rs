//! Allocators whose file, or whose symbols, are not where one looks first: in another file, deleted, opened late, in another mount namespace.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ledger::{Ledger, told};
use super::{possible, record, recorder};
use crate::programs;
use crate::support::{Folder, Running, Trace, until};

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// A static program without symbols, and the file that they went to.
fn stripped(folder: &Folder) -> Option<(PathBuf, PathBuf)> {
    let flags = ["-static", "-Wl,--build-id"];
    let whole = match programs::compile_with("gcc", "calls_of_c.c", "calls_of_c.static-with-id", &flags) {
        Ok(program) => program.display().to_string(),
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let (debug, bare) = (folder.join("symbols"), folder.join("bare"));
    run("objcopy", &["--only-keep-debug", &whole, &debug.display().to_string()]);
    run("strip", &["-o", &bare.display().to_string(), &whole]);
    Some((bare, debug))
}

/// Records a program of which everything is to be found, by symbols from a place that is called so.
fn all_is_recorded(folder: &Folder, program: &Path, symbols: &str) {
    let (said, trace) = record(folder, &mut Command::new(program));
    let [allocations, releases] = ["allocations", "releases"].map(|word| told(&said.out, word));
    let ledger = Ledger::of(&trace);
    assert_eq!((ledger.allocations, ledger.releases, ledger.doubled, ledger.strays), (allocations, releases, 0, 0));
    assert!(said.out.contains("allocator glibc") && said.out.contains(symbols), "{}", said.out);
}

#[test]
fn symbols_of_a_stripped_program_in_a_linked_file() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("debug-link");
    let Some((bare, debug)) = stripped(&folder) else { return };
    let beside = folder.join(".debug");
    std::fs::create_dir_all(&beside).expect("a folder");
    let moved = beside.join("symbols");
    std::fs::rename(&debug, &moved).expect("ours");
    run("objcopy", &[&format!("--add-gnu-debuglink={}", moved.display()), &bare.display().to_string()]);
    all_is_recorded(&folder, &bare, "/.debug/symbols");
}

#[test]
fn symbols_of_a_stripped_program_packed_into_it() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("debug-data");
    let Some((bare, debug)) = stripped(&folder) else { return };
    let debug = debug.display().to_string();
    run("objcopy", &["--strip-debug", &debug]);
    run("xz", &["--keep", &debug]);
    run("objcopy", &[&format!("--add-section=.gnu_debugdata={debug}.xz"), &bare.display().to_string()]);
    all_is_recorded(&folder, &bare, ".gnu_debugdata");
}

/// `opens_later`, ready to open a library, and what it says.
fn waiting(program: &Path, arguments: &[&str]) -> (Running, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(program);
    let tunables = ("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384");
    let mut running = Running::start(command.args(arguments).env(tunables.0, tunables.1).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut output = BufReader::new(running.0.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    (running, output)
}

/// Attaches, lets the program go on, and compares.
fn attached_to(folder: &Folder, (mut running, mut output): (Running, BufReader<std::process::ChildStdout>), library: &str) {
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--pid"]).arg(running.pid().to_string()).stdout(Stdio::null()));
    let probed =
        || Trace::try_open(&trace).filter(|trace| trace.manifest.processes.first().is_some_and(|process| !process.allocators.is_empty()));
    until("the process is probed", probed);
    running.0.stdin.take().expect("a pipe").write_all(b"go\n").expect("it listens");
    let mut said = String::new();
    output.read_to_string(&mut said).expect("text");
    if running.code() == Some(3) {
        return println!("skipped: {said}");
    }
    assert_eq!(recording.code(), Some(0));
    let trace = Trace::open(&trace);
    let ledger = Ledger::of(&trace);
    let [allocations, releases] = ["allocations", "releases"].map(|word| told(&said, word));
    assert_eq!((ledger.allocations, ledger.releases, ledger.doubled), (allocations, releases, 0));
    let found: Vec<&str> = trace.manifest.processes[0].allocators.iter().map(|found| found.path.as_str()).collect();
    assert!(found.iter().any(|path| path.contains(library)), "{found:?}");
}

#[test]
fn a_library_opened_after_attaching() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("opens_later") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    for arguments in [&["libjemalloc.so.2"][..], &["libmimalloc.so.2", "own-namespace"]] {
        let folder = Folder::new("opened-later");
        attached_to(&folder, waiting(&program, arguments), arguments[0].split('.').next().expect("a name"));
    }
}

#[test]
fn a_program_and_a_library_that_were_deleted() {
    let Some(_alone) = possible() else { return };
    let (Ok(program), Some(libc)) = (programs::compile("opens_later"), super::libraries::find("libjemalloc.so.2")) else { return };
    let folder = Folder::new("deleted");
    let (copy, library) = (folder.join("program"), folder.join("libjemalloc.so.2"));
    run("cp", &[&program.display().to_string(), &copy.display().to_string()]);
    run("cp", &[&libc, &library.display().to_string()]);
    let mut command = Command::new("env");
    command.arg(format!("LD_PRELOAD={}", library.display())).arg(&copy).arg("libjemalloc.so.2");
    let mut running = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut output = BufReader::new(running.0.stdout.take().expect("a pipe"));
    output.read_line(&mut String::new()).expect("a line");
    // The library is asked for by the name that the loader knows it by already.
    std::fs::remove_file(&library).expect("ours");
    std::fs::remove_file(&copy).expect("ours");
    attached_to(&folder, (running, output), "libjemalloc");
}

#[test]
fn a_program_in_another_mount_namespace() {
    let Some(_alone) = possible() else { return };
    let (Ok(program), true) =
        (programs::compile_with("gcc", "calls_of_c.c", "calls_of_c.static", &["-static"]), super::installed("unshare"))
    else {
        return;
    };
    let folder = Folder::new("mounted");
    let inside = folder.join("inside");
    std::fs::create_dir_all(&inside).expect("a folder");
    let script = format!("mount -t tmpfs none {0} && cp {1} {0}/hidden && exec {0}/hidden", inside.display(), program.display());
    let (said, trace) = record(&folder, Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert!(!inside.join("hidden").exists(), "it is seen from inside only");
    let ledger = Ledger::of(&trace);
    let [allocations, releases] = ["allocations", "releases"].map(|word| told(&said.out, word));
    assert_eq!((ledger.allocations, ledger.releases, ledger.doubled), (allocations, releases, 0));
}
