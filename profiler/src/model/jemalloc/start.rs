//! The library's start, and that of its arenas.

use super::Jemalloc;
use super::arena::Arena;
use crate::event::{Access, Advice, PROT_READ, PROT_WRITE, Tid};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// What libstdc++, which the library is linked with, takes for exceptions in need: the first block of all, never freed.
const EMERGENCY_POOL: u64 = 72704;
/// The pool's header.
const POOL_HEADER: u64 = 16;

impl Jemalloc {
    /// Everything that happens before the program's first call, on its first thread.
    pub(super) fn ensure_started(&mut self, os: &mut dyn Os, tid: Tid) {
        if !self.arenas.is_empty() {
            return;
        }
        for advice in [Advice::DontNeed, Advice::Free] {
            probe(os, advice);
        }
        self.arenas.push(Arena::new(os, &self.params, 0, false));
        os.brk(Addr(0));
        let thread = self.new_thread(tid);
        self.start_thread(os, thread);
        if let Some((pool, usable)) = self.allocate(os, thread, EMERGENCY_POOL, 0, false) {
            os.touch(Addr(pool), Bytes(POOL_HEADER), Access::Write);
            self.internal_bytes += usable;
        }
    }

    /// Makes an arena.
    pub(super) fn new_arena(&mut self, os: &mut dyn Os, is_huge: bool) -> usize {
        let shared = self.arenas.iter().filter(|arena| !arena.is_huge).count();
        let number = if is_huge { self.params.arenas } else { shared };
        let arena = Arena::new(os, &self.params, number, is_huge);
        self.arenas.push(arena);
        self.arenas.len() - 1
    }

    /// The arena for the largest blocks, made when the first of them is asked for.
    pub(super) fn huge_arena(&mut self, os: &mut dyn Os) -> usize {
        let known = self.arenas.iter().position(|arena| arena.is_huge);
        known.unwrap_or_else(|| self.new_arena(os, true))
    }
}

/// Whether the kernel knows a piece of advice is tried out on a page.
fn probe(os: &mut dyn Os, advice: Advice) {
    if let Some(page) = os.mmap(Bytes(PAGE), PROT_READ | PROT_WRITE) {
        os.madvise(page, Bytes(PAGE), advice);
        os.munmap(page, Bytes(PAGE));
    }
}
