//! Drives a workload through a policy, in three readings of what the program touched.
//!
//! The readings differ in residency only. No model looks at residency, so one model and one set of mappings serve all three;
//! each reading has its own pages ([`crate::vm::AddressSpace`]).

use super::carried::Carried;
use super::held::Held;
use super::libraries::Libraries;
use super::outcome::{Outcome, Readings, Source};
use super::placements::{Comparison, Placed, call_of};
use super::policy::Policy;
use crate::error::Result;
use crate::event::{Access, Tid};
use crate::metrics::{Meter, Point};
use crate::model::{AllocatorModel, Block, Footprint, Request};
use crate::units::{Bytes, Nanos, PAGE};
use crate::vm::thp;
use crate::vm::{Kernel, Syscall};
use crate::workload::{Action, ObjectId, Op};

/// Readings by their place in the kernel.
const LOW: usize = 0;
const EXPECTED: usize = 1;
const HIGH: usize = 2;

/// A policy at work. Feed it the operations in order, then finish.
pub struct Run {
    policy: String,
    model: Box<dyn AllocatorModel>,
    kernel: Kernel<3>,
    /// Live blocks with their requested size, by object id; `None` also where the policy could not provide one.
    blocks: Vec<Option<(Block, Bytes)>>,
    /// What its library adds to a process.
    library: Footprint,
    carried: Carried,
    live: u64,
    refused: u64,
    /// Where placements are compared with the recorded ones.
    comparison: Option<Comparison>,
    now: Nanos,
    meter: Meter,
    held: Held,
    /// Highest resident bytes of the lowest and of the highest reading.
    extremes: (u64, u64),
}

impl Run {
    /// Ready to start; `machine` is the huge-page mode where the policy does not set one.
    pub fn new(policy: &Policy, machine: thp::Mode) -> Result<Run> {
        let model = policy.build()?;
        Ok(Run {
            policy: policy.to_string(),
            model,
            kernel: Kernel::new(policy.thp().unwrap_or(machine)),
            blocks: Vec::new(),
            library: policy.model().map_or(Footprint::NONE, |spec| spec.library),
            carried: Carried::default(),
            live: 0,
            refused: 0,
            comparison: None,
            now: Nanos(0),
            meter: Meter::default(),
            held: Held::default(),
            extremes: (0, 0),
        })
    }

    /// In a process with these libraries, to which the policy's own comes.
    #[must_use]
    pub fn beside(mut self, libraries: &Libraries) -> Run {
        let added = libraries.added_by(&self.library);
        self.carried.pages += added.pages;
        self.carried.faults += added.faults;
        self.carried.calls.add(Syscall::Mmap, added.mmaps);
        self
    }

    /// Where the recorded allocator put the blocks of the operations that are fed next. From then on placements are compared.
    pub fn expect(&mut self, placed: &[Placed]) {
        self.comparison.get_or_insert_default().expect(placed);
    }

    /// Takes the next operations.
    pub fn feed(&mut self, ops: &[Op]) {
        for op in ops {
            self.advance(op.time);
            self.apply(op.action);
            self.sample();
        }
    }

    /// What the policy did.
    pub fn finish(mut self) -> Outcome {
        self.sample();
        let mut calls = *self.kernel.calls();
        calls += self.carried.calls;
        let mut outcome = Outcome::of(&self.policy, Source::Simulated, &self.meter, calls);
        let expected = self.meter.peak().rss;
        outcome.peak_rss = Some(Readings::around(expected, [Bytes(self.extremes.0), Bytes(self.extremes.1)]));
        outcome.minor_faults = Readings::around(self.faults(EXPECTED), [self.faults(LOW), self.faults(HIGH)]);
        outcome.refused = self.refused;
        outcome.held = self.held.parts();
        outcome.placements = self.comparison.map(Comparison::found);
        outcome
    }

