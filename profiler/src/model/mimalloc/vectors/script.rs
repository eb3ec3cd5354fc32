//! Random scripts for several threads, the same wherever they are played.

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A block for the slot.
    Malloc,
    /// A block of zeros.
    Calloc,
    /// A block at an alignment.
    Memalign,
    /// Another size for the slot's block.
    Realloc,
    /// The slot's block goes.
    Free,
    /// The slot's block is written to, all that is usable.
    Fill,
    /// The main thread starts the thread whose number is the slot.
    Spawn,
    /// The thread ends.
    Exit,
}

/// A step of a thread; 0 is the main one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// What is done.
    pub(super) what: What,
    /// By whom.
    pub(super) thread: u32,
    /// To what.
    pub(super) slot: usize,
    /// Bytes asked for.
    pub(super) size: u64,
    /// At a multiple of this.
    pub(super) align: u64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Threads that were ever started, at most.
const THREADS: u32 = 60;

/// `steps` steps of up to `threads` threads at a time, with blocks of up to `1 << bits` bytes; growing and shrinking by turns.
pub(super) fn script(seed: u64, steps: usize, threads: usize, bits: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let (mut script, mut live, mut running) = (Vec::new(), Vec::new(), vec![0]);
    let (mut next_slot, mut next_thread) = (0, 1);
    while script.len() < steps {
        let thread = running[random.below(running.len() as u64) as usize];
        let grow = if (script.len() * 6 / steps).is_multiple_of(2) { 560 } else { 380 };
        let place = random.below(1 << 20) as usize;
        let magnitude = random.below(bits);
        let step = Step { what: What::Malloc, thread, slot: next_slot, size: random.below(2 << magnitude), align: 1 };
        match random.below(1000) {
            0..8 if running.len() < threads && next_thread < THREADS => {
                running.push(next_thread);
                script.push(Step { what: What::Spawn, thread: 0, slot: next_thread as usize, ..step });
                next_thread += 1;
            }
            8..13 if running.len() > 1 => {
                let ended = running.remove(1 + place % (running.len() - 1));
                script.push(Step { what: What::Exit, thread: ended, ..step });
            }
            dice if dice < grow || live.is_empty() => {
                let what = [What::Calloc, What::Memalign, What::Malloc][random.below(12).min(2) as usize];
                script.push(Step { what, align: 1 << random.below(15), ..step });
                if random.below(10) == 0 {
                    script.push(Step { what: What::Fill, ..step });
                }
                live.push(next_slot);
                next_slot += 1;
            }
            dice if dice < 930 => script.push(Step { what: What::Free, slot: live.swap_remove(place % live.len()), ..step }),
            _ => script.push(Step { what: What::Realloc, slot: live[place % live.len()], ..step }),
        }
    }
    script
}
