//! One program with all kinds of calls under many settings, as it ran with the packaged library (address randomisation off).
//!
//! ```text
//! step    draws a, b, c, d; slot a mod 300; c mod 100 chooses one of four limits (60, 25, 12, 3 %), size 1 + d mod limit
//! empty   b mod 100 < 70: malloc, < 85: calloc, else memalign to 32 << (c >> 8) mod 12; all of it is written
//! full    b mod 100 < 30: realloc, and what is new is written; else free
//! ```

use super::vectors::{Draws, Report, Run, ask};
use crate::model::{Block, Request};

const SLOTS: u64 = 300;
const STEPS: usize = 20_000;
/// Limits of sizes: mostly small, mostly large, and huge ones too.
const LIMITS: [[u64; 4]; 3] = [[128, 1024, 16384, 65536], [4096, 65536, 400_000, 3_000_000], [14336, 40000, 300_000, 20_000_000]];

type Settings = &'static [(&'static str, i64)];

const NEVER: Settings = &[("dirty_decay_ms", -1)];
const AT_ONCE: Settings = &[("dirty_decay_ms", 0)];
const UNCACHED: Settings = &[("dirty_decay_ms", -1), ("tcache", 0)];
const FILLED: Settings = &[("dirty_decay_ms", 0), ("zero", 1), ("junk", 2)];
const SMALL_CACHE: Settings = &[
    ("dirty_decay_ms", -1),
    ("tcache_max", 1000),
    ("tcache_gc_incr_bytes", 5000),
    ("tcache_gc_delay_bytes", 3000),
    ("lg_tcache_nslots_mul", -2),
    ("lg_tcache_flush_small_div", 2),
];
const LARGE_CACHE: Settings = &[
    ("dirty_decay_ms", -1),
    ("lg_tcache_max", 16),
    ("tcache_nslots_large", 7),
    ("lg_extent_max_active_fit", 2),
    ("oversize_threshold", 100_000),
];

/// Limits, settings, checksum of all results, `mmap` and `madvise` calls, resident pages, faults.
type Row = (usize, Settings, u64, u64, u64, i64, u64);

const SEEN: [Row; 18] = [
    (0, NEVER, 0x09f9_e217_a6f6_6212, 1, 19, 637, 906),
    (0, AT_ONCE, 0x4704_6097_eb43_2f9e, 1, 750, 273, 3601),
    (0, UNCACHED, 0x2556_cc3f_2bc6_04c4, 0, 53, 382, 827),
    (0, FILLED, 0x4704_6097_eb43_2f9e, 1, 750, 289, 4327),
    (0, SMALL_CACHE, 0x7ab4_3936_0cc5_8818, 0, 53, 373, 822),
    (0, LARGE_CACHE, 0x0a66_5f88_c42c_d31d, 1, 1, 675, 707),
    (1, NEVER, 0xde3b_15a0_1131_7c30, 9, 331, 9814, 34178),
    (1, AT_ONCE, 0x5584_b342_6e50_5a2e, 8, 4345, 3009, 209_135),
    (1, UNCACHED, 0xfa2d_d0c1_8328_cf53, 9, 410, 9626, 34763),
    (1, FILLED, 0x5584_b342_6e50_5a2e, 8, 4345, 3017, 222_889),
    (1, SMALL_CACHE, 0x2e43_1981_c9c1_fbe3, 9, 410, 10116, 35373),
    (1, LARGE_CACHE, 0xb101_f8e0_06a5_4be5, 14, 211, 12527, 35319),
    (2, NEVER, 0x5128_c9fe_6bf9_d4a6, 16, 252, 62053, 153_731),
    (2, AT_ONCE, 0xb68a_4e64_937d_ff42, 14, 3678, 12951, 873_814),
    (2, UNCACHED, 0x1f0c_b119_1c09_0b2d, 15, 366, 56189, 149_069),
    (2, FILLED, 0xb68a_4e64_937d_ff42, 14, 3678, 12957, 945_385),
    (2, SMALL_CACHE, 0x6aa9_85af_23cc_4f84, 15, 366, 56196, 149_027),
    (2, LARGE_CACHE, 0x8c09_b37b_442d_b9a7, 13, 183, 65882, 152_627),
];

fn play(run: &mut Run, limits: [u64; 4]) {
    let mut draws = Draws(5);
    let mut slots: Vec<Option<(Block, u64)>> = vec![None; SLOTS as usize];
    run.os.calls.clear();
    for _ in 0..STEPS {
        let [a, b, c, d] = [0; 4].map(|_| draws.next());
        let slot = &mut slots[(a % SLOTS) as usize];
        let limit = match c % 100 {
            0..60 => limits[0],
            60..85 => limits[1],
            85..97 => limits[2],
            _ => limits[3],
        };
        let size = 1 + d % limit;
        *slot = match *slot {
            None => {
                let align = if b % 100 < 85 { 0 } else { 32 << ((c >> 8) % 12) };
                Some((run.take_written(Request { align, zeroed: (70..85).contains(&(b % 100)), ..ask(size) }), size))
            }
            Some((old, from)) if b % 100 < 30 => Some((run.realloc(old, from.min(size), size), size)),
            Some((old, _)) => {
                run.free(old);
                None
            }
        };
    }
    run.report();
}

#[test]
fn every_setting_as_the_library_has_it() {
    for (limits, settings, fnv, mmaps, madvises, rss, faults) in SEEN {
        let mut run = Run::new(settings, true);
        play(&mut run, LIMITS[limits]);
        let Report { mmap, madvise, rss: own_rss, faults: own_faults, .. } = run.reports[0].clone();
        let seen = (fnv, mmaps, madvises, rss, faults);
        assert_eq!((run.fnv, mmap.0, madvise.0, own_rss, own_faults), seen, "sizes {limits}, {settings:?}");
    }
}
