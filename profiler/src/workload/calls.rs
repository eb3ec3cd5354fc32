//! The system calls of a process: the program's own are carried, the allocator's set aside.

use super::{Action, Addr, Event, Fate, Mapping, OWN_CALL, Op, Owner, Process, Syscall, What};
use crate::vm::kernel::HUGE;

impl Process {
    pub(super) fn system_call(&mut self, event: &Event, freeing: bool, out: &mut Vec<Op>) -> Fate {
        let (in_heap, now, place) = (event.in_heap, event.time, &mut self.placement);
        let (owner, carried) = match event.what {
            What::Mmap { len, prot, flags, file, result: Ok(addr), .. } => {
                let call = Mapping { len, prot, flags, file };
                let answer = place.mmap(addr, &call, in_heap || freeing && call.reserves(), now);
                if answer.0 == Owner::Allocator && !std::mem::replace(&mut self.has_mapped, true) {
                    self.emit(Action::Map { within: ((addr.0 + len.page_up().0) % HUGE) as u32 }, out);
                }
                answer
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
    pub(super) fn brk(&mut self, got: Addr, event: &Event, freeing: bool, out: &mut Vec<Op>) -> Fate {
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
}
