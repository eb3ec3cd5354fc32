//! What a recording says of the old questions about malloc and mmap, in sentences with its numbers.

use reports::study::Study;

use crate::replay::claims::{Claims, Granted, Refusal, Threshold};
use crate::trace::manifest::Process;
use crate::units::{Bytes, Nanos};
use crate::vm::Syscall;

/// Variables, or parts of them, that fix glibc's thresholds.
const FIXING: [&str; 4] = ["mmap_threshold", "trim_threshold", "top_pad", "mmap_max"];

/// A sentence for each question that this recording answers; `faults` are the measured minor ones.
pub(super) fn sentences(claims: &Claims, process: &Process, faults: Option<u64>) -> Vec<String> {
    let mut out = Vec::new();
    for (kind, what) in [(Granted::Break, "The program break"), (Granted::Mappings, "Anonymous mappings")] {
        let Some(space) = claims.space.get(&kind).filter(|space| space.granted.0 > 0) else { continue };
        let share = space.untouched.0 as f64 / space.granted.0 as f64;
        out.push(format!(
            "{what}: {} of address space granted, {} of it never touched ({:.1} %).",
            space.granted,
            space.untouched,
            share * 100.0
        ));
    }
    let faults = faults.map_or(String::new(), |faults| format!(" for {faults} minor faults"));
    out.push(format!("The kernel cleared {} and copied {} of private files{faults}.", claims.zeroed, claims.copied));
    let returned = [(Syscall::Munmap, "munmap"), (Syscall::Brk, "brk"), (Syscall::Mremap, "mremap"), (Syscall::Madvise, "madvise")];
    let returned = returned.map(|(call, name)| format!("{} by {name}", claims.returned.get(&call).copied().unwrap_or_default()));
    out.push(format!("Resident memory that went back at once: {}.", returned.join(", ")));
    if process.allocators.iter().any(|allocator| allocator.name == "glibc") {
        out.push(threshold(&claims.threshold, process));
    }
    out.extend(claims.refused.iter().map(|(refusal, count)| refused(*refusal, *count)));
    if let Some(shared) = claims.shared_at_fork.0.checked_div(claims.forks).map(Bytes) {
        let (forks, written) = (claims.forks, claims.written_after_fork);
        out.push(format!(
            "Forks: {forks}, each sharing {shared} with the child on average; {written} of its pages were written afterwards, a fault each. In the end {} \
             were as they had been at a fork: if one child lives that has not written them either, the process's share of memory (PSS) is smaller than \
             its RSS by half of that.",
            claims.shared_at_end
        ));
    }
    out
}

/// The policy that tells what huge pages would do.
pub(super) const HUGE: &str = "recorded+thp=always";

/// What only a replay tells: huge pages that the recording had not, and free memory that the model of its allocator could not give back.
pub(super) fn replayed(study: &Study) -> Vec<String> {
    huge(study).into_iter().chain(held(study)).collect()
}

fn huge(study: &Study) -> Option<String> {
    let row = |name: &str| study.policies.iter().find(|row| row.policy == name);
    let (was, huge) = (row("recorded")?, row(HUGE)?);
    let (faults, fewer) = (was.minor_faults?, huge.minor_faults?);
    let (peak, more) = (was.peak_rss_bytes?, huge.peak_rss_bytes?);
    let saved = faults.saturating_sub(fewer);
    Some(format!(
        "Huge pages wherever one fits ({HUGE}) would have saved {saved} of {faults} minor faults (each stands for up to 512) and changed the peak of \
         the resident set by {}{}.",
        if more < peak { "−" } else { "+" },
        Bytes(more.abs_diff(peak))
    ))
}

