//! The threads' caches, and how they share what they may keep. (Fact sheet, section 2.)

use super::cache::Cache;
use super::classes::Classes;
use super::metadata::Pool;
use super::page_heap::PageHeap;
use crate::event::Tid;
use crate::vm::os::Os;
use std::collections::BTreeMap;

/// What a cache gets more at a time.
const STEP: i64 = 64 << 10;
/// What a thread may always keep where nothing is left to share, and what nobody takes away.
const LEAST: i64 = 512 << 10;
/// Threads that are asked to give a share away.
const ASKED: usize = 10;
/// Bytes of a cache, and where in it the parts are that come after its 128 lists.
const STRUCT: u64 = 4160;
const BEHIND_LISTS: u64 = 4096;
/// Bytes of a list.
const LIST: u64 = 32;

pub(super) struct Threads {
    caches: Vec<Option<Cache>>,
    by_tid: BTreeMap<Tid, u32>,
    latest: Option<(Tid, u32)>,
    /// From the oldest to the newest.
    order: Vec<u32>,
    /// Whose share is taken next, by its place in `order`.
    victim: Option<usize>,
    /// What no thread has; below 0 where more was given than there is.
    unclaimed: i64,
    structs: Pool,
}

impl Threads {
    pub(super) fn new(os: &mut dyn Os, heap: &mut PageHeap, total: i64) -> Option<Threads> {
        let structs = Pool::new(os, &mut heap.system, &mut heap.metadata, STRUCT)?;
        let (caches, order) = (Vec::new(), Vec::new());
        Some(Threads { caches, by_tid: BTreeMap::new(), latest: None, order, victim: None, unclaimed: total, structs })
    }

    /// The cache of a thread, if it has one.
    pub(super) fn find(&mut self, tid: Tid) -> Option<u32> {
        match self.latest {
            Some((latest, cache)) if latest == tid => Some(cache),
            _ => {
                let cache = *self.by_tid.get(&tid)?;
                self.latest = Some((tid, cache));
                Some(cache)
            }
        }
    }

    /// The cache of a thread, to look at.
    pub(super) fn look(&self, tid: Tid) -> Option<&Cache> {
        self.caches[*self.by_tid.get(&tid)? as usize].as_ref()
    }

    /// Every cached object, by its class.
    pub(super) fn each_cached(&self, visit: &mut impl FnMut(usize, u64)) {
        self.caches.iter().flatten().for_each(|cache| cache.each(visit));
    }

    /// The cache of a thread, made where it has none.
    pub(super) fn ensure(&mut self, os: &mut dyn Os, heap: &mut PageHeap, classes: &Classes, tid: Tid) -> Option<u32> {
        if let Some(cache) = self.find(tid) {
            return Some(cache);
        }
        let cache = self.make(os, heap, classes)?;
        self.by_tid.insert(tid, cache);
        self.latest = Some((tid, cache));
        Some(cache)
    }

    /// A cache that no thread has yet.
    pub(super) fn make(&mut self, os: &mut dyn Os, heap: &mut PageHeap, classes: &Classes) -> Option<u32> {
        let number = self.structs.take(os, &mut heap.system, &mut heap.metadata)?;
        self.structs.write(os, number, 0, classes.count() as u64 * LIST);
        self.structs.write(os, number, BEHIND_LISTS, STRUCT - BEHIND_LISTS);
        let limit = match self.share(None) {
            0 => {
                self.unclaimed -= LEAST;
                LEAST
            }
            share => share,
        };
        if number as usize >= self.caches.len() {
            self.caches.resize_with(number as usize + 1, || None);
        }
        self.caches[number as usize] = Some(Cache::new(classes, limit));
        self.order.push(number);
        self.victim = self.victim.or((self.order.len() == 1).then_some(0));
        Some(number)
    }

    /// # Panics
    /// When there is no such cache.
    pub(super) fn get_mut(&mut self, cache: u32) -> &mut Cache {
        self.caches[cache as usize].as_mut().expect("numbers of caches come from find and ensure")
    }

    /// Lets a cache grow, if there is something to share.
    pub(super) fn widen(&mut self, cache: u32) {
        let share = self.share(Some(cache));
        self.get_mut(cache).limit += share;
    }

    /// A share out of what nobody has, or else from another thread; 0 where neither gives.
    fn share(&mut self, own: Option<u32>) -> i64 {
        if self.unclaimed > 0 {
            self.unclaimed -= STEP;
            return STEP;
        }
        for _ in 0..ASKED {
            let Some(place) = self.victim.or(self.order.len().checked_sub(1)) else { break };
            self.victim = place.checked_sub(1);
            let asked = self.order[place];
            if Some(asked) != own && self.get_mut(asked).limit > LEAST {
                self.get_mut(asked).limit -= STEP;
                return STEP;
            }
        }
        0
    }

    /// A thread's cache for the last time; what it may keep goes back.
    pub(super) fn end(&mut self, os: &mut dyn Os, tid: Tid) -> Option<Cache> {
        let number = self.by_tid.remove(&tid)?;
        self.latest = None;
        let cache = self.caches[number as usize].take()?;
        if let Some(place) = self.order.iter().position(|&other| other == number) {
            self.order.remove(place);
            self.victim = match self.victim {
                Some(victim) if victim == place => place.checked_sub(1),
                Some(victim) if victim > place => Some(victim - 1),
                other => other,
            };
            self.victim = self.victim.or(self.order.len().checked_sub(1));
        }
        self.unclaimed += cache.limit;
        self.structs.give(os, number);
        Some(cache)
    }

    /// Bytes in all caches.
    pub(super) fn bytes(&self) -> u64 {
        self.caches.iter().flatten().map(|cache| cache.size).sum()
    }
}
