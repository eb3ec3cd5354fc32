//! Metadata: the blocks that an arena's descriptors and the radix tree are cut from. Nothing of it ever goes back.

use super::classes::{class_of, page_class_of, pages_of};
use super::map_pages;
use super::settings::{MetadataThp, Params};
use crate::event::{Access, Advice};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::{Mode, Os};

/// Blocks are whole huge pages.
pub(super) const HUGE: u64 = 2 << 20;
/// What stands at the beginning of a block.
const BLOCK_HEADER: u64 = 144;
const QUANTUM: u64 = 16;

struct Block {
    start: u64,
    /// The next free byte.
    at: u64,
    end: u64,
}

/// The metadata of an arena.
pub(super) struct Base {
    /// Ascending by age.
    blocks: Vec<Block>,
    /// Page class of the latest block, and one more.
    next_class: usize,
    pub(super) bytes: u64,
    is_first: bool,
    huge: bool,
}

impl Base {
    /// The metadata of the first arena (`is_first`) or of another; the first block is mapped at once.
    pub(super) fn new(os: &mut dyn Os, params: &Params, is_first: bool) -> Base {
        let mut base = Base { blocks: Vec::new(), next_class: 0, bytes: 0, is_first, huge: false };
        base.grow(os, params, 1, QUANTUM);
        base
    }

    /// Where the first block begins; `None` where the system refused it.
    pub(super) fn start(&self) -> Option<u64> {
        self.blocks.first().map(|block| block.start)
    }

    /// Every block.
    pub(super) fn each(&self, mut visit: impl FnMut(u64, u64)) {
        self.blocks.iter().for_each(|block| visit(block.start, block.end - block.start));
    }

    /// The first block's next bytes come from here on: what was there before is in use.
    pub(super) fn skip_to(&mut self, offset: u64) {
        if let Some(block) = self.blocks.first_mut() {
            block.at = block.start + offset;
        }
    }

    /// Cuts off `size` bytes; `None` where the system refuses more memory, and then the model goes on without touching any.
    pub(super) fn alloc(&mut self, os: &mut dyn Os, params: &Params, size: u64, align: u64) -> Option<u64> {
        let size = size.next_multiple_of(align);
        let wide = class_of(size + align - QUANTUM);
        // The block with the least left that is sure to suffice, the oldest of those.
        let left = |block: &Block| class_of(block.end - block.at + 1).wrapping_sub(1);
        let fitting = self.blocks.iter_mut().filter(|block| block.at < block.end && left(block) >= wide);
        if let Some(block) = fitting.min_by_key(|block| left(block)) {
            return Some(block.take(size, align));
        }
        self.grow(os, params, size, align);
        self.blocks.last_mut().filter(|block| block.end - block.at >= size).map(|block| block.take(size, align))
    }

    fn grow(&mut self, os: &mut dyn Os, params: &Params, size: u64, align: u64) {
        let need = BLOCK_HEADER.next_multiple_of(align) + size;
        let least = pages_of(page_class_of(need.div_ceil(PAGE))) * PAGE;
        let len = least.max(pages_of(self.next_class) * PAGE).next_multiple_of(HUGE);
        let Some(start) = map_pages(os, len, HUGE, params.thp) else { return };
        self.next_class = page_class_of(len / PAGE) + 1;
        self.advise(os, params, start, len);
        os.touch(Addr(start), Bytes(BLOCK_HEADER), Access::Write);
        self.bytes += len;
        self.blocks.push(Block { start, at: start + BLOCK_HEADER, end: start + len });
    }

    /// `metadata_thp`: `auto` begins with the second block, in the first arena with the fifth.
    fn advise(&mut self, os: &mut dyn Os, params: &Params, start: u64, len: u64) {
        if os.huge_pages() != Mode::Madvise || params.metadata_thp == MetadataThp::Disabled {
            return;
        }
        let from = if self.is_first { 5 } else { 2 };
        if params.metadata_thp == MetadataThp::Auto && !self.huge && self.blocks.len() + 1 == from {
            self.huge = true;
            for block in self.blocks.iter().rev() {
                os.madvise(Addr(block.start), Bytes(block.end - block.start), Advice::HugePage);
            }
        }
        if self.huge || params.metadata_thp == MetadataThp::Always {
            os.madvise(Addr(start), Bytes(len), Advice::HugePage);
        }
    }
}

impl Block {
    fn take(&mut self, size: u64, align: u64) -> u64 {
        let at = self.at.next_multiple_of(align);
        self.at = at + size;
        at
    }
}
