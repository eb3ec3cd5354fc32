//! `heapcast record`: a program or a running process into a trace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::progress::Talk;
use super::{found, limits, losses, manifest, output, overhead};
use crate::capture::detach::Detaching;
use crate::capture::facts::ProcessFacts;
use crate::capture::losses::Loss;
use crate::capture::{self, Events, Limit, Limits, Options, Recorded, Sink, StoppedBy, Subject, Windows};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::event::origin::Origins;
use crate::trace::manifest::Calls;
use crate::trace::{Manifest, Writer};
use crate::units::{Bytes, Nanos};
use crate::workload::{Gaps, ProbeCost};

/// How to record; shared by `record` and `run`.
#[derive(clap::Args, Clone)]
pub(super) struct Recording {
    /// Which events: `all`, or `vm` for system calls, page faults and the resident set without any call of malloc. `vm` puts no probe into a process and may
    /// run all day; such a trace is replayed as it was recorded, also with other huge pages, but by no model of an allocator
    #[arg(long, value_name = "vm|all", default_value = "all", value_parser = limits::events())]
    events: Events,
    /// Record calls of malloc for so long only (such as 10s), once in every T of --every; everything else all the time
    #[arg(long = "for", value_name = "T", value_parser = limits::time, requires = "every")]
    window: Option<Duration>,
    /// From the beginning of one window of --for to the beginning of the next, such as 5min
    #[arg(long, value_name = "T", value_parser = limits::time, requires = "window")]
    every: Option<Duration>,
    /// Stop after this time, such as 30s, 5m or 1h
    #[arg(long, value_name = "T", value_parser = limits::time)]
    duration: Option<Duration>,
    /// Stop when this is reached: a time (30s, 5min, 1h), a size of the trace (500M, 2G: powers of 1024) or a number of events (10000events, 10Mevents:
    /// powers of 1000). May be given several times: the first that is reached counts
    #[arg(long, value_name = "LIMIT", value_parser = limits::limit)]
    stop_after: Vec<limits::StopAfter>,
    /// Size of the buffer between kernel and recorder (a power of two). What a program that outruns it does is lost and counted
    /// [default: 32M for each processor that the target can keep busy, 16M to 128M, at most 1/32 of the available memory]
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(Bytes))]
    ring: Option<Bytes>,
    /// Record the kernel's resident-set counters at each change by this much
    #[arg(long, value_name = "SIZE", default_value = "16K", value_parser = clap::value_parser!(Bytes))]
    rss_step: Bytes,
    /// Do not record forked children; with --pid, not the libraries opened later either: nothing stops the process then
    #[arg(long)]
    no_follow: bool,
    /// Lose nothing: a program that outruns the recorder waits for it, up to a millisecond unseen, then stopped (SIGSTOP, SIGCONT)
    #[arg(long)]
    lossless: bool,
    /// Record the whole call stack of each allocation, by frame pointers (programs built with -fno-omit-frame-pointer); without it, the immediate caller
    #[arg(long)]
    stacks: bool,
}

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder for the trace
    #[arg(short, long, value_name = "TRACE", default_value = "heapcast.trace")]
    output: PathBuf,
    /// Record this running process; may be given several times
    #[arg(short, long, value_name = "PID", conflicts_with = "program")]
    pid: Vec<u32>,
    /// Record every process in this control group (version 2) and below it, and those that come: a folder, or its name below /sys/fs/cgroup
    #[arg(long, value_name = "PATH", conflicts_with_all = ["program", "pid"])]
    cgroup: Option<PathBuf>,
    #[command(flatten)]
    recording: Recording,
    /// Replace an existing trace
    #[arg(long)]
    force: bool,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
    /// Program to start, and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM", required_unless_present_any = ["pid", "cgroup"])]
    program: Vec<OsString>,
}

