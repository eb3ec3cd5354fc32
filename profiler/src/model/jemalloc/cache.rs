//! Free extents of one state: by size and age for those who need one, by arrival for those who purge.

use super::classes::{PAGE_CLASSES, bin_of, first_bin_for, pages_of};
use super::store::{Id, State, Store};
use crate::units::PAGE;

const WORDS: usize = PAGE_CLASSES.div_ceil(64);

/// The free extents of an arena that are in one state.
pub(super) struct Cache {
    pub(super) state: State,
    /// For each bin the oldest and lowest extent, which is the root of its heap.
    roots: [Id; PAGE_CLASSES],
    /// Which bins are not empty.
    filled: [u64; WORDS],
    /// The extent that came first.
    pub(super) oldest: Id,
    newest: Id,
    pub(super) pages: u64,
}

impl Cache {
    pub(super) fn new(state: State) -> Cache {
        Cache { state, roots: [0; PAGE_CLASSES], filled: [0; WORDS], oldest: 0, newest: 0, pages: 0 }
    }

    pub(super) fn insert(&mut self, store: &mut Store, id: Id) {
        let bin = bin_of(store[id].pages);
        self.roots[bin] = store.heap_add(self.roots[bin], id);
        self.filled[bin / 64] |= 1 << (bin % 64);
        let newest = std::mem::replace(&mut self.newest, id);
        let extent = &mut store[id];
        (extent.state, extent.older, extent.newer) = (self.state, newest, 0);
        self.pages += extent.pages;
        match newest {
            0 => self.oldest = id,
            _ => store[newest].newer = id,
        }
    }

    /// Takes an extent out; it is active then.
    pub(super) fn remove(&mut self, store: &mut Store, id: Id) {
        let bin = bin_of(store[id].pages);
        self.roots[bin] = store.heap_remove(self.roots[bin], id);
        if self.roots[bin] == 0 {
            self.filled[bin / 64] &= !(1 << (bin % 64));
        }
        let extent = &mut store[id];
        extent.state = State::Active;
        self.pages -= extent.pages;
        let (older, newer) = (extent.older, extent.newer);
        match older {
            0 => self.oldest = newer,
            _ => store[older].newer = newer,
        }
        match newer {
            0 => self.newest = older,
            _ => store[newer].older = older,
        }
    }

    /// The extent to take `pages` from: of all that are sure to hold them when aligned to `align` pages, the oldest and lowest. Extents
    /// more than 2^`max_fit` times longer are left alone.
    pub(super) fn fit(&self, store: &Store, pages: u64, align: u64, max_fit: u32) -> Option<Id> {
        let wide = pages.checked_add(align - 1)?;
        let mut best = 0;
        for bin in self.filled_from(first_bin_for(wide)) {
            if (pages_of(bin) * PAGE) >> max_fit > wide * PAGE {
                break;
            }
            if best == 0 || store.is_before(self.roots[bin], best) {
                best = self.roots[bin];
            }
        }
        if best == 0 && align > 1 {
            return self.fit_by_luck(store, pages, align, wide);
        }
        (best != 0).then_some(best)
    }

    /// A shorter one that happens to lie well. Only the first of each bin is looked at.
    fn fit_by_luck(&self, store: &Store, pages: u64, align: u64, wide: u64) -> Option<Id> {
        let until = first_bin_for(wide);
        let bins = self.filled_from(first_bin_for(pages)).take_while(|&bin| bin < until);
        bins.map(|bin| self.roots[bin]).find(|&id| {
            let extent = &store[id];
            let lead = extent.first_page().next_multiple_of(align) - extent.first_page();
            extent.pages >= lead + pages
        })
    }

    fn filled_from(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        let mut word = first / 64;
        let mut bits = self.filled.get(word).map_or(0, |bits| bits & (u64::MAX << (first % 64)));
        std::iter::from_fn(move || {
            while bits == 0 {
                word += 1;
                bits = *self.filled.get(word)?;
            }
            let bin = 64 * word + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            Some(bin)
        })
    }
}
