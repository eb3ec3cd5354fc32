//! One recording from beginning to end: launch or attach, drain, answer stopped processes, finish.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use profiler_ebpf::{self as wire, target as state};

use super::attach::{self, HeapProbes};
use super::code::CodeMaps;
use super::costs::{self, Costs};
use super::decode::Decoder;
use super::detach::Detaching;
use super::facts::ProcessFacts;
use super::features;
use super::guard::Guard;
use super::interrupts::Interrupts;
use super::launch::{self, Ended, Held, Started};
use super::losses::Losses;
use super::members::{self, Cgroup};
use super::notes::Notes;
use super::object::{Object, Settings, Totals};
use super::parents::Parents;
use super::permission;
use super::recording::{Events, Limits, Options, Progress, Recorded, Sink, StoppedBy, Subject};
use super::stops;
use super::windows::Schedule;
use crate::error::{Context, Error, Kind, Result};
use crate::event::Event;
use crate::event::origin::Origins;
use crate::target::emulate::Kernel;
use crate::target::index::Index;
use crate::target::process;
use crate::units::Nanos;

/// Whether recording this can begin: what can be refused is refused before anything is written or started.
///
/// # Errors
/// `NotPermitted`, `Unsupported`, `Target`, `Usage`.
pub fn check(subject: &Subject) -> Result<()> {
    permission::check()?;
    match subject {
        Subject::Launch(command) => launch::program(command).map(drop),
        Subject::Attach(pids) => pids.iter().try_for_each(|&pid| match pid {
            own if own == std::process::id() => Err(Error::new(Kind::Target, "heapcast cannot record itself")),
            pid if process::is_alive(pid) => Ok(()),
            pid => Err(members::gone(pid)),
        }),
        Subject::Cgroup(path) => match Cgroup::open(path)?.members().is_empty() {
            true => Err(Error::new(Kind::Target, format!("no process is in the control group {}: start one first", path.display()))),
            false => Ok(()),
        },
    }
}

/// Records until the subject ends, the time is over, or Ctrl-C.
///
/// # Errors
/// `NotPermitted`, `Unsupported`, `Target`; a failing sink is no error but told in [`Recorded::stopped_by`].
pub fn record(options: &Options, sink: &mut dyn Sink, progress: &mut dyn FnMut(Progress)) -> Result<Recorded> {
    check(&options.subject)?;
    // The child is forked while this process is still small: the kernel counts a launcher's resident memory into `ru_maxrss`.
    let held = match &options.subject {
        Subject::Launch(command) => Some(launch::hold(command)?),
        Subject::Attach(_) | Subject::Cgroup(_) => None,
    };
    // After the fork: the program keeps the limit that it was given.
    attach::allow_many_probes();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context(Kind::Failed, "cannot start the event loop")?;
    runtime.block_on(async {
        let interrupts = Interrupts::new()?;
        let mut session = Session::prepare(options)?;
        let outcome = match session.begin(&options.subject, held) {
            Ok(()) => session.run(interrupts, sink, progress).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(stopped_by) => session.finish(stopped_by, sink),
            Err(error) => {
                // Nobody else would continue what has stopped for this recorder.
                session.let_go(sink, &mut None)?;
                Err(error)
            }
        }
    })
}

/// Events handed over at once.
const BATCH: usize = 16 * 1024;
/// The ring is looked at this often: a wake-up by the kernel would cost the target three times as much per record.
const POLL: Duration = Duration::from_millis(1);
/// Progress, and processes whose end was not seen, are looked at this often.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Session {
    pub(super) object: Object,
    pub(super) heap: HeapProbes,
    pub(super) index: Index,
    pub(super) code: CodeMaps,
    pub(super) decoder: Decoder,
    pub(super) guard: Option<Guard>,
    pub(super) parents: Parents,
    /// When each process was last continued.
    pub(super) continued: HashMap<u32, Nanos>,
    pub(super) stops: (u64, Nanos),
    losses: Losses,
    started: Option<Started>,
    /// Processes that ran already.
    pub(super) attached: BTreeSet<u32>,
    pub(super) group: Option<Cgroup>,
    pub(super) schedule: Schedule,
    limits: Limits,
    /// Events handed over.
    events: u64,
    pub(super) follow: bool,
    pub(super) processes: Vec<ProcessFacts>,
    pub(super) batch: Vec<Event>,
    pub(super) notes: Notes,
    pub(super) changed: bool,
}

