//! A program recorded once under glibc: models of other allocators and their real libraries on its requests, against the program really run with them.

use std::path::Path;

use super::placements::ALLOCATIONS;
use super::recording::{Lab, Report, by_library, error, mib, percent};
use super::subjects::{self, Subject};
use crate::command;

const HEADING: &str = "## What if: another allocator, by its model and by its real library

Each program is recorded under glibc, the recording is given to `heapcast measure --paced` with the policies jemalloc, mimalloc and tcmalloc, which drives
the models and the real libraries with the same requests and touches in the recorded time, and then the program is really run with `LD_PRELOAD` of each library,
twice: under `heapcast record --events vm`, which does not see its calls of malloc and slows it down by next to nothing, so that what a library does by the
clock happens when it would.
Under glibc, libc itself is preloaded, from a path as long as the others: so the environment takes the same room, and redis-server, which
is linked with jemalloc here, runs on glibc as well. Each program ran once before, so that its files are in the page cache: faults that read
files from the disk are major ones, which later runs have as minor ones. Errors are relative to
the first real run; *again* is the second. Two more runs of each are recorded with all calls, for the reasons and for the second table.

Where an error is beyond the goal of the median, the last column says why, for the model (m) and the library (l):

- *runs differ*: so do the two real runs, beyond the goal.
- *by the clock*: a real run replayed from its own recording is as far off, though with its recorded addresses it is not: so it is what the library
  gives back at which time, or chooses at random.
- *model*: the real library on the same requests and touches meets the goal.
- *library*: the model meets the goal on the same requests and touches.
- *use unseen*: the real value lies between the model's lowest and highest reading: blocks lay on pages that were resident already under glibc, where no
  fault shows how much of them is used.
- *asked otherwise*: the program made over 1 % more or fewer requests. redis-server lets a string grow into all that `malloc_usable_size` says, which
  is less under glibc: it calls realloc several times as often there.
- *not the heap*: the model and the library are off to the same side, and the model of the real run's own recording is not. What is left are pages
  outside the heap, such as those of libc that the library uses and the program has not used before.
- *other speed* (time-averaged RSS alone): on the clock of the recording under glibc the goal is met.

| program | library | peak RSS glibc | really | again | model | library | minor faults glibc | really | again | model | library | missed because |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

const SECOND: &str = "### Time-averaged RSS

The mean of the RSS, weighted by time, over the whole run, of runs with all calls recorded. How long a program takes for its phases depends on the allocator's
speed, on what recording costs each call and on what else the machine does: none of the three is predicted, and a run of which half the time goes by after
the peak has another mean than one of which a third does. So each mean stands here twice: each run's on its own clock, and then all on one clock, that of the recording under glibc:
the RSS of a real run, averaged from each request for memory to the next, is weighted by the time that passed between the same two requests in that
recording (`profiler/examples/on_clock.rs`). Where the real run made more requests or fewer, those of the same share are taken as the same.

| program | library | mean RSS glibc | really | again | model | library | on one clock: really | again | model | library | missed because |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Policies, and the files of their libraries.
const LIBRARIES: [(&str, &str); 3] =
    [("jemalloc", "libjemalloc.so.2"), ("mimalloc", "libmimalloc.so.2"), ("tcmalloc", "libtcmalloc_minimal.so.4")];
const LIBC: &str = "libc.so.6";

/// A column of `summary.csv`, how it is shown, and the goals: relative errors, the median's and the worst, where there is one.
struct Goal {
    column: &'static str,
    title: &'static str,
    show: fn(u64) -> String,
    median: f64,
    worst: Option<f64>,
    /// Compared on the clock of the recording.
    on_one_clock: bool,
}

const GOALS: [Goal; 4] = [
    Goal { column: "peak_rss_bytes", title: "peak RSS", show: mib, median: 0.02, worst: Some(0.06), on_one_clock: false },
    Goal {
        column: "minor_faults",
        title: "minor faults",
        show: |count| count.to_string(),
        median: 0.03,
        worst: Some(0.10),
        on_one_clock: false,
    },
    Goal { column: MEAN, title: "mean RSS", show: mib, median: 0.04, worst: None, on_one_clock: false },
    Goal { column: MEAN, title: "mean RSS on one clock", show: mib, median: 0.04, worst: None, on_one_clock: true },
];
const MEAN: &str = "mean_rss_bytes";
/// How many of the goals the first table shows; the second shows the others.
const FIRST: usize = 2;

/// A program under one library: what was predicted from the recording under glibc, and two runs of what it really did.
struct Row<'a> {
    program: &'static str,
    policy: &'static str,
    predicted: &'a Report,
    /// At the program's own speed.
    fast: [Report; 2],
    /// With all calls recorded.
    slow: [Report; 2],
    /// The mean RSS of these runs on the clock of the recording.
    on_one_clock: [u64; 2],
}

/// Relative to the first real run: the second one, the model and the library.
#[derive(Clone, Copy)]
struct Errors([f64; 3]);

/// The tables, and the medians under them.
pub(super) fn table(lab: &Lab) -> Result<String, String> {
    let mut lines = [String::new(), String::new()];
    let mut errors = GOALS.map(|_| Vec::new());
    for subject in subjects::of_the_libraries(&lab.folder)? {
        rows(lab, &subject, &mut lines, &mut errors)?;
    }
    let summaries: String = GOALS.iter().zip(&errors).map(|(goal, errors)| summary(goal, errors)).collect();
    let [first, second] = lines;
    Ok(format!("{HEADING}{first}\n{SECOND}{second}\n| | error of | median | goal | worst | goal |\n|---|---|---|---|---|---|\n{summaries}"))
}

