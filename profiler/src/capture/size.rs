//! How large the ring is unless somebody says it: what the target can write while the recorder looks elsewhere for a moment.
//!
//! ```text
//! 32 MiB for each processor that the target can keep busy: half a second of a thread that does nothing but allocate (1.2 million records a second)
//! at least 16 MiB, at most 128 MiB: with what else the recorder holds that is less than 256 MiB
//! at most a thirty-second of the memory that is available, to the machine and to this process's control group
//! ```

use std::path::Path;

use super::recording::Subject;
use crate::target::process;
use crate::units::Bytes;

const MIB: u64 = 1 << 20;

/// The size of the ring for a subject, on this machine and now.
pub fn ring(subject: &Subject) -> Bytes {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let busy = match subject {
        Subject::Launch(_) => processors,
        Subject::Attach(pids) => {
            pids.iter().map(|pid| process::threads(*pid).map_or(1, |threads| threads.len())).sum::<usize>().clamp(1, processors.max(1))
        }
        // Who comes into a group is not known before.
        Subject::Cgroup(_) => processors,
    };
    sized(busy as u64, available())
}

fn sized(busy: u64, available: Option<Bytes>) -> Bytes {
    let wanted = (32 * MIB * busy).clamp(16 * MIB, 128 * MIB);
    let most = available.map_or(u64::MAX, |bytes| (bytes.0 / 32).max(MIB));
    let size = wanted.min(most);
    // Rounded down to a power of two.
    Bytes(1 << size.ilog2())
}

fn available() -> Option<Bytes> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = process::kib(&text, "MemAvailable").map(|kib| Bytes(kib * 1024));
    [machine, left_in_group()].into_iter().flatten().min()
}

/// What the control group (version 2) of this process may still take.
fn left_in_group() -> Option<Bytes> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = Path::new("/sys/fs/cgroup").join(path);
    let number = |file: &str| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    Some(Bytes(number("memory.max")?.saturating_sub(number("memory.current")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_the_target_and_keeps_within_the_machine() {
        let plenty = Some(Bytes(64 << 30));
        assert_eq!([1, 2, 3, 64].map(|busy| sized(busy, plenty).0 / MIB), [32, 64, 64, 128]);
        assert_eq!([512, 1024, 16].map(|mib| sized(2, Some(Bytes(mib * MIB))).0 / MIB), [16, 32, 1]);
        assert_eq!(sized(2, None), Bytes(64 * MIB));
    }

    #[test]
    fn here_and_now() {
        let sizes = [Subject::Launch(Vec::new()), Subject::Attach(vec![std::process::id()])].map(|subject| ring(&subject).0);
        assert!(sizes.iter().all(|size| size.is_power_of_two() && (MIB..=128 * MIB).contains(size)), "{sizes:?}");
    }
}
