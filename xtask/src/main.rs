//! The chores of the workspace. One file per chore; `cargo xtask` lists them.

mod accuracy;
mod arm64;
mod bench;
mod ci;
mod command;
mod debian;
mod ebpf;
mod fuzz;
mod gallery;
mod kernels;
mod libcs;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask CHORE
  ci                    everything that checks, in order; stops at the first failure
  setup [bench]         install what the chores and the tests need, or say what is missing; for bench also what it compares with
  libcs                 fetch the C libraries of other Debian releases, for the tests of the model of malloc
  kernels [RELEASE…]    record known programs under the kernels of Debian releases, in an emulator; without names, under all that README promises
  arm64                 check that the program compiles for arm64
  tidy                  rules of this repository that no compiler knows
  test [FILTER]         all tests of the host; live ones skip themselves without root and say so
  gallery               make reports/gallery anew from the traces in profiler/tests/data
  bench [PART…]         what recording costs beside other tools, and how fast a replay is, measured here and now: loop, python3, sqlite3, server, vm, replay, page
  fuzz TARGET [S]       feed a target of fuzz/ with noise for S seconds (60)
  accuracy [TABLE]      compare replays with what really happens, on real programs: page-model, placements, settings, or all, which are kept
  ebpf build            build the kernel half and store it in profiler-ebpf/object
  ebpf check            build it again and compare with what is stored
  ebpf clippy           lint the kernel half for its own target";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["ci"] => ci::run(),
        ["setup"] => setup::run(false),
        ["setup", "bench"] => setup::run(true),
        ["libcs"] => libcs::run(),
        ["arm64"] => arm64::run(),
        ["kernels", rest @ ..] => kernels::run(rest),
        ["tidy"] => tidy::run(),
        ["test", rest @ ..] => test::run(rest),
        ["accuracy", rest @ ..] => accuracy::run(rest),
        ["gallery"] => gallery::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["ebpf", what] => ebpf::run(what),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
