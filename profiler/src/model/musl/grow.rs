//! Slots, and new groups where none is free.

use super::Musl;
use super::classes::{IN_BAND, UNIT, WHOLE, class_of, count, reduced, slot_size};
use super::group::{Group, Id, InBand, NOBODY};
use crate::event::{Access, PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// Groups of up to so many bytes lie in a slot of a larger class.
const NESTED: u64 = PAGE / 2;
/// Where slots are so few, one block may get a mapping of just its own length.
const SINGLE: u64 = 7;

impl Musl {
    /// A slot of a class, for a request of so many bytes.
    pub(super) fn take_slot(&mut self, os: &mut dyn Os, class: usize, size: u64) -> Option<(Id, u32)> {
        let found = match self.pop_freed(class) {
            Some(found) => found,
            None => {
                let id = self.new_group(os, class, size)?;
                self.append(id);
                (id, self.pop(id))
            }
        };
        self.totals.free -= self.groups[found.0 as usize].stride;
        Some(found)
    }

    /// A mapping for one block.
    pub(super) fn take_whole(&mut self, os: &mut dyn Os, size: u64) -> Option<(Id, u32)> {
        let len = Bytes(size + IN_BAND + UNIT);
        let base = os.mmap(len, PROT_READ | PROT_WRITE)?.0;
        self.bounces.step();
        if self.metadata.take(os).is_none() {
            os.munmap(Addr(base), len);
            return None;
        }
        let id = self.unused_id();
        self.keep(id, Group::mapped(id, base, WHOLE, len.pages_up().0, 1));
        os.touch(Addr(base), Bytes(UNIT), Access::Write);
        Some((id, 0))
    }

    fn new_group(&mut self, os: &mut dyn Os, class: usize, size: u64) -> Option<Id> {
        self.metadata.take(os)?;
        let mut slots = count(class, self.used[class]);
        if slots == 1 && slot_size(class) + UNIT <= NESTED {
            slots = 2;
        }
        let is_nested = slot_size(class) * slots + UNIT <= NESTED;
        let made = if is_nested { self.nested_group(os, class, slots) } else { self.mapped_group(os, class, size, slots) };
        let Some(id) = made else {
            self.metadata.give();
            return None;
        };
        let group = &self.groups[id as usize];
        self.used[class] += u64::from(group.slots);
        self.totals.free += group.stride * u64::from(group.slots);
        Some(id)
    }

    fn mapped_group(&mut self, os: &mut dyn Os, class: usize, size: u64, mut slots: u64) -> Option<Id> {
        let stride = slot_size(class);
        let bounces = self.bounces.is_bouncing(class);
        self.bounces.mapping(class);
        let coarse = if class.is_multiple_of(2) && class < 32 { self.used[class + 1] } else { 0 };
        let used = self.used[class] + coarse;
        if 4 * slots > used && !bounces {
            slots = reduced(class, slots);
        }
        let mut len = (stride * slots + UNIT).next_multiple_of(PAGE);
        let single = (size + IN_BAND + UNIT).next_multiple_of(PAGE);
        if !bounces && slots <= SINGLE && (single < stride + UNIT || (single >= 4 * PAGE && 2 * slots > used)) {
            (slots, len) = (1, single);
        }
        let base = os.mmap(Bytes(len), PROT_READ | PROT_WRITE)?.0;
        let id = self.unused_id();
        let mut group = Group::mapped(id, base, class, len / PAGE, slots as u32);
        group.activate_first(((PAGE - UNIT) / stride).clamp(1, slots) as u32);
        self.keep(id, group);
        // Part of the header is read before it is written.
        os.touch(Addr(base), Bytes(UNIT), Access::Read);
        os.touch(Addr(base), Bytes(UNIT), Access::Write);
        Some(id)
    }

    fn nested_group(&mut self, os: &mut dyn Os, class: usize, slots: u64) -> Option<Id> {
        let len = UNIT + slot_size(class) * slots;
        let host_class = class_of(len - IN_BAND);
        let (host, slot) = self.take_slot(os, host_class, len - IN_BAND)?;
        let base = self.place(os, host, slot, slot_size(host_class) - IN_BAND);
        let (root, first) = (self.groups[host as usize].root, self.groups[host as usize].start(0));
        self.groups[root as usize].set_in_band(base, InBand::new(slot, 6, (base - first) / UNIT));
        os.touch(Addr(base), Bytes(len), Access::Write);
        let id = self.unused_id();
        self.groups[id as usize] = Group::nested(root, (host, slot), base, class, slots as u32);
        self.groups[host as usize].set_guest(slot, id);
        Some(id)
    }

    /// A group that has a mapping.
    fn keep(&mut self, id: Id, group: Group) {
        self.mappings = self.mappings.wrapping_add(1);
        self.totals.mapped += group.pages * PAGE;
        self.places.set_all(&group, id);
        self.groups[id as usize] = group;
    }

    fn unused_id(&mut self) -> Id {
        self.unused.pop().unwrap_or_else(|| {
            self.groups.push(Group::nested(NOBODY, (NOBODY, 0), 0, 0, 0));
            (self.groups.len() - 1) as Id
        })
    }
}
