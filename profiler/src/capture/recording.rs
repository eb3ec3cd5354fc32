//! What is recorded and how, where it goes, and what is known at the end.

use std::ffi::OsString;
use std::time::Duration;

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
    /// A running process.
    Attach(u32),
}

/// How it is recorded.
#[derive(Clone, Debug)]
pub struct Options {
    /// What.
    pub subject: Subject,
    /// Stop after this time.
    pub duration: Option<Duration>,
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
    /// Whether processes stop until their probes are attached.
    pub(super) fn stops(&self) -> bool {
        self.follow || matches!(self.subject, Subject::Launch(_))
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
    /// The time was over.
    Duration,
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
