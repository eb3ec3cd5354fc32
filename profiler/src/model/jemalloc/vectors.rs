//! Seeded programs, and what is seen of addresses, calls, pages and faults while they run.

use super::SPEC;
use crate::event::{Access, Advice};
use crate::model::{AllocatorModel, Block, Request, Settings};
use crate::units::{Addr, Bytes, Nanos, PAGE};
use crate::vm::os::Os;
use crate::vm::thp::Mode;
use crate::vm::{Kernel, Syscall};

/// The programs' own generator.
pub(super) struct Draws(pub(super) u64);

impl Draws {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// A program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program {
    /// seed, slots, steps, smallest and largest size
    Churn(u64, u64, u64, u64, u64),
    /// seed, slots, steps
    Mix(u64, u64, u64),
    /// blocks, size, order in which they are lazily: 0 as they came, 1 backwards, 2 the even ones first
    Fill(u64, u64, u8),
    /// start, numerator, denominator, limit
    Grow(u64, u64, u64, u64),
    /// largest size
    Sweep(u64),
}

/// Calls and their bytes.
pub(super) type Sum = (u64, u64);

/// What a report point shows: pages and faults since the start, calls since the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) mmap: Sum,
    pub(super) madvise: Sum,
    pub(super) munmap: Sum,
    pub(super) rss: i64,
    pub(super) faults: u64,
}

/// A kernel that writes down calls with their lengths.
pub(super) struct Tap {
    pub(super) kernel: Kernel<1>,
    pub(super) calls: Vec<(Syscall, u64)>,
    pub(super) lazily: u64,
}

/// A run of a program, from the library's start on.
pub(super) struct Run {
    pub(super) model: Box<dyn AllocatorModel>,
    pub(super) os: Tap,
    /// Blocks are written whole, not just their first byte.
    whole: bool,
    /// Starts of the mappings in order of first use.
    pub(super) regions: Vec<u64>,
    pub(super) fnv: u64,
    pub(super) logged: Vec<(usize, u64)>,
    pub(super) peak: i64,
    base: (i64, u64),
    pub(super) reports: Vec<Report>,
}

pub(super) fn ask(size: u64) -> Request {
    Request { tid: 1, size: Bytes(size), align: 0, zeroed: false }
}

