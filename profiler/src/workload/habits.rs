//! How much of a block programs use, learned from the blocks whose use could be seen: those that lay on fresh pages.
//!
//! Only pages count that a block has for itself. What is known of blocks of nearly one size (a quarter of a power of two) speaks for others of that
//! size; where too little of that is known, blocks of the same power of two do. Blocks of `calloc` are another kind. Most
//! programs fill from the beginning, so that a page tells most of pages as far from the beginning of their blocks: these are told apart by powers of two.

use super::live::Object;
use crate::event::Access;
use std::collections::HashMap;
use std::ops::Range;

/// Fewer pages than these say nothing.
const ENOUGH: u64 = 8;

/// Places in a block: its first page, the next two, the next four, and so on.
const PLACES: usize = 24;

/// How wide a class is, and which.
type Class = (u8, u32);

/// What was seen of blocks of a class, in pages by their place.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Of blocks that have had their time: a younger one was placed since.
    visible: [u64; PLACES],
    written: [u64; PLACES],
    /// Of the youngest block, which may still be filled.
    youngest: [u64; PLACES],
    /// First touched by a read, wherever.
    read: u64,
    /// Parts of pages that were due and not yet taken.
    due: [f64; PLACES],
}

/// What was seen so far, by class.
#[derive(Clone, Debug, Default)]
pub(super) struct Habits {
    classes: HashMap<Class, Use>,
}

/// The classes of a block, the narrowest first.
fn classes(object: Object) -> [Class; 2] {
    let octave = object.size.0.max(1).ilog2();
    let quarter = (object.size.0 >> octave.saturating_sub(2)) as u32 & 3;
    let zeroed = u32::from(object.zeroed);
    [(0, octave << 3 | quarter << 1 | zeroed), (1, octave << 1 | zeroed)]
}

/// Pages of a block, counted from its first, place by place.
pub(super) fn places(pages: Range<u64>) -> impl Iterator<Item = (usize, Range<u64>)> {
    (0..PLACES).filter_map(move |place| {
        let last = if place + 1 == PLACES { u64::MAX } else { (2 << place) - 1 };
        let part = pages.start.max((1 << place) - 1)..pages.end.min(last);
        (!part.is_empty()).then_some((place, part))
    })
}

impl Habits {
    /// A block was placed; touches of these pages of its own will be seen, as so many at each place.
    pub(super) fn placed(&mut self, object: Object, visible: [u64; PLACES]) {
        for class in classes(object) {
            let known = self.classes.entry(class).or_default();
            let elder = std::mem::replace(&mut known.youngest, visible);
            known.visible.iter_mut().zip(elder).for_each(|(sum, pages)| *sum += pages);
        }
    }

    /// Such a page was touched for the first time, or written for the first time.
    pub(super) fn touched(&mut self, object: Object, page: u64, access: Access) {
        let Some((place, _)) = places(page..page + 1).next() else { return };
        for class in classes(object) {
            let known = self.classes.entry(class).or_default();
            if access == Access::Write {
                known.written[place] += 1;
            } else {
                known.read += 1;
            }
        }
    }

    /// Such pages became resident by a touch elsewhere, as parts of a huge page: nobody will see them touched.
    pub(super) fn unseen(&mut self, object: Object, pages: Range<u64>) {
        for class in classes(object) {
            let known = self.classes.entry(class).or_default();
            for (place, part) in places(pages.clone()) {
                let count = part.end - part.start;
                let young = known.youngest[place].min(count);
                known.youngest[place] -= young;
                known.visible[place] = known.visible[place].saturating_sub(count - young);
            }
        }
    }

    /// How many of `pages` pages at one place of a block are touched, as seen of its like; `None` where too little was seen.
    pub(super) fn expect(&mut self, object: Object, place: usize, pages: u64) -> Option<u64> {
        let share = classes(object).iter().filter_map(|class| self.classes.get(class)).find_map(|known| known.share(place))?;
        let due = &mut self.classes.entry(classes(object)[0]).or_default().due[place];
        *due += share * pages as f64;
        let taken = (*due as u64).min(pages);
        *due -= taken as f64;
        Some(taken)
    }

    /// Whether blocks like this one are mostly read before they are written.
    pub(super) fn reads_first(&self, object: Object) -> bool {
        let known = self.classes.get(&classes(object)[0]);
        known.is_some_and(|known| 2 * known.read > known.written.iter().sum())
    }
}

impl Use {
    fn share(&self, place: usize) -> Option<f64> {
        let share = |written: u64, visible: u64| (visible >= ENOUGH).then(|| (written as f64 / visible as f64).min(1.0));
        share(self.written[place], self.visible[place]).or_else(|| share(self.written.iter().sum(), self.visible.iter().sum()))
    }
}

/// Counts by place.
pub(super) fn count(pages: Range<u64>, sums: &mut [u64; PLACES], sign: i64) {
    places(pages).for_each(|(place, part)| sums[place] = sums[place].saturating_add_signed(sign * (part.end - part.start) as i64));
}
