//! What every registered model must keep, whatever it models.

use super::*;
use crate::vm::thp::Mode;
use crate::vm::{AddressSpace, Kernel};

/// Steps per seed.
const STEPS: usize = 4000;
const SEEDS: [u64; 4] = [1, 0x9e37_79b9, 0xdead_beef_cafe, 77];

/// A small generator of its own (xorshift64*), so that a seed means the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Mostly small, sometimes hundreds of kilobytes, sometimes zero.
    fn size(&mut self) -> u64 {
        let bits = self.below(20);
        self.below(1 << bits)
    }

    fn request(&mut self) -> Request {
        let align = if self.below(8) == 0 { 1 << self.below(17) } else { 0 };
        Request { tid: self.below(3) as Tid + 1, size: Bytes(self.size()), align, zeroed: self.below(5) == 0 }
    }
}

/// A model under random operations, with everything checked that must always hold.
struct Drive {
    seed: u64,
    model: Box<dyn AllocatorModel>,
    kernel: Kernel<1>,
    /// address → (usable end, block, requested)
    live: BTreeMap<u64, (u64, Block)>,
    /// The program also moves the break and asks for memory to be given back.
    meddling: bool,
    log: Vec<u64>,
}

impl Drive {
    fn new(spec: &ModelSpec, seed: u64) -> Drive {
        let model = (spec.build)(&Settings::defaults(spec)).expect("defaults build");
        Drive { seed, model, kernel: Kernel::new(Mode::Madvise), live: BTreeMap::new(), meddling: false, log: Vec::new() }
    }

    fn run(&mut self) {
        let mut random = Random(self.seed);
        for step in 0..STEPS {
            self.kernel.set_now(Nanos(step as u64 * 1_000_000));
            self.tick();
            if self.meddling && random.below(40) == 0 {
                self.meddle(&mut random);
            }
            let action = random.below(100);
            // Growth first, then decline, so that both directions are seen.
            let grow = if step < STEPS / 2 { 60 } else { 35 };
            match action {
                _ if action < grow || self.live.is_empty() => self.malloc(random.request()),
                _ if action < 85 => self.free(random.next()),
                _ if action < 99 => self.realloc(random.next(), random.request()),
                _ => self.model.thread_exit(&mut self.kernel, 2),
            }
            let counters = *self.space().counters(0);
            assert_eq!(counters.strays, 0, "seed {}: touched what is not mapped at step {step}", self.seed);
            self.log.extend([counters.anon.0, counters.minor_faults, self.space().mapped().0]);
        }
    }

    fn space(&self) -> &AddressSpace<1> {
        self.kernel.space()
    }

    fn tick(&mut self) {
        if self.model.due().is_some_and(|due| due <= crate::vm::os::Os::now(&self.kernel)) {
            self.model.tick(&mut self.kernel);
        }
    }

    fn meddle(&mut self, random: &mut Random) {
        self.kernel.sbrk(random.below(30_000) as i64 - 10_000);
        self.model.trim(&mut self.kernel, Bytes(random.below(100_000)));
    }

    fn malloc(&mut self, request: Request) {
        let block = self.model.malloc(&mut self.kernel, request).expect("a fresh machine has memory");
        assert!(request.align == 0 || block.addr.0.is_multiple_of(request.align), "seed {}: {request:?} at {}", self.seed, block.addr);
        self.admit(request, block);
    }

    fn admit(&mut self, request: Request, block: Block) {
        assert!(block.usable >= request.size, "seed {}: {request:?} gives {block:?}", self.seed);
        assert!(block.addr.0.is_multiple_of(if request.size.0 < 16 { 8 } else { 16 }), "seed {}: {block:?}", self.seed);
        assert!(self.space().is_mapped(block.addr, block.usable), "seed {}: {block:?} is not mapped", self.seed);
        let end = block.addr.0 + block.usable.0;
        let below = self.live.range(..=block.addr.0).next_back().is_some_and(|(_, (end, _))| *end > block.addr.0);
        let above = self.live.range(block.addr.0..end.max(block.addr.0 + 1)).next().is_some();
        assert!(!below && !above, "seed {}: {block:?} overlaps a live block", self.seed);
        self.kernel.space_mut().touch(block.addr, request.size, crate::event::Access::Write);
        self.live.insert(block.addr.0, (end, block));
        self.log.push(block.addr.0);
    }

    fn pick(&mut self, choice: u64) -> Block {
        let key = *self.live.keys().nth((choice % self.live.len() as u64) as usize).expect("not empty");
        self.live.remove(&key).expect("was there").1
    }

    fn free(&mut self, choice: u64) {
        let block = self.pick(choice);
        self.model.free(&mut self.kernel, 1, block);
    }

    fn realloc(&mut self, choice: u64, request: Request) {
        let old = self.pick(choice);
        let request = Request { align: 0, zeroed: false, ..request };
        let block = self.model.realloc(&mut self.kernel, request, old).expect("a fresh machine has memory");
        self.admit(request, block);
    }

    fn release_everything(&mut self) {
        while !self.live.is_empty() {
            self.free(0);
        }
        (1..4).for_each(|tid| self.model.thread_exit(&mut self.kernel, tid));
        while let Some(due) = self.model.due() {
            self.kernel.set_now(due);
            self.model.tick(&mut self.kernel);
        }
    }
}

fn each_model(check: impl Fn(&ModelSpec, u64)) {
    for spec in REGISTRY {
        for seed in SEEDS {
            check(spec, seed);
        }
    }
}

#[test]
fn blocks_are_large_enough_aligned_mapped_and_disjoint() {
    each_model(|spec, seed| Drive::new(spec, seed).run());
}

#[test]
fn the_programs_own_break_is_left_alone() {
    each_model(|spec, seed| {
        let mut drive = Drive::new(spec, seed);
        drive.meddling = true;
        drive.run();
    });
}

#[test]
fn what_stays_mapped_after_everything_is_released_is_what_the_counters_say() {
    each_model(|spec, seed| {
        let mut drive = Drive::new(spec, seed);
        drive.run();
        drive.release_everything();
        let (held, free) = (drive.model.counters().held, drive.model.counters().free);
        assert_eq!(drive.space().mapped(), held.page_up(), "{} seed {seed}: held", spec.id);
        let headers = drive.model.counters().part("headers");
        assert_eq!(held, free + headers, "{} seed {seed}: nothing is live, so all that is held is free or bookkeeping", spec.id);
        assert!(drive.space().counters(0).anon.bytes() <= held.page_up(), "{} seed {seed}: resident", spec.id);
    });
}

#[test]
fn the_same_run_twice_is_the_same() {
    each_model(|spec, seed| {
        let log = || {
            let mut drive = Drive::new(spec, seed);
            drive.run();
            drive.log
        };
        assert_eq!(log(), log(), "{} seed {seed}", spec.id);
    });
}

#[test]
fn ids_and_keys_are_unique_and_defaults_lie_in_their_ranges() {
    for (i, spec) in REGISTRY.iter().enumerate() {
        assert!(REGISTRY[..i].iter().all(|other| other.id != spec.id));
        for (k, tunable) in spec.tunables.iter().enumerate() {
            assert!(tunable.range.0 <= tunable.default && tunable.default <= tunable.range.1, "{} {}", spec.id, tunable.key);
            assert!(spec.tunables[..k].iter().all(|other| other.key != tunable.key));
        }
    }
}
