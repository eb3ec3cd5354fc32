//! Random scripts under every setting, here and there.

use super::play::model;
use super::real::{Libc, environment};
use super::replayed::{Difference, compare};
use super::script::Op;
use super::shrink::{possible, shrink};
use super::workload::{Shape, script};
use profiler::vm::thp::Mode;
use std::env;

type Values = &'static [(&'static str, i64)];

const PLAIN: Shape = Shape { operations: 1500, threads: 0, disturbed: false };
const DISTURBED: Shape = Shape { disturbed: true, ..PLAIN };
const THREADED: Shape = Shape { threads: 4, ..PLAIN };

/// Settings one by one, and together.
const SETTINGS: &[Values] = &[
    &[],
    &[("tcache_count", 0)],
    &[("tcache_count", 2)],
    &[("tcache_count", 40)],
    &[("tcache_count", 200)],
    &[("tcache_max", 0)],
    &[("tcache_max", 128)],
    &[("tcache_unsorted_limit", 1)],
    &[("tcache_unsorted_limit", 3)],
    &[("mxfast", 0)],
    &[("mxfast", 160)],
    &[("mmap_threshold", 4096)],
    &[("mmap_threshold", 65536)],
    &[("mmap_threshold", 131_072)],
    &[("mmap_threshold", 1 << 20)],
    &[("mmap_max", 0)],
    &[("mmap_max", 3)],
    &[("trim_threshold", 0)],
    &[("trim_threshold", 1 << 20)],
    &[("top_pad", 0)],
    &[("top_pad", 5000)],
    &[("top_pad", 1 << 20)],
    &[("perturb", 165)],
    &[("arena_max", 1)],
    &[("arena_test", 1)],
    &[("tcache_count", 0), ("mxfast", 0)],
    &[("tcache_count", 2), ("tcache_unsorted_limit", 1), ("mxfast", 160)],
    &[("mmap_threshold", 65536), ("trim_threshold", 0), ("top_pad", 0)],
    &[("top_pad", 0), ("perturb", 165), ("tcache_max", 128)],
    &[("mmap_max", 3), ("top_pad", 5000), ("tcache_count", 0)],
];

/// More seeds than usual, from this one on: `DIFFERENTIAL_SEEDS=100-200`.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let text = env::var("DIFFERENTIAL_SEEDS").unwrap_or_default();
    let given = text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..last.parse().ok()?));
    given.unwrap_or(1..1 + usual)
}

fn installed() -> Option<Libc> {
    Libc::installed().map_err(|reason| println!("skipped: {reason}")).ok()
}

/// Runs one script here and there; a difference is shrunk and told.
fn check(libc: &Libc, values: Values, variables: &[(String, String)], script: &[Op]) -> Result<(), String> {
    let thp = Mode::Madvise;
    let try_it = |ops: &[Op]| compare(model(&libc.version, values), ops, &libc.run(variables, ops), thp);
    let Err(first) = try_it(script) else { return Ok(()) };
    let failing = possible(&script[..=first.at]);
    let small = shrink(&failing, |ops| try_it(ops).is_err());
    let Difference { at, what } = try_it(&small).expect_err("the smallest script that differs");
    let lines: Vec<String> = small.iter().map(ToString::to_string).collect();
    Err(format!("{variables:?}: operation {at} of\n    {}\n  {what}", lines.join("\n    ")))
}

fn all(usual: u64, shape: Shape, settings: &[Values]) {
    let Some(libc) = installed() else { return };
    let mut wrong = Vec::new();
    for values in settings {
        for seed in seeds(usual) {
            let outcome = check(&libc, values, &environment(values), &script(seed, shape));
            if let Err(error) = outcome {
                wrong.push(format!("seed {seed}, {error}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} settings differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn one_thread() {
    all(3, PLAIN, SETTINGS);
}

#[test]
fn a_program_that_interferes() {
    all(3, DISTURBED, SETTINGS);
}

#[test]
fn threads_in_turn() {
    all(
        3,
        THREADED,
        &[SETTINGS, &[&[("arena_max", 2)], &[("arena_max", 3), ("tcache_count", 0)], &[("arena_test", 1), ("arena_max", 2)]]].concat(),
    );
}
