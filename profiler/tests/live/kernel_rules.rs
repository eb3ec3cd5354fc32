//! The page model against the kernel, page by page: `kernel_rules.c` does what each rule is about and reads `/proc/self/pagemap` afterwards.

use std::process::Command;

use profiler::event::What;
use profiler::units::{Addr, PAGE};
use profiler::vm::{Page, PageStates, thp};
use profiler::workload::Lifter;

use super::{possible, record, replayed};
use crate::programs;
use crate::support::{Folder, Trace};

/// Huge pages that the kernel wanted to give and did not have.
fn fallbacks() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("thp_fault_fallback "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn letter(page: Page) -> char {
    match page {
        Page::Absent => '-',
        Page::Zero | Page::AnonShared => 'z',
        Page::Anon | Page::Spare => 'a',
        Page::File => 'f',
    }
}

/// The pages of the first process as the page model has them: before it forks, and in the end.
fn lifted(trace: &Trace) -> [PageStates; 2] {
    let mode = trace.manifest.host.thp.as_deref().and_then(|mode| mode.parse().ok()).unwrap_or(thp::Mode::Madvise);
    let (mut lifter, mut ops) = (Lifter::new(0, mode), Vec::new());
    let fork = trace.events.iter().position(|event| matches!(event.what, What::Fork { .. })).expect("a fork");
    let halves = trace.events.split_at(fork);
    [halves.0, halves.1].map(|events| {
        events.iter().for_each(|event| _ = lifter.feed(event, &mut ops));
        lifter.placement().expect("begun").space().pages().clone()
    })
}

#[test]
fn every_page_is_what_the_kernel_says() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("kernel_rules") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("kernel_rules");
    let before = fallbacks();
    let (said, trace) = record(&folder, &mut Command::new(program));
    let no_huge_pages = fallbacks() > before;
    let [before_fork, in_the_end] = lifted(&trace);
    let rules: Vec<Vec<&str>> =
        said.out.lines().filter_map(|line| line.strip_prefix("rule ")).map(|line| line.split(' ').collect()).collect();
    assert_eq!(rules.len(), 37, "{}", said.out);
    for rule in rules {
        let [name, states, address] = rule[..] else { panic!("{rule:?}") };
        if no_huge_pages && name.starts_with("huge") {
            println!("skipped: {name}: the kernel had no huge page");
            continue;
        }
        let pages = if name == "fork_write" { &in_the_end } else { &before_fork };
        let first = Addr(address.parse().expect("an address")).0 / PAGE;
        let found: String = (first..).take(states.len()).map(|page| letter(pages.get(page))).collect();
        assert_eq!(found, states, "{name}");
    }
    let rows = replayed(&folder, Some("0"));
    let [measured, recorded] = ["measured", "recorded"].map(|policy| [rows[policy]["minor_faults"], rows[policy]["peak_rss_bytes"]]);
    assert_eq!(recorded, measured, "minor faults and peak RSS");
}

#[test]
fn what_mlockall_makes_resident_is_predicted() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("lock_all") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("lock_all");
    let (_, trace) = record(&folder, &mut Command::new(program));
    assert_eq!(trace.count("mlockall"), 2);
    let rows = replayed(&folder, Some("0"));
    let ran = rows.keys().find(|policy| policy.starts_with("glibc")).expect("the allocator's model");
    for policy in ["recorded", ran] {
        let [found, measured] = [policy, "measured"].map(|policy| rows[policy]["minor_faults"]);
        // Among 600 are those of all files: how many of their pages a fault maps is the page cache's business.
        assert!(found.abs_diff(measured) <= 4, "{policy}: {found} minor faults, measured {measured}");
        assert_eq!(rows[policy]["peak_rss_bytes"], rows["measured"]["peak_rss_bytes"], "{policy}: peak RSS");
    }
}
