//! The recording itself: lifts it, and on the way reads the two outcomes that every study begins with.
//!
//! - `recorded`: the recorded placements driven through the page model. Anonymous pages and faults are the model's; file and shared-memory pages are
//!   the kernel's counters, because which of them are present is the page cache's business.
//! - `measured`: what the kernel counted: its resident-set counters, the fault events, the calls.

use super::background::Rounds;
use super::claims::{Before, Claims, Watch};
use super::outcome::{Outcome, Source};
use super::placements::Placed;
use crate::event::{Event, ProcessId, What};
use crate::metrics::{Blocks, LifetimeClass, Meter, Point, SiteUse, Sites, SizeClass, ThreadUse};
use crate::units::{Bytes, Nanos, Pages};
use crate::vm::thp::{self, Khugepaged};
use crate::workload::{Action, Books, Evidence, Lifter, Op, Placement, ProbeCost, Touches};

/// A recording while it is read.
pub struct Recording {
    lifter: Lifter,
    blocks: Blocks,
    sites: Sites,
    recorded: Meter,
    measured: Meter,
    apart: Apart,
    /// Whether the kernel's counters were seen at all.
    counted: bool,
    rss: Bytes,
    faults: u64,
    /// How `khugepaged` is set on the machine.
    khugepaged: Option<Khugepaged>,
    /// What it would do in a mode that the machine had not.
    background: Option<Rounds>,
    /// Most that was swapped out.
    swapped: Pages,
    /// Events fed, of all processes.
    events: u64,
    /// Where blocks lay, until it is taken; `None` where nobody asks.
    placed: Option<Vec<Placed>>,
    /// `None` where nobody asks.
    claims: Option<Watch>,
}

/// How far two curves are from each other.
#[derive(Default)]
struct Apart {
    /// Bytes × ns.
    area: u128,
    now: Bytes,
    time: Nanos,
}

impl Apart {
    /// What the curves are from this time on.
    fn since(&mut self, time: Nanos, one: Bytes, other: Bytes) {
        self.area += u128::from(self.now.0) * u128::from(time.saturating_sub(self.time).0);
        (self.now, self.time) = (Bytes(one.0.abs_diff(other.0)), time);
    }

    /// Averaged over the time.
    fn mean(&self) -> Bytes {
        Bytes((self.area / u128::from(self.time.0.max(1))) as u64)
    }
}

/// What a recording says about the process, whatever the policy.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The recorded placements through the page model.
    pub recorded: Outcome,
    /// What the kernel counted.
    pub measured: Outcome,
    /// Requested sizes.
    pub sizes: Vec<SizeClass>,
    /// What each thread asked for and freed.
    pub threads: Vec<ThreadUse>,
    /// What each place in the code asked for.
    pub sites: Vec<SiteUse>,
    /// Lifetimes of blocks.
    pub lifetimes: Vec<LifetimeClass>,
    /// What became of every event.
    pub books: Books,
    /// Bytes of blocks by how their touch is known.
    pub touches: Touches,
    /// Resident memory of the allocator that is older than the recording: every policy carries it, and nobody knows what is in it.
    pub older: Bytes,
    /// Time-averaged absolute difference of the resident sets, recorded and measured; `None` where nothing was measured.
    pub apart: Option<Bytes>,
    /// Pages that the kernel populated (`MAP_POPULATE`, `mlock`): counted in `ru_minflt`, but by no fault event.
    pub populated: u64,
    /// Most that was swapped out at a time: the page model knows nothing of it.
    pub swapped: Bytes,
    /// Minor faults that are the recorder's: the kernel counts them with the process's.
    pub recorders_faults: u64,
    /// Touches that met nothing that could be touched.
    pub strays: u64,
    /// What was counted of it beside, if that was asked for.
    pub claims: Option<Claims>,
    /// Length of the process's part of the recording, without the pauses that the recorder made and the cost of its probes.
    pub duration: Nanos,
}

impl Recording {
    /// Of one process, on a machine with this huge-page setting.
    pub fn new(selected: ProcessId, thp: thp::Mode) -> Recording {
        Recording {
            lifter: Lifter::new(selected, thp),
            blocks: Blocks::default(),
            sites: Sites::default(),
            recorded: Meter::default(),
            measured: Meter::default(),
            apart: Apart::default(),
            counted: false,
            rss: Bytes(0),
            faults: 0,
            khugepaged: None,
            background: None,
            swapped: Pages(0),
            events: 0,
            placed: None,
            claims: None,
        }
    }

    /// With probes that cost this much, which is taken off the clock.
    #[must_use]
    pub fn at_cost(self, cost: ProbeCost) -> Recording {
        Recording { lifter: self.lifter.at_cost(cost), ..self }
    }

    /// On a machine whose `khugepaged` is set so.
    #[must_use]
    pub fn under(self, khugepaged: Option<Khugepaged>) -> Recording {
        Recording { khugepaged, ..self }
    }

    /// How `khugepaged` is set on the machine.
    pub fn khugepaged(&self) -> Option<Khugepaged> {
        self.khugepaged
    }

    /// The same process under another huge-page setting.
    #[must_use]
    pub fn again_in(&self, mode: thp::Mode) -> Recording {
        let empty = Recording::new(0, mode);
        let background = self.khugepaged.map(|set| Rounds::expected(set, 0));
        Recording { lifter: self.lifter.again_in(mode), background, ..empty }
    }

    /// Counts what [`Facts::claims`] tells.
    pub fn count_claims(&mut self) {
        self.claims.get_or_insert_default();
    }

    /// The machine's huge-page setting.
    pub fn huge_pages(&self) -> thp::Mode {
        self.lifter.huge_pages()
    }

