//! One arena: its bins, its top, and the searches in them.

use super::chunk::{LARGE, bin_index};
use super::memory::{Link, Memory};
use crate::vm::os::Os;

/// The list of chunks that were freed and not sorted yet.
pub(super) const UNSORTED: u32 = 1;
const FASTBINS: usize = 10;

/// One arena.
pub(super) struct Arena {
    /// The head of list 0, which does not exist; that of list `i` follows `i` units later.
    heads: Link,
    /// Bins that may hold something.
    filled: u128,
    pub(super) fast: [Link; FASTBINS],
    pub(super) have_fast: bool,
    /// Start of the top chunk; 0 before there is one.
    pub(super) top: u64,
    pub(super) top_size: u64,
    /// Only ever compared.
    pub(super) last_remainder: u64,
    pub(super) is_main: bool,
    /// Whether growth is expected to follow the top directly.
    pub(super) contiguous: bool,
    /// Threads that use it.
    pub(super) attached: u32,
    /// Bytes in fastbins.
    pub(super) fast_bytes: u64,
    /// Bytes in all other lists.
    pub(super) binned_bytes: u64,
}

impl Arena {
    pub(super) fn new(memory: &mut Memory, is_main: bool) -> Arena {
        Arena {
            heads: memory.heads(),
            filled: 0,
            fast: [0; FASTBINS],
            have_fast: false,
            top: 0,
            top_size: 0,
            last_remainder: 0,
            is_main,
            contiguous: is_main,
            attached: 1,
            fast_bytes: 0,
            binned_bytes: 0,
        }
    }

    pub(super) fn head(&self, bin: u32) -> Link {
        self.heads + bin
    }

    /// The oldest chunk of a list (of the smallest size, in a large bin).
    pub(super) fn last(&self, memory: &Memory, bin: u32) -> Option<Link> {
        Some(memory.previous(self.head(bin))).filter(|&link| link != self.head(bin))
    }

    /// The youngest chunk of a list (of the largest size, in a large bin).
    pub(super) fn first(&self, memory: &Memory, bin: u32) -> Option<Link> {
        Some(memory.next(self.head(bin))).filter(|&link| link != self.head(bin))
    }

    /// Puts a free chunk at the head of a list that is not sorted by size.
    pub(super) fn push(&mut self, memory: &mut Memory, os: &mut dyn Os, bin: u32, chunk: u64, size: u64) {
        let (link, head) = (memory.link(chunk), self.head(bin));
        let next = memory.next(head);
        self.place(memory, os, link, head, next, size);
        if bin == UNSORTED {
            memory.clear_groups(os, link, size);
        } else {
            self.filled |= 1 << bin;
        }
    }

    /// Puts a free chunk where it belongs by its size.
    pub(super) fn sort_in(&mut self, memory: &mut Memory, os: &mut dyn Os, link: Link, size: u64) {
        let bin = bin_index(size);
        let head = self.head(bin);
        self.filled |= 1 << bin;
        let mut next = memory.next(head);
        if size < LARGE {
            return self.place(memory, os, link, head, next, size);
        }
        if next == head {
            memory.set_groups(os, link, (link, link));
        } else if size < memory.size_at(memory.previous(head)) {
            join_groups(memory, os, link, next);
            next = head;
        } else {
            while size < memory.size_at(next) {
                next = memory.groups(next).0;
            }
            if size == memory.size_at(next) {
                // Behind the chunk that leads its size: then the leader need not change.
                next = memory.next(next);
                memory.set_groups(os, link, (0, 0));
            } else {
                join_groups(memory, os, link, next);
            }
        }
        let previous = memory.previous(next);
        self.place(memory, os, link, previous, next, size);
    }

    fn place(&mut self, memory: &mut Memory, os: &mut dyn Os, link: Link, previous: Link, next: Link, size: u64) {
        memory.set_next(os, link, next);
        memory.set_previous(os, link, previous);
        memory.set_previous(os, next, link);
        memory.set_next(os, previous, link);
        self.binned_bytes += size;
    }

    /// Takes a chunk out of the list that it is in, whichever that is; answers with its size.
    pub(super) fn unlink(&mut self, memory: &mut Memory, os: &mut dyn Os, link: Link) -> u64 {
        let size = self.take(memory, os, link);
        if size < LARGE {
            return size;
        }
        let (next_group, previous_group) = memory.groups(link);
        if next_group == 0 {
            return size;
        }
        let next = memory.next(link);
        if memory.is_head(next) || memory.groups(next).0 != 0 {
            leave_groups(memory, os, next_group, previous_group);
        } else if next_group == link {
            memory.set_groups(os, next, (next, next));
        } else {
            // The next of the same size takes the lead.
            memory.set_groups(os, next, (next_group, previous_group));
            let after = memory.groups(next_group).0;
            memory.set_groups(os, next_group, (after, next));
            let before = memory.groups(previous_group).1;
            memory.set_groups(os, previous_group, (next, before));
        }
        size
    }

    /// Takes a chunk out of a list whose order by size does not matter; answers with its size.
    pub(super) fn take(&mut self, memory: &mut Memory, os: &mut dyn Os, link: Link) -> u64 {
        let (next, previous) = (memory.next(link), memory.previous(link));
        memory.set_next(os, previous, next);
        memory.set_previous(os, next, previous);
        let size = memory.size_at(link);
        self.binned_bytes -= size;
        size
    }

    /// In the large bin of this size, the chunk that serves it best.
    pub(super) fn best_in_bin(&self, memory: &Memory, size: u64) -> Option<Link> {
        let largest = self.first(memory, bin_index(size))?;
        if memory.size_at(largest) < size {
            return None;
        }
        let mut link = memory.groups(largest).1;
        while memory.size_at(link) < size {
            link = memory.groups(link).1;
        }
        // The second of its size, if there is one: then the leader need not change.
        let next = memory.next(link);
        let twin = !memory.is_head(next) && memory.size_at(next) == memory.size_at(link);
        Some(if twin { next } else { link })
    }

    /// The last chunk of the first filled bin from `bin` on.
    pub(super) fn next_larger(&mut self, memory: &Memory, bin: u32) -> Option<Link> {
        loop {
            let candidates = self.filled.checked_shr(bin)?;
            if candidates == 0 {
                return None;
            }
            let bin = bin + candidates.trailing_zeros();
            match self.last(memory, bin) {
                Some(link) => return Some(link),
                None => self.filled &= !(1 << bin),
            }
        }
    }
}

/// Leads a new size, in front of the size that `next` leads (or behind the last one, when `next` is the first).
fn join_groups(memory: &mut Memory, os: &mut dyn Os, link: Link, next: Link) {
    let (after_next, previous) = memory.groups(next);
    memory.set_groups(os, link, (next, previous));
    memory.set_groups(os, next, (after_next, link));
    let before = memory.groups(previous).1;
    memory.set_groups(os, previous, (link, before));
}

fn leave_groups(memory: &mut Memory, os: &mut dyn Os, next: Link, previous: Link) {
    let after = memory.groups(next).0;
    memory.set_groups(os, next, (after, previous));
    let before = memory.groups(previous).1;
    memory.set_groups(os, previous, (next, before));
}
