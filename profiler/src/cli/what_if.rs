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
