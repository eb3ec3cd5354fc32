//! A process's own clock: the time since it began, without the pauses that the recorder made, and without what its probes cost.
//!
//! The cost of a probe is taken off where the thread's event before was the process's last one, and never more than has passed since: of threads that
//! run at the same time one waits for nothing, and no clock can be that of all.

use super::probes::ProbeCost;
use crate::event::{Event, Tid, What};
use crate::units::Nanos;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When the process began, on the recording's clock.
    origin: Nanos,
    /// Length of all pauses so far.
    paused: Nanos,
    /// When it was last let go on, on the recording's clock.
    resumed: Nanos,
    cost: ProbeCost,
    /// What the probes have cost so far.
    spent: Nanos,
    /// The thread of the last event.
    last: Tid,
    now: Nanos,
}

impl Clock {
    /// Of a process that began at this time of the recording.
    pub(super) fn starting_at(origin: Nanos, cost: ProbeCost) -> Clock {
        Clock { origin, paused: Nanos(0), resumed: origin, cost, spent: Nanos(0), last: 0, now: Nanos(0) }
    }

    /// Goes on to an event. One that comes late, or from a thread that was still on its way into a pause, does not turn the clock back.
    pub(super) fn advance(&mut self, event: &Event) {
        if let What::Paused { since } = event.what {
            self.pause(since, event.time);
        }
        let running = event.time.saturating_sub(self.origin).saturating_sub(self.paused).saturating_sub(self.spent);
        let passed = running.saturating_sub(self.now);
        let cost = if event.tid == self.last { self.cost.of(event).min(passed) } else { Nanos(0) };
        self.spent += cost;
        self.now += passed - cost;
        self.last = event.tid;
    }

    /// A stop from before the last continuation was ended by that one: two threads had stopped the process at the same time.
    fn pause(&mut self, since: Nanos, until: Nanos) {
        if since >= self.resumed {
            self.paused += until.saturating_sub(since);
        }
        self.resumed = self.resumed.max(until);
    }

    /// What its probes cost.
    pub(super) fn cost(&self) -> ProbeCost {
        self.cost
    }

    /// Time since the process began.
    pub(super) fn now(&self) -> Nanos {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{HEAP, Script};
    use super::super::{Action, Lifter};
    use super::*;
    use crate::event::ProcessId;
    use crate::units::{Addr, PAGE};
    use crate::vm::thp;
    use proptest::prelude::*;

    fn times(begin: u64, events: &[(u64, Option<u64>)]) -> Vec<u64> {
        let mut clock = Clock::starting_at(Nanos(begin), ProbeCost::default());
        let what = |since: Option<u64>| since.map_or(What::Start, |since| What::Paused { since: Nanos(since) });
        let event =
            |&(time, since): &(u64, Option<u64>)| Event { time: Nanos(time), process: 0, tid: 1, in_heap: false, what: what(since) };
        let now = |event: Event| {
            clock.advance(&event);
            clock.now().0
        };
        events.iter().map(event).map(now).collect()
    }

    #[test]
    fn pauses_are_taken_off() {
        let events = [(100, None), (110, None), (510, Some(110)), (515, None), (600, Some(520)), (601, None)];
        assert_eq!(times(100, &events), [0, 10, 10, 15, 20, 21]);
    }

    #[test]
    fn a_thread_that_was_still_on_its_way_into_a_pause_does_not_turn_the_clock_back() {
        assert_eq!(times(0, &[(10, None), (500, Some(12)), (13, None), (501, None)]), [10, 12, 12, 13]);
    }

    #[test]
    fn a_stop_that_an_earlier_continuation_has_ended_is_no_pause() {
        assert_eq!(times(0, &[(500, Some(10)), (700, Some(11)), (710, None)]), [10, 210, 220]);
    }

    #[test]
    fn what_a_probe_costs_is_taken_off_as_far_as_it_can_be() {
        let cost = ProbeCost { alloc: Nanos(70), free: Nanos(40) };
        let mut clock = Clock::starting_at(Nanos(0), cost);
        let free = What::Free { ptr: Addr(16) };
        // A second thread's call may have been at the same time; another event costs nothing; a short gap is not made negative.
        let events = [(100, 1, free), (200, 1, free), (300, 2, free), (400, 2, What::ThreadEnd), (430, 2, free), (500, 2, free)];
        let shown = events.map(|(time, tid, what)| {
            clock.advance(&Event { time: Nanos(time), process: 0, tid, in_heap: false, what });
            clock.now().0
        });
        assert_eq!(shown, [100, 160, 260, 360, 360, 390]);
    }

    /// When each action of the malloc family happened, and when the process ended.
    fn lifted(script: &Script, process: ProcessId) -> (Vec<u64>, u64) {
        let (mut lifter, mut ops) = (Lifter::new(process, thp::Mode::Never), Vec::new());
        script.events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
        lifter.finish(&mut ops);
        let of_heap = |action| matches!(action, Action::Alloc { .. } | Action::Free { .. });
        (ops.iter().filter(|op| of_heap(op.action)).map(|op| op.time.0).collect(), lifter.now().0)
    }

    fn paused(script: &mut Script, length: u64) -> &mut Script {
        let since = script.now();
        script.wait(length - 1000).push(What::Paused { since })
    }

    #[test]
    fn operations_and_the_length_of_the_workload_are_without_pauses() {
        let mut script = Script::default();
        paused(script.push(What::Start), 90_000_000).malloc(HEAP + 16, 10);
        paused(&mut script, 5_000_000).free(HEAP + 16).push(What::End);
        assert_eq!(lifted(&script, 0), (vec![1000, 2000], 3000));
    }

    #[test]
    fn a_forked_childs_clock_begins_at_its_fork_and_has_its_own_pauses() {
        let mut script = Script::default();
        paused(script.push(What::Start), 90_000_000).push(What::Fork { child: 9, process: 1 }).process(1);
        paused(&mut script, 70_000_000).malloc(HEAP + 16, 10).process(0).malloc(HEAP + 16, 10);
        assert_eq!(lifted(&script, 1), (vec![1000], 1000));
        assert_eq!(lifted(&script, 0), (vec![70_003_000], 70_003_000));
    }

    #[test]
    fn a_pause_inside_free_does_not_make_its_trim_the_programs() {
        let mut script = Script::with_heap();
        script.malloc(HEAP + 16, 10).free(HEAP + 16);
        paused(&mut script, 5000).brk(HEAP + PAGE, HEAP + PAGE);
        let (mut lifter, mut ops) = (Lifter::new(0, thp::Mode::Never), Vec::new());
        script.events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
        assert!(!ops.iter().any(|op| matches!(op.action, Action::Sbrk { .. })));
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_never_faster_than_the_recording(begin: u64, events: Vec<(u64, Option<u64>)>) {
            let shown = times(begin, &events);
            prop_assert!(shown.is_sorted());
            let latest = events.iter().map(|(time, _)| time.saturating_sub(begin)).max().unwrap_or(0);
            prop_assert!(shown.last().is_none_or(|last| *last <= latest));
        }
    }
}
