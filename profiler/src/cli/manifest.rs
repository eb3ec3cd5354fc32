//! From what the recorder knows to the manifest of the trace.

use std::collections::BTreeMap;

use super::overhead;
use super::record::unix_seconds;
use crate::capture::decode::Reject;
use crate::capture::facts::ProcessFacts;
use crate::capture::losses::Loss;
use crate::capture::{Events, Options, Recorded, Subject};
use crate::target::allocator::Allocator;
use crate::trace::manifest::{AllocatorFound, Calls, Counts, Host, KindCounts, LostMeanwhile, Manifest, Mode, Process, UnitCosts};
use crate::workload::ProbeCost;

/// Which calls of the malloc family these options record.
pub(super) fn calls(options: &Options) -> Calls {
    match (options.events, options.windows) {
        (Events::Vm, _) => Calls::None,
        (Events::All, Some(_)) => Calls::Windows,
        (Events::All, None) => Calls::All,
    }
}

/// What can be said before the recording begins.
pub(super) fn begin(options: &Options) -> Manifest {
    let (mode, command) = match &options.subject {
        Subject::Launch(command) => (Mode::Launched, command.iter().map(|part| part.to_string_lossy().into_owned()).collect()),
        Subject::Attach(pids) => (Mode::Attached, pids.iter().map(|pid| format!("pid {pid}")).collect()),
        Subject::Cgroup(path) => (Mode::Attached, vec![format!("control group {}", path.display())]),
    };

    let mut settings = BTreeMap::from([
        ("ring_bytes".to_owned(), options.ring.0.to_string()),
        ("rss_step_bytes".to_owned(), options.rss_step.0.to_string()),
        ("follow".to_owned(), options.follow.to_string()),
        ("lossless".to_owned(), options.lossless.to_string()),
    ]);
    let limits = [
        ("duration_ns", options.limits.time.map(|time| time.as_nanos())),
        ("stop_after_events", options.limits.events.map(u128::from)),
        ("stop_after_bytes", options.limits.bytes.map(|bytes| bytes.0.into())),
        ("window_ns", options.windows.map(|windows| windows.length.as_nanos())),
        ("every_ns", options.windows.map(|windows| windows.every.as_nanos())),
    ];
    settings.extend(limits.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_string()))));
    Manifest {
        heapcast: env!("CARGO_PKG_VERSION").to_owned(),
        created: unix_seconds(),
        mode,
        calls: calls(options),
        command,
        options: settings,
        host: host(),
        ..Manifest::default()
    }
}

/// Adds what is known at the end; `heap` is what the recorded events tell of the cost of the heap probes.
pub(super) fn complete(manifest: &mut Manifest, recorded: &Recorded, heap: ProbeCost) {
    manifest.losses = losses(&recorded.losses);
    manifest.overhead = Some(overhead::estimate(recorded, manifest.host.unit_costs, heap));
    manifest.processes = recorded.processes.iter().map(|facts| process(facts, manifest.calls)).collect();
    manifest.counts = counts(recorded);
    manifest.notes.extend(recorded.notes.iter().cloned());
    manifest.complete = true;
}

/// When what was lost.
pub(super) fn losses(losses: &[Loss]) -> Vec<LostMeanwhile> {
    let named = |lost: &[(&str, u64)]| lost.iter().map(|&(kind, count)| (kind.to_owned(), count)).collect();
    losses.iter().map(|loss| LostMeanwhile { from_ns: loss.from.0, until_ns: loss.until.0, lost: named(&loss.lost) }).collect()
}

fn counts(recorded: &Recorded) -> Counts {
    let totals = &recorded.totals;
    let kinds = totals.made.iter().zip(&totals.lost).filter(|(made, lost)| made.1 + lost.1 > 0);
    let tally = &recorded.tally;
    let rejected = Reject::ALL.into_iter().zip(tally.rejected).filter(|(_, count)| *count > 0);
    Counts {
        kinds: kinds.map(|(made, lost)| (made.0.to_owned(), KindCounts { made: made.1, lost: lost.1 })).collect(),
        nested: totals.nested,
        unpaired: totals.unpaired,
        decoded: tally.decoded,
        before_exec: tally.before_exec,
        after_end: tally.after_end,
        rejected: rejected.map(|((_, name), count)| (name.to_owned(), count)).collect(),
    }
}

