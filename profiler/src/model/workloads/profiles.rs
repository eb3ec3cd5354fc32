//! Random workloads that mean the same everywhere: a seed and a profile give one sequence of operations.

use super::script::{Call, Op};

/// A linear congruential generator of 64 bits, of which the upper 31 are used.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What else happens between the steps.
#[derive(Clone, Copy)]
enum Aside {
    Nothing,
    Sbrk,
    Trim,
}

/// A mixture of calls on a number of slots; shares in percent.
struct Mixture {
    name: &'static str,
    slots: u64,
    steps: usize,
    malloc: u64,
    calloc: u64,
    realloc: u64,
    /// Below this percentage: sizes of at most so many bytes.
    sizes: &'static [(u64, u64)],
    aside: Aside,
}

const MIXED: &[(u64, u64)] = &[(60, 128), (85, 1024), (95, 16384), (100, 65536)];

#[rustfmt::skip]
const MIXTURES: [Mixture; 8] = [
    Mixture { name: "small", slots: 256, steps: 20_000, malloc: 100, calloc: 0, realloc: 0, sizes: &[(100, 200)], aside: Aside::Nothing },
    Mixture { name: "tiny", slots: 2000, steps: 100_000, malloc: 80, calloc: 15, realloc: 10, sizes: &[(70, 64), (95, 512), (100, 2048)], aside: Aside::Nothing },
    Mixture { name: "mixed", slots: 512, steps: 50_000, malloc: 70, calloc: 20, realloc: 30, sizes: MIXED, aside: Aside::Nothing },
    Mixture { name: "realloc", slots: 64, steps: 40_000, malloc: 90, calloc: 10, realloc: 85, sizes: &[(50, 4096), (90, 65536), (100, 400_000)], aside: Aside::Nothing },
    Mixture { name: "large", slots: 128, steps: 20_000, malloc: 80, calloc: 15, realloc: 25, sizes: &[(30, 256), (60, 8192), (80, 131_072), (100, 2_097_152)], aside: Aside::Nothing },
    Mixture { name: "sbrk", slots: 256, steps: 20_000, malloc: 80, calloc: 10, realloc: 20, sizes: MIXED, aside: Aside::Sbrk },
    Mixture { name: "trim", slots: 1024, steps: 40_000, malloc: 75, calloc: 15, realloc: 20, sizes: &[(60, 128), (85, 2024), (95, 16384), (100, 100_000)], aside: Aside::Trim },
    Mixture { name: "huge", slots: 4000, steps: 60_000, malloc: 80, calloc: 10, realloc: 20, sizes: &[(30, 2000), (60, 60_000), (100, 120_000)], aside: Aside::Nothing },
];

/// The operations of a profile, by the main thread.
pub(crate) fn operations(profile: &str, seed: u64) -> Vec<Op> {
    let mut random = Random(seed);
    match profile {
        "ramp" => ramp(&mut random, 1000, 30, &[120, 3000, 40_000]),
        "ramp2" => ramp(&mut random, 3600, 8, &[70_000]),
        "iters" => iters(&mut random),
        _ => mixture(&mut random, MIXTURES.iter().find(|mixture| mixture.name == profile).expect("a profile")),
    }
}

fn mixture(random: &mut Random, mixture: &Mixture) -> Vec<Op> {
    let (mut ops, mut full) = (Vec::new(), vec![false; mixture.slots as usize]);
    for _ in 0..mixture.steps {
        ops.extend(aside(random, mixture.aside));
        let [a, b, c, d] = [(); 4].map(|()| random.next());
        let slot = (a % mixture.slots) as usize;
        let (_, max) = mixture.sizes.iter().find(|(limit, _)| c % 100 < *limit).expect("the last limit is 100");
        let (at, size, share) = (slot as i64, (1 + d % max) as i64, b % 100);
        let call = match full[slot] {
            false if share < mixture.malloc => Call::Malloc,
            false if share < mixture.malloc + mixture.calloc => Call::Calloc,
            false => Call::Memalign,
            true if share < mixture.realloc => Call::Realloc,
            true => Call::Free,
        };
        full[slot] = call != Call::Free;
        ops.push(match call {
            Call::Memalign => Op::aligned(call, at, 32 << ((c >> 8) % 8), size),
            Call::Free => Op::new(call, at, 0),
            _ => Op::new(call, at, size),
        });
    }
    ops
}

fn aside(random: &mut Random, aside: Aside) -> Option<Op> {
    match aside {
        Aside::Nothing => None,
        Aside::Sbrk => random.next().is_multiple_of(300).then(|| Op::new(Call::Sbrk, 0, 1 + random.below(20_000) as i64)),
        Aside::Trim => random.next().is_multiple_of(1000).then(|| Op::new(Call::Trim, 0, random.below(3) as i64 * 30_000)),
    }
}

/// Rounds in which every slot is filled, a left-over block being leaked, and freed in changing orders.
fn ramp(random: &mut Random, slots: u64, rounds: u64, sizes: &[u64]) -> Vec<Op> {
    let (mut ops, mut full) = (Vec::new(), vec![false; slots as usize]);
    for round in 0..rounds {
        let max = sizes[(round % sizes.len() as u64) as usize];
        for slot in 0..slots {
            ops.push(Op::new(Call::Malloc, slot as i64, 1 + random.below(max) as i64));
            full[slot as usize] = true;
        }
        for j in 0..slots {
            let slot = [j, slots - 1 - j, 7 * j % slots, (13 * j + 5) % slots][(round % 4) as usize];
            let kept = round % 5 == 4 && slot.is_multiple_of(50);
            if !kept && std::mem::take(&mut full[slot as usize]) {
                ops.push(Op::new(Call::Free, slot as i64, 0));
            }
        }
    }
    ops
}

/// More unsorted chunks than one search bins.
fn iters(random: &mut Random) -> Vec<Op> {
    const BIG: i64 = 30_000;
    let mut ops = Vec::new();
    for slot in 0..BIG {
        ops.push(Op::new(Call::Malloc, slot, 1040 + random.below(1000) as i64));
        ops.push(Op::new(Call::Malloc, BIG, 24));
    }
    ops.extend((0..BIG).map(|slot| Op::new(Call::Free, slot, 0)));
    ops.extend((0..2000).map(|_| Op::new(Call::Malloc, BIG, 1 + random.below(3000) as i64)));
    ops
}
