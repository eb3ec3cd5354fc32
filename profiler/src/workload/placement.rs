//! The recorded address space of one process, and which part of it is the allocator's.
//!
//! A mapping is the allocator's when it was made inside a call of the malloc family, or as soon as a block is returned in it; the break area
//! also when a `brk` inside such a call moves it. Everything else is the program's own, also a part of the break area that the program made above
//! or below the allocator's.
//!
//! Records of system calls arrive at their return, so another thread's `mmap` may be seen before the `munmap` that made room for it.
//! A `munmap` therefore leaves alone what was mapped after it was *entered*, and an `mmap` without `MAP_FIXED` that overlaps a mapping implies
//! the unmap whose record is still on its way.

use super::carried::Carried;
use super::mapping::Mapping;
use super::regions::{Made, Owner, Region, Regions};
use crate::event::{Access, Advice, Backing, MAP_FIXED};
use crate::units::{Addr, Bytes, Nanos, PAGE, Pages};
use crate::vm::space::{Touched, page_range};
use crate::vm::{AddressSpace, Area, Calls, Page, PageStates, Spot, Syscall, thp};
use std::ops::Range;

/// The recorded address space of one process.
#[derive(Clone)]
pub struct Placement {
    space: AddressSpace,
    calls: Calls,
    pub(super) regions: Regions,
    /// Pages that were resident before this process was recorded (attach, fork). Where the allocator holds them they are carried too:
    /// no policy can know what is in them.
    pub(super) older: PageStates,
}

impl Placement {
    /// Nothing mapped yet.
    pub fn new(thp: thp::Mode) -> Placement {
        Placement { space: AddressSpace::new(thp), calls: Calls::default(), regions: Regions::default(), older: PageStates::default() }
    }

    /// The recorded pages.
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// The recorded pages, to read and restart their high-water marks.
    pub fn space_mut(&mut self) -> &mut AddressSpace {
        &mut self.space
    }

    /// Calls as recorded, failed ones included.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Whose the page at `addr` is; `None` where nothing is mapped.
    pub fn owner(&self, addr: Addr) -> Option<Owner> {
        self.regions.at(addr.page()).map(|id| self.regions.get(id).owner)
    }

    /// Where an address lies in its area; `None` where nothing is mapped.
    pub fn spot(&self, addr: Addr) -> Option<Spot> {
        if let Some((start, _)) = self.space.break_area().filter(|&(start, end)| (start..end).contains(&addr)) {
            return Some(Spot { area: Area::Heap, offset: addr.since(start) });
        }
        let (first, id) = self.regions.piece_at(addr.page())?;
        let area = if self.regions.get(id).made == Made::Reserved { Area::Reserve } else { Area::Mapping };
        Some(Spot { area, offset: Bytes(addr.0 - first * PAGE) })
    }

    /// Anonymous pages that every policy carries.
    pub fn own_anon(&self) -> u64 {
        self.carried_anon(0..u64::MAX)
    }

    /// Mapped pages that every policy carries.
    pub fn own_mapped(&self) -> u64 {
        self.regions.own_pages()
    }

    /// The process forks: pages become shared, and a copy of everything begins the child, with what it brings along.
    pub(super) fn fork(&mut self) -> (Placement, Carried) {
        self.space.fork();
        let mut child = Placement { space: self.space.child(), calls: Calls::default(), older: self.space.pages().clone(), ..self.clone() };
        child.regions.forget_carried();
        let brought = Carried { anon: child.own_anon() as i64, mapped: pages(child.own_mapped()), ..Carried::default() };
        (child, brought)
    }

    /// A mapping that was there before the recording.
    pub(super) fn mapped(&mut self, addr: Addr, len: Bytes, prot: u8, backing: Backing) -> Carried {
        let range = page_range(addr, len);
        self.observe(Some(range.clone()), |this| {
            this.space.map_at(addr, len, prot, backing);
            let kind = if backing == Backing::Break { Syscall::Brk } else { Syscall::Mmap };
            this.claim(range, Region::new(Owner::Program, Nanos(0), Made::Usual, (kind, 0)));
            None
        })
    }

    /// Pages that were resident before the recording.
    pub(super) fn resident(&mut self, addr: Addr, count: Pages) -> Carried {
        let range = page_range(addr, count.bytes());
        self.observe(Some(range.clone()), |this| {
            this.space.mark_resident(addr, count.bytes());
            for page in range {
                if this.space.pages().get(page) == Page::Anon {
                    this.older.set(page, Page::Anon);
                }
            }
            None
        })
    }

