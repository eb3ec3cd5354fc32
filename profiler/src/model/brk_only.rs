//! One classic heap that grows by `sbrk`: first fit, boundary tags, coalescing; shrinks only from its top and never maps.
//!
//! The textbook allocator, and the worst case of the break: one live block at the top keeps everything below it.
//!
//! ```text
//! chunk    | size of the one below, if free | own size, flags |  usable bytes …      |   multiples of 16, at least 32
//!          ^ chunk                                            ^ block (chunk + 16)
//! free     | size of the one below, if free | own size, flags | next | previous | …  |
//! ```
//!
//! Touched: the header of a chunk when it is cut; header and links of a free chunk when it is made or changed; the first word of the
//! chunk above a free one (its boundary tag); the header of the top after every change. The list of free chunks is taken to be found in place:
//! its walk touches headers that are resident already.

use super::{AllocatorModel, Block, Counters, Layout, ModelSpec, Request, Settings, Tunable, Unit};
use crate::error::Result;
use crate::event::{Access, Tid};
use crate::extents::Extents;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

pub(super) static SPEC: ModelSpec = ModelSpec {
    id: "brk-only",
    versions: &[],
    summary: "one heap grown by sbrk: first fit, coalescing, trimmed from the top, never maps",
    tunables: &[
        Tunable {
            key: "trim_threshold",
            knobs: &[],
            default: 128 << 10,
            unit: Unit::Bytes,
            range: (0, 1 << 46),
            doc: "free bytes at the top above which the break moves down",
        },
        Tunable {
            key: "top_pad",
            knobs: &[],
            default: 128 << 10,
            unit: Unit::Bytes,
            range: (0, 1 << 40),
            doc: "bytes asked for beyond the need when growing, and kept when trimming",
        },
    ],
    knob_value: super::plain_knob,
    library: crate::model::Footprint::NONE,
    build,
};

const HEADER: u64 = 16;
const SMALLEST: u64 = 32;

fn build(settings: &Settings) -> Result<Box<dyn AllocatorModel>> {
    Ok(Box::new(BrkOnly {
        trim_threshold: settings.bytes("trim_threshold"),
        top_pad: settings.bytes("top_pad"),
        free: Extents::new(),
        base: 0,
        top: 0,
        end: 0,
        used: 0,
        foreign: 0,
    }))
}

struct BrkOnly {
    trim_threshold: u64,
    top_pad: u64,
    /// Free chunks below the top.
    free: Extents,
    base: u64,
    /// Start of the top chunk, which ends at `end`, the break.
    top: u64,
    end: u64,
    /// Everything from here on is as the kernel gave it: zero.
    used: u64,
    /// Bytes between `base` and `end` that the program made by its own `sbrk`.
    foreign: u64,
}

fn chunk_of(block: Block) -> (u64, u64) {
    (block.addr.0 - HEADER, block.addr.0 + block.usable.0)
}

/// Size of the chunk for a request.
fn chunk_size(size: Bytes) -> Option<u64> {
    Some(size.0.checked_next_multiple_of(16)?.checked_add(HEADER)?.max(SMALLEST))
}

fn write(os: &mut dyn Os, at: u64, len: u64) {
    os.touch(Addr(at), Bytes(len), Access::Write);
}

impl BrkOnly {
    /// A chunk of exactly `need` bytes, or of up to 16 more where the rest would be too small to stand alone.
    fn cut(&mut self, os: &mut dyn Os, need: u64) -> Option<(u64, u64)> {
        if let Some((start, end)) = self.free.lowest_fit(need) {
            let rest = end - start - need;
            let taken = if rest < SMALLEST { end } else { start + need };
            self.free.remove(start, taken);
            write(os, start, HEADER);
            if taken < end {
                self.tag_free(os, taken, end);
            }
            return Some((start, taken));
        }
        self.grow(os, need)?;
        let start = self.top;
        self.top += need;
        write(os, start, HEADER);
        write(os, self.top, HEADER);
        Some((start, self.top))
    }

    /// Makes the top large enough for `need` and a header behind it.
    fn grow(&mut self, os: &mut dyn Os, need: u64) -> Option<()> {
        if self.end == 0 {
            let start = os.brk(Addr(0)).0;
            (self.base, self.end) = (start.next_multiple_of(16), start);
            (self.top, self.used) = (self.base, self.base);
        }
        let least = self.top.checked_add(need)?.checked_add(SMALLEST)?;
        if least <= self.end {
            return Some(());
        }
        let now = os.program_break().0;
        if now != self.end {
            self.go_on_behind(os, now);
            return self.grow(os, need);
        }
        let wanted = least.saturating_add(self.top_pad);
        for target in [wanted, least] {
            let target = target.checked_next_multiple_of(PAGE)?;
            if os.brk(Addr(target)).0 == target {
                self.end = target;
                return Some(());
            }
        }
        None
    }

