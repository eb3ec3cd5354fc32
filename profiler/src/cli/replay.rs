//! `heapcast replay`: a trace against policies.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::ScopedJoinHandle;

use reports::study::Study;

use super::census::Census;
use super::progress::Talk;
use super::what_if::{OtherModes, recorded_in};
use super::{output, study};
use crate::error::{Context, Error, Kind, Result};
use crate::event::ProcessId;
use crate::model::REGISTRY;
use crate::replay::engine::Run;
use crate::replay::outcome::Outcome;
use crate::replay::placements::Placed;
use crate::replay::policy::Policy;
use crate::replay::ran::{LineUp, Ran};
use crate::replay::recorded::{Facts, Recording};
use crate::trace::Reader;
use crate::trace::manifest::{Calls, Process};
use crate::units::Nanos;
use crate::vm::thp::{self, Khugepaged};
use crate::workload::Op;

/// What to replay and how to show it; shared by `replay` and `run`.
#[derive(clap::Args, Clone)]
pub(super) struct Choice {
    /// Policy to replay against, such as brk-only:trim_threshold=1M or mmap-only+thp=always; may be given several times;
    /// `heapcast policies` lists the names [default: every model, beside the allocator that really ran]
    #[arg(short, long = "policy", value_name = "SPEC")]
    policies: Vec<String>,
    /// Process of the recording to study: its number, pid or name [default: the one that held most memory]
    #[arg(long, value_name = "WHICH")]
    process: Option<String>,
    /// Replace existing results
    #[arg(long)]
    pub(super) force: bool,
    /// Print the study as JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Also print how the model of the allocator that really ran compares with the recording, and where it first differs
    #[arg(long)]
    explain: bool,
    /// No progress on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the trace
    trace: PathBuf,
    /// Folder for the report [default: TRACE with .report at its end]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let asked = asked(&args.choice)?;
    let folder = args.output.clone().unwrap_or_else(|| args.trace.with_extension("report"));
    // The trace first: a wrong name must not leave an empty folder behind.
    Reader::open(&args.trace)?;
    output::prepare(&folder, args.choice.force)?;
    replay(&args.trace, &folder, &asked, &args.choice)
}

/// The policies of a study. `recorded` is always part of a report and not among them.
pub(super) struct Asked {
    policies: Vec<Policy>,
    /// They were named; else they are every model.
    named: bool,
}

impl Asked {
    /// Those that can be replayed where these calls were recorded, and what is to be said of the others.
    ///
    /// # Errors
    /// `Usage` for one that was named and needs calls that were not recorded.
    pub(super) fn fitting(&self, calls: Calls) -> Result<(Vec<Policy>, Option<String>)> {
        let (why, next) = match calls {
            Calls::All => return Ok((self.policies.clone(), None)),
            Calls::Windows => {
                let why =
                    "calls of malloc are recorded in windows only (--for, --every), and what becomes of blocks in between is not known";
                (why, "record without --for")
            }
            Calls::None => ("calls of malloc are not recorded (--events vm)", "record with --events all"),
        };
        let (recorded, models): (Vec<Policy>, Vec<Policy>) = self.policies.iter().cloned().partition(Policy::is_recorded);
        match models.first().filter(|_| self.named) {
            Some(model) => {
                let message = format!("{model} needs every call of malloc: {why}; {next}, or ask for recorded or recorded+thp=always");
                Err(Error::new(Kind::Usage, message))
            }
            None => Ok((recorded, Some(format!("No model of an allocator was replayed: {why}.")))),
        }
    }
}

impl Asked {
    /// Without the recorded placements under other huge pages.
    #[must_use]
    pub(super) fn only_models(mut self) -> Asked {
        self.policies.retain(|policy| !policy.is_recorded());
        self
    }
}

/// The policies that were asked for.
///
/// # Errors
/// `Usage` for a SPEC that is not understood.
pub(super) fn asked(choice: &Choice) -> Result<Asked> {
    parsed(&choice.policies)
}

