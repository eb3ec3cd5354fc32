//! What each thread did last, where that decides what a later event means.
//!
//! The recorder sees where `free` begins and not where it ends. A `brk` that shrinks directly after a thread's `free` is that `free`'s trim; after
//! anything else it is the program's own. A thread whose first call is `free` gets its arena in it. And glibc empties a thread's cache when the thread ends: by frees of blocks that the program has freed
//! already, which nothing of the thread's own follows.
//!
//! Calls are recorded when they return. One that shows itself by a fault or system call from inside before another thread ends was begun while that
//! thread was alive, which matters to who gets whose arena: the end is told after the call.

use crate::event::{Event, Tid, What};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// May still be inside `free`.
    freeing: bool,
    /// Inside another call of the malloc family.
    calling: bool,
    /// Frees of unknown blocks since its last call that was lifted.
    unknown_frees: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    last: BTreeMap<Tid, Last>,
    /// Threads that have ended, each with those whose calls began before and have not returned.
    ended: VecDeque<(Tid, Vec<Tid>)>,
}

impl Threads {
    /// Takes note of an event; answers whether its thread may have been inside `free` when it happened.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        // Told of the process: its first thread did nothing.
        if event.what.is_of_process() {
            return false;
        }
        if event.in_heap {
            self.last.entry(event.tid).or_default().calling = true;
        } else {
            self.returned(event.tid);
        }
        let steps = !matches!(event.what, What::Fault { .. });
        let free = matches!(event.what, What::Free { .. });
        if free {
            return std::mem::replace(&mut self.last.entry(event.tid).or_default().freeing, true);
        }
        let Some(last) = self.last.get_mut(&event.tid) else { return false };
        let was = last.freeing;
        last.freeing &= !steps;
        was
    }

    /// What threads do is not seen from now on.
    pub(super) fn lose_sight(&mut self) {
        self.last.clear();
        self.ended.iter_mut().for_each(|(_, calling)| calling.clear());
    }

    /// The thread asked for a block or freed one: it is not ending.
    pub(super) fn goes_on(&mut self, tid: Tid) {
        if let Some(last) = self.last.get_mut(&tid) {
            last.unknown_frees = 0;
        }
    }

    /// The thread freed a block that is not live.
    pub(super) fn freed_unknown(&mut self, tid: Tid) {
        self.last.entry(tid).or_default().unknown_frees += 1;
    }

    /// The thread ended: how many frees of unknown blocks were its last calls.
    pub(super) fn ended(&mut self, tid: Tid) -> u64 {
        let unknown_frees = self.last.remove(&tid).map_or(0, |last| last.unknown_frees);
        let calling = self.last.iter().filter(|(_, last)| last.calling).map(|(&other, _)| other);
        self.ended.push_back((tid, calling.collect()));
        unknown_frees
    }

    /// A thread that has ended, as seen by all calls that were made until now: those that had begun before were made with it alive.
    pub(super) fn gone(&mut self) -> Option<Tid> {
        self.ended.pop_front_if(|(_, calling)| calling.is_empty()).map(|(tid, _)| tid)
    }

    fn returned(&mut self, tid: Tid) {
        let calling = self.last.get_mut(&tid).map(|last| std::mem::take(&mut last.calling));
        if calling == Some(true) {
            self.ended.iter_mut().for_each(|(_, others)| others.retain(|&other| other != tid));
        }
    }
}
