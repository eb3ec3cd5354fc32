//! The test vectors: seeded programs that were run with the packaged library, with what was seen of addresses, calls, pages and faults.

use super::SPEC;
use crate::event::Access;
use crate::model::{AllocatorModel, Block, Request, Settings};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::thp::Mode;
use crate::vm::{Kernel, Syscall};

/// The programs' own generator.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// A program.
#[derive(Clone, Copy, Debug)]
enum Program {
    /// seed, slots, steps, smallest and largest size
    Churn(u64, u64, u64, u64, u64),
    /// seed, slots, steps
    Mix(u64, u64, u64),
    /// blocks, size, order in which they are freed: 0 as they came, 1 backwards, 2 the even ones first
    Fill(u64, u64, u8),
    /// start, numerator, denominator, limit
    Grow(u64, u64, u64, u64),
    /// largest size
    Sweep(u64),
}

/// What a report point shows: since the start, but calls since the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Report {
    mmaps: u64,
    madvises: u64,
    munmaps: u64,
    rss: i64,
    faults: u64,
}

/// A run of a program, from the library's start on.
struct Run {
    model: Box<dyn AllocatorModel>,
    kernel: Kernel<1>,
    whole: bool,
    /// Starts of the mappings in order of first use.
    regions: Vec<u64>,
    fnv: u64,
    logged: Vec<(usize, u64)>,
    peak: i64,
    base: (i64, u64),
    seen: [u64; 3],
    reports: Vec<Report>,
}

fn ask(size: u64) -> Request {
    Request { tid: 1, size: Bytes(size), align: 0, zeroed: false }
}

impl Run {
    fn new(settings: &[(&str, i64)], whole: bool) -> Run {
        let mut with = Settings { cpus: 2, ..Settings::defaults(&SPEC) };
        for (key, value) in settings {
            let tunable = SPEC.tunables.iter().find(|tunable| tunable.key == *key).expect("a setting");
            with.set(tunable, *value);
        }
        let mut run = Run {
            model: super::build(&with).expect("builds"),
            kernel: Kernel::new(Mode::Madvise),
            whole,
            regions: Vec::new(),
            fnv: 0xcbf2_9ce4_8422_2325,
            logged: Vec::new(),
            peak: 0,
            base: (0, 0),
            seen: [0; 3],
            reports: Vec::new(),
        };
        let warm = run.model.malloc(&mut run.kernel, ask(16)).expect("memory");
        run.touch(warm, 0, 1);
        run.free(warm);
        run.base = run.counts();
        run.seen = run.calls();
        run.peak = 0;
        run
    }

    fn counts(&self) -> (i64, u64) {
        let counters = self.kernel.space().counters(0);
        (counters.anon.0 as i64, counters.minor_faults)
    }

    fn calls(&self) -> [u64; 3] {
        [Syscall::Mmap, Syscall::Madvise, Syscall::Munmap].map(|call| self.kernel.calls().of(call))
    }

    fn touch(&mut self, block: Block, from: u64, to: u64) {
        self.kernel.space_mut().touch(Addr(block.addr.0 + from), Bytes(to - from), Access::Write);
    }

    fn malloc(&mut self, size: u64) -> Block {
        let block = self.model.malloc(&mut self.kernel, ask(size)).expect("memory");
        self.log(block, size);
        self.touch(block, 0, if self.whole { size } else { 1 });
        self.watch();
        block
    }

    fn realloc(&mut self, old: Block, from: u64, to: u64) -> Block {
        let block = self.model.realloc(&mut self.kernel, ask(to), old).expect("memory");
        self.log(block, to);
        self.touch(block, from, to);
        self.watch();
        block
    }

    fn free(&mut self, block: Block) {
        self.model.free(&mut self.kernel, 1, block);
        self.watch();
    }

    fn watch(&mut self) {
        self.peak = self.peak.max(self.counts().0 - self.base.0);
    }

