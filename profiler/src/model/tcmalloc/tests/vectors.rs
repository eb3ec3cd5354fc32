//! The fact sheet's test vectors (section TV), all of them: made by the packaged library, and deterministic there.

use super::programs::{Draws, FNV, Play, fnv, mixed};

/// One program under one setting.
struct Vector {
    settings: &'static str,
    program: &'static str,
    /// At each report point: system calls since the one before, and resident pages more than before the program.
    points: &'static [(&'static str, u64)],
    /// At the last report point.
    faults: u64,
    checksum: u64,
}

const fn by_default(program: &'static str, points: &'static [(&'static str, u64)], faults: u64, checksum: u64) -> Vector {
    Vector { settings: "", program, points, faults, checksum }
}

const T2: &str = "mix 7 2000 60000 full";
const T3: &str = "fill 40000 1024 0 full";
const T4: &str = "fill 400 65536 2 full";
const T5: &str = "churn 3 200 4000 16385 1048576 full";
const T10: &str = "churn 11 50 200000 16 16384 full";
const T11: &str = "churn 13 200 40000 16385 1048576 first";

const DEFAULT: [Vector; 12] = [
    by_default("churn 1 1000 20000 16 1024 full", &[("", 136), ("", 136)], 136, 0xdf7f_2514_f06e_6ca0),
    by_default(T2, &[("brk 14 (14680064)", 3802), ("", 3802)], 3802, 0x5dbe_daf0_9c5d_53e4),
    by_default(T3, &[("brk 39 (40894464)", 10060), ("", 10061), ("", 10279)], 10279, 0x934d_48bf_b614_f2c1),
    by_default(T4, &[("brk 25 (26214400)", 6406), ("", 6406), ("", 6630)], 6630, 0x0cbb_9ccb_285e_8617),
    by_default(T5, &[("brk 71 (74448896)", 18397), ("", 18397)], 18397, 0x9164_86e7_1a38_2ebf),
    by_default(
        "churn 5 16 300 1048576 33554432 first",
        &[("brk 15 (321216512), madvise 1 (3112960)", 93), ("", 93)],
        93,
        0x12ba_3f6c_5e56_41b9,
    ),
    by_default("grow 1000 3 2 16777216 full", &[("brk 7 (30605312)", 7276), ("", 7276)], 7282, 0x0271_d1cc_ea0b_be88),
    by_default("sweep 1048576 full", &[("brk 6 (6291456)", 1733), ("", 1733)], 1733, 0x8ed3_028b_7d2e_1899),
    by_default("fill 20000 100 1 full", &[("brk 2 (2097152)", 551), ("", 551), ("", 551)], 551, 0xb191_067c_501c_33c9),
    by_default(T10, &[("brk 1 (1048576)", 345), ("", 345)], 345, 0xa29f_1622_f857_9f8d),
    by_default(T11, &[("brk 81 (84934656), madvise 29 (8134656)", 4267), ("madvise 2 (57344)", 4266)], 4536, 0x8adf_bf48_4234_f993),
    by_default("churn 17 4000 200000 8 4096 full", &[("brk 5 (5242880)", 1440), ("", 1440)], 1440, 0xde61_5884_0af3_ded6),
];

/// Where the first blocks lie from the beginning of the heap on; for the vector with this number.
const FIRST: [(usize, [u64; 8]); 7] = [
    (1, [0x16000, 0x18000, 0x1a000, 0x1c000, 0x1e000, 0x20000, 0x22000, 0x24000]),
    (2, [0x16000, 0x18000, 0x1a000, 0x1c000, 0x20000, 0x22000, 0x24000, 0x161c0]),
    (5, [0x16000, 0xe4000, 0x118000, 0x152000, 0x1ec000, 0x2ca000, 0x32c000, 0x428000]),
    (6, [0x16000, 0x94e000, 0x1812000, 0x1cc0000, 0x3276000, 0x5018000, 0x94e000, 0x6a8e000]),
    (7, [0x16000, 0x18000, 0x1c000, 0x20000, 0x24000, 0x28000, 0x2c000, 0x32000]),
    (8, [0x14010, 0x16000, 0x16020, 0x16040, 0x16060, 0x18000, 0x18030, 0x1a000]),
    (12, [0x16000, 0x1a000, 0x1c000, 0x1c900, 0x20000, 0x24000, 0x26000, 0x2c000]),
];

/// Pointers that each program logs.
const LOGGED: [usize; 12] = [10246, 30502, 80000, 800, 2047, 155, 25, 65, 40000, 100_014, 20057, 101_003];

fn check(vector: &Vector) -> Play {
    let mut play = Play::new(vector.settings);
    play.run(vector.program);
    let context = format!("{} {}", vector.settings, vector.program);
    assert_eq!(format!("{:016x}", play.checksum()), format!("{:016x}", vector.checksum), "{context}: placements");
    let points: Vec<(&str, u64)> = play.points.iter().map(|point| (point.calls.as_str(), point.resident)).collect();
    assert_eq!(points, vector.points, "{context}: calls and resident pages");
    assert_eq!(play.points.last().unwrap().faults, vector.faults, "{context}: faults");
    play
}

#[test]
fn the_library_as_it_comes() {
    for (vector, logged) in DEFAULT.iter().zip(LOGGED) {
        let play = check(vector);
        assert_eq!(play.log.len(), logged, "{}", vector.program);
        let highest = vector.points.iter().map(|point| point.1).max().unwrap();
        assert_eq!(play.peak, highest, "{}: peak", vector.program);
    }
}

#[test]
fn the_first_blocks() {
    for (number, offsets) in FIRST {
        let mut play = Play::new("");
        play.run(DEFAULT[number - 1].program);
        assert_eq!(play.log[..8], offsets.map(|offset| play.heap + offset), "T{number}");
    }
}

#[test]
fn releasing_ten_times_as_much() {
    let points = &[("brk 83 (87031808), madvise 235 (80633856)", 2601), ("madvise 9 (565248)", 2569)];
    check(&Vector { settings: "release_per_million=10000", program: T11, points, faults: 4560, checksum: 0x2fe2_46fc_3a93_3309 });
}

#[test]
fn aggressive_decommit() {
    let aggressive = |program, points, faults, checksum| Vector { settings: "aggressive_decommit=1", program, points, faults, checksum };
    check(&aggressive(
        T2,
        &[("brk 14 (14680064), madvise 343 (164028416)", 2093), ("madvise 15 (5906432)", 661)],
        38416,
        DEFAULT[1].checksum,
    ));
    let points = &[("brk 39 (40894464), madvise 39 (40894464)", 10060), ("madvise 4436 (36339712)", 1189), ("", 10061)];
    check(&aggressive(T3, points, 18933, DEFAULT[2].checksum));
    let points = &[("brk 71 (74448896), madvise 1858 (1098661888)", 14239), ("madvise 83 (54853632)", 883)];
    check(&aggressive(T5, points, 263_390, DEFAULT[4].checksum));
    // The sheet has the first report point only.
    let mut play = Play::new("aggressive_decommit=1");
    play.run(T10);
    assert_eq!((play.points[0].calls.as_str(), play.points[0].resident), ("brk 1 (1048576), madvise 63 (1826816)", 345));
    assert_eq!((play.points[0].faults, play.checksum()), (528, DEFAULT[9].checksum));
}

#[test]
fn larger_batches_change_the_classes() {
    let mut play = Play::new("transfer_num_obj=128");
    play.run(T3);
    let resident: Vec<u64> = play.points.iter().map(|point| point.resident).collect();
    assert_eq!(resident, [10032, 10032, 10248]);
}

#[test]
fn growth_by_mappings() {
    let mut play = Play::new("skip_sbrk=1");
    play.run(T4);
    let points: Vec<(&str, u64)> = play.points.iter().map(|point| (point.calls.as_str(), point.resident)).collect();
    assert_eq!(points, [("mmap 25 (26316800), munmap 25 (102400)", 6917), ("", 6918), ("", 7142)]);
}

/// malloc, touch and free of 1 MiB, again and again; answers with the number of releases, and with how many cycles had passed before the
/// first one.
fn cycles(settings: &str, count: u64) -> (usize, Option<u64>, Play) {
    let mut play = Play::new(settings);
    let mut first = None;
    for cycle in 0..count {
        let block = play.malloc(1 << 20);
        play.machine.kernel.space_mut().touch(block.addr, block.usable, crate::event::Access::Write);
        play.free(block);
        if first.is_none() && !play.machine.releases.is_empty() {
            first = Some(cycle);
        }
    }
    (play.machine.releases.len(), first, play)
}

#[test]
fn nothing_is_released_before_two_gigabytes_were_freed() {
    let (_, first, play) = cycles("", 2100);
    assert_eq!((first, play.machine.releases[0]), (Some(2046), 2_007_040));
    assert_eq!(cycles("release_per_million=10000", 20_000).0, 177);
    assert_eq!(cycles("release_per_million=0", 20_000).0, 0);
}

#[test]
fn the_programs_are_those_of_the_sheet() {
    let draws = |seed, count: usize| {
        let mut draws = Draws(seed);
        (0..count).map(|_| draws.next()).collect::<Vec<_>>()
    };
    assert_eq!(draws(1, 4), [908_834_774, 1_093_944_153, 1_392_341_196, 822_192_870]);
    assert_eq!(draws(7, 3), [1_059_165_278, 2_052_263_231, 1_946_856_753]);
    assert_eq!(fnv(FNV, 0x1e000), 0x78a4_5d8c_15c4_aaac);
    assert_eq!([0x1e000, 0x20000, 1 << 40 | 0x180].into_iter().fold(FNV, fnv), 0x4112_346d_41ae_480e);
    let mut seven = Draws(7);
    let first: Vec<(u64, u64)> = (0..6).map(|_| (seven.next() % 2000, mixed(&mut seven))).collect();
    assert_eq!(first, [(1278, 417), (673, 44), (1864, 307), (1686, 5044), (1632, 481), (962, 277)]);
}
