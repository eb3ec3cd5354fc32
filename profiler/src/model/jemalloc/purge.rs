//! Extents that are no longer used: merged with their neighbours, kept, and given back.

use super::Jemalloc;
use super::store::{Id, State};
use crate::event::Advice;
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;

/// Free extents from so many pages on are merged at once.
const MERGED_AT_ONCE: u64 = 4;

/// What is purged when time has passed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Eagerness {
    /// The program's threads: when an epoch has passed.
    OnEpoch,
    /// The program's threads where others do the work: nothing.
    Never,
    /// Threads in the background.
    Always,
}

impl Jemalloc {
    /// An extent is no longer used: it is dirty now, or goes back at once if it is large.
    pub(super) fn release(&mut self, os: &mut dyn Os, a: usize, mut id: Id) {
        self.store[id].zeroed = false;
        if self.store[id].pages >= MERGED_AT_ONCE {
            let mut merged = true;
            while merged {
                (id, merged) = self.coalesce_once(os, a, id);
            }
            let arena = &self.arenas[a];
            let decays = arena.decay_dirty.millis != -1 && arena.decay_muzzy.millis != -1;
            if self.store[id].bytes() >= arena.oversize && decays {
                self.give_back(os, a, id);
                return self.purge_if_at_once(os, a);
            }
        }
        self.arenas[a].dirty.insert(&mut self.store, id);
        self.purge_if_at_once(os, a);
    }

    /// With a decay time of 0, nothing stays dirty.
    fn purge_if_at_once(&mut self, os: &mut dyn Os, a: usize) {
        if self.arenas[a].decay_dirty.millis == 0 {
            self.purge_to(os, a, State::Dirty, 0, u64::MAX, true);
        }
        self.notice_work(os, a);
    }

    /// Merges a dirty extent with one neighbour: the one behind it, else the one before it.
    fn coalesce_once(&mut self, os: &mut dyn Os, a: usize, id: Id) -> (Id, bool) {
        for forward in [true, false] {
            if let Some(other) = self.neighbour(os, id, State::Dirty, forward) {
                return (self.join(os, a, id, other, forward), true);
            }
        }
        (id, false)
    }

    fn join(&mut self, os: &mut dyn Os, a: usize, id: Id, other: Id, forward: bool) -> Id {
        let state = self.store[other].state;
        self.arenas[a].cache(state).remove(&mut self.store, other);
        let (low, high) = if forward { (id, other) } else { (other, id) };
        self.merge(os, a, low, high);
        low
    }

    /// Keeps an extent as muzzy or retained, merged with all of the same state that it touches.
    pub(super) fn keep(&mut self, os: &mut dyn Os, a: usize, mut id: Id, state: State) {
        let mut again = true;
        while again {
            again = false;
            for forward in [true, false] {
                if let Some(other) = self.neighbour(os, id, state, forward) {
                    id = self.join(os, a, id, other, forward);
                    again = true;
                }
            }
        }
        self.arenas[a].cache(state).insert(&mut self.store, id);
    }

    /// Its pages go back to the kernel, and without `retain` its addresses too.
    fn give_back(&mut self, os: &mut dyn Os, a: usize, id: Id) {
        let extent = &mut self.store[id];
        let (addr, len) = (Addr(extent.addr), Bytes(extent.bytes()));
        if self.params.retain {
            os.madvise(addr, len, Advice::DontNeed);
            extent.zeroed = true;
            return self.keep(os, a, id, State::Retained);
        }
        os.munmap(addr, len);
        self.map.forget(extent.first_page(), extent.pages);
        self.arenas[a].mapped -= len.0;
        self.drop_descriptor(a, id);
    }

    /// A look at the clock on behalf of an arena.
    pub(super) fn decay(&mut self, os: &mut dyn Os, a: usize, eagerness: Eagerness) {
        self.decay_state(os, a, State::Dirty, eagerness);
        let arena = &self.arenas[a];
        if arena.muzzy.pages > 0 || arena.decay_muzzy.millis > 0 {
            self.decay_state(os, a, State::Muzzy, eagerness);
        }
    }

    fn decay_state(&mut self, os: &mut dyn Os, a: usize, state: State, eagerness: Eagerness) {
        let now = os.now();
        let pages = self.arenas[a].cache(state).pages;
        let decay = self.arenas[a].decay_of(state);
        if !decay.is_gradual() {
            if decay.millis == 0 {
                self.purge_to(os, a, state, 0, u64::MAX, false);
            }
            return;
        }
        let passed = decay.advance(now, pages);
        let (limit, newest) = (decay.limit, decay.newest());
        if (eagerness == Eagerness::Always || passed && eagerness == Eagerness::OnEpoch) && pages > limit {
            self.purge_to(os, a, state, limit, pages - limit, false);
        }
        if passed && eagerness == Eagerness::Never {
            self.wake_early(os, a, state, newest);
        }
    }

    /// Everything that is free goes back.
    pub(super) fn purge_all(&mut self, os: &mut dyn Os, a: usize) {
        for state in [State::Dirty, State::Muzzy] {
            self.purge_to(os, a, state, 0, u64::MAX, true);
        }
    }

    /// Purges from the oldest on while more than `limit` pages are left, at most about `most`. `fully`: without the state between.
    fn purge_to(&mut self, os: &mut dyn Os, a: usize, state: State, limit: u64, most: u64, fully: bool) {
        let mut stash = std::mem::take(&mut self.stash);
        let mut stashed = 0;
        while stashed < most
            && let Some(id) = self.evict(os, a, state, limit)
        {
            stashed += self.store[id].pages;
            stash.push(id);
        }
        let offer = state == State::Dirty && !fully && self.arenas[a].decay_muzzy.millis != 0;
        for id in stash.drain(..) {
            if offer {
                let extent = &mut self.store[id];
                os.madvise(Addr(extent.addr), Bytes(extent.bytes()), Advice::Free);
                extent.zeroed = false;
                self.keep(os, a, id, State::Muzzy);
            } else {
                self.give_back(os, a, id);
            }
        }
        self.stash = stash;
    }

    /// The oldest free extent. Dirty ones that can be merged now count as new instead.
    fn evict(&mut self, os: &mut dyn Os, a: usize, state: State, limit: u64) -> Option<Id> {
        loop {
            let cache = self.arenas[a].cache(state);
            let id = cache.oldest;
            if id == 0 || cache.pages <= limit {
                return None;
            }
            cache.remove(&mut self.store, id);
            if state != State::Dirty {
                return Some(id);
            }
            let (id, merged) = self.coalesce_once(os, a, id);
            if !merged {
                return Some(id);
            }
            self.arenas[a].dirty.insert(&mut self.store, id);
        }
    }
}
