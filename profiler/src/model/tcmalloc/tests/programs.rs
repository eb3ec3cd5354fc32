//! The programs of the fact sheet's test vectors (section TV), on a simulated machine that keeps count.

use crate::event::{Access, Advice};
use crate::model::tcmalloc::SPEC;
use crate::model::{AllocatorModel, Block, Request, Settings};
use crate::units::{Addr, Bytes, Nanos};
use crate::vm::Kernel;
use crate::vm::os::Os;
use crate::vm::thp::Mode;
use std::collections::BTreeMap;

/// Where the block of the warm-up lies in the first growth.
const WARM_UP: u64 = 0x14010;

/// The sheet's generator.
pub(super) struct Draws(pub(super) u64);

impl Draws {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// The sheet's checksum of one word more; starts from `FNV`.
pub(super) fn fnv(hash: u64, word: u64) -> u64 {
    word.to_le_bytes().iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

pub(super) const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// A kernel that adds up what it is asked for.
pub(super) struct Machine {
    pub(super) kernel: Kernel<1>,
    /// Successful calls that change memory, with their bytes.
    calls: BTreeMap<&'static str, (u64, u64)>,
    /// Bytes of each release.
    pub(super) releases: Vec<u64>,
}

impl Machine {
    fn count(&mut self, call: &'static str, bytes: u64) {
        let entry = self.calls.entry(call).or_default();
        *entry = (entry.0 + 1, entry.1 + bytes);
    }

    /// The calls since the last question, as the sheet writes them.
    pub(super) fn take_calls(&mut self) -> String {
        let calls = std::mem::take(&mut self.calls);
        calls.iter().map(|(call, (count, bytes))| format!("{call} {count} ({bytes})")).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn resident(&self) -> u64 {
        self.kernel.space().counters(0).anon.0
    }

    pub(super) fn faults(&self) -> u64 {
        self.kernel.space().counters(0).minor_faults
    }
}

impl Os for Machine {
    fn brk(&mut self, end: Addr) -> Addr {
        let before = self.kernel.program_break();
        let after = self.kernel.brk(end);
        if after > before {
            self.count("brk", after.since(before).0);
        }
        after
    }

    fn program_break(&self) -> Addr {
        self.kernel.program_break()
    }

    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        self.count("mmap", len.0);
        self.kernel.mmap(len, prot)
    }

    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        self.count("mmap", len.0);
        self.kernel.mmap_near(hint, len, prot)
    }

    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.kernel.mmap_at(addr, len, prot);
    }

    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr> {
        self.kernel.mmap_huge(len)
    }

    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.count("munmap", len.0);
        self.kernel.munmap(addr, len);
    }

    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        self.count("mremap", new_len.0);
        self.kernel.mremap(addr, len, new_len)
    }

    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        assert_eq!(advice, Advice::DontNeed);
        self.count("madvise", len.0);
        self.releases.push(len.0);
        self.kernel.madvise(addr, len, advice);
    }

    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.count("mprotect", len.0);
        self.kernel.mprotect(addr, len, prot);
    }

    fn touch(&mut self, addr: Addr, len: Bytes, access: Access) {
        self.kernel.touch(addr, len, access);
    }

    fn huge_pages(&self) -> Mode {
        self.kernel.huge_pages()
    }

    fn now(&self) -> Nanos {
        self.kernel.now()
    }
}

/// What is seen at a report point.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) calls: String,
    pub(super) resident: u64,
    pub(super) faults: u64,
}

/// A program with the allocator under it, after the sheet's warm-up.
pub(super) struct Play {
    pub(super) machine: Machine,
    pub(super) model: Box<dyn AllocatorModel>,
    /// Where the first growth begins.
    pub(super) heap: u64,
    /// Write every byte of a block, not only the first.
    full: bool,
    /// Addresses in the order in which they were given out.
    pub(super) log: Vec<u64>,
    /// Pages and faults before the program.
    baseline: (u64, u64),
    pub(super) peak: u64,
    pub(super) points: Vec<Point>,
}

impl Play {
    /// `settings` as key=value, with blanks between.
    pub(super) fn new(settings: &str) -> Play {
        Play::above(settings, 0)
    }

