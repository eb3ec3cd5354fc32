//! A thread's cache: for each class a stack of blocks, filled and flushed by halves, and looked through now and then.
//!
//! The stacks lie side by side in one block of the first arena. Each grows downwards, and so its memory is touched as deep as it was
//! ever filled.

use super::Jemalloc;
use super::classes::{SMALL, size_of};
use super::settings::{Params, stack_bytes};
use super::store::Id;
use crate::event::Access;
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;

/// Bytes of a cached pointer.
const WORD: u64 = 8;

/// The cached blocks of one class.
pub(super) struct Stack {
    pub(super) blocks: Vec<u64>,
    pub(super) most: u32,
    /// Fewest blocks since the last look.
    pub(super) low: u32,
    /// Most blocks ever, as far as memory was touched for them.
    deepest: u32,
    /// A fill takes 1 / 2^this of the most.
    fill_shift: u32,
    filled: bool,
    /// Blocks that looks still leave alone.
    delay: u64,
    /// The address behind its memory, and whether it was read: an empty stack is found out only after that.
    end: u64,
    end_read: bool,
}

/// A thread's cache.
pub(super) struct Tcache {
    pub(super) stacks: Vec<Stack>,
    /// The extent it lives in.
    pub(super) home: Id,
    /// Where it begins.
    pub(super) at: u64,
    next_look: usize,
}

impl Stack {
    pub(super) fn pop(&mut self) -> Option<u64> {
        let block = self.blocks.pop()?;
        self.low = self.low.min(self.blocks.len() as u32);
        Some(block)
    }

    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() as u32 == self.most
    }

    pub(super) fn push(&mut self, os: &mut dyn Os, block: u64) {
        self.blocks.push(block);
        self.touch(os);
    }

    /// The stack was found empty.
    pub(super) fn missed(&mut self, os: &mut dyn Os) {
        if !self.end_read {
            self.end_read = true;
            os.touch(Addr(self.end), Bytes(WORD), Access::Read);
        }
    }

    fn touch(&mut self, os: &mut dyn Os) {
        let count = self.blocks.len() as u32;
        if count > self.deepest {
            let new = u64::from(count - self.deepest) * WORD;
            os.touch(Addr(self.end - u64::from(count) * WORD), Bytes(new), Access::Write);
            self.deepest = count;
        }
    }
}

impl Tcache {
    /// An empty cache in the extent `home`, whose memory begins at `at`. The words at both ends are written.
    pub(super) fn new(os: &mut dyn Os, params: &Params, home: Id, at: u64) -> Tcache {
        let last = at + stack_bytes(&params.slots) - WORD;
        for word in [at, last] {
            os.touch(Addr(word), Bytes(WORD), Access::Write);
        }
        let mut end = at + WORD;
        let stack = |(class, &most): (usize, &u32)| {
            end += u64::from(most) * WORD;
            let delay = delay_of(params, class);
            Stack { blocks: Vec::new(), most, low: 0, deepest: 0, fill_shift: 1, filled: false, delay, end, end_read: false }
        };
        Tcache { stacks: params.slots.iter().enumerate().map(stack).collect(), home, at, next_look: 0 }
    }

    /// Bytes that are cached.
    pub(super) fn bytes(&self) -> u64 {
        self.stacks.iter().enumerate().map(|(class, stack)| stack.blocks.len() as u64 * size_of(class)).sum()
    }
}

fn delay_of(params: &Params, class: usize) -> u64 {
    (params.gc_delay / size_of(class)).min(u64::from(u8::MAX))
}

impl Jemalloc {
    /// Fills an empty stack of small blocks and takes the lowest of them.
    pub(super) fn fill(&mut self, os: &mut dyn Os, thread: usize, class: usize) -> Option<u64> {
        let a = self.threads[thread].arena;
        let stack = self.stack(thread, class);
        stack.missed(os);
        let count = stack.most >> stack.fill_shift;
        let mut blocks = std::mem::take(&mut stack.blocks);
        self.take_regions(os, a, class, count, &mut blocks);
        blocks.reverse();
        let stack = self.stack(thread, class);
        stack.blocks = blocks;
        stack.touch(os);
        stack.filled = true;
        let block = stack.pop();
        self.tick(os, thread, a, 1);
        block
    }

    pub(super) fn stack(&mut self, thread: usize, class: usize) -> &mut Stack {
        &mut self.threads[thread].cache.as_mut().expect("asked for only where there is one").stacks[class]
    }

    /// Gives back all but the `keep` youngest blocks of a class.
    pub(super) fn flush(&mut self, os: &mut dyn Os, thread: usize, class: usize, keep: u32) {
        let mut blocks = std::mem::take(&mut self.flushed);
        let stack = self.stack(thread, class);
        let count = stack.blocks.len() - keep as usize;
        blocks.extend(stack.blocks.drain(..count).rev());
        stack.low = stack.low.min(keep);
        let mut emptied = std::mem::take(&mut self.emptied);
        while let Some(&first) = blocks.first() {
            let a = self.store[self.extent_of(first)].arena;
            let before = blocks.len();
            // Blocks of other arenas wait for a turn of their own.
            blocks.retain(|&block| {
                let extent = self.extent_of(block);
                let is_here = self.store[extent].arena == a;
                if is_here && class >= SMALL {
                    self.release_large(os, extent);
                } else if is_here && self.put_region(a as usize, class, extent, block) {
                    emptied.push(extent);
                }
                !is_here
            });
            self.tick(os, thread, a as usize, (before - blocks.len()) as i32);
        }
        for slab in emptied.drain(..) {
            self.release_slab(os, slab);
        }
        (self.flushed, self.emptied) = (blocks, emptied);
    }

    /// Looks through one class of a thread's cache: what was not needed since the last look mostly goes back.
    pub(super) fn look_through(&mut self, os: &mut dyn Os, thread: usize) {
        let Some(cache) = &mut self.threads[thread].cache else { return };
        let class = cache.next_look;
        cache.next_look = (class + 1) % cache.stacks.len();
        let stack = &mut cache.stacks[class];
        let (count, idle) = (stack.blocks.len() as u32, stack.low);
        if idle > 0 && class >= SMALL {
            self.flush(os, thread, class, count - idle + (idle >> 2));
        } else if idle > 0 {
            self.shrink_small(os, thread, class, count, idle - (idle >> 2));
        } else if stack.filled && class < SMALL {
            stack.fill_shift = (stack.fill_shift - 1).max(1);
            stack.filled = false;
        }
        let stack = self.stack(thread, class);
        stack.low = stack.blocks.len() as u32;
    }

    fn shrink_small(&mut self, os: &mut dyn Os, thread: usize, class: usize, count: u32, flushed: u32) {
        let delay = delay_of(&self.params, class);
        let stack = self.stack(thread, class);
        if u64::from(flushed) < stack.delay {
            stack.delay -= u64::from(flushed);
            return;
        }
        stack.delay = delay;
        self.flush(os, thread, class, count - flushed);
        let stack = self.stack(thread, class);
        if stack.most >> (stack.fill_shift + 1) >= 1 {
            stack.fill_shift += 1;
        }
    }
}
