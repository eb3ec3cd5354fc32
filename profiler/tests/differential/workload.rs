//! Random scripts: every kind of call, sizes from every bin and around every limit, in phases of growth and decline.

use super::profiles::Random;
use super::script::{Call, Op};

const SLOTS: u64 = 160;

/// What a script is made of.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) operations: usize,
    /// Threads beside the first one that may live at the same time.
    pub(crate) threads: u64,
    /// Whether other parts of the program move the break, settings change, and some requests are beyond any machine.
    pub(crate) disturbed: bool,
}

pub(crate) const PLAIN: Shape = Shape { operations: 1500, threads: 0, disturbed: false };
pub(crate) const DISTURBED: Shape = Shape { disturbed: true, ..PLAIN };
pub(crate) const THREADED: Shape = Shape { threads: 4, ..PLAIN };
/// More threads than there are arenas for on a small machine.
pub(crate) const CROWDED: Shape = Shape { operations: 4000, threads: 24, disturbed: false };

/// A script for a seed.
pub(crate) fn script(seed: u64, shape: Shape) -> Vec<Op> {
    let mut maker = Maker { random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), shape, full: Vec::new(), running: vec![0] };
    (0..8).for_each(|_| _ = maker.random.next());
    let mut ops = Vec::new();
    while ops.len() < shape.operations {
        let growing = ops.len() / 200 % 2 == 0;
        maker.more(growing, &mut ops);
    }
    ops
}

struct Maker {
    random: Random,
    shape: Shape,
    /// Slots that hold a block, in the order in which they were filled.
    full: Vec<i64>,
    running: Vec<u32>,
}

impl Maker {
    fn more(&mut self, growing: bool, ops: &mut Vec<Op>) {
        let thread = self.running[self.random.below(self.running.len() as u64) as usize];
        let mut push = |op: Op| ops.push(op.by(thread));
        match self.random.below(100) {
            0 if self.shape.disturbed => push(self.disturbance()),
            1 | 2 if self.shape.threads > 0 => ops.push(self.thread()),
            3 => push(Op::new(Call::Trim, 0, [0, 1000, 100_000][self.random.below(3) as usize])),
            4 | 5 => self.run(&mut push),
            6 => self.mixed_bins(&mut push),
            share if share < if growing { 60 } else { 35 } => push(self.allocation()),
            share if share < 80 => {
                if let Some(slot) = self.taken() {
                    push(Op::new(Call::Free, slot, 0));
                }
            }
            _ => {
                if let Some(&slot) = self.full.get(self.random.below(SLOTS) as usize % self.full.len().max(1)) {
                    push(Op::new(Call::Realloc, slot, self.size()));
                }
            }
        }
    }

    /// Blocks of one size, given back in the same order, the other one, or none; or one block resized step by step.
    fn run(&mut self, push: &mut impl FnMut(Op)) {
        let (size, count, first) = (self.size(), 2 + self.random.below(20) as i64, 1000);
        let order = self.random.below(4);
        if order == 3 {
            let slot = first + count;
            push(Op::new(Call::Malloc, slot, size));
            (0..count).for_each(|_| push(Op::new(Call::Realloc, slot, self.size() / 4 + 1)));
            return push(Op::new(Call::Free, slot, 0));
        }
        if size > 200_000 {
            return;
        }
        (first..first + count).for_each(|slot| push(Op::new(Call::Malloc, slot, size)));
        match order {
            0 => (first..first + count).for_each(|slot| push(Op::new(Call::Free, slot, 0))),
            1 => (first..first + count).rev().for_each(|slot| push(Op::new(Call::Free, slot, 0))),
            _ => (first..first + count).step_by(2).for_each(|slot| push(Op::new(Call::Free, slot, 0))),
        }
    }

