//! Whether simulated blocks lie where the recorded ones lay: what a model of the recorded allocator is tested by.
//!
//! Addresses stay away from models. The recording tells, for each allocation in order, where its block lay relative to its area; a run that was told
//! to compare looks up where its own block lies, and counts.

use crate::event::Tid;
use crate::model::Request;
use crate::vm::{Area, Spot};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Where the recorded allocator put the block of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Row in the table of events, from 0.
    pub event: u64,
    /// `None` where nothing is known to be mapped.
    pub spot: Option<Spot>,
}

/// How many blocks lie where they lay, and what became of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placements {
    /// Allocations: every block that was asked for or resized.
    pub total: u64,
    /// Blocks at the recorded place.
    pub equal: u64,
    /// The first of the others.
    pub first: Option<Divergence>,
    /// The others by thread.
    pub by_thread: BTreeMap<Tid, u64>,
    /// The others by where they lay and where they lie.
    pub by_area: BTreeMap<(Option<Area>, Option<Area>), u64>,
}

/// A block that lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Row in the table of events, from 0.
    pub event: u64,
    /// The function called, as far as the model sees it.
    pub call: &'static str,
    /// The request.
    pub request: Request,
    /// Where the recorded block lay.
    pub expected: Option<Spot>,
    /// Where the simulated one lies; `None` where the model could not provide one.
    pub got: Option<Spot>,
    /// The model's state directly after.
    pub state: String,
}

impl Placements {
    /// The share of blocks at the recorded place, 0 to 1; `None` when there are none.
    pub fn share(&self) -> Option<f64> {
        (self.total > 0).then(|| self.equal as f64 / self.total as f64)
    }

    /// What a person should know of them, in full sentences: none when all blocks lie where they lay.
    pub fn explain(&self) -> Vec<String> {
        let Some(first) = &self.first else { return Vec::new() };
        let differ = self.total - self.equal;
        let mut told = vec![
            format!("{differ} of {} blocks lie elsewhere than recorded. A block that lies elsewhere leads to others that do.", self.total),
            first.to_string(),
        ];
        if !first.state.is_empty() {
            told.push(format!("The model directly after: {}.", first.state.trim_end_matches('.')));
        }
        let areas = self.by_area.iter().map(|((expected, got), count)| match (expected, got) {
            (Some(expected), Some(got)) if expected == got => format!("{count} at another place of a {got}"),
            (expected, got) => format!("{count} {} instead of {}", within(*got), within(*expected)),
        });
        told.push(format!("They are {}.", areas.collect::<Vec<_>>().join(", ")));
        told.push(self.threads());
        told
    }

    fn threads(&self) -> String {
        const NAMED: usize = 4;
        let mut threads: Vec<(u64, Tid)> = self.by_thread.iter().map(|(&tid, &count)| (count, tid)).collect();
        threads.sort_by(|a, b| b.cmp(a));
        let named: Vec<String> = threads.iter().take(NAMED).map(|(count, tid)| format!("thread {tid} ({count})")).collect();
        match threads.len() {
            1 => format!("All were asked for by thread {}.", threads[0].1),
            more if more > NAMED => format!("They were asked for by {more} threads, most of them by {}.", named.join(", ")),
            _ => format!("They were asked for by {}.", named.join(", ")),
        }
    }
}

fn within(area: Option<Area>) -> String {
    area.map_or("nowhere".to_owned(), |area| format!("in a {area}"))
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |spot: Option<Spot>| spot.map_or("nowhere".to_owned(), |spot| spot.to_string());
        let Request { tid, size, align, .. } = self.request;
        let aligned = if align > 0 { format!(" aligned to {align}") } else { String::new() };
        write!(
            f,
            "The first is event {}: thread {tid} calls {} for {} bytes{aligned}; expected at {}, got {}.",
            self.event,
            self.call,
            size.0,
            place(self.expected),
            place(self.got)
        )
    }
}

/// Compares while a run goes.
#[derive(Default)]
pub(super) struct Comparison {
    due: VecDeque<Placed>,
    found: Placements,
}

impl Comparison {
    /// Where the blocks of the next allocations lay.
    pub(super) fn expect(&mut self, placed: &[Placed]) {
        self.due.extend(placed);
    }

    /// The block of the next allocation lies at `got`; `state` is asked for where it is the first at another place.
    pub(super) fn compare(&mut self, call: &'static str, request: Request, got: Option<Spot>, state: impl FnOnce() -> String) {
        let Some(Placed { event, spot: expected }) = self.due.pop_front() else { return };
        let found = &mut self.found;
        found.total += 1;
        if got == expected && got.is_some() {
            found.equal += 1;
            return;
        }
        *found.by_thread.entry(request.tid).or_default() += 1;
        *found.by_area.entry((expected.map(|spot| spot.area), got.map(|spot| spot.area))).or_default() += 1;
        found.first.get_or_insert_with(|| Divergence { event, call, request, expected, got, state: state() });
    }

    pub(super) fn found(self) -> Placements {
        self.found
    }
}

/// The name of the call that a request came by.
pub(super) fn call_of(request: Request) -> &'static str {
    match request {
        Request { align: 1.., .. } => "memalign",
        Request { zeroed: true, .. } => "calloc",
        _ => "malloc",
    }
}

#[cfg(test)]
#[path = "placements_tests.rs"]
mod tests;