fn held(study: &Study) -> Vec<String> {
    let Some(ran) = study.policies.iter().find(|row| row.policy == study.checked) else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(worst) = ran.memory.iter().max_by_key(|point| point.below_bytes).filter(|point| point.below_bytes > 0) {
        let pins = || ran.pins.iter().filter(|pin| pin.hold == "top" && pin.moment == "most free");
        let (blocks, live) = (pins().map(|pin| pin.blocks).sum::<u64>(), pins().map(|pin| pin.live_bytes).sum());
        out.push(format!(
            "By the model of {}, at most {} of free memory lay below live blocks, where the break cannot give it back (after {}). When most was free, \
             {blocks} blocks of together {} stood above free pages.",
            ran.policy,
            Bytes(worst.below_bytes),
            Nanos(worst.time_ns),
            Bytes(live)
        ));
    }
    if let Some(peak) = ran.memory.iter().max_by_key(|point| point.rss_bytes) {
        out.push(format!(
            "At its peak, {} were free on pages that live blocks are on, {} headers, rounding and bookkeeping, {} live.",
            Bytes(peak.inside_bytes),
            Bytes(peak.overhead_bytes),
            Bytes(peak.live_bytes)
        ));
    }
    out
}

fn threshold(threshold: &Threshold, process: &Process) -> String {
    let size = |size: Option<Bytes>| size.map_or_else(|| "none".to_owned(), |size| size.to_string());
    let seen = format!(
        "glibc between heap and mappings: the smallest request with a mapping of its own was {}, the largest in the heap {}",
        size(threshold.smallest_mapped),
        size(threshold.largest_in_heap)
    );
    let environment = process.environment.iter().map(|(name, value)| format!("{name}={value}").to_lowercase()).collect::<String>();
    if threshold.fixed || FIXING.iter().any(|word| environment.contains(word)) {
        return format!("{seen}; the threshold was fixed by a setting.");
    }
    match threshold.raised.as_slice() {
        [] => format!("{seen}; the threshold stayed at 128 KiB, no freed mapping raised it."),
        [.., (time, last)] => {
            let times = threshold.raised.len();
            let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
            format!("{seen}; freed mappings raised the threshold {times}, at last to {last} after {time}.")
        }
    }
}

fn refused(refusal: Refusal, count: u64) -> String {
    let call = match refusal.call {
        Syscall::Brk => "brk",
        Syscall::Mmap => "mmap",
        Syscall::Munmap => "munmap",
        Syscall::Mremap => "mremap",
        Syscall::Madvise => "madvise",
        Syscall::Mprotect => "mprotect",
    };
    let of = if refusal.file { " of a file" } else { "" };
    // The standard library knows the errors of the system by their numbers.
    let why = std::io::Error::from_raw_os_error(refusal.errno.into());
    format!("Refused: {call}{of}, {count} times: {why}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::study::{MemoryPoint, PinRow, PolicyResult};

    #[test]
    fn a_replay_answers_with_its_numbers() {
        let row = |policy: &str, faults, peak| PolicyResult {
            policy: policy.to_owned(),
            minor_faults: Some(faults),
            peak_rss_bytes: Some(peak),
            ..PolicyResult::default()
        };
        let pin = |hold: &str, blocks| PinRow {
            moment: "most free".to_owned(),
            hold: hold.to_owned(),
            blocks,
            live_bytes: 100 * blocks,
            ..PinRow::default()
        };
        let point =
            |rss_bytes, below_bytes| MemoryPoint { rss_bytes, below_bytes, inside_bytes: 2048, live_bytes: 4096, ..MemoryPoint::default() };
        let mut ran = row("glibc", 1000, 1 << 20);
        ran.memory = vec![point(1, 0), point(9, 8192), point(5, 4096)];
        ran.pins = vec![pin("top", 3), pin("slab", 50), pin("top", 1)];
        let study = Study {
            checked: "glibc".to_owned(),
            policies: vec![row("recorded", 1000, 1 << 20), ran, row(HUGE, 400, 3 << 20)],
            ..Study::default()
        };
        let said = replayed(&study).join(" ");
        for part in ["saved 600 of 1000", "by +2.00 MiB", "at most 8.00 KiB", "4 blocks of together 400 B", "2.00 KiB were free on pages"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(replayed(&Study::default()), Vec::<String>::new());
    }
}
