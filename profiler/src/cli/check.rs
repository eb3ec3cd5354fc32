//! `heapcast check`: limits that a study must keep, for continuous integration.

use std::path::PathBuf;

use reports::check::{self, Limit, NoSuchPolicy, What};

use super::progress::Talk;
use super::{output, studies};
use crate::error::{Error, Kind, Result};
use crate::units::Bytes;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of a report, study.json, or folder of a trace, which is replayed first
    study: PathBuf,
    /// Row that has to keep the limits: measured, recorded or a SPEC; may be given several times
    #[arg(short, long = "policy", value_name = "SPEC", default_value = "measured")]
    policies: Vec<String>,
    #[command(flatten)]
    limits: Limits,
    /// Process of the trace: its number, pid or name [default: the one that held most memory]
    #[arg(long, value_name = "WHICH")]
    process: Option<String>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Limits {
    /// Highest peak of the resident set, such as 200M
    #[arg(long, value_name = "SIZE")]
    max_peak_rss: Option<Bytes>,
    /// Highest time-weighted mean of the resident set
    #[arg(long, value_name = "SIZE")]
    max_mean_rss: Option<Bytes>,
    /// Highest resident set at the end
    #[arg(long, value_name = "SIZE")]
    max_final_rss: Option<Bytes>,
    /// Most bytes in live blocks at a time
    #[arg(long, value_name = "SIZE")]
    max_peak_live: Option<Bytes>,
    /// Most minor page faults
    #[arg(long, value_name = "N")]
    max_minor_faults: Option<u64>,
    /// Most calls into the kernel for memory (brk, mmap, munmap, mremap, madvise)
    #[arg(long, value_name = "N")]
    max_syscalls: Option<u64>,
    /// Most events that may have been lost while recording
    #[arg(long, value_name = "N")]
    max_lost: Option<u64>,
    /// Most percent that the replay of what was recorded may be off the measured peak
    #[arg(long, value_name = "PERCENT")]
    max_error: Option<f64>,
}

impl Limits {
    fn all(&self) -> Vec<Limit> {
        let bytes = |limit: Option<Bytes>| limit.map(|bytes| bytes.0);
        let limits = [
            (What::Summary("peak_rss_bytes"), bytes(self.max_peak_rss)),
            (What::Summary("mean_rss_bytes"), bytes(self.max_mean_rss)),
            (What::Summary("final_rss_bytes"), bytes(self.max_final_rss)),
            (What::Summary("peak_live_bytes"), bytes(self.max_peak_live)),
            (What::Summary("minor_faults"), self.max_minor_faults),
            (What::Syscalls, self.max_syscalls),
            (What::LostEvents, self.max_lost),
            (What::SelfCheckPpm, self.max_error.map(|percent| (percent * 1e4).round() as u64)),
        ];
        limits.into_iter().filter_map(|(what, most)| Some(Limit { what, most: most? })).collect()
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.limits.max_error.is_some_and(|percent| !(0.0..=1e6).contains(&percent)) {
        return Err(Error::new(Kind::Usage, "--max-error takes a number of percent, such as 2 or 0.5"));
    }
    let models: Vec<String> = args.policies.iter().filter(|policy| *policy != "measured").cloned().collect();
    // Without a model to replay, `recorded` keeps the replay from taking all of them.
    let models = if models.is_empty() { vec!["recorded".to_owned()] } else { models };
    let study = studies::open(&args.study, &models, args.process.as_deref(), Talk::new(args.quiet))?;
    let findings = check::check(&study, &args.policies, &args.limits.all()).map_err(no_such_policy)?;
    if args.json {
        output::json(&findings)?
    } else {
        output::print(&check::text(&findings, output::width()))?
    }
    match findings.iter().filter(|finding| !finding.kept).count() {
        0 => Ok(()),
        1 => Err(Error::new(Kind::Failed, "a limit is not kept")),
        broken => Err(Error::new(Kind::Failed, format!("{broken} limits are not kept"))),
    }
}

fn no_such_policy(error: NoSuchPolicy) -> Error {
    let NoSuchPolicy { policy, known } = error;
    let known = known.join(", ");
    Error::new(
        Kind::Usage,
        format!("the study has no policy {policy}; it has {known}. `heapcast replay TRACE --policy {policy}` makes one with it"),
    )
}
