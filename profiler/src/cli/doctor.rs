//! `heapcast doctor`: what this machine allows.

use std::fmt::Write;

use super::{found, output};
use crate::capture::permission;
use crate::error::{Error, Result};
use crate::target::emulate::Kernel;
use crate::target::index::Index;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Also look into this process: which allocators it has and where they would be probed
    #[arg(short, long, value_name = "PID")]
    pid: Option<u32>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let findings = permission::findings();
    let mut text = String::new();
    for finding in &findings {
        let mark = match (&finding.problem, finding.missing) {
            (Some(_), _) => "✗",
            (None, true) => "–",
            (None, false) => "✓",
        };
        let _infallible = writeln!(text, "{mark} {:<22} {}", finding.name, finding.found);
        if let Some((_, problem)) = &finding.problem {
            let _infallible = writeln!(text, "  {problem}");
        }
    }
    text += &allocators(args.pid.unwrap_or_else(std::process::id), args.pid.is_some())?;
    output::print(&text)?;
    match findings.into_iter().find_map(|finding| finding.problem) {
        Some((kind, problem)) => Err(Error::new(kind, format!("recording is not possible here: {problem}"))),
        None => Ok(()),
    }
}

fn allocators(pid: u32, chosen: bool) -> Result<String> {
    let found = Index::new(Kernel::running()?).find_in_process(pid)?;
    let whose = if chosen { format!("process {pid}") } else { "heapcast itself".to_owned() };
    Ok(format!("Allocators mapped by {whose}:\n{}", found::in_process(&found)))
}
