//! A curve of bounded length with exact peaks and an exact mean.

use crate::units::{Bytes, Nanos};

/// Time buckets kept: each gives up to two points of the timeline.
const BUCKETS: usize = 1000;

/// The state of a process at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Since the process began to be recorded.
    pub time: Nanos,
    /// Resident set.
    pub rss: Bytes,
    /// Requested bytes of live blocks.
    pub live: Bytes,
    /// All mappings and the break area.
    pub mapped: Bytes,
    /// Minor faults so far.
    pub minor_faults: u64,
    /// Bytes given back to the kernel so far.
    pub returned: Bytes,
    /// `rss` in the lowest and the highest reading; the same where there is one reading.
    pub rss_low: Bytes,
    /// See `rss_low`.
    pub rss_high: Bytes,
}

impl Point {
    /// Where only one reading of what was touched is known.
    pub fn of_one_reading(rss: Bytes) -> Point {
        Point { rss, rss_low: rss, rss_high: rss, ..Point::default() }
    }
}

/// The samples of a span of time: the one with the highest resident set, and the last one.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    index: u64,
    high: Point,
    last: Point,
}

/// Takes samples in time order; a sample holds until the next one.
#[derive(Clone, Debug)]
pub struct Meter {
    buckets: Vec<Bucket>,
    /// Length of a bucket, ns; doubled whenever there are too many.
    width: u64,
    /// End of the last bucket.
    until: u64,
    last: Point,
    peak: Point,
    /// Resident bytes × ns so far.
    area: u128,
    started: Option<Nanos>,
}

impl Default for Meter {
    fn default() -> Meter {
        let zero = Point::default();
        Meter { buckets: Vec::new(), width: 1, until: 0, last: zero, peak: zero, area: 0, started: None }
    }
}

impl Meter {
    /// The state from now on.
    pub fn sample(&mut self, point: Point) {
        let time = point.time.0;
        self.area += u128::from(self.last.rss.0) * u128::from(time.saturating_sub(self.last.time.0));
        self.started.get_or_insert(point.time);
        self.high(point.rss, point.mapped);
        self.live(point.live);
        self.last = point;
        match self.buckets.last_mut() {
            Some(bucket) if time < self.until => {
                if point.rss > bucket.high.rss {
                    bucket.high = point;
                }
                bucket.last = point;
            }
            _ => self.open(point),
        }
    }

    /// A high-water mark that was passed since the last sample.
    pub fn high(&mut self, rss: Bytes, mapped: Bytes) {
        self.peak.rss = self.peak.rss.max(rss);
        self.peak.mapped = self.peak.mapped.max(mapped);
    }

    /// Live bytes since the last sample.
    pub fn live(&mut self, live: Bytes) {
        self.peak.live = self.peak.live.max(live);
    }

    /// The highest of each, each at its own time; faults, returned bytes and time are not filled in.
    pub fn peak(&self) -> Point {
        self.peak
    }

    /// The last sample.
    pub fn last(&self) -> Point {
        self.last
    }

    /// Time-weighted mean of the resident set from the first sample to the last.
    pub fn mean_rss(&self) -> Bytes {
        let span = self.last.time.0 - self.started.unwrap_or(self.last.time).0;
        if span == 0 { self.last.rss } else { Bytes((self.area / u128::from(span)) as u64) }
    }

    /// The curve: of each bucket the highest and the last sample, in time order.
    pub fn timeline(&self) -> Vec<Point> {
        let both = |bucket: &Bucket| {
            let only = bucket.high == bucket.last;
            [(!only).then_some(bucket.high), Some(bucket.last)]
        };
        self.buckets.iter().flat_map(both).flatten().collect()
    }

    fn open(&mut self, point: Point) {
        self.buckets.push(Bucket { index: point.time.0 / self.width, high: point, last: point });
        while self.buckets.len() > BUCKETS {
            self.width *= 2;
            self.halve();
        }
        self.until = (point.time.0 / self.width + 1).saturating_mul(self.width);
    }

    fn halve(&mut self) {
        self.buckets.iter_mut().for_each(|bucket| bucket.index /= 2);
        self.buckets.dedup_by(|later, kept| {
            let same = later.index == kept.index;
            if same {
                if later.high.rss > kept.high.rss {
                    kept.high = later.high;
                }
                kept.last = later.last;
            }
            same
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(time: u64, rss: u64) -> Point {
        Point { time: Nanos(time), rss: Bytes(rss), ..Point::default() }
    }

    #[test]
    fn the_mean_is_weighted_by_time() {
        let mut meter = Meter::default();
        [(100, 10), (200, 40), (500, 0)].into_iter().for_each(|(time, rss)| meter.sample(point(time, rss)));
        assert_eq!(meter.mean_rss(), Bytes((100 * 10 + 300 * 40) / 400));
        assert_eq!((meter.peak().rss, meter.last().time), (Bytes(40), Nanos(500)));
    }

    proptest! {
        #[test]
        fn the_curve_is_short_ordered_and_keeps_peak_and_end(steps in prop::collection::vec((0u64..5_000_000, 0u64..1000), 1..6000)) {
            let mut meter = Meter::default();
            let (mut time, mut area) = (0, 0u128);
            let mut samples = Vec::new();
            for (wait, rss) in steps {
                let before = samples.last().map_or(0, |sample: &Point| sample.rss.0);
                area += u128::from(before) * u128::from(if samples.is_empty() { 0 } else { wait });
                time += wait;
                samples.push(point(time, rss));
                meter.sample(point(time, rss));
            }
            let line = meter.timeline();
            prop_assert!(line.len() <= 2 * BUCKETS);
            prop_assert!(line.is_sorted_by_key(|point| point.time));
            prop_assert!(line.iter().all(|point| samples.contains(point)));
            let peak = samples.iter().map(|sample| sample.rss).max().unwrap();
            prop_assert_eq!(line.iter().map(|point| point.rss).max(), Some(peak));
            prop_assert_eq!(meter.peak().rss, peak);
            prop_assert_eq!(line.last(), samples.last());
            let span = samples.last().unwrap().time.0 - samples[0].time.0;
            if span > 0 {
                prop_assert_eq!(u128::from(meter.mean_rss().0), area / u128::from(span));
            }
        }
    }
}
