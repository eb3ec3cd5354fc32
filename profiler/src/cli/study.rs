//! From a census and a replay to the study that is reported.

use reports::study as report;
use reports::study::Study;

use super::bands;
use super::census::Census;
use super::losses::{self, Doubt};
use super::origins::Names;
use super::overhead;
use super::paste::Setting;
use super::replay::Replayed;
use super::surveyed;
use crate::capture::losses::UNPAIRED;
use crate::event::ProcessId;
use crate::metrics::Point;
use crate::metrics::survey::Part;
use crate::replay::fidelity;
use crate::replay::outcome::{Outcome, Readings};
use crate::replay::placements::Placements;
use crate::replay::recorded::Facts;
use crate::trace::manifest::{Calls, Host, Manifest, Mode, Process};
use crate::units::{Bytes, Nanos};
use crate::vm::Syscall;
use crate::workload::{Books, FREE_INHERITED, FREE_UNKNOWN, Touches};

/// The study of one process.
pub(super) fn build(census: &Census, selected: ProcessId, replayed: Replayed) -> Study {
    let Replayed { mut facts, mut outcomes, checked, remarks } = replayed;
    let process = census.manifest.processes.get(selected as usize);
    let measured = with_kernel_totals(&facts, process);
    if let Some(major) = measured.major_faults {
        outcomes.iter_mut().chain([&mut facts.recorded]).for_each(|outcome| without_major(outcome, major));
    }
    let by = outcomes.first().filter(|_| checked).unwrap_or(&facts.recorded).clone();
    let doubt = Doubt::of(&census.manifest, &facts.sizes);
    bands::widen(&mut outcomes, &measured, &by, facts.older, doubt);
    let checked = outcomes.first().filter(|_| checked).unwrap_or(&facts.recorded);
    let fidelity = fidelity::rows(&measured, checked);
    let process = process.cloned().unwrap_or_default();
    let huge_pages = census.manifest.host.thp.as_deref();
    let setting = Setting { process: &process, ran: super::replay::allocator(&process), checked: &checked.policy, huge_pages };
    let names = &census.names;
    let (frames, callsites) = names.call_sites(&facts.sites);
    let mut policies = vec![policy(&measured, names), policy(&facts.recorded, names)];
    policies.extend(outcomes.iter().map(|outcome| report::PolicyResult { paste: setting.paste(outcome), ..policy(outcome, names) }));
    let mut study = Study {
        version: report::STUDY_VERSION,
        heapcast: env!("CARGO_PKG_VERSION").to_owned(),
        recording: recording(census, selected, &facts, &outcomes, remarks),
        policies,
        checked: checked.policy.clone(),
        fidelity: fidelity.into_iter().map(fidelity_row).collect(),
        explanation: checked.placements.as_ref().map(Placements::explain).unwrap_or_default(),
        sizes: facts.sizes.iter().map(size_row).collect(),
        lifetimes: facts.lifetimes.iter().map(lifetime_row).collect(),
        frames,
        callsites,
        threads: facts.threads.iter().map(|thread| surveyed::thread(thread, &process.threads)).collect(),
    };
    if census.manifest.calls == Calls::None {
        without_blocks(&mut study);
    }
    study
}

/// Where no call was recorded, nobody knows what was live.
fn without_blocks(study: &mut Study) {
    for policy in &mut study.policies {
        policy.peak_live_bytes = None;
        policy.timeline.iter_mut().for_each(|point| point.live_bytes = None);
    }
}

/// The kernel's own totals stand above counted events, where they are known.
fn with_kernel_totals(facts: &Facts, process: Option<&Process>) -> Outcome {
    let mut measured = facts.measured.clone();
    if let Some(minor) = process.and_then(|process| process.minor_faults) {
        measured.minor_faults = Readings::certain(minor.saturating_sub(facts.recorders_faults));
    }
    measured.major_faults = process.and_then(|process| process.major_faults);
    measured
}

