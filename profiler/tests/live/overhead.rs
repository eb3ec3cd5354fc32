//! What a recording says that it has cost, against what the program took with and without it.

use std::process::{Command, Stdio};

use super::{possible, record};
use crate::programs;
use crate::support::Folder;

/// Processor time of a program's run, ns.
#[allow(unsafe_code)]
fn cpu_time(command: &mut Command) -> u64 {
    let pid = command.stdout(Stdio::null()).spawn().expect("it starts").id();
    // SAFETY: all-zero bytes are a valid rusage, and both variables outlive the call; nobody else waits for this child.
    let usage = unsafe {
        let (mut status, mut usage): (i32, libc::rusage) = (0, std::mem::zeroed());
        assert_eq!(libc::wait4(pid as i32, &mut status, 0, &mut usage), pid as i32);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
        usage
    };
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

#[test]
fn the_estimated_cost_is_about_what_the_program_took_more() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("burst") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let arguments = ["400000", "1"];
    let bare = cpu_time(Command::new(&program).args(arguments));
    let (said, trace) = record(&Folder::new("overhead"), Command::new(&program).args(arguments));
    let overhead = trace.manifest.overhead.clone().expect("it was estimated");
    let with = overhead.target_cpu_ns.expect("it was launched");
    println!("bare {bare} ns, recorded {with} ns, {overhead:?}");
    assert_eq!((overhead.kinds["malloc"].hits, trace.count("malloc")), (400_000, 400_000));
    assert!(overhead.kinds["fault"].hits > 0 && overhead.kinds["mmap"].hits > 0);
    let more = (with - bare) as f64;
    // Interrupts and starved caches are in what the program took, not in the shortest gaps.
    assert!((0.6..1.25).contains(&(overhead.probes_ns as f64 / more)), "estimated {} ns, took {more} ns more", overhead.probes_ns);
    assert!(said.out.contains("recording took about"), "{}", said.out);
}
