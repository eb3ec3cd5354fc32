//! What this kernel can do that not every kernel can: tried, not concluded from its version, as distributions carry features over.

use std::path::Path;

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported};
use profiler_ebpf as wire;

use crate::target::emulate::Kernel;
use crate::units::PAGE;

/// Something that the recorder uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What it is called.
    pub name: String,
    /// Whether it is there.
    pub present: bool,
    /// What its absence means.
    pub without: &'static str,
    /// Whether nothing can be recorded without it.
    pub essential: bool,
}

/// Every feature, the essential ones first. To be asked with the privileges that recording needs.
pub fn all() -> Vec<Feature> {
    let others = [
        ("attach cookies", has_cookies(), "each function has its own copy of a program, of which there are some dozens"),
        ("loops in programs", has_loops(), "a program that outruns the recorder cannot wait: it is stopped, where it may be"),
        ("exact resident set", counts_exactly(), "the kernel tells changes late, by up to 64 pages for each thread"),
    ];
    essential().into_iter().chain(others.map(|found| feature(found, false))).collect()
}

/// Those without which nothing can be recorded, and the tracepoints. Each recording asks for them before it begins.
pub fn essential() -> Vec<Feature> {
    let essential = [
        ("pages of 4 KiB", page_size() == PAGE, "the page model knows no other size of pages"),
        ("ring buffers", is_map_supported(MapType::RingBuf).unwrap_or(false), "recording needs Linux 5.8 or newer"),
        ("signals from programs", helps(BpfHelper::BPF_FUNC_send_signal_thread), "recording needs Linux 5.5 or newer"),
        ("uprobes", Path::new("/sys/bus/event_source/devices/uprobe").is_dir(), "calls of malloc cannot be seen (CONFIG_UPROBE_EVENTS)"),
    ];
    essential.into_iter().map(|found| feature(found, true)).chain(tracepoints()).collect()
}

fn feature((name, present, without): (&str, bool, &'static str), essential: bool) -> Feature {
    Feature { name: name.to_owned(), present, without, essential }
}

/// Whether a probe can be told which function it is at.
fn has_cookies() -> bool {
    helps(BpfHelper::BPF_FUNC_get_attach_cookie)
}

fn has_loops() -> bool {
    helps(BpfHelper::BPF_FUNC_loop)
}

/// Whether one program can serve all functions of the malloc family; else each is served by a copy.
pub fn serves_all() -> bool {
    has_cookies() && has_loops()
}

fn helps(helper: BpfHelper) -> bool {
    is_helper_supported(ProgramType::KProbe, helper).unwrap_or(false)
}

/// Whether each change of a process's resident set is announced when it happens. Before Linux 6.2 each thread kept up to 64 of them to itself, in a
/// structure that the kernel's type information names.
pub fn counts_exactly() -> bool {
    const KEPT: &[u8] = b"\0task_rss_stat\0";
    match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(types) => !types.windows(KEPT.len()).any(|name| name == KEPT),
        Err(_) => Kernel::running().is_ok_and(|kernel| kernel >= Kernel { major: 6, minor: 2 }),
    }
}

/// The tracepoints that are missing, and one entry for all that are there.
fn tracepoints() -> Vec<Feature> {
    let events = |category: &str, name: &str| {
        ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
            .iter()
            .any(|home| Path::new(home).join("events").join(category).join(name).is_dir())
    };
    let told = wire::TRACEPOINTS.iter().map(|point| (point.category, point.name, point.required));
    let raw = wire::RAW_TRACEPOINTS.iter().map(|name| ("exceptions", *name, false));
    let (there, missing): (Vec<_>, Vec<_>) = told.chain(raw).partition(|(category, name, _)| events(category, name));
    let missing = missing.into_iter().map(|(category, name, essential)| Feature {
        name: format!("{category}:{name}"),
        present: false,
        without: if essential { "what the program asks of the kernel cannot be seen" } else { "what it tells is not recorded" },
        essential,
    });
    let all = Feature { name: format!("{} tracepoints", there.len()), present: true, without: "", essential: true };
    std::iter::once(all).chain(missing).collect()
}

fn page_size() -> u64 {
    // SAFETY: the call has no conditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_essential_comes_first_and_absence_is_explained() {
        let features = all();
        assert!(features.iter().all(|feature| feature.present || !feature.without.is_empty()));
        assert!(features[0].essential && !features[features.len() - 1].essential);
    }
}
