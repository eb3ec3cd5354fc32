//! `heapcast doctor`: what this machine allows.

use std::fmt::Write;

use super::output;
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
    let mut text = format!("Allocators mapped by {whose}:\n");
    if found.allocators.is_empty() {
        text += "  none with symbols: calls of the malloc family would not be recorded\n";
    }
    for allocator in found.allocators.iter().map(|located| &located.allocator) {
        let version = allocator.version.as_deref().unwrap_or("version unknown");
        let _infallible = writeln!(text, "  {} {version}  {}", allocator.name, allocator.path);
        for probe in &allocator.probes {
            let cost = if probe.point.stepped { "single-stepped: slow" } else { "emulated" };
            let _infallible = writeln!(text, "    {:<16} +{:<3} {cost}", probe.symbol, probe.point.offset_in_function);
        }
        if !allocator.covered.is_empty() {
            let names: Vec<String> = allocator.covered.iter().map(|(name, by)| format!("{name}→{by}")).collect();
            let _infallible = writeln!(text, "    covered {}", names.join(" "));
        }
        for (symbol, reason) in &allocator.skipped {
            let _infallible = writeln!(text, "    {symbol:<16} not probed: {reason}");
        }
    }
    for (path, reason) in &found.unsupported {
        let _infallible = writeln!(text, "  {path}: {reason}");
    }
    Ok(text)
}
