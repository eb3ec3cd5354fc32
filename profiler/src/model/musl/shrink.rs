//! Slots that become free, and groups that go: at once, nothing is kept for later but what bounces.

use super::Musl;
use super::classes::{CLASSES, slot_size};
use super::group::{Id, NOBODY};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

impl Musl {
    /// Takes a slot back.
    pub(super) fn give_slot(&mut self, os: &mut dyn Os, id: Id, slot: u32) {
        let group = &mut self.groups[id as usize];
        let (free, this, class) = (group.free(), 1 << slot, group.class);
        let is_last = free | this == group.all();
        if is_last && self.may_go(id) {
            return self.drop_group(os, id);
        }
        if free == 0 && self.active[class] != id {
            self.append(id);
        }
        let group = &mut self.groups[id as usize];
        group.freed |= this;
        self.totals.free += group.stride;
    }

    /// Whether a group is given up when it is free as a whole.
    fn may_go(&self, id: Id) -> bool {
        let group = &self.groups[id as usize];
        let (class, slots) = (group.class, u64::from(group.slots));
        class >= CLASSES
            || group.pages == 0
            || group.stride < slot_size(class)
            || group.next != id
            || !self.bounces.is_bouncing(class)
            || (9 * slots <= self.used[class] && slots < 20)
    }

    fn drop_group(&mut self, os: &mut dyn Os, id: Id) {
        let class = self.groups[id as usize].class;
        if self.groups[id as usize].next != NOBODY {
            let was_first = self.active[class] == id;
            self.remove(id);
            if was_first && self.active[class] != NOBODY {
                self.groups[self.active[class] as usize].refill();
            }
        }
        let group = &self.groups[id as usize];
        if class < CLASSES {
            self.used[class] -= u64::from(group.slots);
            self.totals.free -= group.stride * u64::from(group.slots - 1);
        }
        self.metadata.give();
        self.unused.push(id);
        match group.host {
            Some((host, slot)) => {
                self.groups[host as usize].set_guest(slot, NOBODY);
                self.give_slot(os, host, slot);
            }
            None => self.unmap(os, id),
        }
    }

    fn unmap(&mut self, os: &mut dyn Os, id: Id) {
        let group = &mut self.groups[id as usize];
        self.bounces.unmapped(group.class);
        self.places.set_all(group, NOBODY);
        self.totals.mapped -= group.pages * PAGE;
        os.munmap(Addr(group.base), Bytes(group.pages * PAGE));
        group.forget();
    }
}
