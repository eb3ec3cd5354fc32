//! Drives a workload through a policy, in three readings of what the program touched.
//!
//! The readings differ in residency only. No model looks at residency, so one model and one set of mappings serve all three;
//! each reading has its own pages ([`crate::vm::AddressSpace`]).

use super::background::Rounds;
use super::carried::Carried;
use super::held::Held;
use super::libraries::Libraries;
use super::outcome::{Outcome, Readings, Source};
use super::placements::{Comparison, Placed, call_of};
use super::policy::Policy;
use crate::error::Result;
use crate::event::origin::SiteId;
use crate::event::{Access, Tid};
use crate::metrics::survey::{Memory, Resident, Scene, Survey};
use crate::metrics::{Meter, Point};
use crate::model::{AllocatorModel, Block, Footprint, Request};
use crate::units::{Addr, Bytes, Nanos, PAGE};
use crate::vm::thp::{self, Khugepaged};
use crate::vm::{Kernel, Syscall};
use crate::workload::{Action, Evidence, ObjectId, Op};

/// Readings by their place in the kernel.
const LOW: usize = 0;
const EXPECTED: usize = 1;
const HIGH: usize = 2;

/// A policy at work. Feed it the operations in order, then finish.
pub struct Run {
    policy: String,
    model: Box<dyn AllocatorModel>,
    kernel: Kernel<3>,
    /// Live blocks by object id; `None` also where the policy could not provide one.
    blocks: Vec<Option<Resident>>,
    /// What its library adds to a process.
    library: Footprint,
    carried: Carried,
    /// `khugepaged`, by reading.
    background: Vec<Rounds>,
    live: u64,
    refused: u64,
    /// Where placements are compared with the recorded ones.
    comparison: Option<Comparison>,
    now: Nanos,
    meter: Meter,
    held: Held,
    survey: Survey,
    /// Highest resident bytes of the lowest and of the highest reading.
    extremes: (u64, u64),
}

