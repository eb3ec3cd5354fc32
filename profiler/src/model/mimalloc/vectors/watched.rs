//! A kernel that writes down what it is asked.

use crate::event::{Access, Advice};
use crate::units::{Addr, Bytes, Nanos};
use crate::vm::os::Os;
use crate::vm::thp::Mode;
use crate::vm::{Kernel, Syscall};

/// A kernel that also counts the bytes of calls.
pub(super) struct Watched {
    pub(super) kernel: Kernel<1>,
    pub(super) calls: Vec<(Syscall, u64)>,
}

impl Watched {
    pub(super) fn new() -> Watched {
        Watched { kernel: Kernel::new(Mode::Madvise), calls: Vec::new() }
    }

    /// Number and bytes of each kind of call.
    pub(super) fn take_calls(&mut self) -> Vec<(Syscall, u64, u64)> {
        let mut calls: Vec<(Syscall, u64, u64)> = Vec::new();
        for (call, len) in self.calls.drain(..) {
            match calls.iter_mut().find(|known| known.0 == call) {
                Some(known) => (known.1, known.2) = (known.1 + 1, known.2 + len),
                None => calls.push((call, 1, len)),
            }
        }
        calls.sort();
        calls
    }

    fn note(&mut self, call: Syscall, len: Bytes) {
        self.calls.push((call, len.0));
    }
}

impl Os for Watched {
    fn brk(&mut self, end: Addr) -> Addr {
        self.kernel.brk(end)
    }

    fn program_break(&self) -> Addr {
        self.kernel.program_break()
    }

    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        self.note(Syscall::Mmap, len);
        self.kernel.mmap(len, prot)
    }

    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        self.note(Syscall::Mmap, len);
        self.kernel.mmap_near(hint, len, prot)
    }

    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.note(Syscall::Mmap, len);
        self.kernel.mmap_at(addr, len, prot);
    }

    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr> {
        self.note(Syscall::Mmap, len);
        self.kernel.mmap_huge(len)
    }

    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.note(Syscall::Munmap, len);
        self.kernel.munmap(addr, len);
    }

    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        self.note(Syscall::Mremap, new_len);
        self.kernel.mremap(addr, len, new_len)
    }

    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        self.note(Syscall::Madvise, len);
        self.kernel.madvise(addr, len, advice);
    }

    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.note(Syscall::Mprotect, len);
        self.kernel.mprotect(addr, len, prot);
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
