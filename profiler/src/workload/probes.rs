//! What a probe costs the thread that runs into it, estimated from the recording itself.
//!
//! Between two calls of the malloc family that follow each other at once, a thread does next to nothing of its own: of several hundred thousand such
//! gaps the shortest are the cost of the probes, to a few hundredths of a microsecond. They depend on the machine (0.3 to 10 µs), so that no constant
//! would do. Faults and system calls cost more by themselves than their probes add (0.15 to 0.5 µs), and are left as they are.

use crate::event::{Event, ProcessId, Tid, What};
use crate::units::Nanos;

/// A gap is looked at in steps of so many ns, up to the longest.
const STEP: u64 = 16;
const LONGEST: usize = 1 << 10;
/// Fewer gaps say nothing, and then the probes have not cost much either.
const ENOUGH: u64 = 1000;
/// The share of the gaps that are shorter than the estimate.
const SHORTEST: f64 = 0.02;

/// What a call of the malloc family takes longer while it is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeCost {
    /// Of a call with a result: two probes.
    pub alloc: Nanos,
    /// Of `free`.
    pub free: Nanos,
}

impl ProbeCost {
    /// What an event has cost.
    pub(super) fn of(self, event: &Event) -> Nanos {
        match event.what {
            What::Alloc { .. } => self.alloc,
            What::Free { .. } => self.free,
            _ => Nanos(0),
        }
    }
}

/// Gaps before an event of one kind, by length.
#[derive(Clone, Debug)]
struct Lengths(Vec<u64>);

/// What a recording tells of the cost of its probes.
#[derive(Clone, Debug)]
pub struct Gaps {
    alloc: Lengths,
    free: Lengths,
    /// The call of the malloc family before, if nothing else came after it: whose, and when.
    before: Option<(ProcessId, Tid, Nanos)>,
}

impl Default for Gaps {
    fn default() -> Gaps {
        let none = || Lengths(vec![0; LONGEST]);
        Gaps { alloc: none(), free: none(), before: None }
    }
}

impl Gaps {
    /// Takes the next event of the recording.
    pub fn add(&mut self, event: &Event) {
        let lengths = match event.what {
            What::Alloc { .. } => &mut self.alloc,
            What::Free { .. } => &mut self.free,
            _ => return self.before = None,
        };
        if let Some((process, tid, time)) = self.before
            && (process, tid) == (event.process, event.tid)
        {
            lengths.add(event.time.saturating_sub(time));
        }
        self.before = Some((event.process, event.tid, event.time));
    }

    /// The estimate; zero where there is too little to tell.
    pub fn cost(&self) -> ProbeCost {
        ProbeCost { alloc: self.alloc.shortest(), free: self.free.shortest() }
    }
}

impl Lengths {
    fn add(&mut self, gap: Nanos) {
        if let Some(count) = self.0.get_mut((gap.0 / STEP) as usize) {
            *count += 1;
        }
    }

    fn shortest(&self) -> Nanos {
        let all: u64 = self.0.iter().sum();
        let mut sum = 0;
        let reaches = |count: &u64| {
            sum += count;
            sum as f64 > all as f64 * SHORTEST
        };
        let place = if all < ENOUGH { None } else { self.0.iter().position(reaches) };
        Nanos(place.unwrap_or(0) as u64 * STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{HEAP, Script};
    use super::*;

    /// So many pairs of calls; `extra` ns of the program's own before each `free`.
    fn cost(pairs: u64, extra: u64) -> ProbeCost {
        let mut script = Script::default();
        (0..pairs).for_each(|_| _ = script.malloc(HEAP + 16, 10).wait(extra).free(HEAP + 16));
        let mut gaps = Gaps::default();
        script.events.iter().for_each(|event| gaps.add(event));
        gaps.cost()
    }

    #[test]
    fn the_shortest_gaps_are_the_cost() {
        // A script's events are 1000 ns apart: the step below.
        assert_eq!(cost(2000, 500), ProbeCost { alloc: Nanos(992), free: Nanos(1488) });
        assert_eq!(cost(200, 500), ProbeCost::default());
    }
}
