//! Random scripts under every setting, here and there.

use super::agreement::{Values, all, check, installed, seeds};
use super::play::{model, spec};
use super::real::environment;
use super::replayed::compare;
use super::workload::{CROWDED, DISTURBED, PLAIN, THREADED, script};

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
    all(&libc, 2, THREADED, HUGE);
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
            compare(model(&libc.version, &[], libc.cpus), &script, &run, libc.thp).is_err()
        });
        assert!(noticed, "{values:?} makes no difference");
    }
}
