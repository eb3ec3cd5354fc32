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
    /// `brk` that moves the break by a page.
    pub brk: Nanos,
    /// `mmap`.
    pub mmap: Nanos,
    /// `munmap` of pages that were not touched.
    pub munmap: Nanos,
    /// `mremap` that grows in place.
    pub mremap: Nanos,
    /// `madvise` for a page that was not touched.
    pub madvise: Nanos,
}

/// Rounds, and pieces of work in each: enough that one disturbed round does not count.
const ROUNDS: usize = 15;
const PIECES: usize = 64;

/// Measures; `None` where the kernel refuses. Must run while this process has one thread: another one's allocator must not meet a moving break.
pub fn measure() -> Option<Costs> {
    let rounds = (0..ROUNDS).map(|_| round()).collect::<Option<Vec<[u64; 7]>>>()?;
    let median = |piece: usize| {
        let mut times: Vec<u64> = rounds.iter().map(|round| round[piece]).collect();
        times.sort_unstable();
        Nanos(times[ROUNDS / 2].div_ceil(PIECES as u64))
    };
    let [fault, give_back, brk, mmap, munmap, mremap, madvise] = [0, 1, 2, 3, 4, 5, 6].map(median);
    Some(Costs { fault, give_back, brk, mmap, munmap, mremap, madvise })
}

/// Each kind of work in the order of [`Costs`], ns for all its pieces.
fn round() -> Option<[u64; 7]> {
    let area = Area::new(PIECES)?;
    let fault = timed(|at| area.touch(at));
    let back = timed(|at| area.advise(at));
    let madvise = timed(|at| area.advise(at));
    drop(area);
    let brk = breaks()?;
    let mut areas = Vec::with_capacity(PIECES);
    let mmap = timed(|_| areas.extend(Area::new(2)));
    let grown: Vec<Area> = areas.iter().filter_map(Area::halved).collect();
    let whole = areas.len() == PIECES && grown.len() == PIECES;
    let mremap = timed(|at| _ = grown.get(at).map(Area::grow));
    std::mem::forget(grown);
    let munmap = timed(|_| drop(areas.pop()));
    whole.then_some([fault, back, brk, mmap, munmap, mremap, madvise])
}

fn timed(mut piece: impl FnMut(usize)) -> u64 {
    let begun = Instant::now();
    (0..PIECES).for_each(&mut piece);
    begun.elapsed().as_nanos() as u64
}

/// The break up by a page at a time, and down again.
fn breaks() -> Option<u64> {
    // SAFETY: the break only moves above where the allocator has left it, and is back there at the end.
    let call = |to: i64| unsafe { libc::syscall(libc::SYS_brk, to) };
    let begin = call(0);
    let time = timed(|at| _ = call(begin + (at as i64 + 1) * PAGE as i64));
    let moved = call(0) == begin + PIECES as i64 * PAGE as i64;
    call(begin);
    moved.then_some(time)
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
