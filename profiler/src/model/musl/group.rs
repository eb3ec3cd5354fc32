//! Slots of one size side by side, in a mapping or in a slot of a larger class.
//!
//! ```text
//! base              +16
//! | header 16       | slot 0            | slot 1          | …
//!            | 4    |           | 4     |
//!              in band of 0       of 1: what the slot was last used for
//!
//! in band    | check 1 | slot number and unused bytes 1 | units from the first slot 2 |
//! ```
//!
//! A block starts at its slot or some units behind it. The in-band bytes of a slot decide where its next block starts, so they are kept here. A group in
//! a slot finds there what its last user left, be it copied from elsewhere: so the allocator's own bytes are kept wherever they
//! may get to a group. Bytes of the program are taken for zero.

use super::classes::{IN_BAND, UNIT, WHOLE, slot_size};
use crate::units::PAGE;

pub(super) type Id = u32;
pub(super) const NOBODY: Id = Id::MAX;

/// Classes in whose slots groups of smaller ones lie, as their sizes are just below a power of two.
const HOSTS: [usize; 3] = [15, 19, 23];

/// A block starts at most so many units behind its slot, unless it is aligned.
const OFFSETS: u64 = 255;

/// A group lies in the first so many units of a block.
const NESTED: u64 = 127;

/// What is known of the in-band bytes before an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InBand {
    /// Slot number and unused bytes; 0 where there never was anything.
    mark: u8,
    /// Units, modulo 256: more of them is never asked for.
    offset: u8,
}

impl InBand {
    /// Of a block that was given back.
    pub(super) const FREED: InBand = InBand { mark: 255, offset: 0 };

    /// Of a block: its slot's number and unused bytes, and its distance.
    pub(super) fn new(slot: u32, unused: u8, units: u64) -> InBand {
        InBand { mark: unused << 5 | slot as u8, offset: units as u8 }
    }

    /// At the start of a slot whose block starts so many units behind it.
    pub(super) fn moved(units: u64) -> InBand {
        InBand::new(0, 7, units)
    }

    /// How many units behind the slot's start the next block should be, if there ever was one.
    pub(super) fn next(self) -> Option<u64> {
        (self.mark != 0).then(|| self.offset.wrapping_add(1).into())
    }

    /// With one of its bytes, by its place in the unit, from another.
    fn with(self, byte: u64, other: InBand) -> InBand {
        match byte {
            13 => InBand { mark: other.mark, ..self },
            14 => InBand { offset: other.offset, ..self },
            _ => self,
        }
    }
}

pub(super) struct Group {
    pub(super) base: u64,
    pub(super) class: usize,
    /// Of the mapping; 0 where the group lies in a slot.
    pub(super) pages: u64,
    pub(super) slots: u32,
    /// Bytes from slot to slot.
    pub(super) stride: u64,
    /// How many of the slots are in use or may be: the others are not touched as long as anything else is free.
    pub(super) active: u32,
    /// Slots to be handed out next, as bits.
    pub(super) ready: u32,
    /// Slots that are free otherwise.
    pub(super) freed: u32,
    /// In the ring of its class; nobody where it is in none.
    pub(super) next: Id,
    pub(super) previous: Id,
    /// The group and the slot in which it lies.
    pub(super) host: Option<(Id, u32)>,
    /// The group whose mapping it lies in: itself, where it has one.
    pub(super) root: Id,
    /// The page of a block that was moved far up in the only slot; 0 where there is none.
    pub(super) moved: u64,
    /// By slot, the groups that lie in it.
    guests: Vec<Id>,
    /// Of the mapping: for each slot, of its first so many units.
    in_band: Vec<InBand>,
    window: u64,
}

impl Group {
    /// In a mapping.
    pub(super) fn mapped(id: Id, base: u64, class: usize, pages: u64, slots: u32) -> Group {
        let stride = if slots == 1 { pages * PAGE - UNIT } else { slot_size(class) };
        let hosts = HOSTS.contains(&class);
        let window = (stride / UNIT).min(OFFSETS + NESTED + 1);
        let guests = if hosts { vec![NOBODY; slots as usize] } else { Vec::new() };
        let in_band = vec![InBand::default(); (u64::from(slots) * window) as usize];
        Group { pages, guests, in_band, window, ..Group::new(id, base, class, slots, stride) }
    }

    /// In a slot.
    pub(super) fn nested(root: Id, host: (Id, u32), base: u64, class: usize, slots: u32) -> Group {
        let guests = if HOSTS.contains(&class) { vec![NOBODY; slots as usize] } else { Vec::new() };
        Group { host: Some(host), guests, ..Group::new(root, base, class, slots, slot_size(class)) }
    }

