//! What no process can do: a damaged trace may hold anything.

use crate::event::What;
use crate::units::PAGE;

/// Whether numbers are such that sums of them cannot overflow: a damaged trace may hold anything.
pub(super) fn plausible(what: What) -> bool {
    /// User addresses have at most 57 bits.
    const LIMIT: u64 = 1 << 57;
    /// 4 TiB resident in one piece.
    const MOST_PAGES: u64 = 1 << 30;
    let fits = |numbers: &[u64]| numbers.iter().all(|&number| number < LIMIT);
    match what {
        What::Alloc { ptr, size, old, .. } => ptr.is_null() || fits(&[ptr.0, size.0, old.0]),
        What::Free { ptr } => fits(&[ptr.0]),
        What::Brk { got, .. } => fits(&[got.0]),
        What::Mmap { len, result, .. } => result.is_err() || fits(&[len.0, result.map_or(0, |addr| addr.0)]),
        What::Mremap { addr, len, new_len, result, .. } => {
            result.is_err() || fits(&[addr.0, len.0, new_len.0, result.map_or(0, |to| to.0)])
        }
        What::Munmap { addr, len, errno, .. }
        | What::Madvise { addr, len, errno, .. }
        | What::Mprotect { addr, len, errno, .. }
        | What::Mlock { addr, len, errno, .. }
        | What::Munlock { addr, len, errno } => errno != 0 || fits(&[addr.0, len.0]),
        What::Trim { pad } => fits(&[pad.0]),
        What::Fault { addr, .. } => fits(&[addr.0]),
        What::Mapped { addr, len, .. } => fits(&[addr.0, len.0]),
        What::Resident { addr, pages } => fits(&[addr.0]) && pages.0 <= MOST_PAGES,
        What::Rss { anon, file, shmem } => [anon, file, shmem].iter().all(|pages| pages.0 <= LIMIT / PAGE),
        What::Swap { pages } => pages.0 <= LIMIT / PAGE,
        _ => true,
    }
}
