//! What a study says, in sentences: how far to trust it, what was lost, which policy does best.

use crate::study::{CallSite, KindCount, PolicyResult, Study};
use crate::words;

/// Errors up to these shares of the kernel's figure count as agreement.
const PEAK_AGREES: f64 = 0.01;
const FAULTS_AGREE: f64 = 0.02;
/// Beyond this share the page model does not describe the program.
const FAR_OFF: f64 = 0.10;

/// A figure of the kernel beside that of the replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Check {
    /// What the kernel counted.
    pub measured: u64,
    /// What the replay of the recorded placements gives.
    pub replayed: u64,
    /// (replayed − measured) / measured.
    pub error: f64,
}

impl Check {
    fn of(measured: Option<u64>, replayed: Option<u64>) -> Option<Self> {
        let (measured, replayed) = (measured?, replayed?);
        let difference = replayed as f64 - measured as f64;
        let error = if difference == 0.0 { 0.0 } else { difference / measured as f64 };
        error.is_finite().then_some(Check { measured, replayed, error })
    }
}

/// How the self-check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// The replay lands on the kernel's figures.
    Agrees,
    /// It is off by a share that the reader must keep in mind.
    Off,
    /// The page model does not describe this program.
    FarOff,
    /// Nothing to compare.
    Unknown,
}

/// The model of the allocator that really ran, or the recorded placements where there is none, against what the kernel measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SelfCheck {
    /// Peak resident set, bytes.
    pub peak: Option<Check>,
    /// Time-weighted mean of the resident set, bytes.
    pub mean: Option<Check>,
    /// Minor faults.
    pub faults: Option<Check>,
    /// How far the recorded placements' peak is off, which is the page model's part of the error.
    pub page_model: Option<f64>,
    /// Whether a model was checked, and not the recorded placements.
    pub of_model: bool,
    /// Share of the model's blocks that lie where the recorded ones lay.
    pub placements: Option<f64>,
}

impl SelfCheck {
    /// Compares the row `measured` with that of the checked policy.
    pub fn of(study: &Study) -> Self {
        let (measured, recorded) = (row(study, "measured"), row(study, checked(study)));
        let check = |get: fn(&PolicyResult) -> Option<u64>| Check::of(measured.and_then(get), recorded.and_then(get));
        let placements = study.fidelity.iter().find(|row| row.metric == "placements").and_then(|row| row.replayed);
        let page_model = Check::of(measured.and_then(|row| row.peak_rss_bytes), row(study, RECORDED).and_then(|row| row.peak_rss_bytes));
        SelfCheck {
            peak: check(|p| p.peak_rss_bytes),
            mean: check(|p| p.mean_rss_bytes),
            faults: check(|p| p.minor_faults),
            page_model: page_model.map(|check| check.error),
            of_model: checked(study) != RECORDED,
            placements,
        }
    }

    /// How it came out; the worse of memory and faults.
    pub fn grade(&self) -> Grade {
        let Some(peak) = self.peak else { return Grade::Unknown };
        match () {
            () if self.memory_is_far_off() || self.faults_are_far_off() => Grade::FarOff,
            () if peak.error.abs() <= PEAK_AGREES && self.faults_margin() <= FAULTS_AGREE => Grade::Agrees,
            () => Grade::Off,
        }
    }

    /// Nothing can be said of the resident set: its peak or its mean is not the kernel's.
    pub fn memory_is_far_off(&self) -> bool {
        [self.peak, self.mean].iter().flatten().any(|check| check.error.abs() > FAR_OFF)
    }

    /// Nothing can be said of page faults.
    pub fn faults_are_far_off(&self) -> bool {
        self.faults_margin() > FAR_OFF
    }

    /// Peaks that differ by less than this share are a tie.
    pub fn peak_margin(&self) -> f64 {
        self.peak.map_or(0.0, |check| check.error.abs())
    }

    /// Fault counts that differ by less than this share are a tie.
    pub fn faults_margin(&self) -> f64 {
        self.faults.map_or(0.0, |check| check.error.abs())
    }

