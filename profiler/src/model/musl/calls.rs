//! The calls of a program.

use super::Musl;
use super::classes::{IN_BAND, MOST, THRESHOLD, UNIT, WHOLE, class_of, slot_size};
use super::group::{Id, InBand, NOBODY};
use crate::event::{Access, Advice};
use crate::model::{Block, Request};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// Alignments from here on are refused.
const ALIGNMENT: u64 = (1 << 31) * UNIT;
/// Up to so many unused bytes are counted in the in-band byte, more at the end of the slot.
const COUNTED: u64 = 5;

impl Musl {
    pub(super) fn allocate(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        let (size, align) = (request.size.0, request.align.max(UNIT));
        let whole = size.checked_add(align - UNIT).filter(|&whole| whole < MOST && align < ALIGNMENT)?;
        let (id, slot) = self.slot_for(os, whole)?;
        let found = self.place(os, id, slot, whole);
        let addr = if align == UNIT { found } else { self.align(os, id, slot, found, size, align) };
        self.totals.live += size;
        if request.zeroed {
            self.clear(os, id, addr, size);
        }
        Some(Block { addr: Addr(addr), usable: Bytes(size) })
    }

    fn slot_for(&mut self, os: &mut dyn Os, size: u64) -> Option<(Id, u32)> {
        if size >= THRESHOLD {
            return self.take_whole(os, size);
        }
        let class = self.coarse(class_of(size));
        self.take_slot(os, class, size)
    }

    /// As long as few blocks of a class are there, they share the next one's groups.
    fn coarse(&self, class: usize) -> usize {
        if !(4..32).contains(&class) || class % 2 == 1 || class == 6 || self.active[class] != NOBODY || self.used[class] > 0 {
            return class;
        }
        let more = match self.groups.get(self.active[class + 1] as usize) {
            Some(group) if group.free() != 0 => 0,
            _ => 3,
        };
        class + usize::from(self.used[class + 1] + more <= 12)
    }

    /// Where in its slot a block lies: elsewhere than the last one, as far as it leaves room.
    pub(super) fn place(&mut self, os: &mut dyn Os, id: Id, slot: u32, size: u64) -> u64 {
        let group = &self.groups[id as usize];
        let (start, slack, root) = (group.start(slot), (group.stride - IN_BAND - size) / UNIT, group.root as usize);
        os.touch(Addr(start - IN_BAND), Bytes(IN_BAND), Access::Read);
        let offset = cycled(self.groups[root].in_band(start).next().unwrap_or(self.mappings.into()), slack);
        let addr = start + offset * UNIT;
        if offset > 0 {
            self.groups[root].set_in_band(start, InBand::moved(offset));
            os.touch(Addr(start - IN_BAND), Bytes(IN_BAND), Access::Write);
        }
        self.note(os, id, slot, addr, size);
        addr
    }

    /// Moves a block up to a multiple.
    fn align(&mut self, os: &mut dyn Os, id: Id, slot: u32, found: u64, size: u64, align: u64) -> u64 {
        let addr = found.next_multiple_of(align);
        self.note(os, id, slot, addr, size);
        if addr > found {
            let group = &self.groups[id as usize];
            let (start, root) = (group.start(slot), group.root as usize);
            self.groups[root].set_in_band(start, InBand::moved((addr - start) / UNIT));
            os.touch(Addr(start - IN_BAND), Bytes(IN_BAND), Access::Write);
            self.places.set_moved(&mut self.groups[id as usize], id, addr);
        }
        addr
    }

    /// Writes what is kept with a block: before it which one it is, behind it how much of the slot is unused.
    fn note(&mut self, os: &mut dyn Os, id: Id, slot: u32, addr: u64, size: u64) {
        os.touch(Addr(addr - IN_BAND), Bytes(IN_BAND), Access::Write);
        let group = &self.groups[id as usize];
        let (end, first, root) = (group.end(slot), group.start(0), group.root as usize);
        let unused = end - addr - size;
        if unused > 0 {
            os.touch(Addr(addr + size), Bytes(1), Access::Write);
        }
        if unused >= COUNTED {
            os.touch(Addr(end - COUNTED), Bytes(COUNTED), Access::Write);
        }
        self.groups[root].set_in_band(addr, InBand::new(slot, unused.min(COUNTED) as u8, (addr - first) / UNIT));
        if unused > 0 {
            self.groups[root].set_byte(addr + size, InBand::default());
        }
    }

    /// What `calloc` does: short blocks are written; of longer ones the whole pages are read, and written where anything is in them, which changes
    /// nothing for a page that is the process's own.
    fn clear(&mut self, os: &mut dyn Os, id: Id, addr: u64, size: u64) {
        let group = &self.groups[id as usize];
        if group.class == WHOLE || group.stride < slot_size(group.class) {
            return;
        }
        let root = group.root as usize;
        self.groups[root].clear_bytes(addr, size);
        if size < PAGE {
            return os.touch(Addr(addr), Bytes(size), Access::Write);
        }
        let end = addr + size;
        let (first, last) = (addr.next_multiple_of(PAGE), end & !(PAGE - 1));
        os.touch(Addr(last), Bytes(end - last), Access::Write);
        os.touch(Addr(first), Bytes(last - first), Access::Read);
        os.touch(Addr(addr), Bytes(first - addr), Access::Write);
    }