    /// Free chunks of two sizes in turn, more of one than a thread caches, and both asked for again.
    fn mixed_bins(&mut self, push: &mut impl FnMut(Op)) {
        let (first, sizes) = (2000, [130 + self.random.below(900) as i64, 130 + self.random.below(3000) as i64]);
        let count = 16 + self.random.below(24) as i64;
        for at in 0..count {
            push(Op::new(Call::Malloc, first + at, sizes[at as usize % 2]));
            push(Op::new(Call::Malloc, 1999, 24));
        }
        let kept = self.random.below(8) as i64;
        (first + kept..first + count).for_each(|slot| push(Op::new(Call::Free, slot, 0)));
        (0..count / 2).for_each(|at| push(Op::new(Call::Malloc, first + at, sizes[self.random.below(2) as usize])));
    }

    fn allocation(&mut self) -> Op {
        let slot = self.random.below(SLOTS) as i64;
        if self.full.contains(&slot) {
            self.full.retain(|full| *full != slot);
            return Op::new(Call::Free, slot, 0);
        }
        self.full.push(slot);
        let (size, power) = (self.size(), self.random.below(13));
        match self.random.below(40) {
            0..24 => Op::new(Call::Malloc, slot, size),
            24..34 => Op::new(Call::Calloc, slot, size),
            34 | 35 => Op::aligned(Call::Memalign, slot, 8 << power, size),
            36 => Op::aligned(Call::PosixMemalign, slot, 8 << power, size),
            37 => Op::aligned(Call::AlignedAlloc, slot, 8 << power, size),
            38 => Op::new(Call::Valloc, slot, size),
            _ => Op::new(Call::Pvalloc, slot, size.max(1)),
        }
    }

    /// A slot that is to be freed: the oldest, the latest, or any.
    fn taken(&mut self) -> Option<i64> {
        let count = self.full.len() as u64;
        let at = match self.random.below(4) {
            0 => 0,
            1 => count.saturating_sub(1),
            _ => self.random.below(count.max(1)),
        };
        (count > 0).then(|| self.full.remove(at as usize))
    }

    fn size(&mut self) -> i64 {
        let random = &mut self.random;
        let near = |limit: u64, random: &mut Random| limit - 40 + random.below(80);
        let size = match random.below(100) {
            0 => 0,
            1..35 => random.below(140),
            35..55 => random.below(1100),
            55..60 => near(1032, random),
            60..75 => random.below(8192),
            75..86 => random.below(70_000),
            86..90 => near([65_536, 131_072, 135_000][random.below(3) as usize], random),
            90..95 => random.below(200_000),
            95..98 => random.below(1 << 20),
            98 => random.below(6 << 20),
            _ if random.below(6) == 0 => near([32 << 20, 33_554_408, 40 << 20][random.below(3) as usize], random),
            _ => random.below(300),
        };
        size as i64
    }

    fn disturbance(&mut self) -> Op {
        match self.random.below(8) {
            // More than there can be.
            0 => Op::new(Call::Malloc, 900, -1),
            1 => Op::new(Call::Option, 1, [0, 64, 128, 160, 161][self.random.below(5) as usize]),
            2 => Op::new(Call::Option, -1, 1 << self.random.below(22)),
            3 => Op::new(Call::Option, -2, self.random.below(300_000) as i64),
            4 => Op::new(Call::Option, -3, 4096 << self.random.below(12)),
            5 => Op::new(Call::Option, -4, self.random.below(6) as i64),
            _ => Op::new(Call::Sbrk, 0, 1 + self.random.below(20_000) as i64),
        }
    }

    /// Starts a thread, or ends one.
    fn thread(&mut self) -> Op {
        let others = self.running.len() as u64 - 1;
        if others == 0 || (others < self.shape.threads && self.random.below(2) == 0) {
            // Numbers come again, as the kernel's do.
            let free = (1..).find(|number| !self.running.contains(number)).expect("some number is free");
            self.running.push(free);
            return Op::new(Call::Spawn, i64::from(free), 0);
        }
        let thread = self.running.remove(1 + self.random.below(others) as usize);
        Op::new(Call::Exit, 0, 0).by(thread)
    }
}