/// The same for SPECs from another place.
pub(super) fn parsed(specs: &[String]) -> Result<Asked> {
    let named = !specs.is_empty();
    let specs: Vec<&str> = match specs {
        [] => REGISTRY.iter().map(|spec| spec.id).collect(),
        given => given.iter().map(String::as_str).collect(),
    };
    let parsed = specs.into_iter().map(Policy::parse).collect::<Result<Vec<_>>>()?;
    Ok(Asked { policies: parsed.into_iter().filter(|policy| !policy.is_what_happened()).collect(), named })
}

/// Replays the trace, writes the report into `folder` and prints the result.
///
/// # Errors
/// `Trace`, `Output`, `Usage` for a process that is not in the trace.
pub(super) fn replay(trace: &Path, folder: &Path, asked: &Asked, choice: &Choice) -> Result<()> {
    let talk = Talk::new(choice.quiet);
    let study = study(trace, asked, choice.process.as_deref(), talk)?;
    publish(&study, folder, choice.json, choice.explain, talk)
}

/// Replays the trace against the policies and the allocator that ran.
///
/// # Errors
/// `Trace`, `Usage` for a process that is not in the trace.
pub(super) fn study(trace: &Path, asked: &Asked, process: Option<&str>, talk: Talk) -> Result<Study> {
    let census = Census::take(trace, talk)?;
    let selected = census.select(process)?;
    let (policies, left_out) = asked.fitting(census.manifest.calls)?;
    let mut line_up = ran(&census, selected).line_up(policies)?;
    line_up.remarks.extend(left_out);
    line_up.remarks.iter().for_each(|remark| talk.say(remark));
    let replayed = drive(trace, recording(&census, selected), line_up, talk)?;
    Ok(study::build(&census, selected, replayed))
}

