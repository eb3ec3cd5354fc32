#![allow(unsafe_code)]

use super::*;

/// A private anonymous mapping of this process, unmapped when it goes.
struct Area {
    start: *mut u8,
    pages: usize,
}

impl Area {
    fn new(pages: usize) -> Area {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: a fresh mapping at an address of the kernel's choice; huge pages would make more pages resident than are touched.
        let start = unsafe {
            let start = libc::mmap(std::ptr::null_mut(), pages * PAGE as usize, prot, flags, -1, 0);
            libc::madvise(start, pages * PAGE as usize, libc::MADV_NOHUGEPAGE);
            start
        };
        assert_ne!(start, libc::MAP_FAILED);
        Area { start: start.cast(), pages }
    }

    fn write(&self, page: usize) {
        assert!(page < self.pages);
        // SAFETY: inside the mapping.
        unsafe { self.start.add(page * PAGE as usize).write_volatile(1) }
    }

    fn read(&self, page: usize) -> u8 {
        assert!(page < self.pages);
        // SAFETY: inside the mapping.
        unsafe { self.start.add(page * PAGE as usize).read_volatile() }
    }

    fn range(&self) -> (Addr, Addr) {
        let start = self.start as u64;
        (Addr(start), Addr(start + self.pages as u64 * PAGE))
    }

    /// Runs in pages from the start of the area; the kernel may have put another test's memory directly beside it.
    fn own(&self, runs: &[Run]) -> Vec<Run> {
        let (start, end) = (self.range().0.page(), self.range().1.page());
        let clipped = runs.iter().map(|&(first, pages)| (first.max(start), (first + pages).min(end)));
        clipped.filter(|(first, last)| first < last).map(|(first, last)| (first - start, last - first)).collect()
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made.
        unsafe { libc::munmap(self.start.cast(), self.pages * PAGE as usize) };
    }
}

fn own_pagemap() -> File {
    File::open("/proc/self/pagemap").unwrap()
}

#[test]
fn runs_join_where_they_touch() {
    let mut runs = Vec::new();
    for (first, pages) in [(1, 2), (3, 1), (5, 1), (6, 4)] {
        push(&mut runs, first, pages);
    }
    assert_eq!(runs, [(1, 3), (5, 5)]);
}

#[test]
fn written_pages_are_resident_and_read_ones_are_not() {
    let area = Area::new(64);
    for page in [0, 1, 2, 10, 63] {
        area.write(page);
    }
    assert_eq!(area.read(20), 0, "now the zero page");
    let runs = anonymous_pages(std::process::id(), &maps::read(std::process::id()).unwrap()).unwrap();
    // Only the scanning call knows the zero page.
    let scans = scan::all(&own_pagemap(), &[area.range()]).is_some();
    let expected: &[Run] = if scans { &[(0, 3), (10, 1), (63, 1)] } else { &[(0, 3), (10, 1), (20, 1), (63, 1)] };
    assert_eq!(area.own(&runs), expected);
}

#[test]
fn both_ways_agree() {
    let area = Area::new(20_000);
    for page in (0..20_000).step_by(7) {
        area.write(page);
    }
    let by_word = words(std::process::id(), &own_pagemap(), &[area.range()]).unwrap();
    assert_eq!(area.own(&by_word), (0..20_000).step_by(7).map(|page| (page, 1)).collect::<Vec<Run>>());
    if let Some(scanned) = scan::all(&own_pagemap(), &[area.range()]) {
        assert_eq!(scanned, by_word);
    }
}

#[test]
fn a_huge_sparse_mapping_is_read_in_full() {
    let pages = (1usize << 40) / PAGE as usize;
    let area = Area::new(pages);
    area.write(0);
    area.write(pages - 1);
    if let Some(runs) = scan::all(&own_pagemap(), &[area.range()]) {
        assert_eq!(area.own(&runs), [(0, 1), (pages as u64 - 1, 1)]);
    }
}

#[test]
fn a_process_that_is_gone() {
    assert_eq!(anonymous_pages(u32::MAX, &[]).unwrap_err().kind, Kind::Target);
    assert_eq!(snapshot(u32::MAX).unwrap_err().kind, Kind::Target);
}

#[test]
fn counts_of_smaps() {
    let text =
        "1000-3000 rw-p 00000000 00:00 0 \nSize: 8 kB\nAnonymous:   8 kB\nVmFlags: rd wr\n5000-6000 r--p 0 08:01 3 /a b\nAnonymous: 0 kB\n";
    assert_eq!(anonymous_by_start(text), [(Addr(0x1000), 2), (Addr(0x5000), 0)]);
}

#[test]
fn a_snapshot_balances() {
    // A process that stands still: it waits for input that does not come.
    let mut child =
        std::process::Command::new("cat").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    // It blocks in its first read once its mappings are complete.
    while process::status_field(child.id(), "State").unwrap().is_none_or(|state| !state.starts_with('S'))
        || process::comm(child.id()).unwrap() != "cat"
    {
        std::thread::yield_now();
    }
    let events = snapshot(child.id()).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();

    let resident: u64 = events.iter().map(|event| if let What::Resident { pages, .. } = event { pages.0 } else { 0 }).sum();
    let Some(What::Rss { anon, file, .. }) = events.last() else { panic!("the count comes last") };
    assert_eq!(resident, anon.0, "the runs add up to what the kernel counts");
    assert!(file.0 > 0 && anon.0 > 0);
    let has = |wanted| events.iter().any(|event| matches!(event, What::Mapped { backing, .. } if *backing == wanted));
    assert!(has(Backing::Break) && has(Backing::Stack) && has(Backing::Special) && has(Backing::PrivateFile));
}
