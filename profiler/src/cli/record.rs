//! `heapcast record`: a program or a running process into a trace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::progress::Talk;
use super::{found, losses, manifest, output, overhead};
use crate::capture::detach::Detaching;
use crate::capture::facts::ProcessFacts;
use crate::capture::losses::Loss;
use crate::capture::{self, Options, Recorded, Sink, StoppedBy, Subject};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::event::origin::Origins;
use crate::trace::{Manifest, Writer};
use crate::units::{Bytes, Nanos};
use crate::workload::{Gaps, ProbeCost};

/// How to record; shared by `record` and `run`.
#[derive(clap::Args, Clone)]
pub(super) struct Recording {
    /// Stop after this time, such as 30s, 5m or 1h
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub(super) duration: Option<Duration>,
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
    /// Record this running process
    #[arg(short, long, value_name = "PID", conflicts_with = "program")]
    pid: Option<u32>,
    #[command(flatten)]
    recording: Recording,
    /// Replace an existing trace
    #[arg(long)]
    force: bool,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
    /// Program to start, and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM", required_unless_present = "pid")]
    program: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let subject = match args.pid {
        Some(pid) => Subject::Attach(pid),
        None => Subject::Launch(args.program.clone()),
    };
    let (summary, mut detaching) = record(subject, &args.output, &args.recording, args.force, Talk::new(args.quiet))?;
    output::print(&summary)?;
    if args.pid.is_some() {
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
pub(super) fn record(subject: Subject, trace: &Path, recording: &Recording, force: bool, talk: Talk) -> Result<(String, Detaching)> {
    let options = Options {
        ring: recording.ring.unwrap_or_else(|| capture::size::ring(&subject)),
        subject,
        duration: recording.duration,
        rss_step: recording.rss_step,
        follow: !recording.no_follow,
        lossless: recording.lossless,
        stacks: recording.stacks,
    };
    capture::check(&options.subject)?;
    let mut manifest = manifest::begin(&options);
    let mut writing = Writing::begin(Writer::create(trace, &manifest, force)?, manifest.clone());
    let recorded = capture::record(&options, &mut writing, &mut talk.recording());
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
    manifest::complete(&mut manifest, &recorded, writing.cost()?);
    let told = [losses::sentence(&manifest), manifest.overhead.as_ref().and_then(overhead::sentence)];
    let (events, bytes) = writing.finish(manifest)?;
    let told: String = told.into_iter().flatten().map(|sentence| sentence + "\n").collect();
    Ok((summary(&recorded, trace, events, bytes) + &told, recorded.detaching))
}

fn summary(recorded: &Recorded, trace: &Path, events: u64, bytes: u64) -> String {
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
        (StoppedBy::Duration, _) => text += "stopped after the given time\n",
        (StoppedBy::Sink(_), _) => {}
    }
    text += &found::in_recording(&recorded.processes);
    for process in &recorded.processes {
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
    thread: Option<JoinHandle<Result<(u64, u64)>>>,
}

impl Writing {
    fn begin(writer: Writer, manifest: Manifest) -> Writing {
        let (messages, incoming) = sync_channel(BATCHES);
        let thread = std::thread::spawn(move || write(writer, manifest, &incoming));
        Writing { messages, thread: Some(thread) }
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
}

fn write(mut writer: Writer, mut manifest: Manifest, incoming: &Receiver<Message>) -> Result<(u64, u64)> {
    let (mut flushed, mut gaps) = (Instant::now(), Gaps::default());
    loop {
        // Not only when nothing comes: a steady trickle must reach the disk as well.
        if flushed.elapsed() >= FLUSH {
            writer.flush()?;
            flushed = Instant::now();
        }
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
                manifest.processes = processes.iter().map(manifest::process).collect();
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

/// `90`, `30s`, `5m`, `1h`, `250ms`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time: use ms, s, m or h")),
    };
    let seconds: f64 = number.parse().map_err(|_| "write a number and a unit, such as 30s".to_owned())?;
    Duration::try_from_secs_f64(seconds * factor).map_err(|error| error.to_string())
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("5 minutes").is_err() && parse_duration("").is_err() && parse_duration("1e999s").is_err());
    }
}
