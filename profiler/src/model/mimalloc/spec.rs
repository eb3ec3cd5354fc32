//! What can be set, and how it is set for real.

use crate::model::{Cost, Footprint, Knob, ModelSpec, Tunable, Unit};

pub(in crate::model) static SPEC: ModelSpec = ModelSpec {
    id: "mimalloc",
    versions: &["2.0.9"],
    summary: "mimalloc: pages of blocks of one size in segments of 32 MiB for each thread, free spans returned after a delay",
    tunables: &[
        Tunable {
            key: "decommit_delay",
            knobs: &[variable("MIMALLOC_DECOMMIT_DELAY"), variable("MIMALLOC_RESET_DELAY")],
            doc: "time until free spans of a segment in use are returned to the system; 0: at once",
            ..millis(25)
        },
        Tunable {
            key: "segment_decommit_delay",
            knobs: &[variable("MIMALLOC_SEGMENT_DECOMMIT_DELAY")],
            doc: "time until the memory of an empty segment is returned; 0: at once",
            ..millis(500)
        },
        Tunable {
            key: "decommit_extend_delay",
            knobs: &[variable("MIMALLOC_DECOMMIT_EXTEND_DELAY")],
            doc: "what each further free span adds to the delay",
            ..millis(1)
        },
        Tunable {
            key: "allow_decommit",
            knobs: &[variable("MIMALLOC_ALLOW_DECOMMIT")],
            doc: "0: return nothing but the mappings of huge blocks",
            ..switch(1)
        },
        Tunable {
            key: "eager_commit",
            knobs: &[variable("MIMALLOC_EAGER_COMMIT")],
            doc: "0: map segments without access and commit 1 MiB at a time",
            ..switch(1)
        },
        Tunable {
            key: "eager_commit_delay",
            knobs: &[variable("MIMALLOC_EAGER_COMMIT_DELAY")],
            doc: "so many segments of each further thread are committed piece by piece; below 0: all",
            ..switch(1)
        },
        Tunable {
            key: "page_reset",
            knobs: &[variable("MIMALLOC_PAGE_RESET")],
            doc: "1: tell the kernel at once that it may take the memory of free pages (MADV_FREE)",
            ..switch(0)
        },
        Tunable {
            key: "abandoned_page_decommit",
            knobs: &[variable("MIMALLOC_ABANDONED_PAGE_DECOMMIT"), variable("MIMALLOC_ABANDONED_PAGE_RESET")],
            doc: "1: return free spans of a thread that ends without delay",
            ..switch(0)
        },
        Tunable {
            key: "large_os_pages",
            knobs: &[variable("MIMALLOC_LARGE_OS_PAGES")],
            doc: "1: segments in pages of the huge-page pool (taken to be empty), else in transparent huge pages, never returned",
            ..switch(0)
        },
        Tunable {
            key: "reserve_os_memory",
            knobs: &[variable("MIMALLOC_RESERVE_OS_MEMORY")],
            doc: "map so much at the start, and take segments from there; never returned",
            unit: Unit::Bytes,
            range: (0, 1 << 46),
            ..switch(0)
        },
        Tunable {
            key: "limit_os_alloc",
            knobs: &[variable("MIMALLOC_LIMIT_OS_ALLOC")],
            doc: "1: nothing beyond what was reserved",
            ..switch(0)
        },
        Tunable {
            key: "max_segment_reclaim",
            knobs: &[variable("MIMALLOC_MAX_SEGMENT_RECLAIM")],
            doc: "segments of ended threads that are looked at when one is needed; at least 8, at most 1024",
            ..switch(8)
        },
    ],
    library: Footprint { own: Cost::new(32, 184, 26, 5), needs: &[] },
    knob_value,
    build: super::build,
};

/// Far beyond any use, and far from the ends of 64 bits.
const MOST: i64 = 1 << 48;
/// Longer values are not read.
const TEXT: usize = 64;
const KIB: i64 = 1024;

const fn switch(default: i64) -> Tunable {
    Tunable { key: "", knobs: &[], default, unit: Unit::Count, range: (-MOST, MOST), doc: "" }
}

const fn millis(default: i64) -> Tunable {
    Tunable { unit: Unit::Millis, ..switch(default) }
}

const fn variable(name: &'static str) -> Knob {
    Knob { variable: name, key: None }
}

/// Words are recognised by any part of them, as the library does; then decimal numbers. Memory counts KiB, with a unit.
fn knob_value(tunable: &Tunable, text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let counts_memory = tunable.unit == Unit::Bytes;
    let value = match &*text {
        text if text.len() > TEXT => return None,
        text if "1;TRUE;YES;ON".contains(text) => 1,
        text if "0;FALSE;NO;OFF".contains(text) => 0,
        text => {
            let (value, rest) = leading_number(text)?;
            match rest {
                "" if !counts_memory => value,
                _ if counts_memory => kibibytes(value, rest)?,
                _ => return None,
            }
        }
    };
    let value = if counts_memory { value.checked_mul(KIB)? } else { value };
    (tunable.range.0..=tunable.range.1).contains(&value).then_some(value)
}

/// As `strtol` reads it, with what follows.
fn leading_number(text: &str) -> Option<(i64, &str)> {
    let text = text.trim_start();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.len() == rest.len() {
        return None;
    }
    text[..text.len() - rest.len()].parse().ok().map(|value| (value, rest))
}

fn kibibytes(value: i64, rest: &str) -> Option<i64> {
    let (value, rest) = match rest.as_bytes().first() {
        Some(b'K') => (value, &rest[1..]),
        Some(b'M') => (value.checked_mul(KIB)?, &rest[1..]),
        Some(b'G') => (value.checked_mul(KIB * KIB)?, &rest[1..]),
        _ => (value.checked_add(KIB - 1)? / KIB, rest),
    };
    matches!(rest, "" | "B" | "IB").then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, text: &str) -> Option<i64> {
        let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == key).expect("there");
        knob_value(tunable, text)
    }

    #[test]
    fn knobs_are_taken_as_mimalloc_takes_them() {
        let delays = ["10", "-1", "+3", "yes", "TrUe", "off", "", "E", " 7", "10ms", "0x10", "1 "].map(|text| read("decommit_delay", text));
        let expected = [Some(10), Some(-1), Some(3), Some(1), Some(1), Some(0), Some(1), Some(1), Some(7), None, None, None];
        assert_eq!(delays, expected);
        assert_eq!(read("decommit_delay", &"0".repeat(65)), None);
    }

    #[test]
    fn memory_has_units() {
        let sizes = ["1G", "2MiB", "3kb", "5000", "1", "1T", "-1", "4MI"].map(|text| read("reserve_os_memory", text));
        let (mib, gib) = (KIB * KIB, KIB * KIB * KIB);
        assert_eq!(sizes, [Some(gib), Some(2 * mib), Some(3 * KIB), Some(5 * KIB), Some(KIB), None, Some(0), None]);
    }
}
