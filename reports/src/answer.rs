//! The answer: which setting or allocator is best, what it would gain and cost, how sure that is, and what to type.

mod goal;
mod kept;

use crate::reading::{self, SelfCheck};
use crate::study::{PolicyResult, Study};
use goal::{FAULTS, MEMORY, Verdict};

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

impl Answer {
    /// Reads it from a study.
    pub fn of(study: &Study) -> Answer {
        let check = SelfCheck::of(study);
        let Some(base) = reading::baseline(study) else {
            return Answer { headline: "No advice: nothing was measured".into(), ..Answer::default() };
        };
        let (memory, faults) = (MEMORY.judge(study, &check, base), FAULTS.judge(study, &check, base));
        let mut answer = Answer { headline: headline(&memory, &faults, base), ..Answer::default() };
        for (goal, verdict, other, others) in [(MEMORY, &memory, FAULTS, &faults), (FAULTS, &faults, MEMORY, &memory)] {
            answer.sentences.extend(goal.sentence(verdict, base));
            if let Verdict::Better(best, _) = verdict {
                if !matches!(others, Verdict::Withheld(_)) {
                    answer.sentences.push(other.price(best, base, study));
                }
                answer.add_line(best);
            }
        }
        if !matches!(memory, Verdict::Withheld(_)) {
            answer.sentences.extend(kept::sentence(study));
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
        (_, Verdict::Better(best, _)) => format!("{} would save {}", reading::name(best), FAULTS.gain(best, base)),
        (Verdict::Unknown, Verdict::Unknown) => "Nothing that one could change was replayed".into(),
        (Verdict::Withheld(_), Verdict::Withheld(_)) => "No advice: the replay does not describe this program".into(),
        (Verdict::Withheld(_) | Verdict::Unknown, _) => "Keep what you have: nothing surely saves page faults".into(),
        (Verdict::Tie(_), _) => format!("Keep what you have: nothing surely needs less than {}", MEMORY.value(base)),
        (Verdict::Worse(_), _) => format!("Keep what you have: nothing needs less than {}", MEMORY.value(base)),
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
        assert_eq!((answer.headline.as_str(), answer.lines.len()), ("Keep what you have: nothing surely needs less than 100.0 MiB", 0));
        assert!(answer.sentences[0].ends_with("A tie within the error: jemalloc (80.0 MiB to 101.0 MiB)."), "{:?}", answer.sentences);
    }

    #[test]
    fn nobody_can_have_a_bound() {
        let answer = Answer::of(&study(vec![row("brk-only", [50; 3], 10, None), row("mimalloc", [120, 130, 140], 2000, Some("L=m"))]));
        assert_eq!(answer.headline, "Keep what you have: nothing needs less than 100.0 MiB");
        assert!(answer.sentences[0].contains("mimalloc the least of them: 130.0 MiB (+30.0 %)"), "{:?}", answer.sentences);
        assert_eq!(Answer::of(&study(Vec::new())).headline, "Nothing that one could change was replayed");
    }

    #[test]
    fn a_replay_that_is_far_off_gives_no_advice() {
        let mut study = study(vec![row("jemalloc", [50; 3], 10, Some("L=j"))]);
        study.policies[2].peak_rss_bytes = Some(150 << 20);
        let answer = Answer::of(&study);
        assert!(answer.sentences[0].starts_with("Least memory: no advice, the replay of what really ran is +50.0 % off"), "{answer:?}");
        // The faults agree, and of them something can be said; the price in memory cannot.
        assert!(answer.headline.starts_with("jemalloc would save 990 page faults") && answer.sentences.len() == 2, "{answer:?}");
        study.policies[2].minor_faults = Some(3_000);
        assert!(Answer::of(&study).headline.starts_with("No advice"));
    }
}