    /// The outcome in a few words.
    pub fn headline(&self) -> &'static str {
        match self.grade() {
            Grade::Agrees => "The replay agrees with the kernel",
            Grade::Off => "The replay is somewhat off",
            Grade::FarOff if !self.memory_is_far_off() => "The replay's page faults are far off: do not rely on them",
            Grade::FarOff if !self.faults_are_far_off() => "The replay's memory is far off: do not rely on it",
            Grade::FarOff => "The replay is far off: do not rely on these numbers",
            Grade::Unknown => "No self-check: there is nothing to compare",
        }
    }

    /// The outcome with its figures.
    pub fn sentence(&self) -> String {
        let Some(peak) = self.peak else {
            return "The kernel's peak RSS or the replay of the recording is unknown, so how far these numbers can be trusted is unknown, too.".into();
        };
        let mut out = format!(
            "{} a peak RSS of {}; the kernel measured {} ({})",
            self.subject(),
            words::bytes(peak.replayed),
            words::bytes(peak.measured),
            words::percent(peak.error)
        );
        match self.faults {
            Some(faults) => out.push_str(&format!(
                ". Minor faults: {} replayed, {} measured ({}).",
                words::count(faults.replayed),
                words::count(faults.measured),
                words::percent(faults.error)
            )),
            None => out.push_str(". How the minor faults compare is unknown."),
        }
        out.push_str(&self.advice());
        out
    }

    fn subject(&self) -> String {
        match (self.of_model, self.placements) {
            (false, _) => "The recorded placements, replayed through the page model, reach".into(),
            (true, None) => "The model of the allocator that ran reaches".into(),
            (true, Some(1.0)) => "The model of the allocator that ran puts every block where it was recorded, and reaches".into(),
            (true, Some(share)) => {
                format!(
                    "The model of the allocator that ran puts {} of the blocks where they were recorded, and reaches",
                    words::share(share)
                )
            }
        }
    }

    fn advice(&self) -> String {
        match (self.grade(), self.page_model) {
            (Grade::Agrees | Grade::Unknown, _) => String::new(),
            (Grade::Off, _) => " Policies that differ by less than that are a tie.".into(),
            (Grade::FarOff, Some(error)) if self.of_model && error.abs() <= PEAK_AGREES => format!(
                " The pages themselves are understood (the recorded placements are {} off), the allocator is not: it does something that its model does not know.",
                words::percent(error)
            ),
            (Grade::FarOff, _) => " The page model does not describe this program: look at the losses and notes first.".into(),
        }
    }
}

/// The policy of the recorded placements.
const RECORDED: &str = "recorded";

/// The name of the policy that stands for the allocator that really ran.
pub fn checked(study: &Study) -> &str {
    if study.checked.is_empty() { RECORDED } else { &study.checked }
}

/// Whether a row says what happened, as far as it is known: its difference to the measurement is the self-check's error, and not a tie.
pub fn is_truth(study: &Study, row: &PolicyResult) -> bool {
    ["measured", RECORDED, checked(study)].contains(&row.policy.as_str())
}

/// Whether a model is a bound for comparison, or a what-if: nobody can have it.
pub fn is_bound(study: &Study, row: &PolicyResult) -> bool {
    row.source == "simulated" && row.paste.is_none() && !is_truth(study, row)
}

/// The row that others are compared with: what the kernel measured, or the replay of the recorded placements where that is unknown.
pub fn baseline(study: &Study) -> Option<&PolicyResult> {
    ["measured", "recorded"].iter().filter_map(|name| row(study, name)).find(|policy| policy.peak_rss_bytes.is_some())
}

/// The first row of that policy.
pub fn row<'a>(study: &'a Study, policy: &str) -> Option<&'a PolicyResult> {
    study.policies.iter().find(|row| row.policy == policy)
}

/// What a row is called where a model and its library may both stand.
pub fn name(row: &PolicyResult) -> String {
    let library = if row.source == "replayed" { " (real library)" } else { "" };
    format!("{}{library}", row.policy)
}

/// The row of the real library for the row of its model, where both are there.
pub fn library<'a>(study: &'a Study, model: &PolicyResult) -> Option<&'a PolicyResult> {
    let is_library = |row: &&PolicyResult| row.source == "replayed" && row.policy == model.policy;
    (model.source == "simulated").then(|| study.policies.iter().find(is_library)).flatten()
}