/// A fault event does not say whether a file had to be read for it; the kernel's totals do. Those that did are the program's under every policy,
/// and no minor ones.
fn without_major(outcome: &mut Outcome, major: u64) {
    let Readings { low, expected, high } = &mut outcome.minor_faults;
    [low, expected, high].into_iter().for_each(|faults| *faults = faults.saturating_sub(major));
}

fn policy(outcome: &Outcome, names: &Names) -> report::PolicyResult {
    let bytes = |value: Option<Bytes>| value.map(|bytes| bytes.0);
    let calls = |kind| outcome.calls_known.then(|| outcome.calls.of(kind));
    let mut row = report::PolicyResult {
        policy: outcome.policy.clone(),
        source: outcome.source.to_string(),
        peak_rss_bytes: outcome.peak_rss.map(|peak| peak.expected.0),
        peak_rss_low_bytes: outcome.peak_rss.map(|peak| peak.low.0),
        peak_rss_high_bytes: outcome.peak_rss.map(|peak| peak.high.0),
        mean_rss_bytes: bytes(outcome.mean_rss),
        final_rss_bytes: bytes(outcome.final_rss),
        peak_live_bytes: Some(outcome.peak_live.0),
        peak_mapped_bytes: Some(outcome.peak_mapped.0),
        minor_faults: Some(outcome.minor_faults.expected),
        minor_faults_low: Some(outcome.minor_faults.low),
        minor_faults_high: Some(outcome.minor_faults.high),
        major_faults: outcome.major_faults,
        brk_calls: calls(Syscall::Brk),
        mmap_calls: calls(Syscall::Mmap),
        munmap_calls: calls(Syscall::Munmap),
        mremap_calls: calls(Syscall::Mremap),
        madvise_calls: calls(Syscall::Madvise),
        returned_bytes: bytes(outcome.returned),
        held: outcome.held.iter().map(|&(part, bytes)| report::HeldPart { part: part.to_owned(), bytes: bytes.0 }).collect(),
        timeline: outcome.timeline.iter().map(|point| time_point(point, outcome)).collect(),
        ..Default::default()
    };
    if let Some(survey) = &outcome.survey {
        surveyed::fill(&mut row, survey, names);
    }
    row
}

fn time_point(point: &Point, outcome: &Outcome) -> report::TimePoint {
    report::TimePoint {
        time_ns: point.time.0,
        rss_bytes: Some(point.rss.0),
        live_bytes: Some(point.live.0),
        mapped_bytes: Some(point.mapped.0),
        minor_faults: Some(point.minor_faults),
        returned_bytes: outcome.returned.map(|_| point.returned.0),
        // What was measured, and the recorded placements, have one reading.
        rss_low_bytes: (outcome.survey.is_some()).then_some(point.rss_low.0),
        rss_high_bytes: (outcome.survey.is_some()).then_some(point.rss_high.0),
    }
}

fn fidelity_row(row: fidelity::Row) -> report::FidelityRow {
    report::FidelityRow { metric: row.metric.to_owned(), recorded: row.recorded, replayed: row.replayed, error: row.error }
}

fn size_row(class: &crate::metrics::SizeClass) -> report::SizeRow {
    report::SizeRow {
        from_bytes: class.from.0,
        to_bytes: class.to.0,
        count: class.count,
        total_bytes: class.total.0,
        live_at_peak_bytes: class.live_at_peak.0,
        live_at_end_bytes: class.live_at_end.0,
        temporary: class.temporary,
    }
}

fn lifetime_row(class: &crate::metrics::LifetimeClass) -> report::LifetimeRow {
    report::LifetimeRow { from_ns: class.from.0, to_ns: class.to.map(|to| to.0), count: class.count, total_bytes: class.total.0 }
}

/// The command that was given, or that of a process which was there already or came by itself.
fn command(manifest: &Manifest, selected: ProcessId, process: &Process) -> Vec<String> {
    let given = manifest.mode == Mode::Launched && selected == 0;
    if given || process.cmdline.is_empty() { manifest.command.clone() } else { process.cmdline.clone() }
}

