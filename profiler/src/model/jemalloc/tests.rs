//! The programs of [`super::vectors`] as they ran with the packaged library: 2 CPUs, huge pages on advice, address randomisation off.

use super::vectors::{Draws, FNV_OFFSET, Program, Report, Run, Sum, ask, fnv};
use crate::units::Nanos;
use crate::vm::Syscall;

const T1: Program = Program::Churn(1, 1000, 20000, 16, 1024);
const T2: Program = Program::Mix(7, 2000, 60000);
const T4: Program = Program::Fill(400, 65536, 2);
const T5: Program = Program::Churn(3, 200, 4000, 16385, 1 << 20);
const T7: Program = Program::Grow(1000, 3, 2, 16_777_216);
const T10: Program = Program::Churn(11, 50, 200_000, 16, 16384);
const T12: Program = Program::Churn(17, 4000, 200_000, 8, 4096);
/// Time has no influence.
const SLOWLY: &[(&str, i64)] = &[("dirty_decay_ms", 10_000_000)];
const AT_ONCE: &[(&str, i64)] = &[("dirty_decay_ms", 0)];
const NONE: Sum = (0, 0);

/// A program and what was seen. Where pages are −1, they were not written down.
struct Vector {
    program: Program,
    whole: bool,
    fnv: u64,
    regions: usize,
    peak: i64,
    reports: &'static [(Sum, Sum, i64, u64)],
}

const fn vector(program: Program, whole: bool, fnv: u64, seen: (usize, i64), reports: &'static [(Sum, Sum, i64, u64)]) -> Vector {
    Vector { program, whole, fnv, regions: seen.0, peak: seen.1, reports }
}

fn reports(rows: &[(Sum, Sum, i64, u64)]) -> Vec<Report> {
    rows.iter().map(|&(mmap, madvise, rss, faults)| Report { mmap, madvise, munmap: NONE, rss, faults }).collect()
}

#[test]
fn vectors_without_decay() {
    let table = [
        vector(T1, true, 0x380c_8af7_54e9_1a3a, (1, 111), &[(NONE, NONE, 111, 118), (NONE, NONE, 111, 118)]),
        vector(T2, true, 0xd03b_483a_ad79_18d1, (6, 4126), &[((5, 18_874_368), NONE, 4126, 4139), (NONE, NONE, 4126, 4139)]),
        vector(
            Program::Fill(40000, 1024, 0),
            true,
            0xcd1a_9def_71f8_4de5,
            (9, 10335),
            &[((8, 40_894_464), NONE, 10335, 10649), (NONE, NONE, 10335, 10649), (NONE, NONE, 10335, 10649)],
        ),
        vector(
            T4,
            true,
            0xc84a_5789_ca3f_1e4e,
            (9, 9636),
            &[((7, 32_505_856), NONE, 6821, 6834), (NONE, NONE, 6821, 6834), ((1, 8_388_608), NONE, 9636, 9649)],
        ),
        vector(
            T5,
            true,
            0x135d_55e9_860d_3a47,
            (13, 19777),
            &[((12, 95_420_416), (2, 20_795_392), 19263, 24104), (NONE, (3, 29_560_832), 12079, 24104)],
        ),
        vector(
            Program::Churn(5, 16, 300, 1 << 20, 32 << 20),
            false,
            0x6245_7ce2_954c_2574,
            (13, 104),
            &[((14, 500_170_752), (121, 2_628_227_072), 103, 224), (NONE, (8, 165_707_776), 95, 224)],
        ),
        vector(
            T7,
            true,
            0xe539_4d0d_ac04_7776,
            (8, 7336),
            &[((8, 68_681_728), (2, 8_392_704 + 12_587_008), 7336, 12744), (NONE, (1, 20_975_616), 3226, 12744)],
        ),
        vector(
            Program::Sweep(1 << 20),
            true,
            0x4901_e98c_c4a0_597b,
            (4, 1727),
            &[((3, 9_437_184), NONE, 1727, 1736), (NONE, NONE, 1727, 1736)],
        ),
        vector(
            Program::Fill(20000, 100, 1),
            true,
            0x54a4_5d68_065a_5e68,
            (2, 1023),
            &[((1, 2_621_440), NONE, 553, 557), (NONE, NONE, 553, 557), (NONE, NONE, 1023, 1027)],
        ),
        vector(T10, true, 0x3ae8_a6bc_89ea_6d67, (1, 336), &[(NONE, NONE, 336, 345), (NONE, NONE, 336, 345)]),
        vector(
            Program::Churn(13, 200, 40000, 16385, 1 << 20),
            false,
            0x403e_bcb8_4c41_0dee,
            (13, 3065),
            &[((12, 95_420_416), (4, 42_651_648), 3065, 3158), (NONE, (2, 22_908_928), 2642, 3158)],
        ),
        vector(T12, true, 0x780c_8170_94a7_ace7, (3, 1345), &[((2, 5_767_168), NONE, 1345, 1368), (NONE, NONE, 1345, 1368)]),
    ];
    for vector in table {
        let run = Run::new(SLOWLY, vector.whole).run(vector.program);
        assert_eq!(run.reports, reports(vector.reports), "{:?}", vector.program);
        assert_eq!((run.fnv, run.regions.len(), run.peak), (vector.fnv, vector.regions, vector.peak), "{:?}", vector.program);
    }
}

