//! One process while it is followed: its events, one by one, to operations.

use super::books::{
    Books, FAILED, FREE_AT_EXIT, FREE_INHERITED, FREE_NULL, FREE_UNKNOWN, Fate, IDLE_FAULT, IMPOSSIBLE, LATE, OWN_CALL, OWN_TOUCH, PAUSE,
    STRAY_FAULT, THREAD_START,
};
use super::carried::Carried;
use super::clock::Clock;
use super::live::{Live, Object};
use super::mapping::Mapping;
use super::placement::Placement;
use super::regions::Owner;
use super::threads::Threads;
use super::{Action, Op, touch};
use crate::event::origin::SiteId;
use crate::event::{Access, Call, Event, Tid, What};
use crate::units::{Addr, Bytes, Nanos, PAGE, Pages};
use crate::vm::Syscall;
use crate::vm::kernel::HUGE;
use crate::vm::space::Touched;

/// One process while it is followed.
pub(super) struct Process {
    pub(super) placement: Placement,
    live: Live,
    threads: Threads,
    pub(super) books: Books,
    clock: Clock,
    pub(super) file: Pages,
    pub(super) shmem: Pages,
    /// What must come before the next operation: memory brought along at fork.
    brought: Carried,
    pub(super) ended: bool,
}

impl Process {
    pub(super) fn new(placement: Placement, origin: Nanos) -> Process {
        Process {
            placement,
            live: Live::default(),
            threads: Threads::default(),
            books: Books::default(),
            clock: Clock::starting_at(origin),
            file: Pages(0),
            shmem: Pages(0),
            brought: Carried::default(),
            ended: false,
        }
    }

    pub(super) fn fork(&mut self, time: Nanos) -> Process {
        let (placement, brought) = self.placement.fork();
        let mut live = self.live.clone();
        live.inherit();
        Process { live, brought, ..Process::new(placement, time) }
    }

    pub(super) fn feed(&mut self, event: &Event, out: &mut Vec<Op>) {
        self.clock.advance(event);
        let brought = std::mem::take(&mut self.brought);
        self.carry(brought, out);
        while let Some(object) = self.live.expired(Some(self.now())) {
            self.free_implicitly(object, event.tid, out);
        }
        let freeing = self.threads.note(event);
        let fate = match event.what {
            _ if self.ended => Fate::SetAside(LATE),
            what if !plausible(what) => Fate::SetAside(IMPOSSIBLE),
            _ => self.lift(event, freeing, out),
        };
        self.books.enter(fate);
        while let Some(tid) = self.threads.gone() {
            self.emit_unless_ended(Action::ThreadEnd { tid }, out);
        }
    }

    fn lift(&mut self, event: &Event, freeing: bool, out: &mut Vec<Op>) -> Fate {
        let tid = event.tid;
        match event.what {
            What::Alloc { call, ptr, size, old, align, site } => self.alloc(call, ptr, size, old, align, site, tid, out),
            What::Free { ptr } => self.free(ptr, tid, out),
            What::Fault { addr, access, .. } => {
                let (touched, owner, carried) = self.placement.fault(addr, access);
                self.carry(carried, out);
                match (touched, owner) {
                    (Touched::Stray, _) | (_, None) => Fate::SetAside(STRAY_FAULT),
                    (Touched::Ready, _) => Fate::SetAside(IDLE_FAULT),
                    (Touched::Fault, Some(Owner::Program)) => Fate::Carried,
                    (Touched::Fault, Some(Owner::Allocator)) => self.touched(addr, access, event.in_heap, out),
                }
            }
            What::Rss { file, shmem, .. } => {
                let (file_before, shmem_before) = (self.file, self.shmem);
                (self.file, self.shmem) = (file, shmem);
                let (file, shmem) = (difference(file, file_before), difference(shmem, shmem_before));
                if (file, shmem) != (0, 0) {
                    self.emit(Action::Resident { anon: 0, file, shmem, faults: 0 }, out);
                }
                Fate::Carried
            }
            What::Mapped { addr, len, prot, backing } => {
                let carried = self.placement.mapped(addr, len, prot, backing);
                self.carry(carried, out);
                Fate::Carried
            }
            What::Resident { addr, pages } => {
                let carried = self.placement.resident(addr, pages);
                self.carry(carried, out);
                Fate::Carried
            }
            What::ThreadStart { .. } => Fate::SetAside(THREAD_START),
            What::Paused { .. } => Fate::SetAside(PAUSE),
            What::Fork { .. } => {
                self.placement.space_mut().fork();
                self.emit(Action::Fork, out);
                Fate::Lifted
            }
            What::Start => Fate::Lifted,
            What::ThreadEnd => {
                self.books.rename(FREE_UNKNOWN, FREE_AT_EXIT, self.threads.ended(tid));
                Fate::Lifted
            }
            What::Trim { pad } => {
                self.emit(Action::Trim { tid, pad }, out);
                Fate::Lifted
            }
            What::Configure { parameter, value } => {
                self.emit(Action::Configure { tid, parameter, value }, out);
                Fate::Lifted
            }
            What::End => {
                self.end(out);
                Fate::Lifted
            }
            What::Brk { got, .. } => self.brk(got, event, freeing, out),
            _ => self.system_call(event, freeing, out),
        }
    }

