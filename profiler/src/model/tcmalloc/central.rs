//! What all threads share: batches of objects ready to move on, and the spans that objects come from. (Fact sheet, section 3;
//! `CentralFreeList` in the source.)

use super::classes::{Class, Classes};
use super::metadata::write;
use super::page_heap::PageHeap;
use super::spans::{List, PAGE_SHIFT};
use crate::vm::os::Os;

/// Most batches of a class, as far as 1 MiB has room for them.
const MOST_SLOTS: u64 = 64;
/// Batches that a class may keep at the start.
const FIRST_SLOTS: u64 = 16;
const MOST_BYTES: u64 = 1 << 20;

pub(super) struct Central {
    shelves: Vec<Shelf>,
    /// Whose slot is taken away next.
    cursor: usize,
}

/// One class. Lists of objects have their head at the end.
struct Shelf {
    class: Class,
    /// Batch after batch.
    batched: Vec<u64>,
    used: usize,
    allowed: usize,
    most: usize,
    /// Spans with free objects.
    open: List,
    spans: u64,
    /// Free objects in the spans.
    free: u64,
    /// Lists of spans that went.
    spare: Vec<Vec<u16>>,
}

impl Shelf {
    fn new(class: Class) -> Shelf {
        let most = match class.size {
            0 => MOST_SLOTS,
            size => MOST_SLOTS.min((MOST_BYTES / (size * class.batch as u64)).max(1)),
        };
        let allowed = FIRST_SLOTS.min(most) as usize;
        let (batched, spare) = (Vec::new(), Vec::new());
        Shelf { class, batched, used: 0, allowed, most: most as usize, open: List::default(), spans: 0, free: 0, spare }
    }

    /// A new span for the list. Every object is linked to the next.
    fn populate(&mut self, os: &mut dyn Os, heap: &mut PageHeap, class: usize) -> Option<()> {
        let id = heap.allocate(os, self.class.pages)?;
        heap.spans.register(id, class);
        let objects = self.class.objects();
        let span = heap.spans.get_mut(id);
        span.taken = 0;
        span.objects = self.spare.pop().unwrap_or_default();
        span.objects.clear();
        span.objects.extend((0..objects as u16).rev());
        let (start, size) = (span.start << PAGE_SHIFT, self.class.size);
        if size <= crate::units::PAGE {
            write(os, start, (objects - 1) * size + 8);
        } else {
            (0..objects).for_each(|object| write(os, start + object * size, 8));
        }
        heap.spans.prepend(&mut self.open, id);
        self.spans += 1;
        self.free += objects;
        Some(())
    }

    /// Up to `most` objects of the first open span.
    fn fetch(&mut self, os: &mut dyn Os, heap: &mut PageHeap, most: usize, out: &mut Vec<u64>) -> usize {
        let Some(id) = self.open.first() else { return 0 };
        let span = heap.spans.get_mut(id);
        let kept = span.objects.len().saturating_sub(most);
        let (start, size) = (span.start << PAGE_SHIFT, self.class.size);
        let tail = out.len();
        out.extend(span.objects.drain(kept..).map(|object| start + u64::from(object) * size));
        let count = out.len() - tail;
        span.taken += count as u32;
        self.free -= count as u64;
        if kept == 0 {
            heap.spans.remove(&mut self.open, id);
        }
        write(os, out[tail], 8);
        count
    }

    /// An object back to its span; a span without objects in use goes.
    fn release(&mut self, os: &mut dyn Os, heap: &mut PageHeap, object: u64) {
        let Some(id) = heap.spans.at(object >> PAGE_SHIFT) else { return };
        if heap.spans.get(id).objects.is_empty() {
            heap.spans.prepend(&mut self.open, id);
        }
        let span = heap.spans.get_mut(id);
        span.taken -= 1;
        if span.taken > 0 {
            write(os, object, 8);
            let offset = object - (span.start << PAGE_SHIFT);
            span.objects.push((offset as u32 / self.class.size as u32) as u16);
            self.free += 1;
            return;
        }
        self.spare.push(std::mem::take(&mut span.objects));
        self.free -= self.class.objects() - 1;
        self.spans -= 1;
        heap.spans.remove(&mut self.open, id);
        heap.delete(os, id);
    }

