//! What is in memory when recording begins: the mappings, the resident anonymous pages, and the kernel's own count.
//!
//! The anonymous pages come from the `PAGEMAP_SCAN` ioctl of `/proc/PID/pagemap` (Linux 6.7), which skips holes and knows the zero page.
//! Older kernels are read word by word:
//!
//! ```text
//! 63        62       61                          60 … 0
//! | present | swapped | file or shared-anonymous | …  |      one word of eight bytes for each page of the address space
//! ```

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::maps::{self, Mapping};
use super::process;
use crate::error::{Context, Error, Kind, Result};
use crate::event::{Backing, What};
use crate::units::{Addr, Bytes, PAGE, Pages};

/// A run of pages: the number of the first one, and how many.
type Run = (u64, u64);

/// The process as it is now: [`What::Mapped`] for every mapping, [`What::Resident`] for every run of resident anonymous pages, and one
/// [`What::Rss`]. The caller sees to it that the process does not run meanwhile.
pub fn snapshot(pid: u32) -> Result<Vec<What>> {
    let mut mappings = maps::read(pid)?;
    // The same kernel page in every process, above all addresses that a process can have.
    mappings.retain(|mapping| mapping.path != "[vsyscall]");
    let mut events: Vec<What> = mappings.iter().map(mapped).collect();
    for (first, pages) in anonymous_pages(pid, &mappings)? {
        events.push(What::Resident { addr: Addr(first * PAGE), pages: Pages(pages) });
    }
    events.push(rss(pid)?);
    Ok(events)
}

fn mapped(mapping: &Mapping) -> What {
    What::Mapped { addr: mapping.start, len: mapping.len(), prot: mapping.prot, backing: maps::backing(mapping) }
}

/// The kernel's count. The anonymous pages and the sum are exact (`smaps_rollup` walks the page tables); how the rest divides into file
/// and shared pages is taken from `status`, whose counters may lag by some pages.
pub fn rss(pid: u32) -> Result<What> {
    let rollup = process::file(pid, "smaps_rollup")?;
    let status = process::file(pid, "status")?;
    let (rollup, status) = (String::from_utf8_lossy(&rollup), String::from_utf8_lossy(&status));
    let missing = || Error::new(Kind::Target, format!("process {pid} has no memory of its own: it has ended or is a kernel thread"));
    let sum = process::kib(&rollup, "Rss").ok_or_else(missing)?;
    let anon = process::kib(&rollup, "Anonymous").ok_or_else(missing)?;
    let other = sum.saturating_sub(anon);
    let shmem = process::kib(&status, "RssShmem").unwrap_or(0).min(other);
    let pages = |kib: u64| Bytes(kib.saturating_mul(1024)).pages_up();
    Ok(What::Rss { anon: pages(anon), file: pages(other - shmem), shmem: pages(shmem) })
}

/// The runs of resident anonymous pages, ascending, over all mappings that can have some.
fn anonymous_pages(pid: u32, mappings: &[Mapping]) -> Result<Vec<Run>> {
    let path = format!("/proc/{pid}/pagemap");
    let pagemap = File::open(&path).map_err(|cause| process::unreadable(&path, &cause))?;
    let candidates = mappings.iter().filter(|m| !matches!(maps::backing(m), Backing::Special | Backing::Shared));
    let ranges: Vec<(Addr, Addr)> = candidates.map(|mapping| (mapping.start, mapping.end)).collect();
    match scan::all(&pagemap, &ranges) {
        Some(runs) => Ok(runs),
        None => words(pid, &pagemap, &ranges),
    }
}

/// Appends a run, joined to the last one where they touch.
fn push(runs: &mut Vec<Run>, first: u64, pages: u64) {
    match runs.last_mut() {
        Some((start, length)) if *start + *length == first => *length += pages,
        _ => runs.push((first, pages)),
    }
}

const PRESENT: u64 = 1 << 63;
const FILE_OR_SHARED: u64 = 1 << 61;

