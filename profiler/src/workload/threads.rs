//! What each thread did last, where that decides what a later event means.
//!
//! The recorder sees where `free` begins and not where it ends. A `brk` that shrinks directly after a thread's `free` is that `free`'s trim; after
//! anything else it is the program's own. A thread whose first call is `free` gets its arena in it. And glibc empties a thread's cache when the thread ends: by frees of blocks that the program has freed
//! already, which nothing of the thread's own follows.

use crate::event::{Event, Tid, What};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// May still be inside `free`.
    freeing: bool,
    /// Frees of unknown blocks since its last call that was lifted.
    unknown_frees: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Threads(BTreeMap<Tid, Last>);

impl Threads {
    /// Takes note of an event; answers whether its thread may have been inside `free` when it happened.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        let steps = !matches!(event.what, What::Fault { .. } | What::Rss { .. });
        let free = matches!(event.what, What::Free { .. });
        if free {
            return std::mem::replace(&mut self.0.entry(event.tid).or_default().freeing, true);
        }
        let Some(last) = self.0.get_mut(&event.tid) else { return false };
        let was = last.freeing;
        last.freeing &= !steps;
        was
    }

    /// The thread asked for a block or freed one: it is not ending.
    pub(super) fn goes_on(&mut self, tid: Tid) {
        if let Some(last) = self.0.get_mut(&tid) {
            last.unknown_frees = 0;
        }
    }

    /// The thread freed a block that is not live.
    pub(super) fn freed_unknown(&mut self, tid: Tid) {
        self.0.entry(tid).or_default().unknown_frees += 1;
    }

    /// The thread ended: how many frees of unknown blocks were its last calls.
    pub(super) fn ended(&mut self, tid: Tid) -> u64 {
        self.0.remove(&tid).map_or(0, |last| last.unknown_frees)
    }
}
