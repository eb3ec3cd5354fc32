//! A thread's cache: per size a stack of chunks that are handed out and taken back without a look at any arena.

use super::chunk::{HEADER, MINSIZE};
use super::memory::{Link, Memory, write};
use crate::vm::os::Os;

/// Sizes that can be cached.
const BINS: usize = 64;

/// One thread's cache. It lives in a chunk of the thread's arena.
pub(super) struct Tcache {
    /// The chunk that holds it.
    pub(super) chunk: u64,
    /// Where its table of heads begins.
    heads_at: u64,
    counts: [u32; BINS],
    heads: [Link; BINS],
    /// Bytes of cached chunks.
    pub(super) bytes: u64,
}

/// Bin of a chunk size, if that can be cached at all.
pub(super) fn bin_of(size: u64) -> Option<usize> {
    Some(((size - MINSIZE) / 16) as usize).filter(|&bin| bin < BINS)
}

impl Tcache {
    pub(super) fn new(chunk: u64, heads_at: u64) -> Tcache {
        Tcache { chunk, heads_at, counts: [0; BINS], heads: [0; BINS], bytes: 0 }
    }

    pub(super) fn count(&self, bin: usize) -> u32 {
        self.counts[bin]
    }

    pub(super) fn put(&mut self, memory: &mut Memory, os: &mut dyn Os, bin: usize, chunk: u64) {
        let link = memory.link(chunk);
        memory.set_next(os, link, self.heads[bin]);
        self.heads[bin] = link;
        self.counts[bin] += 1;
        self.bytes += size_of(bin);
        self.touch(os, bin);
    }

    pub(super) fn get(&mut self, memory: &mut Memory, os: &mut dyn Os, bin: usize) -> Option<u64> {
        let link = self.heads[bin];
        if link == 0 {
            return None;
        }
        self.heads[bin] = memory.next(link);
        self.left(os, bin);
        Some(released(memory, os, link))
    }

    /// Takes out the first chunk, from the youngest on, whose pointer is aligned.
    pub(super) fn get_aligned(&mut self, memory: &mut Memory, os: &mut dyn Os, bin: usize, align: u64) -> Option<u64> {
        let (mut before, mut link) = (0, self.heads[bin]);
        while link != 0 && !(memory.chunk(link) + HEADER).is_multiple_of(align) {
            (before, link) = (link, memory.next(link));
        }
        if link == 0 {
            return None;
        }
        if before == 0 {
            self.heads[bin] = memory.next(link);
        } else {
            memory.set_next(os, before, memory.next(link));
        }
        self.left(os, bin);
        Some(released(memory, os, link))
    }

    /// Everything, smallest size first, youngest first.
    pub(super) fn drain(&mut self, memory: &Memory) -> Vec<u64> {
        let mut chunks = Vec::new();
        for bin in 0..BINS {
            let mut link = std::mem::take(&mut self.heads[bin]);
            while link != 0 {
                chunks.push(memory.chunk(link));
                link = memory.next(link);
            }
        }
        self.bytes = 0;
        chunks
    }

    /// Every cached chunk, with its size.
    pub(super) fn each(&self, memory: &Memory, mut visit: impl FnMut(u64, u64)) {
        for (bin, &head) in self.heads.iter().enumerate() {
            let mut link = head;
            while link != 0 {
                visit(memory.chunk(link), size_of(bin));
                link = memory.next(link);
            }
        }
    }

    fn left(&mut self, os: &mut dyn Os, bin: usize) {
        self.counts[bin] -= 1;
        self.bytes -= size_of(bin);
        self.touch(os, bin);
    }

    fn touch(&self, os: &mut dyn Os, bin: usize) {
        write(os, self.chunk + HEADER + 2 * bin as u64, 2);
        write(os, self.heads_at + 8 * bin as u64, 8);
    }
}

fn size_of(bin: usize) -> u64 {
    MINSIZE + 16 * bin as u64
}

/// The mark against double frees is wiped out.
fn released(memory: &Memory, os: &mut dyn Os, link: Link) -> u64 {
    let chunk = memory.chunk(link);
    write(os, chunk + HEADER + 8, 8);
    chunk
}