    /// A call that changed nothing: it failed, or only asked.
    pub(super) fn called(&mut self, kind: Syscall, in_heap: bool) -> (Owner, Carried) {
        self.calls.add(kind, 1);
        let owner = if in_heap { Owner::Allocator } else { Owner::Program };
        (owner, Carried::default().with_call_of(owner, kind))
    }

    /// `brk` answered with `got`; `freeing`: the thread may be inside `free`. Answers also with how far the program moved it.
    pub(super) fn brk(&mut self, got: Addr, in_heap: bool, freeing: bool, now: Nanos) -> (Owner, Carried, i64) {
        let Some((start, old)) = self.space.break_area().filter(|&(_, old)| old != got) else {
            self.space.set_break(got);
            let (owner, carried) = self.called(Syscall::Brk, in_heap);
            return (owner, carried, 0);
        };
        self.calls.add(Syscall::Brk, 1);
        let (low, high) = (old.min(got).page_up().page(), old.max(got).page_up().page());
        let top = (old > start).then(|| self.regions.at(old.page_up().page() - 1)).flatten();
        let ours = top.is_some_and(|id| self.regions.get(id).is_by_sbrk());
        // `free` gives back what is the allocator's, and never grows.
        let theirs = in_heap || (freeing && got < old && !ours);
        // What was there before the recording is whoever's moves its end.
        let grown = top.filter(|_| if theirs { !ours } else { ours });
        let (owner, made) = if theirs { (Owner::Allocator, Made::Usual) } else { (Owner::Program, Made::BySbrk) };
        let region = Region::new(owner, now, made, (Syscall::Brk, 0));
        let carried = self.observe(Some(low..high), |this| {
            this.space.set_break(got);
            match grown {
                _ if got < old => this.release(low..high),
                Some(id) => this.extend(id, low..high),
                None => this.claim(low..high, region),
            }
            Some(Syscall::Brk)
        });
        if owner == Owner::Program {
            return (owner, carried.with_call(Syscall::Brk), got.0 as i64 - old.0 as i64);
        }
        let converted = grown.map_or(Carried::default(), |id| self.convert(id));
        (owner, carried.plus(converted), 0)
    }

    /// `mmap` succeeded at `addr`.
    pub(super) fn mmap(&mut self, addr: Addr, call: &Mapping, in_heap: bool, now: Nanos) -> (Owner, Carried) {
        self.calls.add(Syscall::Mmap, 1);
        let owner = if in_heap { Owner::Allocator } else { Owner::Program };
        let range = page_range(addr, call.len);
        let implied = call.flags & MAP_FIXED == 0 && self.regions.pieces(range.clone()).next().is_some();
        let carried = self.observe(Some(range.clone()), |this| {
            if implied {
                this.space.unmap(addr, call.len);
            }
            call.map(&mut this.space, addr);
            if call.is_populated() {
                this.space.populate(addr, call.len);
            }
            let made = if call.is_closed() { Made::Reserved } else { Made::Usual };
            this.claim(range.clone(), Region::new(owner, now, made, (Syscall::Mmap, i64::from(owner == Owner::Program))));
            implied.then_some(Syscall::Munmap)
        });
        (owner, carried.with_call_of(owner, Syscall::Mmap))
    }

    /// `munmap` succeeded; what was mapped after `entered` stays.
    pub(super) fn munmap(&mut self, addr: Addr, len: Bytes, entered: Nanos, in_heap: bool) -> (Owner, Carried) {
        self.calls.add(Syscall::Munmap, 1);
        let range = page_range(addr, len);
        let due: Vec<(Range<u64>, u32)> =
            self.regions.pieces(range.clone()).filter(|&(_, id)| self.regions.get(id).born <= entered).collect();
        let theirs = due.iter().any(|&(_, id)| self.regions.get(id).owner == Owner::Allocator);
        let owner = if in_heap || theirs { Owner::Allocator } else { Owner::Program };
        let carried = self.observe(Some(range), |this| {
            for (piece, _) in due {
                this.space.unmap(Addr(piece.start * PAGE), Pages(piece.end - piece.start).bytes());
                this.release(piece);
            }
            Some(Syscall::Munmap)
        });
        (owner, carried.with_call_of(owner, Syscall::Munmap))
    }

