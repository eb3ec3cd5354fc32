//! `heapcast inspect`: what is in a trace.

use std::fmt::Write;
use std::path::PathBuf;

use super::census::Census;
use super::progress::Talk;
use super::{claims, output, replay, study};
use crate::error::Result;
use crate::event::ProcessId;
use crate::replay::policy::Policy;
use crate::trace::manifest::Calls;
use crate::units::{Bytes, Nanos};

/// Most threads that are listed.
const MOST_THREADS: usize = 20;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the trace
    trace: PathBuf,
    /// Process to look into: its number, pid or name [default: the one that held most memory]
    #[arg(long, value_name = "WHICH")]
    process: Option<String>,
    /// Print JSON: the study of what happened, with no other policy than huge pages
    #[arg(long)]
    json: bool,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let talk = Talk::new(args.quiet);
    let census = Census::take(&args.trace, talk)?;
    let selected = census.select(args.process.as_deref())?;
    let mut recording = replay::recording(&census, selected);
    recording.count_claims();
    let line_up = replay::ran(&census, selected).line_up(vec![Policy::parse(claims::HUGE)?])?;
    let mut replayed = replay::drive(&args.trace, recording, line_up, talk)?;
    let claims = replayed.facts.claims.take().unwrap_or_default();
    let study = study::build(&census, selected, replayed);
    if args.json {
        return output::json(&study);
    }
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _infallible = describe(&mut text, &census, selected, &study);
    let process = census.manifest.processes.get(selected as usize).cloned().unwrap_or_default();
    let faults = study.policies.first().and_then(|measured| measured.minor_faults);
    claims::sentences(&claims, &process, faults).iter().for_each(|sentence| text += &format!("\n{sentence}\n"));
    claims::replayed(&study).iter().for_each(|sentence| text += &format!("\n{sentence}\n"));
    output::print(&text)
}

fn describe(out: &mut String, census: &Census, selected: ProcessId, study: &reports::study::Study) -> std::fmt::Result {
    let manifest = &census.manifest;
    writeln!(out, "trace     {}.{}, written by heapcast {}", manifest.format.major, manifest.format.minor, manifest.heapcast)?;
    writeln!(out, "command   {}", manifest.command.join(" "))?;
    let per_event = census.bytes.0 as f64 / census.events.max(1) as f64;
    writeln!(out, "events    {} in {} ({per_event:.1} bytes each)", census.events, census.bytes)?;
    writeln!(out, "ended     {}", if manifest.complete { "in order" } else { "NOT in order: the manifest was not completed" })?;
    match manifest.calls {
        Calls::All => {}
        Calls::None => writeln!(out, "calls     of malloc were not recorded (--events vm)")?,
        Calls::Windows => {
            let windows = census.counts.get(&selected).map(|count| count.windows).unwrap_or_default();
            writeln!(out, "calls     of malloc were recorded in {} windows, {} in all", windows.count, windows.length())?;
        }
    }
    if let Some(damage) = &census.damage {
        writeln!(out, "damage    {damage}")?;
    }
    let settings: Vec<String> = manifest.host.kernel_settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !settings.is_empty() {
        let thp = manifest.host.thp.as_deref().unwrap_or("unknown");
        writeln!(out, "kernel    {}, huge pages {thp}, {}", manifest.host.kernel.as_deref().unwrap_or("unknown"), settings.join(", "))?;
    }
    writeln!(out, "\nprocesses")?;
    for (id, count) in &census.counts {
        let mark = if *id == selected { "→" } else { " " };
        let process = manifest.processes.get(*id as usize);
        let pid = process.map_or(0, |process| process.pid);
        let inside = process.and_then(|process| process.pid_inside).map_or_else(String::new, |inside| format!(" ({inside} inside)"));
        let ending = process.and_then(|process| process.ending.as_deref()).unwrap_or("");
        let peak = count.peak_rss.map_or_else(|| "unknown".to_owned(), |peak| peak.to_string());
        writeln!(
            out,
            "{mark} {id:>3}  pid {pid:<8}{inside} {:>10} heap calls  peak RSS {peak:>9}  {} {ending}",
            count.heap_calls,
            census.name(*id)
        )?;
    }
    section(out, "events of the selected process", study.recording.events.iter().map(|kind| (kind.name.clone(), kind.count)))?;
    section(out, "set aside while lifting", study.recording.set_aside.iter().map(|kind| (kind.name.clone(), kind.count)))?;
    section(out, "lost (whole recording)", study.recording.lost.iter().map(|kind| (kind.name.clone(), kind.count)))?;
    writeln!(out, "\nallocators")?;
    for allocator in &study.recording.allocators {
        writeln!(out, "  {} {}  {}", allocator.name, allocator.version.as_deref().unwrap_or("(version unknown)"), allocator.path)?;
    }
    if study.recording.allocators.is_empty() {
        writeln!(out, "  none found{}", if manifest.calls == Calls::None { "" } else { ": calls of the malloc family were not recorded" })?;
    }
    section_of_threads(out, study)?;
    writeln!(out, "\n{:>24} {:>12} {:>12} {:>14}", "requested size", "calls", "bytes", "live at peak")?;
    for row in &study.sizes {
        let range = format!("{} – {}", Bytes(row.from_bytes), Bytes(row.to_bytes));
        writeln!(out, "{range:>24} {:>12} {:>12} {:>14}", row.count, Bytes(row.total_bytes), Bytes(row.live_at_peak_bytes))?;
    }
    writeln!(out, "\n{:>24} {:>12} {:>12}", "lifetime", "blocks", "bytes")?;
    for row in &study.lifetimes {
        let range = row.to_ns.map_or_else(|| "never freed".to_owned(), |to| format!("{} – {}", Nanos(row.from_ns), Nanos(to)));
        writeln!(out, "{range:>24} {:>12} {:>12}", row.count, Bytes(row.total_bytes))?;
    }
    for note in &study.recording.notes {
        writeln!(out, "\n{note}")?;
    }
    Ok(())
}

/// The threads that have a name of their own, the busiest first.
fn section_of_threads(out: &mut String, study: &reports::study::Study) -> std::fmt::Result {
    let mut named: Vec<_> = study.threads.iter().filter(|thread| !thread.name.is_empty()).collect();
    named.sort_by_key(|thread| std::cmp::Reverse(thread.allocations));
    let row = |thread: &&reports::study::ThreadRow| (format!("{} ({})", thread.tid, thread.name.escape_debug()), thread.allocations);
    section(out, "requests by thread", named.iter().take(MOST_THREADS).map(row))
}

fn section(out: &mut String, title: &str, rows: impl Iterator<Item = (String, u64)>) -> std::fmt::Result {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    rows.iter().try_for_each(|(name, count)| writeln!(out, "{count:>12}  {name}"))
}