#[test]
fn vectors_with_decay_at_once() {
    let table = [
        vector(
            T2,
            true,
            0xa89f_88b7_030c_2542,
            (0, 0),
            &[((5, 18_874_368), (521, 167_313_408), 1743, 39088), (NONE, (39, 5_816_320), 447, 39088)],
        ),
        vector(
            T5,
            true,
            0xd1aa_39b8_b63d_09b4,
            (0, 0),
            &[((12, 95_420_416), (1951, 1_131_831_296), 13846, 269_041), (NONE, (95, 61_104_128), 47, 269_041)],
        ),
        vector(T10, true, 0x5676_7816_6728_1ea0, (0, 0), &[(NONE, (4614, 66_392_064), 177, 8704), (NONE, (2, 40960), 172, 8704)]),
    ];
    for vector in table {
        let run = Run::new(AT_ONCE, true).run(vector.program);
        assert_eq!((run.fnv, run.reports), (vector.fnv, reports(vector.reports)), "{:?}", vector.program);
    }
}

#[test]
fn vectors_with_other_settings() {
    let uncached = Run::new(&[("dirty_decay_ms", 10_000_000), ("tcache", 0)], true).run(T1);
    assert_eq!(uncached.reports[0], Report { rss: 108, faults: 110, ..Report::default() });
    let kept = Run::new(&[("dirty_decay_ms", -1)], true).run(T5);
    let end = Report { mmap: (12, 95_420_416), rss: 19766, faults: 19773, ..Report::default() };
    assert_eq!(kept.reports, [end.clone(), Report { mmap: NONE, ..end }]);
    let at_once = Run::new(AT_ONCE, true).run(T4);
    let pages: Vec<(i64, u64)> = at_once.reports.iter().map(|report| (report.rss, report.faults)).collect();
    assert_eq!(pages, [(6820, 6834), (27, 6834), (6821, 13628)]);
    // The one page is the warm-up's slab, which goes while blocks still come: pages at that point show it.
    let advised = [0, 1].map(|at: usize| at_once.reports[at].madvise);
    assert_eq!((at_once.reports[0].mmap, advised), ((7, 32_505_856), [(1, 4096), (400, 27_856_896 - 4096)]));
    let unmapped = Run::new(&[("dirty_decay_ms", 0), ("retain", 0)], true).run(T4);
    // Each extent is a mapping of its own there, and how many pages of the map they need depends on where they all lie: one less here.
    let pages: Vec<(i64, u64)> = unmapped.reports.iter().map(|report| (report.rss + 1, report.faults + 1)).collect();
    assert_eq!(pages, [(6820, 6834), (27, 6834), (6821, 13628)]);
    let sum = |part: fn(&Report) -> Sum| unmapped.reports.iter().map(part).fold(NONE, |sum, add| (sum.0 + add.0, sum.1 + add.1));
    assert_eq!((sum(|report| report.mmap), sum(|report| report.munmap)), ((800, 55_705_600), (401, 27_856_896)));
}