fn recording(census: &Census, selected: ProcessId, facts: &Facts, outcomes: &[Outcome], remarks: Vec<String>) -> report::Recording {
    let manifest = &census.manifest;
    let process = manifest.processes.get(selected as usize).cloned().unwrap_or_default();
    let count = census.counts.get(&selected).cloned().unwrap_or_default();
    let named = |name: &str, count: u64| report::KindCount { name: name.to_owned(), count };
    let host = &manifest.host;
    report::Recording {
        command: command(manifest, selected, &process),
        pid: process.pid,
        exe: process.exe.clone(),
        mode: match manifest.mode {
            Mode::Launched => "launched".to_owned(),
            Mode::Attached => "attached".to_owned(),
        },
        started_unix_s: manifest.created,
        duration_ns: facts.duration.0,
        ending: process.ending.clone().unwrap_or_else(|| match process.ended_ns {
            Some(_) => "ended".to_owned(),
            None => "recording stopped".to_owned(),
        }),
        kernel: host.kernel.clone().unwrap_or_default(),
        arch: host.arch.clone().unwrap_or_default(),
        cpus: host.cpus.unwrap_or(0),
        thp: host.thp.clone().unwrap_or_default(),
        kernel_settings: host.kernel_settings.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        unit_costs: host.unit_costs.map(unit_costs),
        allocators: process.allocators.iter().map(allocator).collect(),
        events: count.kinds.iter().map(|(name, count)| named(name, *count)).collect(),
        lost: lost(census),
        set_aside: facts.books.set_aside.iter().map(|(reason, count)| named(reason, *count)).collect(),
        touches: Some(touches(facts)),
        curves_apart_bytes: facts.apart.map(|bytes| bytes.0),
        processes: census.counts.keys().map(|id| process_row(census, *id, selected)).collect(),
        notes: notes(census, selected, &process, facts, outcomes).into_iter().chain(remarks).collect(),
    }
}

fn touches(facts: &Facts) -> report::Touches {
    let Touches { seen, inferred, assumed, .. } = facts.touches;
    report::Touches { seen_bytes: seen.0, inferred_bytes: inferred.0, assumed_bytes: assumed.0 }
}

fn unit_costs(costs: crate::trace::manifest::UnitCosts) -> report::UnitCosts {
    report::UnitCosts {
        fault_ns: costs.fault_ns,
        return_ns: costs.return_ns,
        grow_ns: costs.grow_ns,
        mmap_ns: costs.mmap_ns,
        munmap_ns: costs.munmap_ns,
        madvise_ns: costs.madvise_ns,
    }
}

fn allocator(found: &crate::trace::manifest::AllocatorFound) -> report::AllocatorFound {
    report::AllocatorFound { name: found.name.clone(), version: found.version.clone(), path: found.path.clone() }
}

fn process_row(census: &Census, id: ProcessId, selected: ProcessId) -> report::ProcessRow {
    let count = &census.counts[&id];
    report::ProcessRow {
        id,
        pid: census.manifest.processes.get(id as usize).map_or(0, |process| process.pid),
        exe: census.name(id),
        heap_calls: count.heap_calls,
        peak_rss_bytes: count.peak_rss.map(|bytes| bytes.0),
        selected: id == selected,
    }
}

const UNPAIRED_CALLS: &str = "calls without a matching entry or return";

/// Losses of the whole recording: a lost event of one process cannot be told from one of another.
fn lost(census: &Census) -> Vec<report::KindCount> {
    let kinds = losses::by_kind(&census.manifest).into_iter();
    let kinds = kinds.map(|(kind, lost)| if kind == UNPAIRED { (UNPAIRED_CALLS.to_owned(), lost) } else { (kind, lost) });
    let rejected = census.manifest.counts.rejected.iter().map(|(reason, count)| (format!("records rejected: {reason}"), *count));
    kinds.chain(rejected).filter(|(_, count)| *count > 0).map(|(name, count)| report::KindCount { name, count }).collect()
}

