//! `heapcast measure`: a trace through the real allocator libraries.

use std::path::{Path, PathBuf};

use super::census::Census;
use super::progress::Talk;
use super::{output, replay, study};
use crate::error::{Error, Kind, Result};
use crate::event::ProcessId;
use crate::measure::{Bench, Choice, Pace};
use crate::replay::{Outcome, Policy};
use crate::trace::Reader;
use crate::trace::manifest::Calls;
use crate::vm::thp;
use crate::workload::Lifter;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the trace
    trace: PathBuf,
    /// Folder for the report [default: TRACE with .measured at its end]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Allocator to run, with its settings: glibc, jemalloc, mimalloc or tcmalloc, such as glibc:arena_max=2, or its own variables, such as
    /// env:MALLOC_CONF=dirty_decay_ms:0; may be given several times [default: every one that is installed]
    #[arg(short, long = "policy", value_name = "SPEC")]
    policies: Vec<String>,
    /// Any other library that defines malloc; may be given several times
    #[arg(short, long = "library", value_name = "PATH")]
    libraries: Vec<PathBuf>,
    /// Take as long as the recorded program did: for libraries that give memory back by the clock
    #[arg(long)]
    paced: bool,
    /// Process of the recording to study: its number, pid or name [default: the one that held most memory]
    #[arg(long, value_name = "WHICH")]
    process: Option<String>,
    /// Replace existing results
    #[arg(long)]
    force: bool,
    /// Print the study as JSON instead of the table
    #[arg(long)]
    json: bool,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let talk = Talk::new(args.quiet);
    let (choices, mut notes) = choices(args, talk)?;
    let folder = args.output.clone().unwrap_or_else(|| args.trace.with_extension("measured"));
    Reader::open(&args.trace)?;
    output::prepare(&folder, args.force)?;
    let census = Census::take(&args.trace, talk)?;
    if census.manifest.calls != Calls::All {
        let next = "record with all of them to do the same again through a library";
        return Err(Error::new(Kind::Usage, format!("{} does not hold all calls of malloc: {next}", args.trace.display())));
    }
    let selected = census.select(args.process.as_deref())?;
    let machine = replay::machine(&census);
    let models: Vec<Policy> = choices.iter().filter_map(|choice| Policy::parse(&choice.spec).ok()).collect();
    let line_up = replay::ran(&census, selected).line_up(models)?;
    line_up.remarks.iter().for_each(|remark| talk.say(remark));
    let libraries = line_up.libraries.clone();
    let mut replayed = replay::drive(&args.trace, replay::recording(&census, selected), line_up, talk)?;
    let bench = bench(args, &folder, &census, selected, machine, talk)?.beside(libraries);
    let measured = measure(&bench, &choices, if args.paced { Pace::Recorded } else { Pace::Flat }, &mut notes, talk)?;
    replayed.outcomes = side_by_side(replayed.outcomes, measured);
    let mut study = study::build(&census, selected, replayed);
    study.recording.notes.extend(notes);
    replay::publish(&study, &folder, args.json, false, talk)
}

/// What can be run, and what cannot, in full sentences. One that can is enough.
fn choices(args: &Args, talk: Talk) -> Result<(Vec<Choice>, Vec<String>)> {
    if args.policies.is_empty() && args.libraries.is_empty() {
        return Ok((Choice::installed(), Vec::new()));
    }
    let named = args.policies.iter().map(|spec| Choice::parse(spec));
    let given = args.libraries.iter().map(|path| Choice::library(path));
    let mut found = Vec::new();
    let mut refused = Refused::default();
    for choice in named.chain(given) {
        match choice {
            Ok(choice) => found.push(choice),
            // What was typed wrong is not run around.
            Err(error) if error.kind == Kind::Usage => return Err(error),
            Err(error) => refused.add(error, talk),
        }
    }
    if found.is_empty() { Err(refused.first()) } else { Ok((found, refused.notes)) }
}

/// Failures that do not keep the others from running.
#[derive(Default)]
struct Refused {
    first: Option<Error>,
    notes: Vec<String>,
}

impl Refused {
    fn add(&mut self, error: Error, talk: Talk) {
        talk.say(&format!("heapcast: {error}"));
        self.notes.push(format!("{error}."));
        self.first.get_or_insert(error);
    }

    fn first(self) -> Error {
        self.first.unwrap_or_else(|| Error::new(Kind::Usage, "there is no library to measure"))
    }
}

/// The script, in a folder that goes away again: beside the report, because it may be as large as the trace unpacked.
fn bench(args: &Args, folder: &Path, census: &Census, selected: ProcessId, machine: thp::Mode, talk: Talk) -> Result<Bench> {
    let first = census.manifest.processes.get(selected as usize).map_or(0, |process| process.pid);
    Bench::new(&folder.join(format!(".measure.{}", std::process::id())), first, |script| {
        let mut reader = Reader::open(&args.trace)?;
        let bar = talk.reading(reader.bytes_total(), "writing the script");
        let mut lifter = Lifter::new(selected, machine).at_cost(census.cost);
        let mut ops = Vec::new();
        while let Some(batch) = reader.next_batch() {
            batch.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
            script.write(&ops)?;
            ops.clear();
            bar.set_position(reader.bytes_read());
        }
        lifter.finish(&mut ops);
        bar.finish_and_clear();
        script.write(&ops)
    })
}

/// Runs them one after the other, so that none disturbs another one.
fn measure(bench: &Bench, choices: &[Choice], pace: Pace, notes: &mut Vec<String>, talk: Talk) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut refused = Refused::default();
    for choice in choices {
        let spinner = talk.working(&format!("measuring {}", choice.spec));
        let measured = bench.run(choice, pace);
        spinner.finish_and_clear();
        match measured {
            Ok((outcome, told)) => {
                outcomes.push(outcome);
                notes.extend(told);
            }
            Err(error) => refused.add(error, talk),
        }
    }
    notes.append(&mut refused.notes);
    if outcomes.is_empty() { Err(refused.first()) } else { Ok(outcomes) }
}

/// Each library behind its model; models whose library could not run stay.
fn side_by_side(models: Vec<Outcome>, mut libraries: Vec<Outcome>) -> Vec<Outcome> {
    let mut rows = Vec::new();
    for model in models {
        let library = libraries.iter().position(|library| library.policy == model.policy);
        rows.push(model);
        rows.extend(library.map(|at| libraries.remove(at)));
    }
    rows.extend(libraries);
    rows
}
