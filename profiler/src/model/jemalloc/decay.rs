//! The decay curve: how many free pages may stay, by when they became free.
//!
//! Time is cut into 200 epochs over the whole decay time. Pages that appeared in an epoch count in full at first and lose weight along
//! a smootherstep curve. Epochs pass only when somebody looks.

use super::random::Random;
use crate::units::Nanos;

/// Epochs of a decay time.
pub(super) const EPOCHS: usize = 200;
/// Weights are fractions of 2^24.
const FRACTION: u32 = 24;
const MILLISECOND: u64 = 1_000_000;

/// 2^24 × (6x⁵ − 15x⁴ + 10x³) with x = (i + 1) / 200, from the oldest epoch to the newest.
static WEIGHTS: [u64; EPOCHS] = weights();

const fn weights() -> [u64; EPOCHS] {
    let mut weights = [0; EPOCHS];
    let mut epoch = 0;
    while epoch < EPOCHS {
        let (x, steps) = (epoch as u128 + 1, EPOCHS as u128);
        let curve = x * x * x * (6 * x * x + 10 * steps * steps - 15 * x * steps);
        weights[epoch] = ((curve << FRACTION) / (steps * steps * steps * steps * steps)) as u64;
        epoch += 1;
    }
    weights
}

/// The decay of an arena's dirty or muzzy pages.
pub(super) struct Decay {
    /// Whole decay time; 0: at once, −1: never.
    pub(super) millis: i64,
    interval: u64,
    /// Start of the current epoch.
    pub(super) epoch: u64,
    /// Until then nothing happens.
    deadline: u64,
    jitter: Random,
    unpurged: u64,
    /// Pages that may stay.
    pub(super) limit: u64,
    /// Pages that appeared, from the oldest epoch to the newest.
    backlog: [u64; EPOCHS],
}

impl Decay {
    pub(super) fn new(millis: i64, now: Nanos, seed: u64) -> Decay {
        let interval = u64::try_from(millis).unwrap_or(0).saturating_mul(MILLISECOND) / EPOCHS as u64;
        let mut decay =
            Decay { millis, interval, epoch: now.0, deadline: 0, jitter: Random::new(seed), unpurged: 0, limit: 0, backlog: [0; EPOCHS] };
        decay.set_deadline();
        decay
    }

    /// Along the curve, neither at once nor never.
    pub(super) fn is_gradual(&self) -> bool {
        self.millis > 0
    }

    /// Pages that appeared in the newest epoch.
    pub(super) fn newest(&self) -> u64 {
        self.backlog[EPOCHS - 1]
    }

    fn set_deadline(&mut self) {
        let jitter = if self.is_gradual() { self.jitter.below(self.interval) } else { 0 };
        self.deadline = self.epoch.saturating_add(self.interval).saturating_add(jitter);
    }

    /// Lets the epochs pass that are over; answers whether any were.
    pub(super) fn advance(&mut self, now: Nanos, pages: u64) -> bool {
        if now.0 < self.deadline {
            return false;
        }
        let passed = (now.0 - self.epoch) / self.interval;
        self.epoch += passed * self.interval;
        self.set_deadline();
        let shift = passed.min(EPOCHS as u64) as usize;
        self.backlog.copy_within(shift.., 0);
        self.backlog[EPOCHS - shift..].fill(0);
        self.backlog[EPOCHS - 1] = pages.saturating_sub(self.unpurged);
        self.limit = weigh(self.backlog.iter().zip(&WEIGHTS).map(|(pages, weight)| (*pages, *weight)));
        self.unpurged = self.limit.max(pages);
        true
    }

    /// Pages of the backlog that have to go within so many epochs from now.
    fn leaving_within(&self, epochs: usize) -> u64 {
        let lost = |i: usize| WEIGHTS[i] - i.checked_sub(epochs).map_or(0, |later| WEIGHTS[later]);
        weigh(self.backlog.iter().enumerate().map(|(i, pages)| (*pages, lost(i))))
    }

    /// Of pages that appear now, how many have to go within that time.
    pub(super) fn leaving_of(&self, pages: u64, within: u64) -> u64 {
        let epochs = within / self.interval;
        match EPOCHS.checked_sub(1 + epochs.min(EPOCHS as u64) as usize) {
            Some(later) => (pages * (WEIGHTS[EPOCHS - 1] - WEIGHTS[later])) >> FRACTION,
            None => pages,
        }
    }

    /// How long a purge can wait until more than `threshold` pages have to go; `None` when there is nothing to wait for.
    pub(super) fn until_purge(&self, pages: u64, threshold: u64) -> Option<u64> {
        if !self.is_gradual() || pages == 0 && self.backlog.iter().all(|&pages| pages == 0) {
            return None;
        }
        let (mut low, mut high) = (2, EPOCHS);
        let (mut leaving_low, mut leaving_high) = (self.leaving_within(low), self.leaving_within(high));
        if pages <= threshold || leaving_low <= threshold && leaving_high < threshold {
            return Some(self.interval * high as u64);
        }
        if leaving_low > threshold {
            return Some(self.interval * low as u64);
        }
        while leaving_low + threshold < leaving_high && low + 2 < high {
            let middle = (low + high) / 2;
            let leaving = self.leaving_within(middle);
            if leaving > threshold {
                (high, leaving_high) = (middle, leaving);
            } else {
                (low, leaving_low) = (middle, leaving);
            }
        }
        Some(self.interval * (low + high) as u64 / 2)
    }
}

fn weigh(pages: impl Iterator<Item = (u64, u64)>) -> u64 {
    pages.map(|(pages, weight)| pages * weight).sum::<u64>() >> FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_the_curve() {
        assert_eq!((WEIGHTS[0], WEIGHTS[99], WEIGHTS[EPOCHS - 1]), (20, 1 << 23, 1 << 24));
        assert!(WEIGHTS.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn a_burst_goes_along_the_curve() {
        let mut decay = Decay::new(10_000, Nanos(0), 1);
        assert!(!decay.advance(Nanos(49_999_999), 1000));
        assert!(decay.advance(Nanos(100_000_000), 1000));
        assert_eq!((decay.limit, decay.newest()), (1000, 1000));
        assert!(decay.advance(Nanos(5_100_000_000), 1000));
        // A hundred epochs later half of it may stay: 100 of 200 steps, the first of them at once.
        assert_eq!(decay.limit, 500);
        assert!(decay.advance(Nanos(20_000_000_000), 500));
        assert_eq!(decay.limit, 0);
    }

    #[test]
    fn a_purge_waits_for_enough_pages() {
        let mut decay = Decay::new(10_000, Nanos(0), 1);
        assert_eq!(decay.until_purge(0, 1024), None);
        decay.advance(Nanos(100_000_000), 100_000);
        let wait = decay.until_purge(100_000, 1024).expect("something is dirty");
        let epochs = (wait / decay.interval) as usize;
        assert!((20..60).contains(&epochs), "{epochs}");
        assert_eq!(decay.until_purge(1000, 1024), Some(10_000_000_000));
    }
}