    /// Gives a slot away: an unused one, or with `force` the latest batch with its slot.
    fn shrink(&mut self, os: &mut dyn Os, heap: &mut PageHeap, force: bool) -> bool {
        if self.allowed == 0 || self.used == self.allowed && !force {
            return false;
        }
        self.allowed -= 1;
        if self.used > self.allowed {
            self.used -= 1;
            let mut batch = self.batched.split_off(self.used * self.class.batch);
            while let Some(object) = batch.pop() {
                self.release(os, heap, object);
            }
        }
        true
    }
}

impl Central {
    pub(super) fn new(classes: &Classes) -> Central {
        Central { shelves: (0..classes.count()).map(|class| Shelf::new(*classes.get(class))).collect(), cursor: 0 }
    }

    /// Takes a list of objects back.
    pub(super) fn insert(&mut self, os: &mut dyn Os, heap: &mut PageHeap, class: usize, objects: &[u64]) {
        if objects.len() == self.shelves[class].class.batch && self.make_room(os, heap, class) {
            self.shelves[class].batched.extend_from_slice(objects);
            self.shelves[class].used += 1;
            return;
        }
        for &object in objects.iter().rev() {
            self.shelves[class].release(os, heap, object);
        }
    }

    /// Adds `count` objects to `out`, or as many as there are; answers with their number.
    pub(super) fn remove(&mut self, os: &mut dyn Os, heap: &mut PageHeap, class: usize, count: usize, out: &mut Vec<u64>) -> usize {
        let shelf = &mut self.shelves[class];
        if count == shelf.class.batch && shelf.used > 0 {
            shelf.used -= 1;
            out.extend(shelf.batched.drain(shelf.used * count..));
            return count;
        }
        if shelf.open.first().is_none() && shelf.populate(os, heap, class).is_none() {
            return 0;
        }
        let mut moved = 0;
        while moved < count {
            match shelf.fetch(os, heap, count - moved, out) {
                0 => break,
                more => moved += more,
            }
        }
        moved
    }

    /// Room for one more batch, at the cost of another class if need be.
    fn make_room(&mut self, os: &mut dyn Os, heap: &mut PageHeap, class: usize) -> bool {
        let shelf = &self.shelves[class];
        if shelf.used < shelf.allowed {
            return true;
        }
        if shelf.allowed == shelf.most || !(self.take_slot(os, heap, class, false) || self.take_slot(os, heap, class, true)) {
            return false;
        }
        self.shelves[class].allowed += 1;
        true
    }

    fn take_slot(&mut self, os: &mut dyn Os, heap: &mut PageHeap, class: usize, force: bool) -> bool {
        let mut victim = self.cursor;
        self.cursor += 1;
        if victim >= self.shelves.len() {
            // The library forgets to step on here: class 0 has its turn twice.
            (victim, self.cursor) = (0, 0);
        }
        victim != class && self.shelves[victim].shrink(os, heap, force)
    }

    /// Every object in a batch, by its class.
    pub(super) fn each_batched(&self, visit: &mut impl FnMut(usize, u64)) {
        for (class, shelf) in self.shelves.iter().enumerate() {
            shelf.batched.iter().for_each(|&object| visit(class, object));
        }
    }

    /// Bytes in batches.
    pub(super) fn batched_bytes(&self) -> u64 {
        self.shelves.iter().map(|shelf| shelf.batched.len() as u64 * shelf.class.size).sum()
    }

    /// Free bytes in spans.
    pub(super) fn free_bytes(&self) -> u64 {
        self.shelves.iter().map(|shelf| shelf.free * shelf.class.size).sum()
    }

    /// Bytes of spans that belong to no object.
    pub(super) fn wasted_bytes(&self) -> u64 {
        self.shelves[1..].iter().map(|shelf| shelf.spans * shelf.class.waste()).sum()
    }

    /// Batches of a class, how many it may have, and its free objects in spans.
    pub(super) fn state(&self, class: usize) -> (usize, usize, u64) {
        let shelf = &self.shelves[class];
        (shelf.used, shelf.allowed, shelf.free)
    }
}