fn rows(lab: &Lab, subject: &Subject, lines: &mut [String; 2], errors: &mut [Vec<Errors>; GOALS.len()]) -> Result<(), String> {
    let policies = LIBRARIES.map(|(policy, _)| policy.to_owned());
    let plain = preloaded(subject, LIBC)?;
    // The first run brings files into the page cache.
    lab.record(&plain, "libc", &[])?;
    let trace = lab.record(&plain, "libc", &[])?;
    let predicted = lab.measure(&plain, &trace, &policies)?;
    for (policy, file) in LIBRARIES {
        let subject = preloaded(subject, file)?;
        let fast = || lab.replay(&subject, &lab.record_fast(&subject, policy)?, &[]);
        let slow = || {
            let real = lab.record(&subject, policy, &[])?;
            let report = lab.replay(&subject, &real, &[])?;
            let mean = lab.mean_on_clock((&trace, &predicted), (&real, &report))?;
            Ok::<_, String>((report, mean))
        };
        let (fast, [one, other]) = ([fast()?, fast()?], [slow()?, slow()?]);
        let (slow, on_one_clock) = ([one.0, other.0], [one.1, other.1]);
        let row = Row { program: subject.name, policy, predicted: &predicted, fast, slow, on_one_clock };
        let found: Vec<Errors> = GOALS.iter().map(|goal| row.errors(goal)).collect::<Result<_, _>>()?;
        let (first, second) = GOALS.split_at(FIRST);
        lines[0] += &row.line(first)?;
        lines[1] += &row.line(second)?;
        errors.iter_mut().zip(found).for_each(|(errors, found)| errors.push(found));
    }
    Ok(())
}

impl Row<'_> {
    fn line(&self, goals: &[Goal]) -> Result<String, String> {
        let mut cells = format!("| {} | {} ", self.program, self.policy);
        let mut reasons = Vec::new();
        for goal in goals {
            let found = self.errors(goal)?;
            if !goal.on_one_clock {
                cells += &format!("| {} ", (goal.show)(self.predicted.cell("measured", goal.column)?));
            }
            cells += &format!("| {} | {} ", (goal.show)(self.truth(goal)?), found.0.map(percent).join(" | "));
            reasons.extend(self.reasons(goal, found)?);
        }
        Ok(format!("{cells}| {} |\n", reasons.join(", ")))
    }

    fn truth(&self, goal: &Goal) -> Result<u64, String> {
        self.real(goal, 0)
    }

    /// What a run really did. Means are of runs that recording slowed down as much as the one that is predicted from.
    fn real(&self, goal: &Goal, run: usize) -> Result<u64, String> {
        let runs = if goal.column == MEAN { &self.slow } else { &self.fast };
        if goal.on_one_clock { Ok(self.on_one_clock[run]) } else { runs[run].cell("measured", goal.column) }
    }

    fn errors(&self, goal: &Goal) -> Result<Errors, String> {
        let again = self.real(goal, 1)?;
        let model = self.predicted.cell(self.policy, goal.column)?;
        let library = self.predicted.cell(&by_library(self.policy), goal.column)?;
        let truth = self.truth(goal)?;
        Ok(Errors([again, model, library].map(|found| error(found, truth))))
    }

    /// Why the model's and the library's value miss a goal.
    fn reasons(&self, goal: &Goal, found: Errors) -> Result<Vec<String>, String> {
        let why = self.causes(goal, found)?;
        let Errors([_, model, library]) = found;
        let reason = |(mark, error, of_model): (&str, f64, bool)| {
            (error.abs() > goal.median).then(|| format!("{} ({mark}): {}", goal.title, why[usize::from(!of_model)]))
        };
        Ok([("m", model, true), ("l", library, false)].into_iter().filter_map(reason).collect())
    }

    /// What would explain a miss of the model's value, and of the library's.
    fn causes(&self, goal: &Goal, Errors([again, model, library]): Errors) -> Result<[&'static str; 2], String> {
        let missed = |error: f64| error.abs() > goal.median;
        let real = &self.slow[0];
        let of_real = |policy: &str| Ok::<_, String>(error(real.cell(policy, goal.column)?, real.cell("measured", goal.column)?));
        let (own, recorded) = (of_real(real.ran()?)?, of_real("recorded")?);
        let apart = (model - library).abs() > goal.median / 2.0;
        let truth = self.truth(goal)?;
        let one_clock = if goal.column == MEAN { Some(self.errors(&GOALS[GOALS.len() - 1])?.0) } else { None };
        let why = |which: usize| {
            if !goal.on_one_clock && one_clock.is_some_and(|errors| !missed(errors[which + 1])) {
                "other speed"
            } else if missed(again) {
                "runs differ"
            } else if missed(own) && !missed(recorded) {
                "by the clock"
            } else if apart && !(missed(model) && missed(library)) {
                ["model", "library"][which]
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
        Ok([why(0), why(1)])
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
        let shown = |share: f64| format!("{:.2} %", share * 100.0);
        let cells = [shown(median), shown(goal.median), shown(worst), goal.worst.map_or(String::new(), shown)].join(" | ");
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
