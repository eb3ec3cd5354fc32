//! A bit for each slice of a segment.

use super::rules::SLICES;

const WORD: usize = 64;

/// A set of slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask([u64; SLICES / WORD]);

impl Mask {
    pub(super) const EMPTY: Mask = Mask([0; SLICES / WORD]);
    pub(super) const FULL: Mask = Mask([u64::MAX; SLICES / WORD]);

    /// The slices `from..to`.
    pub(super) fn range(from: usize, to: usize) -> Mask {
        let below = |limit: usize, word: usize| match limit.saturating_sub(word * WORD) {
            bits @ 0..WORD => (1 << bits) - 1,
            _ => u64::MAX,
        };
        Mask(std::array::from_fn(|word| below(to, word) & !below(from, word)))
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Mask::EMPTY
    }

    pub(super) fn has_all(&self, other: &Mask) -> bool {
        self.0.iter().zip(other.0).all(|(mine, theirs)| mine & theirs == theirs)
    }

    pub(super) fn has_any(&self, other: &Mask) -> bool {
        self.0.iter().zip(other.0).any(|(mine, theirs)| mine & theirs != 0)
    }

    pub(super) fn add(&mut self, other: &Mask) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    pub(super) fn remove(&mut self, other: &Mask) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine &= !theirs);
    }

    pub(super) fn and(&self, other: &Mask) -> Mask {
        Mask(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Runs of neighbours, ascending, as first slice and number.
    pub(super) fn runs(self) -> impl Iterator<Item = (usize, usize)> {
        let set = move |at: usize| at < SLICES && self.0[at / WORD] >> (at % WORD) & 1 == 1;
        let starts = (0..SLICES).filter(move |&at| set(at) && (at == 0 || !set(at - 1)));
        starts.map(move |start| (start, (start..).take_while(|&at| set(at)).count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_what_was_added() {
        let mut mask = Mask::range(1, 3);
        mask.add(&Mask::range(60, 200));
        mask.add(&Mask::range(511, 512));
        assert_eq!(mask.runs().collect::<Vec<_>>(), [(1, 2), (60, 140), (511, 1)]);
        mask.remove(&Mask::range(64, 128));
        assert_eq!(mask.runs().collect::<Vec<_>>(), [(1, 2), (60, 4), (128, 72), (511, 1)]);
        assert_eq!((Mask::range(0, 512), Mask::range(7, 7)), (Mask::FULL, Mask::EMPTY));
        assert_eq!(Mask::FULL.runs().collect::<Vec<_>>(), [(0, 512)]);
        assert!(mask.has_any(&Mask::range(2, 10)) && !mask.has_all(&Mask::range(2, 4)) && !mask.has_any(&Mask::range(3, 60)));
        assert_eq!(mask.and(&Mask::range(0, 62)).runs().collect::<Vec<_>>(), [(1, 2), (60, 2)]);
    }
}
