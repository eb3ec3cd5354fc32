//! What a study says, in sentences: how far to trust it, what was lost, which policy does best.

use crate::study::{KindCount, PolicyResult, Study};
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
    /// Minor faults.
    pub faults: Option<Check>,
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
        SelfCheck { peak: check(|p| p.peak_rss_bytes), faults: check(|p| p.minor_faults), of_model: checked(study) != RECORDED, placements }
    }

    /// How it came out; the worse of the two.
    pub fn grade(&self) -> Grade {
        let Some(peak) = self.peak else { return Grade::Unknown };
        let faults = self.faults.map_or(0.0, |faults| faults.error.abs());
        let worst = peak.error.abs().max(faults);
        match () {
            () if peak.error.abs() <= PEAK_AGREES && faults <= FAULTS_AGREE => Grade::Agrees,
            () if worst <= FAR_OFF => Grade::Off,
            () => Grade::FarOff,
        }
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
        out.push_str(self.advice());
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

    fn advice(&self) -> &'static str {
        match self.grade() {
            Grade::Agrees | Grade::Unknown => "",
            Grade::Off => " Policies that differ by less than that are a tie.",
            Grade::FarOff => " The page model does not describe this program: look at the losses and notes first.",
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

/// What was recorded: the program's name for people. The command names the process that it started, not its children.
pub fn program(study: &Study) -> &str {
    let recording = &study.recording;
    let started = recording.mode != "attached" && recording.processes.first().is_none_or(|process| process.selected);
    let command = recording.command.first().filter(|word| !word.is_empty() && (started || recording.exe.is_empty()));
    let path = command.unwrap_or(&recording.exe);
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path);
    if name.is_empty() { "unknown program" } else { name }
}

/// What the kernel's work for memory took under a policy, ns: counts times what each piece of work cost on the recorded machine. `None` where that was not
/// measured. A fault of a huge page takes longer than this knows.
pub fn kernel_time(study: &Study, row: &PolicyResult) -> Option<u64> {
    const PAGE: u64 = 4096;
    let costs = study.recording.unit_costs?;
    let pieces = [
        (row.minor_faults?, costs.fault_ns),
        (row.returned_bytes.unwrap_or(0) / PAGE, costs.return_ns),
        (row.brk_calls? + row.mremap_calls?, costs.grow_ns),
        (row.mmap_calls?, costs.mmap_ns),
        (row.munmap_calls?, costs.munmap_ns),
        (row.madvise_calls?, costs.madvise_ns),
    ];
    Some(pieces.iter().fold(0, |sum: u64, (count, cost)| sum.saturating_add(count.saturating_mul(*cost))))
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
