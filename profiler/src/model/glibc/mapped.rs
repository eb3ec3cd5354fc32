//! Chunks that are mappings of their own.
//!
//! ```text
//! mapping  | distance from the start of the mapping | size, flag 2 | user data …   |   to the end of the mapping
//!                                                   (the first two words move up with the chunk when `memalign` moves it)
//! ```

use super::Glibc;
use super::chunk::{HEADER, WORD, align_up};
use super::memory::write;
use super::rules::{HUGE, Hugetlb};
use crate::event::{PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;
use std::collections::BTreeMap;

/// Mapped chunks: address of the chunk → its mapping.
#[derive(Default)]
pub(super) struct Mapped {
    chunks: BTreeMap<u64, Mapping>,
    pub(super) bytes: u64,
}

#[derive(Clone, Copy)]
struct Mapping {
    start: u64,
    len: u64,
}

impl Mapped {
    pub(super) fn count(&self) -> u64 {
        self.chunks.len() as u64
    }

    /// Size of a mapped chunk; `None` for any other.
    pub(super) fn size(&self, chunk: u64) -> Option<u64> {
        self.chunks.get(&chunk).map(|mapping| mapping.start + mapping.len - chunk)
    }

    /// Bytes of the mapping of a mapped chunk.
    pub(super) fn len(&self, chunk: u64) -> Option<u64> {
        self.chunks.get(&chunk).map(|mapping| mapping.len)
    }
}

impl Glibc {
    pub(super) fn map_chunk(&mut self, os: &mut dyn Os, need: u64) -> Option<u64> {
        if self.params.hugetlb == Hugetlb::Pool && need >= HUGE {
            os.mmap_huge(Bytes(align_up(need + WORD, HUGE)));
        }
        self.map_plain_chunk(os, need)
    }

    /// The same without an attempt at the pool of huge pages.
    pub(super) fn map_plain_chunk(&mut self, os: &mut dyn Os, need: u64) -> Option<u64> {
        let len = (need + WORD).checked_next_multiple_of(PAGE)?;
        let start = os.mmap(Bytes(len), PROT_READ | PROT_WRITE)?.0;
        self.advise_huge(os, start, len);
        write(os, start, HEADER);
        self.mapped.bytes += len;
        self.mapped.chunks.insert(start, Mapping { start, len });
        Some(start)
    }

    /// Moves the header of a mapped chunk up inside its mapping.
    pub(super) fn shift_mapped(&mut self, os: &mut dyn Os, chunk: u64, to: u64) {
        if let Some(mapping) = self.mapped.chunks.remove(&chunk) {
            write(os, to, HEADER);
            self.mapped.chunks.insert(to, mapping);
        }
    }

    pub(super) fn unmap_chunk(&mut self, os: &mut dyn Os, chunk: u64) {
        let Some(mapping) = self.mapped.chunks.remove(&chunk) else { return };
        self.params.freed_mapping(mapping.start + mapping.len - chunk);
        self.mapped.bytes -= mapping.len;
        os.munmap(Addr(mapping.start), Bytes(mapping.len));
    }

    /// Resizes a mapped chunk to hold `need`; answers with where it is then, or `None` where the system refuses.
    pub(super) fn remap_chunk(&mut self, os: &mut dyn Os, chunk: u64, need: u64) -> Option<u64> {
        let mapping = *self.mapped.chunks.get(&chunk)?;
        let offset = chunk - mapping.start;
        let len = need.checked_add(offset + WORD)?.checked_next_multiple_of(PAGE)?;
        if len == mapping.len {
            return Some(chunk);
        }
        let start = os.mremap(Addr(mapping.start), Bytes(mapping.len), Bytes(len))?.0;
        self.advise_huge(os, start, len);
        write(os, start + offset + WORD, WORD);
        self.mapped.bytes = self.mapped.bytes - mapping.len + len;
        self.mapped.chunks.remove(&chunk);
        self.mapped.chunks.insert(start + offset, Mapping { start, len });
        Some(start + offset)
    }
}
