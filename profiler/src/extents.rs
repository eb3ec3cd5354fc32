//! A set of disjoint address ranges that answers "the lowest (or highest) range of at least this size" without walking them all.
//!
//! Ranges lie sorted in leaves; two levels of maxima stand above them, so a search skips 64 leaves at a time and touches one leaf:
//!
//! ```text
//! supers   max of 64 leaves   | max of 64 leaves | …
//! maxima   one per leaf: length of its longest range
//! leaves   up to 128 × (start, end), sorted, never empty
//! ```

const LEAF: usize = 128;
const GROUP: usize = 64;

type Span = (u64, u64);

/// Disjoint half-open ranges, never touching each other: what touches is merged. The unit of the addresses is the caller's.
#[derive(Clone, Debug, Default)]
pub struct Extents {
    leaves: Vec<Vec<Span>>,
    firsts: Vec<u64>,
    maxima: Vec<u64>,
    supers: Vec<u64>,
    total: u64,
}

impl Extents {
    /// The empty set.
    pub fn new() -> Extents {
        Extents::default()
    }

    /// Sum of the lengths.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether no range is there.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Every range, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.leaves.iter().flatten().copied()
    }

    /// The range that holds `at`.
    pub fn containing(&self, at: u64) -> Option<(u64, u64)> {
        let (leaf, slot) = self.at_or_below(at)?;
        let span = self.leaves[leaf][slot];
        (at < span.1).then_some(span)
    }

    /// The lowest range of at least `len`.
    pub fn lowest_fit(&self, len: u64) -> Option<(u64, u64)> {
        let group = self.supers.iter().position(|&max| max >= len)?;
        let leaf = group * GROUP + self.maxima[group * GROUP..].iter().position(|&max| max >= len)?;
        self.leaves[leaf].iter().find(|span| span.1 - span.0 >= len).copied()
    }

    /// The highest range of at least `len`.
    pub fn highest_fit(&self, len: u64) -> Option<(u64, u64)> {
        let group = self.supers.iter().rposition(|&max| max >= len)?;
        let until = self.maxima.len().min((group + 1) * GROUP);
        let leaf = self.maxima[..until].iter().rposition(|&max| max >= len)?;
        self.leaves[leaf].iter().rfind(|span| span.1 - span.0 >= len).copied()
    }

    /// Adds `start..end`, which must not overlap what is there, and merges it with the ranges it touches. Answers with the merged range.
    pub fn insert(&mut self, start: u64, end: u64) -> (u64, u64) {
        if start >= end {
            return (start, end);
        }
        self.total += end - start;
        let mut merged = (start, end);
        let below = self.at_or_below(start);
        let above = self.following(below);
        let joins_above = above.filter(|&(leaf, slot)| self.leaves[leaf][slot].0 == end);
        let joins_below = below.filter(|&(leaf, slot)| self.leaves[leaf][slot].1 == start);
        if let Some((leaf, slot)) = joins_above {
            merged.1 = self.leaves[leaf][slot].1;
        }
        match (joins_below, joins_above) {
            (Some((leaf, slot)), joined) => {
                merged.0 = self.leaves[leaf][slot].0;
                // The higher one goes first, so that the lower one's place stays valid.
                if let Some((leaf, slot)) = joined {
                    self.delete(leaf, slot);
                }
                self.replace(leaf, slot, merged);
            }
            (None, Some((leaf, slot))) => self.replace(leaf, slot, merged),
            (None, None) => self.place(below, merged),
        }
        merged
    }

    /// Takes `start..end` out, wherever parts of it are in the set. Answers with how much was.
    pub fn remove(&mut self, start: u64, end: u64) -> u64 {
        let before = self.total;
        while let Some((leaf, slot)) = self.first_overlap(start, end) {
            let span = self.leaves[leaf][slot];
            let (cut_from, cut_to) = (span.0.max(start), span.1.min(end));
            self.total -= cut_to - cut_from;
            match (span.0 < cut_from, cut_to < span.1) {
                (false, false) => self.delete(leaf, slot),
                (true, false) => self.replace(leaf, slot, (span.0, cut_from)),
                (false, true) => self.replace(leaf, slot, (cut_to, span.1)),
                (true, true) => {
                    self.replace(leaf, slot, (span.0, cut_from));
                    self.place(Some((leaf, slot)), (cut_to, span.1));
                }
            }
            if cut_to == end {
                break;
            }
        }
        before - self.total
    }

    fn first_overlap(&self, start: u64, end: u64) -> Option<(usize, usize)> {
        if start >= end {
            return None;
        }
        let below = self.at_or_below(start);
        if let Some((leaf, slot)) = below
            && self.leaves[leaf][slot].1 > start
        {
            return below;
        }
        self.following(below).filter(|&(leaf, slot)| self.leaves[leaf][slot].0 < end)
    }

    /// The place of the last range that starts at or below `at`.
    fn at_or_below(&self, at: u64) -> Option<(usize, usize)> {
        let leaf = self.firsts.partition_point(|&first| first <= at).checked_sub(1)?;
        let slot = self.leaves[leaf].partition_point(|span| span.0 <= at) - 1;
        Some((leaf, slot))
    }

    fn following(&self, place: Option<(usize, usize)>) -> Option<(usize, usize)> {
        match place {
            None => (!self.leaves.is_empty()).then_some((0, 0)),
            Some((leaf, slot)) if slot + 1 < self.leaves[leaf].len() => Some((leaf, slot + 1)),
            Some((leaf, _)) => (leaf + 1 < self.leaves.len()).then_some((leaf + 1, 0)),
        }
    }

    /// Puts `span` behind `below` as a range of its own.
    fn place(&mut self, below: Option<(usize, usize)>, span: Span) {
        if self.leaves.is_empty() {
            self.leaves.push(vec![span]);
            return self.rebuild(0);
        }
        let (leaf, slot) = below.map_or((0, 0), |(leaf, slot)| (leaf, slot + 1));
        self.leaves[leaf].insert(slot, span);
        if self.leaves[leaf].len() > LEAF {
            let upper = self.leaves[leaf].split_off(LEAF / 2);
            self.leaves.insert(leaf + 1, upper);
            return self.rebuild(leaf);
        }
        self.firsts[leaf] = self.leaves[leaf][0].0;
        self.raise(leaf, span.1 - span.0);
    }

    fn replace(&mut self, leaf: usize, slot: usize, span: Span) {
        let old = std::mem::replace(&mut self.leaves[leaf][slot], span);
        self.firsts[leaf] = self.leaves[leaf][0].0;
        let (old, new) = (old.1 - old.0, span.1 - span.0);
        if new >= old { self.raise(leaf, new) } else { self.lower(leaf, old) }
    }

    fn delete(&mut self, leaf: usize, slot: usize) {
        let old = self.leaves[leaf].remove(slot);
        if self.leaves[leaf].is_empty() {
            self.leaves.remove(leaf);
            return self.rebuild(leaf);
        }
        self.firsts[leaf] = self.leaves[leaf][0].0;
        self.lower(leaf, old.1 - old.0);
    }

    fn raise(&mut self, leaf: usize, len: u64) {
        self.maxima[leaf] = self.maxima[leaf].max(len);
        self.supers[leaf / GROUP] = self.supers[leaf / GROUP].max(len);
    }

    /// A range of length `was` became shorter or went: only if it was the longest must the maxima be found again.
    fn lower(&mut self, leaf: usize, was: u64) {
        if was < self.maxima[leaf] {
            return;
        }
        self.maxima[leaf] = longest(&self.leaves[leaf]);
        if was == self.supers[leaf / GROUP] {
            self.regroup(leaf / GROUP);
        }
    }

    fn regroup(&mut self, group: usize) {
        let until = self.maxima.len().min((group + 1) * GROUP);
        self.supers[group] = self.maxima[group * GROUP..until].iter().copied().max().unwrap_or(0);
    }

    /// The leaves from `leaf` on were shifted: a leaf was added there or taken away.
    fn rebuild(&mut self, leaf: usize) {
        match self.leaves.len() {
            more if more > self.firsts.len() => {
                self.firsts.insert(leaf, 0);
                self.maxima.insert(leaf, 0);
            }
            fewer if fewer < self.firsts.len() => {
                self.firsts.remove(leaf);
                self.maxima.remove(leaf);
            }
            _ => {}
        }
        for changed in leaf..self.leaves.len().min(leaf + 2) {
            self.firsts[changed] = self.leaves[changed][0].0;
            self.maxima[changed] = longest(&self.leaves[changed]);
        }
        self.supers.resize(self.leaves.len().div_ceil(GROUP), 0);
        for group in leaf / GROUP..self.supers.len() {
            self.regroup(group);
        }
    }
}

