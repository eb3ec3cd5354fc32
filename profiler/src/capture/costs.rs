//! What a piece of the kernel's work costs on this machine: a few milliseconds of it, in heapcast's own address space.

use std::time::Instant;

use crate::units::{Nanos, PAGE};

/// The median of some rounds, for one piece of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// First touch of an anonymous page.
    pub fault: Nanos,
    /// Giving a touched page back.
    pub give_back: Nanos,
    /// A mapping that grows by a page where it is: `mremap`, and what `brk` does.
    pub grow: Nanos,
    /// `mmap`.
    pub mmap: Nanos,
    /// `munmap` of pages that were not touched.
    pub munmap: Nanos,
    /// `madvise` for a page that was not touched.
    pub madvise: Nanos,
}

/// Rounds, and pieces of work in each: enough that one disturbed round does not count.
const ROUNDS: usize = 15;
const PIECES: usize = 64;

/// Measures; `None` where the kernel refuses.
pub fn measure() -> Option<Costs> {
    middle(&(0..ROUNDS).map(|_| round()).collect::<Option<Vec<_>>>()?)
}

/// Measures in two states by turns, so that what else goes on disturbs both alike; `enter` is told the state before each round.
pub fn compare(mut enter: impl FnMut(bool)) -> Option<[Costs; 2]> {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (state, rounds) in rounds.iter_mut().enumerate() {
            enter(state == 1);
            rounds.push(round()?);
        }
    }
    enter(false);
    Some([middle(&rounds[0])?, middle(&rounds[1])?])
}

fn middle(rounds: &[[u64; 6]]) -> Option<Costs> {
    let median = |piece: usize| {
        let mut times: Vec<u64> = rounds.iter().map(|round| round[piece]).collect();
        times.sort_unstable();
        Nanos(times[rounds.len() / 2].div_ceil(PIECES as u64))
    };
    let [fault, give_back, grow, mmap, munmap, madvise] = [0, 1, 2, 3, 4, 5].map(median);
    Some(Costs { fault, give_back, grow, mmap, munmap, madvise })
}

/// Each kind of work in the order of [`Costs`], ns for all its pieces.
fn round() -> Option<[u64; 6]> {
    let area = Area::new(PIECES)?;
    let fault = timed(|at| area.touch(at));
    let back = timed(|at| area.advise(at));
    let madvise = timed(|at| area.advise(at));
    drop(area);
    let mut areas = Vec::with_capacity(PIECES);
    let mmap = timed(|_| areas.extend(Area::new(2)));
    let halved = areas.iter().filter(|area| area.halve()).count();
    let mut grown = 0;
    let grow = timed(|at| grown += usize::from(areas.get(at).is_some_and(Area::grow)));
    let whole = [areas.len(), halved, grown] == [PIECES; 3];
    let munmap = timed(|_| drop(areas.pop()));
    whole.then_some([fault, back, grow, mmap, munmap, madvise])
}

fn timed(mut piece: impl FnMut(usize)) -> u64 {
    let begun = Instant::now();
    (0..PIECES).for_each(&mut piece);
    begun.elapsed().as_nanos() as u64
}

/// Pages of this process without huge ones.
struct Area {
    start: *mut u8,
    bytes: usize,
}

impl Area {
    fn new(pages: usize) -> Option<Area> {
        let bytes = pages * PAGE as usize;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at a place that the kernel chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let area = Area { start: start.cast(), bytes };
        if pages == PIECES {
            // SAFETY: a hint for the whole of a mapping of our own.
            unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
        }
        Some(area)
    }

    /// The first half of an area of two pages, with room to grow behind it. The whole still belongs to the area, which unmaps both.
    fn halve(&self) -> bool {
        let half = self.bytes / 2;
        // SAFETY: the second half of a mapping of our own, which nobody uses.
        unsafe { libc::munmap(self.start.add(half).cast(), half) == 0 }
    }

    /// Grows a halved area in place.
    fn grow(&self) -> bool {
        let half = self.bytes / 2;
        // SAFETY: the first half is mapped and ours; without flags the kernel does not move it.
        unsafe { libc::mremap(self.start.cast(), half, self.bytes, 0) != libc::MAP_FAILED }
    }

    fn touch(&self, page: usize) {
        // SAFETY: `page` lies in the mapping, which can be written and holds nothing.
        unsafe { self.start.add(page * PAGE as usize).write_volatile(1) };
    }

    fn advise(&self, page: usize) {
        // SAFETY: `page` lies in the mapping, which holds nothing that is needed.
        unsafe { libc::madvise(self.start.add(page * PAGE as usize).cast(), PAGE as usize, libc::MADV_DONTNEED) };
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody else has its address.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_takes_time() {
        let costs = measure().expect("this kernel does all of it");
        let all = [costs.fault, costs.give_back, costs.grow, costs.mmap, costs.munmap, costs.madvise];
        assert!(all.iter().all(|cost| cost.0 > 0), "{costs:?}");
    }
}
