//! `heapcast run`: record, replay and report in one step.

use std::ffi::OsString;
use std::path::PathBuf;

use super::progress::Talk;
use super::{manifest, output, record, replay};
use crate::capture::{self, Subject};
use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder for the report, with the trace in it
    #[arg(short, long, value_name = "DIR", default_value = "heapcast-out")]
    output: PathBuf,
    #[command(flatten)]
    choice: replay::Choice,
    #[command(flatten)]
    recording: record::Recording,
    /// Program to start, and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM", required = true)]
    program: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    // Everything that can be refused is refused before the program runs.
    let asked = replay::asked(&args.choice)?;
    let options = args.recording.options(Subject::Launch(args.program.clone()))?;
    asked.fitting(manifest::calls(&options))?;
    capture::check(&options.subject)?;
    output::prepare(&args.output, args.choice.force)?;
    let talk = Talk::new(args.choice.quiet);
    let trace = args.output.join("trace");
    let (summary, detaching) = record::record(&options, &trace, args.choice.force, talk)?;
    talk.say(summary.trim_end());
    let replayed = replay::replay(&trace, &args.output, &asked, &args.choice);
    detaching.leave_behind();
    replayed
}
