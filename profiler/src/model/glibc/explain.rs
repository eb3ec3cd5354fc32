//! The state behind a decision, in words.

use super::Glibc;
use super::arena::UNSORTED;
use super::chunk::{bin_index, chunk_size};
use super::tcache::bin_of;

impl Glibc {
    /// From what the next request of this size by `thread` would be served.
    pub(super) fn describe_state(&self, thread: usize, request: u64) -> String {
        let Some(need) = chunk_size(request) else { return "larger than any chunk".to_owned() };
        let thread = &self.threads[thread];
        let a = thread.arena.unwrap_or(0);
        let arena = &self.arenas[a];
        let cached = thread.tcache.as_ref().zip(bin_of(need)).map_or(0, |(cache, bin)| cache.count(bin));
        let filled = |yes: bool| if yes { "filled" } else { "empty" };
        let fast = need <= self.params.max_fast && arena.fast[(need >> 4) as usize - 2] != 0;
        let unsorted = arena.last(&self.memory, UNSORTED).is_some();
        let bin = bin_index(need);
        let own = arena.last(&self.memory, bin).is_some();
        format!(
            "chunk of {need:#x} bytes, arena {a}: {cached} in tcache, fastbin {}, unsorted {}, bin {bin} {}, top {:#x} bytes at {:#x}, \
             mmap threshold {:#x}, trim threshold {:#x}",
            filled(fast),
            filled(unsorted),
            filled(own),
            arena.top_size,
            arena.top.saturating_sub(self.base.unwrap_or(0)),
            self.params.mmap_threshold,
            self.params.trim_threshold
        )
    }
}
