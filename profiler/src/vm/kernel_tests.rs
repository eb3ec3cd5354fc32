//! Where mappings go, and what the break does.

use super::*;
use crate::event::{PROT_READ, PROT_WRITE};

const RW: u8 = PROT_READ | PROT_WRITE;

#[test]
fn mappings_go_to_the_highest_gap_that_fits() {
    let mut kernel = Kernel::<1>::new(Mode::Never);
    let a = kernel.mmap(Bytes(8192), RW).unwrap();
    let b = kernel.mmap(Bytes(4096), RW).unwrap();
    assert_eq!((a, b), (Addr(MMAP_TOP.0 - 8192), Addr(MMAP_TOP.0 - 12288)));
    kernel.munmap(a, Bytes(8192));
    assert_eq!(kernel.mmap(Bytes(12288), RW), Some(Addr(b.0 - 12288)));
    assert_eq!(kernel.mmap(Bytes(1), RW), Some(Addr(MMAP_TOP.0 - 4096)));
    assert_eq!(kernel.calls().of(Syscall::Mmap), 4);
    assert_eq!(kernel.mmap(Bytes(1 << 60), RW), None);
    assert_eq!(kernel.mmap(Bytes(0), RW), None);
}

#[test]
fn whole_huge_pages_are_aligned() {
    let mut kernel = Kernel::<1>::new(Mode::Always);
    let a = kernel.mmap(Bytes(2 * HUGE), RW).unwrap();
    assert_eq!(a.0 % HUGE, 0);
    kernel.touch(a, Bytes(1), Access::Write);
    let counters = kernel.space().counters(0);
    assert_eq!((counters.anon.0, counters.minor_faults), (512, 1));
}

#[test]
fn mremap_grows_in_place_where_it_can_and_carries_pages_where_it_cannot() {
    let mut kernel = Kernel::<1>::new(Mode::Never);
    let high = kernel.mmap(Bytes(4096), RW).unwrap();
    let low = kernel.mmap(Bytes(4096), RW).unwrap();
    kernel.touch(low, Bytes(4096), Access::Write);
    let moved = kernel.mremap(low, Bytes(4096), Bytes(8192)).unwrap();
    assert_eq!(moved, Addr(low.0 - 8192));
    assert_eq!(kernel.space().counters(0).anon.0, 1);
    assert_eq!(kernel.mremap(moved, Bytes(8192), Bytes(12288)), Some(moved));
    kernel.munmap(high, Bytes(4096));
    assert_eq!(kernel.space().mapped(), Bytes(12288));
    assert_eq!(kernel.space().counters(0).minor_faults, 1);
}

#[test]
fn a_spot_counts_from_what_is_left_of_its_mapping() {
    let mut kernel = Kernel::<1>::new(Mode::Never);
    let spot = |kernel: &Kernel<1>, at: Addr, by| kernel.spot(at.offset(Bytes(by))).map(|spot| (spot.area, spot.offset.0));
    let high = kernel.mmap(Bytes(4 * PAGE), RW).unwrap();
    let low = kernel.mmap(Bytes(8 * PAGE), 0).unwrap();
    assert_eq!(low.offset(Bytes(8 * PAGE)), high);
    kernel.munmap(low, Bytes(2 * PAGE));
    kernel.munmap(high.offset(Bytes(PAGE)), Bytes(PAGE));
    kernel.mprotect(low.offset(Bytes(2 * PAGE)), Bytes(PAGE), RW);
    assert_eq!(spot(&kernel, low, 0), None);
    assert_eq!(spot(&kernel, low, 3 * PAGE + 16), Some((Area::Reserve, PAGE + 16)));
    assert_eq!([0, 2 * PAGE].map(|by| spot(&kernel, high, by)), [Some((Area::Mapping, 0)); 2]);
    let moved = kernel.mremap(high, Bytes(PAGE), Bytes(5 * PAGE)).unwrap();
    assert_eq!((spot(&kernel, high, 0), spot(&kernel, moved, 4 * PAGE)), (None, Some((Area::Mapping, 4 * PAGE))));
    assert_eq!(kernel.brk(BREAK_BASE.offset(Bytes(100))), BREAK_BASE.offset(Bytes(100)));
    assert_eq!((spot(&kernel, BREAK_BASE, 50), spot(&kernel, BREAK_BASE, 100)), (Some((Area::Heap, 50)), None));
}

#[test]
fn the_program_takes_back_only_its_own_part_of_the_break() {
    let mut kernel = Kernel::<1>::new(Mode::Never);
    let at = |by| BREAK_BASE.offset(Bytes(by));
    let moved = |kernel: &mut Kernel<1>, delta| {
        kernel.sbrk(delta);
        kernel.program_break().since(BREAK_BASE).0
    };
    kernel.brk(at(10_000));
    assert_eq!([moved(&mut kernel, -5000), moved(&mut kernel, 3000), moved(&mut kernel, 1000)], [10_000, 13_000, 14_000]);
    assert_eq!([moved(&mut kernel, -500), moved(&mut kernel, -5000), moved(&mut kernel, -1)], [13_500, 10_000, 10_000]);
    assert_eq!(moved(&mut kernel, 2000), 12_000);
    kernel.brk(at(20_000));
    assert_eq!(moved(&mut kernel, -100), 20_000);
    kernel.brk(at(11_000));
    assert_eq!([moved(&mut kernel, -400), moved(&mut kernel, i64::MIN)], [10_600, 10_000]);
    assert_eq!(kernel.calls().of(Syscall::Brk), 3);
}

#[test]
fn where_the_break_begins_decides_what_of_it_is_huge() {
    let mut kernel = Kernel::<1>::new(Mode::Always);
    kernel.begin_break(Bytes(HUGE - PAGE));
    let begin = kernel.brk(Addr(0));
    assert_eq!(begin.0 % HUGE, HUGE - PAGE);
    kernel.brk(begin.offset(Bytes(PAGE + HUGE)));
    [0, PAGE].iter().for_each(|&by| kernel.touch(begin.offset(Bytes(by)), Bytes(1), Access::Write));
    assert_eq!(kernel.space().counters(0).anon.0, 1 + 512);
    kernel.begin_break(Bytes(0));
    assert_eq!(kernel.spot(begin), Some(Spot { area: Area::Heap, offset: Bytes(0) }));
}

#[test]
fn the_break_answers_with_what_is() {
    let mut kernel = Kernel::<2>::new(Mode::Never);
    assert_eq!(kernel.brk(Addr(0)), BREAK_BASE);
    let end = BREAK_BASE.offset(Bytes(10_000));
    assert_eq!(kernel.brk(end), end);
    assert_eq!(kernel.brk(Addr(u64::MAX)), end);
    assert_eq!((kernel.space().mapped(), kernel.calls().of(Syscall::Brk)), (Bytes(12288), 3));
}

#[test]
fn mappings_end_where_the_recorded_ones_did_in_a_huge_page() {
    let mut kernel = Kernel::<1>::new(Mode::Always);
    kernel.begin_mappings(Bytes(3 * PAGE));
    let first = kernel.mmap(Bytes(PAGE), RW).unwrap();
    assert_eq!((first.0 + PAGE) % HUGE, 3 * PAGE);
    kernel.begin_mappings(Bytes(0));
    assert_eq!(kernel.mmap(Bytes(PAGE), RW), Some(Addr(first.0 - PAGE)));
}
