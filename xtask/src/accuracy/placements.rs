//! The model of the allocator that ran against the recording: is every block where it really was?

use std::path::Path;

use super::recording::{Lab, error, mib, percent, slashed};
use super::subjects::{self, Subject};

const HEADING: &str = "## The model of the allocator that ran: its blocks against the recorded ones

A placement is equal when a block lies as far from the start of its region (heap, arena, mapping) as it really did. Calls are
brk/mmap/munmap/mremap/madvise of the whole process. What a further arena costs in munmap (none, one or two calls) depends on where the kernel
puts it, between thread stacks that are not simulated.

| program | threads | allocations | placements equal | calls recorded | replayed | peak RSS measured | error | minor faults measured | error |
|---|---|---|---|---|---|---|---|---|---|
";

/// Requests for memory, by their names in the recording's facts.
pub(super) const ALLOCATIONS: [&str; 7] = ["malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc", "valloc"];

type Subjects = fn(&Path) -> Result<Vec<Subject>, String>;

/// The table, and under it what is known of blocks that lie elsewhere.
pub(super) fn table(lab: &Lab) -> Result<String, String> {
    let mut text = HEADING.to_owned();
    let mut differences = String::new();
    let groups: [(&str, Subjects); 2] = [("one", subjects::with_one_thread), ("several", subjects::with_threads)];
    for (threads, group) in groups {
        for subject in group(&lab.folder)? {
            let (row, difference) = row(lab, &subject, threads)?;
            text += &row;
            differences += &difference;
        }
    }
    if !differences.is_empty() {
        text += "\nWhere blocks lie elsewhere:\n\n";
        text += &differences;
    }
    Ok(text)
}

fn row(lab: &Lab, subject: &Subject, threads: &str) -> Result<(String, String), String> {
    let report = lab.replay(subject, &lab.record(subject, "trace", &[])?, &[])?;
    let ran = report.ran()?;
    let allocations = report.count("events", |name| ALLOCATIONS.contains(&name));
    let placements = match report.fidelity("placements")[1] {
        Some(1.0) => "100 %".to_owned(),
        // Nearly all is not all.
        Some(share) => format!("{:.3} %", (share * 1e5).floor() / 1e3),
        None => format!("no model of {ran}"),
    };
    let (peak, faults) = (report.cell("measured", "peak_rss_bytes")?, report.cell("measured", "minor_faults")?);
    let of_peak = percent(error(report.cell(ran, "peak_rss_bytes")?, peak));
    let of_faults = percent(error(report.cell(ran, "minor_faults")?, faults));
    let calls = [slashed(&report.calls("recorded")?), slashed(&report.calls(ran)?)].join(" | ");
    let cells = format!("{allocations} | {placements} | {calls} | {} | {of_peak} | {faults} | {of_faults}", mib(peak));
    let sentences = report.study["explanation"].as_array().into_iter().flatten().filter_map(|sentence| sentence.as_str());
    let sentences: Vec<&str> = sentences.collect();
    let difference = if sentences.is_empty() { String::new() } else { format!("- {}: {}\n", subject.name, sentences.join(" ")) };
    Ok((format!("| {} | {threads} | {cells} |\n", subject.name), difference))
}
