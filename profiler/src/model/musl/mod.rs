//! musl's malloc, called mallocng, from release 1.2.1 on; address for address (x86-64, 4 KiB pages).
//!
//! ```text
//! calls      malloc, calloc, realloc, memalign, free: what a program sees
//! grow       slots and new groups                 shrink   slots given back, and groups that go
//! group      slots of one size, side by side      rings    the groups of a class that have free slots
//! classes    sizes of slots, slots of a group     bounces  classes whose last group is kept
//! places     which mapping a page belongs to      metadata where groups are described
//! ```
//!
//! There are no caches, no arenas and no settings, and nothing goes by the clock: free memory is unmapped as soon as a group of slots is free as a
//! whole. Up to 1.2.3 the whole pages of a free slot are offered to the system before that (`MADV_FREE`); since 1.2.4 they are not.
//!
//! The allocator itself touches: the header of a group, the in-band bytes before a block, the count of unused bytes at the end of its slot, what
//! `calloc` clears and `realloc` copies, and the first bytes of each page of descriptions. In-band bytes are looked at before they are written, so
//! that a fresh page faults twice: once for the page of zeros, once for its own.
//!
//! Differential runs of statically linked programs (the same seeded scripts here and there) agree in every pointer, call and fault.
//!
//! What cannot be known, and is taken as it is in a statically linked program that writes zeros:
//!
//! - In a dynamically linked program the loader gives the unused ends of writable pages of the program and its libraries to the allocator, so that the
//!   first small blocks land there. It depends on the files. Here nothing is given: some pages more than such a program needs.
//! - Where a block begins in a slot follows from bytes that the slot's last user left, where that was the program. So a small block whose slot has
//!   room may lie some units off; which slot and page it has does not depend on it.
//! - `malloc_trim` and `mallopt` do not exist in musl; a program that was recorded calling them is taken not to. Its own `sbrk`, which musl refuses,
//!   is let happen, and the descriptions of groups come from mappings then.

mod bounces;
mod calls;
mod classes;
mod group;
mod grow;
mod idle;
mod metadata;
mod places;
mod rings;
mod shrink;
mod spec;
#[cfg(test)]
mod vectors;

pub(super) use spec::SPEC;

use super::{AllocatorModel, Block, Counters, Layout, Request, Settings, Visit};
use crate::error::Result;
use crate::event::Tid;
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;
use bounces::Bounces;
use classes::{CLASSES, IN_BAND, THRESHOLD, class_of, slot_size};
use group::{Group, Id, NOBODY};
use metadata::Metadata;
use places::Places;

/// The state of one process's malloc.
struct Musl {
    /// The pages of a free slot are offered to the system.
    frees_pages: bool,
    groups: Vec<Group>,
    unused: Vec<Id>,
    /// Of each class the first group of its ring.
    active: [Id; CLASSES],
    /// Of each class all slots, free or not.
    used: [u64; CLASSES],
    bounces: Bounces,
    /// Mappings so far, by which blocks in fresh ones start at different places.
    mappings: u8,
    metadata: Metadata,
    places: Places,
    totals: Totals,
}

/// Bytes.
#[derive(Default)]
struct Totals {
    /// Mappings of groups.
    mapped: u64,
    /// Free slots.
    free: u64,
    /// Live blocks, as asked for.
    live: u64,
}

fn build(settings: &Settings) -> Result<Box<dyn AllocatorModel>> {
    Ok(Box::new(Musl::new(settings)))
}

impl Musl {
    fn new(settings: &Settings) -> Musl {
        Musl {
            frees_pages: settings.version != Some(spec::WITHOUT_FREE),
            groups: Vec::new(),
            unused: Vec::new(),
            active: [NOBODY; CLASSES],
            used: [0; CLASSES],
            bounces: Bounces::default(),
            mappings: 0,
            metadata: Metadata::default(),
            places: Places::new(),
            totals: Totals::default(),
        }
    }
}

impl AllocatorModel for Musl {
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        self.allocate(os, request)
    }

    fn free(&mut self, os: &mut dyn Os, _tid: Tid, block: Block) {
        self.release(os, block);
    }

    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        self.resize(os, request, old)
    }

    fn counters(&self) -> Counters {
        let held = self.totals.mapped + self.metadata.bytes();
        let headers = held - self.totals.free - self.totals.live;
        let parts = [("slots", self.totals.free), ("headers", headers)];
        Counters { held: Bytes(held), free: Bytes(self.totals.free), parts: parts.map(|(name, bytes)| (name, Bytes(bytes))).to_vec() }
    }

    fn layout(&self) -> Layout {
        Layout { header: Bytes(IN_BAND), from_top: false }
    }

    fn idle(&self, visit: &mut Visit) {
        self.visit_idle(visit);
    }

    fn unit(&self, addr: Addr) -> Option<(Addr, Bytes)> {
        self.around(addr.0)
    }

    fn describe(&self, _tid: Tid, size: Bytes) -> String {
        if size.0 >= THRESHOLD {
            return format!("a mapping of its own; {} mappings so far, modulo 256", self.mappings);
        }
        let class = class_of(size.0);
        let slots = Bytes(slot_size(class));
        match self.groups.get(self.active[class] as usize) {
            None => format!("no group of slots of {slots}"),
            Some(group) => format!(
                "a group of {} slots of {slots}, {} of them active: ready are {:#b}, freed {:#b}",
                group.slots, group.active, group.ready, group.freed
            ),
        }
    }
}
