//! The port: everything a model may ask of the operating system.

pub use super::thp::Mode;
use crate::event::{Access, Advice};
use crate::units::{Addr, Bytes, Nanos};

/// What an allocator calls and touches. A model that calls the same port as the real allocator's system layer can be compared with it call by call.
///
/// Lengths and addresses follow the kernel's rules: `mmap`, `munmap`, `mremap`, `madvise` and `mprotect` round lengths up to pages.
pub trait Os {
    /// Moves the program break and answers with the break in effect afterwards; `Addr(0)` asks for the current one. Counted as a call.
    fn brk(&mut self, end: Addr) -> Addr;
    /// Where the break is, as a C library remembers it: no call.
    fn program_break(&self) -> Addr;
    /// Maps private anonymous memory at an address that the system chooses; `None` when it refuses.
    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr>;
    /// The same, at `hint` where that is free, and elsewhere otherwise.
    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr>;
    /// The same, at `addr`, over whatever is there (`MAP_FIXED`).
    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8);
    /// Maps memory from the pool of huge pages (`MAP_HUGETLB`); `None` where the pool is empty.
    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr>;
    /// Gives memory and addresses back.
    fn munmap(&mut self, addr: Addr, len: Bytes);
    /// Resizes a mapping, moving it where it must; resident pages travel along.
    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr>;
    /// Advises on a range.
    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice);
    /// Changes the protection of a range.
    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8);
    /// Accesses every page of a byte range, as the allocator itself does for its headers, links and clearing.
    fn touch(&mut self, addr: Addr, len: Bytes, access: Access);
    /// What the machine does about transparent huge pages.
    fn huge_pages(&self) -> Mode;
    /// The recorded clock.
    fn now(&self) -> Nanos;
}
