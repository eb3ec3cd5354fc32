//! Windows: calls of the malloc family are recorded for a while, again and again, in a recording that otherwise only sees what is cheap.
//!
//! ```text
//!  open    probes are put into every process, which takes some 20 ms for each; then the gate opens, for all in the same instant
//!  close   the gate closes, for all in the same instant; then the probes go, in the background, at 0.1 s each
//!  gate    a number that each probe reads first: 0 passes everything over
//! ```
//!
//! Until a probe has gone, a call that hits it costs almost as much as one that is recorded (the trap, not the program, is what costs), and nothing
//! after that: switching the probes' perf events off would keep both the breakpoints and the programs at work. Where the next window comes sooner than
//! [`WORTH_IT`], the probes stay and are only passed over.

use std::time::Duration;

use super::recording::{Sink, Windows};
use super::session::Session;
use crate::error::{Error, Result};
use crate::event::{Event, ProcessId, What};
use crate::target::process;
use crate::units::Nanos;

/// Probes are taken away for a gap of this length, which is longer than taking away those of a few processes.
const WORTH_IT: Duration = Duration::from_secs(15);

/// When windows open and close.
pub(super) struct Schedule {
    windows: Option<Windows>,
    /// Windows that were opened; the last one may be closed again.
    opened: u32,
    pub(super) open: bool,
}

impl Schedule {
    /// Begins with an open window; without `windows` it stays open.
    pub(super) fn new(windows: Option<Windows>) -> Schedule {
        Schedule { windows, opened: 1, open: true }
    }

    /// Number of the window that is open or comes next, as the kernel half counts: never 0.
    pub(super) fn number(&self) -> u32 {
        (self.opened - 1) % profiler_ebpf::LAST_WINDOW + 1
    }

    /// Whether a window is to be opened (true) or closed (false) after so much time. One for which nothing was `ready` in time is left out.
    pub(super) fn due(&mut self, elapsed: Duration, ready: bool) -> Option<bool> {
        let windows = self.windows?;
        let round = elapsed.as_nanos() / windows.every.as_nanos().max(1);
        let within = elapsed.as_nanos() % windows.every.as_nanos().max(1) < windows.length.as_nanos();
        if within && !self.open && ready && round >= u128::from(self.opened) {
            self.opened = u32::try_from(round).unwrap_or(u32::MAX - 1) + 1;
            self.open = true;
            return Some(true);
        }
        if self.open && (!within || round >= u128::from(self.opened)) {
            self.open = false;
            return Some(false);
        }
        None
    }

    /// Whether the probes are taken away in between.
    fn gap_is_long(&self) -> bool {
        self.windows.is_some_and(|windows| windows.every.saturating_sub(windows.length) >= WORTH_IT)
    }
}

impl Session {
    /// Opens or closes a window. What is in the ring by then comes first; the value is what the sink failed with.
    pub(super) fn turn(&mut self, open: bool, sink: &mut dyn Sink) -> Result<Option<Error>> {
        let mut failure = None;
        if open {
            self.heap.active = true;
            self.probe_all();
            self.take_all(sink, &mut failure);
            self.tell_window(What::WindowBegin);
            self.object.set_window(self.schedule.number())?;
        } else {
            self.object.set_window(0)?;
            self.take_all(sink, &mut failure);
            self.tell_window(What::WindowEnd);
            if self.schedule.gap_is_long() {
                self.heap.rest();
            }
        }
        Ok(failure)
    }

    fn probe_all(&mut self) {
        for process in self.living() {
            let pid = self.processes[process as usize].pid;
            match self.probe(process) {
                Err(error) if process::is_alive(pid) => self.calls_missing(pid, &error),
                _ => {}
            }
        }
    }

    /// A process that comes in a gap must not be taken for one whose calls are recorded.
    pub(super) fn tell_closed(&mut self, process: ProcessId, pid: u32, time: Nanos) {
        if !self.schedule.open {
            self.batch.push(Event { time, process, tid: pid, in_heap: false, what: What::WindowEnd });
        }
    }

    fn tell_window(&mut self, what: What) {
        let time = self.now();
        for process in self.living() {
            let tid = self.processes[process as usize].pid;
            self.batch.push(Event { time, process, tid, in_heap: false, what });
        }
    }

    fn living(&mut self) -> Vec<ProcessId> {
        self.sync_processes();
        self.processes.iter().filter(|facts| facts.ended.is_none() && !facts.is_left_alone()).map(|facts| facts.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn windows_open_and_close_in_turn() {
        let mut schedule = Schedule::new(Some(Windows { length: secs(2), every: secs(10) }));
        let due: Vec<_> = (0..25).filter_map(|second| Some((second, schedule.due(secs(second), true)?))).collect();
        assert_eq!(due, [(2, false), (10, true), (12, false), (20, true), (22, false)]);
        assert_eq!((schedule.number(), schedule.gap_is_long()), (3, false));
    }

    #[test]
    fn a_window_that_was_missed_is_left_out() {
        let mut schedule = Schedule::new(Some(Windows { length: secs(2), every: secs(60) }));
        let mut due = |second, ready| schedule.due(secs(second), ready);
        assert_eq!([due(61, true), due(61, true), due(63, true), due(185, true)], [Some(false), Some(true), Some(false), None]);
        assert_eq!([due(240, false), due(241, true)], [None, Some(true)]);
        assert_eq!((schedule.number(), schedule.gap_is_long()), (5, true));
    }

    #[test]
    fn without_windows_nothing_is_ever_due() {
        let mut schedule = Schedule::new(None);
        assert!((0..1000).all(|second| schedule.due(secs(second), true).is_none()) && schedule.open);
    }
}