    /// The same with the break that much higher at the start: blocks of large alignment depend on it.
    pub(super) fn above(settings: &str, delta: i64) -> Play {
        let mut values = Settings::defaults(&SPEC);
        for (key, value) in settings.split_whitespace().map(|pair| pair.split_once('=').unwrap()) {
            let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == key).unwrap();
            values.set(tunable, value.parse().unwrap());
        }
        let mut machine = Machine { kernel: Kernel::new(Mode::Never), calls: BTreeMap::new(), releases: Vec::new() };
        machine.kernel.sbrk(delta);
        let model = (SPEC.build)(&values).unwrap();
        let (log, points) = (Vec::new(), Vec::new());
        let mut play = Play { machine, model, heap: 0, full: false, log, baseline: (0, 0), peak: 0, points };
        let block = play.malloc(16);
        play.heap = block.addr.0 - WARM_UP;
        play.free(block);
        play.machine.take_calls();
        play.log.clear();
        play.machine.releases.clear();
        play.baseline = (play.machine.resident(), play.machine.faults());
        play.peak = 0;
        play
    }

    /// Runs a program as the sheet writes it: its name, its numbers, and what it touches.
    pub(super) fn run(&mut self, program: &str) {
        let mut words: Vec<&str> = program.split_whitespace().collect();
        self.full = match words.pop().unwrap() {
            "full" => true,
            "first" => false,
            other => panic!("{other}"),
        };
        let numbers: Vec<u64> = words[1..].iter().map(|word| word.parse().unwrap()).collect();
        match (words[0], numbers.as_slice()) {
            ("churn", &[seed, slots, steps, low, high]) => self.churn(seed, slots, steps, |draws| low + draws.next() % (high - low + 1)),
            ("mix", &[seed, slots, steps]) => self.churn(seed, slots, steps, mixed),
            ("fill", &[count, size, order]) => self.fill(count, size, order),
            ("grow", &[size, num, den, limit]) => self.grow(size, num, den, limit),
            ("sweep", &[high]) => self.sweep(high),
            other => panic!("{other:?}"),
        }
        assert_eq!(self.machine.kernel.space().counters(0).strays, 0, "touched what is not mapped");
    }

    /// The sheet's checksum of everything given out: all of it is one region here.
    pub(super) fn checksum(&self) -> u64 {
        self.log.iter().fold(FNV, |hash, at| fnv(hash, at - self.heap))
    }

    pub(super) fn malloc(&mut self, size: u64) -> Block {
        let request = Request { tid: 1, size: Bytes(size), align: 0, zeroed: false };
        let block = self.model.malloc(&mut self.machine, request).unwrap();
        self.log.push(block.addr.0);
        self.write(block, 0, size);
        block
    }

    pub(super) fn free(&mut self, block: Block) {
        self.model.free(&mut self.machine, 1, block);
        self.sample();
    }

    fn write(&mut self, block: Block, from: u64, to: u64) {
        let len = if self.full { to - from } else { 1 };
        self.machine.kernel.touch(block.addr.offset(Bytes(from)), Bytes(len), Access::Write);
        self.sample();
    }

    fn sample(&mut self) {
        self.peak = self.peak.max(self.machine.resident().saturating_sub(self.baseline.0));
    }

    pub(super) fn report(&mut self) {
        let calls = self.machine.take_calls();
        let (resident, faults) = (self.machine.resident() - self.baseline.0, self.machine.faults() - self.baseline.1);
        self.points.push(Point { calls, resident, faults });
    }

    fn churn(&mut self, seed: u64, slots: u64, steps: u64, size: impl Fn(&mut Draws) -> u64) {
        let (mut draws, mut blocks) = (Draws(seed), vec![None; slots as usize]);
        for _ in 0..steps {
            let slot = (draws.next() % slots) as usize;
            match blocks[slot].take() {
                Some(block) => self.free(block),
                None => {
                    let size = size(&mut draws);
                    blocks[slot] = Some(self.malloc(size));
                }
            }
        }
        self.report();
        blocks.into_iter().flatten().for_each(|block| self.free(block));
        self.report();
    }

    fn fill(&mut self, count: u64, size: u64, order: u64) {
        let blocks: Vec<Block> = (0..count).map(|_| self.malloc(size)).collect();
        self.report();
        match order {
            0 => blocks.iter().for_each(|&block| self.free(block)),
            1 => blocks.iter().rev().for_each(|&block| self.free(block)),
            _ => {
                let odd = blocks.iter().skip(1).step_by(2);
                blocks.iter().step_by(2).chain(odd).for_each(|&block| self.free(block));
            }
        }
        self.report();
        (0..count).for_each(|_| _ = self.malloc(size));
        self.report();
    }

    fn grow(&mut self, mut size: u64, num: u64, den: u64, limit: u64) {
        let mut block = self.malloc(size);
        while size < limit {
            let larger = size * num / den;
            let request = Request { tid: 1, size: Bytes(larger), align: 0, zeroed: false };
            block = self.model.realloc(&mut self.machine, request, block).unwrap();
            self.log.push(block.addr.0);
            self.write(block, size, larger);
            size = larger;
        }
        self.report();
        self.free(block);
        self.report();
    }

    fn sweep(&mut self, high: u64) {
        let sizes = (4..).map(|bits| 1u64 << bits).take_while(|&base| base <= high);
        let sizes = sizes.flat_map(|base| (0..4).map(move |quarter| base + base / 4 * quarter)).filter(|&size| size <= high);
        let blocks: Vec<Block> = sizes.map(|size| self.malloc(size)).collect();
        self.report();
        blocks.into_iter().for_each(|block| self.free(block));
        self.report();
    }
}

/// Mostly small, some of a few pages, one in a hundred large.
pub(super) fn mixed(draws: &mut Draws) -> u64 {
    match draws.next() % 100 {
        ..90 => 16 + draws.next() % 497,
        90..99 => 513 + draws.next() % 15872,
        _ => 16385 + draws.next() % 1_032_192,
    }
}
