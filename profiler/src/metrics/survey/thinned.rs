//! A bounded number of moments out of a long run: of each span of time the one with the highest resident set.

use crate::units::{Bytes, Nanos};

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment<T> {
    /// When.
    pub time: Nanos,
    /// Resident set of the process.
    pub rss: Bytes,
    /// What was seen.
    pub seen: T,
}

/// Keeps the moments that are worth it. Looking is dear, and so it says beforehand when it is due.
#[derive(Clone, Debug)]
pub(super) struct Thinned<T> {
    most: usize,
    /// Length of a span, ns; doubled whenever there are too many.
    width: u64,
    moments: Vec<Moment<T>>,
    /// The next look is due from this time on, or above this resident set.
    until: u64,
    above: u64,
}

impl<T> Thinned<T> {
    /// With at most so many moments.
    pub(super) fn new(most: usize) -> Thinned<T> {
        Thinned { most, width: 1, moments: Vec::new(), until: 0, above: 0 }
    }

    /// Whether a new span has begun, or the resident set is a hundredth higher than it was at the last look of this span.
    pub(super) fn is_due(&self, time: Nanos, rss: Bytes) -> bool {
        time.0 >= self.until || rss.0 > self.above
    }

    /// Takes what was seen at a moment later than all before.
    pub(super) fn put(&mut self, moment: Moment<T>) {
        let (time, rss) = (moment.time.0, moment.rss.0);
        match self.moments.last_mut() {
            Some(last) if time < self.until => {
                if rss > last.rss.0 {
                    *last = moment;
                }
            }
            _ => self.moments.push(moment),
        }
        while self.moments.len() > self.most {
            self.width = self.width.saturating_mul(2);
            let width = self.width;
            self.moments.dedup_by(|later, kept| {
                let same = later.time.0 / width == kept.time.0 / width;
                if same && later.rss > kept.rss {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        self.until = (time / self.width + 1).saturating_mul(self.width);
        self.above = rss.saturating_add(rss / 100);
    }

    /// In time order.
    pub(super) fn moments_mut(&mut self) -> &mut Vec<Moment<T>> {
        &mut self.moments
    }

    /// In time order.
    pub(super) fn into_moments(self) -> Vec<Moment<T>> {
        self.moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_stay_in_order_and_the_highest_is_one_of_them() {
        let mut thinned = Thinned::new(10);
        let rss = |time: u64| if time == 3_141 { 9_999 } else { 100 + time % 7 };
        for time in 0..10_000 {
            if thinned.is_due(Nanos(time), Bytes(rss(time))) {
                thinned.put(Moment { time: Nanos(time), rss: Bytes(rss(time)), seen: time });
            }
        }
        let moments = thinned.into_moments();
        assert!((5..=10).contains(&moments.len()), "{}", moments.len());
        assert!(moments.is_sorted_by(|a, b| a.time < b.time) && moments.iter().all(|moment| moment.time.0 == moment.seen));
        assert_eq!(moments.iter().max_by_key(|moment| moment.rss).unwrap().seen, 3_141);
    }
}