/// One process image.
pub(super) fn process(facts: &ProcessFacts, calls: Calls) -> Process {
    Process {
        id: facts.id,
        pid: facts.pid,
        pid_inside: facts.pid_inside,
        parent: facts.parent,
        exe: facts.exe.clone(),
        comm: facts.comm.clone(),
        cmdline: facts.cmdline.clone(),
        threads: facts.names.clone(),
        started_ns: facts.started.0,
        ended_ns: facts.ended.map(|time| time.0),
        ending: facts.ending.clone(),
        files: facts.files.clone(),
        allocators: facts.allocators.iter().map(|found| allocator(found, calls)).collect(),
        minor_faults: facts.faults.map(|(minor, _)| minor),
        max_rss: facts.max_rss.map(|peak| peak.0),
        major_faults: facts.faults.map(|(_, major)| major),
        environment: facts.environment.iter().filter_map(|variable| variable.split_once('=')).map(owned).collect(),
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn allocator(found: &Allocator, calls: Calls) -> AllocatorFound {
    let (name, version) = (found.name.clone(), found.version.clone());
    let named = AllocatorFound { name, version, path: found.path.clone(), build_id: found.build_id.clone(), ..Default::default() };
    if calls == Calls::None {
        return named;
    }
    AllocatorFound {
        probes: found.probes.len() as u32,
        stepped: found.probes.iter().filter(|probe| probe.point.stepped).map(|probe| probe.symbol.clone()).collect(),
        skipped: found.skipped.iter().map(|(symbol, reason)| format!("{symbol}: {reason}")).collect(),
        ..named
    }
}

/// How many numbers a list such as `0-3,5` names.
fn count_listed(text: &str) -> Option<u32> {
    let length = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
    };
    text.trim().split(',').map(length).sum()
}

fn host() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let memory = read("/proc/meminfo").and_then(|text| {
        let kib: u64 = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    });
    let thp =
        read("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned()));
    Host {
        kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        arch: Some(std::env::consts::ARCH.to_owned()),
        cpus: read("/sys/devices/system/cpu/online").and_then(|text| count_listed(&text)),
        page_size: Some(crate::units::PAGE),
        thp,
        memory_total: memory,
        kernel_settings: kernel_settings(),
        unit_costs: crate::capture::costs::measure().map(unit_costs),
    }
}

/// Settings that decide what is resident and when; of those that a machine has not, nothing is said.
const SETTINGS: [(&str, &[&str]); 3] = [
    (
        "/sys/kernel/mm/transparent_hugepage",
        &[
            "defrag",
            "shmem_enabled",
            "use_zero_page",
            "khugepaged/defrag",
            "khugepaged/pages_to_scan",
            "khugepaged/scan_sleep_millisecs",
            "khugepaged/alloc_sleep_millisecs",
            "khugepaged/max_ptes_none",
            "khugepaged/max_ptes_shared",
            "khugepaged/max_ptes_swap",
            "hugepages-16kB/enabled",
            "hugepages-32kB/enabled",
            "hugepages-64kB/enabled",
            "hugepages-128kB/enabled",
            "hugepages-256kB/enabled",
            "hugepages-512kB/enabled",
            "hugepages-1024kB/enabled",
        ],
    ),
    ("/proc/sys/vm", &["overcommit_memory", "max_map_count", "swappiness", "nr_hugepages"]),
    ("/sys/kernel/debug", &["fault_around_bytes"]),
];

fn kernel_settings() -> BTreeMap<String, String> {
    let read = |folder: &str, name: &str| {
        let text = std::fs::read_to_string(format!("{folder}/{name}")).ok()?;
        let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(text.trim(), |(chosen, _)| chosen);
        Some((name.to_owned(), chosen.to_owned()))
    };
    SETTINGS.iter().flat_map(|(folder, names)| names.iter().filter_map(move |name| read(folder, name))).collect()
}

fn unit_costs(found: crate::capture::costs::Costs) -> UnitCosts {
    UnitCosts {
        fault_ns: found.fault.0,
        return_ns: found.give_back.0,
        grow_ns: found.grow.0,
        mmap_ns: found.mmap.0,
        munmap_ns: found.munmap.0,
        madvise_ns: found.madvise.0,
    }
}

#[cfg(test)]
mod tests {
    use super::count_listed;

    #[test]
    fn processors_are_counted() {
        assert_eq!(["0-1\n", "0", "0-3,5,8-9"].map(count_listed), [Some(2), Some(1), Some(7)]);
        assert_eq!(["", "3-1", "x", "0-4294967295"].map(count_listed), [None; 4]);
    }
}
