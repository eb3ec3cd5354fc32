//! The answer: which setting or allocator is best, what it would gain and cost, how sure that is, and what to type.

use crate::reading::{self, Grade, SelfCheck};
use crate::study::{PolicyResult, Study};
use crate::words;

/// What a study answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// In a few words.
    pub headline: String,
    /// With numbers; full sentences.
    pub sentences: Vec<String>,
    /// What to type for each policy that is recommended.
    pub lines: Vec<Line>,
}

/// Something to type.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The policy that it brings about.
    pub policy: String,
    /// For a shell.
    pub text: String,
}

/// Other policies that are named where they do as well; more would hide the answer.
const NAMED: usize = 2;

/// Something that is better when it is less.
struct Goal {
    name: &'static str,
    noun: &'static str,
    get: fn(&PolicyResult) -> Option<u64>,
    low: fn(&PolicyResult) -> Option<u64>,
    high: fn(&PolicyResult) -> Option<u64>,
    shown: fn(u64) -> String,
    /// A value with what it is.
    told: fn(String) -> String,
}

const MEMORY: Goal = Goal {
    name: "Least memory",
    noun: "peak RSS",
    get: |row| row.peak_rss_bytes,
    low: |row| row.peak_rss_low_bytes,
    high: |row| row.peak_rss_high_bytes,
    shown: words::bytes,
    told: |value| format!("a peak RSS of {value}"),
};

const FAULTS: Goal = Goal {
    name: "Fewest page faults",
    noun: "minor faults",
    get: |row| row.minor_faults,
    low: |row| row.minor_faults_low,
    high: |row| row.minor_faults_high,
    shown: words::count,
    told: |value| format!("{value} minor faults"),
};

