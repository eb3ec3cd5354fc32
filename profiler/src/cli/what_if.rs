//! The recording under another huge-page mode than the machine had: what is not malloc's then becomes huge as well, which every policy of that mode
//! carries; and the recorded placements themselves, for programs whose heap is no model's.

use std::sync::Arc;

use crate::event::Event;
use crate::replay::outcome::Outcome;
use crate::replay::policy::Policy;
use crate::replay::recorded::{Facts, Recording};
use crate::vm::thp;
use crate::workload::{Action, Op};

/// The recording in every mode that some policy asks for and the machine had not.
pub(super) struct OtherModes(Vec<OtherMode>);

struct OtherMode {
    mode: thp::Mode,
    recording: Recording,
    /// The operations that are due.
    ops: Vec<Op>,
    /// Those of the last event, for reuse.
    own: Vec<Op>,
}

/// Whether an operation is about memory that is not malloc's: that may differ between modes, and all others do not.
fn is_carried(op: &&Op) -> bool {
    matches!(op.action, Action::Resident { .. } | Action::Mapping { .. })
}

impl OtherModes {
    /// Those of the policies.
    pub(super) fn of(policies: &[Policy], recording: &Recording) -> OtherModes {
        let mut modes: Vec<thp::Mode> = policies.iter().filter_map(Policy::thp).filter(|mode| *mode != recording.huge_pages()).collect();
        modes.sort_unstable_by_key(|mode| *mode as u8);
        modes.dedup();
        let other = |mode| OtherMode { mode, recording: recording.again_in(mode), ops: Vec::new(), own: Vec::new() };
        OtherModes(modes.into_iter().map(other).collect())
    }

    /// The next event, and the operations it gave in the machine's own mode.
    pub(super) fn feed(&mut self, event: &Event, ops: &[Op]) {
        for other in &mut self.0 {
            other.own.clear();
            other.recording.feed(event, &mut other.own);
            other.take(ops);
        }
    }

    /// What is due, by mode.
    pub(super) fn take(&mut self) -> Vec<(thp::Mode, Arc<[Op]>)> {
        self.0.iter_mut().map(|other| (other.mode, other.ops.drain(..).collect())).collect()
    }

    /// The recorded placements in each mode; with the operations at the end in the machine's own mode.
    pub(super) fn finish(&mut self, ops: &[Op]) -> Vec<(thp::Mode, Outcome)> {
        let finish = |other: &mut OtherMode| {
            other.own.clear();
            let recording = std::mem::replace(&mut other.recording, Recording::new(0, other.mode));
            let facts = recording.finish(&mut other.own);
            other.take(ops);
            (other.mode, facts.recorded)
        };
        self.0.iter_mut().map(finish).collect()
    }
}

impl OtherMode {
    fn take(&mut self, ops: &[Op]) {
        self.ops.extend(self.own.iter().filter(is_carried).copied());
        self.ops.extend(ops.iter().filter(|op| !is_carried(op)).copied());
    }
}

/// The row of `recorded` in a mode.
pub(super) fn recorded_in(mode: thp::Mode, others: &[(thp::Mode, Outcome)], facts: &Facts, policy: &Policy) -> Outcome {
    let found = others.iter().find(|(other, _)| *other == mode).map_or(&facts.recorded, |(_, outcome)| outcome);
    Outcome { policy: policy.to_string(), ..found.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::What;
    use crate::units::PAGE;
    use crate::workload::script::{HEAP, MAPS, PRIVATE, Script};

    #[test]
    fn what_is_not_mallocs_becomes_huge_and_blocks_do_not_change() {
        let mut script = Script::with_heap();
        script.malloc(HEAP + 16, 2 * PAGE).fault(HEAP + PAGE + 5, crate::event::Access::Write);
        script.mmap(MAPS, 1024, PRIVATE).write_pages(MAPS, 600).push(What::End);
        let policies = ["brk-only", "recorded+thp=always"].map(|spec| Policy::parse(spec).expect("a SPEC"));
        let mut recording = Recording::new(0, thp::Mode::Madvise);
        let mut others = OtherModes::of(&policies, &recording);
        let mut all = Vec::new();
        for event in &script.events {
            let first = all.len();
            recording.feed(event, &mut all);
            others.feed(event, &all[first..]);
        }
        let first = all.len();
        let facts = recording.finish(&mut all);
        let recorded = others.finish(&all[first..]);
        let huge = recorded_in(thp::Mode::Always, &recorded, &facts, &policies[1]);
        assert_eq!((huge.policy.as_str(), facts.recorded.minor_faults.expected), ("recorded+thp=always", 601));
        // Two huge pages and the one of the block.
        assert_eq!(huge.minor_faults.expected, 3);
        let Some((_, ops)) = others.take().pop() else { panic!("a mode") };
        let pages = |ops: &[Op]| {
            let anon = |op: &Op| if let Action::Resident { anon, .. } = op.action { i64::from(anon) } else { 0 };
            ops.iter().map(anon).sum::<i64>()
        };
        assert_eq!((pages(&all), pages(&ops)), (600, 1024));
        let blocks = |ops: &[Op]| ops.iter().filter(|op| !is_carried(op)).copied().collect::<Vec<_>>();
        assert_eq!(blocks(&all), blocks(&ops));
    }
}
