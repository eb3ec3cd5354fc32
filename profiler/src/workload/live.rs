//! The blocks that are live in the recording, by address.
//!
//! Records of different threads arrive in the order in which calls *returned* (`free`: was entered). While one thread's `realloc` is on
//! its way back, another thread may already have been given the old address. The displaced block is parked then, and the `realloc`
//! record finds it there. What nobody claims within a second was freed by a record that was lost.

use super::ObjectId;
use crate::units::{Addr, Bytes, Nanos};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// How long a displaced block waits for its `realloc`: far longer than any call takes.
const PATIENCE: Nanos = Nanos(1_000_000_000);

/// A live block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) id: ObjectId,
    pub(super) size: Bytes,
    /// Came with a fork: it belongs to the parent's workload.
    pub(super) inherited: bool,
    /// From `calloc`.
    pub(super) zeroed: bool,
}

#[derive(Clone, Debug)]
struct Parked {
    since: Nanos,
    addr: Addr,
    object: Object,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    map: BTreeMap<u64, Object>,
    parked: VecDeque<Parked>,
    vacant: Vec<ObjectId>,
    next: ObjectId,
}

impl Live {
    /// A number for a new block.
    pub(super) fn number(&mut self) -> ObjectId {
        self.vacant.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// The number may be given to another block.
    pub(super) fn retire(&mut self, id: ObjectId) {
        self.vacant.push(id);
    }

    /// Puts a block at its recorded address; blocks that lay there are parked.
    pub(super) fn place(&mut self, addr: Addr, object: Object, now: Nanos) {
        let end = addr.0.saturating_add(object.size.0.max(1));
        let mut displaced = Vec::new();
        while let Some((&start, &other)) = self.map.range(..end).next_back()
            && (start >= addr.0 || start + other.size.0 > addr.0)
        {
            self.map.remove(&start);
            displaced.push(Parked { since: now, addr: Addr(start), object: other });
        }
        // Found from above, parked from below.
        self.parked.extend(displaced.into_iter().rev());
        self.map.insert(addr.0, object);
    }

    /// Takes a block out to free it.
    pub(super) fn take(&mut self, addr: Addr) -> Option<Object> {
        self.map.remove(&addr.0)
    }

    /// Takes a block out that `realloc` moved from `old` to `new`.
    pub(super) fn take_resized(&mut self, old: Addr, new: Addr) -> Option<Object> {
        // A block resized in place cannot have been displaced; of one that moved, a parked one at its address is the elder.
        if new != old
            && let Some(place) = self.parked.iter().position(|parked| parked.addr == old)
        {
            return self.parked.remove(place).map(|parked| parked.object);
        }
        self.map.remove(&old.0)
    }

    /// A parked block that nobody claimed in time; with `now` unknown, any.
    pub(super) fn expired(&mut self, now: Option<Nanos>) -> Option<Object> {
        let waited = |parked: &Parked| now.is_none_or(|now| now.saturating_sub(parked.since) > PATIENCE);
        self.parked.front().is_some_and(waited).then(|| self.parked.pop_front().map(|parked| parked.object)).flatten()
    }

    /// The block that holds the byte at `addr`, and where it starts.
    pub(super) fn containing(&self, addr: Addr) -> Option<(Addr, Object)> {
        let (&start, object) = self.map.range(..=addr.0).next_back()?;
        (addr.0 - start < object.size.0).then_some((Addr(start), *object))
    }

    /// The blocks that have a part in the bytes.
    pub(super) fn overlapping(&self, bytes: Range<u64>) -> impl Iterator<Item = (Addr, Object)> + Clone {
        let before = self.map.range(..bytes.start).next_back().filter(move |(start, object)| **start + object.size.0 > bytes.start);
        before.into_iter().chain(self.map.range(bytes)).map(|(&start, &object)| (Addr(start), object))
    }

    /// All blocks of this process end here, as far as anybody knows. Their numbers are free again.
    pub(super) fn close(&mut self) -> Vec<Object> {
        let parked = self.parked.drain(..).map(|parked| parked.object);
        let own: Vec<Object> = std::mem::take(&mut self.map).into_values().chain(parked).filter(|object| !object.inherited).collect();
        self.vacant.extend(own.iter().map(|object| object.id));
        own
    }

    /// Everything is the parent's from now on.
    pub(super) fn inherit(&mut self) {
        self.map.values_mut().for_each(|object| object.inherited = true);
        self.parked.clear();
        (self.vacant, self.next) = (Vec::new(), 0);
    }
}
