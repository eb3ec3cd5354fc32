//! Origins of calls, as the kernel half gives them, to places in the tree of stacks.

use std::collections::HashMap;

use profiler_ebpf::STACK_BIT;

use crate::event::ProcessId;
use crate::event::origin::{Frame, SiteId};

/// The tree of all stacks so far.
///
/// It grows with the number of different call sites, and with stacks by that of different stacks, of which the kernel half tells a bounded number.
#[derive(Default)]
pub struct Stacks {
    nodes: HashMap<Frame, SiteId>,
    /// Return addresses of the stacks that were told, innermost first, by origin.
    told: HashMap<u64, Box<[u64]>>,
    /// Places of the stacks that were met, by process and origin.
    places: HashMap<(ProcessId, u64), SiteId>,
    fresh: Vec<Frame>,
}

impl Stacks {
    /// A stack with this origin has these frames, innermost first.
    pub fn tell(&mut self, origin: u64, frames: &[u64]) {
        self.told.insert(origin, frames.into());
    }

    /// The place of an origin; 0 where it is unknown.
    pub fn place(&mut self, process: ProcessId, origin: u64) -> SiteId {
        if origin & STACK_BIT == 0 {
            return if origin == 0 { 0 } else { self.node(Frame { process, parent: 0, addr: origin }) };
        }
        if let Some(place) = self.places.get(&(process, origin)) {
            return *place;
        }
        let Some(frames) = self.told.get(&origin).cloned() else { return 0 };
        let place = frames.iter().rev().fold(0, |parent, &addr| self.node(Frame { process, parent, addr }));
        self.places.insert((process, origin), place);
        place
    }

    /// Nodes that are new since the last call.
    pub fn take_fresh(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.fresh)
    }

    /// Every node, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Frame> {
        self.nodes.keys()
    }

    fn node(&mut self, frame: Frame) -> SiteId {
        let next = self.nodes.len() as SiteId + 1;
        let (nodes, fresh) = (&mut self.nodes, &mut self.fresh);
        *nodes.entry(frame).or_insert_with(|| {
            fresh.push(frame);
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_share_what_they_have_in_common() {
        let mut stacks = Stacks::default();
        let (one, two) = (STACK_BIT | 1, STACK_BIT | 2);
        stacks.tell(one, &[30, 20, 10]);
        stacks.tell(two, &[31, 20, 10]);
        assert_eq!((stacks.place(0, one), stacks.place(0, two), stacks.place(0, one)), (3, 4, 3));
        let frame = |parent, addr| Frame { process: 0, parent, addr };
        assert_eq!(stacks.take_fresh(), [frame(0, 10), frame(1, 20), frame(2, 30), frame(2, 31)]);
        assert!(stacks.take_fresh().is_empty());
    }

    #[test]
    fn another_process_has_places_of_its_own() {
        let mut stacks = Stacks::default();
        stacks.tell(STACK_BIT | 1, &[30]);
        assert_ne!(stacks.place(0, STACK_BIT | 1), stacks.place(1, STACK_BIT | 1));
        assert_eq!(stacks.place(0, 30), stacks.place(0, STACK_BIT | 1), "a caller is a stack of one frame");
    }

    #[test]
    fn what_was_not_told_is_unknown() {
        let mut stacks = Stacks::default();
        assert_eq!((stacks.place(0, 0), stacks.place(0, STACK_BIT | 7)), (0, 0));
    }
}
