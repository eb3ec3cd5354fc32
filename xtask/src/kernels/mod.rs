//! Recordings on real kernels, older and newer than this machine's: each is started in an emulator, records programs whose calls are known, and
//! tells what it recorded. An emulated processor, because what is checked is what the kernel accepts and tells, not how fast.

mod fetch;
mod image;
mod report;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::command::{cargo, find, root, run as run_command};
use report::Outcome;

/// With 5.10, 6.1, 6.12, and the newest there is.
const RELEASES: [&str; 4] = ["bullseye", "bookworm", "trixie", "trixie-backports"];

/// A program of `profiler/tests/targets`.
struct Program {
    name: &'static str,
    arguments: &'static str,
    /// Calls that it makes, in all its processes; those that libc makes in it are left out.
    calls: &'static [(&'static str, u64)],
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "each_call",
        arguments: "",
        calls: &[("malloc", 40), ("calloc", 30), ("realloc", 70), ("posix_memalign", 20), ("valloc", 10), ("pvalloc", 10), ("free", 110)],
    },
    Program { name: "fork_tree", arguments: "", calls: &[("malloc", 60), ("free", 100)] },
    Program { name: "spawn_exec", arguments: "", calls: &[("malloc", 17), ("free", 17)] },
    // More threads than processors, so that the kernel takes them turn by turn in the middle of probes.
    Program { name: "burst", arguments: "10000 4", calls: &[("malloc", 40000)] },
];

const EMULATOR: &str = "qemu-system-x86_64";
/// A machine that has not ended by then never will, seconds.
const PATIENCE: &str = "300";

/// Fetches what is not there.
///
/// # Errors
/// What is missing here, so that nothing can be checked.
pub(crate) fn ready() -> Result<(), String> {
    tools()?;
    RELEASES.iter().try_for_each(|release| fetch::kernel(release).map(drop))
}

fn tools() -> Result<(), String> {
    let missing = |(program, _): &(&str, &str)| find(program).is_none();
    let needed = [(EMULATOR, "qemu-system-x86"), ("busybox", "busybox-static"), ("cpio", "cpio"), ("gcc", "gcc"), ("strip", "binutils")];
    match needed.into_iter().find(missing) {
        Some((program, package)) => Err(format!("there is no {program}: `cargo xtask setup`, or Debian's package {package}")),
        None => Ok(()),
    }
}

/// `cargo xtask kernels [RELEASE…]`.
pub(crate) fn run(releases: &[&str]) -> Result<(), String> {
    tools()?;
    run_command(&mut cargo("build --quiet --package profiler --locked"))?;
    let folder = root().join("target/kernels");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let image = image::build(&folder, PROGRAMS)?;
    println!("{:<28} {:>15} {:>5} {:>10} {:>7}  absent", "kernel", "calls recorded", "lost", "peak error", "seconds");
    let mut wrong = Vec::new();
    for release in if releases.is_empty() { &RELEASES } else { releases } {
        let began = Instant::now();
        let outcome = report::read(&boot(&fetch::kernel(release)?, &image)?, PROGRAMS);
        print(&outcome, began.elapsed().as_secs());
        wrong.extend(outcome.wrong.iter().map(|text| format!("{release} ({}): {text}", outcome.kernel)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn print(outcome: &Outcome, seconds: u64) {
    let calls = format!("{} of {}", outcome.calls.1, outcome.calls.0);
    let absent = if outcome.absent.is_empty() { "–".to_owned() } else { outcome.absent.join(", ") };
    println!("{:<28} {calls:>15} {:>5} {:>8.2} % {seconds:>7}  {absent}", outcome.kernel, outcome.lost, outcome.peak_error);
}

/// Starts a machine and returns what it wrote on its console. One thread for both processors: with two, the emulator may run code that the kernel
/// has changed a moment ago.
fn boot(kernel: &Path, image: &Path) -> Result<String, String> {
    let mut machine = Command::new("timeout");
    machine.args([PATIENCE, EMULATOR, "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1024", "-nic", "none"]);
    machine.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]);
    machine.arg("-kernel").arg(kernel).arg("-initrd").arg(image).args(["-append", "console=ttyS0 quiet panic=-1"]);
    let output = machine.stdin(std::process::Stdio::null()).output().map_err(|error| format!("{EMULATOR}: {error}"))?;
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::write(image.with_file_name("console"), &console).map_err(|error| error.to_string())?;
    if console.is_empty() { Err(format!("{EMULATOR}: {}", String::from_utf8_lossy(&output.stderr).trim())) } else { Ok(console) }
}