    fn new(root: Id, base: u64, class: usize, slots: u32, stride: u64) -> Group {
        let active = match class {
            WHOLE => 0,
            _ => slots,
        };
        Group {
            base,
            class,
            pages: 0,
            slots,
            stride,
            active,
            ready: bits(active),
            freed: 0,
            next: NOBODY,
            previous: NOBODY,
            host: None,
            root,
            moved: 0,
            guests: Vec::new(),
            in_band: Vec::new(),
            window: 0,
        }
    }

    /// Only the first slots are for use yet.
    pub(super) fn activate_first(&mut self, active: u32) {
        self.active = active;
        self.ready = bits(active);
        self.freed = self.all() & !self.ready;
    }

    /// Every slot.
    pub(super) fn all(&self) -> u32 {
        bits(self.slots)
    }

    pub(super) fn free(&self) -> u32 {
        self.ready | self.freed
    }

    /// Freed slots become ready where they are active; answers with them.
    pub(super) fn refill(&mut self) -> u32 {
        self.ready = self.freed & bits(self.active);
        self.freed &= !self.ready;
        self.ready
    }

    /// One slot more, and further ones as long as the next one ends in the same page.
    pub(super) fn activate_more(&mut self) {
        let mut count = self.active + 1;
        let mut end = UNIT + self.stride * u64::from(count);
        while (end ^ (end + self.stride - 1)) < PAGE {
            count += 1;
            end += self.stride;
        }
        self.active = count.min(self.slots);
    }

    pub(super) fn start(&self, slot: u32) -> u64 {
        self.base + UNIT + self.stride * u64::from(slot)
    }

    /// Where the bytes for blocks of a slot end.
    pub(super) fn end(&self, slot: u32) -> u64 {
        self.start(slot) + self.stride - IN_BAND
    }

    pub(super) fn slot_at(&self, addr: u64) -> u32 {
        if self.slots == 1 { 0 } else { (addr - self.base - UNIT) as u32 / self.stride as u32 }
    }

    pub(super) fn guest(&self, slot: u32) -> Option<Id> {
        self.guests.get(slot as usize).copied().filter(|&guest| guest != NOBODY)
    }

    pub(super) fn set_guest(&mut self, slot: u32, guest: Id) {
        self.guests[slot as usize] = guest;
    }

    /// Before this address, in this mapping.
    pub(super) fn in_band(&self, addr: u64) -> InBand {
        self.place(addr).and_then(|place| self.in_band.get(place)).copied().unwrap_or_default()
    }

    pub(super) fn set_in_band(&mut self, addr: u64, value: InBand) {
        if let Some(place) = self.place(addr) {
            self.in_band[place] = value;
        }
    }

    fn place(&self, addr: u64) -> Option<usize> {
        let slot = self.slot_at(addr);
        let units = (addr - self.start(slot)) / UNIT;
        (units < self.window).then(|| (u64::from(slot) * self.window + units) as usize)
    }

    /// How many units behind a block of so many bytes in-band bytes may be known.
    pub(super) fn known(&self, addr: u64, len: u64) -> u64 {
        let units = (addr - self.start(self.slot_at(addr))) / UNIT;
        self.window.saturating_sub(units + 1).min(len / UNIT)
    }

    /// One byte becomes what it is `elsewhere`, in the in-band bytes at the same place of a unit.
    pub(super) fn set_byte(&mut self, addr: u64, elsewhere: InBand) {
        let unit = addr & !(UNIT - 1);
        if addr - unit > UNIT - IN_BAND {
            self.set_in_band(unit + UNIT, self.in_band(unit + UNIT).with(addr - unit, elsewhere));
        }
    }

    /// Bytes from the start of a block on become zero.
    pub(super) fn clear_bytes(&mut self, addr: u64, len: u64) {
        let whole = len / UNIT * UNIT;
        (1..=self.known(addr, len)).for_each(|units| self.set_in_band(addr + units * UNIT, InBand::default()));
        (addr + whole..addr + len).for_each(|byte| self.set_byte(byte, InBand::default()));
    }

    /// The mapping of a single slot has another place and length.
    pub(super) fn resize(&mut self, base: u64, pages: u64) {
        self.moved = 0;
        (self.base, self.pages, self.stride) = (base, pages, pages * PAGE - UNIT);
    }

    /// The group is no more.
    pub(super) fn forget(&mut self) {
        (self.pages, self.guests, self.in_band) = (0, Vec::new(), Vec::new());
    }
}

/// The lowest so many of 32.
fn bits(count: u32) -> u32 {
    if count == 0 { 0 } else { u32::MAX >> (32 - count) }
}
