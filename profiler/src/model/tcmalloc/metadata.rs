//! The allocator's own memory: chunks of 8 MiB from the system, carved in order and never given back. (Fact sheet, section 6;
//! `MetaDataAlloc` and `PageHeapAllocator` in the source.)

use super::system::System;
use crate::event::Access;
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;

/// What is taken from the system at once.
const CHUNK: u64 = 8 << 20;
/// What a pool takes from the chunk at once.
const BLOCK: u64 = 128 << 10;
/// Cache lines: everything handed out begins at one.
pub(super) const ALIGN: u64 = 64;

#[derive(Default)]
pub(super) struct Metadata {
    next: u64,
    left: u64,
    /// Bytes of all chunks.
    pub(super) bytes: u64,
    chunks: Vec<(u64, u64)>,
}

impl Metadata {
    /// Memory for good. Sizes are multiples of a cache line.
    pub(super) fn allocate(&mut self, os: &mut dyn Os, system: &mut System, len: u64) -> Option<u64> {
        if self.left < len {
            (self.next, self.left) = system.allocate(os, CHUNK, ALIGN)?;
            self.bytes += self.left;
            self.chunks.push((self.next, self.left));
        }
        let at = self.next;
        self.next += len;
        self.left -= len;
        Some(at)
    }

    /// Start and length of every chunk.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u64, u64)> {
        self.chunks.iter().copied()
    }
}

/// Things of one size in the metadata, by number. The latest that came back goes out first.
pub(super) struct Pool {
    size: u64,
    blocks: Vec<u64>,
    made: u32,
    vacant: Vec<u32>,
}

impl Pool {
    /// With its first block, as the library makes it.
    pub(super) fn new(os: &mut dyn Os, system: &mut System, metadata: &mut Metadata, size: u64) -> Option<Pool> {
        let mut pool = Pool { size, blocks: Vec::new(), made: 0, vacant: Vec::new() };
        let first = pool.take(os, system, metadata)?;
        pool.give(os, first);
        Some(pool)
    }

    pub(super) fn take(&mut self, os: &mut dyn Os, system: &mut System, metadata: &mut Metadata) -> Option<u32> {
        if let Some(number) = self.vacant.pop() {
            return Some(number);
        }
        if self.made as usize == self.blocks.len() * self.per_block() {
            self.blocks.push(metadata.allocate(os, system, BLOCK)?);
        }
        self.made += 1;
        Some(self.made - 1)
    }

    /// Back, with a link to the one that came before.
    pub(super) fn give(&mut self, os: &mut dyn Os, number: u32) {
        self.write(os, number, 0, 8);
        self.vacant.push(number);
    }

    pub(super) fn write(&self, os: &mut dyn Os, number: u32, from: u64, len: u64) {
        let (block, place) = (number as usize / self.per_block(), number as usize % self.per_block());
        write(os, self.blocks[block] + place as u64 * self.size + from, len);
    }

    fn per_block(&self) -> usize {
        (BLOCK / self.size) as usize
    }
}

pub(super) fn write(os: &mut dyn Os, at: u64, len: u64) {
    os.touch(Addr(at), Bytes(len), Access::Write);
}