impl Recording {
    /// What the recorder is asked for.
    ///
    /// # Errors
    /// `Usage` for what contradicts itself.
    pub(super) fn options(&self, subject: Subject) -> Result<Options> {
        let usage = |message: &str| Err(Error::new(Kind::Usage, message));
        let windows = self.window.zip(self.every).map(|(length, every)| Windows { length, every });
        if windows.is_some_and(|windows| windows.length.is_zero() || windows.length >= windows.every) {
            return usage("--for must be shorter than --every: `--for 10s --every 5min`");
        }
        if windows.is_some() && self.events == Events::Vm {
            return usage(
                "--events vm records no call of malloc, so that there is nothing for the windows of --for: leave one of the two out",
            );
        }
        if self.no_follow && matches!(subject, Subject::Cgroup(_)) {
            return usage(
                "--cgroup records all members of the group, whoever made them: leave --no-follow out, or name processes with --pid",
            );
        }
        let mut limits = Limits { time: self.duration, ..Limits::default() };
        self.stop_after.iter().for_each(|limit| limit.lower(&mut limits));
        Ok(Options {
            ring: self.ring.unwrap_or_else(|| capture::size::ring(&subject)),
            subject,
            events: self.events,
            windows,
            limits,
            rss_step: self.rss_step,
            follow: !self.no_follow,
            lossless: self.lossless,
            stacks: self.stacks,
        })
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let subject = match &args.cgroup {
        Some(path) => Subject::Cgroup(path.clone()),
        None if args.pid.is_empty() => Subject::Launch(args.program.clone()),
        None => Subject::Attach(args.pid.clone()),
    };
    let launched = matches!(subject, Subject::Launch(_));
    let options = args.recording.options(subject)?;
    let (summary, mut detaching) = record(&options, &args.output, args.force, Talk::new(args.quiet))?;
    output::print(&summary)?;
    if !launched {
        // The target goes on: it shall be as it was found.
        detaching.wait();
    }
    detaching.leave_behind();
    Ok(())
}

/// Records into the folder `trace`. The value is a summary for a person.
///
/// # Errors
/// Those of the recorder and of the writer; what was recorded before a failure is in the trace.
pub(super) fn record(options: &Options, trace: &Path, force: bool, talk: Talk) -> Result<(String, Detaching)> {
    capture::check(&options.subject)?;
    let mut manifest = manifest::begin(options);
    let mut writing = Writing::begin(Writer::create(trace, &manifest, force)?, manifest.clone());
    let recorded = capture::record(options, &mut writing, &mut talk.recording());
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(error) => {
            manifest.notes.push(format!("The recording failed: {error}."));
            writing.finish(manifest)?;
            return Err(error);
        }
    };
    // The writer has gone with its error: there is nobody to finish the trace.
    if let StoppedBy::Sink(error) = &recorded.stopped_by {
        return Err(Error::new(error.kind, format!("{error}; what was recorded before is in {}", trace.display())));
    }
    let calls = manifest.calls;
    manifest::complete(&mut manifest, &recorded, writing.cost()?);
    let told = [losses::sentence(&manifest), manifest.overhead.as_ref().and_then(overhead::sentence)];
    let (events, bytes) = writing.finish(manifest)?;
    let told: String = told.into_iter().flatten().map(|sentence| sentence + "\n").collect();
    Ok((summary(&recorded, calls, trace, events, bytes) + &told, recorded.detaching))
}