impl Session {
    fn prepare(options: &Options) -> Result<Session> {
        let group = if let Subject::Cgroup(path) = &options.subject { Some(Cgroup::open(path)?) } else { None };
        let settings = Settings {
            ring_bytes: options.ring.0.clamp(1 << 16, 1 << 31).next_power_of_two() as u32,
            rss_step_bytes: options.rss_step.0,
            stops: options.stops(),
            cgroup: group.as_ref().map_or(0, |group| group.id),
            lossless: options.lossless,
            frames: if options.stacks { wire::MAX_FRAMES as u32 } else { 0 },
        };
        let mut object = Object::load(&settings)?;
        let guard = (options.stops() != 0 || options.lossless).then(|| Guard::start(&object.stops)).flatten();
        let mut heap = HeapProbes::new(&mut object.ebpf)?;
        heap.active = options.events == Events::All;
        let schedule = Schedule::new(options.windows);
        let missing = attach::tracepoints(&mut object.ebpf, options.stops())?;
        let mut notes = Notes::default();
        missing.iter().for_each(|name| notes.push(format!("This kernel has no tracepoint {name}: what it tells was not recorded.")));
        if !features::counts_exactly() {
            notes.push("Before Linux 6.2 the kernel tells changes of the resident set late, by up to 64 pages for each thread.".to_owned());
        }
        Ok(Session {
            object,
            heap,
            index: Index::new(Kernel::running()?),
            code: CodeMaps::default(),
            decoder: Decoder::new(monotonic_ns()),
            guard,
            parents: Parents::default(),
            continued: HashMap::new(),
            stops: Default::default(),
            losses: Losses::default(),
            started: None,
            attached: BTreeSet::new(),
            group,
            schedule,
            limits: options.limits,
            events: 0,
            follow: options.follow,
            processes: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            notes,
            changed: true,
        })
    }

    fn begin(&mut self, subject: &Subject, held: Option<Held>) -> Result<()> {
        match subject {
            Subject::Attach(pids) => {
                pids.iter().try_for_each(|pid| if self.attached.contains(pid) { Ok(()) } else { self.attach_to(*pid) })?
            }
            Subject::Cgroup(_) => self.admit(),
            Subject::Launch(_) => {}
        }
        // Not before all probes are in place: the calls of all processes are recorded from one instant on.
        if self.heap.active {
            self.object.set_window(self.schedule.number())?;
        }
        if let Some(held) = held {
            self.decoder.tasks.launcher(held.pid);
            self.target(held.pid, state::RECORDED)?;
            self.started = Some(held.release()?);
        }
        Ok(())
    }

    async fn run(&mut self, mut interrupts: Interrupts, sink: &mut dyn Sink, progress: &mut dyn FnMut(Progress)) -> Result<StoppedBy> {
        let begun = Instant::now();
        let mut looked = begun;
        loop {
            let busy = self.drain();
            let look = looked.elapsed() >= LOOK;
            if let Err(error) = self.hand_over(sink, look) {
                return Ok(StoppedBy::Sink(error));
            }
            if look {
                looked = Instant::now();
                self.report(begun, sink, progress);
                self.admit();
            }
            if let Some(open) = self.schedule.due(begun.elapsed(), self.heap.is_ready())
                && let Some(error) = self.turn(open, sink)?
            {
                return Ok(StoppedBy::Sink(error));
            }
            if !busy && self.is_over(look) {
                return Ok(StoppedBy::End);
            }
            if !busy && look {
                self.continue_parents();
            }
            if let Some(limit) = self.limits.reached(begun.elapsed(), self.events + self.batch.len() as u64, sink.bytes()) {
                return Ok(StoppedBy::Limit(limit));
            }
            if interrupts.arrived(if busy { Duration::ZERO } else { POLL }).await {
                return Ok(StoppedBy::Interrupt);
            }
        }
    }