/// The runs by reading the words, which cannot tell the zero page from an anonymous one. `smaps` says how many anonymous pages a mapping
/// has: without any it is skipped, and once they are found the rest is left alone, so that a huge sparse mapping costs little.
fn words(pid: u32, pagemap: &File, ranges: &[(Addr, Addr)]) -> Result<Vec<Run>> {
    let smaps = process::file(pid, "smaps")?;
    let counts = anonymous_by_start(&String::from_utf8_lossy(&smaps));
    let mut runs = Vec::new();
    for &(start, end) in ranges {
        let mut left = counts.iter().find(|(at, _)| *at == start).map_or(0, |(_, pages)| *pages);
        let mut next = start.page();
        while left > 0 && next < end.page() {
            let wanted = (end.page() - next).min(8192) as usize;
            let mut chunk = vec![0; wanted * 8];
            pagemap.read_exact_at(&mut chunk, next * 8).context(Kind::Target, format_args!("cannot read /proc/{pid}/pagemap"))?;
            for (page, word) in (next..).zip(chunk.as_chunks::<8>().0) {
                if u64::from_ne_bytes(*word) & (PRESENT | FILE_OR_SHARED) == PRESENT {
                    push(&mut runs, page, 1);
                    left = left.saturating_sub(1);
                }
            }
            next += wanted as u64;
        }
    }
    Ok(runs)
}

/// Start and number of anonymous pages of each mapping in the text of a `smaps` file.
fn anonymous_by_start(smaps: &str) -> Vec<(Addr, u64)> {
    let mut counts: Vec<(Addr, u64)> = Vec::new();
    for line in smaps.lines() {
        if let Some(mapping) = maps::parse(line).first() {
            counts.push((mapping.start, 0));
        } else if let (Some(kib), Some(last)) = (process::kib(line, "Anonymous"), counts.last_mut()) {
            last.1 = Bytes(kib.saturating_mul(1024)).pages_up().0;
        }
    }
    counts
}

/// The `PAGEMAP_SCAN` ioctl.
mod scan {
    // The one system call of this room without a safe wrapper in the standard library.
    #![allow(unsafe_code)]

    use super::{Addr, AsRawFd, File, PAGE, Run, push};

    const PAGE_IS_FILE: u64 = 1 << 2;
    const PAGE_IS_PRESENT: u64 = 1 << 3;
    const PAGE_IS_PFNZERO: u64 = 1 << 5;

    /// `struct page_region` of `linux/fs.h`.
    #[derive(Clone, Copy, Default)]
    #[repr(C)]
    struct Region {
        start: u64,
        end: u64,
        categories: u64,
    }

    /// `struct pm_scan_arg` of `linux/fs.h`.
    #[derive(Default)]
    #[repr(C)]
    struct Arguments {
        size: u64,
        flags: u64,
        start: u64,
        end: u64,
        walk_end: u64,
        vec: u64,
        vec_len: u64,
        max_pages: u64,
        category_inverted: u64,
        category_mask: u64,
        category_anyof_mask: u64,
        return_mask: u64,
    }

    /// `_IOWR('f', 16, struct pm_scan_arg)`
    const PAGEMAP_SCAN: u64 = 3 << 30 | (size_of::<Arguments>() as u64) << 16 | (b'f' as u64) << 8 | 16;

    /// The resident anonymous pages in these ranges; `None` where the kernel does not have the call.
    pub(super) fn all(pagemap: &File, ranges: &[(Addr, Addr)]) -> Option<Vec<Run>> {
        let mut runs = Vec::new();
        for &(start, end) in ranges {
            let mut next = start.0;
            while next < end.0 {
                next = part(pagemap, next, end.0, &mut runs)?;
            }
        }
        Some(runs)
    }

    /// Scans from `start`; gives the address up to which the pages are known.
    fn part(pagemap: &File, start: u64, end: u64, runs: &mut Vec<Run>) -> Option<u64> {
        let mut regions = [Region::default(); 512];
        let mut arguments = Arguments {
            size: size_of::<Arguments>() as u64,
            start,
            end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            // Present, but neither a page of a file or of shared memory nor the zero page.
            category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_PRESENT | PAGE_IS_FILE | PAGE_IS_PFNZERO,
            return_mask: PAGE_IS_PRESENT,
            ..Arguments::default()
        };
        // SAFETY: the descriptor is open, `arguments` is the structure that this request takes, and `vec` has room for `vec_len` regions.
        let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as libc::Ioctl, &raw mut arguments) };
        let found = usize::try_from(found).ok()?;
        for region in regions.get(..found)? {
            push(runs, region.start / PAGE, (region.end.saturating_sub(region.start)) / PAGE);
        }
        (arguments.walk_end > start).then_some(arguments.walk_end)
    }
}

#[cfg(test)]
#[path = "resident_tests.rs"]
mod tests;