/// What the reader must know, in full sentences, the gravest first.
fn notes(census: &Census, selected: ProcessId, process: &Process, facts: &Facts, outcomes: &[Outcome]) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(census.damage.iter().map(|damage| format!("The trace is incomplete: {damage}.")));
    if !census.manifest.complete && census.damage.is_none() {
        notes.push("The recording did not end in an orderly way; what it had written is here, what it lost last is unknown.".to_owned());
    }
    notes.extend(losses::sentence(&census.manifest));
    let doubt = Doubt::of(&census.manifest, &facts.sizes);
    if doubt != Doubt::default() {
        let mib = |bytes: Bytes| bytes.0 as f64 / 1_048_576.0;
        notes.push(format!(
            "Lost events make the estimates less certain: a lost request may have been a block of the mean size that stayed, a lost free may have made room. The              highest readings are up to {:.1} MiB higher for that (no more than was ever resident), the lowest up to {:.1} MiB lower.",
            mib(doubt.missing),
            mib(doubt.surplus)
        ));
    }
    notes.extend(census.manifest.notes.iter().cloned());
    notes.extend(census.manifest.overhead.as_ref().and_then(overhead::sentence).map(capitalised));
    notes.extend(calls_recorded(census, selected, &facts.books));
    if process.allocators.is_empty() && census.manifest.calls != Calls::None {
        let what = "No allocator with symbols was found in this process: calls of the malloc family were not recorded, only system calls and faults. \
                    The models had nothing to place, so that their rows show the rest of the process only.";
        notes.push(what.to_owned());
    }
    for stepped in process.allocators.iter().filter(|allocator| !allocator.stepped.is_empty()) {
        notes.push(format!("Recording was slow in {}: {} had to be single-stepped.", stepped.path, stepped.stepped.join(", ")));
    }
    if let Some(name) = super::replay::allocator(process).filter(|name| census.manifest.calls == Calls::All && !is_modelled(name)) {
        notes.push(format!(
            "There is no model of {name} yet, so the allocator that really ran is not simulated: `placements` is unknown, and the self-check \
             covers the page model (the recorded placements), not a model."
        ));
    }
    if facts.swapped.0 > 0 {
        notes.push(format!(
            "Up to {} of the process were swapped out. The page model knows nothing of swap: what it has resident may lie there.",
            facts.swapped
        ));
    }
    notes.extend(heap_of_its_own(outcomes));
    notes.extend(of_several_sizes(&census.manifest.host));
    notes.extend(unseen(&facts.touches));
    if census.cost.alloc.0 > 0 {
        let micros = |time: Nanos| time.0 as f64 / 1000.0;
        notes.push(format!(
            "Recording made a call for memory about {:.2} µs and a free {:.2} µs longer (the shortest gaps between calls): that is taken off all times.",
            micros(census.cost.alloc),
            micros(census.cost.free)
        ));
    }
    let books = &facts.books;
    if let Some(failed) =
        books.set_aside.get(crate::workload::FAILED).filter(|_| outcomes.iter().any(|outcome| outcome.placements.is_some()))
    {
        notes.push(format!(
            "{failed} calls failed, most of them calls for memory: models do not repeat them, nor the system calls that they cost."
        ));
    }
    if facts.older.0 > 0 {
        let unknown = [FREE_UNKNOWN, FREE_INHERITED].iter().filter_map(|reason| books.set_aside.get(reason)).sum::<u64>();
        notes.push(format!(
            "{:.1} MiB of the heap are older than the recording. Every policy carries them, because nobody knows what is in them ({unknown} frees were of \
             blocks in there): the lowest readings are lower by so much, as if all of it had been room for new blocks.",
            facts.older.0 as f64 / 1_048_576.0
        ));
    }
    if books.implicitly_freed > 0 {
        notes.push(format!("{} blocks were taken as freed because their address was given out again.", books.implicitly_freed));
    }
    if books.adopted > 0 {
        notes.push(format!("{} blocks were older than the recording and appear when they were resized.", books.adopted));
    }
    for outcome in outcomes.iter().filter(|outcome| outcome.refused > 0) {
        notes.push(format!("{} could not provide {} blocks: the simulated system refused.", outcome.policy, outcome.refused));
    }
    notes
}

