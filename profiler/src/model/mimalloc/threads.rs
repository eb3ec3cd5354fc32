//! Threads: what one gets when it first needs memory, and what becomes of its pages when it ends.

use super::Mimalloc;
use super::commit::touch;
use super::heap::Heap;
use super::page::{Delayed, NOBODY};
use super::rules::{BINS, THREAD_DATA};
use crate::event::Tid;
use crate::vm::os::Os;
use std::collections::BTreeMap;

/// The thread that has its heap in the library's own data.
const MAIN: u32 = 0;
/// Mappings of threads that ended, kept for others.
const KEPT_DATA: usize = 8;

/// How often the end of a thread is counted: on its way out it sets the thread-specific value by which the C library calls it, and is
/// called once more; for the main thread as often as the C library allows. Seen in 2.0.9: later segments become eager or lazy by it.
const ENDS: u64 = 2;
const MAIN_ENDS: u64 = 4;

/// Who has which heap.
#[derive(Default)]
pub(super) struct Threads {
    known: BTreeMap<Tid, u32>,
    /// The thread of the latest call.
    latest: Option<(Tid, u32)>,
    /// Threads that have a heap as the library counts them, the main one included; it may pass through 0.
    pub(super) running: u64,
    idle_heaps: Vec<u32>,
    kept_data: [Option<u64>; KEPT_DATA],
}

impl Threads {
    /// The heap of a thread, [`NOBODY`] while it has none.
    pub(super) fn heap(&mut self, tid: Tid) -> u32 {
        if let Some((latest, heap)) = self.latest
            && latest == tid
        {
            return heap;
        }
        let heap = self.known.get(&tid).copied().unwrap_or(NOBODY);
        if heap != NOBODY {
            self.latest = Some((tid, heap));
        }
        heap
    }

    /// The same without a trace.
    pub(super) fn known(&self, tid: Tid) -> Option<u32> {
        self.known.get(&tid).copied()
    }

    /// What their mappings take, also those that are kept.
    pub(super) fn data_bytes(&self, heaps: &[Heap]) -> u64 {
        let kept = self.kept_data.iter().flatten().count();
        let used = self.known.values().filter(|&&heap| heaps[heap as usize].data.is_some()).count();
        (kept + used) as u64 * THREAD_DATA
    }
}

/// Why all pages of a thread are gone through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Collect {
    /// Memory ran out.
    Force,
    /// The thread ends.
    Abandon,
}

impl Mimalloc {
    /// The heap of a thread, made where it has none. The first thread ever is the main one.
    pub(super) fn own_heap(&mut self, os: &mut dyn Os, tid: Tid) -> Option<u32> {
        let heap = self.threads.heap(tid);
        if heap != NOBODY {
            return Some(heap);
        }
        if self.heaps.is_empty() {
            self.system.reserve(os, &self.params);
            self.heaps.push(Heap::new(None));
            return Some(self.start(tid, MAIN));
        }
        let kept = self.threads.kept_data.iter_mut().find_map(Option::take);
        let data = match kept {
            Some(data) => data,
            None => self.system.map(os, THREAD_DATA)?,
        };
        touch(os, data, THREAD_DATA);
        let heap = match self.threads.idle_heaps.pop() {
            Some(heap) => heap,
            None => {
                self.heaps.push(Heap::new(None));
                self.heaps.len() as u32 - 1
            }
        };
        self.heaps[heap as usize] = Heap::new(Some(data));
        Some(self.start(tid, heap))
    }

    fn start(&mut self, tid: Tid, heap: u32) -> u32 {
        self.threads.known.insert(tid, heap);
        self.threads.latest = Some((tid, heap));
        self.threads.running = self.threads.running.wrapping_add(1);
        heap
    }

    /// A thread ended.
    pub(super) fn end_thread(&mut self, os: &mut dyn Os, tid: Tid) {
        let heap = self.threads.heap(tid);
        if heap == NOBODY {
            return;
        }
        let times = if heap == MAIN { MAIN_ENDS } else { ENDS };
        self.threads.running = self.threads.running.wrapping_sub(times);
        if heap == MAIN {
            // Its heap stays, whatever may still use it.
            let kept: Vec<u64> = self.threads.kept_data.iter_mut().filter_map(Option::take).collect();
            return kept.into_iter().for_each(|data| self.system.unmap(os, data, THREAD_DATA));
        }
        self.collect(os, heap, Collect::Abandon);
        self.threads.known.remove(&tid);
        self.threads.latest = None;
        self.threads.idle_heaps.push(heap);
        let Some(data) = self.heaps[heap as usize].data.take() else { return };
        match self.threads.kept_data.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(data),
            None => self.system.unmap(os, data, THREAD_DATA),
        }
    }

    /// Goes through all pages of a thread: empty ones are freed, and when it ends the others lose their thread.
    pub(super) fn collect(&mut self, os: &mut dyn Os, heap: u32, why: Collect) {
        if why == Collect::Force && heap == MAIN {
            self.reclaim_all(os, heap);
        }
        if why == Collect::Abandon {
            self.each_page(heap, |mimalloc, at| mimalloc.pages[at as usize].delayed = Delayed::Never);
        }
        self.free_delayed(os, heap);
        self.sweep_retired(os, heap, true);
        self.each_page(heap, |mimalloc, at| {
            let page = &mut mimalloc.pages[at as usize];
            page.collect(true);
            if page.all_free() {
                mimalloc.free_page(os, at);
            } else if why == Collect::Abandon {
                mimalloc.abandon_page(os, at);
            }
        });
        self.collect_abandoned(os, heap, why == Collect::Force);
        match why {
            Collect::Force => self.empty_cache(os),
            Collect::Abandon => self.clear_all_expired(os),
        }
    }

    fn each_page(&mut self, heap: u32, mut visit: impl FnMut(&mut Mimalloc, u32)) {
        for queue in 0..BINS {
            let mut at = self.heaps[heap as usize].queues[queue].0;
            while at != NOBODY {
                let next = self.pages[at as usize].next;
                visit(self, at);
                at = next;
            }
        }
    }
}
