//! Empty segments, kept for the next thread that needs one.

use super::Mimalloc;
use super::commit::{BOOTED, milliseconds, return_runs};
use super::mask::Mask;
use super::rules::SEGMENT;
use super::segment::Segment;
use crate::vm::os::Os;

/// Most segments that are kept.
const SLOTS: usize = 1024;
/// Places that are looked at, and at most cleared, when a segment is put in.
const PROBES: usize = 16;
const CLEARED: usize = 5;

/// A kept segment: what is committed of it is returned from this millisecond on; 0: never.
pub(super) struct Cached {
    segment: Segment,
    expire: i64,
}

/// The places, as far as they were ever used.
#[derive(Default)]
pub(super) struct Cache {
    slots: Vec<Option<Cached>>,
}

impl Cache {
    /// Bytes of the segments in it.
    pub(super) fn bytes(&self) -> u64 {
        self.slots.iter().flatten().count() as u64 * SEGMENT
    }

    /// Where each segment begins.
    pub(super) fn each_base(&self, mut visit: impl FnMut(u64)) {
        self.slots.iter().flatten().for_each(|cached| visit(cached.segment.base));
    }
}

impl Cached {
    fn clear(&mut self, os: &mut dyn Os) {
        self.expire = 0;
        return_runs(os, self.segment.base, self.segment.commit);
        self.segment.commit = Mask::EMPTY;
        self.segment.decommit = Mask::EMPTY;
    }
}

impl Mimalloc {
    /// The segment in the lowest place; one of huge pages first, where those are welcome.
    pub(super) fn pop_cached(&mut self, large: bool) -> Option<Segment> {
        let slots = &mut self.cache.slots;
        let place = |large: bool| slots.iter().position(|slot| slot.as_ref().is_some_and(|cached| cached.segment.memory.large == large));
        let at = if large { place(true).or_else(|| place(false)) } else { place(false) }?;
        slots[at].take().map(|cached| cached.segment)
    }

    /// Keeps a segment, or answers with it where there is no place left.
    pub(super) fn push_cached(&mut self, os: &mut dyn Os, segment: Segment) -> Option<Segment> {
        let now = milliseconds(os);
        let first = shuffle((now - BOOTED) as u64) as usize % SLOTS;
        self.clear_expired(os, (first..first + PROBES).map(|at| at % SLOTS), CLEARED);
        let at = self.cache.slots.iter().position(Option::is_none).unwrap_or(self.cache.slots.len());
        if at == SLOTS {
            return Some(segment);
        }
        if at == self.cache.slots.len() {
            self.cache.slots.push(None);
        }
        let mut cached = Cached { segment, expire: 0 };
        if cached.segment.commit != Mask::EMPTY && !cached.segment.memory.pinned && self.params.allow_decommit {
            match self.params.segment_decommit_delay {
                0 => cached.clear(os),
                delay => cached.expire = now + delay,
            }
        }
        self.cache.slots[at] = Some(cached);
        None
    }

    /// Returns the memory of every kept segment whose time has come.
    pub(super) fn clear_all_expired(&mut self, os: &mut dyn Os) {
        self.clear_expired(os, 0..SLOTS, SLOTS);
    }

    fn clear_expired(&mut self, os: &mut dyn Os, places: impl Iterator<Item = usize>, most: usize) {
        if !self.params.allow_decommit {
            return;
        }
        let now = milliseconds(os);
        let mut cleared = 0;
        for at in places {
            let Some(Some(cached)) = self.cache.slots.get_mut(at) else { continue };
            if cached.expire != 0 && now >= cached.expire {
                // Those of huge pages have no time.
                cached.clear(os);
                cleared += 1;
                if cleared == most {
                    return;
                }
            }
        }
    }

    /// Unmaps every kept segment.
    pub(super) fn empty_cache(&mut self, os: &mut dyn Os) {
        while let Some(segment) = self.pop_cached(true) {
            self.system.release(os, segment.memory);
        }
    }
}

/// Where a search begins at a time: splitmix64, as in `mimalloc-internal.h`.
fn shuffle(seed: u64) -> u64 {
    let mut mixed = if seed == 0 { 17 } else { seed };
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
