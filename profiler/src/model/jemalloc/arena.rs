//! An arena: its free extents, its slabs, its metadata.

use super::base::Base;
use super::cache::Cache;
use super::classes::SMALL;
use super::decay::Decay;
use super::settings::{OVERSIZE, Params};
use super::store::{Id, State};
use crate::event::Access;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// The next mapping of a new arena is one of 2 MiB.
const FIRST_GROWTH: usize = 31;
/// Pages of the first block of metadata that a new arena has written to: its own structures. Seen in `/proc/self/pagemap`.
const WRITTEN: [(u64, u64); 3] = [(0, 2), (3, 19), (20, 23)];
/// Where the first descriptor goes, in the first arena and in others: seen by counting the extents until the next page was written.
const FIRST_DESCRIPTOR: [u64; 2] = [0x16880, 0x16480];

/// The slabs of one class.
#[derive(Clone, Copy, Default)]
pub(super) struct Bin {
    /// The slab that is being used.
    pub(super) current: Id,
    /// The oldest and lowest of the others with free blocks: the root of their heap.
    pub(super) others: Id,
}

/// An arena.
pub(super) struct Arena {
    pub(super) base: Base,
    /// Descriptors of extents that are no more.
    pub(super) descriptors: u64,
    pub(super) dirty: Cache,
    pub(super) muzzy: Cache,
    retained: Cache,
    pub(super) next_serial: u64,
    /// Page class of the next mapping.
    pub(super) next_growth: usize,
    /// Free extents of that many bytes go back at once.
    pub(super) oversize: u64,
    pub(super) decay_dirty: Decay,
    pub(super) decay_muzzy: Decay,
    pub(super) bins: [Bin; SMALL],
    /// Threads that have it.
    pub(super) threads: u32,
    /// The library's own number for it.
    pub(super) number: usize,
    /// It is the one for the largest blocks.
    pub(super) is_huge: bool,
    /// Bytes of its extents.
    pub(super) mapped: u64,
    /// Bytes of its slabs, and what of them is in use or cached.
    pub(super) slab_bytes: u64,
    pub(super) region_bytes: u64,
    /// Bytes of large blocks beside their size.
    pub(super) pad_bytes: u64,
}

impl Arena {
    /// The first arena, another one, or the one for the largest blocks.
    pub(super) fn new(os: &mut dyn Os, params: &Params, number: usize, is_huge: bool) -> Arena {
        let is_first = number == 0;
        let mut base = Base::new(os, params, is_first);
        if let Some(start) = base.start() {
            for (from, to) in WRITTEN {
                os.touch(Addr(start + from * PAGE), Bytes((to - from) * PAGE), Access::Write);
            }
        }
        base.skip_to(FIRST_DESCRIPTOR[usize::from(!is_first)]);
        // Where free memory decays, that for the largest blocks goes at once.
        let decay = |millis: i64, seed| {
            let millis = if is_huge { millis.min(0) } else { millis };
            Decay::new(millis, os.now(), seed)
        };
        let seed = 2 * number as u64;
        Arena {
            base,
            descriptors: 0,
            dirty: Cache::new(State::Dirty),
            muzzy: Cache::new(State::Muzzy),
            retained: Cache::new(State::Retained),
            next_serial: 0,
            next_growth: FIRST_GROWTH,
            oversize: if is_first { OVERSIZE } else { params.oversize_or_never() },
            decay_dirty: decay(params.dirty_millis, seed),
            decay_muzzy: decay(params.muzzy_millis, seed + 1),
            bins: [Bin::default(); SMALL],
            threads: 0,
            number,
            is_huge,
            mapped: 0,
            slab_bytes: 0,
            region_bytes: 0,
            pad_bytes: 0,
        }
    }

    /// The free extents of a state.
    pub(super) fn cache(&mut self, state: State) -> &mut Cache {
        match state {
            State::Dirty => &mut self.dirty,
            State::Muzzy => &mut self.muzzy,
            State::Active | State::Retained => &mut self.retained,
        }
    }

    /// The decay of a state's pages.
    pub(super) fn decay_of(&mut self, state: State) -> &mut Decay {
        match state {
            State::Muzzy => &mut self.decay_muzzy,
            _ => &mut self.decay_dirty,
        }
    }

    /// Free bytes by state.
    pub(super) fn free_bytes(&self) -> [u64; 3] {
        [&self.dirty, &self.muzzy, &self.retained].map(|cache| cache.pages * PAGE)
    }
}
