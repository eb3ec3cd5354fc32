//! The recording itself: lifts it, and on the way reads the two outcomes that every study begins with.
//!
//! - `recorded`: the recorded placements driven through the page model. Anonymous pages and faults are the model's; file and shared-memory pages are
//!   the kernel's counters, because which of them are present is the page cache's business.
//! - `measured`: what the kernel counted: its resident-set counters, the fault events, the calls.

use super::outcome::{Outcome, Source};
use super::placements::Placed;
use crate::event::{Event, ProcessId, What};
use crate::metrics::{Blocks, LifetimeClass, Meter, Point, SizeClass};
use crate::units::{Bytes, Nanos, Pages};
use crate::vm::thp;
use crate::workload::{Action, Books, Lifter, Op};

/// A recording while it is read.
pub struct Recording {
    lifter: Lifter,
    blocks: Blocks,
    recorded: Meter,
    measured: Meter,
    /// Whether the kernel's counters were seen at all.
    counted: bool,
    rss: Bytes,
    faults: u64,
    /// Events fed, of all processes.
    events: u64,
    /// Where blocks lay, until it is taken; `None` where nobody asks.
    placed: Option<Vec<Placed>>,
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
    /// Lifetimes of blocks.
    pub lifetimes: Vec<LifetimeClass>,
    /// What became of every event.
    pub books: Books,
    /// Pages that `MAP_POPULATE` made resident: counted in `ru_minflt`, but by no fault event.
    pub populated: u64,
    /// Touches that met nothing that could be touched.
    pub strays: u64,
    /// Length of the process's part of the recording, without the pauses that the recorder made.
    pub duration: Nanos,
}

impl Recording {
    /// Of one process, on a machine with this huge-page setting.
    pub fn new(selected: ProcessId, thp: thp::Mode) -> Recording {
        Recording {
            lifter: Lifter::new(selected, thp),
            blocks: Blocks::default(),
            recorded: Meter::default(),
            measured: Meter::default(),
            counted: false,
            rss: Bytes(0),
            faults: 0,
            events: 0,
            placed: None,
        }
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
        if !self.lifter.feed(event, out) {
            return;
        }
        self.follow(&out[first..]);
        self.place(event, number, &out[first..]);
        let measured = match event.what {
            What::Rss { anon, file, shmem } => {
                self.rss = (anon + file + shmem).bytes();
                self.counted = true;
                true
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
            lifetimes: self.blocks.lifetime_classes(),
            books,
            populated: counters.populated,
            strays: counters.strays,
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
                Action::Alloc { id, size, .. } => self.blocks.alloc(id, size, op.time),
                Action::Realloc { id, size, .. } => self.blocks.realloc(id, size),
                Action::Free { id, .. } => self.blocks.free(id, op.time),
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
