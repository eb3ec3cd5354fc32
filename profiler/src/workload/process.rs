//! One process while it is followed: its events, one by one, to operations.

use super::books::{
    Books, FAILED, FREE_AT_EXIT, FREE_INHERITED, FREE_NULL, FREE_UNKNOWN, Fate, IDLE_FAULT, IMPOSSIBLE, LATE, OUTSIDE, OWN_CALL, OWN_TOUCH,
    PAUSE, RECORDERS_FAULT, STRAY_FAULT, SWAP, THREAD_START, WINDOW,
};
use super::carried::{Carried, difference, narrow};
use super::clock::Clock;
use super::live::{Live, Object};
use super::mapping::Mapping;
use super::placement::Placement;
use super::plausible::plausible;
use super::probes::ProbeCost;
use super::recorder::Recorder;
use super::regions::Owner;
use super::threads::Threads;
use super::touch::{self, Block, Inference, Touches};
use super::{Action, Evidence, Op};
use crate::event::origin::SiteId;
use crate::event::{Access, Call, Event, Tid, What};
use crate::units::{Addr, Bytes, Nanos, PAGE, Pages};
use crate::vm::space::Touched;
use crate::vm::{AddressSpace, Syscall};

#[path = "calls.rs"]
mod calls;
#[path = "locks.rs"]
mod locks;

/// One process while it is followed.
pub(super) struct Process {
    pub(super) placement: Placement,
    live: Live,
    threads: Threads,
    inference: Inference,
    pub(super) books: Books,
    clock: Clock,
    recorder: Recorder,
    pub(super) file: Pages,
    pub(super) shmem: Pages,
    /// What must come before the next operation: memory brought along at fork.
    brought: Carried,
    /// The allocator has made a mapping.
    has_mapped: bool,
    /// Calls of the malloc family are not recorded now.
    in_gap: bool,
    pub(super) ended: bool,
}

impl Process {
    pub(super) fn new(placement: Placement, origin: Nanos, cost: ProbeCost) -> Process {
        Process {
            placement,
            live: Live::default(),
            threads: Threads::default(),
            inference: Inference::default(),
            books: Books::default(),
            clock: Clock::starting_at(origin, cost),
            recorder: Recorder::default(),
            file: Pages(0),
            shmem: Pages(0),
            brought: Carried::default(),
            has_mapped: false,
            in_gap: false,
            ended: false,
        }
    }

    pub(super) fn fork(&mut self, time: Nanos) -> Process {
        let (placement, brought) = self.placement.fork();
        let mut live = self.live.clone();
        live.inherit();
        Process { live, brought, in_gap: self.in_gap, recorder: self.recorder.fork(), ..Process::new(placement, time, self.clock.cost()) }
    }

    pub(super) fn feed(&mut self, event: &Event, out: &mut Vec<Op>) {
        self.clock.advance(event);
        let brought = std::mem::take(&mut self.brought);
        self.carry(brought, out);
        while let Some(object) = self.live.expired(Some(self.now())) {
            self.free_implicitly(object, event.tid, out);
        }
        if !event.what.is_of_process() {
            self.recorder.ran();
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
            What::Alloc { .. } | What::Free { .. } if self.in_gap => Fate::SetAside(OUTSIDE),
            What::Alloc { call, ptr, size, old, align, site } => self.alloc(call, ptr, size, old, align, site, tid, out),
            What::Free { ptr } => self.free(ptr, tid, out),
            What::Fault { addr, access, .. } => self.fault(addr, access, event.in_heap, out),
            What::Rss { anon, file, shmem } => {
                self.recorder.counted(event.time, anon);
                let file = self.recorder.file(file);
                let (file_before, shmem_before) = (self.file, self.shmem);
                (self.file, self.shmem) = (file, shmem);
                let (file, shmem) = (difference(file, file_before), difference(shmem, shmem_before));
                if (file, shmem) != (0, 0) {
                    self.emit(Action::Resident { anon: 0, file, shmem, faults: 0 }, out);
                }
                Fate::Carried
            }
            What::Swap { .. } => Fate::SetAside(SWAP),
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
            What::Paused { since } => {
                self.recorder.paused(since, event.time);
                Fate::SetAside(PAUSE)
            }
            What::WindowBegin => {
                self.in_gap = false;
                Fate::SetAside(WINDOW)
            }
            What::WindowEnd => {
                self.end_window(out);
                Fate::SetAside(WINDOW)
            }
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
            What::Mlock { .. } | What::Munlock { .. } | What::Mlockall { .. } => self.lock(event.what, out),
            _ => self.system_call(event, freeing, out),
        }
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
        let zeroed = call == Call::Calloc;
        let assumed = size.0 <= PAGE && touch::all_hidden(self.placement.space().pages(), ptr, size);
        self.emit(Action::Alloc { id, tid, size, align_log2, zeroed, assumed, site }, out);
        let object = Object { id, size, inherited: false, zeroed };
        self.live.place(ptr, object, self.now());
        if assumed {
            self.inference.sums.assumed += size;
        } else {
            self.placed(object, ptr, Bytes(0), out);
        }
        Fate::Lifted
    }

