//! What a recording says of the old questions about malloc and mmap, in sentences with its numbers.

use crate::replay::claims::{Claims, Granted, Refusal, Threshold};
use crate::trace::manifest::Process;
use crate::units::Bytes;
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
            "Forks: {forks}, each sharing {shared} with the child on average; {written} of its pages were written afterwards, a fault each."
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
