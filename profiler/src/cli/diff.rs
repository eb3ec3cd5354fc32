//! `heapcast diff`: two studies, before a change and after it.

use std::path::PathBuf;

use reports::diff::{self, Diff};

use super::progress::Talk;
use super::{output, studies};
use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Before the change: folder of a report, study.json, or folder of a trace, which is replayed first
    before: PathBuf,
    /// After the change
    after: PathBuf,
    /// Policy to replay traces against; may be given several times [default: every model, beside the allocator that really ran]
    #[arg(short, long = "policy", value_name = "SPEC")]
    policies: Vec<String>,
    /// Process of the traces to compare: its number, pid or name [default: the one that held most memory]
    #[arg(long, value_name = "WHICH")]
    process: Option<String>,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let open = |path| studies::open(path, &args.policies, args.process.as_deref(), Talk::new(args.quiet));
    let diff = Diff::of(&open(&args.before)?, &open(&args.after)?);
    if args.json { output::json(&diff) } else { output::print(&diff::text(&diff, output::width())) }
}
