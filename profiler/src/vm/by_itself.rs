//! Pages that the kernel makes resident by itself: where memory is locked or to be populated, and huge ones in the background.

use super::{AddressSpace, CHUNK, Vma, clip, page_range, thp};
use crate::event::{Access, Backing, MCL_FUTURE, MCL_ONFAULT, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE, Pages};
use std::ops::Range;

impl<const N: usize> AddressSpace<N> {
    /// `mlock` that succeeded; `on_fault` only keeps what comes.
    pub fn lock(&mut self, addr: Addr, len: Bytes, on_fault: bool) {
        let range = page_range(addr, len);
        self.vmas.update(range.clone(), |vma| Vma { locked: !on_fault, ..*vma });
        self.populate_where_locked(range);
    }

    /// `munlock` that succeeded: what is there stays.
    pub fn unlock(&mut self, addr: Addr, len: Bytes) {
        self.vmas.update(page_range(addr, len), |vma| Vma { locked: false, ..*vma });
    }

    /// `munlockall`.
    pub fn unlock_all(&mut self) {
        self.vmas.update(0..u64::MAX, |vma| Vma { locked: false, ..*vma });
    }

    /// What `mlockall` with these flags says of mappings to come; what is there already is [`lock`](Self::lock)'s.
    pub fn lock_new(&mut self, flags: u32) {
        self.locks_new = flags & (MCL_FUTURE | MCL_ONFAULT) == MCL_FUTURE;
    }

    /// The kernel accesses pages by itself; gives nothing back.
    pub(super) fn populate_as(&mut self, range: Range<u64>, access: Access) -> Pages {
        let before = self.readings.each_ref().map(|reading| reading.counters.minor_faults);
        let pieces: Vec<(Range<u64>, Range<u64>, Vma)> =
            self.vmas.overlaps(range.clone()).map(|(extent, vma)| (clip(&extent, &range), extent, *vma)).collect();
        for (piece, extent, vma) in pieces.into_iter().filter(|(.., vma)| vma.allows(access) && vma.is_populated()) {
            if vma.backing == Backing::PrivateFile && access != Access::Write {
                self.readings.iter_mut().for_each(|reading| reading.read_file(&piece, &extent));
            } else {
                self.touch(Addr(piece.start * PAGE), Pages(piece.end - piece.start).bytes(), access);
            }
        }
        for (reading, before) in self.readings.iter_mut().zip(before) {
            reading.counters.populated += reading.counters.minor_faults - before;
        }
        Pages(0)
    }

    /// Makes pages resident for good, as `MAP_POPULATE` and `mlock` do: private ones that may be written as if they were, others as if read.
    pub(in crate::vm) fn populate_pages(&mut self, range: Range<u64>) {
        let written = |vma: &Vma| vma.prot & PROT_WRITE != 0 && vma.backing != Backing::Shared;
        let pieces: Vec<(Range<u64>, bool)> =
            self.vmas.overlaps(range.clone()).map(|(extent, vma)| (clip(&extent, &range), written(vma))).collect();
        for (piece, written) in pieces {
            self.populate_as(piece, if written { Access::Write } else { Access::Read });
        }
    }

    pub(super) fn populate_where_locked(&mut self, range: Range<u64>) {
        let locked: Vec<Range<u64>> =
            self.vmas.overlaps(range.clone()).filter(|(_, vma)| vma.locked).map(|(extent, _)| clip(&extent, &range)).collect();
        locked.into_iter().for_each(|piece| self.populate_pages(piece));
    }

    /// The first `count` chunks from `from` on that a first touch would make huge.
    pub(in crate::vm) fn coverable(&self, from: u64, count: u64) -> Vec<u64> {
        let chunks = |(extent, vma): (Range<u64>, &Vma)| {
            let (vma, first) = (*vma, (extent.start.div_ceil(CHUNK)).max(from));
            (first..extent.end / CHUNK).filter(move |&number| self.thp.covers(&vma, &extent, number))
        };
        self.vmas.overlaps(from * CHUNK..u64::MAX).flat_map(chunks).take(count as usize).collect()
    }

    /// Makes a chunk huge in one reading: `khugepaged` did.
    pub(in crate::vm) fn collapse_in(&mut self, reading: usize, number: u64, most_absent: u64) {
        let reading = &mut self.readings[reading];
        let before = reading.counters.anon;
        reading.collapse(number, most_absent);
        reading.counters.filled += (reading.counters.anon - before).0;
    }

    /// Huge pages wherever one fits and something is there; gives nothing back.
    pub(super) fn collapse(&mut self, range: Range<u64>) -> Pages {
        self.hot.forget(&range);
        for number in range.start.div_ceil(CHUNK)..range.end / CHUNK {
            if self.vmas.get(number * CHUNK).is_some_and(|(extent, vma)| thp::fits(&vma, &extent, number) && vma.huge != Some(false)) {
                self.readings.iter_mut().for_each(|reading| reading.collapse(number, CHUNK - 1));
            }
        }
        Pages(0)
    }
}
