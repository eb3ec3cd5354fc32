//! What of a segment is committed, and what waits for being returned to the system.
//!
//! The kernel gives pages at the first touch whatever is "committed"; but the calls are made, and a returned page is touched anew.

use super::Mimalloc;
use super::mask::Mask;
use super::rules::SLICE;
use super::segment::{ACCESS, Segment, widened};
use crate::event::{Access, Advice};
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;

/// A millisecond clock that does not begin at 0, because 0 stands for no time at all.
pub(super) const BOOTED: i64 = 1 << 32;

pub(super) fn milliseconds(os: &dyn Os) -> i64 {
    BOOTED + (os.now().0 / 1_000_000) as i64
}

/// The allocator writes.
pub(super) fn touch(os: &mut dyn Os, addr: u64, len: u64) {
    os.touch(Addr(addr), Bytes(len), Access::Write);
}

/// Returns the committed parts of a range of memory.
pub(super) fn return_runs(os: &mut dyn Os, base: u64, mask: Mask) {
    for (slice, count) in mask.runs() {
        os.madvise(Addr(base + slice as u64 * SLICE), Bytes(count as u64 * SLICE), Advice::DontNeed);
    }
}

impl Segment {
    /// Returns the span as a whole, if any of it is committed.
    fn return_span(&mut self, os: &mut dyn Os, slice: usize, count: usize) {
        let mask = Mask::range(slice, slice + count);
        if self.commit.has_any(&mask) {
            if self.allow_decommit {
                os.madvise(Addr(self.base + slice as u64 * SLICE), Bytes(count as u64 * SLICE), Advice::DontNeed);
            }
            self.commit.remove(&mask);
        }
        self.decommit.remove(&mask);
    }

    /// Returns what waits, if it is time or `force` says so.
    pub(super) fn return_waiting(&mut self, os: &mut dyn Os, force: bool) {
        if !self.allow_decommit || self.decommit.is_empty() || (!force && milliseconds(os) < self.expire) {
            return;
        }
        self.expire = 0;
        let waiting = std::mem::replace(&mut self.decommit, Mask::EMPTY);
        waiting.runs().for_each(|(slice, count)| self.return_span(os, slice, count));
    }
}

impl Mimalloc {
    /// Commits a span that is about to be used, with what lies around it.
    pub(super) fn ensure_committed(&mut self, os: &mut dyn Os, segment: u32, slice: usize, count: usize) {
        let segment = &mut self.segments[segment as usize];
        if segment.commit == Mask::FULL && segment.decommit.is_empty() {
            return;
        }
        let (from, to) = widened(slice, slice + count);
        let mask = Mask::range(from, to);
        if !segment.commit.has_all(&mask) {
            os.mprotect(Addr(segment.base + from as u64 * SLICE), Bytes((to - from) as u64 * SLICE), ACCESS);
            segment.commit.add(&mask);
        }
        if segment.decommit.has_any(&mask) {
            segment.expire = milliseconds(os) + self.params.decommit_delay;
        }
        segment.decommit.remove(&mask);
    }

    /// A span became free: it is returned, now or later.
    pub(super) fn perhaps_return(&mut self, os: &mut dyn Os, segment: u32, slice: usize, count: usize) {
        let segment = &mut self.segments[segment as usize];
        if !segment.allow_decommit {
            return;
        }
        if self.params.decommit_delay == 0 {
            return segment.return_span(os, slice, count);
        }
        let committed = segment.commit.and(&Mask::range(slice, slice + count));
        segment.decommit.add(&committed);
        let now = milliseconds(os);
        let extended = self.params.decommit_extend_delay;
        match segment.expire {
            0 => segment.expire = now + self.params.decommit_delay,
            expire if expire > now => segment.expire += extended,
            expire if expire + extended <= now => segment.return_waiting(os, true),
            _ => segment.expire = now + extended,
        }
    }
}