/// Writes the report into `folder` and prints the result; with `explain` the self-check as well.
///
/// # Errors
/// `Output`.
pub(super) fn publish(study: &Study, folder: &Path, json: bool, explain: bool, talk: Talk) -> Result<()> {
    reports::write(folder, study).context(Kind::Output, format!("cannot write the report into {}", folder.display()))?;
    if json {
        output::json(study)?;
    } else {
        let explanation = if explain { reports::explanation(study, output::width()) } else { String::new() };
        output::print(&(reports::terminal(study, output::width()) + &explanation))?;
    }
    talk.say(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
}

/// The recorded machine's huge-page mode; where it is not known, the kernel's default.
pub(super) fn machine(census: &Census) -> thp::Mode {
    census.manifest.host.thp.as_deref().and_then(|mode| mode.parse().ok()).unwrap_or_default()
}

/// How `khugepaged` was set on the recorded machine; `None` where that is not known.
fn khugepaged(census: &Census) -> Option<Khugepaged> {
    let number = |name: &str| census.manifest.host.kernel_settings.get(name)?.parse::<u64>().ok();
    let sleep = number("khugepaged/scan_sleep_millisecs")?.checked_mul(1_000_000)?;
    Some(Khugepaged { pages: number("khugepaged/pages_to_scan")?, sleep: Nanos(sleep), most_absent: number("khugepaged/max_ptes_none")? })
}

/// A process of a trace, to be read: on its machine, with what its probes cost.
pub(super) fn recording(census: &Census, selected: ProcessId) -> Recording {
    Recording::new(selected, machine(census)).at_cost(census.cost).under(khugepaged(census))
}

/// The allocator that a process used. Where there are several, libc's is the one that was put out of use.
pub(super) fn allocator(process: &Process) -> Option<&str> {
    let mut names = process.allocators.iter().map(|allocator| allocator.name.as_str());
    names.clone().find(|name| *name != "glibc").or(names.next())
}

/// What the manifest tells of the allocators in a process.
pub(super) fn ran(census: &Census, selected: ProcessId) -> Ran {
    let process = census.manifest.processes.get(selected as usize).cloned().unwrap_or_default();
    let versions = process.allocators.iter().filter_map(|allocator| Some((allocator.name.clone(), allocator.version.clone()?)));
    Ran {
        allocator: allocator(&process).filter(|_| census.manifest.calls == Calls::All).map(str::to_owned),
        versions: versions.collect(),
        environment: process.environment.clone(),
        cpus: census.manifest.host.cpus,
        files: process.files.clone(),
    }
}

/// What the replay of a trace gave.
pub(super) struct Replayed {
    /// What the recording itself says.
    pub(super) facts: Facts,
    /// The policies in the order of the line-up.
    pub(super) outcomes: Vec<Outcome>,
    /// Whether the first of them is the allocator that really ran.
    pub(super) checked: bool,
    /// What was said about the policies.
    pub(super) remarks: Vec<String>,
}

/// Operations handed over at once; with the length of the lines this bounds the memory of a replay.
const CHUNK: usize = 1 << 15;
const LINE: usize = 4;

/// Operations, and where the recorded blocks of the allocations among them lay.
type Chunk = (Arc<[Op]>, Vec<Placed>);

/// One pass: this thread reads and lifts, each policy works in a thread of its own on the same operations.
/// The first policy's blocks are compared with the recorded ones, if it is the allocator that really ran.
pub(super) fn drive(trace: &Path, mut recording: Recording, line_up: LineUp, talk: Talk) -> Result<Replayed> {
    let LineUp { policies, checked, libraries, remarks } = line_up;
    let machine = recording.huge_pages();
    let mut other_modes = OtherModes::of(&policies, &recording);
    let models = policies.iter().filter(|policy| !policy.is_recorded());
    let runs = models
        .clone()
        .map(|policy| Ok(Run::new(policy, machine)?.beside(&libraries).under(recording.khugepaged())))
        .collect::<Result<Vec<_>>>()?;
    let modes: Vec<thp::Mode> = models.map(|policy| policy.thp().unwrap_or(machine)).collect();
    let mut reader = Reader::open(trace)?;
    let bar = talk.reading(reader.bytes_total(), "replaying");
    std::thread::scope(|scope| {
        let (lines, workers): (Vec<_>, Vec<_>) = runs
            .into_iter()
            .map(|run| {
                let (line, incoming) = sync_channel::<Chunk>(LINE);
                (line, scope.spawn(move || work(run, &incoming)))
            })
            .unzip();
        if checked {
            recording.note_placed();
        }
        let mut ops = Vec::with_capacity(CHUNK);
        let hand_over = |ops: &mut Vec<Op>, mut placed: Vec<Placed>, others: &mut OtherModes| {
            let ops: Arc<[Op]> = ops.drain(..).collect();
            let others = others.take();
            for (line, mode) in lines.iter().zip(&modes) {
                let ops = others.iter().find(|(other, _)| other == mode).map_or(&ops, |(_, ops)| ops);
                // Only the first compares. A worker that has died is found when it is joined.
                line.send((ops.clone(), std::mem::take(&mut placed))).unwrap_or_default();
            }
        };
        while let Some(batch) = reader.next_batch() {
            for event in batch {
                let first = ops.len();
                recording.feed(event, &mut ops);
                other_modes.feed(event, &ops[first..]);
                if ops.len() >= CHUNK {
                    hand_over(&mut ops, recording.take_placed(), &mut other_modes);
                }
            }
            bar.set_position(reader.bytes_read());
        }
        let placed = recording.take_placed();
        let first = ops.len();
        let facts = recording.finish(&mut ops);
        let recorded = other_modes.finish(&ops[first..]);
        hand_over(&mut ops, placed, &mut other_modes);
        drop(lines);
        bar.finish_and_clear();
        let mut modelled = workers.into_iter().map(join);
        let outcome = |policy: &Policy| match policy.thp().filter(|_| policy.is_recorded()) {
            Some(mode) => Ok(recorded_in(mode, &recorded, &facts, policy)),
            None => modelled.next().unwrap_or_else(|| Err(Error::new(Kind::Failed, "a policy was not replayed"))),
        };
        let outcomes = policies.iter().map(outcome).collect::<Result<Vec<_>>>()?;
        Ok(Replayed { facts, outcomes, checked, remarks })
    })
}

fn work(mut run: Run, incoming: &Receiver<Chunk>) -> Outcome {
    for (ops, placed) in incoming {
        if !placed.is_empty() {
            run.expect(&placed);
        }
        run.feed(&ops);
    }
    run.finish()
}

fn join(worker: ScopedJoinHandle<'_, Outcome>) -> Result<Outcome> {
    worker.join().map_err(|_| Error::new(Kind::Failed, "the replay of a policy has died: this is a defect of heapcast"))
}
