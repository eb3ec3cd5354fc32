//! What happens before `main`: the library is initialised by the first request there is. (Fact sheet, section 6.)

use super::calls::Heap;
use super::rules::Params;
use crate::event::Tid;
use crate::vm::os::Os;

/// libstdc++, which the library needs, sets memory aside for throwing when there is none: it makes the first request of a process.
pub(super) const POOL: u64 = 72704;

/// A heap that has started.
pub(super) struct Started {
    pub(super) heap: Heap,
    /// libstdc++'s memory.
    pub(super) pool: u64,
    /// Bytes that live blocks of the library itself hold.
    pub(super) own: u64,
}

pub(super) fn start(os: &mut dyn Os, tid: Tid, params: &Params) -> Option<Started> {
    let mut heap = Heap::new(os, params)?;
    // Before the library can find a thread's cache it makes one that is lost afterwards (observed: three pages of caches in a process with
    // one thread).
    let early = heap.threads.make(os, &mut heap.pages, &heap.classes)?;
    let pool = heap.malloc_in(os, early, POOL)?;
    heap.pages.settle(params.flags);
    let probe = heap.malloc_in(os, early, 1)?;
    heap.free(os, tid, probe);
    let probe = heap.malloc(os, tid, 1)?;
    heap.free(os, tid, probe);
    let own = [heap.malloc(os, tid, 16)?, heap.malloc(os, tid, 8)?];
    let own = own.map(|at| heap.usable(at)).iter().sum();
    Some(Started { heap, pool, own })
}
