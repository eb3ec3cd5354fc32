//! The real library's answers to seeded programs, whose tables are in [`real`].
//!
//! Every pointer, every system call with its bytes, and resident pages and faults at the end of each stage are the library's own, but for the
//! library's static data, which the model does not have: when a program frees a whole segment for the first time, or has many huge
//! blocks, pages of the segment cache and of the map of segments become resident. Driven with those pages resident from the start, the
//! real library has exactly the model's faults, also in T6.

mod options;
mod real;
mod script;
mod threads;
mod watched;

use super::rules::SEGMENT;
use super::*;
use crate::event::Access;
use crate::vm::Syscall;
use real::{AT_ONCE, NEVER, POINTERS, Real};
use watched::Watched;

const TID: Tid = 1;
/// Programs that empty a segment: so many pages and faults are the static data's.
const EMPTYING: [usize; 4] = [3, 5, 6, 11];
const STATIC_PAGES: u64 = 1;
const STATIC_FAULTS: u64 = 4;
/// With huge blocks there are more of them; the numbers vary by 3 between real runs.
const STATIC_FAULTS_HUGE: u64 = 12;

/// FNV-1a: what it begins with, and one word more.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(sum: u64, word: u64) -> u64 {
    word.to_le_bytes().into_iter().fold(sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn with(settings: &[(&str, i64)]) -> Box<dyn AllocatorModel> {
    let mut all = Settings::defaults(&SPEC);
    for (key, value) in settings {
        let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == *key).expect("a tunable");
        all.set(tunable, *value);
    }
    build(&all).expect("builds")
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
    logged: u64,
    /// Only the first byte of a block is written.
    sparing: bool,
    base: (u64, u64),
    peak: u64,
    stages: Vec<Stage>,
}

impl Program {
    fn new(settings: &[(&str, i64)], sparing: bool) -> Program {
        let (os, model) = (Watched::new(), with(settings));
        let (random, regions, first, logged, stages) = (0, Vec::new(), Vec::new(), 0, Vec::new());
        let mut program = Program { os, model, random, regions, checksum: BASIS, first, logged, sparing, base: (0, 0), peak: 0, stages };
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
        self.logged += 1;
        self.checksum = fnv(self.checksum, (region as u64) << 40 | offset);
    }

    fn free(&mut self, block: Block) {
        self.model.free(&mut self.os, TID, block);
        self.sample();
    }

    fn sample(&mut self) {
        self.peak = self.peak.max(self.resident().0.saturating_sub(self.base.0));
    }

    fn report(&mut self) {
        let calls = self.os.take_calls();
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

fn check(settings: &[(&str, i64)], expected: &[Real; 12]) {
    for (number, (real, pointers)) in (1..).zip(expected.iter().zip(&POINTERS)) {
        let mut program = Program::new(settings, number == 6 || number == 11);
        run(&mut program, number);
        let first = &program.first[..pointers.3.len()];
        assert_eq!((program.checksum, program.regions.len(), program.logged, first), *pointers, "T{number}: pointers");
        let (pages, faults) = match number {
            6 => (STATIC_PAGES, STATIC_FAULTS_HUGE),
            _ if EMPTYING.contains(&number) => (STATIC_PAGES, STATIC_FAULTS),
            _ => (0, 0),
        };
        let near = |is: u64, should: u64, missing: u64| (should - missing..=should).contains(&is);
        assert!(near(program.peak, real.peak, pages), "T{number}: peak {} for {}", program.peak, real.peak);
        assert_eq!(program.stages.len(), real.stages.len(), "T{number}");
        for (at, (stage, (calls, rss, flt))) in program.stages.iter().zip(real.stages).enumerate() {
            assert_eq!(stage.calls, *calls, "T{number} stage {at}: calls");
            assert!(near(stage.rss, *rss, pages), "T{number} stage {at}: {} pages for {rss}", stage.rss);
            assert!(near(stage.faults, *flt, faults), "T{number} stage {at}: {} faults for {flt}", stage.faults);
        }
    }
}

const LONG: i64 = 10_000_000;

#[test]
fn the_sums_are_the_agreed_ones() {
    assert_eq!(fnv(BASIS, 0x1e000), 0x78a4_5d8c_15c4_aaac);
    assert_eq!([0x1e000, 0x20000, 1 << 40 | 0x180].into_iter().fold(BASIS, fnv), 0x4112_346d_41ae_480e);
    let mut program = Program::new(&[], true);
    program.random = 1;
    assert_eq!([(); 4].map(|()| program.draw()), [908_834_774, 1_093_944_153, 1_392_341_196, 822_192_870]);
}

#[test]
fn where_nothing_is_returned() {
    check(&[("decommit_delay", LONG), ("segment_decommit_delay", LONG)], &NEVER);
}

#[test]
fn where_everything_is_returned_at_once() {
    check(&[("decommit_delay", 0), ("segment_decommit_delay", 0)], &AT_ONCE);
}
