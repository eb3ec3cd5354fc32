//! What is recorded and how, where it goes, and what is known at the end.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use profiler_ebpf::Stop;

use super::costs::Costs;
use super::decode::Tally;
use super::detach::Detaching;
use super::facts::ProcessFacts;
use super::launch::Ended;
use super::losses::Loss;
use super::object::Totals;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::event::origin::Origins;
use crate::units::{Bytes, Nanos};

/// What is recorded.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A program that is started, with its arguments.
    Launch(Vec<OsString>),
    /// Running processes.
    Attach(Vec<u32>),
    /// Every process that is in this control group (version 2) or comes into it, by its folder; those below it belong to it.
    Cgroup(PathBuf),
}

/// Which events are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// All.
    #[default]
    All,
    /// System calls, faults, the resident set and tasks, but no call of the malloc family: no probe is put into any process.
    Vm,
}

/// Calls of the malloc family are recorded for a while, again and again; everything else always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Length of a window.
    pub length: Duration,
    /// From the beginning of one to the beginning of the next.
    pub every: Duration,
}

/// When a recording ends by itself, whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// After this time.
    pub time: Option<Duration>,
    /// With so many events.
    pub events: Option<u64>,
    /// With a trace of this size.
    pub bytes: Option<Bytes>,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::time`]
    Time,
    /// [`Limits::events`]
    Events,
    /// [`Limits::bytes`]
    Bytes,
}

impl Limits {
    /// The limit that is reached by now.
    pub(super) fn reached(&self, elapsed: Duration, events: u64, bytes: Bytes) -> Option<Limit> {
        let over = [
            (Limit::Time, self.time.is_some_and(|most| elapsed >= most)),
            (Limit::Events, self.events.is_some_and(|most| events >= most)),
            (Limit::Bytes, self.bytes.is_some_and(|most| bytes >= most)),
        ];
        over.into_iter().find_map(|(limit, reached)| reached.then_some(limit))
    }
}

/// How it is recorded.
#[derive(Clone, Debug)]
pub struct Options {
    /// What.
    pub subject: Subject,
    /// Which events.
    pub events: Events,
    /// Windows in which calls of the malloc family are recorded; `None`: all the time.
    pub windows: Option<Windows>,
    /// When it ends.
    pub limits: Limits,
    /// Size of the ring buffer, rounded up to a power of two.
    pub ring: Bytes,
    /// A resident-set record for each change by so much.
    pub rss_step: Bytes,
    /// Whether forked children are recorded and libraries that a process opens after it was attached to are probed. Both stop the process
    /// for a moment. The libraries of a program that is started are always probed.
    pub follow: bool,
    /// Whether the processes wait and stop rather than that an event is lost.
    pub lossless: bool,
    /// Whether whole stacks are recorded with each block, by frame pointers; else its immediate caller.
    pub stacks: bool,
}

impl Options {
    /// For what processes stop themselves, the bits of [`Stop`]: until their probes are attached, and a new program until its memory map is read.
    pub(super) fn stops(&self) -> u32 {
        let launched = matches!(self.subject, Subject::Launch(_));
        match self.events {
            _ if !self.follow && !launched => 0,
            Events::All => Stop::Child.bit() | Stop::Exec.bit() | Stop::Mapping.bit(),
            Events::Vm if self.follow => Stop::Exec.bit(),
            // A child is recorded from its birth on, unless it is found and left alone.
            Events::Vm => Stop::Exec.bit() | Stop::Child.bit(),
        }
    }
}

/// Where the recording goes.
pub trait Sink {
    /// Takes events in order. May block; the ring fills meanwhile.
    ///
    /// # Errors
    /// Ends the recording.
    fn events(&mut self, batch: Vec<Event>) -> Result<()>;

    /// Takes what is told of origins, before the events that need it.
    ///
    /// # Errors
    /// Ends the recording.
    fn origins(&mut self, origins: Origins) -> Result<()>;

    /// Told whenever something was lost, everything so far.
    fn losses(&mut self, losses: &[Loss]);

    /// Told whenever processes came, went or changed.
    fn processes(&mut self, processes: &[ProcessFacts]);

    /// Bytes that the events take by now, where they are kept.
    fn bytes(&self) -> Bytes;
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Since it began.
    pub elapsed: Duration,
    /// Records put into the ring.
    pub made: u64,
    /// Records lost.
    pub lost: u64,
    /// Processes seen.
    pub processes: usize,
}

/// Why a recording ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoppedBy {
    /// Every recorded process has ended.
    End,
    /// A limit was reached.
    Limit(Limit),
    /// Ctrl-C or a request to terminate.
    Interrupt,
    /// The sink failed; what it took before is safe.
    Sink(Error),
}

/// What is known at the end.
pub struct Recorded {
    /// Every process image.
    pub processes: Vec<ProcessFacts>,
    /// Counters of the kernel half.
    pub totals: Totals,
    /// Counters of the decoder.
    pub tally: Tally,
    /// Why it ended.
    pub stopped_by: StoppedBy,
    /// When what was lost.
    pub losses: Vec<Loss>,
    /// How often recorded processes stood still for the recorder, and how long in all.
    pub stops: (u64, Nanos),
    /// What the kernel's work costs with the probes attached: of a process that is not recorded, and of one that is; where that could be measured.
    pub probed: Option<[Costs; 2]>,
    /// Processor time that the recorded processes took, where it is known: of a launched program and the children it waited for, else of those that still run.
    pub target_cpu: Option<Nanos>,
    /// How the launched program ended, if it was launched and has ended.
    pub ending: Option<Ended>,
    /// What a reader of the trace must know.
    pub notes: Vec<String>,
    /// The probes on their way out.
    pub detaching: Detaching,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(subject: Subject, events: Events, follow: bool) -> Options {
        let limits = Limits::default();
        Options { subject, events, windows: None, limits, ring: Bytes(0), rss_step: Bytes(0), follow, lossless: false, stacks: false }
    }

    #[test]
    fn without_probes_only_a_new_program_stops() {
        let launch = || Subject::Launch(vec!["x".into()]);
        let attach = || Subject::Attach(vec![1]);
        assert_eq!(options(launch(), Events::Vm, true).stops(), Stop::Exec.bit());
        assert_eq!(options(attach(), Events::Vm, true).stops(), Stop::Exec.bit());
        assert_eq!(options(launch(), Events::Vm, false).stops(), Stop::Exec.bit() | Stop::Child.bit());
        assert_eq!(options(attach(), Events::Vm, false).stops(), 0);
        assert_eq!(options(attach(), Events::All, false).stops(), 0);
        assert_ne!(options(launch(), Events::All, false).stops() & Stop::Mapping.bit(), 0);
    }

    #[test]
    fn the_first_limit_that_is_reached_counts() {
        let limits = Limits { time: Some(Duration::from_secs(2)), events: Some(10), bytes: None };
        let reached = |secs, events| limits.reached(Duration::from_secs(secs), events, Bytes(1 << 40));
        assert_eq!([reached(0, 9), reached(1, 10), reached(2, 10)], [None, Some(Limit::Events), Some(Limit::Time)]);
        let limits = Limits { bytes: Some(Bytes(4096)), ..Limits::default() };
        let reached = |bytes| limits.reached(Duration::MAX, u64::MAX, Bytes(bytes));
        assert_eq!([reached(4095), reached(4096)], [None, Some(Limit::Bytes)]);
    }
}
