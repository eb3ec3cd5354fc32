//! The model in the place of the real allocator: what it asks of the system must be what was asked, and is answered as it was answered.

use super::observed::{Kind, Run, Step, SystemCall};
use super::play::{Player, World, moved, state};
use super::script::{Call, Op};
use profiler::event::{Access, Advice, Backing};
use profiler::model::AllocatorModel;
use profiler::units::{Addr, Bytes, Nanos, PAGE};
use profiler::vm::AddressSpace;
use profiler::vm::os::Os;
use profiler::vm::thp::Mode;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// `MADV_*` numbers that an allocator uses.
const ADVICES: [(Advice, u64); 2] = [(Advice::DontNeed, 4), (Advice::HugePage, 14)];

/// The first operation after which the two are not the same, and how.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) at: usize,
    pub(crate) what: String,
}

struct Recorded {
    space: AddressSpace<1>,
    end: Addr,
    /// What libc reads of the machine's setting.
    thp: Mode,
    calls: VecDeque<SystemCall>,
}

/// Plays a script to a model and compares with how it really went.
pub(crate) fn compare(model: Box<dyn AllocatorModel>, script: &[Op], run: &Run, thp: Mode) -> Result<(), Difference> {
    // What is advised is seen; but the driver gets no huge pages.
    let mut space = AddressSpace::new(Mode::Never);
    // Where something used the break before, the first page has a part that is in use.
    space.set_break(Addr(run.heap).page_down());
    space.set_break(Addr(run.heap));
    space.mark_resident(Addr(run.heap).page_down(), Bytes(run.heap % PAGE));
    let mut world = Recorded { space, end: Addr(run.heap), thp, calls: VecDeque::new() };
    let mut player = Player::new(model);
    for (at, (op, step)) in script.iter().zip(&run.steps).enumerate() {
        // The model's own panics are differences too, and must not end the search for a smaller script.
        let outcome = catch_unwind(AssertUnwindSafe(|| world.step(&mut player, op, step)));
        let outcome = outcome.unwrap_or_else(|panic| Err(panic.downcast::<String>().map_or("the model panics".to_owned(), |text| *text)));
        outcome.map_err(|what| Difference { at, what: format!("`{op}`: {what}") })?;
    }
    world.compare_pages(run).map_err(|what| Difference { at: script.len() - 1, what })
}

impl Recorded {
    fn step(&mut self, player: &mut Player, op: &Op, step: &Step) -> Result<(), String> {
        self.calls = step.calls.iter().copied().collect();
        let before = self.space.counters(0).minor_faults;
        let block = player.perform(self, op).unwrap_or_default();
        if op.allocates() && (block.addr.0, block.usable.0) != (step.pointer, step.usable) {
            let shown = |pointer, usable| format!("{} with {usable:#x} usable bytes", Addr(pointer));
            return Err(format!("expected {}, got {}", shown(step.pointer, step.usable), shown(block.addr.0, block.usable.0)));
        }
        if let Some(call) = self.calls.front() {
            return Err(format!("not made: {call:x?}"));
        }
        let faults = self.space.counters(0).minor_faults - before;
        // The start and the end of a thread touch more than the heap.
        if !matches!(op.call, Call::Spawn | Call::Exit) && faults != step.faults {
            return Err(format!("expected {} faults, got {faults}", step.faults));
        }
        match self.space.counters(0).strays {
            0 => Ok(()),
            _ => Err("touches what is not mapped".to_owned()),
        }
    }

    fn compare_pages(&self, run: &Run) -> Result<(), String> {
        for (page, &expected) in run.pages.iter().enumerate() {
            let got = state(self.space.page(Addr(run.heap).page_down().offset(Bytes(page as u64 * PAGE))));
            if got != expected {
                return Err(format!("at the end page {page:#x} of the heap: expected {expected:?}, got {got:?}"));
            }
        }
        Ok(())
    }

    /// Takes the next call, which must be this one.
    fn answer(&mut self, kind: Kind, addr: u64, len: Bytes, extra: u64) -> Option<Addr> {
        let next = self.calls.pop_front();
        let same = |call: &SystemCall| {
            let length = |bytes: u64| Bytes(bytes).page_up();
            let extra = if kind == Kind::Mremap { length(call.extra) == length(extra) } else { call.extra == extra };
            call.kind == kind && call.addr == addr && length(call.len) == length(len.0) && extra
        };
        let Some(call) = next.filter(same) else {
            let asked = format!("{kind:?} of {addr:#x}, {:#x}, {extra:#x}", len.0);
            resume_unwind(Box::new(format!("expected {next:x?}, got {asked} (heap so far up to {})", self.end)));
        };
        (call.answer >= 0).then_some(Addr(call.answer as u64))
    }

    fn mapped(&mut self, hint: Addr, len: Bytes, prot: u8, huge: bool) -> Option<Addr> {
        if self.calls.front().is_some_and(|call| (call.flags as i32 & libc::MAP_HUGETLB != 0) != huge) {
            resume_unwind(Box::new(format!("expected {:x?}, from the pool of huge pages or not", self.calls.front())));
        }
        let addr = self.answer(Kind::Mmap, hint.0, len, prot.into())?;
        self.space.map_at(addr, len.page_up(), prot, Backing::Anonymous);
        Some(addr)
    }
}

impl World for Recorded {
    fn block_the_break(&mut self) {}

    fn sbrk(&mut self, by: i64) {
        self.brk(moved(self.end, by));
    }
}

impl Os for Recorded {
    fn brk(&mut self, end: Addr) -> Addr {
        if !end.is_null() {
            self.end = self.answer(Kind::Brk, end.0, Bytes(0), 0).expect("brk never fails that way");
            self.space.set_break(self.end);
        }
        self.end
    }

    fn program_break(&self) -> Addr {
        self.end
    }

    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        self.mapped(Addr(0), len, prot, false)
    }

    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        self.mapped(hint, len, prot, false)
    }

    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr> {
        // The port says nothing of the place and the protection.
        let (hint, prot) = self.calls.front().map_or((0, 0), |call| (call.addr, call.extra as u8));
        self.mapped(Addr(hint), len, prot, true)
    }

    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.answer(Kind::Munmap, addr.0, len, 0);
        self.space.unmap(addr, len);
    }

    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        let target = self.answer(Kind::Mremap, addr.0, len, new_len.0)?;
        self.space.remap(addr, len.page_up(), target, new_len.page_up());
        Some(target)
    }

    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        let number = ADVICES.iter().find(|(known, _)| *known == advice).map_or(u64::MAX, |(_, number)| *number);
        self.answer(Kind::Madvise, addr.0, len, number);
        self.space.advise(addr, len, advice);
    }

    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.answer(Kind::Mprotect, addr.0, len, prot.into());
        self.space.protect(addr, len, prot);
    }

    fn touch(&mut self, addr: Addr, len: Bytes, access: Access) {
        self.space.touch(addr, len, access);
    }

    fn huge_pages(&self) -> Mode {
        self.thp
    }

    fn now(&self) -> Nanos {
        Nanos(0)
    }
}