/// A runtime or a program that manages its memory by itself maps it, and malloc's part is small: of the anonymous memory less than half, from 8 MiB on.
fn heap_of_its_own(outcomes: &[Outcome]) -> Option<String> {
    let parts = &outcomes.iter().find_map(|outcome| outcome.survey.as_ref())?.parts;
    let peak = parts.iter().max_by_key(|moment| moment.rss)?;
    let (own, file) = (peak.seen.of(Part::Other), peak.seen.of(Part::File));
    let anonymous = peak.seen.sum() - file;
    (own.0 >= 8 << 20 && own.0 * 2 > anonymous.0).then(|| {
        format!(
            "Most of this process's memory is not malloc's: at its peak {own} of {anonymous} lay in mappings, stacks and data of its own, as runtimes and \
             programs with their own heap have them. That part is replayed page by page as it was, under every policy alike; only huge pages change it \
             (`recorded+thp=always`)."
        )
    })
}

/// Folios between a page and a huge page are no part of the page model.
fn of_several_sizes(host: &Host) -> Option<String> {
    let on = |(name, value): &(&String, &String)| name.starts_with("hugepages-") && value.as_str() != "never";
    let names: Vec<&str> = host.kernel_settings.iter().filter(on).filter_map(|(name, _)| name.split(['-', '/']).nth(1)).collect();
    (!names.is_empty()).then(|| {
        let sizes = names.join(", ");
        format!("The kernel may give {sizes} at a first touch (`hugepages-…/enabled`): the page model does not, and finds more faults and less resident.")
    })
}

/// Which calls were recorded, where it is not all of them.
fn calls_recorded(census: &Census, selected: ProcessId, books: &Books) -> Option<String> {
    let windows = census.counts.get(&selected).map(|count| count.windows).unwrap_or_default();
    match census.manifest.calls {
        Calls::All => None,
        Calls::None => {
            let what = "Calls of the malloc family were not recorded (--events vm): what the program asked for, what of it was live, and what another \
                        allocator would have done is not known. RSS, page faults and system calls are complete.";
            Some(what.to_owned())
        }
        Calls::Windows => {
            let unknown = books.set_aside.get(FREE_UNKNOWN).copied().unwrap_or(0);
            Some(format!(
                "Calls of the malloc family were recorded in windows, {} of them, {} in all: sizes, lifetimes, threads and call sites are those of the \
                 windows. {} blocks were live when a window ended and are closed there, since their end may have passed unseen; {unknown} frees were of \
                 blocks from outside of their window. RSS, page faults and system calls are complete.",
                windows.count,
                windows.length(),
                books.closed
            ))
        }
    }
}

fn capitalised(sentence: String) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// How much of what was touched is known.
fn unseen(touches: &Touches) -> Option<String> {
    let Touches { seen, inferred, assumed, .. } = *touches;
    let all = seen + inferred + assumed;
    (all.0 > 0).then(|| {
        let share = |part: Bytes| 100.0 * part.0 as f64 / all.0 as f64;
        format!(
            "Of the touched bytes of all blocks {:.0} % were seen as page faults, {:.0} % inferred from blocks like them and {:.0} % assumed: they lay on pages \
             that were resident already.",
            share(seen),
            share(inferred),
            share(assumed)
        )
    })
}

fn is_modelled(name: &str) -> bool {
    crate::model::REGISTRY.iter().any(|spec| spec.id == name)
}
