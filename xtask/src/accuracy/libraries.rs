//! A program recorded once under glibc: models of other allocators and their real libraries on its requests, against the program really run with them.

use std::path::Path;

use super::placements::ALLOCATIONS;
use super::recording::{Lab, Report, by_library, error, mib, percent};
use super::subjects::{self, Subject};
use crate::command;

const HEADING: &str = "## What if: another allocator, by its model and by its real library

Each program is recorded under glibc, the recording is given to `heapcast measure --policy jemalloc --policy mimalloc --policy tcmalloc`, which drives the
models and the real libraries with the same requests and touches, and then the program is really run and recorded with `LD_PRELOAD` of each library, twice.
Under glibc, libc itself is preloaded, from a path as long as the others: so the environment takes the same room, and redis-server, which
is linked with jemalloc here, runs on glibc as well. Each program ran once before, so that its files are in the page cache: faults that read
files from the disk are major ones, which later runs have as minor ones. Errors are relative to
the first real run; *again* is the second. Time-averaged RSS is not compared here. Real runs are recorded ones, so that what a library does by the clock has
the time of a program that probes slow down; models have the program's own.

Where an error is beyond the goal of the median, the last column says why, for the model (m) and the library (l):

- *runs differ*: so do the two real runs, beyond the goal.
- *by the clock*: the real run replayed from its own recording is as far off, though with its recorded addresses it is not: so it is what the library
  gives back at which time, or chooses at random.
- *model*: the real library on the same requests and touches meets the goal.
- *library*: the model meets the goal on the same requests and touches.
- *use unseen*: the real value lies between the model's lowest and highest reading: blocks lay on pages that were resident already under glibc, where no
  fault shows how much of them is used.
- *asked otherwise*: the program made over 1 % more or fewer requests. redis-server lets a string grow into all that `malloc_usable_size` says, which
  is less under glibc: it calls realloc several times as often there.
- *not the heap*: the model and the library are off to the same side, and the model of the real run's own recording is not. What is left are pages
  outside the heap: how many pages of libstdc++, libm and libgcc_s, which jemalloc and tcmalloc need, are new to a program depends on what it has of
  them anyway, and one value is taken for all programs.

| program | library | peak RSS glibc | really | again | model | library | minor faults glibc | really | again | model | library | missed because |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
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

/// Relative to the first real run: the second one, the model and the library.
#[derive(Clone, Copy)]
struct Errors([f64; 3]);

/// The table, and the medians under it.
pub(super) fn table(lab: &Lab) -> Result<String, String> {
    let mut text = HEADING.to_owned();
    let mut errors = [Vec::new(), Vec::new()];
    for subject in subjects::of_the_libraries(&lab.folder)? {
        text += &rows(lab, &subject, &mut errors)?;
    }
    text += "\n| | error of | median | goal | worst | goal |\n|---|---|---|---|---|---|\n";
    for (goal, errors) in GOALS.iter().zip(&errors) {
        text += &summary(goal, errors);
    }
    Ok(text)
}

fn rows(lab: &Lab, subject: &Subject, errors: &mut [Vec<Errors>; 2]) -> Result<String, String> {
    let policies = LIBRARIES.map(|(policy, _)| policy.to_owned());
    let plain = preloaded(subject, LIBC)?;
    // The first run brings files into the page cache.
    lab.record(&plain, "libc", &[])?;
    let predicted = lab.measure(&plain, &lab.record(&plain, "libc", &[])?, &policies)?;
    let mut text = String::new();
    for (policy, file) in LIBRARIES {
        let subject = preloaded(subject, file)?;
        let once = || lab.replay(&subject, &lab.record(&subject, policy, &[])?, &[]);
        let row = Row { program: subject.name, policy, predicted: &predicted, real: [once()?, once()?] };
        text += &row.line(errors)?;
    }
    Ok(text)
}

