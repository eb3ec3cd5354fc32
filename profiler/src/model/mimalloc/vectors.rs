//! The real library's answers to seeded programs: libmimalloc2.0 2.0.9+ds-2 of Debian 12, kernel 6.18, address randomisation off.
//!
//! Every pointer, every system call with its bytes, and resident pages at the end of each stage are the library's own. Faults are its own to
//! within [`NEAR`]: the harness around it has a few of its own.

use super::rules::SEGMENT;
use super::*;
use crate::event::{Access, Advice};
use crate::units::Addr;
use crate::vm::thp::Mode;
use crate::vm::{Kernel, Syscall};

const TID: Tid = 1;
/// Faults and resident pages may be off by so many.
const NEAR: u64 = 1;
/// Programs of huge blocks have faults that vary by so many between real runs.
const HUGE_NEAR: u64 = 3;

/// A kernel that also counts the bytes of calls.
pub(super) struct Watched {
    pub(super) kernel: Kernel<1>,
    pub(super) calls: Vec<(Syscall, u64)>,
}

impl Watched {
    pub(super) fn new() -> Watched {
        Watched { kernel: Kernel::new(Mode::Madvise), calls: Vec::new() }
    }

    fn note(&mut self, call: Syscall, len: Bytes) {
        self.calls.push((call, len.0));
    }
}

impl Os for Watched {
    fn brk(&mut self, end: Addr) -> Addr {
        self.kernel.brk(end)
    }

    fn program_break(&self) -> Addr {
        self.kernel.program_break()
    }

    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        self.note(Syscall::Mmap, len);
        self.kernel.mmap(len, prot)
    }

    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        self.note(Syscall::Mmap, len);
        self.kernel.mmap_near(hint, len, prot)
    }

    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr> {
        self.note(Syscall::Mmap, len);
        self.kernel.mmap_huge(len)
    }

    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.note(Syscall::Munmap, len);
        self.kernel.munmap(addr, len);
    }

    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        self.note(Syscall::Mremap, new_len);
        self.kernel.mremap(addr, len, new_len)
    }

    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        self.note(Syscall::Madvise, len);
        self.kernel.madvise(addr, len, advice);
    }

    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.note(Syscall::Mprotect, len);
        self.kernel.mprotect(addr, len, prot);
    }

    fn touch(&mut self, addr: Addr, len: Bytes, access: Access) {
        self.kernel.touch(addr, len, access);
    }

    fn huge_pages(&self) -> Mode {
        self.kernel.huge_pages()
    }

    fn now(&self) -> crate::units::Nanos {
        self.kernel.now()
    }
}

/// What a stage of a program ends with.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    /// Number and bytes of the calls since the stage before.
    calls: Vec<(Syscall, u64, u64)>,
    rss: u64,
    faults: u64,
}

/// A program at work, since its warm-up.
struct Program {
    os: Watched,
    model: Box<dyn AllocatorModel>,
    random: u64,
    regions: Vec<u64>,
    checksum: u64,
    first: Vec<(usize, u64)>,
    /// Only the first byte of a block is written.
    sparing: bool,
    base: (u64, u64),
    peak: u64,
    stages: Vec<Stage>,
}