/// A model against its library: the differences of peak and minor faults, in words.
pub fn against_library(study: &Study, model: &PolicyResult) -> Option<String> {
    let library = library(study, model)?;
    let share = |get: fn(&PolicyResult) -> Option<u64>| difference(get(model), get(library)).map_or(words::UNKNOWN.into(), words::percent);
    Some(format!("peak {}, faults {}", share(|row| row.peak_rss_bytes), share(|row| row.minor_faults)))
}

/// (value − base) / base, where that is a number.
pub fn difference(value: Option<u64>, base: Option<u64>) -> Option<f64> {
    Check::of(base, value).map(|check| check.error)
}

/// What was lost while recording, as one sentence; `None` if nothing was.
pub fn losses(study: &Study) -> Option<String> {
    let lost = &study.recording.lost;
    let total = total(lost);
    (total > 0).then(|| {
        format!(
            "{} lost while recording ({}): whatever they did is missing from the numbers below.",
            words::plural(total, "event was", "events were"),
            listed(lost)
        )
    })
}

/// Sum of counts.
pub fn total(counts: &[KindCount]) -> u64 {
    counts.iter().fold(0, |sum, kind| sum.saturating_add(kind.count))
}

fn listed(counts: &[KindCount]) -> String {
    let shown: Vec<_> =
        counts.iter().filter(|kind| kind.count > 0).map(|kind| format!("{} {}", words::count(kind.count), kind.name)).collect();
    shown.join(", ")
}

/// Calls into the kernel for memory; `None` if any part is unknown.
pub fn syscalls(policy: &PolicyResult) -> Option<u64> {
    let parts = [policy.brk_calls, policy.mmap_calls, policy.munmap_calls, policy.mremap_calls, policy.madvise_calls];
    parts.into_iter().sum()
}

/// What was recorded: the program's name for people, as its command line has it; a server may have put other words behind it. The command of a
/// launched tree names the process that it started, not its children.
pub fn program(study: &Study) -> &str {
    let recording = &study.recording;
    let started = recording.processes.first().is_none_or(|process| process.selected) || recording.exe.is_empty();
    let named = recording.command.first().filter(|word| started && !word.is_empty() && !word.starts_with("pid "));
    let path = named.unwrap_or(&recording.exe);
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path);
    let name = if recording.mode == "attached" { name.split_whitespace().next().unwrap_or(name).trim_end_matches(':') } else { name };
    if name.is_empty() { "unknown program" } else { name }
}

/// The function that called the allocator at a place.
pub fn function<'a>(study: &'a Study, site: &CallSite) -> &'a str {
    site.stack.first().and_then(|&name| study.frames.get(name as usize)).map_or("unknown", String::as_str)
}

/// The stack of a place, outermost first, with semicolons between; those inside of names become commas.
pub fn folded(study: &Study, site: &CallSite) -> String {
    let names = site.stack.iter().rev().filter_map(|&name| study.frames.get(name as usize)).map(|name| name.replace(';', ","));
    let names: Vec<String> = names.collect();
    if names.is_empty() { "unknown".into() } else { names.join(";") }
}

/// What the kernel's work for memory took under a policy, ns: counts times what each piece of work cost on the recorded machine. `None` where that was not
/// measured. A fault of a huge page takes longer than this knows.
pub fn kernel_time(study: &Study, row: &PolicyResult) -> Option<u64> {
    kernel_work(study, row).map(|parts| parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part)))
}

/// The same by kind, ns: page faults, system calls, pages given back.
pub fn kernel_work(study: &Study, row: &PolicyResult) -> Option<[u64; 3]> {
    const PAGE: u64 = 4096;
    let costs = study.recording.unit_costs?;
    let calls = [
        (row.brk_calls? + row.mremap_calls?, costs.grow_ns),
        (row.mmap_calls?, costs.mmap_ns),
        (row.munmap_calls?, costs.munmap_ns),
        (row.madvise_calls?, costs.madvise_ns),
    ];
    let calls = calls.iter().fold(0, |sum: u64, (count, cost)| sum.saturating_add(count.saturating_mul(*cost)));
    let returned = row.returned_bytes.unwrap_or(0) / PAGE;
    Some([row.minor_faults?.saturating_mul(costs.fault_ns), calls, returned.saturating_mul(costs.return_ns)])
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