    /// Lets time pass: what the model does by the clock happens on the way.
    fn advance(&mut self, time: Nanos) {
        while let Some(due) = self.model.due().filter(|&due| due <= time) {
            self.now = self.now.max(due);
            self.kernel.set_now(self.now);
            self.model.tick(&mut self.kernel);
            self.sample();
        }
        self.now = time;
        self.kernel.set_now(time);
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Alloc { id, tid, size, align_log2, zeroed, assumed } => {
                let align = if align_log2 == 0 { 0 } else { 1u64.checked_shl(align_log2.into()).unwrap_or(1 << 63) };
                let request = Request { tid, size, align, zeroed };
                self.alloc(id, call_of(request), request, assumed);
            }
            Action::Realloc { id, tid, size } => self.realloc(id, Request { tid, size, align: 0, zeroed: false }),
            Action::Free { id, tid } => self.free(id, tid),
            Action::Touch { id, from, len, access, seen } => self.touch(id, from, len, access, seen),
            Action::Break { within } => self.kernel.begin_break(Bytes(within.into())),
            Action::Resident { .. } | Action::Mapping { .. } => self.carried.take(action),
            Action::Sbrk { delta } => self.kernel.sbrk(delta),
            Action::Trim { pad, .. } => self.model.trim(&mut self.kernel, pad),
            Action::Configure { parameter, value, .. } => self.model.configure(&mut self.kernel, parameter, value),
            Action::Fork => self.kernel.space_mut().fork(),
            Action::ThreadEnd { tid } => self.model.thread_exit(&mut self.kernel, tid),
            Action::End => {}
        }
    }

    fn alloc(&mut self, id: ObjectId, call: &'static str, request: Request, assumed: bool) {
        let slot = id as usize;
        if slot >= self.blocks.len() {
            self.blocks.resize(slot + 1, None);
        }
        let block = self.model.malloc(&mut self.kernel, request);
        self.compare(call, request, block);
        let Some(block) = block else {
            self.refused += 1;
            return;
        };
        self.blocks[slot] = Some((block, request.size));
        self.live += request.size.0;
        self.use_bytes(block, Bytes(0), request.size, assumed);
    }

    fn realloc(&mut self, id: ObjectId, request: Request) {
        let Some((old, size)) = self.blocks.get(id as usize).copied().flatten() else {
            return self.alloc(id, "realloc", request, false);
        };
        let block = self.model.realloc(&mut self.kernel, request, old);
        self.compare("realloc", request, block);
        let Some(block) = block else {
            self.refused += 1;
            return;
        };
        self.blocks[id as usize] = Some((block, request.size));
        self.live = self.live - size.0 + request.size.0;
        self.use_bytes(block, size, request.size, false);
    }

    fn compare(&mut self, call: &'static str, request: Request, block: Option<Block>) {
        if let Some(comparison) = &mut self.comparison {
            let spot = block.and_then(|block| self.kernel.spot(block.addr));
            comparison.compare(call, request, spot, || self.model.describe(request.tid, request.size));
        }
    }

    fn free(&mut self, id: ObjectId, tid: Tid) {
        if let Some((block, size)) = self.blocks.get_mut(id as usize).and_then(Option::take) {
            self.live -= size.0;
            self.model.free(&mut self.kernel, tid, block);
        }
    }

    /// The bytes `from..to` are new to the program: the highest reading touches them at once, the expected one where they are assumed touched.
    fn use_bytes(&mut self, block: Block, from: Bytes, to: Bytes, assumed: bool) {
        if to <= from {
            return;
        }
        let (addr, len) = (block.addr.offset(from), to - from);
        if assumed {
            self.kernel.space_mut().touch_in(EXPECTED, addr, len, Access::Write);
        }
        self.kernel.space_mut().touch_in(HIGH, addr, len, Access::Write);
    }

    fn touch(&mut self, id: ObjectId, from: Bytes, len: Bytes, access: Access, seen: bool) {
        let Some((block, size)) = self.blocks.get(id as usize).copied().flatten() else { return };
        let len = len.min(size.saturating_sub(from));
        if len.0 == 0 {
            return;
        }
        let addr = block.addr.offset(from);
        self.kernel.space_mut().touch_in(EXPECTED, addr, len, access);
        self.kernel.space_mut().touch_in(HIGH, addr, len, access);
        if seen {
            self.kernel.space_mut().touch_in(LOW, addr, Bytes(1), access);
        }
    }

    fn faults(&self, reading: usize) -> u64 {
        self.kernel.space().counters(reading).minor_faults.saturating_add_signed(self.carried.faults)
    }

    fn sample(&mut self) {
        let add = |pages: u64, carried: i64| pages.saturating_add_signed(carried) * PAGE;
        let carried = self.carried.pages;
        let [low, expected, high] = [LOW, EXPECTED, HIGH].map(|reading| self.kernel.space_mut().take_anon_peak(reading));
        self.extremes.0 = self.extremes.0.max(add(low.0, carried));
        self.extremes.1 = self.extremes.1.max(add(high.0, carried));
        let counters = self.kernel.space().counters(EXPECTED);
        let rss = Bytes(add(counters.anon.0, carried));
        self.held.look(rss.0, self.live, &*self.model);
        let mapped = |bytes: Bytes| Bytes(bytes.0.saturating_add_signed(self.carried.mapped));
        self.meter.high(Bytes(add(expected.0, carried)), mapped(self.kernel.space().mapped_peak()));
        self.meter.sample(Point {
            time: self.now,
            rss,
            live: Bytes(self.live),
            mapped: mapped(self.kernel.space().mapped()),
            minor_faults: counters.minor_faults.saturating_add_signed(self.carried.faults),
            returned: Bytes(counters.returned.0 + self.carried.returned),
        });
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
