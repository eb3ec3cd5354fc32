//! A call that mapped memory.

use crate::event::{
    Advice, Backing, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_LOCKED, MAP_NONBLOCK, MAP_POPULATE, MAP_SHARED, MAP_STACK, PROT_EXEC, PROT_READ,
    PROT_WRITE,
};
use crate::units::{Addr, Bytes};
use crate::vm::AddressSpace;

/// A call that mapped memory, as recorded.
pub(super) struct Mapping {
    pub(super) len: Bytes,
    pub(super) prot: u8,
    pub(super) flags: u32,
    pub(super) file: bool,
}

impl Mapping {
    /// Takes address space that is to be opened later, and not for a stack: the heap of an arena begins so, also in a thread whose first call is `free`.
    pub(super) fn reserves(&self) -> bool {
        self.is_closed() && !self.file && self.flags & MAP_STACK == 0
    }

    /// The kernel makes it resident at once.
    pub(super) fn is_populated(&self) -> bool {
        self.flags & MAP_LOCKED != 0 || self.flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE
    }

    /// Nothing in it can be accessed yet.
    pub(super) fn is_closed(&self) -> bool {
        self.prot & (PROT_READ | PROT_WRITE | PROT_EXEC) == 0
    }

    /// Maps as it did. What is a stack does not become huge (since Linux 6.7).
    pub(super) fn map(&self, space: &mut AddressSpace, addr: Addr) {
        space.map_at(addr, self.len, self.prot, self.backing());
        if self.flags & MAP_LOCKED != 0 {
            space.lock(addr, self.len, false);
        }
        if self.flags & MAP_STACK != 0 {
            space.advise(addr, self.len, Advice::NoHugePage);
        }
    }

    /// What backs it.
    fn backing(&self) -> Backing {
        let anonymous = self.flags & MAP_ANONYMOUS != 0 || !self.file;
        match (self.flags & MAP_SHARED != 0, anonymous) {
            (true, _) => Backing::Shared,
            (false, false) => Backing::PrivateFile,
            (false, true) if self.flags & MAP_GROWSDOWN != 0 => Backing::Stack,
            (false, true) => Backing::Anonymous,
        }
    }
}
