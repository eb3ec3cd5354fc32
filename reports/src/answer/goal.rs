//! What one may want less of, and which policy has least.

use crate::reading::{self, SelfCheck};
use crate::study::{PolicyResult, Study};
use crate::words;

/// Other policies that are named where they do as well; more would hide the answer.
const NAMED: usize = 2;

/// Something that is better when it is less.
pub(super) struct Goal {
    name: &'static str,
    noun: &'static str,
    /// What stands behind a number.
    unit: &'static str,
    get: fn(&PolicyResult) -> Option<u64>,
    low: fn(&PolicyResult) -> Option<u64>,
    high: fn(&PolicyResult) -> Option<u64>,
    shown: fn(u64) -> String,
    /// A value with what it is.
    told: fn(String) -> String,
    /// The self-check's error, where it is so large that nothing can be said.
    far_off: fn(&SelfCheck) -> Option<f64>,
}

pub(super) const MEMORY: Goal = Goal {
    name: "Least memory",
    noun: "peak RSS",
    unit: "",
    get: |row| row.peak_rss_bytes,
    low: |row| row.peak_rss_low_bytes,
    high: |row| row.peak_rss_high_bytes,
    shown: words::bytes,
    told: |value| format!("a peak RSS of {value}"),
    far_off: |check| check.peak.filter(|_| check.memory_is_far_off()).map(|peak| peak.error),
};

pub(super) const FAULTS: Goal = Goal {
    name: "Fewest page faults",
    noun: "minor faults",
    unit: " page faults",
    get: |row| row.minor_faults,
    low: |row| row.minor_faults_low,
    high: |row| row.minor_faults_high,
    shown: words::count,
    told: |value| format!("{value} minor faults"),
    far_off: |check| check.faults.filter(|_| check.faults_are_far_off()).map(|faults| faults.error),
};

