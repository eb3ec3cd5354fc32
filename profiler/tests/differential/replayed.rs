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
    /// While the allocator starts before `main`, where nobody sees it.
    start: Option<Start>,
    /// What is added to the addresses that the model asks for.
    shift: u64,
    /// Large blocks start anywhere in their first page.
    random_starts: bool,
    /// Large blocks so far, and by how many faults the two are apart.
    large: i64,
    apart: i64,
}

/// A kernel for an allocator's start: the break grows from an address and mappings lie below it, side by side.
struct Start {
    low: u64,
}

impl Start {
    fn answer(&mut self, kind: Kind, addr: u64, len: Bytes) -> Addr {
        match kind {
            Kind::Mmap if addr == 0 => self.low -= len.page_up().0,
            Kind::Munmap if addr == self.low => self.low += len.page_up().0,
            _ => return Addr(addr),
        }
        Addr(self.low)
    }
}

/// Where a start happens until it is known where it happened.
const ANYWHERE: u64 = 1 << 44;
/// The smallest block whose start may be random.
const LARGE: u64 = 16384;

/// Plays a script to a model and compares with how it really went.
pub(crate) fn compare(model: Box<dyn AllocatorModel>, script: &[Op], run: &Run, thp: Mode) -> Result<(), Difference> {
    compare_player(&mut Player::new(model), script, run, thp)
}

/// The same for a player that is ready.
pub(crate) fn compare_player(player: &mut Player, script: &[Op], run: &Run, thp: Mode) -> Result<(), Difference> {
    let mut world = Recorded::new(run.heap, thp);
    // Where something used the break before, the first page has a part that is in use.
    world.space.mark_resident(Addr(run.heap).page_down(), Bytes(run.heap % PAGE));
    world.play(player, script, run, 0)
}

/// The same for a library, whose start is over before the script begins, or is part of the first operation: this must give a block. Where the
/// start took place is told by that block. What the driver found mapped, it made resident.
pub(crate) fn compare_library(
    model: &dyn Fn() -> Box<dyn AllocatorModel>,
    script: &[Op],
    run: &Run,
    rules: Rules,
) -> Result<(), Difference> {
    let start = |shift: u64| {
        let anchor = ANYWHERE.wrapping_add(shift);
        let (mut world, mut player) = (Recorded::new(anchor, rules.thp), Player::new(model()));
        (world.shift, world.random_starts, world.start) = (shift, rules.random_starts, Some(Start { low: anchor }));
        let block = player.perform(&mut world, &script[0]).unwrap_or_default();
        (world, player, block.addr.0)
    };
    let shift = run.steps[0].pointer.wrapping_sub(start(0).2);
    if run.steps[0].calls.is_empty() {
        let (mut world, mut player, first) = start(shift);
        if first != run.steps[0].pointer {
            return Err(Difference { at: 0, what: format!("the first block does not tell where the library started: {}", Addr(first)) });
        }
        world.settle();
        return world.play(&mut player, script, run, 1);
    }
    let mut world = Recorded { shift, random_starts: rules.random_starts, ..Recorded::new(run.heap, rules.thp) };
    world.play(&mut Player::new(model()), script, run, 0)
}

/// What is true of a library and a machine.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) thp: Mode,
    /// Of large blocks only the first page is comparable, and whether one more page is touched depends on the start.
    pub(crate) random_starts: bool,
}

impl Recorded {
    fn new(end: u64, thp: Mode) -> Recorded {
        // What is advised is seen; but the driver gets no huge pages.
        let mut space = AddressSpace::new(Mode::Never);
        space.set_break(Addr(end).page_down());
        space.set_break(Addr(end));
        let end = Addr(end);
        Recorded { space, end, thp, calls: VecDeque::new(), start: None, shift: 0, random_starts: false, large: 0, apart: 0 }
    }

    /// The start is over.
    fn settle(&mut self) {
        if let Some(Start { low }) = self.start.take() {
            self.space.mark_resident(Addr(low), Bytes(self.end.0 - low));
        }
    }

    /// Plays operations from the given one on.
    fn play(&mut self, player: &mut Player, script: &[Op], run: &Run, first: usize) -> Result<(), Difference> {
        for (at, (op, step)) in script.iter().zip(&run.steps).enumerate().skip(first) {
            // The model's own panics are differences too, and must not end the search for a smaller script.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.step(player, op, step)));
            let outcome =
                outcome.unwrap_or_else(|panic| Err(panic.downcast::<String>().map_or("the model panics".to_owned(), |text| *text)));
            outcome.map_err(|what| Difference { at, what: format!("`{op}`: {what}") })?;
        }
        self.compare_pages(run).map_err(|what| Difference { at: script.len() - 1, what })
    }

    fn step(&mut self, player: &mut Player, op: &Op, step: &Step) -> Result<(), String> {
        self.calls = step.calls.iter().copied().collect();
        let before = self.space.counters(0).minor_faults;
        let block = player.perform(self, op).unwrap_or_default();
        let is_large = self.random_starts && step.usable >= LARGE;
        let place = |pointer: u64| if is_large { pointer / PAGE } else { pointer };
        if op.allocates() && (place(block.addr.0), block.usable.0) != (place(step.pointer), step.usable) {
            let shown = |pointer, usable| format!("{} with {usable:#x} usable bytes", Addr(pointer));
            return Err(format!("expected {}, got {}", shown(step.pointer, step.usable), shown(block.addr.0, block.usable.0)));
        }
        if let Some(call) = self.calls.front() {
            return Err(format!("not made: {call:x?}"));
        }
        let faults = self.space.counters(0).minor_faults - before;
        // The start and the end of a thread touch more than the heap.
        if !matches!(op.call, Call::Spawn | Call::Exit) && !self.tolerates(op.allocates() && is_large, faults, step.faults) {
            return Err(format!("expected {} faults, got {faults}", step.faults));
        }
        match self.space.counters(0).strays {
            0 => Ok(()),
            _ => Err("touches what is not mapped".to_owned()),
        }
    }

    /// Faults must be the same, but that random starts touch a page more or less now and then.
    fn tolerates(&mut self, large: bool, faults: u64, expected: u64) -> bool {
        self.large += i64::from(large);
        self.apart += faults as i64 - expected as i64;
        let allowed = if self.random_starts { 4 + self.large / 8 } else { 0 };
        self.apart.abs() <= allowed
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
        if let Some(start) = &mut self.start {
            return Some(start.answer(kind, addr, len));
        }
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
        self.mapped(Addr(hint.0.wrapping_add(self.shift)), len, prot, false)
    }

    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.mapped(addr, len, prot, false);
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
        self.answer(Kind::Madvise, addr.0, len, advice.number().into());
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