    /// Notes where blocks lay, for [`take_placed`](Self::take_placed).
    pub fn note_placed(&mut self) {
        self.placed.get_or_insert_default();
    }

    /// Where the blocks of the allocations among the operations so far lay; those that were taken before are left out.
    pub fn take_placed(&mut self) -> Vec<Placed> {
        self.placed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes the next event of the recording, of whatever process; appends operations.
    pub fn feed(&mut self, event: &Event, out: &mut Vec<Op>) {
        let (first, number) = (out.len(), self.events);
        self.events += 1;
        let before =
            self.claims.as_ref().map(|_| self.lifter.placement().map(|placement| Before::of(placement.space(), event)).unwrap_or_default());
        if !self.lifter.feed(event, out) {
            return;
        }
        if let Some(rounds) = self.background.as_mut().filter(|rounds| rounds.due() <= self.lifter.now()) {
            self.lifter.change(out, |space| rounds.run(space));
        }
        if let (Some(claims), Some(before), Some(placement)) = (&mut self.claims, before, self.lifter.placement()) {
            claims.follow(event, &before, placement.space(), self.lifter.now());
        }
        self.follow(&out[first..]);
        self.place(event, number, &out[first..]);
        let measured = match event.what {
            What::Rss { anon, file, shmem } => {
                self.rss = (anon + file + shmem).bytes() - Pages(self.lifter.recorders_own()).bytes();
                self.counted = true;
                true
            }
            What::Swap { pages } => {
                self.swapped = self.swapped.max(pages);
                false
            }
            What::Fault { addr, .. } => {
                self.faults += u64::from(self.lifter.placement().is_some_and(|placement| placement.owner(addr).is_some()));
                false
            }
            _ => false,
        };
        self.sample(measured);
    }

    /// Closes the books; appends what ends the workload.
    pub fn finish(mut self, out: &mut Vec<Op>) -> Facts {
        let first = out.len();
        self.lifter.finish(out);
        self.follow(&out[first..]);
        self.sample(true);
        let books = self.lifter.books().cloned().unwrap_or_default();
        let (calls, counters) =
            self.lifter.placement().map_or_else(Default::default, |placement| (*placement.calls(), *placement.space().counters(0)));
        let claims = self.claims.map(|watch| watch.finish(self.lifter.placement().map(Placement::space)));
        let mut measured = Outcome::of("measured", Source::Measured, &self.measured, calls);
        measured.returned = None;
        if !self.counted {
            (measured.peak_rss, measured.mean_rss, measured.final_rss) = (None, None, None);
            measured.timeline.clear();
        }
        Facts {
            recorded: Outcome::of("recorded", Source::Simulated, &self.recorded, calls),
            measured,
            sizes: self.blocks.size_classes(),
            threads: self.blocks.threads(),
            sites: self.sites.rows(),
            lifetimes: self.blocks.lifetime_classes(),
            books,
            touches: self.lifter.touches(),
            older: self.lifter.placement().map_or(Bytes(0), |placement| placement.older_heap().bytes()),
            apart: self.counted.then(|| self.apart.mean()),
            populated: counters.populated,
            swapped: self.swapped.bytes(),
            recorders_faults: self.lifter.recorders_own(),
            strays: counters.strays,
            claims,
            duration: self.lifter.now(),
        }
    }

    /// The count so far; empty before the selected process begins.
    pub fn books(&self) -> Books {
        self.lifter.books().cloned().unwrap_or_default()
    }

    fn place(&mut self, event: &Event, number: u64, ops: &[Op]) {
        let (Some(placed), What::Alloc { ptr, .. }) = (&mut self.placed, event.what) else { return };
        if ops.iter().any(|op| matches!(op.action, Action::Alloc { .. } | Action::Realloc { .. })) {
            let spot = self.lifter.placement().and_then(|placement| placement.spot(ptr));
            placed.push(Placed { event: number, spot });
        }
    }

    fn follow(&mut self, ops: &[Op]) {
        for op in ops {
            match op.action {
                Action::Alloc { id, tid, size, site, .. } => {
                    self.blocks.alloc(id, tid, size, op.time);
                    self.sites.alloc(id, site, size);
                }
                Action::Realloc { id, tid, size, site } => {
                    self.blocks.realloc(id, tid, size);
                    self.sites.alloc(id, site, size);
                }
                Action::Free { id, tid } => {
                    let temporary = self.blocks.free(id, tid, op.time);
                    self.sites.free(id, temporary);
                }
                Action::Forget { id } => {
                    self.blocks.forget(id);
                    self.sites.free(id, false);
                }
                Action::Touch { id, evidence: Evidence::Seen, .. } => self.sites.fault(id),
                _ => {}
            }
        }
    }

    fn sample(&mut self, measured: bool) {
        let (time, live) = (self.lifter.now(), self.blocks.live_bytes());
        let (file, shmem) = self.lifter.measured_pages();
        let Some(placement) = self.lifter.placement_mut() else { return };
        let resident = |anon: Pages| (anon + file + shmem).bytes();
        let anon_peak = placement.space_mut().take_anon_peak(0);
        let (counters, mapped) = (*placement.space().counters(0), placement.space().mapped());
        self.recorded.high(resident(anon_peak), placement.space().mapped_peak());
        let (minor_faults, returned) = (counters.minor_faults, counters.returned);
        self.apart.since(time, resident(counters.anon), self.rss);
        self.recorded.sample(Point { time, live, mapped, minor_faults, returned, ..Point::of_one_reading(resident(counters.anon)) });
        if measured {
            self.measured.sample(Point { time, live, mapped, minor_faults: self.faults, ..Point::of_one_reading(self.rss) });
        } else {
            // Peaks of what is known at every event must not wait for the next counter event.
            self.measured.high(self.rss, mapped);
            self.measured.live(live);
        }
    }
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
