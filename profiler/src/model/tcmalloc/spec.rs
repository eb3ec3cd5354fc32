//! What can be set, and how it is set for real.

use crate::model::{CXX, Cost, Footprint, Knob, ModelSpec, Tunable, Unit};

pub(in crate::model) static SPEC: ModelSpec = ModelSpec {
    id: "tcmalloc",
    versions: &["2.10"],
    summary: "gperftools tcmalloc: caches per thread, central spans of 8 KiB pages, grows by the break, gives back little",
    tunables: &[
        Tunable {
            key: "max_total_thread_cache",
            knobs: &[knob("TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES")],
            unit: Unit::Bytes,
            doc: "bytes that the caches of all threads share",
            ..count(32 << 20, 512 << 10, 1 << 30)
        },
        Tunable {
            key: "transfer_num_obj",
            knobs: &[knob("TCMALLOC_TRANSFER_NUM_OBJ")],
            doc: "most objects that move together between a thread and the central lists; shapes the size classes, too",
            ..count(32, 1, MOST_TRANSFERRED)
        },
        Tunable {
            key: "release_per_million",
            knobs: &[knob("TCMALLOC_RELEASE_RATE")],
            doc: "pages released for a million pages freed, in whole spans (the knob counts for a thousand); 0: never",
            ..count(1000, 0, i64::MAX)
        },
        Tunable {
            key: "aggressive_decommit",
            knobs: &[knob("TCMALLOC_AGGRESSIVE_DECOMMIT")],
            doc: "1: every free span goes back to the kernel at once",
            ..count(0, 0, 1)
        },
        Tunable {
            key: "heap_limit_mb",
            knobs: &[knob("TCMALLOC_HEAP_LIMIT_MB")],
            doc: "MiB of memory, metadata included, above which free spans are released and then requests refused; 0: no limit",
            ..count(0, 0, i64::MAX >> 20)
        },
        Tunable {
            key: "disable_memory_release",
            knobs: &[knob("TCMALLOC_DISABLE_MEMORY_RELEASE")],
            doc: "1: nothing ever goes back to the kernel",
            ..count(0, 0, 1)
        },
        Tunable {
            key: "skip_sbrk",
            knobs: &[knob("TCMALLOC_SKIP_SBRK")],
            doc: "1: after the start the heap grows by mappings instead of the break",
            ..count(0, 0, 1)
        },
        Tunable {
            key: "skip_mmap",
            knobs: &[knob("TCMALLOC_SKIP_MMAP")],
            doc: "1: never grows by mappings, even where the break cannot move",
            ..count(0, 0, 1)
        },
        Tunable {
            key: "release_every",
            unit: Unit::Seconds,
            doc: "what if MallocExtension::ReleaseFreeMemory() were called at these intervals of the recorded clock; 0: never",
            ..count(0, 0, 1 << 30)
        },
    ],
    library: Footprint { own: Cost::new(1712, 340, 401, 6), needs: &CXX },
    knob_value,
    build: super::build,
};

/// The most that 64 KiB have room for; higher values change nothing.
const MOST_TRANSFERRED: i64 = 8192;

const fn count(default: i64, least: i64, most: i64) -> Tunable {
    Tunable { key: "", knobs: &[], default, unit: Unit::Count, range: (least, most), doc: "" }
}

const fn knob(variable: &'static str) -> Knob {
    Knob { variable, key: None }
}

/// The library reads numbers as far as they go, takes what is none for 0 and keeps to its ranges; a switch is on when its text is empty or
/// begins with one of `tTyY1`. A transfer of no objects or fewer makes it fail, so that is no setting; a negative heap limit is none.
fn knob_value(tunable: &Tunable, text: &str) -> Option<i64> {
    let (least, most) = tunable.range;
    match tunable.key {
        "aggressive_decommit" | "disable_memory_release" | "skip_sbrk" | "skip_mmap" => {
            Some(i64::from(text.is_empty() || text.starts_with(['t', 'T', 'y', 'Y', '1'])))
        }
        "release_per_million" => number(text).map(|rate| ((rate * 1000.0).round() as i64).max(0)),
        "transfer_num_obj" => Some(whole(text).min(most)).filter(|&objects| objects >= least),
        // The size is taken as unsigned.
        "max_total_thread_cache" if whole(text) < 0 => Some(most),
        "max_total_thread_cache" => Some(whole(text).clamp(least, most)),
        _ => Some(whole(text).clamp(0, most)),
    }
}

/// As `strtol` reads it.
fn whole(text: &str) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
    let size = if end == 0 { 0 } else { digits[..end].parse().unwrap_or(i64::MAX) };
    sign * size
}

/// As `strtod` reads it, but for hexadecimal numbers; `None` where it is no number to count with.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_ascii_start();
    let lengths = (1..=text.len()).rev().filter(|&len| text.is_char_boundary(len));
    let value = lengths.flat_map(|len| text[..len].parse::<f64>()).next().unwrap_or(0.0);
    (!value.is_nan()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken<const N: usize>(key: &str, texts: [&str; N]) -> [Option<i64>; N] {
        let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == key).expect("there");
        texts.map(|text| knob_value(tunable, text))
    }

    #[test]
    fn knobs_are_taken_as_the_library_takes_them() {
        assert_eq!(taken("release_per_million", ["1.0", "10", " .5x", "-1", "never", "1e2"]), [1000, 10_000, 500, 0, 0, 100_000].map(Some));
        assert_eq!(taken("release_per_million", ["nan", "inf"]), [None, Some(i64::MAX)]);
        assert_eq!(taken("aggressive_decommit", ["1", "yes", "", "on", "0", "2"]), [1, 1, 1, 0, 0, 0].map(Some));
        assert_eq!(taken("transfer_num_obj", ["128", "100000", "0", "-4"]), [Some(128), Some(8192), None, None]);
        let cached = taken("max_total_thread_cache", ["1000", "1048576", "9999999999", "-1", "64K"]);
        assert_eq!(cached, [512 << 10, 1 << 20, 1 << 30, 1 << 30, 512 << 10].map(Some));
        assert_eq!(taken("heap_limit_mb", ["512", "-5", "x"]), [512, 0, 0].map(Some));
    }
}