    /// Takes records until the ring is empty or a batch is full. `true` when there may be more.
    fn drain(&mut self) -> bool {
        while self.batch.len() < BATCH {
            let Some(record) = self.object.ring.next() else { return false };
            let signal = self.decoder.decode(&record, &mut self.batch);
            drop(record);
            if let Some(signal) = signal {
                self.answer(signal);
            }
        }
        true
    }

    fn hand_over(&mut self, sink: &mut dyn Sink, even_if_small: bool) -> Result<()> {
        if self.batch.len() < BATCH && !even_if_small {
            return Ok(());
        }
        self.sync_processes();
        self.sync_names();
        if std::mem::take(&mut self.changed) {
            sink.processes(&self.processes);
        }
        let frames = self.decoder.stacks.take_fresh();
        let origins = Origins { frames, code: self.code.take_fresh(), symbols: Vec::new() };
        if !origins.is_empty() {
            sink.origins(origins)?;
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        self.events += self.batch.len() as u64;
        sink.events(std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH)))
    }

    fn report(&mut self, begun: Instant, sink: &mut dyn Sink, progress: &mut dyn FnMut(Progress)) {
        let totals = self.object.totals();
        if self.losses.look(self.now(), &totals) {
            sink.losses(self.losses.stretches());
        }
        progress(Progress { elapsed: begun.elapsed(), made: totals.all_made(), lost: totals.all_lost(), processes: self.processes.len() });
    }

    /// Whether everything that is recorded has ended. A `look` also finds what ended without a record of it, which may have been lost.
    fn is_over(&self, look: bool) -> bool {
        // The last record comes a moment before the kernel has the program's status and totals.
        let reapable = self.started.as_ref().is_none_or(Started::has_ended);
        let all_ended = (reapable && !self.decoder.tasks.any_alive()) || (look && self.all_gone());
        all_ended && self.group_is_empty()
    }

    fn all_gone(&self) -> bool {
        let first = self.started.as_ref().map(|started| started.pid).into_iter().chain(self.attached.iter().copied());
        let images = self.decoder.tasks.images().iter().map(|image| image.pid);
        !first.chain(images.filter(|pid| self.decoder.tasks.leader(*pid).is_some())).any(process::is_alive)
    }

    fn continue_parents(&mut self) {
        for pid in self.parents.stuck(|pid| process::state(pid) == Some('T')) {
            stops::resume(pid);
            self.notes.push(format!("Process {pid} stopped itself when it saw a child stopped for the recorder; it was continued."));
        }
    }

    fn finish(mut self, mut stopped_by: StoppedBy, sink: &mut dyn Sink) -> Result<Recorded> {
        let mut failure = None;
        self.let_go(sink, &mut failure)?;
        let totals = self.settle(sink, &mut failure);
        if let Err(error) = self.name_frames(sink) {
            failure = failure.or(Some(error));
        }
        if let Some(error) = failure
            && !matches!(stopped_by, StoppedBy::Sink(_))
        {
            stopped_by = StoppedBy::Sink(error);
        }
        self.losses.look(self.now(), &totals);
        let ending = self.launched_ending()?;
        self.note_names();
        let probed = self.measure_probes();
        for facts in self.processes.iter_mut().filter(|facts| facts.ended.is_none()) {
            facts.faults = process::minflt_majflt(facts.pid).ok().map(|totals| facts.faults_up_to(totals));
        }
        Ok(Recorded {
            totals,
            tally: self.decoder.tally,
            stopped_by,
            losses: self.losses.stretches().to_vec(),
            stops: self.stops,
            probed,
            target_cpu: ending.map(|ended| ended.cpu).or_else(|| cpu_of_living(&self.processes)),
            ending,
            processes: self.processes,
            notes: self.notes.sentences(),
            detaching: Detaching::begin(self.heap, self.object, self.guard),
        })
    }

    /// Tells what the code at the frames is called: once, when nothing waits for it.
    fn name_frames(&mut self, sink: &mut dyn Sink) -> Result<()> {
        // What was opened later without a stop; of a process that has ended nothing more can be learned.
        for facts in self.processes.iter().filter(|facts| facts.ended.is_none() && !facts.is_left_alone()) {
            self.code.look(facts.id, facts.pid).unwrap_or_default();
        }
        let symbols = self.code.names(self.decoder.stacks.all());
        sink.origins(Origins { frames: self.decoder.stacks.take_fresh(), code: self.code.take_fresh(), symbols })
    }

    /// Deselects what is still alive, continues what still waits, and takes the last records. Where the sink fails, records are taken and
    /// answered all the same.
    fn let_go(&mut self, sink: &mut dyn Sink, failure: &mut Option<Error>) -> Result<()> {
        // Children that were being born appear in the first round and are let go in the second.
        for _ in 0..2 {
            let pids: Vec<u32> =
                self.processes.iter().map(|facts| facts.pid).filter(|pid| self.decoder.tasks.leader(*pid).is_some()).collect();
            for pid in pids {
                self.target(pid, state::NONE)?;
            }
            self.take_all(sink, failure);
            self.sync_processes();
        }
        Ok(())
    }

    /// Waits until every record that was begun is taken: one may be finished a moment after the end, and holds back those behind it.
    /// The counters are read while they agree; what a thread still adds later is no part of the recording.
    fn settle(&mut self, sink: &mut dyn Sink, failure: &mut Option<Error>) -> Totals {
        let begun = Instant::now();
        loop {
            let totals = self.object.totals();
            if self.decoder.tally.all() >= totals.all_made() || begun.elapsed() >= LOOK {
                return totals;
            }
            std::thread::sleep(POLL);
            self.take_all(sink, failure);
        }
    }

    pub(super) fn take_all(&mut self, sink: &mut dyn Sink, failure: &mut Option<Error>) {
        let mut more = true;
        while more {
            more = self.drain();
            *failure = failure.take().or_else(|| self.hand_over(sink, true).err());
            self.batch.clear();
        }
    }

    /// The same work as before the recording, by turns with this process recorded and not. Nobody reads the records.
    fn measure_probes(&mut self) -> Option<[Costs; 2]> {
        let own = std::process::id();
        costs::compare(|recorded| {
            while self.object.ring.next().is_some() {}
            // It fails for no process id that the kernel gives.
            self.target(own, if recorded { state::MEASURED } else { state::NONE }).unwrap_or_default();
        })
    }

    /// How the launched program ended, if it has.
    fn launched_ending(&mut self) -> Result<Option<Ended>> {
        let Some(started) = &mut self.started else { return Ok(None) };
        let totals = process::minflt_majflt(started.pid).ok();
        let ended = started.reap();
        if self.processes.is_empty()
            && let Some(cause) = started.exec_error()
        {
            return Err(Error::new(Kind::Target, format!("the program could not be executed: {cause}")));
        }
        let pid = started.pid;
        if let Some(last) = self.processes.iter_mut().rev().find(|facts| facts.pid == pid) {
            last.ending = ended.map(|ended| ended.ending.to_string());
            last.max_rss = ended.map(|ended| ended.max_rss);
            last.faults = totals.map(|totals| last.faults_up_to(totals));
        }
        Ok(ended)
    }

    pub(super) fn target(&mut self, pid: u32, state: u32) -> Result<()> {
        self.object.set_target(pid, state)
    }

    pub(super) fn now(&self) -> Nanos {
        Nanos(monotonic_ns().saturating_sub(self.decoder.begin_ns()))
    }
}

/// What the processes that still run have taken since they were attached to; `None` where one of them does not tell, or none runs.
fn cpu_of_living(processes: &[ProcessFacts]) -> Option<Nanos> {
    let living = processes.iter().filter(|facts| facts.ended.is_none() && !facts.is_left_alone());
    let taken = living.map(|facts| Some(process::cpu_time(facts.pid)?.saturating_sub(facts.cpu_before)));
    taken.collect::<Option<Vec<Nanos>>>().filter(|all| !all.is_empty()).map(|all| all.into_iter().fold(Nanos(0), |sum, time| sum + time))
}

/// The clock of the kernel half, nanoseconds.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
