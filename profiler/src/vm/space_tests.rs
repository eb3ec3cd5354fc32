//! Each kernel rule as a small history with a known answer.

use super::*;
use proptest::prelude::*;

const RW: u8 = PROT_READ | PROT_WRITE;
const BASE: Addr = Addr(0x7000_0000_0000);
const P: u64 = 4096;

fn fault(gained: u64) -> Touched {
    Touched::Fault { gained: Pages(gained) }
}

fn at(page: u64) -> Addr {
    Addr(BASE.0 + page * P)
}

fn mapped(pages: u64, backing: Backing) -> AddressSpace {
    let mut space = AddressSpace::<1>::new(Mode::Never);
    space.map_at(BASE, Bytes(pages * P), RW, backing);
    space
}

fn state(space: &AddressSpace) -> (u64, u64) {
    (space.counters(0).anon.0, space.counters(0).minor_faults)
}

#[test]
fn read_then_write_costs_two_faults_and_one_page() {
    let mut space = mapped(4, Backing::Anonymous);
    assert_eq!(space.touch_at(at(1), Access::Read), fault(0));
    assert_eq!(state(&space), (0, 1));
    assert_eq!(space.touch_at(at(1), Access::Read), Touched::Ready);
    assert_eq!(space.touch_at(at(1), Access::Write), fault(1));
    assert_eq!(state(&space), (1, 2));
    assert_eq!(space.touch_at(at(1), Access::Write), Touched::Ready);
}

#[test]
fn file_pages_become_anonymous_when_written_and_shared_ones_never() {
    let mut file = mapped(4, Backing::PrivateFile);
    file.touch_at(at(0), Access::Exec);
    file.touch_at(at(0), Access::Write);
    file.touch_at(at(1), Access::Write);
    assert_eq!(state(&file), (2, 3));
    let mut shared = mapped(4, Backing::Shared);
    shared.touch_at(at(0), Access::Write);
    shared.touch_at(at(0), Access::Read);
    assert_eq!(state(&shared), (0, 1));
}

#[test]
fn unmapping_head_middle_and_tail_gives_back_what_was_resident() {
    let mut space = mapped(10, Backing::Anonymous);
    space.touch(at(0), Bytes(10 * P), Access::Write);
    assert_eq!(space.unmap(at(0), Bytes(P)).anon, 1);
    assert_eq!(space.unmap(at(4), Bytes(2 * P)).anon, 2);
    assert_eq!(space.unmap(at(9), Bytes(1)).anon, 1);
    assert_eq!(space.unmap(at(9), Bytes(P)).anon, 0);
    assert_eq!((space.counters(0).anon.0, space.mapped().0, space.counters(0).returned.0), (6, 6 * P, 4 * P));
    assert_eq!(space.touch_at(at(4), Access::Write), Touched::Stray);
    assert!(space.is_mapped(at(1), Bytes(3 * P)) && !space.is_mapped(at(3), Bytes(2 * P)));
}

#[test]
fn mapping_over_makes_pages_fresh() {
    let mut space = mapped(4, Backing::Anonymous);
    space.touch(at(0), Bytes(4 * P), Access::Write);
    space.map_at(at(1), Bytes(2 * P), RW, Backing::Anonymous);
    assert_eq!((state(&space), space.mapped().0), ((2, 4), 4 * P));
    space.touch(at(1), Bytes(1), Access::Write);
    assert_eq!(state(&space), (3, 5));
}

#[test]
fn dontneed_faults_again_and_free_counts_as_returned_but_stays() {
    let mut space = mapped(4, Backing::Anonymous);
    space.touch(at(0), Bytes(4 * P), Access::Write);
    assert_eq!(space.advise(at(0), Bytes(2 * P), Advice::DontNeed), Pages(2));
    assert_eq!(space.advise(at(2), Bytes(P), Advice::Free), Pages(1));
    assert_eq!((space.counters(0).anon.0, space.counters(0).returned.0), (3 - 1, 3 * P));
    space.touch(at(0), Bytes(P), Access::Read);
    assert_eq!(state(&space), (2, 5));
}

#[test]
fn fork_costs_one_fault_per_written_page_and_no_memory() {
    let mut space = mapped(4, Backing::Anonymous);
    space.touch(at(0), Bytes(2 * P), Access::Write);
    space.fork();
    let mut child = space.clone();
    assert_eq!(child.touch_at(at(0), Access::Read), Touched::Ready);
    assert_eq!(child.touch_at(at(0), Access::Write), fault(0));
    assert_eq!(child.touch_at(at(0), Access::Write), Touched::Ready);
    assert_eq!((state(&child), state(&space)), ((2, 3), (2, 2)));
}

#[test]
fn populate_counts_faults_that_no_event_shows() {
    let mut space = mapped(5, Backing::Anonymous);
    space.populate(at(0), Bytes(5 * P));
    assert_eq!((state(&space), space.counters(0).populated), ((5, 5), 5));
}

