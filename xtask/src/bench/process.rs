//! CPU time of other processes, as the kernel counts it. A child that has ended is read before it is reaped.

use std::fs::read_to_string;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The kernel's clock ticks of `/proc/PID/stat`, a second.
const TICKS: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(100);

/// Nanoseconds that the first thread of a process has had of a CPU.
pub(super) fn own_ns(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/schedstat");
    let text = read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    text.split(' ').next().and_then(|ns| ns.parse().ok()).ok_or_else(|| format!("{path}: {text}"))
}

/// Nanoseconds of all its threads, by ticks.
pub(super) fn all_ns(pid: u32) -> f64 {
    let fields = stat(pid);
    let ticks = fields.get(11..13).into_iter().flatten().filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS * 1e9
}

/// The fields of `/proc/PID/stat` after the name: state first, user and system time at 11 and 12.
fn stat(pid: u32) -> Vec<String> {
    let text = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').map(str::to_owned).collect())
}

fn is_in(pid: u32, state: &str) -> bool {
    stat(pid).first().is_some_and(|found| found == state)
}

/// Whether a child has ended and is still to be reaped.
pub(super) fn has_ended(pid: u32) -> bool {
    is_in(pid, "Z")
}

/// The highest resident memory so far; none of a process that has ended.
pub(super) fn peak_mib(pid: u32) -> Option<f64> {
    let text = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
}

/// Waits until something holds, or the child has ended, or patience has.
pub(super) fn until(child: &Child, what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !holds() {
        if has_ended(child.id()) {
            return Err(format!("ended before {what}"));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("not {what} after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether the value has been the same, and there, for a while.
pub(super) fn steady<T: PartialEq>(span: Duration, mut value: impl FnMut() -> Option<T>) -> impl FnMut() -> bool {
    let (mut last, mut since) = (None, Instant::now());
    move || {
        let now = value();
        if now.is_none() || now != last {
            (last, since) = (now, Instant::now());
        }
        last.is_some() && since.elapsed() >= span
    }
}

/// Waits until a program waits for its input.
pub(super) fn until_it_waits(child: &Child) -> Result<(), String> {
    let pid = child.id();
    let asleep = move || is_in(pid, "S").then(|| own_ns(pid).ok().map(|ns| ns as u64)).flatten();
    until(child, "waiting for its input", steady(Duration::from_millis(200), asleep))
}

/// Waits until a program has attached its probes: the descriptors for them are there, and come no more.
pub(super) fn until_it_probes(child: &Child) -> Result<(), String> {
    let folder = format!("/proc/{}/fd", child.id());
    let probes = move || {
        let entries = std::fs::read_dir(&folder).ok()?.flatten();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let is_probe =
            |link: &std::path::PathBuf| ["[perf_event]", "bpf_link", "bpf-link"].iter().any(|name| link.to_string_lossy().contains(name));
        Some(links.filter(is_probe).count()).filter(|&count| count > 0)
    };
    until(child, "probing", steady(Duration::from_millis(700), probes))
}

/// Waits for the end of a child that is still to be reaped.
pub(super) fn until_it_ends(child: &Child) -> Result<(), String> {
    let (pid, begun) = (child.id(), Instant::now());
    while !has_ended(pid) {
        if begun.elapsed() > PATIENCE {
            return Err(format!("still there after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Asks a program to end as Ctrl-C does.
pub(super) fn interrupt(child: &Child) {
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
}

/// Ends a child that nobody needs any more, however it feels about it.
pub(super) struct Ended(pub(super) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