/// How the policies that one can have stand to what was measured.
enum Verdict<'a> {
    /// Even the highest reading of this one is lower; others do as well within the error.
    Better(&'a PolicyResult, Vec<&'a PolicyResult>),
    /// The measured value lies between the readings of this one, the lowest.
    Tie(&'a PolicyResult),
    /// Even the lowest reading of all is higher; this is the nearest.
    Worse(&'a PolicyResult),
    /// Nothing to compare.
    Unknown,
}

impl Answer {
    /// Reads it from a study.
    pub fn of(study: &Study) -> Answer {
        let check = SelfCheck::of(study);
        let Some(base) = reading::baseline(study).filter(|_| check.grade() != Grade::FarOff) else {
            return Answer { headline: "No advice: the replay does not describe this program".into(), ..Answer::default() };
        };
        let (memory, faults) = (MEMORY.judge(study, base), FAULTS.judge(study, base));
        let mut answer = Answer { headline: headline(&memory, &faults, base), ..Answer::default() };
        for (goal, verdict, other) in [(MEMORY, &memory, FAULTS), (FAULTS, &faults, MEMORY)] {
            answer.sentences.extend(goal.sentence(verdict, base));
            if let Verdict::Better(best, _) = verdict {
                answer.sentences.push(other.price(best, base, study));
                answer.add_line(best);
            }
        }
        let unchecked = answer.lines.iter().filter_map(|line| reading::row(study, &line.policy)).find(|row| is_unchecked(row));
        if let Some(row) = unchecked {
            let told = format!(
                "The model of another allocator is not checked by this recording: `heapcast measure TRACE --policy {}` runs the real library.",
                row.policy
            );
            answer.sentences.push(told);
        }
        answer
    }

    fn add_line(&mut self, row: &PolicyResult) {
        let Some(paste) = row.paste.as_ref().filter(|_| self.lines.iter().all(|line| line.policy != row.policy)) else { return };
        let text = [&paste.machine, &paste.before].into_iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("\n");
        self.lines.push(Line { policy: row.policy.clone(), text });
    }
}

fn is_unchecked(row: &PolicyResult) -> bool {
    row.source == "simulated" && row.paste.as_ref().is_some_and(|paste| paste.other_allocator)
}

fn headline(memory: &Verdict<'_>, faults: &Verdict<'_>, base: &PolicyResult) -> String {
    match (memory, faults) {
        (Verdict::Better(best, _), _) => format!("{} would lower the peak by {}", reading::name(best), MEMORY.gain(best, base)),
        (_, Verdict::Better(best, _)) => format!("{} would save {} page faults", reading::name(best), FAULTS.gain(best, base)),
        (Verdict::Unknown, Verdict::Unknown) => "Nothing that one could change was replayed".into(),
        _ => "Keep what you have".into(),
    }
}

/// Policies that somebody can have and does not have yet. Where the real library was run, it speaks for its model.
fn candidates(study: &Study) -> impl Iterator<Item = &PolicyResult> {
    let possible = |row: &&PolicyResult| row.paste.as_ref().is_some_and(|paste| !paste.is_nothing());
    study.policies.iter().filter(possible).filter(move |row| reading::library(study, row).is_none())
}

impl Goal {
    fn judge<'a>(&self, study: &'a Study, base: &PolicyResult) -> Verdict<'a> {
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
        let tie = known.iter().find(|&&(row, value)| low(row, value) <= now);
        match (tie, known.first()) {
            (Some(tie), _) => Verdict::Tie(tie.0),
            (None, Some(nearest)) => Verdict::Worse(nearest.0),
            (None, None) => Verdict::Unknown,
        }
    }

    fn value(&self, row: &PolicyResult) -> String {
        (self.get)(row).map_or(words::UNKNOWN.into(), self.shown)
    }

    fn gain(&self, row: &PolicyResult, base: &PolicyResult) -> String {
        let saved = (self.get)(base).zip((self.get)(row)).map_or(0, |(now, then)| now.saturating_sub(then));
        format!("{} ({})", (self.shown)(saved), self.share(row, base))
    }

    fn share(&self, row: &PolicyResult, base: &PolicyResult) -> String {
        reading::difference((self.get)(row), (self.get)(base)).map_or(words::UNKNOWN.into(), words::percent)
    }

    fn sentence(&self, verdict: &Verdict<'_>, base: &PolicyResult) -> Option<String> {
        let (name, noun) = (self.name, self.noun);
        Some(match verdict {
            Verdict::Better(best, ties) => {
                let against = |get: fn(&PolicyResult) -> Option<u64>| reading::difference(get(best), (self.get)(base));
                let band = against(self.low).zip(against(self.high)).filter(|(low, high)| low != high);
                let band =
                    band.map_or(String::new(), |(low, high)| format!(", between {} and {}", words::percent(low), words::percent(high)));
                let names: Vec<String> = ties.iter().take(NAMED).map(|row| reading::name(row)).collect();
                let ties = if names.is_empty() { String::new() } else { format!(" As good within the error: {}.", names.join(", ")) };
                format!(
                    "{name}: {}, {noun} {} instead of {} ({}{band}).{ties}",
                    reading::name(best),
                    self.value(best),
                    self.value(base),
                    self.share(best, base)
                )
            }
            Verdict::Tie(row) => format!(
                "{name}: keep what you have, {noun} {}. {} is the nearest ({}), a tie within its error.",
                self.value(base),
                reading::name(row),
                self.value(row)
            ),
            Verdict::Worse(row) => format!(
                "{name}: keep what you have, {noun} {}. All others that were replayed have more, {} the least of them: {} ({}).",
                self.value(base),
                reading::name(row),
                self.value(row),
                self.share(row, base)
            ),
            Verdict::Unknown => return None,
        })
    }

    /// What another goal's best policy costs in this one.
    fn price(&self, best: &PolicyResult, base: &PolicyResult, study: &Study) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Paste;

    /// Peak and its readings in MiB, faults, and what to type.
    fn row(policy: &str, [low, peak, high]: [u64; 3], faults: u64, before: Option<&str>) -> PolicyResult {
        PolicyResult {
            policy: policy.into(),
            source: "simulated".into(),
            peak_rss_bytes: Some(peak << 20),
            peak_rss_low_bytes: Some(low << 20),
            peak_rss_high_bytes: Some(high << 20),
            minor_faults: Some(faults),
            minor_faults_low: Some(faults),
            minor_faults_high: Some(faults),
            paste: before.map(|before| Paste { before: before.into(), ..Paste::default() }),
            ..Default::default()
        }
    }

    fn study(others: Vec<PolicyResult>) -> Study {
        let truth =
            [row("measured", [100; 3], 1000, None), row("recorded", [100; 3], 1000, None), row("glibc@2.36", [100; 3], 1000, Some(""))];
        Study { policies: truth.into_iter().chain(others).collect(), checked: "glibc@2.36".into(), ..Default::default() }
    }

    #[test]
    fn what_is_surely_better_is_recommended_with_its_price() {
        let answer = Answer::of(&study(vec![
            row("glibc:arena_max=1", [70, 75, 80], 1500, Some("A=1")),
            row("jemalloc", [72, 77, 90], 900, Some("L=j")),
        ]));
        assert_eq!(answer.headline, "glibc:arena_max=1 would lower the peak by 25.0 MiB (−25.0 %)");
        assert_eq!(
            answer.sentences[0],
            "Least memory: glibc:arena_max=1, peak RSS 75.0 MiB instead of 100.0 MiB (−25.0 %, between −30.0 % and −20.0 %). As good within the error: jemalloc."
        );
        assert_eq!(answer.sentences[1], "It would cost 1,500 minor faults instead of 1,000 (+50.0 %).");
        assert!(
            answer.sentences[2].starts_with("Fewest page faults: jemalloc, minor faults 900 instead of 1,000 (−10.0 %)"),
            "{:?}",
            answer.sentences
        );
        let lines: Vec<_> = answer.lines.iter().map(|line| (line.policy.as_str(), line.text.as_str())).collect();
        assert_eq!(lines, [("glibc:arena_max=1", "A=1"), ("jemalloc", "L=j")]);
    }

    #[test]
    fn what_may_be_no_better_is_a_tie() {
        let answer = Answer::of(&study(vec![row("jemalloc", [80, 95, 101], 1000, Some("L=j"))]));
        assert_eq!((answer.headline.as_str(), answer.lines.len()), ("Keep what you have", 0));
        assert!(answer.sentences[0].contains("jemalloc is the nearest (95.0 MiB), a tie within its error"), "{:?}", answer.sentences);
    }

    #[test]
    fn nobody_can_have_a_bound() {
        let answer = Answer::of(&study(vec![row("brk-only", [50; 3], 10, None), row("mimalloc", [120, 130, 140], 2000, Some("L=m"))]));
        assert_eq!(answer.headline, "Keep what you have");
        assert!(answer.sentences[0].contains("mimalloc the least of them: 130.0 MiB (+30.0 %)"), "{:?}", answer.sentences);
        assert_eq!(Answer::of(&study(Vec::new())).headline, "Nothing that one could change was replayed");
    }

    #[test]
    fn a_replay_that_is_far_off_gives_no_advice() {
        let mut study = study(vec![row("jemalloc", [50; 3], 10, Some("L=j"))]);
        study.policies[2].peak_rss_bytes = Some(150 << 20);
        assert!(Answer::of(&study).headline.starts_with("No advice"));
    }
}