    pub(super) fn release(&mut self, os: &mut dyn Os, block: Block) {
        let addr = block.addr.0;
        let (id, slot) = self.find(addr);
        let group = &self.groups[id as usize];
        let (start, end, root) = (group.start(slot), group.end(slot), group.root as usize);
        self.totals.live -= block.usable.0;
        os.touch(Addr(end), Bytes(1), Access::Read);
        os.touch(Addr(addr - IN_BAND), Bytes(IN_BAND), Access::Write);
        if self.frees_pages && group.slots > 1 && (start - 1) ^ end >= 2 * PAGE {
            let first = start.next_multiple_of(PAGE);
            let len = (end - first) & !(PAGE - 1);
            if len > 0 {
                os.madvise(Addr(first), Bytes(len), Advice::Free);
            }
        }
        self.groups[root].set_in_band(addr, InBand::FREED);
        self.give_slot(os, id, slot);
    }

    pub(super) fn resize(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        let (size, addr) = (request.size.0, old.addr.0);
        if size >= MOST {
            return None;
        }
        let (id, slot) = self.find(addr);
        let group = &self.groups[id as usize];
        let end = group.end(slot);
        os.touch(Addr(end), Bytes(1), Access::Read);
        if size <= end - addr && size < THRESHOLD && class_of(size) + 1 >= group.class {
            self.note(os, id, slot, addr, size);
            return Some(self.resized(addr, size, old));
        }
        if group.class == WHOLE
            && size >= THRESHOLD
            && let Some(addr) = self.remap(os, id, addr, size)
        {
            return Some(self.resized(addr, size, old));
        }
        let new = self.allocate(os, Request { align: 0, zeroed: false, ..request })?;
        let copied = Bytes(size.min(old.usable.0));
        os.touch(old.addr, copied, Access::Read);
        os.touch(new.addr, copied, Access::Write);
        self.copy_in_band(addr, new.addr.0, copied.0);
        self.release(os, old);
        Some(new)
    }

    fn resized(&mut self, addr: u64, size: u64, old: Block) -> Block {
        self.totals.live = self.totals.live - old.usable.0 + size;
        Block { addr: Addr(addr), usable: Bytes(size) }
    }

    /// Another length for the mapping of a block; answers with where the block is then.
    fn remap(&mut self, os: &mut dyn Os, id: Id, addr: u64, size: u64) -> Option<u64> {
        let group = &self.groups[id as usize];
        let (base, len, distance) = (group.base, group.pages * PAGE, addr - group.base);
        let new_len = (size + distance + IN_BAND).next_multiple_of(PAGE);
        let new_base = if new_len == len { base } else { os.mremap(Addr(base), Bytes(len), Bytes(new_len))?.0 };
        self.totals.mapped = self.totals.mapped - len + new_len;
        let group = &mut self.groups[id as usize];
        self.places.set_all(group, NOBODY);
        group.resize(new_base, new_len / PAGE);
        self.places.set_all(group, id);
        self.places.set_moved(group, id, new_base + distance);
        os.touch(Addr(group.end(0)), Bytes(1), Access::Write);
        self.note(os, id, 0, new_base + distance, size);
        Some(new_base + distance)
    }

    /// The group and slot of a live block.
    pub(super) fn find(&mut self, addr: u64) -> (Id, u32) {
        let mut id = self.places.get((addr - UNIT) / PAGE);
        loop {
            let group = &self.groups[id as usize];
            let slot = group.slot_at(addr);
            match group.guest(slot) {
                Some(guest) => id = guest,
                None => return (id, slot),
            }
        }
    }

    /// The allocator's own bytes, wherever blocks lay that are copied, go along.
    fn copy_in_band(&mut self, from: u64, to: u64, len: u64) {
        let root = |places: &mut super::places::Places, addr: u64| places.get((addr - UNIT) / PAGE) as usize;
        let (old, new) = (root(&mut self.places, from), root(&mut self.places, to));
        for distance in (1..=self.groups[new].known(to, len)).map(|units| units * UNIT) {
            let known = self.groups[old].in_band(from + distance);
            self.groups[new].set_in_band(to + distance, known);
        }
        let whole = len / UNIT * UNIT;
        let known = self.groups[old].in_band(from + whole + UNIT);
        (to + whole..to + len).for_each(|byte| self.groups[new].set_byte(byte, known));
    }
}

/// An offset of at most `slack`.
fn cycled(offset: u64, slack: u64) -> u64 {
    if offset <= slack {
        return offset;
    }
    let mask = (0..3).fold(slack, |mask, step| mask | mask >> (1 << step));
    let offset = offset & mask;
    if offset > slack { offset - slack - 1 } else { offset }
}
