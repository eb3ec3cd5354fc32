//! What can be set, and how it is set for real.

use super::rules::VERSIONS;
use crate::model::{Footprint, Knob, ModelSpec, Tunable, Unit};

pub(in crate::model) static SPEC: ModelSpec = ModelSpec {
    id: "glibc",
    versions: VERSIONS,
    summary: "glibc's malloc (ptmalloc2): arenas of bins and a top, caches per thread, mappings above a threshold that moves",
    tunables: &[
        Tunable {
            key: "mmap_threshold",
            knobs: &[tunable("glibc.malloc.mmap_threshold"), variable("MALLOC_MMAP_THRESHOLD_")],
            doc: "chunks from this size on get a mapping of their own where no free chunk fits; setting it stops its moving",
            ..bytes(128 << 10, i64::MAX)
        },
        Tunable {
            key: "mmap_max",
            knobs: &[tunable("glibc.malloc.mmap_max"), variable("MALLOC_MMAP_MAX_")],
            doc: "most mappings of single blocks at a time; setting it stops the thresholds' moving",
            ..count(65536, 0, INT)
        },
        Tunable {
            key: "trim_threshold",
            knobs: &[tunable("glibc.malloc.trim_threshold"), variable("MALLOC_TRIM_THRESHOLD_")],
            doc: "free bytes at the top from which on the break moves down; setting it stops the thresholds' moving",
            ..bytes(128 << 10, i64::MAX)
        },
        Tunable {
            key: "top_pad",
            knobs: &[tunable("glibc.malloc.top_pad"), variable("MALLOC_TOP_PAD_")],
            doc: "bytes asked for beyond the need when growing, and kept when trimming; setting it stops the thresholds' moving",
            ..bytes(128 << 10, i64::MAX)
        },
        Tunable {
            key: "arena_max",
            knobs: &[tunable("glibc.malloc.arena_max"), variable("MALLOC_ARENA_MAX")],
            doc: "most arenas, the main one included; 0: eight for each CPU",
            ..count(0, 0, INT)
        },
        Tunable {
            key: "arena_test",
            knobs: &[tunable("glibc.malloc.arena_test"), variable("MALLOC_ARENA_TEST")],
            doc: "arenas from which on the number of CPUs is a limit",
            ..count(8, 1, INT)
        },
        Tunable {
            key: "tcache_count",
            knobs: &[tunable("glibc.malloc.tcache_count")],
            doc: "chunks of each size that a thread caches",
            ..count(7, 0, 65535)
        },
        Tunable {
            key: "tcache_max",
            knobs: &[tunable("glibc.malloc.tcache_max")],
            doc: "largest request that a thread caches",
            ..bytes(1032, 1032)
        },
        Tunable {
            key: "tcache_unsorted_limit",
            knobs: &[tunable("glibc.malloc.tcache_unsorted_limit")],
            doc: "chunks that a search sorts after it has cached one; 0: no limit",
            ..count(0, 0, i64::MAX)
        },
        Tunable {
            key: "mxfast",
            knobs: &[tunable("glibc.malloc.mxfast")],
            doc: "largest chunk that is kept without being merged, in fastbins; below 8: none",
            ..bytes(128, 160)
        },
        Tunable {
            key: "hugetlb",
            knobs: &[tunable("glibc.malloc.hugetlb")],
            doc: "1: advise transparent huge pages; 2: take pages of the huge-page pool (taken to be empty)",
            ..count(0, 0, i64::MAX)
        },
        Tunable {
            key: "perturb",
            knobs: &[tunable("glibc.malloc.perturb"), variable("MALLOC_PERTURB_")],
            doc: "not 0: fill new and freed memory",
            ..count(0, 0, 255)
        },
        Tunable {
            key: "trim_every",
            unit: Unit::Seconds,
            doc: "what if malloc_trim(0) were called at these intervals of the recorded clock; 0: never",
            ..count(0, 0, 1 << 30)
        },
    ],
    library: Footprint::NONE,
    knob_value,
    build: super::build,
};

const INT: i64 = i32::MAX as i64;

const fn bytes(default: i64, most: i64) -> Tunable {
    Tunable { key: "", knobs: &[], default, unit: Unit::Bytes, range: (0, most), doc: "" }
}

const fn count(default: i64, least: i64, most: i64) -> Tunable {
    Tunable { key: "", knobs: &[], default, unit: Unit::Count, range: (least, most), doc: "" }
}

const fn tunable(name: &'static str) -> Knob {
    Knob { variable: "GLIBC_TUNABLES", key: Some(name) }
}

const fn variable(name: &'static str) -> Knob {
    Knob { variable: name, key: None }
}

/// glibc takes decimal, `0x` and octal numbers as far as they go, and nothing for 0; what is out of range it ignores, and below 0 is always.
fn knob_value(tunable: &Tunable, text: &str) -> Option<i64> {
    if text.starts_with('-') {
        return None;
    }
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let end = digits.find(|digit: char| !digit.is_digit(radix)).unwrap_or(digits.len());
    let value = if end == 0 { 0 } else { i64::from_str_radix(&digits[..end], radix).ok()? };
    (tunable.range.0..=tunable.range.1).contains(&value).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_are_taken_as_glibc_takes_them() {
        let mxfast = SPEC.tunables.iter().find(|tunable| tunable.key == "mxfast").expect("there");
        let taken = ["64", "0x40", "0100", "nonsense", "161", "", "-1"].map(|text| knob_value(mxfast, text));
        assert_eq!(taken, [Some(64), Some(64), Some(64), Some(0), None, Some(0), None]);
    }
}