pub(super) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over the bytes of a word.
pub(super) fn fnv(hash: u64, word: u64) -> u64 {
    word.to_le_bytes().into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

impl Run {
    /// With these settings, after a first small block as warm-up.
    pub(super) fn new(settings: &[(&str, i64)], whole: bool) -> Run {
        let mut run = Run::cold(settings, whole);
        let warm = run.model.malloc(&mut run.os, ask(16)).expect("memory");
        run.touch(warm, 0, 1);
        run.model.free(&mut run.os, 1, warm);
        run.base = run.counts();
        run
    }

    /// With these settings, before anything happened.
    pub(super) fn cold(settings: &[(&str, i64)], whole: bool) -> Run {
        let mut with = Settings { cpus: 2, ..Settings::defaults(&SPEC) };
        for (key, value) in settings {
            let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == *key).expect("a setting");
            with.set(tunable, *value);
        }
        Run {
            model: super::build(&with).expect("builds"),
            os: Tap { kernel: Kernel::new(Mode::Madvise), calls: Vec::new(), lazily: 0 },
            whole,
            regions: Vec::new(),
            fnv: FNV_OFFSET,
            logged: Vec::new(),
            peak: 0,
            base: (0, 0),
            reports: Vec::new(),
        }
    }

    /// Calls since the last report point, from the library's start on.
    pub(super) fn sums(&self) -> [Sum; 3] {
        [Syscall::Mmap, Syscall::Madvise, Syscall::Munmap].map(|kind| {
            let of_kind = self.os.calls.iter().filter(|(call, _)| *call == kind);
            (of_kind.clone().count() as u64, of_kind.map(|(_, len)| len).sum())
        })
    }

    fn counts(&self) -> (i64, u64) {
        let counters = self.os.kernel.space().counters(0);
        (counters.anon.0 as i64, counters.minor_faults)
    }

    /// Anonymous pages since the warm-up.
    pub(super) fn rss(&self) -> i64 {
        self.counts().0 - self.base.0
    }

    fn touch(&mut self, block: Block, from: u64, to: u64) {
        self.os.kernel.space_mut().touch(Addr(block.addr.0 + from), Bytes(to - from), Access::Write);
    }

    pub(super) fn malloc(&mut self, size: u64) -> Block {
        self.take_written(ask(size))
    }

    pub(super) fn take_written(&mut self, request: Request) -> Block {
        let size = request.size.0;
        let block = self.model.malloc(&mut self.os, request).expect("memory");
        self.log(block, size);
        self.touch(block, 0, if self.whole { size } else { 1 });
        self.watch();
        block
    }

    pub(super) fn realloc(&mut self, old: Block, from: u64, to: u64) -> Block {
        let block = self.model.realloc(&mut self.os, ask(to), old).expect("memory");
        self.log(block, to);
        self.touch(block, from, to);
        self.watch();
        block
    }

    pub(super) fn free(&mut self, block: Block) {
        self.model.free(&mut self.os, 1, block);
        self.watch();
    }

    fn watch(&mut self) {
        self.peak = self.peak.max(self.rss());
    }

    /// Adds to the checksum: the number of the mapping and the offset in it, without the random part of large blocks.
    fn log(&mut self, block: Block, size: u64) {
        let addr = if size > 14336 { block.addr.0 / PAGE * PAGE } else { block.addr.0 };
        let offset = self.os.kernel.spot(Addr(addr)).expect("mapped").offset.0;
        let region = self.regions.iter().position(|&start| start == addr - offset).unwrap_or_else(|| {
            self.regions.push(addr - offset);
            self.regions.len() - 1
        });
        self.logged.push((region, offset));
        self.fnv = fnv(self.fnv, ((region as u64) << 40) | offset);
    }

    pub(super) fn report(&mut self) {
        let [mmap, madvise, munmap] = self.sums();
        let (rss, faults) = (self.rss(), self.counts().1 - self.base.1);
        self.os.calls.clear();
        self.reports.push(Report { mmap, madvise, munmap, rss, faults });
    }

    /// Runs a program; calls count from here on.
    pub(super) fn run(mut self, program: Program) -> Run {
        self.os.calls.clear();
        match program {
            Program::Churn(seed, slots, steps, low, high) => {
                self.churn(seed, slots, steps, |draws| low + draws.next() % (high - low + 1));
            }
            Program::Mix(seed, slots, steps) => self.churn(seed, slots, steps, mixed),
            Program::Fill(count, size, order) => self.fill(count, size, order),
            Program::Grow(start, num, den, limit) => self.grow(start, num, den, limit),
            Program::Sweep(high) => self.sweep(high),
        }
        self
    }

    fn churn(&mut self, seed: u64, slots: u64, steps: u64, size: impl Fn(&mut Draws) -> u64) {
        let mut draws = Draws(seed);
        let mut live: Vec<Option<Block>> = vec![None; slots as usize];
        for _ in 0..steps {
            let slot = (draws.next() % slots) as usize;
            match live[slot].take() {
                Some(block) => self.free(block),
                None => live[slot] = Some(self.malloc(size(&mut draws))),
            }
        }
        self.report();
        live.into_iter().flatten().for_each(|block| self.free(block));
        self.report();
    }

    fn fill(&mut self, count: u64, size: u64, order: u8) {
        let blocks: Vec<Block> = (0..count).map(|_| self.malloc(size)).collect();
        self.report();
        match order {
            0 => blocks.iter().for_each(|&block| self.free(block)),
            1 => blocks.iter().rev().for_each(|&block| self.free(block)),
            _ => {
                blocks.iter().step_by(2).for_each(|&block| self.free(block));
                blocks.iter().skip(1).step_by(2).for_each(|&block| self.free(block));
            }
        }
        self.report();
        (0..count).for_each(|_| _ = self.malloc(size));
        self.report();
    }

    fn grow(&mut self, start: u64, num: u64, den: u64, limit: u64) {
        let (mut block, mut size) = (self.malloc(start), start);
        while size < limit {
            let next = size * num / den;
            block = self.realloc(block, size, next);
            size = next;
        }
        self.report();
        self.free(block);
        self.report();
    }

    fn sweep(&mut self, high: u64) {
        let bases = std::iter::successors(Some(16), |base| Some(base * 2)).take_while(|&base| base <= high);
        let sizes: Vec<u64> =
            bases.flat_map(|base| (0..4).map(move |step| base + base / 4 * step).take_while(|&size| size <= high)).collect();
        let blocks: Vec<Block> = sizes.into_iter().map(|size| self.malloc(size)).collect();
        self.report();
        blocks.into_iter().for_each(|block| self.free(block));
        self.report();
    }
}

fn mixed(draws: &mut Draws) -> u64 {
    let (kind, size) = (draws.next() % 100, draws.next());
    match kind {
        0..90 => 16 + size % 497,
        90..99 => 513 + size % 15872,
        _ => 16385 + size % 1_032_192,
    }
}

impl Os for Tap {
    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        self.calls.push((Syscall::Mmap, len.0));
        self.kernel.mmap(len, prot)
    }

    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.calls.push((Syscall::Munmap, len.0));
        self.kernel.munmap(addr, len);
    }

    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        self.calls.push((Syscall::Madvise, len.0));
        self.lazily += u64::from(advice == Advice::Free);
        self.kernel.madvise(addr, len, advice);
    }

    fn brk(&mut self, end: Addr) -> Addr {
        self.calls.push((Syscall::Brk, end.0));
        self.kernel.brk(end)
    }

    fn program_break(&self) -> Addr {
        self.kernel.program_break()
    }

    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        self.kernel.mmap_near(hint, len, prot)
    }

    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.kernel.mmap_at(addr, len, prot);
    }

    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr> {
        self.kernel.mmap_huge(len)
    }

    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        self.kernel.mremap(addr, len, new_len)
    }

    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
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