    /// Adds to the checksum: the number of the mapping and the offset in it, without the random part of large blocks.
    fn log(&mut self, block: Block, size: u64) {
        let addr = if size > 14336 { block.addr.0 / PAGE * PAGE } else { block.addr.0 };
        let offset = self.kernel.spot(Addr(addr)).expect("mapped").offset.0;
        let region = self.regions.iter().position(|&start| start == addr - offset).unwrap_or_else(|| {
            self.regions.push(addr - offset);
            self.regions.len() - 1
        });
        self.logged.push((region, offset));
        for byte in ((region as u64) << 40 | offset).to_le_bytes() {
            self.fnv = (self.fnv ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn report(&mut self) {
        let (now, counts) = (self.calls(), self.counts());
        let [mmaps, madvises, munmaps] = [0, 1, 2].map(|call: usize| now[call] - self.seen[call]);
        self.seen = now;
        self.reports.push(Report { mmaps, madvises, munmaps, rss: counts.0 - self.base.0, faults: counts.1 - self.base.1 });
    }

    fn run(mut self, program: Program) -> Run {
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
#[test]
fn show() {
    let t = [
        (Program::Churn(1, 1000, 20000, 16, 1024), true, "380c8af754e91a3a | 0/0 111 118; 111 peak 111 regions 1"),
        (Program::Mix(7, 2000, 60000), true, "d03b483aad7918d1 | 5/0 4126 4139 ; 0 4126 peak 4126 6"),
        (Program::Fill(40000, 1024, 0), true, "cd1a9def71f84de5 | 8 10335 10649; ; peak 10335 9"),
        (Program::Fill(400, 65536, 2), true, "c84a5789ca3f1e4e | 7 6821 6834;0 6821 6834;1 9636 9649 ; 9"),
        (Program::Churn(3, 200, 4000, 16385, 1048576), true, "135d55e9860d3a47 | 12/2 19263 24104; 3 12079 peak 19777 13"),
        (Program::Churn(5, 16, 300, 1048576, 33554432), false, "62457ce2954c2574 | 14/121 103 224; 8 95 peak 104 13"),
        (Program::Grow(1000, 3, 2, 16777216), true, "e5394d0dac047776 | 8/2 7336 12744;1 3226 peak 7336 8"),
        (Program::Sweep(1048576), true, "4901e98cc4a0597b | 3 1727 1736;1727 peak 1727 4"),
        (Program::Fill(20000, 100, 1), true, "54a45d68065a5e68 | 1 553 557; 553; 1023 1027 peak 1023 2"),
        (Program::Churn(11, 50, 200000, 16, 16384), true, "3ae8a6bc89ea6d67 | 0 336 345 peak 336 1"),
        (Program::Churn(13, 200, 40000, 16385, 1048576), false, "403ebcb84c410dee | 12/4 3065 3158; 2 2642 peak 3065 13"),
        (Program::Churn(17, 4000, 200000, 8, 4096), true, "780c817094a7ace7 | 2 1345 1368; 1345 peak 1345 3"),
    ];
    for (i, (p, w, s)) in t.into_iter().enumerate() {
        let r = Run::new(&[("dirty_decay_ms", 10_000_000)], w).run(p);
        println!(
            "T{} {:x} {} regions {} peak {} log {:x?}",
            i + 1,
            r.fnv,
            if s.starts_with(&format!("{:016x}", r.fnv)) { "OK" } else { "BAD" },
            r.regions.len(),
            r.peak,
            &r.logged[..8]
        );
        println!("   want {s}");
        for x in r.reports {
            println!("   {x:?}");
        }
    }
    for (p, s) in [
        (Program::Mix(7, 2000, 60000), "a89f88b7030c2542 5/521 1743 39088; 39 447"),
        (Program::Churn(3, 200, 4000, 16385, 1048576), "d1aa39b8b63d09b4 12/1951 13846 269041; 95 47"),
        (Program::Churn(11, 50, 200000, 16, 16384), "5676781667281ea0 0/4614 177 8704; 2 172"),
    ] {
        let r = Run::new(&[("dirty_decay_ms", 0)], true).run(p);
        println!("B {:x} {}  want {s}", r.fnv, if s.starts_with(&format!("{:016x}", r.fnv)) { "OK" } else { "BAD" });
        for x in r.reports {
            println!("   {x:?}");
        }
    }
}
