//! Other versions of glibc, where they were fetched (`cargo xtask libcs`).

use super::agreement::{Values, all};
use super::profiles::operations;
use super::real::Libc;
use super::tables::{MAIN, OTHERS};
use super::workload::{DISTURBED, PLAIN, THREADED};
use std::path::Path;

const SETTINGS: &[Values] = &[
    &[],
    &[("tcache_count", 0)],
    &[("tcache_count", 40), ("tcache_unsorted_limit", 1)],
    &[("mxfast", 0)],
    &[("mmap_threshold", 65536)],
    &[("mmap_threshold", 64 << 20)],
    &[("mmap_max", 3)],
    &[("top_pad", 0), ("trim_threshold", 0)],
    &[("perturb", 165)],
    &[("arena_max", 2)],
];
/// With `hugetlb=1` the first growth depends on whether the program used `sbrk` before, which no model is told.
const HUGE: &[Values] = &[&[("hugetlb", 1)], &[("hugetlb", 2)]];

/// The libraries below `target`.
fn fetched() -> Vec<Libc> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("libcs");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let libcs = entries.filter_map(|release| {
        let version = std::fs::read_to_string(release.join("version")).ok()?;
        Libc::unpacked(&version, &release.join("root")).map_err(|reason| println!("skipped: {version}: {reason}")).ok()
    });
    let libcs: Vec<Libc> = libcs.collect();
    if libcs.is_empty() {
        println!("skipped: there is no other glibc in {}", folder.display());
    }
    libcs
}

#[test]
fn the_tables_are_what_happens_in_other_versions() {
    for libc in fetched() {
        let agrees = ["2.31", "2.35", "2.36"].contains(&libc.version.as_str());
        for row in MAIN.iter().filter(|row| agrees && row.seed == 1) {
            let script = operations(row.profile, row.seed);
            row.check(&script, &libc.run(&[], &script)).unwrap_or_else(|error| panic!("{}: {error}", libc.version));
        }
        for row in OTHERS.iter().filter(|row| row.version == libc.version) {
            let script = operations(row.profile, 1);
            row.check(&script, &libc.run(&[], &script)).unwrap_or_else(|error| panic!("{}: {error}", libc.version));
        }
    }
}

#[test]
fn other_versions_agree() {
    for libc in fetched() {
        println!("glibc {}", libc.version);
        all(&libc, 2, PLAIN, SETTINGS);
        all(&libc, 2, DISTURBED, SETTINGS);
        all(&libc, 2, THREADED, SETTINGS);
        all(&libc, 2, PLAIN, HUGE);
        all(&libc, 2, THREADED, HUGE);
    }
}