impl Run {
    /// Ready to start; `machine` is the huge-page mode where the policy does not set one.
    pub fn new(policy: &Policy, machine: thp::Mode) -> Result<Run> {
        let model = policy.build()?;
        Ok(Run {
            policy: policy.to_string(),
            survey: Survey::new(model.layout()),
            model,
            kernel: Kernel::new(policy.thp().unwrap_or(machine)),
            blocks: Vec::new(),
            library: policy.model().map_or(Footprint::NONE, |spec| spec.library),
            carried: Carried::default(),
            background: Vec::new(),
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
        self.carried.files += added.files;
        self.carried.faults += added.faults;
        self.carried.calls.add(Syscall::Mmap, added.mmaps);
        self
    }

    /// On a machine whose `khugepaged` is set so.
    #[must_use]
    pub fn under(mut self, khugepaged: Option<Khugepaged>) -> Run {
        let rounds = |set| [Rounds::expected(set, EXPECTED), Rounds::frequent(set, HIGH)];
        self.background = khugepaged.into_iter().flat_map(rounds).collect();
        self
    }

    /// Where the recorded allocator put the blocks of the operations that are fed next. From then on placements are compared.
    pub fn expect(&mut self, placed: &[Placed]) {
        self.comparison.get_or_insert_default().expect(placed);
    }

    /// Takes the next operations.
    pub fn feed(&mut self, ops: &[Op]) {
        self.survey.earn(ops.len());
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
        outcome.minor_faults = self.bounded_faults();
        outcome.refused = self.refused;
        let now = self.now;
        let Run { survey, model, kernel, blocks, carried, .. } = &mut self;
        let survey = std::mem::replace(survey, Survey::new(model.layout()));
        outcome.survey = Some(in_scene(now, &**model, kernel, blocks, carried, |scene| survey.finish(scene)));
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
        for rounds in &mut self.background {
            while rounds.due() <= time {
                rounds.run(self.kernel.space_mut());
            }
        }
        self.now = time;
        self.kernel.set_now(time);
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Alloc { id, tid, size, align_log2, zeroed, assumed, site } => {
                let align = if align_log2 == 0 { 0 } else { 1u64.checked_shl(align_log2.into()).unwrap_or(1 << 63) };
                let request = Request { tid, size, align, zeroed };
                self.alloc(id, call_of(request), request, assumed);
                self.asked_at(id, site);
            }
            Action::Realloc { id, tid, size, site } => {
                self.realloc(id, Request { tid, size, align: 0, zeroed: false });
                self.asked_at(id, site);
            }
            Action::Free { id, tid } => self.free(id, tid),
            Action::Forget { id } => self.free(id, 0),
            Action::Touch { id, from, len, access, evidence } => self.touch(id, from, len, access, evidence),
            Action::Break { within } => self.kernel.begin_break(Bytes(within.into())),
            Action::Map { within } => self.kernel.begin_mappings(Bytes(within.into())),
            Action::Resident { .. } | Action::Mapping { .. } => self.carried.take(action),
            Action::Sbrk { delta } => self.kernel.sbrk(delta),
            Action::Trim { pad, .. } => self.model.trim(&mut self.kernel, pad),
            Action::Configure { parameter, value, .. } => self.model.configure(&mut self.kernel, parameter, value),
            Action::LockAll { flags } => self.kernel.lock_all(flags),
            Action::Fork => self.kernel.space_mut().fork(),
            Action::ThreadEnd { tid } => self.model.thread_exit(&mut self.kernel, tid),
            Action::End => {}
        }
    }

    fn asked_at(&mut self, id: ObjectId, site: SiteId) {
        if let Some(Some(block)) = self.blocks.get_mut(id as usize) {
            block.site = site;
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
        self.blocks[slot] = Some(Resident { block, size: request.size, born: self.now, site: 0 });
        self.survey.add(block, request.size);
        self.live += request.size.0;
        if assumed && request.size.0 > 0 {
            [EXPECTED, HIGH]
                .into_iter()
                .for_each(|reading| self.kernel.space_mut().touch_in(reading, block.addr, request.size, Access::Write));
        }
    }

    fn realloc(&mut self, id: ObjectId, request: Request) {
        let Some(Resident { block: old, size, born, .. }) = self.blocks.get(id as usize).copied().flatten() else {
            return self.alloc(id, "realloc", request, false);
        };
        let block = self.model.realloc(&mut self.kernel, request, old);
        self.compare("realloc", request, block);
        let Some(block) = block else {
            self.refused += 1;
            return;
        };
        self.blocks[id as usize] = Some(Resident { block, size: request.size, born, site: 0 });
        self.survey.remove(old, size);
        self.survey.add(block, request.size);
        self.live = self.live - size.0 + request.size.0;
    }

    fn compare(&mut self, call: &'static str, request: Request, block: Option<Block>) {
        if let Some(comparison) = &mut self.comparison {
            let spot = block.and_then(|block| self.kernel.spot(block.addr));
            comparison.compare(call, request, spot, || self.model.describe(request.tid, request.size));
        }
    }

    fn free(&mut self, id: ObjectId, tid: Tid) {
        if let Some(Resident { block, size, .. }) = self.blocks.get_mut(id as usize).and_then(Option::take) {
            self.live -= size.0;
            self.survey.remove(block, size);
            self.model.free(&mut self.kernel, tid, block);
        }
    }

    fn touch(&mut self, id: ObjectId, from: Bytes, len: Bytes, access: Access, evidence: Evidence) {
        let Some(Resident { block, size, .. }) = self.blocks.get(id as usize).copied().flatten() else { return };
        let len = len.min(size.saturating_sub(from));
        if len.0 == 0 {
            return;
        }
        let (addr, space) = (block.addr.offset(from), self.kernel.space_mut());
        space.touch_in(HIGH, addr, len, access);
        if evidence != Evidence::Possible {
            space.touch_in(EXPECTED, addr, len, access);
        }
        if evidence == Evidence::Seen {
            space.touch_in(LOW, addr, Bytes(1), access);
        }
    }

    fn faults(&self, reading: usize) -> u64 {
        self.kernel.space().counters(reading).minor_faults.saturating_add_signed(self.carried.faults)
    }

    /// A page that `khugepaged` added may have saved a fault or not: it may have come later than it did here.
    fn bounded_faults(&self) -> Readings<u64> {
        let filled = self.kernel.space().counters(HIGH).filled;
        let [low, expected, high] = [LOW, EXPECTED, HIGH].map(|reading| self.faults(reading));
        Readings::around(expected, [low.saturating_sub(filled), high + filled])
    }

    fn sample(&mut self) {
        let add = |pages: u64, carried: i64| pages.saturating_add_signed(carried) * PAGE;
        let carried = self.carried.pages;
        let [low, expected, high] = [LOW, EXPECTED, HIGH].map(|reading| self.kernel.space_mut().take_anon_peak(reading));
        self.extremes.0 = self.extremes.0.max(add(low.0, carried));
        self.extremes.1 = self.extremes.1.max(add(high.0, carried));
        let counters = *self.kernel.space().counters(EXPECTED);
        let rss = Bytes(add(counters.anon.0, carried));
        let others = [LOW, HIGH].map(|reading| Bytes(add(self.kernel.space().counters(reading).anon.0, carried)));
        let readings = Readings::around(rss, others);
        self.held.look(rss.0, self.live, &*self.model);
        if self.survey.is_due(self.now, rss, counters.anon.bytes()) {
            let Run { survey, model, kernel, blocks, carried, .. } = self;
            in_scene(self.now, &**model, kernel, blocks, carried, |scene| survey.look(scene));
        }
        let mapped = |bytes: Bytes| Bytes(bytes.0.saturating_add_signed(self.carried.mapped));
        self.meter.high(Bytes(add(expected.0, carried)), mapped(self.kernel.space().mapped_peak()));
        self.meter.sample(Point {
            time: self.now,
            rss,
            live: Bytes(self.live),
            mapped: mapped(self.kernel.space().mapped()),
            minor_faults: counters.minor_faults.saturating_add_signed(self.carried.faults),
            returned: Bytes(counters.returned.0 + self.carried.returned),
            rss_low: readings.low,
            rss_high: readings.high,
        });
    }
}

/// Shows what a survey looks at.
fn in_scene<T>(
    time: Nanos,
    model: &dyn AllocatorModel,
    kernel: &Kernel<3>,
    blocks: &[Option<Resident>],
    carried: &Carried,
    look: impl FnOnce(&Scene<'_>) -> T,
) -> T {
    let space = kernel.space();
    let heap = space.counters(EXPECTED).anon;
    look(&Scene {
        time,
        rss: Bytes(heap.0.saturating_add_signed(carried.pages) * PAGE),
        files: Bytes(carried.files.max(0) as u64 * PAGE),
        heap: heap.bytes(),
        memory: Memory { mappings: space.mappings(), pages: space.pages_in(EXPECTED) },
        base: space.break_area().map_or(Addr(0), |(start, _)| start),
        model,
        blocks: &|visit| blocks.iter().flatten().for_each(|&block| visit(block)),
    })
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