    /// The program has moved the break: what is left of the top becomes a free chunk, and the heap goes on behind the program's part.
    fn go_on_behind(&mut self, os: &mut dyn Os, now: u64) {
        let (top, end) = (self.top, self.end);
        self.foreign += now.saturating_sub(end);
        self.end = now;
        self.top = now.next_multiple_of(16);
        self.used = self.top;
        // The last header of the old part stays: the chunk below it must not run into what is not the heap's.
        if end.saturating_sub(top) >= SMALLEST + HEADER {
            let (start, end) = self.free.insert(top, end - HEADER);
            self.tag_free(os, start, end);
        }
    }

    fn release(&mut self, os: &mut dyn Os, start: u64, end: u64) {
        let (start, end) = self.free.insert(start, end);
        if end < self.top {
            return self.tag_free(os, start, end);
        }
        self.free.remove(start, end);
        self.top = start;
        write(os, self.top, HEADER);
        self.trim(os);
    }

    fn trim(&mut self, os: &mut dyn Os) {
        if self.end.saturating_sub(self.top) <= self.trim_threshold || os.program_break().0 != self.end {
            return;
        }
        let target = (self.top + SMALLEST).saturating_add(self.top_pad).next_multiple_of(PAGE);
        if target < self.end && os.brk(Addr(target)).0 == target {
            self.end = target;
            self.used = self.used.min(target);
        }
    }

    /// Header and links of a free chunk, and its boundary tag in the chunk above.
    fn tag_free(&self, os: &mut dyn Os, start: u64, end: u64) {
        write(os, start, SMALLEST);
        write(os, end, 8);
    }

    fn finish(&mut self, os: &mut dyn Os, (start, end): (u64, u64), request: Request) -> Block {
        let block = Block { addr: Addr(start + HEADER), usable: Bytes(end - start - HEADER) };
        let dirty = self.used.min(end).saturating_sub(block.addr.0).min(request.size.0);
        if request.zeroed && dirty > 0 {
            write(os, block.addr.0, dirty);
        }
        self.used = self.used.max(end);
        block
    }

    /// A chunk whose block is aligned: cut larger, then given back at both ends.
    fn cut_aligned(&mut self, os: &mut dyn Os, need: u64, align: u64) -> Option<(u64, u64)> {
        let (start, end) = self.cut(os, need.checked_add(align)?.checked_add(SMALLEST)?)?;
        self.used = self.used.max(end);
        let mut from = (start + HEADER).next_multiple_of(align) - HEADER;
        if from > start {
            // What is cut off in front must be able to stand alone.
            if from - start < SMALLEST {
                from += align;
            }
            write(os, from, HEADER);
            self.release(os, start, from);
        }
        if end - (from + need) < SMALLEST {
            return Some((from, end));
        }
        self.release(os, from + need, end);
        Some((from, from + need))
    }

    /// Resizes the chunk where it is, if what follows it allows.
    fn resize(&mut self, os: &mut dyn Os, (start, end): (u64, u64), need: u64) -> Option<(u64, u64)> {
        let wanted = start.checked_add(need)?;
        if wanted > end && end == self.top {
            if wanted + SMALLEST > self.end {
                self.grow(os, wanted - end)?;
            }
            if end != self.top {
                return None;
            }
            self.top = wanted;
            write(os, self.top, HEADER);
            write(os, start, HEADER);
            return Some((start, wanted));
        }
        let mut grown = end;
        if wanted > end {
            let (_, above) = self.free.containing(end).filter(|&(_, above)| above >= wanted)?;
            self.free.remove(end, above);
            grown = above;
        }
        write(os, start, HEADER);
        if grown - wanted < SMALLEST {
            return Some((start, grown));
        }
        self.release(os, wanted, grown);
        Some((start, wanted))
    }
}

impl AllocatorModel for BrkOnly {
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        let need = chunk_size(request.size)?;
        let chunk = if request.align <= 16 { self.cut(os, need)? } else { self.cut_aligned(os, need, request.align)? };
        Some(self.finish(os, chunk, request))
    }

    fn free(&mut self, os: &mut dyn Os, _tid: Tid, block: Block) {
        let (start, end) = chunk_of(block);
        self.release(os, start, end);
    }

    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        let need = chunk_size(request.size)?;
        if let Some((start, end)) = self.resize(os, chunk_of(old), need) {
            self.used = self.used.max(end);
            return Some(Block { addr: Addr(start + HEADER), usable: Bytes(end - start - HEADER) });
        }
        let new = self.malloc(os, request)?;
        let copied = Bytes(old.usable.0.min(request.size.0));
        os.touch(old.addr, copied, Access::Read);
        os.touch(new.addr, copied, Access::Write);
        self.free(os, request.tid, old);
        Some(new)
    }

    fn layout(&self) -> Layout {
        Layout { header: Bytes(HEADER), from_top: true }
    }

    fn counters(&self) -> Counters {
        let top = self.end.saturating_sub(self.top);
        let held = self.end.saturating_sub(self.base + self.foreign);
        Counters { held: Bytes(held), free: Bytes(self.free.total() + top), parts: Vec::new() }
    }
}

#[cfg(test)]
#[path = "brk_only_tests.rs"]
mod tests;
