//! Which allocators were found, where, and how far their calls are recorded: for people.

use std::fmt::Write;

use crate::capture::facts::ProcessFacts;
use crate::target::allocator::Allocator;
use crate::target::index::Found;

/// `glibc 2.36 in /usr/lib/libc.so.6 (symbols: .dynsym)`
fn title(allocator: &Allocator) -> String {
    let version = allocator.version.as_deref().unwrap_or("of unknown version");
    format!("{} {version} in {} (symbols: {})", allocator.name, allocator.path, allocator.symbols)
}

/// What a probe costs, in a word or two, and what is not recorded.
fn extent(allocator: &Allocator) -> String {
    let stepped: Vec<&str> = allocator.probes.iter().filter(|probe| probe.point.stepped).map(|probe| probe.symbol.as_str()).collect();
    let mut text = format!("{} functions probed", allocator.probes.len());
    match stepped.len() {
        0 => text += ", all at instructions that the kernel emulates",
        _ => _ = write!(text, ", single-stepped (about 13 times as dear): {}", stepped.join(" ")),
    }
    if !allocator.covered.is_empty() {
        let _infallible = write!(text, "; {} more names lead to them", allocator.covered.len());
    }
    for (symbol, reason) in &allocator.skipped {
        let _infallible = write!(text, "; {symbol} NOT recorded: {reason}");
    }
    text
}

/// The allocators of a recording, each once, and the files that may have one that could not be recorded.
pub(super) fn in_recording(processes: &[ProcessFacts]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut add = |line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for process in processes.iter().filter(|process| !process.is_left_alone()) {
        process.allocators.iter().for_each(|found| add(format!("allocator {}: {}\n", title(found), extent(found))));
        process.unsupported.iter().for_each(|(path, reason)| add(format!("NOT recorded: {path}: {reason}\n")));
    }
    lines.concat()
}

/// The allocators of a process as it is now, with where each function would be probed.
pub(super) fn in_process(found: &Found) -> String {
    let mut text = String::new();
    if found.allocators.is_empty() {
        text += "  none with symbols: calls of the malloc family would not be recorded\n";
    }
    for allocator in found.allocators.iter().map(|located| &located.allocator) {
        let _infallible = writeln!(text, "  {}\n    {}", title(allocator), extent(allocator));
        let points = allocator.probes.iter().map(|probe| format!("{}+{}", probe.symbol, probe.point.offset_in_function));
        let _infallible = writeln!(text, "    at {}", points.collect::<Vec<_>>().join(" "));
    }
    for (path, reason) in &found.unsupported {
        let _infallible = writeln!(text, "  {path}: NOT recorded: {reason}");
    }
    text
}
