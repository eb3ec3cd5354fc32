//! Threads of the allocator that purge in the background. Each looks after every so-manieth arena and sleeps until enough pages have to
//! go. The program's threads only let epochs pass, and wake one that sleeps too long.
//!
//! A thread that is woken does its work at once here; for real it takes some microseconds to get there.

use super::Jemalloc;
use super::purge::Eagerness;
use super::store::State;
use crate::units::Nanos;
use crate::vm::os::Os;

/// Pages that are worth a wake-up.
const WORTHWHILE: u64 = 1024;
const SHORTEST_SLEEP: u64 = 100_000_000;

/// A background thread.
#[derive(Clone, Default)]
pub(super) struct Watch {
    /// When it wakes up; `None`: when it is needed.
    wakes: Option<u64>,
    /// Of the pages that appeared since, those that have to go before that.
    early: u64,
}

impl Jemalloc {
    fn watch_of(&self, a: usize) -> Option<usize> {
        (!self.watches.is_empty()).then(|| self.arenas[a].number % self.watches.len())
    }

    /// Pages became free: a thread that sleeps without a plan makes one.
    pub(super) fn notice_work(&mut self, os: &mut dyn Os, a: usize) {
        if let Some(watch) = self.watch_of(a).filter(|&watch| self.watches[watch].wakes.is_none()) {
            self.plan(os, watch);
        }
    }

    /// An epoch passed in which `pages` appeared: a thread may have to wake up before its time.
    pub(super) fn wake_early(&mut self, os: &mut dyn Os, a: usize, state: State, pages: u64) {
        let Some(watch) = self.watch_of(a) else { return };
        let Some(wakes) = self.watches[watch].wakes else { return self.plan(os, watch) };
        let decay = self.arenas[a].decay_of(state);
        if wakes <= decay.epoch {
            return;
        }
        let remaining = wakes - decay.epoch;
        self.watches[watch].early += decay.leaving_of(pages, remaining);
        if self.watches[watch].early > WORTHWHILE {
            self.watches[watch].early = 0;
            if remaining >= SHORTEST_SLEEP {
                self.work(os, watch);
            }
        }
    }

    /// Purges what has to go, and sleeps again.
    fn work(&mut self, os: &mut dyn Os, watch: usize) {
        for a in self.watched(watch) {
            self.decay(os, a, Eagerness::Always);
        }
        self.plan(os, watch);
    }

    fn watched(&self, watch: usize) -> Vec<usize> {
        (0..self.arenas.len()).filter(|&a| self.watch_of(a) == Some(watch)).collect()
    }

    fn plan(&mut self, os: &dyn Os, watch: usize) {
        let waits = self.watched(watch).into_iter().flat_map(|a| {
            let arena = &self.arenas[a];
            [(&arena.decay_dirty, arena.dirty.pages), (&arena.decay_muzzy, arena.muzzy.pages)]
        });
        let wait = waits.filter_map(|(decay, pages)| decay.until_purge(pages, WORTHWHILE)).min();
        self.watches[watch].wakes = wait.map(|wait| os.now().0.saturating_add(wait.max(SHORTEST_SLEEP)));
    }

    /// When the next thread wakes up.
    pub(super) fn next_wake(&self) -> Option<Nanos> {
        self.watches.iter().filter_map(|watch| watch.wakes).min().map(Nanos)
    }

    /// The work of all threads whose time has come.
    pub(super) fn work_due(&mut self, os: &mut dyn Os) {
        for watch in 0..self.watches.len() {
            if self.watches[watch].wakes.is_some_and(|wakes| wakes <= os.now().0) {
                self.work(os, watch);
            }
        }
    }
}