    fn system_call(&mut self, event: &Event, freeing: bool, out: &mut Vec<Op>) -> Fate {
        let (in_heap, now, place) = (event.in_heap, event.time, &mut self.placement);
        let (owner, carried) = match event.what {
            What::Mmap { len, prot, flags, file, result: Ok(addr), .. } => {
                let call = Mapping { len, prot, flags, file };
                place.mmap(addr, &call, in_heap || freeing && call.reserves(), now)
            }
            What::Munmap { addr, len, entered, errno: 0 } => place.munmap(addr, len, entered, in_heap),
            What::Mremap { addr, len, new_len, result: Ok(to), .. } => place.mremap(addr, len, to, new_len, in_heap, now),
            What::Madvise { addr, len, advice, errno: 0 } => place.madvise(addr, len, advice, in_heap),
            What::Mprotect { addr, len, prot, errno: 0 } => place.mprotect(addr, len, prot, in_heap),
            What::Mmap { .. } => place.called(Syscall::Mmap, in_heap),
            What::Munmap { .. } => place.called(Syscall::Munmap, in_heap),
            What::Mremap { .. } => place.called(Syscall::Mremap, in_heap),
            What::Madvise { .. } => place.called(Syscall::Madvise, in_heap),
            What::Mprotect { .. } => place.called(Syscall::Mprotect, in_heap),
            _ => unreachable!("every other kind of event has its own arm in `lift`"),
        };
        self.carry(carried, out);
        if owner == Owner::Allocator { Fate::SetAside(OWN_CALL) } else { Fate::Carried }
    }

