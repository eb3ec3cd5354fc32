//! Event streams written by hand, for tests.

use crate::event::origin::SiteId;
use crate::event::{Access, Advice, Backing, Call, Event, MAP_ANONYMOUS, PROT_READ, PROT_WRITE, ProcessId, Tid, What};
use crate::units::{Addr, Bytes, Nanos, PAGE, Pages};

/// Where tests put the break.
pub(crate) const HEAP: u64 = 0x5555_0000_0000;
/// Where tests map.
pub(crate) const MAPS: u64 = 0x7f00_0000_0000;
/// A private anonymous mapping.
pub(crate) const PRIVATE: u32 = 2 | MAP_ANONYMOUS;

/// Builds events one microsecond apart.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) events: Vec<Event>,
    time: u64,
    process: ProcessId,
    tid: Tid,
    in_heap: bool,
    site: SiteId,
}

impl Script {
    /// Of process 0, thread 1, with a break area of 16 pages that the allocator made.
    pub(crate) fn with_heap() -> Script {
        let mut script = Script { tid: 1, ..Script::default() };
        script.push(What::Start);
        script.brk(0, HEAP);
        script.in_heap(|script| script.brk(HEAP + 16 * PAGE, HEAP + 16 * PAGE));
        script
    }

    pub(crate) fn push(&mut self, what: What) -> &mut Self {
        self.time += 1000;
        self.events.push(Event { time: Nanos(self.time), process: self.process, tid: self.tid, in_heap: self.in_heap, what });
        self
    }

    pub(crate) fn wait(&mut self, nanos: u64) -> &mut Self {
        self.time += nanos;
        self
    }

    pub(crate) fn now(&self) -> Nanos {
        Nanos(self.time)
    }

    pub(crate) fn process(&mut self, process: ProcessId) -> &mut Self {
        self.process = process;
        self
    }

    pub(crate) fn tid(&mut self, tid: Tid) -> &mut Self {
        self.tid = tid;
        self
    }

    pub(crate) fn site(&mut self, site: SiteId) -> &mut Self {
        self.site = site;
        self
    }

    pub(crate) fn in_heap(&mut self, inside: impl FnOnce(&mut Script) -> &mut Script) -> &mut Self {
        self.in_heap = true;
        inside(self);
        self.in_heap = false;
        self
    }

    pub(crate) fn alloc(&mut self, call: Call, ptr: u64, size: u64, old: u64) -> &mut Self {
        self.push(What::Alloc { call, ptr: Addr(ptr), size: Bytes(size), old: Addr(old), align: 0, site: self.site })
    }

    pub(crate) fn malloc(&mut self, ptr: u64, size: u64) -> &mut Self {
        self.alloc(Call::Malloc, ptr, size, 0)
    }

    pub(crate) fn realloc(&mut self, old: u64, ptr: u64, size: u64) -> &mut Self {
        self.alloc(Call::Realloc, ptr, size, old)
    }

    pub(crate) fn free(&mut self, ptr: u64) -> &mut Self {
        self.push(What::Free { ptr: Addr(ptr) })
    }

    pub(crate) fn brk(&mut self, asked: u64, got: u64) -> &mut Self {
        self.push(What::Brk { asked: Addr(asked), got: Addr(got) })
    }

    pub(crate) fn mmap(&mut self, at: u64, pages: u64, flags: u32) -> &mut Self {
        let (hint, len, prot) = (Addr(0), Bytes(pages * PAGE), PROT_READ | PROT_WRITE);
        self.push(What::Mmap { hint, len, prot, flags, file: flags & MAP_ANONYMOUS == 0, result: Ok(Addr(at)) })
    }

    pub(crate) fn munmap(&mut self, at: u64, pages: u64) -> &mut Self {
        let entered = self.now();
        self.munmap_entered(at, pages, entered)
    }

    pub(crate) fn munmap_entered(&mut self, at: u64, pages: u64, entered: Nanos) -> &mut Self {
        self.push(What::Munmap { addr: Addr(at), len: Bytes(pages * PAGE), entered, errno: 0 })
    }

    pub(crate) fn mremap(&mut self, from: u64, pages: u64, to: u64, new_pages: u64) -> &mut Self {
        let (len, new_len) = (Bytes(pages * PAGE), Bytes(new_pages * PAGE));
        self.push(What::Mremap { addr: Addr(from), len, new_len, flags: 1, result: Ok(Addr(to)) })
    }

    pub(crate) fn madvise(&mut self, at: u64, pages: u64, advice: Advice) -> &mut Self {
        self.push(What::Madvise { addr: Addr(at), len: Bytes(pages * PAGE), advice, errno: 0 })
    }

    pub(crate) fn fault(&mut self, addr: u64, access: Access) -> &mut Self {
        self.push(What::Fault { addr: Addr(addr), access, protection: false, by_kernel: false })
    }

    /// Writes to the first byte of each page.
    pub(crate) fn write_pages(&mut self, at: u64, pages: u64) -> &mut Self {
        (0..pages).for_each(|page| _ = self.fault(at + page * PAGE, Access::Write));
        self
    }

    pub(crate) fn rss(&mut self, anon: u64, file: u64, shmem: u64) -> &mut Self {
        self.push(What::Rss { anon: Pages(anon), file: Pages(file), shmem: Pages(shmem) })
    }

    pub(crate) fn mapped(&mut self, at: u64, pages: u64, backing: Backing) -> &mut Self {
        self.push(What::Mapped { addr: Addr(at), len: Bytes(pages * PAGE), prot: PROT_READ | PROT_WRITE, backing })
    }

    pub(crate) fn resident(&mut self, at: u64, pages: u64) -> &mut Self {
        self.push(What::Resident { addr: Addr(at), pages: Pages(pages) })
    }
}
