//! Where an allocator's memory sits when it holds most: live blocks, its own free parts, and what lies between.

use crate::model::AllocatorModel;
use crate::units::Bytes;

/// The parts at the highest resident set, as near as they are looked at: whenever it has grown by one hundredth since the last look.
#[derive(Default)]
pub(super) struct Held {
    /// Looked at again when the resident set is higher than this.
    enough: u64,
    parts: Vec<(&'static str, Bytes)>,
}

impl Held {
    /// Looks at a model whose process has `rss` resident bytes and `live` requested ones, if it is time for that.
    pub(super) fn look(&mut self, rss: u64, live: u64, model: &dyn AllocatorModel) {
        if rss > self.enough {
            self.enough = rss + rss / 100;
            self.take(live, model);
        }
    }

    fn take(&mut self, live: u64, model: &dyn AllocatorModel) {
        let counters = model.counters();
        self.parts.clear();
        self.parts.push(("live", Bytes(live)));
        if counters.parts.is_empty() {
            self.parts.push(("free", counters.free));
        } else {
            self.parts.extend(counters.parts);
        }
        let named: Bytes = self.parts.iter().map(|part| part.1).sum();
        self.parts.push(("rounding", counters.held.saturating_sub(named)));
    }

    /// Part by part; together they are all that the allocator had from the system.
    pub(super) fn parts(self) -> Vec<(&'static str, Bytes)> {
        self.parts
    }
}