impl Program {
    fn new(settings: &[(&str, i64)], sparing: bool) -> Program {
        let mut all = Settings::defaults(&SPEC);
        for (key, value) in settings {
            let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == *key).expect("a tunable");
            all.set(tunable, *value);
        }
        let (os, model) = (Watched::new(), build(&all).expect("builds"));
        let (regions, checksum, first, stages) = (Vec::new(), 0xcbf2_9ce4_8422_2325, Vec::new(), Vec::new());
        let mut program = Program { os, model, random: 0, regions, checksum, first, sparing, base: (0, 0), peak: 0, stages };
        let warm = program.ask(16);
        assert_eq!(warm.addr.0 % SEGMENT, 0x10180);
        program.free(warm);
        program.base = program.resident();
        program.os.calls.clear();
        program
    }

    fn resident(&self) -> (u64, u64) {
        let counters = self.os.kernel.space().counters(0);
        (counters.anon.0, counters.minor_faults)
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    fn ask(&mut self, size: u64) -> Block {
        let request = Request { tid: TID, size: Bytes(size), align: 0, zeroed: false };
        let block = self.model.malloc(&mut self.os, request).expect("memory");
        let touched = if self.sparing { 1 } else { size };
        self.os.touch(block.addr, Bytes(touched), Access::Write);
        block
    }

    fn malloc(&mut self, size: u64) -> Block {
        let block = self.ask(size);
        self.log(block);
        self.sample();
        block
    }

    fn log(&mut self, block: Block) {
        let unit = block.addr.0 / SEGMENT;
        let region = self.regions.iter().position(|known| *known == unit).unwrap_or_else(|| {
            self.regions.push(unit);
            self.regions.len() - 1
        });
        let offset = block.addr.0 % SEGMENT;
        if self.first.len() < 8 {
            self.first.push((region, offset));
        }
        for byte in ((region as u64) << 40 | offset).to_le_bytes() {
            self.checksum = (self.checksum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn free(&mut self, block: Block) {
        self.model.free(&mut self.os, TID, block);
        self.sample();
    }

    fn sample(&mut self) {
        self.peak = self.peak.max(self.resident().0.saturating_sub(self.base.0));
    }

    fn report(&mut self) {
        let mut calls: Vec<(Syscall, u64, u64)> = Vec::new();
        for (call, len) in self.os.calls.drain(..) {
            match calls.iter_mut().find(|known| known.0 == call) {
                Some(known) => (known.1, known.2) = (known.1 + 1, known.2 + len),
                None => calls.push((call, 1, len)),
            }
        }
        calls.sort();
        let (rss, faults) = self.resident();
        assert_eq!(self.os.kernel.space().counters(0).strays, 0);
        self.stages.push(Stage { calls, rss: rss - self.base.0, faults: faults - self.base.1 });
    }

    fn churn(&mut self, seed: u64, slots: u64, steps: u64, size: impl Fn(&mut Program) -> u64) {
        self.random = seed;
        let mut live = vec![None; slots as usize];
        for _ in 0..steps {
            let slot = (self.draw() % slots) as usize;
            live[slot] = match live[slot].take() {
                Some(block) => {
                    self.free(block);
                    None
                }
                None => {
                    let size = size(self);
                    Some(self.malloc(size))
                }
            };
        }
        self.report();
        live.into_iter().flatten().for_each(|block| self.free(block));
        self.report();
    }

    fn fill(&mut self, count: usize, size: u64, order: u8) {
        let blocks: Vec<Block> = (0..count).map(|_| self.malloc(size)).collect();
        self.report();
        let freed: Vec<usize> = match order {
            0 => (0..count).collect(),
            1 => (0..count).rev().collect(),
            _ => (0..count).step_by(2).chain((1..count).step_by(2)).collect(),
        };
        freed.into_iter().for_each(|at| self.free(blocks[at]));
        self.report();
        (0..count).for_each(|_| _ = self.malloc(size));
        self.report();
    }

    fn grow(&mut self, mut size: u64, (numerator, denominator): (u64, u64), limit: u64) {
        let mut block = self.malloc(size);
        while size < limit {
            let wanted = size * numerator / denominator;
            let request = Request { tid: TID, size: Bytes(wanted), align: 0, zeroed: false };
            block = self.model.realloc(&mut self.os, request, block).expect("memory");
            self.log(block);
            self.os.touch(block.addr.offset(Bytes(size)), Bytes(wanted - size), Access::Write);
            self.sample();
            size = wanted;
        }
        self.report();
        self.free(block);
        self.report();
    }

    fn sweep(&mut self, limit: u64) {
        let bases = (4..=limit.ilog2()).map(|shift| 1u64 << shift);
        let sizes: Vec<u64> = bases.flat_map(|base| (0..4).map(move |step| base + base / 4 * step)).filter(|&size| size <= limit).collect();
        let blocks: Vec<Block> = sizes.into_iter().map(|size| self.malloc(size)).collect();
        self.report();
        blocks.into_iter().for_each(|block| self.free(block));
        self.report();
    }
}

fn between(low: u64, high: u64) -> impl Fn(&mut Program) -> u64 {
    move |program| low + program.draw() % (high - low + 1)
}

fn mixed(program: &mut Program) -> u64 {
    match program.draw() % 100 {
        0..90 => 16 + program.draw() % 497,
        90..99 => 513 + program.draw() % 15872,
        _ => 16385 + program.draw() % 1_032_192,
    }
}

fn run(program: &mut Program, number: usize) {
    const MIB: u64 = 1 << 20;
    match number {
        1 => program.churn(1, 1000, 20000, between(16, 1024)),
        2 => program.churn(7, 2000, 60000, mixed),
        3 => program.fill(40000, 1024, 0),
        4 => program.fill(400, 65536, 2),
        5 => program.churn(3, 200, 4000, between(16385, MIB)),
        6 => program.churn(5, 16, 300, between(MIB, 32 * MIB)),
        7 => program.grow(1000, (3, 2), 16 * MIB),
        8 => program.sweep(MIB),
        9 => program.fill(20000, 100, 1),
        10 => program.churn(11, 50, 200_000, between(16, 16384)),
        11 => program.churn(13, 200, 40000, between(16385, MIB)),
        _ => program.churn(17, 4000, 200_000, between(8, 4096)),
    }
}

/// The pointers: checksum, regions, and the first of them where the sheet has them.
const POINTERS: [(u64, usize, &[(usize, u64)]); 12] = [
    (0xd397_2391_398e_7716, 1, &[(0, 0x20180), (0, 0x30180), (0, 0x40180), (0, 0x50180)]),
    (
        0x51d3_e0db_3b32_13a0,
        1,
        &[(0, 0x20180), (0, 0x30180), (0, 0x40180), (0, 0x50000), (0, 0x60180), (0, 0x402c0), (0, 0x70180), (0, 0x20340)],
    ),
    (0x852e_1ab3_1f8b_0ef9, 2, &[]),
    (0x2c8d_33b5_ba0c_49e6, 1, &[]),
    (
        0x35c2_c7a8_4947_32e3,
        3,
        &[(0, 0x20000), (0, 0x120000), (0, 0x160000), (0, 0x1a0000), (0, 0x2a0000), (0, 0x3a0000), (0, 0x410000), (0, 0x510000)],
    ),
    (
        0x759d_a633_b8cb_e0f8,
        85,
        &[(0, 0x20000), (0, 0xa20000), (0, 0x1920000), (1, 0x10000), (2, 0x10000), (3, 0x10000), (0, 0xa20000), (4, 0x10000)],
    ),
    (0xa844_64fa_afbe_abfb, 2, &[]),
    (0x2ac4_2f4b_799f_9c7a, 1, &[(0, 0x10190), (0, 0x20180), (0, 0x201a0), (0, 0x201c0)]),
    (0x825c_1785_7a17_f0a8, 1, &[]),
    (0xbca0_28a7_47f7_a198, 1, &[]),
    (0x48fd_6cdd_fa9e_28ba, 4, &[]),
    (
        0x7e26_6651_9f1d_e043,
        1,
        &[(0, 0x20000), (0, 0x30180), (0, 0x40000), (0, 0x40a00), (0, 0x50000), (0, 0x60180), (0, 0x50c00), (0, 0x70000)],
    ),
];

type Calls = &'static [(Syscall, u64, u64)];

/// What a program did in the real world: calls, resident pages and faults of each stage, and the most pages.
struct Real {
    stages: &'static [(Calls, u64, u64)],
    peak: u64,
}

const fn real(peak: u64, stages: &'static [(Calls, u64, u64)]) -> Real {
    Real { stages, peak }
}

use Syscall::{Madvise, Mmap, Mprotect, Munmap};

/// Nothing is returned but mappings of huge blocks. Where only one number of faults is known, it is the last stage's.
const NEVER: [Real; 12] = [
    real(158, &[(&[], 158, 158), (&[], 158, 158)]),
    real(4650, &[(&[], 4650, 4650), (&[], 4650, 4650)]),
    real(16371, &[(&[(Mmap, 1, 33_554_432)], 10170, 10170), (&[], 10171, 10173), (&[], 16371, 16373)]),
    real(8087, &[(&[], 6407, 6407), (&[], 6407, 6407), (&[], 8087, 8087)]),
    real(22390, &[(&[(Mmap, 2, 67_108_864)], 22390, 22393), (&[], 22390, 22393)]),
    real(140, &[(&[(Mmap, 84, 2_241_855_488), (Munmap, 78, 2_069_889_024)], 91, 711), (&[(Munmap, 4, 104_857_600)], 60, 711)]),
    real(10128, &[(&[(Mmap, 1, 18_874_368)], 10128, 10533), (&[(Munmap, 1, 18_874_368)], 6012, 10533)]),
    real(1768, &[(&[], 1768, 1768), (&[], 1768, 1768)]),
    real(558, &[(&[], 549, 549), (&[], 549, 549), (&[], 558, 558)]),
    real(464, &[(&[], 464, 464), (&[], 464, 464)]),
    real(1383, &[(&[(Mmap, 3, 100_663_296)], 1383, 1386), (&[], 1383, 1386)]),
    real(1427, &[(&[], 1427, 1427), (&[], 1427, 1427)]),
];

/// Everything is returned at once.
const AT_ONCE: [Real; 12] = [
    real(156, &[(&[(Madvise, 5, 393_216), (Mprotect, 3, 2_949_120)], 126, 192), (&[(Madvise, 1, 65536)], 110, 192)]),
    real(3121, &[(&[(Madvise, 338, 583_729_152), (Mprotect, 277, 446_038_016)], 1808, 39337), (&[(Madvise, 26, 43_974_656)], 305, 39337)]),
    real(
        10178,
        &[
            (&[(Mmap, 1, 33_554_432), (Madvise, 1, 65536), (Mprotect, 1, 983_040)], 10170, 10172),
            (&[(Madvise, 635, 9_073_000_448)], 16, 10176),
            (&[(Mprotect, 17, 16_777_216)], 10178, 20338),
        ],
    ),
    real(
        6407,
        &[(&[(Madvise, 1, 65536)], 6405, 6407), (&[(Madvise, 49, 645_464_064)], 133, 6407), (&[(Mprotect, 19, 38_666_240)], 6407, 12681)],
    ),
    real(
        16953,
        &[
            (&[(Mmap, 2, 67_108_864), (Madvise, 1723, 2_042_560_512), (Mprotect, 1598, 2_901_803_008)], 14368, 264_485),
            (&[(Madvise, 85, 377_028_608)], 816, 264_485),
        ],
    ),
    real(
        106,
        &[
            (&[(Mmap, 84, 2_241_855_488), (Munmap, 78, 2_069_889_024), (Madvise, 76, 1_255_145_472), (Mprotect, 83, 657_326_080)], 69, 855),
            (&[(Munmap, 4, 104_857_600), (Madvise, 8, 134_021_120)], 10, 855),
        ],
    ),
    real(
        4231,
        &[
            (&[(Mmap, 1, 18_874_368), (Madvise, 16, 89_194_496), (Mprotect, 6, 32_374_784)], 4231, 12691),
            (&[(Munmap, 1, 18_874_368)], 115, 12691),
        ],
    ),
    real(1768, &[(&[], 1768, 1768), (&[(Madvise, 12, 48_758_784)], 312, 1768)]),
    real(
        549,
        &[
            (&[(Madvise, 1, 65536), (Mprotect, 1, 983_040)], 549, 551),
            (&[(Madvise, 34, 36_896_768)], 5, 551),
            (&[(Mprotect, 3, 3_080_192)], 549, 1095),
        ],
    ),
    real(208, &[(&[(Madvise, 6249, 11_015_553_024), (Mprotect, 4226, 4_275_306_496)], 176, 41836), (&[(Madvise, 2, 131_072)], 150, 41836)]),
    real(
        215,
        &[
            (&[(Mmap, 3, 100_663_296), (Madvise, 17789, 21_754_740_736), (Mprotect, 16259, 28_898_689_024)], 203, 18077),
            (&[(Madvise, 102, 373_293_056)], 101, 18077),
        ],
    ),
    real(1427, &[(&[(Madvise, 8, 524_288), (Mprotect, 7, 7_077_888)], 1411, 1497), (&[(Madvise, 73, 39_911_424)], 243, 1497)]),
];

fn check(settings: &[(&str, i64)], expected: &[Real; 12]) {
    for (number, (real, pointers)) in (1..).zip(expected.iter().zip(&POINTERS)) {
        let mut program = Program::new(settings, number == 6 || number == 11);
        run(&mut program, number);
        let first = &program.first[..pointers.2.len()];
        assert_eq!((program.checksum, program.regions.len(), first), *pointers, "T{number}: pointers");
        let near = |is: u64, should: u64, by: u64| is.abs_diff(should) <= by;
        assert!(near(program.peak, real.peak, NEAR), "T{number}: peak {} for {}", program.peak, real.peak);
        assert_eq!(program.stages.len(), real.stages.len(), "T{number}");
        for (at, (stage, (calls, rss, faults))) in program.stages.iter().zip(real.stages).enumerate() {
            assert_eq!(stage.calls, *calls, "T{number} stage {at}: calls");
            assert!(near(stage.rss, *rss, NEAR), "T{number} stage {at}: {} pages for {rss}", stage.rss);
            let by = if number == 6 { HUGE_NEAR } else { NEAR };
            assert!(near(stage.faults, *faults, by), "T{number} stage {at}: {} faults for {faults}", stage.faults);
        }
    }
}

const LONG: i64 = 10_000_000;

#[test]
fn where_nothing_is_returned() {
    check(&[("decommit_delay", LONG), ("segment_decommit_delay", LONG)], &NEVER);
}

#[test]
fn where_everything_is_returned_at_once() {
    check(&[("decommit_delay", 0), ("segment_decommit_delay", 0)], &AT_ONCE);
}