    fn resize(&mut self, object: Object, ptr: Addr, size: Bytes, site: SiteId, tid: Tid, out: &mut Vec<Op>) {
        self.emit(Action::Realloc { id: object.id, tid, size, site }, out);
        let resized = Object { size, ..object };
        self.live.place(ptr, resized, self.now());
        // The old bytes were touched when they were, and copied by whoever moves the block.
        self.placed(resized, ptr, object.size.min(size), out);
    }

    /// The bytes of a block from `from` on are new to the program.
    fn placed(&mut self, object: Object, addr: Addr, from: Bytes, out: &mut Vec<Op>) {
        let time = self.now();
        self.inference.placed(self.placement.space().pages(), Block { addr, object }, from, |action| out.push(Op { time, action }));
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

    /// What is live now may be freed unseen.
    fn end_window(&mut self, out: &mut Vec<Op>) {
        self.in_gap = true;
        self.threads.lose_sight();
        for object in self.live.close() {
            self.books.closed += 1;
            self.emit(Action::Forget { id: object.id }, out);
        }
    }

    fn fault(&mut self, addr: Addr, access: Access, in_heap: bool, out: &mut Vec<Op>) -> Fate {
        let (touched, owner, carried) = self.placement.fault(addr, access);
        self.carry(carried, out);
        match (touched, owner) {
            (_, None) if access == Access::Exec => {
                self.recorder.ran_outside();
                Fate::SetAside(RECORDERS_FAULT)
            }
            (Touched::Stray, _) | (_, None) => Fate::SetAside(STRAY_FAULT),
            (Touched::Ready, _) => Fate::SetAside(IDLE_FAULT),
            (Touched::Fault { .. }, Some(Owner::Program)) => Fate::Carried,
            (Touched::Fault { gained }, Some(Owner::Allocator)) => self.touched(addr, access, gained, in_heap, out),
        }
    }

    /// A fault on an allocator's page, which made `gained` pages resident around it.
    fn touched(&mut self, addr: Addr, access: Access, gained: Pages, in_heap: bool, out: &mut Vec<Op>) -> Fate {
        let hit = self.live.containing(addr);
        if hit.is_some_and(|(_, object)| object.inherited) {
            let carried = self.placement.inherited_fault(addr);
            self.carry(carried, out);
            return Fate::Carried;
        }
        let time = self.now();
        let mut emit = |action| out.push(Op { time, action });
        let seen = hit.filter(|_| !in_heap).map(|(addr, object)| Block { addr, object });
        if let Some(block) = seen {
            self.inference.seen(block, addr, access, gained, &mut emit);
        }
        let inside = touch::around(addr, gained);
        let others = self.live.overlapping(inside.clone()).filter(|(_, object)| !object.inherited && gained.0 > 0);
        let blocks = others.map(|(addr, object)| Block { addr, object });
        if gained.0 > 1 {
            blocks.clone().for_each(|block| self.inference.lost_sight(block, inside.clone()));
        }
        for block in blocks {
            self.inference.hidden_by_another(block, inside.clone(), (seen == Some(block)).then_some(addr), &mut emit);
        }
        if seen.is_some() { Fate::Lifted } else { Fate::SetAside(OWN_TOUCH) }
    }

    /// The kernel changes pages by itself.
    pub(super) fn change(&mut self, out: &mut Vec<Op>, by: impl FnOnce(&mut AddressSpace)) {
        let carried = self.placement.change(by);
        self.carry(carried, out);
    }

    /// Bytes of blocks by how their touch is known, so far.
    pub(super) fn touches(&self) -> Touches {
        self.inference.sums
    }

    /// Pages and faults that the recorder added.
    pub(super) fn recorders_own(&self) -> u64 {
        self.recorder.own()
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
