//! What can be set, and how it is set for real: `MALLOC_CONF="name:value,name:value"`.
//!
//! Every key is the real name. Of `tcache_max` and `lg_tcache_max` the one that stands later wins for real; here it is `lg_tcache_max`.

use crate::model::{CXX, Cost, Footprint, Knob, ModelSpec, Tunable, Unit};

/// `MALLOC_CONF` with a name in it.
macro_rules! conf {
    ($key:literal) => {
        Tunable {
            key: $key,
            knobs: &[Knob { variable: "MALLOC_CONF", key: Some($key) }],
            default: 0,
            unit: Unit::Count,
            range: (0, 1),
            doc: "",
        }
    };
}

pub(in crate::model) static SPEC: ModelSpec = ModelSpec {
    id: "jemalloc",
    versions: &["5.3.0"],
    summary: "jemalloc: slabs and extents in arenas, caches per thread, free pages that decay along a curve",
    tunables: &[
        millis(conf!("dirty_decay_ms"), 10_000, "free pages go back to the kernel over this time; 0: at once; -1: never"),
        millis(conf!("muzzy_decay_ms"), 0, "before that they are offered by MADV_FREE for this time; 0: not at all; -1: for good"),
        count(conf!("background_thread"), 0, (0, 1), "1: threads of the allocator purge instead of the program's"),
        count(conf!("max_background_threads"), 0, (0, 4096), "most of these threads; 0: one for each CPU, up to 4"),
        count(conf!("narenas"), 0, (0, u32::MAX as i64), "arenas that threads are spread over; 0: 4 for each CPU"),
        count(conf!("retain"), 1, (0, 1), "1: keep address space, and map in growing steps; 0: map and unmap each extent"),
        bytes(conf!("oversize_threshold"), 8 << 20, (0, 7 << 60), "blocks from this size on have an arena without decay; 0: none"),
        count(conf!("lg_extent_max_active_fit"), 6, (0, 64), "free extents more than 2^this times longer than the need stay whole"),
        count(conf!("tcache"), 1, (0, 1), "1: threads cache blocks"),
        bytes(conf!("tcache_max"), 32768, (0, 8 << 20), "largest block that threads cache"),
        count(conf!("lg_tcache_max"), -1, (-1, 23), "the same as a power of two; -1: see tcache_max"),
        count(conf!("tcache_nslots_small_min"), 20, (1, 2048), "fewest small blocks of a class that a thread caches"),
        count(conf!("tcache_nslots_small_max"), 200, (1, 2048), "most small blocks of a class that a thread caches"),
        count(conf!("tcache_nslots_large"), 20, (1, 2048), "large blocks of a class that a thread caches"),
        count(conf!("lg_tcache_nslots_mul"), 1, (-16, 16), "between the two, a thread caches the small blocks of 2^this slabs"),
        bytes(conf!("tcache_gc_incr_bytes"), 65536, (1024, i64::MAX), "bytes after which one class of a cache is looked through"),
        bytes(conf!("tcache_gc_delay_bytes"), 0, (0, i64::MAX), "bytes of small blocks that such looks leave before they flush any"),
        count(conf!("lg_tcache_flush_small_div"), 1, (1, 16), "a full class of small blocks is flushed down to 1 / 2^this"),
        count(conf!("lg_tcache_flush_large_div"), 1, (1, 16), "a full class of large blocks is flushed down to 1 / 2^this"),
        count(conf!("thp"), 0, (0, 2), "huge pages for every mapping: 0 (default): as the system does; 1 (always), 2 (never): by advice"),
        count(conf!("metadata_thp"), 0, (0, 2), "huge pages for metadata: 0 (disabled), 1 (auto): once there is much of it, 2 (always)"),
        count(conf!("zero"), 0, (0, 1), "1: clear new blocks"),
        count(conf!("junk"), 0, (0, 3), "fill blocks with junk: 1 (alloc): new ones, 2 (free): freed ones, 3 (true): both"),
    ],
    library: Footprint { own: Cost::new(116, 664, 13, 7), needs: &CXX },
    knob_value,
    build: super::build,
};

