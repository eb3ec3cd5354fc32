//! Random scripts under every setting, here and there.

use super::play::{model, spec};
use super::real::{Libc, environment};
use super::replayed::{Difference, compare};
use super::script::Op;
use super::shrink::{possible, shrink};
use super::workload::{Shape, script};
use profiler::vm::thp::Mode;
use std::ops::Range;

type Values = &'static [(&'static str, i64)];

const PLAIN: Shape = Shape { operations: 1500, threads: 0, disturbed: false };
const DISTURBED: Shape = Shape { disturbed: true, ..PLAIN };
const THREADED: Shape = Shape { threads: 4, ..PLAIN };
/// More than there are arenas for on a small machine.
const CROWDED: Shape = Shape { operations: 4000, threads: 24, disturbed: false };

/// Settings that a single thread notices.
const SETTINGS: &[Values] = &[
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
    &[("tcache_count", 0), ("mxfast", 0)],
    &[("tcache_count", 2), ("tcache_unsorted_limit", 1), ("mxfast", 160)],
    &[("mmap_threshold", 65536), ("trim_threshold", 0), ("top_pad", 0)],
    &[("top_pad", 0), ("perturb", 165), ("tcache_max", 128)],
    &[("mmap_max", 3), ("top_pad", 5000), ("tcache_count", 0)],
];

/// Settings that several threads notice.
const ARENAS: &[Values] = &[
    &[],
    &[("arena_max", 1)],
    &[("arena_max", 2)],
    &[("arena_max", 3), ("tcache_count", 0)],
    &[("arena_test", 1)],
    &[("arena_test", 1), ("arena_max", 2)],
    &[("top_pad", 0), ("trim_threshold", 0)],
    &[("mmap_threshold", 1 << 20), ("mxfast", 0)],
];

/// Advice to use huge pages, and a pool of them that is empty.
const HUGE: &[Values] =
    &[&[("hugetlb", 1)], &[("hugetlb", 2)], &[("hugetlb", 1), ("mmap_threshold", 8 << 20)], &[("hugetlb", 2), ("mmap_max", 0)]];

/// What stands in the environment, and which setting it is.
const VARIABLES: [(&str, Option<&str>, &str); 16] = [
    ("MALLOC_ARENA_MAX", None, "1"),
    ("MALLOC_ARENA_TEST", None, "1"),
    ("MALLOC_MMAP_MAX_", None, "3"),
    ("MALLOC_MMAP_THRESHOLD_", None, "65536"),
    ("MALLOC_MMAP_THRESHOLD_", None, "0x10000"),
    ("MALLOC_TOP_PAD_", None, "5000"),
    ("MALLOC_TRIM_THRESHOLD_", None, "0"),
    ("MALLOC_PERTURB_", None, "165"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.tcache_count"), "070"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.tcache_count"), "12abc"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.tcache_count"), "-1"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.tcache_count"), "65536"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.tcache_max"), "2000"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.mxfast"), "161"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.mmap_threshold"), "banana"),
    ("GLIBC_TUNABLES", Some("glibc.malloc.top_pad"), "0x1400"),
];

/// `DIFFERENTIAL_SEEDS=100-200` asks for others than usual.
fn seeds(usual: u64) -> Range<u64> {
    let text = std::env::var("DIFFERENTIAL_SEEDS").unwrap_or_default();
    let given = text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..last.parse().ok()?));
    given.unwrap_or(1..1 + usual)
}

fn installed() -> Option<Libc> {
    Libc::installed().map_err(|reason| println!("skipped: {reason}")).ok()
}

/// Runs one script here and there; a difference is shrunk and told.
fn check(libc: &Libc, values: &[(&str, i64)], variables: &[(String, String)], script: &[Op]) -> Result<(), String> {
    let compared = |ops: &[Op]| compare(model(&libc.version, values, libc.cpus), ops, &libc.run(variables, ops), Mode::Madvise);
    let Err(first) = compared(script) else { return Ok(()) };
    let failing = possible(&script[..=first.at]);
    let small = shrink(&failing, |ops| compared(ops).is_err());
    let Err(Difference { at, what }) = compared(&small) else {
        return Err(format!("{variables:?}: {}, but not every time", first.what));
    };
    let lines: Vec<String> = small.iter().map(ToString::to_string).collect();
    Err(format!("{variables:?}: operation {at} of\n    {}\n  {what}", lines.join("\n    ")))
}

fn all(libc: &Libc, usual: u64, shape: Shape, settings: &[Values]) {
    let mut wrong = Vec::new();
    for values in settings {
        let outcome = seeds(usual).find_map(|seed| {
            let error = check(libc, values, &environment(values), &script(seed, shape)).err()?;
            Some(format!("seed {seed}, {error}"))
        });
        wrong.extend(outcome);
    }
    assert!(wrong.is_empty(), "{} of {} settings differ:\n{}", wrong.len(), settings.len(), wrong.join("\n"));
}

#[test]
fn one_thread() {
    let Some(libc) = installed() else { return };
    all(&libc, 6, PLAIN, &[&[]]);
    all(&libc, 2, PLAIN, SETTINGS);
}

#[test]
fn a_program_that_interferes() {
    let Some(libc) = installed() else { return };
    all(&libc, 6, DISTURBED, &[&[]]);
    all(&libc, 2, DISTURBED, SETTINGS);
}

#[test]
fn threads_in_turn() {
    let Some(libc) = installed() else { return };
    all(&libc, 3, THREADED, ARENAS);
    all(&libc, 2, CROWDED, &[&[]]);
}

#[test]
fn huge_pages() {
    let Some(libc) = installed() else { return };
    all(&libc, 3, PLAIN, HUGE);
}

#[test]
fn settings_in_the_environment() {
    let Some(libc) = installed() else { return };
    let mut wrong = Vec::new();
    for (variable, key, text) in VARIABLES {
        let known = |tunable: &&profiler::model::Tunable| tunable.knobs.iter().any(|knob| knob.variable == variable && knob.key == key);
        let tunable = spec().tunables.iter().find(known).unwrap_or_else(|| panic!("{variable} {key:?} is no knob"));
        let values: Vec<(&str, i64)> = (spec().knob_value)(tunable, text).map(|value| (tunable.key, value)).into_iter().collect();
        let environment = [(variable.to_owned(), key.map_or(text.to_owned(), |key| format!("{key}={text}")))];
        for seed in seeds(2) {
            wrong.extend(check(&libc, &values, &environment, &script(seed, THREADED)).err().map(|error| format!("seed {seed}, {error}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn other_settings_would_be_noticed() {
    let Some(libc) = installed() else { return };
    for values in SETTINGS {
        let noticed = (1..20).any(|seed| {
            let script = script(seed, PLAIN);
            let run = libc.run(&environment(values), &script);
            compare(model(&libc.version, &[], libc.cpus), &script, &run, Mode::Madvise).is_err()
        });
        assert!(noticed, "{values:?} makes no difference");
    }
}
