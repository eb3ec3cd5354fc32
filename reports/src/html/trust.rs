//! How far to trust the replay: its curve over the kernel's, and what was seen, assumed and lost.

use std::fmt::Write;

use crate::reading;
use crate::study::{PolicyResult, Study};
use crate::words;

/// Columns of the small chart: of each, the highest value is drawn.
const COLUMNS: usize = 240;
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 110.0;

/// The two curves and the facts beside them.
#[derive(Default)]
pub(super) struct Trust {
    /// Paths in a box of 600 × 110: what the kernel measured as an area, the replay as a line. Empty where one of them is unknown.
    pub(super) measured: String,
    pub(super) replayed: String,
    pub(super) caption: String,
    /// The upper end of its axis, and the end of the time.
    pub(super) most: String,
    pub(super) last: String,
    pub(super) facts: Vec<(&'static str, String)>,
}

impl Trust {
    pub(super) fn of(study: &Study) -> Trust {
        let name = reading::checked(study);
        let mut trust = Trust { facts: facts(study), ..Trust::default() };
        let (Some(measured), Some(replayed)) = (reading::row(study, "measured"), reading::row(study, name)) else { return trust };
        let ends = [measured, replayed].map(|row| row.timeline.last().map_or(0, |point| point.time_ns));
        let (last, most) = (ends[0].max(ends[1]), highest(measured).max(highest(replayed)));
        if last == 0 || most == 0 || highest(measured) == 0 {
            return trust;
        }
        trust.measured = format!("{}V{HEIGHT}H0Z", path(measured, last, most));
        trust.replayed = path(replayed, last, most);
        (trust.most, trust.last) = (words::bytes(most), words::duration(last));
        let apart = study.recording.curves_apart_bytes.map_or(String::new(), |bytes| {
            let mean = measured.mean_rss_bytes.filter(|mean| *mean > 0);
            let share = mean.map_or(String::new(), |mean| format!(", {} of the mean", words::share(bytes as f64 / mean as f64)));
            format!(" Over time, the recorded placements are {} off on average{share}.", words::bytes(bytes))
        });
        trust.caption = format!("Resident set: the area is what the kernel counted, the line is {name}, replayed.{apart}");
        trust
    }
}

fn highest(row: &PolicyResult) -> u64 {
    row.timeline.iter().filter_map(|point| point.rss_bytes).max().unwrap_or(0)
}

/// A path of steps through the highest value of each column.
fn path(row: &PolicyResult, last: u64, most: u64) -> String {
    let mut columns: Vec<Option<u64>> = vec![None; COLUMNS];
    for point in &row.timeline {
        let at = (point.time_ns as u128 * (COLUMNS - 1) as u128 / last as u128) as usize;
        columns[at.min(COLUMNS - 1)] = columns[at.min(COLUMNS - 1)].max(point.rss_bytes);
    }
    let (mut out, mut held) = (format!("M0 {HEIGHT}"), 0);
    for (column, value) in columns.iter().enumerate() {
        held = value.unwrap_or(held);
        let (x, y) = (column as f64 * WIDTH / COLUMNS as f64, HEIGHT * (1.0 - held as f64 / most as f64));
        // Writing into a string cannot fail.
        let _infallible = write!(out, "H{x:.1}V{y:.1}");
    }
    out + &format!("H{WIDTH}")
}

fn facts(study: &Study) -> Vec<(&'static str, String)> {
    let recording = &study.recording;
    let aside = |what: &str| recording.set_aside.iter().find(|kind| kind.name.contains(what)).map_or(0, |kind| kind.count);
    let touches = recording.touches.map(|touches| {
        let [seen, inferred, assumed] = [touches.seen_bytes, touches.inferred_bytes, touches.assumed_bytes].map(words::bytes);
        ("Touched bytes of blocks", format!("{seen} seen by page faults, {inferred} inferred from blocks like them, {assumed} assumed"))
    });
    let lost = ("Events lost", words::count(reading::total(&recording.lost)));
    let unmatched = ("Frees of blocks that were not recorded", words::count(aside("unknown")));
    touches.into_iter().chain([lost, unmatched]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::TimePoint;

    #[test]
    fn the_curves_share_their_axes() {
        let row = |policy: &str, values: &[u64]| PolicyResult {
            policy: policy.into(),
            timeline: values
                .iter()
                .enumerate()
                .map(|(at, &rss)| TimePoint { time_ns: at as u64 * 1000, rss_bytes: Some(rss), ..TimePoint::default() })
                .collect(),
            ..PolicyResult::default()
        };
        let study = Study { policies: vec![row("measured", &[0, 50, 100]), row("recorded", &[0, 50, 50])], ..Study::default() };
        let trust = Trust::of(&study);
        assert!(trust.measured.contains("V0.0H") && !trust.replayed.contains("V0.0H"), "{}", trust.replayed);
        assert!(trust.replayed.contains("V55.0"), "half as high as the highest of both");
        assert!(Trust::of(&Study::default()).measured.is_empty());
    }
}