/// How the policies that one can have stand to what was measured.
pub(super) enum Verdict<'a> {
    /// Even the highest reading of this one is lower; others do as well within the error.
    Better(&'a PolicyResult, Vec<&'a PolicyResult>),
    /// The measured value lies between the readings of these, so that they may be better or not; the lowest expectation first.
    Tie(Vec<&'a PolicyResult>),
    /// Even the lowest reading of all is higher; this is the nearest.
    Worse(&'a PolicyResult),
    /// The replay of what really ran is this far off, so that nothing can be said.
    Withheld(f64),
    /// Nothing to compare.
    Unknown,
}

/// Policies that somebody can have and does not have yet. Where the real library was run, it speaks for its model.
fn candidates(study: &Study) -> impl Iterator<Item = &PolicyResult> {
    let possible = |row: &&PolicyResult| row.paste.as_ref().is_some_and(|paste| !paste.is_nothing());
    study.policies.iter().filter(possible).filter(move |row| reading::library(study, row).is_none())
}

impl Goal {
    /// Compares all that one can have with what was measured.
    pub(super) fn judge<'a>(&self, study: &'a Study, check: &SelfCheck, base: &PolicyResult) -> Verdict<'a> {
        if let Some(error) = (self.far_off)(check) {
            return Verdict::Withheld(error);
        }
        let Some(now) = (self.get)(base) else { return Verdict::Unknown };
        let mut known: Vec<(&PolicyResult, u64)> = candidates(study).filter_map(|row| Some((row, (self.get)(row)?))).collect();
        // Sorting is stable: of equals, the first in the summary.
        known.sort_by_key(|found| found.1);
        let high = |row: &PolicyResult, value| (self.high)(row).unwrap_or(value);
        let low = |row: &PolicyResult, value| (self.low)(row).unwrap_or(value);
        let better: Vec<_> = known.iter().copied().filter(|&(row, value)| high(row, value) < now).collect();
        if let Some(&(best, value)) = better.first() {
            let ties = better[1..].iter().filter(|&&(row, other)| low(row, other) <= high(best, value)).map(|found| found.0);
            return Verdict::Better(best, ties.collect());
        }
        let ties: Vec<_> = known.iter().filter(|&&(row, value)| low(row, value) <= now).map(|found| found.0).collect();
        match (ties.is_empty(), known.first()) {
            (false, _) => Verdict::Tie(ties),
            (true, Some(nearest)) => Verdict::Worse(nearest.0),
            (true, None) => Verdict::Unknown,
        }
    }

    pub(super) fn value(&self, row: &PolicyResult) -> String {
        (self.get)(row).map_or(words::UNKNOWN.into(), self.shown)
    }

    /// How much less than now it needs, with its unit, and which share.
    pub(super) fn gain(&self, row: &PolicyResult, base: &PolicyResult) -> String {
        let saved = (self.get)(base).zip((self.get)(row)).map_or(0, |(now, then)| now.saturating_sub(then));
        format!("{}{} ({})", (self.shown)(saved), self.unit, self.share(row, base))
    }

    fn share(&self, row: &PolicyResult, base: &PolicyResult) -> String {
        reading::difference((self.get)(row), (self.get)(base)).map_or(words::UNKNOWN.into(), words::percent)
    }

    /// The verdict with its figures.
    pub(super) fn sentence(&self, verdict: &Verdict<'_>, base: &PolicyResult) -> Option<String> {
        let (name, noun) = (self.name, self.noun);
        Some(match verdict {
            Verdict::Better(best, ties) => {
                let against = |get: fn(&PolicyResult) -> Option<u64>| reading::difference(get(best), (self.get)(base));
                let band = against(self.low).zip(against(self.high)).filter(|(low, high)| low != high);
                let band =
                    band.map_or(String::new(), |(low, high)| format!(", between {} and {}", words::percent(low), words::percent(high)));
                let ties =
                    if ties.is_empty() { String::new() } else { format!(" As good within the error: {}.", listed(ties, reading::name)) };
                format!(
                    "{name}: {}, {noun} {} instead of {} ({}{band}).{ties}",
                    reading::name(best),
                    self.value(best),
                    self.value(base),
                    self.share(best, base)
                )
            }
            Verdict::Tie(rows) => format!(
                "{name}: keep what you have, {noun} {}. A tie within the error: {}.",
                self.value(base),
                listed(rows, |row| format!("{} ({})", reading::name(row), self.band(row)))
            ),
            Verdict::Worse(row) => format!(
                "{name}: keep what you have, {noun} {}. All others that were replayed have more, {} the least of them: {} ({}).",
                self.value(base),
                reading::name(row),
                self.value(row),
                self.share(row, base)
            ),
            Verdict::Withheld(error) => {
                format!("{name}: no advice, the replay of what really ran is {} off in {noun}.", words::percent(*error))
            }
            Verdict::Unknown => return None,
        })
    }

    /// From the lowest to the highest reading.
    fn band(&self, row: &PolicyResult) -> String {
        match ((self.low)(row), (self.high)(row)) {
            (Some(low), Some(high)) if low != high => format!("{} to {}", (self.shown)(low), (self.shown)(high)),
            _ => self.value(row),
        }
    }

    /// What another goal's best policy costs in this one.
    pub(super) fn price(&self, best: &PolicyResult, base: &PolicyResult, study: &Study) -> String {
        let moved = match (self.get)(best).cmp(&(self.get)(base)) {
            std::cmp::Ordering::Greater => "would cost",
            _ => "comes with",
        };
        let time = |row| reading::kernel_time(study, row);
        let time = time(base).zip(time(best)).map_or(String::new(), |(now, then)| {
            let way = if then > now { "more" } else { "less" };
            format!("; the kernel's work for memory would take about {} {way}", words::duration(now.abs_diff(then)))
        });
        format!("It {moved} {} instead of {} ({}){time}.", (self.told)(self.value(best)), self.value(base), self.share(best, base))
    }
}

/// The first few, and how many more there are.
fn listed(rows: &[&PolicyResult], told: impl Fn(&PolicyResult) -> String) -> String {
    let names: Vec<String> = rows.iter().take(NAMED).map(|row| told(row)).collect();
    let more = rows.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    names.join(", ") + &more
}