const fn millis(tunable: Tunable, default: i64, doc: &'static str) -> Tunable {
    Tunable { default, unit: Unit::Millis, range: (-1, i64::MAX), doc, ..tunable }
}

const fn count(tunable: Tunable, default: i64, range: (i64, i64), doc: &'static str) -> Tunable {
    Tunable { default, range, doc, ..tunable }
}

const fn bytes(tunable: Tunable, default: i64, range: (i64, i64), doc: &'static str) -> Tunable {
    Tunable { default, unit: Unit::Bytes, range, doc, ..tunable }
}

/// How the library takes a text: words where there are words, else whole numbers to the last character. Out of range is clipped or
/// ignored, by setting.
fn knob_value(tunable: &Tunable, text: &str) -> Option<i64> {
    match tunable.key {
        "background_thread" | "retain" | "tcache" | "zero" => exact_word(&[("false", 0), ("true", 1)], text),
        "junk" => exact_word(&[("false", 0), ("alloc", 1), ("free", 2), ("true", 3)], text),
        // These are compared as far as the text goes.
        "thp" => begun_word(&["default", "always", "never"], text),
        "metadata_thp" => begun_word(&["disabled", "auto", "always"], text),
        "narenas" if text == "default" => Some(0),
        "dirty_decay_ms" | "muzzy_decay_ms" | "lg_tcache_nslots_mul" => {
            let value = number(text)? as i64;
            (tunable.range.0..=tunable.range.1).contains(&value).then_some(value)
        }
        "narenas" => number(text).filter(|&value| value > 0).map(|value| i64::from(value as u32)),
        "oversize_threshold" | "lg_extent_max_active_fit" => number(text)?.try_into().ok().filter(|&value: &i64| value <= tunable.range.1),
        "max_background_threads" => Some(clipped(number(text)?, (1, tunable.range.1))),
        "lg_tcache_max" => Some(clipped(number(text)?, (0, tunable.range.1))),
        _ => Some(clipped(number(text)?, tunable.range)),
    }
}

fn exact_word(words: &[(&str, i64)], text: &str) -> Option<i64> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

fn begun_word(words: &[&str], text: &str) -> Option<i64> {
    words.iter().position(|word| word.starts_with(text)).map(|at| at as i64)
}

fn clipped(value: u64, range: (i64, i64)) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX).clamp(range.0, range.1)
}

/// Decimal, `0x` or octal, with a sign that wraps around.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    let value = digits.bytes().all(|digit| digit.is_ascii_alphanumeric()).then(|| u64::from_str_radix(digits, radix).ok())??;
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the library prints its options when it is started with these texts.
    #[test]
    fn knobs_are_taken_as_the_library_takes_them() {
        let table = [
            ("dirty_decay_ms", "-2", None),
            ("dirty_decay_ms", " 5", Some(5)),
            ("dirty_decay_ms", "+5", Some(5)),
            ("dirty_decay_ms", "18446744073709551615", Some(-1)),
            ("dirty_decay_ms", "99999999999999999999", None),
            ("muzzy_decay_ms", "010", Some(8)),
            ("muzzy_decay_ms", "1s", None),
            ("narenas", "0", None),
            ("narenas", "-1", Some(4_294_967_295)),
            ("narenas", "default", Some(0)),
            ("tcache_max", "0x100", Some(256)),
            ("tcache_max", "-1", Some(8 << 20)),
            ("lg_tcache_max", "90", Some(23)),
            ("tcache_nslots_large", "0", Some(1)),
            ("tcache_gc_incr_bytes", "-5", Some(i64::MAX)),
            ("lg_extent_max_active_fit", "65", None),
            ("oversize_threshold", "0x7000000000000001", None),
            ("retain", "1", None),
            ("retain", "false", Some(0)),
            ("junk", "tru", None),
            ("junk", "free", Some(2)),
            ("thp", "al", Some(1)),
            ("metadata_thp", "a", Some(1)),
        ];
        for (key, text, value) in table {
            let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == key).expect("there");
            assert_eq!(knob_value(tunable, text), value, "{key}:{text}");
        }
    }
}
