//! What the records ask of the recorder: processes that wait for their probes, threads and processes that ended.

use profiler_ebpf::{Stop, target as state};

use super::decode::Signal;
use super::facts::ProcessFacts;
use super::session::Session;
use super::stops;
use crate::error::Result;
use crate::event::{Event, ProcessId, What};
use crate::target::{process, resident};
use crate::units::Nanos;

impl Session {
    pub(super) fn answer(&mut self, signal: Signal) {
        self.sync_processes();
        match signal {
            Signal::Stopped { pid, why, time } => {
                let answered = self.stopped(pid, why, time);
                self.go_on(pid, time);
                match answered {
                    // A process that was killed while it waited is nothing to tell of.
                    Err(error) if process::is_alive(pid) => self.calls_missing(pid, &error),
                    _ => {}
                }
            }
            Signal::LeaderEnded { process } => self.leader_ended(process),
            Signal::Ended { process, time } => self.ended(process, time),
        }
    }

    /// Lets a process go on that has stopped at this time. Where it was continued later than that, this was a second thread's stop, which is over:
    /// if it stands still again, it is not for us.
    fn go_on(&mut self, pid: u32, since: Nanos) {
        let continued = self.continued.get(&pid).copied().unwrap_or_default();
        if since >= continued {
            self.paused(pid, since);
            let now = self.now();
            self.continued.insert(pid, now);
            self.stops = (self.stops.0 + 1, self.stops.1 + now.saturating_sub(since));
            if !stops::resume(pid) && process::is_alive(pid) {
                self.notes.push(format!("Process {pid} was stopped by somebody else while it stood still for the recorder, and left so."));
            }
        }
        if let Some(guard) = &mut self.guard {
            guard.answered(pid);
        }
    }

    /// Says since when a process stands still. Before it goes on: what it does from then on is later than this.
    fn paused(&mut self, pid: u32, since: Nanos) {
        if let Some(process) = self.decoder.tasks.leader(pid) {
            self.batch.push(Event { time: self.now(), process, tid: pid, in_heap: false, what: What::Paused { since } });
        }
    }

    pub(super) fn calls_missing(&mut self, pid: u32, error: &crate::error::Error) {
        self.notes.push(format!("Calls of the malloc family in process {pid} are not all recorded: {error}."));
    }

    fn stopped(&mut self, pid: u32, why: Stop, time: Nanos) -> Result<()> {
        if let Some(parent) = process::parent(pid).filter(|parent| self.decoder.tasks.leader(*parent).is_some()) {
            self.parents.watch(parent);
        }
        if why == Stop::Full {
            return Ok(());
        }
        let Some(process) = self.decoder.tasks.leader(pid) else { return Ok(()) };
        if !self.follow && self.is_child(process) {
            return self.leave_alone(process);
        }
        if why == Stop::Exec {
            self.new_program(process, pid, time);
        }
        self.probe(process)
    }

    /// Whether an image belongs to a process that another recorded process made.
    fn is_child(&self, process: ProcessId) -> bool {
        let images = self.decoder.tasks.images();
        let image = images[process as usize];
        image.parent.is_some_and(|parent| images[parent as usize].pid != image.pid)
    }

    /// A child that is not to be followed: it was seen being born, and goes on unrecorded.
    fn leave_alone(&mut self, process: ProcessId) -> Result<()> {
        let facts = &mut self.processes[process as usize];
        facts.leave_alone();
        let pid = facts.pid;
        self.decoder.tasks.exit(pid);
        self.changed = true;
        self.target(pid, state::NONE)
    }

    fn new_program(&mut self, process: ProcessId, pid: u32, time: Nanos) {
        let image = self.decoder.tasks.images()[process as usize];
        self.processes[process as usize] = ProcessFacts::read(process, pid, image.parent, time);
        self.snapshot(process, pid, time);
        // In these cases the kernel has dropped the probes that the process had.
        if image.by_other_thread || process::has_guarded_program(pid) {
            self.heap.forget(pid);
        }
    }

    /// Puts what is mapped and resident now into the stream.
    pub(super) fn snapshot(&mut self, process: ProcessId, pid: u32, time: Nanos) {
        match resident::snapshot(pid) {
            Ok(found) => self.batch.extend(found.into_iter().map(|what| Event { time, process, tid: pid, in_heap: false, what })),
            Err(error) => self.notes.push(format!("The memory map of process {pid} could not be read: {error}.")),
        }
    }

    /// Probes what a process has mapped by now. Probes are bound to a thread: the first one while it lives.
    pub(super) fn probe(&mut self, process: ProcessId) -> Result<()> {
        let Some(tid) = self.decoder.tasks.living_thread(process) else { return Ok(()) };
        self.code.look(process, tid)?;
        let found = self.index.find_in_process(tid)?;
        let facts = &mut self.processes[process as usize];
        facts.note_files(tid);
        facts.unsupported = found.unsupported;
        for located in found.allocators {
            self.heap.attach(&mut self.object.ebpf, facts.pid, tid, &located)?;
            if !facts.allocators.contains(&located.allocator) {
                facts.allocators.push(located.allocator);
            }
        }
        self.changed = true;
        Ok(())
    }

    /// The probes of a first thread that has ended are put to another one.
    fn leader_ended(&mut self, image: ProcessId) {
        let pid = self.processes[image as usize].pid;
        self.heap.forget(pid);
        // With its first thread the whole process may be ending: that is no loss.
        if self.decoder.tasks.living_thread(image).is_none_or(process::is_dying) {
            return;
        }
        self.notes.push(format!(
            "The first thread of process {pid} ended before the others: calls of the malloc family in that moment were not recorded."
        ));
        if let Err(error) = self.probe(image) {
            self.calls_missing(pid, &error);
        }
    }

    fn ended(&mut self, process: ProcessId, time: Nanos) {
        let facts = &mut self.processes[process as usize];
        let pid = facts.pid;
        facts.ended = Some(time);
        self.changed = true;
        if self.decoder.tasks.leader(pid).is_some() {
            facts.ending = Some("replaced its program".to_owned());
            facts.faults = process::minflt_majflt(pid).ok().map(|totals| facts.faults_up_to(totals));
        } else {
            self.heap.forget(pid);
            self.object.stops.forget(pid);
            self.continued.remove(&pid);
            // It fails for no process id that was selected before.
            self.target(pid, state::NONE).unwrap_or_default();
        }
    }

    /// Notes the images that the records have brought.
    pub(super) fn sync_processes(&mut self) {
        for image in &self.decoder.tasks.images()[self.processes.len()..].to_vec() {
            let started = self.batch.last().map_or(Nanos(0), |event| event.time);
            let facts = match image.parent {
                Some(parent) if image.forked => self.processes[parent as usize].forked(image.id, image.pid, started),
                parent => ProcessFacts::read(image.id, image.pid, parent, started),
            };
            self.processes.push(facts);
            self.changed = true;
            if !image.forked && !image.attached {
                self.tell_closed(image.id, image.pid, started);
            }
        }
    }
}
