//! Events of all processes to operations of one. Every event of it is lifted, carried or set aside with a reason, and counted as one of them.

use super::Op;
use super::books::Books;
use super::placement::Placement;
use super::probes::ProbeCost;
use super::process::Process;
use super::touch::Touches;
use crate::event::{Event, ProcessId, What};
use crate::units::{Nanos, Pages};
use crate::vm::{AddressSpace, thp};
use std::collections::BTreeMap;

/// Makes the workload of one process out of the events of all.
pub struct Lifter {
    selected: ProcessId,
    thp: thp::Mode,
    cost: ProbeCost,
    process: Option<Process>,
    /// Before the selected process begins, everyone who might fork it.
    ancestors: BTreeMap<ProcessId, Process>,
}

impl Lifter {
    /// For one process of a recording made on a machine with this huge-page setting.
    pub fn new(selected: ProcessId, thp: thp::Mode) -> Lifter {
        Lifter { selected, thp, cost: ProbeCost::default(), process: None, ancestors: BTreeMap::new() }
    }

    /// A fresh one of the same process under another huge-page setting.
    #[must_use]
    pub fn again_in(&self, thp: thp::Mode) -> Lifter {
        Lifter::new(self.selected, thp).at_cost(self.cost)
    }

    /// With probes that cost this much, which is taken off the clock.
    #[must_use]
    pub fn at_cost(self, cost: ProbeCost) -> Lifter {
        Lifter { cost, ..self }
    }

    /// The machine's huge-page setting.
    pub fn huge_pages(&self) -> thp::Mode {
        self.thp
    }

    /// Takes the next event, of any process; appends operations of the selected one. Answers whether the event was the selected one's.
    pub fn feed(&mut self, event: &Event, out: &mut Vec<Op>) -> bool {
        let (thp, cost) = (self.thp, self.cost);
        let unknown = || Process::new(Placement::new(thp), event.time, cost);
        if event.process == self.selected {
            self.ancestors.clear();
            self.process.get_or_insert_with(unknown).feed(event, out);
            return true;
        }
        if self.process.is_none() {
            self.follow_ancestor(event, unknown);
        }
        false
    }

    /// Ancestors matter for what they leave to the child; their own operations go nowhere.
    fn follow_ancestor(&mut self, event: &Event, unknown: impl FnOnce() -> Process) {
        let process = self.ancestors.entry(event.process).or_insert_with(unknown);
        process.feed(event, &mut Vec::new());
        match event.what {
            What::Fork { process: child, .. } if child == self.selected => {
                self.process = Some(process.fork(event.time));
                self.ancestors.clear();
            }
            What::Fork { process: child, .. } => {
                let forked = process.fork(event.time);
                self.ancestors.insert(child, forked);
            }
            What::End => _ = self.ancestors.remove(&event.process),
            _ => {}
        }
    }

    /// The kernel changes the recorded pages by itself; appends what that means for what every policy carries.
    pub fn change(&mut self, out: &mut Vec<Op>, by: impl FnOnce(&mut AddressSpace)) {
        if let Some(process) = &mut self.process {
            process.change(out, by);
        }
    }

    /// Closes the workload where the recording ended before the process did.
    pub fn finish(&mut self, out: &mut Vec<Op>) {
        if let Some(process) = self.process.as_mut().filter(|process| !process.ended) {
            process.end(out);
        }
    }

    /// The recorded placements; `None` before the selected process begins.
    pub fn placement(&self) -> Option<&Placement> {
        self.process.as_ref().map(|process| &process.placement)
    }

    /// The recorded placements, to read and restart high-water marks.
    pub fn placement_mut(&mut self) -> Option<&mut Placement> {
        self.process.as_mut().map(|process| &mut process.placement)
    }

    /// The count so far; `None` before the selected process begins.
    pub fn books(&self) -> Option<&Books> {
        self.process.as_ref().map(|process| &process.books)
    }

    /// Bytes of blocks by how their touch is known, so far.
    pub fn touches(&self) -> Touches {
        self.process.as_ref().map_or_else(Touches::default, Process::touches)
    }

    /// Pages and faults that the recorder added to the process.
    pub fn recorders_own(&self) -> u64 {
        self.process.as_ref().map_or(0, Process::recorders_own)
    }

    /// File and shared-memory pages as last measured, without what the recorder changed.
    pub fn measured_pages(&self) -> (Pages, Pages) {
        self.process.as_ref().map_or((Pages(0), Pages(0)), |process| (process.file, process.shmem))
    }

    /// Time since the selected process began, without the pauses that the recorder made and the cost of its probes.
    pub fn now(&self) -> Nanos {
        self.process.as_ref().map_or(Nanos(0), Process::now)
    }
}

#[cfg(test)]
#[path = "lift_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "touch_tests.rs"]
mod touch_tests;

#[cfg(test)]
#[path = "told_tests.rs"]
mod told_tests;
