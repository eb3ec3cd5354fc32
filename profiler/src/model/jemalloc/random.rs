//! The generator behind everything that the library leaves to chance. It seeds it with addresses, so no run is like another; here the
//! seeds are fixed.

/// A linear congruential generator of 64 bits, whose upper bits count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

/// Draws between 0 and 63 stand for so many 61sts of the mean: `round(61 × ln(64 / (draw + 1)))`.
const GEOMETRIC: [u8; 64] = [
    254, 211, 187, 169, 156, 144, 135, 127, 120, 113, 107, 102, 97, 93, 89, 85, 81, 77, 74, 71, 68, 65, 62, 60, 57, 55, 53, 50, 48, 46, 44,
    42, 40, 39, 37, 35, 33, 32, 30, 29, 27, 26, 24, 23, 21, 20, 19, 18, 16, 15, 14, 13, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
];

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// So many random bits, at least one.
    pub(super) fn bits(&mut self, count: u32) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> (64 - count)
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        if limit == 1 {
            return 0;
        }
        let bits = (limit - 1).ilog2() + 1;
        loop {
            let drawn = self.bits(bits);
            if drawn < limit {
                return drawn;
            }
        }
    }

    /// A number around `mean`, spread geometrically.
    pub(super) fn geometric(&mut self, mean: i32) -> i32 {
        (i64::from(mean) * i64::from(GEOMETRIC[self.bits(6) as usize]) / 61) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_a_logarithm() {
        for (draw, value) in GEOMETRIC.into_iter().enumerate() {
            assert_eq!((61.0 * (64.0 / (draw as f64 + 1.0)).ln()).round() as u8, value);
        }
    }

    #[test]
    fn numbers_stay_below_their_limit() {
        let mut random = Random::new(7);
        for limit in [1, 2, 3, 50_000_000] {
            assert!((0..100).all(|_| random.below(limit) < limit));
        }
        assert_eq!(Random::new(1).bits(31), 908_834_774);
    }
}