fn summary(recorded: &Recorded, calls: Calls, trace: &Path, events: u64, bytes: u64) -> String {
    let mut text = format!("{}: {events} events, {}", trace.display(), Bytes(bytes));
    if let Some(first) = recorded.processes.first() {
        let end = recorded.processes.iter().filter_map(|process| process.ended).max();
        text += &format!(", {} in {}", plural(recorded.processes.len(), "process", "processes"), first.exe);
        text += &end.map(|end| format!(", {}", Nanos(end.0.saturating_sub(first.started.0)))).unwrap_or_default();
    }
    text += "\n";
    let lost = recorded.totals.all_lost();
    text += &match lost {
        0 => "no event was lost\n".to_owned(),
        _ => format!("{lost} EVENTS WERE LOST: the replay is uncertain from the first loss on; --lossless or a larger --ring helps\n"),
    };
    match (&recorded.stopped_by, recorded.ending) {
        (StoppedBy::End, Some(ended)) => text += &format!("the program {}\n", ended.ending),
        (StoppedBy::End, None) => text += "the process has ended\n",
        (StoppedBy::Interrupt, _) => text += "stopped on request\n",
        (StoppedBy::Limit(Limit::Time), _) => text += "stopped after the given time\n",
        (StoppedBy::Limit(Limit::Events), _) => text += "stopped after the given number of events\n",
        (StoppedBy::Limit(Limit::Bytes), _) => text += "stopped at the given size of the trace\n",
        (StoppedBy::Sink(_), _) => {}
    }
    match calls {
        Calls::All => {}
        Calls::Windows => text += "calls of malloc were recorded in windows only\n",
        Calls::None => text += "calls of malloc were not recorded, as asked for with --events vm\n",
    }
    if calls != Calls::None {
        text += &found::in_recording(&recorded.processes);
    }
    for process in recorded.processes.iter().filter(|_| calls != Calls::None) {
        if process.allocators.is_empty() && !process.is_left_alone() {
            text += &format!(
                "calls of malloc in {} (pid {}) were NOT recorded: no allocator with symbols was found; system calls and faults were\n",
                process.exe, process.pid
            );
        }
    }
    for note in &recorded.notes {
        text += &format!("{note}\n");
    }
    text
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Messages to the writer's thread.
enum Message {
    Events(Vec<Event>),
    Origins(Origins),
    Processes(Vec<ProcessFacts>),
    Losses(Vec<Loss>),
    /// Asks for what the events so far tell of the cost of the heap probes.
    Cost(SyncSender<ProbeCost>),
    Finish(Box<Manifest>),
}

/// Batches on their way to the writer. Together with the ring they bound the recorder's memory: when the disk is slower than the target,
/// the ring fills and losses are counted.
const BATCHES: usize = 16;
/// Nothing recorded is older than this when the recorder is killed.
const FLUSH: Duration = Duration::from_millis(500);

/// The sink that encodes and writes in a thread of its own, so that a slow disk does not stop the draining of the ring.
struct Writing {
    messages: SyncSender<Message>,
    /// Bytes of events written so far.
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(u64, u64)>>>,
}

impl Writing {
    fn begin(writer: Writer, manifest: Manifest) -> Writing {
        let (messages, incoming) = sync_channel(BATCHES);
        let written = Arc::new(AtomicU64::new(0));
        let bytes = written.clone();
        let thread = std::thread::spawn(move || write(writer, manifest, &incoming, &bytes));
        Writing { messages, written, thread: Some(thread) }
    }

    fn finish(mut self, manifest: Manifest) -> Result<(u64, u64)> {
        // A writer that has failed does not listen any more; its error comes from the join.
        self.messages.send(Message::Finish(Box::new(manifest))).unwrap_or_default();
        self.join()
    }

    /// What the events tell of the cost of the heap probes.
    fn cost(&mut self) -> Result<ProbeCost> {
        let (answer, cost) = sync_channel(1);
        self.send(Message::Cost(answer))?;
        cost.recv().or_else(|_| self.join().map(|_| ProbeCost::default()))
    }

    fn send(&mut self, message: Message) -> Result<()> {
        match self.messages.send(message) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.join().err().unwrap_or_else(|| Error::new(Kind::Output, "the trace cannot be written"))),
        }
    }

    fn join(&mut self) -> Result<(u64, u64)> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(Error::new(Kind::Failed, "the writer of the trace has died")),
        }
    }
}

impl Sink for Writing {
    fn events(&mut self, batch: Vec<Event>) -> Result<()> {
        self.send(Message::Events(batch))
    }

    fn origins(&mut self, origins: Origins) -> Result<()> {
        self.send(Message::Origins(origins))
    }

    fn losses(&mut self, losses: &[Loss]) {
        // As below.
        self.messages.send(Message::Losses(losses.to_vec())).unwrap_or_default();
    }

    fn processes(&mut self, processes: &[ProcessFacts]) {
        // A failed writer is noticed with the next events.
        self.messages.send(Message::Processes(processes.to_vec())).unwrap_or_default();
    }

    fn bytes(&self) -> Bytes {
        Bytes(self.written.load(Ordering::Relaxed))
    }
}

fn write(mut writer: Writer, mut manifest: Manifest, incoming: &Receiver<Message>, bytes: &AtomicU64) -> Result<(u64, u64)> {
    let (mut flushed, mut gaps) = (Instant::now(), Gaps::default());
    loop {
        // Not only when nothing comes: a steady trickle must reach the disk as well.
        if flushed.elapsed() >= FLUSH {
            writer.flush()?;
            flushed = Instant::now();
        }
        bytes.store(writer.bytes_written(), Ordering::Relaxed);
        match incoming.recv_timeout(FLUSH) {
            Ok(Message::Events(batch)) => {
                batch.iter().for_each(|event| gaps.add(event));
                batch.iter().try_for_each(|event| writer.push(event))?;
            }
            Ok(Message::Cost(answer)) => answer.send(gaps.cost()).unwrap_or_default(),
            Ok(Message::Losses(losses)) => {
                manifest.losses = manifest::losses(&losses);
                writer.describe(&manifest)?;
            }
            Ok(Message::Origins(origins)) => writer.origins(&origins)?,
            Ok(Message::Processes(processes)) => {
                manifest.processes = processes.iter().map(|facts| manifest::process(facts, manifest.calls)).collect();
                writer.describe(&manifest)?;
            }
            Ok(Message::Finish(last)) => {
                writer.flush()?;
                let written = (writer.events_written(), writer.bytes_written());
                writer.finish(&last)?;
                return Ok(written);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::new(Kind::Failed, "the recorder has died")),
        }
    }
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
