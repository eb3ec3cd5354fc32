//! How far a simulated value may be from the truth, beside what was touched unseen: as far as the replay of the recording itself is from what the
//! kernel measured, as far as two runs of one program are from each other, downwards by what may have been room in memory older than the
//! recording, and by what lost events leave unknown.

use super::losses::Doubt;
use crate::replay::outcome::{Outcome, Readings, Source};
use crate::units::{Bytes, Pages};

/// Two runs of one program with the same addresses differ by some pages and faults outside of the heap (stack, environment, the page cache): the rows
/// `(run twice)` of `cargo xtask accuracy settings` differ by up to 1, and 4 in a second run's page faults.
const NOISE: Pages = Pages(4);

/// Widens the bands of the simulated outcomes by the error of `checked`, the replay of the recording.
pub(super) fn widen(outcomes: &mut [Outcome], measured: &Outcome, checked: &Outcome, older: Bytes, doubt: Doubt) {
    let share = |found: u64, truth: u64| found.abs_diff(truth) as f64 / truth.max(1) as f64;
    let of_peak = match (measured.peak_rss, checked.peak_rss) {
        (Some(truth), Some(found)) => share(found.expected.0, truth.expected.0),
        _ => 0.0,
    };
    // What was resident in the recorded run, where that was measured.
    let most = measured.peak_rss.or(checked.peak_rss).map_or(Bytes(u64::MAX), |peak| peak.expected);
    let of_faults = share(checked.minor_faults.expected, measured.minor_faults.expected);
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.source == Source::Simulated) {
        if let Some(Readings { low, high, .. }) = &mut outcome.peak_rss {
            (low.0, high.0) = wider([low.0, high.0], of_peak, NOISE.bytes());
            low.0 = low.0.saturating_sub(older.0);
            (low.0, high.0) = doubt.widen_peak([low.0, high.0], most).into();
        }
        let Readings { low, high, .. } = &mut outcome.minor_faults;
        (*low, *high) = wider([*low, *high], of_faults, Bytes(NOISE.0));
        *low = low.saturating_sub(older.pages_up().0);
        (*low, *high) = doubt.widen_faults([*low, *high], measured.minor_faults.expected).into();
    }
}

fn wider([low, high]: [u64; 2], share: f64, noise: Bytes) -> (u64, u64) {
    let by = |value: u64| (value as f64 * share).round() as u64 + noise.0;
    (low.saturating_sub(by(low)), high + by(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_as_wide_as_the_replay_of_the_recording_is_wrong_and_a_little_wider() {
        assert_eq!(wider([1000, 2000], 0.01, Bytes(4)), (1000 - 14, 2000 + 24));
        assert_eq!(wider([3, 3], 0.0, Bytes(4)), (0, 7));
    }
}
