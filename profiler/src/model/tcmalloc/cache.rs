//! The cache of one thread. (Fact sheet, section 2; `ThreadCache` in the source.)

use super::central::Central;
use super::classes::Classes;
use super::metadata::write;
use super::page_heap::PageHeap;
use crate::vm::os::Os;

/// Longest list.
const LONGEST: usize = 8192;
/// How often a list may be too long before it gets shorter.
const MOST_OVERAGES: u32 = 3;

/// The shared parts that a cache works with.
pub(super) struct Shared<'a> {
    pub(super) classes: &'a Classes,
    pub(super) central: &'a mut Central,
    pub(super) heap: &'a mut PageHeap,
}

pub(super) struct Cache {
    lists: Vec<List>,
    /// Bytes of its objects.
    pub(super) size: u64,
    /// More than that makes it look for objects it does not need.
    pub(super) limit: i64,
}

/// Free objects of one class; the last one is the head.
#[derive(Clone)]
struct List {
    objects: Vec<u64>,
    /// The shortest it was since the last look.
    low: usize,
    most: usize,
    overages: u32,
}

impl Cache {
    pub(super) fn new(classes: &Classes, limit: i64) -> Cache {
        let list = List { objects: Vec::new(), low: 0, most: 1, overages: 0 };
        Cache { lists: vec![list; classes.count()], size: 0, limit }
    }

    pub(super) fn allocate(&mut self, os: &mut dyn Os, shared: &mut Shared<'_>, class: usize, size: u64) -> Option<u64> {
        let list = &mut self.lists[class];
        match list.objects.pop() {
            Some(object) => {
                list.low = list.low.min(list.objects.len());
                self.size -= size;
                Some(object)
            }
            None => self.fetch(os, shared, class),
        }
    }

    /// Takes an object back; answers whether the cache is larger than it may be.
    pub(super) fn deallocate(&mut self, os: &mut dyn Os, shared: &mut Shared<'_>, class: usize, size: u64, object: u64) -> bool {
        write(os, object, 8);
        let list = &mut self.lists[class];
        list.objects.push(object);
        self.size += size;
        if list.objects.len() > list.most {
            self.too_long(os, shared, class);
        }
        self.size as i64 > self.limit
    }

    /// Every object, by its class.
    pub(super) fn each(&self, visit: &mut impl FnMut(usize, u64)) {
        for (class, list) in self.lists.iter().enumerate() {
            list.objects.iter().for_each(|&object| visit(class, object));
        }
    }

    fn fetch(&mut self, os: &mut dyn Os, shared: &mut Shared<'_>, class: usize) -> Option<u64> {
        let list = &mut self.lists[class];
        let batch = shared.classes.get(class).batch;
        let count = shared.central.remove(os, shared.heap, class, list.most.min(batch), &mut list.objects);
        let object = list.objects.pop()?;
        self.size += shared.classes.get(class).size * (count as u64 - 1);
        list.most = match list.most {
            few if few < batch => few + 1,
            many => {
                let longer = (many + batch).min(LONGEST);
                longer - longer % batch
            }
        };
        Some(object)
    }

    fn too_long(&mut self, os: &mut dyn Os, shared: &mut Shared<'_>, class: usize) {
        let batch = shared.classes.get(class).batch;
        self.release(os, shared, class, batch);
        let list = &mut self.lists[class];
        if list.most < batch {
            list.most += 1;
        } else if list.most > batch {
            list.overages += 1;
            if list.overages > MOST_OVERAGES {
                list.most -= batch;
                list.overages = 0;
            }
        }
    }

    /// Gives up to `count` objects back, from the head.
    fn release(&mut self, os: &mut dyn Os, shared: &mut Shared<'_>, class: usize, count: usize) {
        let (size, batch) = (shared.classes.get(class).size, shared.classes.get(class).batch);
        let list = &mut self.lists[class];
        let mut left = count.min(list.objects.len());
        self.size -= left as u64 * size;
        while left > 0 {
            let kept = list.objects.len() - left.min(batch);
            left -= left.min(batch);
            write(os, list.objects[kept], 8);
            shared.central.insert(os, shared.heap, class, &list.objects[kept..]);
            list.objects.truncate(kept);
        }
        list.low = list.low.min(list.objects.len());
    }

    /// Gives back half of what was not needed since the last look.
    pub(super) fn scavenge(&mut self, os: &mut dyn Os, shared: &mut Shared<'_>) {
        for class in 0..self.lists.len() {
            let low = self.lists[class].low;
            if low > 0 {
                self.release(os, shared, class, (low / 2).max(1));
                let (list, batch) = (&mut self.lists[class], shared.classes.get(class).batch);
                if list.most > batch {
                    list.most = (list.most - batch).max(batch);
                }
            }
            let list = &mut self.lists[class];
            list.low = list.objects.len();
        }
    }

    /// Gives everything back.
    pub(super) fn empty(&mut self, os: &mut dyn Os, shared: &mut Shared<'_>) {
        (0..self.lists.len()).for_each(|class| self.release(os, shared, class, usize::MAX));
    }

    /// Objects of a class, and how many there may be.
    pub(super) fn state(&self, class: usize) -> (usize, usize) {
        (self.lists[class].objects.len(), self.lists[class].most)
    }
}
