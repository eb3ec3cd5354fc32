//! All checks, in order.

use std::process::Command;
use std::time::Instant;

use crate::command;

type Step = (&'static str, fn() -> Result<(), String>);

/// Cheap ones first, but for the set-up that all of them need.
const STEPS: &[Step] = &[
    ("setup", || xtask("setup")),
    ("format", || command::run(&mut command::cargo("fmt --all --check"))),
    ("tidy", crate::tidy::run),
    ("clippy", || command::run(&mut command::cargo("clippy --workspace --all-targets --locked -- -D warnings"))),
    ("clippy for bpf", || xtask("ebpf clippy")),
    ("documentation", || command::run(command::cargo("doc --workspace --no-deps --locked").env("RUSTDOCFLAGS", "-D warnings"))),
    ("kernel object", || xtask("ebpf check")),
    ("other C libraries", other_libcs),
    ("test", || crate::test::run(&[])),
    ("other kernels", other_kernels),
];

/// Runs every step, names each with its time, and stops at the first that fails.
pub(crate) fn run() -> Result<(), String> {
    let begin = Instant::now();
    for (name, step) in STEPS {
        let began = Instant::now();
        println!("\n=== {name}");
        step().map_err(|error| format!("\n=== {name} FAILED after {:.1} s: {error}", began.elapsed().as_secs_f32()))?;
        println!("=== {name}: {:.1} s", began.elapsed().as_secs_f32());
    }
    println!("\n=== all {} steps passed in {:.1} s", STEPS.len(), begin.elapsed().as_secs_f32());
    Ok(())
}

/// Tests that lack them say so and are skipped.
fn other_libcs() -> Result<(), String> {
    if let Err(error) = crate::libcs::run() {
        println!("skipped: {error}");
    }
    Ok(())
}

/// Skipped where there is no emulator, or no mirror to fetch kernels from.
fn other_kernels() -> Result<(), String> {
    match crate::kernels::ready() {
        Ok(()) => xtask("kernels"),
        Err(reason) => {
            println!("skipped: {reason}");
            Ok(())
        }
    }
}

/// Another command of this program, in a process of its own: `setup` may change what later ones find.
fn xtask(words: &str) -> Result<(), String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    command::run(Command::new(this).args(words.split_whitespace()).current_dir(command::root()))
}