#[test]
fn stacks_grow_towards_a_touch_but_not_over_a_gap_of_megabytes() {
    let mut space = mapped(4, Backing::Stack);
    assert_eq!(space.touch_at(Addr(BASE.0 - 3 * P), Access::Write), fault(1));
    assert_eq!(space.mapped().0, 7 * P);
    assert_eq!(space.touch_at(Addr(BASE.0 - 3000 * P), Access::Write), Touched::Stray);
    assert_eq!(space.counters(0).strays, 1);
}

#[test]
fn forbidden_touches_are_strays() {
    let mut space = mapped(4, Backing::Anonymous);
    space.protect(at(0), Bytes(P), 0);
    space.protect(at(1), Bytes(P), PROT_READ);
    let done = [(0, Access::Read), (1, Access::Read), (1, Access::Write)].map(|(page, access)| space.touch_at(at(page), access));
    assert_eq!(done, [Touched::Stray, fault(0), Touched::Stray]);
}

#[test]
fn the_break_moves_by_bytes_and_maps_by_pages() {
    let mut space = AddressSpace::<1>::new(Mode::Never);
    space.set_break(Addr(0x10_0010));
    space.set_break(Addr(0x10_3010));
    assert_eq!(space.mapped().0, 3 * P);
    space.touch(Addr(0x10_1000), Bytes(3 * P), Access::Write);
    space.set_break(Addr(0x10_2001));
    assert_eq!((state(&space), space.counters(0).returned.0), ((2, 3), P));
}

#[test]
fn a_huge_page_needs_eligibility_room_and_emptiness() {
    let chunk = Bytes(512 * P);
    let run = |mode: Mode, offset: u64, prepare: fn(&mut AddressSpace)| {
        let mut space = AddressSpace::<1>::new(mode);
        space.map_at(at(offset), Bytes(1024 * P), RW, Backing::Anonymous);
        prepare(&mut space);
        space.touch(at(600), Bytes(1), Access::Write);
        state(&space)
    };
    assert_eq!(run(Mode::Always, 0, |_| ()), (512, 1));
    assert_eq!(run(Mode::Madvise, 0, |_| ()), (1, 1));
    assert_eq!(run(Mode::Madvise, 0, |space| _ = space.advise(at(0), Bytes(1024 * P), Advice::HugePage)), (512, 1));
    assert_eq!(run(Mode::Never, 0, |space| _ = space.advise(at(0), Bytes(1024 * P), Advice::HugePage)), (1, 1));
    assert_eq!(run(Mode::Always, 0, |space| _ = space.advise(at(0), Bytes(1024 * P), Advice::NoHugePage)), (1, 1));
    assert_eq!(run(Mode::Always, 200, |space| space.protect(at(700), Bytes(P), PROT_READ)), (1, 1));
    assert_eq!(run(Mode::Always, 0, |space| _ = space.touch_at(at(513), Access::Read)), (512, 1));
    let mut late = AddressSpace::<1>::new(Mode::Madvise);
    late.map_at(at(0), chunk, RW, Backing::Anonymous);
    late.touch_at(at(3), Access::Write);
    late.advise(at(0), chunk, Advice::HugePage);
    late.touch(at(0), chunk, Access::Write);
    assert_eq!(state(&late), (512, 512));
}

proptest! {
    /// Residency counted by the space equals what a plain table of pages says, whatever the history.
    #[test]
    fn agrees_with_a_plain_table(steps in prop::collection::vec((0u8..7, 0u64..60, 1u64..20, 0u64..60), 1..80)) {
        let mut space = AddressSpace::<1>::new(Mode::Never);
        let mut plain: Vec<Option<Page>> = vec![None; 200];
        let mut faults = 0;
        for (what, start, len, other) in steps {
            let span = start as usize..(start + len) as usize;
            let bytes = Bytes(len * P);
            match what {
                0 => {
                    space.map_at(at(start), bytes, RW, Backing::Anonymous);
                    plain[span].fill(Some(Page::Absent));
                }
                1 => {
                    space.unmap(at(start), bytes);
                    plain[span].fill(None);
                }
                2 => {
                    space.advise(at(start), bytes, Advice::DontNeed);
                    plain[span].iter_mut().flatten().for_each(|page| *page = Page::Absent);
                }
                3 if plain[span.clone()].iter().all(Option::is_some) && (other >= start + len || other + len <= start) => {
                    space.remap(at(start), bytes, at(other), bytes);
                    let moved = plain[span.clone()].to_vec();
                    plain[span].fill(None);
                    plain[other as usize..(other + len) as usize].clone_from_slice(&moved);
                }
                _ => {
                    let access = if what == 4 { Access::Read } else { Access::Write };
                    space.touch(at(start), bytes, access);
                    for page in plain[span].iter_mut().flatten() {
                        let next = if access == Access::Write { Page::Anon } else if *page == Page::Absent { Page::Zero } else { *page };
                        faults += u64::from(next != *page);
                        *page = next;
                    }
                }
            }
        }
        let anon = plain.iter().filter(|page| **page == Some(Page::Anon)).count() as u64;
        prop_assert_eq!(state(&space), (anon, faults));
        prop_assert_eq!(space.mapped().0, plain.iter().flatten().count() as u64 * P);
        for (page, expected) in plain.iter().enumerate() {
            prop_assert_eq!(space.page(at(page as u64)), expected.unwrap_or_default());
        }
    }
}
