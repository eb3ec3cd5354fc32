//! The groups of a class that have free slots, or had some when they were last looked at.

use super::Musl;
use super::group::{Id, NOBODY};

impl Musl {
    /// Behind all others of its class.
    pub(super) fn append(&mut self, id: Id) {
        let head = &mut self.active[self.groups[id as usize].class];
        if *head == NOBODY {
            *head = id;
            return self.link(id, id);
        }
        let head = *head;
        let last = self.groups[head as usize].previous;
        self.link(last, id);
        self.link(id, head);
    }

    /// Out of its ring; where it was the first one, the next is.
    pub(super) fn remove(&mut self, id: Id) {
        let (next, previous) = (self.groups[id as usize].next, self.groups[id as usize].previous);
        let head = &mut self.active[self.groups[id as usize].class];
        if next == id {
            *head = NOBODY;
        } else {
            if *head == id {
                *head = next;
            }
            self.link(previous, next);
        }
        (self.groups[id as usize].next, self.groups[id as usize].previous) = (NOBODY, NOBODY);
    }

    fn link(&mut self, id: Id, next: Id) {
        self.groups[id as usize].next = next;
        self.groups[next as usize].previous = id;
    }

    /// A slot of the first group, after a look for groups that have any.
    pub(super) fn pop_freed(&mut self, class: usize) -> Option<(Id, u32)> {
        let mut id = self.active[class];
        if id == NOBODY {
            return None;
        }
        if self.groups[id as usize].ready == 0 {
            id = self.refilled(class, id)?;
        }
        Some((id, self.pop(id)))
    }

    /// The lowest ready slot.
    pub(super) fn pop(&mut self, id: Id) -> u32 {
        let ready = &mut self.groups[id as usize].ready;
        let slot = ready.trailing_zeros();
        *ready &= *ready - 1;
        slot
    }

    fn refilled(&mut self, class: usize, first: Id) -> Option<Id> {
        let mut id = self.groups[first as usize].next;
        if self.groups[first as usize].freed == 0 {
            self.remove(first);
            id = self.active[class];
            if id == NOBODY {
                return None;
            }
        }
        // One that is free as a whole may be unmapped later.
        let group = &self.groups[id as usize];
        if group.freed == group.all() {
            id = group.next;
        }
        let group = &self.groups[id as usize];
        if group.freed & (u32::MAX >> (32 - group.active)) == 0 {
            match group.next {
                next if next != id => id = next,
                _ => self.groups[id as usize].activate_more(),
            }
        }
        self.active[class] = id;
        self.groups[id as usize].refill();
        self.bounces.reused(class);
        Some(id)
    }
}
