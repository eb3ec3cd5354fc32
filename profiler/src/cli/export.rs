//! `heapcast export`: a study for other tools.

use std::path::PathBuf;

use clap::ValueEnum;
use reports::export;
use reports::study::Study;

use super::progress::Talk;
use super::studies;
use crate::error::{Context, Error, Kind, Result};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of a report, study.json, or folder of a trace, which is replayed first
    study: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Policy to replay a trace against; may be given several times [default: every model, beside the allocator that really ran]
    #[arg(short, long = "policy", value_name = "SPEC")]
    policies: Vec<String>,
    /// Process of a trace: its number, pid or name [default: the one that held most memory]
    #[arg(long, value_name = "WHICH")]
    process: Option<String>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// The curves of all policies as Chrome trace JSON, for ui.perfetto.dev
    Perfetto,
    /// Call sites as a profile for pprof
    Pprof,
    /// Bytes live at the peak by call stack, a line each, for flame graph tools
    Folded,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let talk = Talk::new(args.quiet);
    if args.output.exists() && !args.force {
        let told = format!("{} exists already: choose another file with -o, or replace it with --force", args.output.display());
        return Err(Error::new(Kind::Output, told));
    }
    let study = studies::open(&args.study, &args.policies, args.process.as_deref(), talk)?;
    let bytes = encoded(&study, args.format)?;
    std::fs::write(&args.output, bytes).context(Kind::Output, format!("cannot write {}", args.output.display()))?;
    talk.say(&format!("written: {}", args.output.display()));
    Ok(())
}

fn encoded(study: &Study, format: Format) -> Result<Vec<u8>> {
    if study.callsites.is_empty() && !matches!(format, Format::Perfetto) {
        let told = "this recording does not tell where blocks were asked for: traces before format 1.3 have no call sites, record it again";
        return Err(Error::new(Kind::Trace, told));
    }
    match format {
        Format::Perfetto => serde_json::to_vec(&export::perfetto(study)).context(Kind::Failed, "cannot encode the curves"),
        Format::Pprof => Ok(export::pprof(study)),
        Format::Folded => Ok(export::folded(study).into_bytes()),
    }
}
