//! What a machine told on its console, compared with what the programs do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Program;

/// What came of one kernel.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) kernel: String,
    /// Features that it lacks.
    pub(super) absent: Vec<String>,
    /// Calls that the programs make, and how many of them were recorded.
    pub(super) calls: (u64, u64),
    pub(super) lost: u64,
    /// Largest difference of the replayed peak from the kernel's, %.
    pub(super) peak_error: f64,
    /// What is wrong.
    pub(super) wrong: Vec<String>,
}

/// One program's part of the console.
#[derive(Default)]
struct Run {
    statuses: BTreeMap<String, String>,
    counts: BTreeMap<String, u64>,
    lost: u64,
    peaks: BTreeMap<String, f64>,
}

/// Reads the console.
pub(super) fn read(console: &str, programs: &[Program]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    let (mut program, mut ended) = (String::new(), false);
    for (word, rest) in console.lines().filter_map(|line| line.trim_end().split_once('\t')) {
        let run = runs.entry(program.clone()).or_default();
        match word {
            "kernel" => outcome.kernel = rest.to_owned(),
            "doctor" if rest != "0" => outcome.wrong.push(format!("doctor ends with {rest}")),
            "finding" => outcome.absent.extend(absent(rest)),
            "program" => program = rest.to_owned(),
            "recorded" | "replayed" => _ = run.statuses.insert(word.to_owned(), rest.to_owned()),
            "process" => run.add(rest),
            "summary" => run.peaks.extend(peak(rest)),
            "end" => ended = true,
            _ => {}
        }
    }
    if !ended {
        outcome.wrong.push("the machine did not come to the end".to_owned());
    }
    for program in programs {
        outcome.judge(program, &runs.remove(program.name).unwrap_or_default());
    }
    outcome
}

/// `– attach cookies         absent: …`
fn absent(finding: &str) -> Option<String> {
    let name = finding.strip_prefix('–')?.split("  ").next()?;
    Some(name.trim().to_owned())
}

/// Policy and peak of a row of the summary: its first and third column.
fn peak(row: &str) -> Option<(String, f64)> {
    let columns: Vec<&str> = row.split(',').collect();
    Some((columns.first()?.to_string(), columns.get(2)?.parse().ok()?))
}

impl Run {
    fn add(&mut self, process: &str) {
        let study: Value = serde_json::from_str(process).unwrap_or_default();
        let counts = |name: &str| study["recording"][name].as_array().cloned().unwrap_or_default();
        for count in counts("events") {
            let name = count["name"].as_str().unwrap_or_default().to_owned();
            *self.counts.entry(name).or_default() += count["count"].as_u64().unwrap_or(0);
        }
        // The recorder counts losses for the whole recording, not for each process.
        self.lost = self.lost.max(counts("lost").iter().filter_map(|count| count["count"].as_u64()).sum());
    }
}

impl Outcome {
    fn judge(&mut self, program: &Program, run: &Run) {
        let name = program.name;
        for step in ["recorded", "replayed"] {
            match run.statuses.get(step).map(String::as_str) {
                Some("0") => {}
                status => self.wrong.push(format!("{name}: {step} with status {}", status.unwrap_or("none"))),
            }
        }
        for (kind, expected) in program.calls {
            let found = run.counts.get(*kind).copied().unwrap_or(0);
            self.calls = (self.calls.0 + expected, self.calls.1 + found);
            if found != *expected {
                self.wrong.push(format!("{name}: {found} calls of {kind}, and it makes {expected}"));
            }
        }
        self.lost += run.lost;
        if run.lost > 0 {
            self.wrong.push(format!("{name}: {} events lost", run.lost));
        }
        match (run.peaks.get("measured"), run.peaks.get("recorded")) {
            (Some(measured), Some(recorded)) => self.peak_error = self.peak_error.max(100.0 * (recorded - measured).abs() / measured),
            _ => self.wrong.push(format!("{name}: no peaks")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAMS: &[Program] = &[Program { name: "some", arguments: "", calls: &[("malloc", 60)] }];
    const CONSOLE: &str = "\x1b[2J\r\nkernel\t5.10.0\r\ndoctor\t0\r\nfinding\t– attach cookies         absent: why\r\nprogram\tsome\r\nrecorded\t0\r\n\
        process\t{\"recording\": {\"events\": [{\"name\": \"malloc\", \"count\": 20}], \"lost\": []}}\r\n\
        process\t{\"recording\": {\"events\": [{\"name\": \"malloc\", \"count\": 40}], \"lost\": []}}\r\nreplayed\t0\r\n\
        summary\tmeasured,measured,1000\r\nsummary\trecorded,simulated,990\r\nend\tnow\r\n";

    #[test]
    fn a_console_is_read() {
        let outcome = read(CONSOLE, PROGRAMS);
        assert_eq!((outcome.kernel.as_str(), outcome.calls, outcome.lost), ("5.10.0", (60, 60), 0));
        assert_eq!((outcome.absent, outcome.peak_error, outcome.wrong), (vec!["attach cookies".to_owned()], 1.0, Vec::<String>::new()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let lost = CONSOLE.replace("40}], \"lost\": []", "39}], \"lost\": [{\"name\": \"malloc\", \"count\": 1}]");
        assert_eq!(read(&lost, PROGRAMS).wrong, ["some: 59 calls of malloc, and it makes 60", "some: 1 events lost"]);
        assert_eq!(read(&CONSOLE.replace("doctor\t0", "doctor\t4"), PROGRAMS).wrong, ["doctor ends with 4"]);
        assert_eq!(read("", PROGRAMS).wrong.len(), 5);
    }
}
