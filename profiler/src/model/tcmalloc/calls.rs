//! The calls of a program. (Fact sheet, section 5.)

use super::cache::{Cache, Shared};
use super::central::Central;
use super::classes::{Classes, LARGEST};
use super::metadata::write;
use super::page_heap::PageHeap;
use super::rules::Params;
use super::spans::PAGE_SHIFT;
use super::threads::Threads;
use crate::event::{Access, Tid};
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;

/// A process's allocator, once it has started.
pub(super) struct Heap {
    pub(super) classes: Classes,
    pub(super) pages: PageHeap,
    pub(super) central: Central,
    pub(super) threads: Threads,
}

pub(super) fn pages_of(size: u64) -> u64 {
    size.div_ceil(1 << PAGE_SHIFT)
}

impl Heap {
    pub(super) fn new(os: &mut dyn Os, params: &Params) -> Option<Heap> {
        let classes = Classes::new(params.transfer);
        let central = Central::new(&classes);
        let mut pages = PageHeap::new(os, params.aggressive)?;
        let threads = Threads::new(os, &mut pages, params.cached)?;
        Some(Heap { classes, pages, central, threads })
    }

    /// Makes the thread's cache if it has none.
    pub(super) fn malloc(&mut self, os: &mut dyn Os, tid: Tid, size: u64) -> Option<u64> {
        let cache = self.threads.ensure(os, &mut self.pages, &self.classes, tid)?;
        self.malloc_in(os, cache, size)
    }

    pub(super) fn malloc_in(&mut self, os: &mut dyn Os, cache: u32, size: u64) -> Option<u64> {
        let Some(class) = self.classes.of(size) else {
            let id = self.pages.allocate(os, pages_of(size))?;
            return Some(self.pages.spans.get(id).start << PAGE_SHIFT);
        };
        let size = self.classes.get(class).size;
        let (cache, mut shared) = self.with(cache);
        cache.allocate(os, &mut shared, class, size)
    }

    /// A whole object is cleared, however fresh.
    pub(super) fn calloc(&mut self, os: &mut dyn Os, tid: Tid, size: u64) -> Option<u64> {
        let at = self.malloc(os, tid, size)?;
        write(os, at, self.usable(at));
        Some(at)
    }

    /// Up to a page of alignment there is a class or a span that has it anyway.
    pub(super) fn memalign(&mut self, os: &mut dyn Os, tid: Tid, size: u64, align: u64) -> Option<u64> {
        if align > 1 << PAGE_SHIFT {
            return self.memalign_pages(os, size.max(1), align);
        }
        let rounded = size.max(1).checked_next_multiple_of(align).unwrap_or(size);
        self.malloc(os, tid, rounded)
    }

    /// Enough pages to find an aligned run in; the others go back at once.
    fn memalign_pages(&mut self, os: &mut dyn Os, size: u64, align: u64) -> Option<u64> {
        let mut id = self.pages.allocate(os, pages_of(size.checked_add(align)?))?;
        let start = self.pages.spans.get(id).start;
        let skip = start.next_multiple_of(align >> PAGE_SHIFT) - start;
        if skip > 0 {
            let rest = self.pages.split(os, id, skip)?;
            self.pages.delete(os, id);
            id = rest;
        }
        if self.pages.spans.get(id).len > pages_of(size) {
            let rest = self.pages.split(os, id, pages_of(size))?;
            self.pages.delete(os, rest);
        }
        Some(self.pages.spans.get(id).start << PAGE_SHIFT)
    }

    /// An object goes to the cache of the thread that frees it. A thread that never allocated has none.
    pub(super) fn free(&mut self, os: &mut dyn Os, tid: Tid, at: u64) {
        let Some(id) = self.pages.spans.at(at >> PAGE_SHIFT) else { return };
        let class = usize::from(self.pages.spans.get(id).class);
        if class == 0 {
            return self.pages.delete(os, id);
        }
        let Some(number) = self.threads.find(tid) else {
            write(os, at, 8);
            return self.central.insert(os, &mut self.pages, class, &[at]);
        };
        let size = self.classes.get(class).size;
        let (cache, mut shared) = self.with(number);
        if cache.deallocate(os, &mut shared, class, size, at) {
            cache.scavenge(os, &mut shared);
            self.threads.widen(number);
        }
    }

    /// In place, unless it grows or shrinks to less than half; what grows a little gets a quarter more.
    pub(super) fn realloc(&mut self, os: &mut dyn Os, tid: Tid, old: u64, size: u64) -> Option<u64> {
        let usable = self.usable(old);
        if size <= usable && size >= usable / 2 {
            return Some(old);
        }
        let ample = usable + usable / 4;
        let mut new = None;
        if size > usable && size < ample {
            new = self.malloc(os, tid, ample);
        }
        let new = new.or_else(|| self.malloc(os, tid, size))?;
        let copied = Bytes(usable.min(size));
        os.touch(Addr(old), copied, Access::Read);
        os.touch(Addr(new), copied, Access::Write);
        self.free(os, tid, old);
        Some(new)
    }

    pub(super) fn thread_exit(&mut self, os: &mut dyn Os, tid: Tid) {
        if let Some(mut cache) = self.threads.end(os, tid) {
            cache.empty(os, &mut Shared { classes: &self.classes, central: &mut self.central, heap: &mut self.pages });
        }
    }

    /// What a live block holds.
    pub(super) fn usable(&self, at: u64) -> u64 {
        let Some(id) = self.pages.spans.at(at >> PAGE_SHIFT) else { return 0 };
        let span = self.pages.spans.get(id);
        match span.class {
            0 => span.len << PAGE_SHIFT,
            class => self.classes.get(class.into()).size,
        }
    }

    fn with(&mut self, cache: u32) -> (&mut Cache, Shared<'_>) {
        let shared = Shared { classes: &self.classes, central: &mut self.central, heap: &mut self.pages };
        (self.threads.get_mut(cache), shared)
    }

    /// What the next request of this size would be served from, in words.
    pub(super) fn describe(&self, tid: Tid, size: u64) -> String {
        let pages = |bytes: u64| bytes >> PAGE_SHIFT;
        let heap = format!("page heap: {} pages, {} returned", pages(self.pages.normal.bytes), pages(self.pages.returned.bytes));
        let Some(class) = self.classes.of(size) else {
            return format!("{} pages (more than {LARGEST} bytes); {heap}", pages_of(size));
        };
        let cached = self.threads.look(tid).map_or((0, 1), |cache| cache.state(class));
        let (batches, allowed, free) = self.central.state(class);
        let size = self.classes.get(class).size;
        format!("class {size}: {} of {} in the thread's cache; {batches} of {allowed} batches, {free} in spans; {heap}", cached.0, cached.1)
    }
}
