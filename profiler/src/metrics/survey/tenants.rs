//! Who lives where: bytes of live blocks, page by page.

use crate::model::Block;
use crate::units::{Addr, Bytes, PAGE};
use std::collections::BTreeMap;
use std::ops::Range;

/// Blocks of more pages than this are kept by themselves: a block of a gigabyte that grows often would cost a walk each time.
const LONG: u64 = 32;
const CHUNK: u64 = 512;
const RECENT: usize = 16;
const NOWHERE: (u64, u32) = (u64::MAX, 0);

/// Bytes on one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// What the program asked for.
    pub(super) live: u16,
    /// The same with headers and rounding.
    pub(super) whole: u16,
}

/// Pages that somebody lives on, in chunks of 512.
struct Chunk {
    shares: [Share; CHUNK as usize],
    /// Bytes of whole blocks.
    used: u64,
}

/// A block of many pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long {
    pub(super) whole: (u64, u64),
    pub(super) live: (u64, u64),
}

/// Live blocks by page.
pub(super) struct Tenants {
    index: BTreeMap<u64, u32>,
    chunks: Vec<Chunk>,
    vacant: Vec<u32>,
    recent: [(u64, u32); RECENT],
    long: BTreeMap<u64, Long>,
    /// How many blocks there are.
    pub(super) blocks: u64,
}

impl Tenants {
    pub(super) fn new() -> Tenants {
        Tenants {
            index: BTreeMap::new(),
            chunks: Vec::new(),
            vacant: Vec::new(),
            recent: [NOWHERE; RECENT],
            long: BTreeMap::new(),
            blocks: 0,
        }
    }

    /// A block of `size` requested bytes moves in.
    pub(super) fn add(&mut self, block: Block, size: Bytes, header: Bytes) {
        self.blocks += 1;
        let long = extent(block, size, header);
        if pages(long.whole) > LONG {
            self.long.insert(long.whole.0, long);
            return;
        }
        self.each_page(long, |chunk, at, live, whole| {
            let share = &mut chunk.shares[at];
            (share.live, share.whole) = (share.live + live, share.whole + whole);
            chunk.used += u64::from(whole);
        });
    }

    /// The same moves out.
    pub(super) fn remove(&mut self, block: Block, size: Bytes, header: Bytes) {
        self.blocks -= 1;
        let long = extent(block, size, header);
        if pages(long.whole) > LONG {
            self.long.remove(&long.whole.0);
            return;
        }
        self.each_page(long, |chunk, at, live, whole| {
            let share = &mut chunk.shares[at];
            (share.live, share.whole) = (share.live - live, share.whole - whole);
            chunk.used -= u64::from(whole);
        });
    }

    /// Bytes on a page, those of long blocks left out.
    #[cfg(test)]
    pub(super) fn share(&self, page: u64) -> Share {
        self.index.get(&(page / CHUNK)).map_or(Share::default(), |&slot| self.chunks[slot as usize].shares[(page % CHUNK) as usize])
    }

    /// The pages of a chunk, if somebody ever lived there.
    pub(super) fn chunk(&self, number: u64) -> Option<&[Share; CHUNK as usize]> {
        self.index.get(&number).map(|&slot| &self.chunks[slot as usize].shares)
    }

    /// Long blocks, ascending.
    pub(super) fn long(&self) -> impl Iterator<Item = &Long> {
        self.long.values()
    }

    /// Lets go of chunks that nobody lives in.
    pub(super) fn tidy(&mut self) {
        let (chunks, vacant) = (&self.chunks, &mut self.vacant);
        self.index.retain(|_, slot| {
            let used = chunks[*slot as usize].used > 0;
            if !used {
                vacant.push(*slot);
            }
            used
        });
        self.recent = [NOWHERE; RECENT];
    }

    fn each_page(&mut self, long: Long, mut change: impl FnMut(&mut Chunk, usize, u16, u16)) {
        for page in page_range(long.whole) {
            let chunk = self.chunk_mut(page / CHUNK);
            change(chunk, (page % CHUNK) as usize, on(page, long.live) as u16, on(page, long.whole) as u16);
        }
    }

    fn chunk_mut(&mut self, number: u64) -> &mut Chunk {
        let recent = self.recent[number as usize % RECENT];
        if recent.0 == number {
            return &mut self.chunks[recent.1 as usize];
        }
        let slot = match self.index.get(&number) {
            Some(&slot) => slot,
            None => {
                let slot = self.vacant.pop().unwrap_or_else(|| {
                    self.chunks.push(Chunk { shares: [Share::default(); CHUNK as usize], used: 0 });
                    self.chunks.len() as u32 - 1
                });
                self.index.insert(number, slot);
                slot
            }
        };
        self.recent[number as usize % RECENT] = (number, slot);
        &mut self.chunks[slot as usize]
    }
}

/// Where a block lies, with its header and its rounding.
fn extent(block: Block, size: Bytes, header: Bytes) -> Long {
    let Addr(start) = block.addr;
    Long { whole: (start - header.0, start + block.usable.0), live: (start, start + size.0.min(block.usable.0)) }
}

fn page_range((start, end): (u64, u64)) -> Range<u64> {
    start / PAGE..end.div_ceil(PAGE).max(start / PAGE)
}

fn pages(range: (u64, u64)) -> u64 {
    let range = page_range(range);
    range.end - range.start
}

/// How many bytes of a range lie on a page.
pub(super) fn on(page: u64, (start, end): (u64, u64)) -> u64 {
    end.min((page + 1) * PAGE).saturating_sub(start.max(page * PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_counts_on_every_page_that_it_lies_on() {
        let mut tenants = Tenants::new();
        let header = Bytes(8);
        let block = |addr, usable| Block { addr: Addr(addr), usable: Bytes(usable) };
        let (small, wide) = (block(PAGE + 16, 24), block(2 * PAGE - 100, 300));
        tenants.add(small, Bytes(20), header);
        tenants.add(wide, Bytes(250), header);
        let share = |live, whole| Share { live, whole };
        assert_eq!([1, 2, 3].map(|page| tenants.share(page)), [share(20 + 100, 32 + 108), share(150, 200), share(0, 0)]);
        tenants.remove(small, Bytes(20), header);
        tenants.remove(wide, Bytes(250), header);
        assert_eq!([1, 2].map(|page| tenants.share(page)), [share(0, 0); 2]);
        tenants.tidy();
        assert!(tenants.index.is_empty() && tenants.blocks == 0);
    }

    #[test]
    fn long_blocks_stand_by_themselves() {
        let mut tenants = Tenants::new();
        let block = Block { addr: Addr(16), usable: Bytes(1 << 30) };
        tenants.add(block, Bytes(1 << 29), Bytes(16));
        assert_eq!((tenants.chunks.len(), tenants.long().count(), tenants.blocks), (0, 1, 1));
        tenants.remove(block, Bytes(1 << 29), Bytes(16));
        assert_eq!(tenants.long().count(), 0);
    }
}