    /// `mremap` succeeded.
    pub(super) fn mremap(&mut self, addr: Addr, len: Bytes, to: Addr, new_len: Bytes, in_heap: bool, now: Nanos) -> (Owner, Carried) {
        self.calls.add(Syscall::Mremap, 1);
        let (old, new) = (page_range(addr, len), page_range(to, new_len));
        let owner = if in_heap { Owner::Allocator } else { self.owner(addr).unwrap_or(Owner::Program) };
        // The kernel refuses a move onto itself, so only a resize in place overlaps: then the two are one range.
        let overlap = old.start < new.end && new.start < old.end;
        let seen = if overlap { [old.start.min(new.start)..old.end.max(new.end), 0..0] } else { [old.clone(), new.clone()] };
        let carried = self.observe(seen, |this| {
            this.space.remap(addr, len, to, new_len);
            let made = this.regions.at(addr.page()).map_or(Made::Usual, |id| this.regions.get(id).made);
            this.release(old);
            this.claim(new, Region::new(owner, now, made, (Syscall::Mremap, i64::from(owner == Owner::Program))));
            Some(Syscall::Mremap)
        });
        (owner, carried.with_call_of(owner, Syscall::Mremap))
    }

    /// `madvise` succeeded.
    pub(super) fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice, in_heap: bool) -> (Owner, Carried) {
        self.calls.add(Syscall::Madvise, 1);
        let owner = if in_heap { Owner::Allocator } else { self.owner(addr).unwrap_or(Owner::Program) };
        let mut freed = Pages(0);
        let mut carried = self.observe([page_range(addr, len)], |this| {
            freed = this.space.advise(addr, len, advice);
            if advice == Advice::DontNeed {
                this.older.clear(page_range(addr, len));
            }
            Some(Syscall::Madvise)
        });
        if advice == Advice::Free && owner == Owner::Program {
            carried.returned = freed.0;
        }
        (owner, carried.with_call_of(owner, Syscall::Madvise))
    }

    /// `mprotect` succeeded.
    pub(super) fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8, in_heap: bool) -> (Owner, Carried) {
        let theirs = in_heap || self.owner(addr) == Some(Owner::Allocator);
        let carried = self.observe(Some(page_range(addr, len)), |this| {
            this.space.protect(addr, len, prot);
            None
        });
        let (owner, call) = self.called(Syscall::Mprotect, theirs);
        (owner, carried.plus(call))
    }

    /// `mlock` succeeded.
    pub(super) fn lock(&mut self, range: Range<u64>, on_fault: bool) -> Carried {
        let pieces: Vec<Range<u64>> = self.regions.pieces(range).map(|(piece, _)| piece).collect();
        let lock = |carried: Carried, piece: Range<u64>| {
            carried.plus(self.observe(Some(piece.clone()), |this| {
                this.space.lock(Addr(piece.start * PAGE), Pages(piece.end - piece.start).bytes(), on_fault);
                None
            }))
        };
        pieces.into_iter().fold(Carried::default(), lock)
    }

    /// The kernel changes pages by itself.
    pub(super) fn change(&mut self, by: impl FnOnce(&mut AddressSpace)) -> Carried {
        self.observe(Some(0..u64::MAX / PAGE), |this| {
            by(&mut this.space);
            None
        })
    }

    /// A page fault: what the page model makes of it, whose page it is, and what to carry.
    pub(super) fn fault(&mut self, addr: Addr, access: Access) -> (Touched, Option<Owner>, Carried) {
        let page = addr.page();
        let owner = self.owner(addr);
        let mut touched = Touched::Ready;
        let mut carried = self.observe_faults(page, owner.unwrap_or(Owner::Program), |this| {
            touched = this.space.touch_at(addr, access);
            // Which file pages are present is the page cache's business: there the fault itself is the evidence.
            let file = |backing| matches!(backing, Backing::PrivateFile | Backing::Shared | Backing::Special);
            if touched == Touched::Ready && this.space.vma(addr).is_some_and(|vma| file(vma.backing)) {
                this.space.count_fault();
                touched = Touched::Fault { gained: Pages(0) };
            }
        });
        if owner.is_none() && touched != Touched::Stray {
            carried.mapped += self.grown_stack(page);
        }
        (touched, self.owner(addr), carried)
    }

    /// A fault in a block that another policy does not have, because it came with a fork: its page is carried from now on.
    pub(super) fn inherited_fault(&mut self, addr: Addr) -> Carried {
        let fresh = self.space.page(addr) == Page::Anon && self.older.get(addr.page()) == Page::Absent;
        if fresh {
            self.older.set(addr.page(), Page::Anon);
        }
        Carried { anon: i64::from(fresh), faults: 1, ..Carried::default() }
    }

    /// A block was returned at `addr`: its region is the allocator's. What had been carried for it is taken back.
    pub(super) fn block_at(&mut self, addr: Addr) -> Carried {
        match self.regions.at(addr.page()) {
            Some(id) => self.convert(id),
            None => Carried::default(),
        }
    }

    fn convert(&mut self, id: u32) -> Carried {
        let region = self.regions.get(id).clone();
        if region.owner == Owner::Allocator {
            return Carried::default();
        }
        let mut carried = self.observe(Some(region.hull), |this| {
            this.regions.give_to_allocator(id);
            None
        });
        carried.faults = -region.faults;
        carried.calls = (region.calls.1 != 0).then_some((region.calls.0, -region.calls.1));
        carried
    }

    /// The space let a stack grow down to `page`; its region follows. Answers with the bytes.
    fn grown_stack(&mut self, page: u64) -> i64 {
        let Some((above, id)) = self.regions.above(page) else { return 0 };
        self.regions.extend(id, page..above);
        pages(above - page)
    }

    /// Runs a change of the space and says what it did to the program's own pages in `ranges`; a call that gives memory back is named.
    fn observe<R>(&mut self, ranges: R, change: impl FnOnce(&mut Placement) -> Option<Syscall>) -> Carried
    where
        R: IntoIterator<Item = Range<u64>> + Clone,
    {
        let sum = |this: &Placement| ranges.clone().into_iter().map(|range| this.carried_anon(range)).sum::<u64>();
        let (anon, mapped) = (sum(self), self.regions.own_pages());
        let faults = self.space.counters(0).minor_faults;
        let gives_back = change(self).is_some();
        let populated = self.space.counters(0).minor_faults - faults;
        let faults = if populated > 0 { self.charge(ranges.clone(), populated as i64) } else { 0 };
        let anon = sum(self) as i64 - anon as i64;
        let returned = if gives_back { anon.min(0).unsigned_abs() } else { 0 };
        Carried { anon, faults, returned, mapped: pages(self.regions.own_pages()) - pages(mapped), ..Carried::default() }
    }

    /// Faults of pages that a call populated, if they are the program's own: where the last of the ranges lies.
    fn charge(&mut self, ranges: impl IntoIterator<Item = Range<u64>>, faults: i64) -> i64 {
        let last = ranges.into_iter().filter(|range| !range.is_empty()).last();
        match last.and_then(|range| self.regions.at(range.start)).map(|id| self.regions.get_mut(id)) {
            Some(region) if region.owner == Owner::Allocator => 0,
            Some(region) => {
                region.faults += faults;
                faults
            }
            None => faults,
        }
    }

    /// Runs touches in the region at `page` and says what they cost, if it is the program's.
    fn observe_faults(&mut self, page: u64, owner: Owner, touch: impl FnOnce(&mut Placement)) -> Carried {
        let before = *self.space.counters(0);
        touch(self);
        let after = self.space.counters(0);
        if owner == Owner::Allocator {
            return Carried::default();
        }
        let faults = (after.minor_faults - before.minor_faults) as i64;
        let anon = after.anon.0 as i64 - before.anon.0 as i64;
        if let Some(id) = self.regions.at(page) {
            self.regions.get_mut(id).faults += faults;
        }
        Carried { anon, faults, ..Carried::default() }
    }

    /// Anonymous pages in `range` that every policy carries: the program's, and elder ones of the allocator.
    fn carried_anon(&self, range: Range<u64>) -> u64 {
        let anon = |(piece, id): (Range<u64>, u32)| match self.regions.get(id).owner {
            Owner::Program => self.space.pages().tally(piece).anon,
            Owner::Allocator => self.older.tally(piece).anon,
        };
        self.regions.pieces(range).map(anon).sum()
    }

    // Elder pages end with the mapping that held them.

    fn claim(&mut self, range: Range<u64>, region: Region) {
        self.older.clear(range.clone());
        self.regions.claim(range, region);
    }

    fn extend(&mut self, id: u32, range: Range<u64>) {
        self.older.clear(range.clone());
        self.regions.extend(id, range);
    }

    fn release(&mut self, range: Range<u64>) {
        self.older.clear(range.clone());
        self.regions.release(range);
    }
}

fn pages(count: u64) -> i64 {
    Pages(count).bytes().0 as i64
}