    /// The break is the allocator's when it moves inside a call, or downwards where `free` may still be at work.
    fn brk(&mut self, got: Addr, event: &Event, freeing: bool, out: &mut Vec<Op>) -> Fate {
        if self.placement.space().break_area().is_none() {
            self.emit(Action::Break { within: (got.0 % HUGE) as u32 }, out);
        }
        let (owner, carried, delta) = self.placement.brk(got, event.in_heap, freeing, event.time);
        self.carry(carried, out);
        if owner == Owner::Allocator {
            return Fate::SetAside(OWN_CALL);
        }
        if delta == 0 {
            return Fate::Carried;
        }
        self.emit(Action::Sbrk { delta }, out);
        Fate::Lifted
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one event")]
    fn alloc(&mut self, call: Call, ptr: Addr, size: Bytes, old: Addr, align: u64, site: SiteId, tid: Tid, out: &mut Vec<Op>) -> Fate {
        if ptr.is_null() {
            // realloc(p, 0) frees in some allocators and then returns null.
            let freed = call == Call::Realloc && size.0 == 0 && !old.is_null();
            return if freed { self.free(old, tid, out) } else { Fate::SetAside(FAILED) };
        }
        // What `pvalloc` promises is whole pages.
        let size = if call == Call::Pvalloc { size.page_up() } else { size };
        self.threads.goes_on(tid);
        let carried = self.placement.block_at(ptr);
        self.carry(carried, out);
        if !old.is_null() {
            match self.live.take_resized(old, ptr) {
                Some(object) if !object.inherited => {
                    self.resize(object, ptr, size, site, tid, out);
                    return Fate::Lifted;
                }
                _ => self.books.adopted += 1,
            }
        }
        let id = self.live.number();
        let align_log2 = align.checked_ilog2().unwrap_or(0) as u8;
        let assumed = touch::all_hidden(self.placement.space().pages(), ptr, size);
        self.emit(Action::Alloc { id, tid, size, align_log2, zeroed: call == Call::Calloc, assumed, site }, out);
        self.live.place(ptr, Object { id, size, inherited: false }, self.now());
        if !assumed {
            self.assume(id, ptr, Bytes(0), size, out);
        }
        Fate::Lifted
    }

    fn resize(&mut self, object: Object, ptr: Addr, size: Bytes, site: SiteId, tid: Tid, out: &mut Vec<Op>) {
        self.emit(Action::Realloc { id: object.id, tid, size, site }, out);
        self.live.place(ptr, Object { size, ..object }, self.now());
        // The old bytes were touched when they were, and copied by whoever moves the block.
        self.assume(object.id, ptr, object.size.min(size), size, out);
    }

    fn assume(&self, id: u32, ptr: Addr, from: Bytes, to: Bytes, out: &mut Vec<Op>) {
        let time = self.now();
        touch::assumed(self.placement.space().pages(), id, ptr, from, to, |action| out.push(Op { time, action }));
    }

    fn free(&mut self, ptr: Addr, tid: Tid, out: &mut Vec<Op>) -> Fate {
        if ptr.is_null() {
            return Fate::SetAside(FREE_NULL);
        }
        match self.live.take(ptr) {
            None => {
                self.threads.freed_unknown(tid);
                Fate::SetAside(FREE_UNKNOWN)
            }
            Some(object) if object.inherited => Fate::SetAside(FREE_INHERITED),
            Some(object) => {
                self.threads.goes_on(tid);
                self.live.retire(object.id);
                self.emit(Action::Free { id: object.id, tid }, out);
                Fate::Lifted
            }
        }
    }

    fn free_implicitly(&mut self, object: Object, tid: Tid, out: &mut Vec<Op>) {
        if object.inherited {
            return;
        }
        self.books.implicitly_freed += 1;
        self.live.retire(object.id);
        self.emit(Action::Free { id: object.id, tid }, out);
    }

    fn touched(&mut self, addr: Addr, access: Access, in_heap: bool, out: &mut Vec<Op>) -> Fate {
        match self.live.containing(addr) {
            Some((_, object)) if object.inherited => {
                let carried = self.placement.inherited_fault(addr);
                self.carry(carried, out);
                Fate::Carried
            }
            Some((start, object)) if !in_heap => {
                self.emit(touch::seen(start, object, addr, access), out);
                Fate::Lifted
            }
            _ => Fate::SetAside(OWN_TOUCH),
        }
    }

    /// Time since it began, without pauses.
    pub(super) fn now(&self) -> Nanos {
        self.clock.now()
    }

    pub(super) fn end(&mut self, out: &mut Vec<Op>) {
        while let Some(object) = self.live.expired(None) {
            self.free_implicitly(object, 0, out);
        }
        self.ended = true;
        self.emit(Action::End, out);
    }

    fn carry(&self, carried: Carried, out: &mut Vec<Op>) {
        let Carried { anon, faults, calls, mapped, returned } = carried;
        if (calls, mapped, returned) != (None, 0, 0) {
            let calls = calls.map(|(kind, count)| (kind, count.clamp(i16::MIN.into(), i16::MAX.into()) as i16));
            self.emit(Action::Mapping { calls, mapped, returned: u32::try_from(returned).unwrap_or(u32::MAX) }, out);
        }
        if (anon, faults) != (0, 0) {
            self.emit(Action::Resident { anon: narrow(anon), file: 0, shmem: 0, faults: narrow(faults) }, out);
        }
    }

    fn emit_unless_ended(&self, action: Action, out: &mut Vec<Op>) {
        if !self.ended {
            self.emit(action, out);
        }
    }

    fn emit(&self, action: Action, out: &mut Vec<Op>) {
        out.push(Op { time: self.now(), action });
    }
}

/// Whether numbers are such that sums of them cannot overflow: a damaged trace may hold anything.
fn plausible(what: What) -> bool {
    /// User addresses have at most 57 bits.
    const LIMIT: u64 = 1 << 57;
    /// 4 TiB resident in one piece.
    const MOST_PAGES: u64 = 1 << 30;
    let fits = |numbers: &[u64]| numbers.iter().all(|&number| number < LIMIT);
    match what {
        What::Alloc { ptr, size, old, .. } => ptr.is_null() || fits(&[ptr.0, size.0, old.0]),
        What::Free { ptr } => fits(&[ptr.0]),
        What::Brk { got, .. } => fits(&[got.0]),
        What::Mmap { len, result, .. } => result.is_err() || fits(&[len.0, result.map_or(0, |addr| addr.0)]),
        What::Mremap { addr, len, new_len, result, .. } => {
            result.is_err() || fits(&[addr.0, len.0, new_len.0, result.map_or(0, |to| to.0)])
        }
        What::Munmap { addr, len, errno, .. } | What::Madvise { addr, len, errno, .. } | What::Mprotect { addr, len, errno, .. } => {
            errno != 0 || fits(&[addr.0, len.0])
        }
        What::Trim { pad } => fits(&[pad.0]),
        What::Fault { addr, .. } => fits(&[addr.0]),
        What::Mapped { addr, len, .. } => fits(&[addr.0, len.0]),
        What::Resident { addr, pages } => fits(&[addr.0]) && pages.0 <= MOST_PAGES,
        What::Rss { anon, file, shmem } => [anon, file, shmem].iter().all(|pages| pages.0 <= LIMIT / PAGE),
        _ => true,
    }
}

/// 2^31 pages are 8 TiB of resident memory.
fn narrow(pages: i64) -> i32 {
    pages.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

fn difference(now: Pages, before: Pages) -> i32 {
    narrow(now.0 as i64 - before.0 as i64)
}