impl Row<'_> {
    fn line(&self, errors: &mut [Vec<Errors>; 2]) -> Result<String, String> {
        let mut cells = format!("| {} | {} ", self.program, self.policy);
        let mut reasons = Vec::new();
        for (goal, errors) in GOALS.iter().zip(errors) {
            let found = self.errors(goal)?;
            let (before, truth) = (self.predicted.cell("measured", goal.column)?, self.truth(goal)?);
            cells += &format!("| {} | {} | {} ", (goal.show)(before), (goal.show)(truth), found.0.map(percent).join(" | "));
            reasons.extend(self.reasons(goal, found)?);
            errors.push(found);
        }
        Ok(format!("{cells}| {} |\n", reasons.join(", ")))
    }

    fn truth(&self, goal: &Goal) -> Result<u64, String> {
        self.real[0].cell("measured", goal.column)
    }

    fn errors(&self, goal: &Goal) -> Result<Errors, String> {
        let again = self.real[1].cell("measured", goal.column)?;
        let model = self.predicted.cell(self.policy, goal.column)?;
        let library = self.predicted.cell(&by_library(self.policy), goal.column)?;
        let truth = self.truth(goal)?;
        Ok(Errors([again, model, library].map(|found| error(found, truth))))
    }

    /// Why the model's and the library's value miss a goal.
    fn reasons(&self, goal: &Goal, Errors([again, model, library]): Errors) -> Result<Vec<String>, String> {
        let missed = |error: f64| error.abs() > goal.median;
        let (real, truth) = (&self.real[0], self.truth(goal)?);
        let own = error(real.cell(real.ran()?, goal.column)?, truth);
        let recorded = error(real.cell("recorded", goal.column)?, truth);
        let apart = (model - library).abs() > goal.median / 2.0;
        let why = |of_model: bool| {
            if missed(again) {
                "runs differ"
            } else if missed(own) && !missed(recorded) {
                "by the clock"
            } else if apart && !(missed(model) && missed(library)) {
                if of_model { "model" } else { "library" }
            } else if error(requests(real), requests(self.predicted)).abs() > 0.01 {
                "asked otherwise"
            } else {
                let unseen = self.predicted.covers(self.policy, goal.column, truth);
                match (!missed(own) && model.signum() == library.signum(), unseen) {
                    (true, true) => "not the heap or use unseen",
                    (true, false) => "not the heap",
                    (false, true) => "use unseen",
                    (false, false) => "not known",
                }
            }
        };
        let reason = |(mark, error, of_model)| missed(error).then(|| format!("{} ({mark}): {}", goal.title, why(of_model)));
        Ok([("m", model, true), ("l", library, false)].into_iter().filter_map(reason).collect())
    }
}

/// How often a program asked for memory or gave it back.
fn requests(report: &Report) -> u64 {
    report.count("events", |name| name == "free" || ALLOCATIONS.contains(&name))
}

/// Median and worst of a column's errors, for the second run, the model and the library.
fn summary(goal: &Goal, errors: &[Errors]) -> String {
    let line = |(which, name): (usize, &str)| {
        let mut sizes: Vec<f64> = errors.iter().map(|Errors(found)| found[which].abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let (median, worst) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
        let cells = [median, goal.median, worst, goal.worst].map(|share| format!("{:.2} %", share * 100.0)).join(" | ");
        format!("| {} | {name} | {cells} |\n", goal.title)
    };
    ["a second run", "model", "library"].into_iter().enumerate().map(line).collect()
}

/// The subject with a library preloaded. Programs copy their environment into the heap and onto the stack: slashes make all of them equally long.
fn preloaded(subject: &Subject, file: &str) -> Result<Subject, String> {
    let path = command::output("gcc", &[&format!("-print-file-name={file}")]).ok_or("there is no gcc")?;
    let path = Path::new(path.trim()).canonicalize().map_err(|_| format!("there is no {file}; `cargo xtask setup` installs it"))?;
    let preload = ["env".to_owned(), format!("LD_PRELOAD={:/>80}", path.display().to_string())];
    Ok(Subject { command: [&preload, subject.command.as_slice()].concat(), ..subject.clone() })
}