#[test]
fn worked_examples() {
    let mut draws = Draws(7);
    assert_eq!([0; 3].map(|_| draws.next()), [1_059_165_278, 2_052_263_231, 1_946_856_753]);
    let words = [0x1e000, 0x20000, (1 << 40) | 0x180];
    assert_eq!((fnv(FNV_OFFSET, words[0]), words.into_iter().fold(FNV_OFFSET, fnv)), (0x78a4_5d8c_15c4_aaac, 0x4112_346d_41ae_480e));
    let first = |program, count: usize| Run::new(SLOWLY, true).run(program).logged[..count].to_vec();
    let in_first = |offsets: [u64; 8]| offsets.map(|offset| (0, offset)).to_vec();
    assert_eq!(first(T1, 8), in_first([0x1e000, 0x20000, 0x25000, 0x2a000, 0x31000, 0x34000, 0x3b000, 0x3e000]));
    assert_eq!(first(T2, 8), in_first([0x1e000, 0x25000, 0x28000, 0x2d000, 0x3c000, 0x28140, 0x3e000, 0x1e1c0]));
    let large = [(0, 0x1e000), (0, 0xff000), (0, 0x138000), (1, 0), (1, 0xa1000), (0, 0x179000), (2, 0), (1, 0x182000)];
    assert_eq!(first(T5, 8), large);
    assert_eq!(first(T7, 8), in_first([0x1e000, 0x21000, 0x27000, 0x31000, 0x3f000, 0x4e000, 0x62000, 0x80000]));
    assert_eq!(first(T12, 8), in_first([0x1e000, 0x28000, 0x2f000, 0x2fa00, 0x39000, 0x42000, 0x39c00, 0x45000]));
    let counts = [(T1, 10246), (T2, 30502), (T4, 800), (T5, 2047), (T7, 25), (T10, 100_014), (T12, 101_003)];
    for (program, count) in counts {
        assert_eq!(Run::new(SLOWLY, true).run(program).logged.len(), count, "{program:?}");
    }
}

/// What the library does before the program's first call; the last mapping is for the pages of the map.
#[test]
fn the_start_is_the_librarys() {
    let run = Run::new(&[], true);
    let (map, advise, unmap) = (Syscall::Mmap, Syscall::Madvise, Syscall::Munmap);
    let probe = [(map, 4096), (advise, 4096), (unmap, 4096)];
    let expected = [&probe[..], &probe, &[(map, 2 << 20), (Syscall::Brk, 0), (map, 2 << 20), (map, 4 << 20)]].concat();
    assert_eq!(run.os.calls, expected);
    // 21 pages of the arena, 3 of the map, 2 of the thread's cache, 1 of libstdc++'s pool, and 1 of the program's.
    assert_eq!(run.os.kernel.space().counters(0).anon.0, 28);
}

/// 2000 blocks of 64 KiB, of which every other one is freed; then time passes, with 3000 large blocks taken and freed every 100 ms.
#[test]
fn free_pages_leave_along_the_curve() {
    let mut run = Run::new(&[], true);
    let blocks: Vec<_> = (0..2000).map(|_| run.malloc(65536)).collect();
    let before = run.rss();
    blocks.iter().step_by(2).for_each(|&block| run.free(block));
    let freed = 1000.0 * 17.0;
    let seen = [
        (0.7, 0.996),
        (1.96, 0.949),
        (3.17, 0.816),
        (4.4, 0.620),
        (5.0, 0.499),
        (6.2, 0.282),
        (7.5, 0.108),
        (8.7, 0.020),
        (9.3, 0.003),
        (9.9, 0.0),
    ];
    let mut seen = seen.into_iter().peekable();
    for step in 1..=100 {
        let time = f64::from(step) / 10.0;
        run.os.kernel.set_now(Nanos(step as u64 * 100_000_000));
        for _ in 0..3000 {
            let block = run.model.malloc(&mut run.os, ask(40000)).expect("memory");
            run.model.free(&mut run.os, 1, block);
        }
        let resident = 1.0 - (before - run.rss()) as f64 / freed;
        while let Some((_, share)) = seen.next_if(|&(at, _)| at <= time) {
            // A look at the clock comes up to two epochs late, and the steps are 100 ms apart.
            assert!((resident - share).abs() < 0.04, "at {time} s {resident} of the pages, and not {share}");
        }
    }
}