fn longest(leaf: &[Span]) -> u64 {
    leaf.iter().map(|span| span.1 - span.0).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same set as one flag per unit.
    fn runs(flags: &[bool]) -> Vec<Span> {
        let mut found: Vec<Span> = Vec::new();
        for (i, _) in flags.iter().enumerate().filter(|(_, set)| **set) {
            match found.last_mut() {
                Some(last) if last.1 == i as u64 => last.1 += 1,
                _ => found.push((i as u64, i as u64 + 1)),
            }
        }
        found
    }

    proptest! {
        #[test]
        fn agrees_with_a_flag_per_unit(steps in prop::collection::vec((0u64..3000, 1u64..12, any::<bool>()), 1..900), len in 1u64..16) {
            let mut flags = vec![false; 3020];
            let mut set = Extents::new();
            for (start, count, add) in steps {
                let end = start + count;
                let expected = flags[start as usize..end as usize].iter().filter(|set| **set).count() as u64;
                prop_assert_eq!(set.remove(start, end), expected);
                if add {
                    let merged = set.insert(start, end);
                    prop_assert!(merged.0 <= start && merged.1 >= end);
                }
                flags[start as usize..end as usize].fill(add);
            }
            let plain = runs(&flags);
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), plain.clone());
            prop_assert_eq!(set.total(), plain.iter().map(|span| span.1 - span.0).sum::<u64>());
            prop_assert_eq!(set.lowest_fit(len), plain.iter().find(|span| span.1 - span.0 >= len).copied());
            prop_assert_eq!(set.highest_fit(len), plain.iter().rfind(|span| span.1 - span.0 >= len).copied());
        }
    }

    #[test]
    fn many_leaves_keep_their_maxima() {
        let mut set = Extents::new();
        for i in 0..40_000u64 {
            set.insert(i * 10, i * 10 + 1 + i % 7);
        }
        assert_eq!(set.lowest_fit(7), Some((60, 67)));
        set.insert(399_997, 400_050);
        assert_eq!(set.lowest_fit(50), Some((399_997, 400_050)));
        for i in 0..39_999u64 {
            set.remove(i * 10, i * 10 + 7);
        }
        assert_eq!(set.lowest_fit(1), Some((399_990, 399_990 + 1 + 39_999 % 7)));
        assert_eq!(set.containing(400_000), Some((399_997, 400_050)));
    }
}
