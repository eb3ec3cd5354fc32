//! The simulated kernel, with every call written down.

use super::observed::{Kind, Run, Step, SystemCall};
use super::play::{Player, World, moved, state};
use super::script::Op;
use profiler::event::{Access, Advice, PROT_READ, PROT_WRITE};
use profiler::model::AllocatorModel;
use profiler::units::{Addr, Bytes, Nanos, PAGE};
use profiler::vm::Kernel;
use profiler::vm::kernel::BREAK_BASE;
use profiler::vm::os::Os;
use profiler::vm::thp::Mode;

struct Logged {
    kernel: Kernel<1>,
    end: Addr,
    /// The break cannot grow beyond.
    limit: Option<Addr>,
    calls: Vec<SystemCall>,
}

/// Plays a script to a model.
pub(super) fn run(model: Box<dyn AllocatorModel>, script: &[Op]) -> Run {
    let mut world = Logged { kernel: Kernel::new(Mode::Madvise), end: BREAK_BASE, limit: None, calls: Vec::new() };
    let (mut player, mut steps) = (Player::new(model), Vec::new());
    for op in script {
        let before = world.faults();
        let block = player.perform(&mut world, op).unwrap_or_default();
        let faults = world.faults() - before;
        let calls = std::mem::take(&mut world.calls);
        steps.push(Step { pointer: block.addr.0, usable: block.usable.0, faults, calls });
    }
    assert_eq!(world.kernel.space().counters(0).strays, 0, "touched what is not mapped");
    let pages = (BREAK_BASE.page()..world.end.page_up().page()).map(|page| state(world.kernel.space().page(Addr(page * PAGE))));
    Run { heap: BREAK_BASE.0, end: world.end.0, steps, pages: pages.collect() }
}

impl Logged {
    fn faults(&self) -> u64 {
        self.kernel.space().counters(0).minor_faults
    }

    fn log(&mut self, kind: Kind, [addr, len, extra, flags]: [u64; 4], answer: Option<Addr>) -> Option<Addr> {
        self.calls.push(SystemCall { kind, addr, len, extra, flags, answer: answer.map_or(-12, |addr| addr.0 as i64) });
        answer
    }
}

impl World for Logged {
    fn block_the_break(&mut self) {
        self.limit = Some(self.end.page_up());
    }

    fn sbrk(&mut self, by: i64) {
        self.brk(moved(self.end, by));
    }
}

impl Os for Logged {
    fn brk(&mut self, end: Addr) -> Addr {
        if self.limit.is_none_or(|limit| end <= limit) {
            self.end = self.kernel.brk(end);
        }
        if !end.is_null() {
            self.log(Kind::Brk, [end.0, 0, 0, 0], Some(self.end));
        }
        self.end
    }

    fn program_break(&self) -> Addr {
        self.end
    }

    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        let answer = self.kernel.mmap(len, prot);
        self.log(Kind::Mmap, [0, len.0, prot.into(), 0], answer)
    }

    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        let answer = self.kernel.mmap_near(hint, len, prot);
        self.log(Kind::Mmap, [hint.0, len.0, prot.into(), 0], answer)
    }

    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.kernel.mmap_at(addr, len, prot);
        self.log(Kind::Mmap, [addr.0, len.0, prot.into(), 0], Some(addr));
    }

    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr> {
        let answer = self.kernel.mmap_huge(len);
        self.log(Kind::Mmap, [0, len.0, (PROT_READ | PROT_WRITE).into(), 0], answer)
    }

    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.kernel.munmap(addr, len);
        self.log(Kind::Munmap, [addr.0, len.0, 0, 0], Some(Addr(0)));
    }

    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        let answer = self.kernel.mremap(addr, len, new_len);
        self.log(Kind::Mremap, [addr.0, len.0, new_len.0, 0], answer)
    }

    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        self.kernel.madvise(addr, len, advice);
        self.log(Kind::Madvise, [addr.0, len.0, 0, 0], Some(Addr(0)));
    }

    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.kernel.mprotect(addr, len, prot);
        self.log(Kind::Mprotect, [addr.0, len.0, prot.into(), 0], Some(Addr(0)));
    }

    fn touch(&mut self, addr: Addr, len: Bytes, access: Access) {
        self.kernel.touch(addr, len, access);
    }

    fn huge_pages(&self) -> Mode {
        self.kernel.huge_pages()
    }

    fn now(&self) -> Nanos {
        self.kernel.now()
    }
}
