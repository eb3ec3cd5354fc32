//! A program recorded once under glibc: models of other allocators and their real libraries on its requests, against the program really run with them.

use super::recording::{Lab, Report, by_library, error, mib, percent};
use super::subjects::{self, Subject};
use crate::command;
use std::path::Path;

const HEADING: &str = "## What if: another allocator

";

/// Policies, and the files of their libraries.
const LIBRARIES: [(&str, &str); 3] =
    [("jemalloc", "libjemalloc.so.2"), ("mimalloc", "libmimalloc.so.2"), ("tcmalloc", "libtcmalloc_minimal.so.4")];
const LIBC: &str = "libc.so.6";

/// A column of `summary.csv`, how it is shown, and the goals: relative errors, the median's and the worst.
struct Goal {
    column: &'static str,
    title: &'static str,
    show: fn(u64) -> String,
    median: f64,
    worst: f64,
}

const GOALS: [Goal; 2] = [
    Goal { column: "peak_rss_bytes", title: "peak RSS", show: mib, median: 0.02, worst: 0.06 },
    Goal { column: "minor_faults", title: "minor faults", show: |count| count.to_string(), median: 0.03, worst: 0.10 },
];

/// A program under one library: what was predicted from the recording under glibc, and two runs of what it really did.
struct Row<'a> {
    program: &'static str,
    policy: &'static str,
    predicted: &'a Report,
    real: [Report; 2],
}

/// The table.
pub(super) fn table(lab: &Lab) -> Result<String, String> {
    let mut text = HEADING.to_owned();
    for subject in subjects::of_the_libraries(&lab.folder)? {
        text += &rows(lab, &subject)?;
    }
    Ok(text)
}

fn rows(lab: &Lab, subject: &Subject) -> Result<String, String> {
    let policies = LIBRARIES.map(|(policy, _)| policy.to_owned());
    let mut text = String::new();
    // The first run brings files into the page cache.
    lab.record(&preloaded(subject, LIBC)?, "libc", &[])?;
    let predicted = lab.measure(subject, &lab.record(&preloaded(subject, LIBC)?, "libc", &[])?, &policies)?;
    for (policy, file) in LIBRARIES {
        let subject = preloaded(subject, file)?;
        let once = || lab.replay(&subject, &lab.record(&subject, policy, &[])?, &[]);
        let row = Row { program: subject.name, policy, predicted: &predicted, real: [once()?, once()?] };
        let c = row.cells()?; eprint!("{c}"); text += &c;
    }
    Ok(text)
}

impl Row<'_> {
    fn cells(&self) -> Result<String, String> {
        let mut cells = format!("| {} | {} ", self.program, self.policy);
        let [real, again] = &self.real;
        for Goal { column, show, .. } in GOALS {
            let truth = real.cell("measured", column)?;
            let [again, model, library] = [
                again.cell("measured", column)?,
                self.predicted.cell(self.policy, column)?,
                self.predicted.cell(&by_library(self.policy), column)?,
            ];
            let before = self.predicted.cell("measured", column)?;
            cells += &format!("| {} | {} | ", show(before), show(truth));
            cells += &[again, model, library].map(|found| percent(error(found, truth))).join(" | ");
            let own = error(real.cell(real.ran()?, column)?, truth);
            let rec = error(real.cell("recorded", column)?, truth);
            cells += &format!(" | own {} rec {} ", percent(own), percent(rec));
        }
        let majors: Vec<u64> = [self.predicted, real, &self.real[1]].iter().map(|r| r.cell("measured", "major_faults").unwrap_or(9999)).collect();
        let asks = [self.predicted, real, &self.real[1]].map(|r| r.count("events", |n| !matches!(n, "fault" | "rss" | "mmap" | "munmap" | "brk" | "madvise" | "mprotect" | "mapped" | "resident" | "start" | "end")));
        Ok(format!("{cells}| {majors:?} {asks:?} {:?} {}|\n", real.fidelity("placements")[1], real.study["recording"]["duration_ns"].as_u64().unwrap_or_default() / 1_000_000))
    }
}

/// The subject with a library preloaded. Programs copy their environment into the heap and onto the stack: slashes make all of them equally long.
fn preloaded(subject: &Subject, file: &str) -> Result<Subject, String> {
    let path = command::output("gcc", &[&format!("-print-file-name={file}")]).ok_or("there is no gcc")?;
    let path = Path::new(path.trim()).canonicalize().map_err(|_| format!("there is no {file}; `cargo xtask setup` installs it"))?;
    let preload = ["env".to_owned(), format!("LD_PRELOAD={:/>64}", path.display().to_string())];
    Ok(Subject { command: [&preload, subject.command.as_slice()].concat(), ..subject.clone() })
}
