//! Ordered map of disjoint half-open ranges (of page numbers) to values.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint ranges with a value each; neighbours with equal values are one range, as in the kernel's list of mappings.
#[derive(Clone, Debug)]
pub struct RangeMap<V: Copy> {
    /// start → (end, value)
    map: BTreeMap<u64, (u64, V)>,
    /// A range as it stands in the map: look-ups mostly follow each other in one.
    recent: Cell<Option<(u64, u64, V)>>,
}

impl<V: Copy> Default for RangeMap<V> {
    fn default() -> RangeMap<V> {
        RangeMap { map: BTreeMap::new(), recent: Cell::new(None) }
    }
}

impl<V: Copy + PartialEq> RangeMap<V> {
    /// Without ranges.
    pub fn new() -> RangeMap<V> {
        RangeMap::default()
    }

    /// Gives `range` the value, over whatever was there. Answers with how much was.
    pub fn insert(&mut self, range: Range<u64>, value: V) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let taken = self.remove(range.clone());
        let mut end = range.end;
        if let Some((right_end, right)) = self.map.get(&range.end)
            && *right == value
        {
            end = *right_end;
            self.map.remove(&range.end);
        }
        let mut start = range.start;
        match self.map.range_mut(..start).next_back() {
            Some((&left_start, (left_end, left))) if *left_end == start && *left == value => (start, *left_end) = (left_start, end),
            _ => _ = self.map.insert(start, (end, value)),
        }
        self.recent.set(Some((start, end, value)));
        taken
    }

    /// Empties `range`; ranges that reach out of it keep the rest. Answers with how much was taken.
    pub fn remove(&mut self, range: Range<u64>) -> u64 {
        let mut taken = 0;
        if range.is_empty() {
            return taken;
        }
        self.recent.set(None);
        while let Some((&start, (end, value))) = self.map.range_mut(..range.end).next_back()
            && *end > range.start
        {
            let tail = (*end > range.end).then_some((*end, *value));
            taken += (*end).min(range.end) - start.max(range.start);
            let reaches_below = start < range.start;
            if reaches_below {
                *end = range.start;
            } else {
                self.map.remove(&start);
            }
            if let Some(tail) = tail {
                self.map.insert(range.end, tail);
            }
            if reaches_below {
                break;
            }
        }
        taken
    }

    /// The range that holds `at`, with its value.
    pub fn get(&self, at: u64) -> Option<(Range<u64>, V)> {
        if let Some((start, end, value)) = self.recent.get()
            && (start..end).contains(&at)
        {
            return Some((start..end, value));
        }
        let (&start, &(end, value)) = self.map.range(..=at).next_back().filter(|(_, (end, _))| at < *end)?;
        self.recent.set(Some((start, end, value)));
        Some((start..end, value))
    }

    /// The lowest range that starts at or above `at`.
    pub fn next_from(&self, at: u64) -> Option<(Range<u64>, &V)> {
        self.map.range(at..).next().map(|(&start, (end, value))| (start..*end, value))
    }

    /// Every range that has a part in `range`, whole (not cut), ascending.
    pub fn overlaps(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, &V)> {
        let head = match self.map.range(..range.start).next_back() {
            Some((&start, (end, _))) if *end > range.start && !range.is_empty() => start,
            _ => range.start,
        };
        self.map.range(head..range.end.max(head)).map(|(&start, (end, value))| (start..*end, value))
    }

    /// The parts of `range` that have no value, ascending.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let mut from = range.start;
        let until = range.end;
        let last = (!range.is_empty()).then_some(until..until);
        self.overlaps(range).map(|(taken, _)| taken).chain(last).filter_map(move |taken| {
            let gap = from..taken.start.min(until);
            from = taken.end.max(from);
            (!gap.is_empty()).then_some(gap)
        })
    }

    /// Replaces the values in `range` by what `change` makes of them; gaps stay gaps.
    pub fn update(&mut self, range: Range<u64>, mut change: impl FnMut(&V) -> V) {
        let pieces: Vec<(Range<u64>, V)> =
            self.overlaps(range.clone()).map(|(whole, value)| (clip(&whole, &range), change(value))).collect();
        for (piece, value) in pieces {
            self.insert(piece, value);
        }
    }

    /// Every range with its value, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Range<u64>, &V)> {
        self.map.iter().map(|(&start, (end, value))| (start..*end, value))
    }
}

/// The part of `whole` inside `bounds`.
pub fn clip(whole: &Range<u64>, bounds: &Range<u64>) -> Range<u64> {
    whole.start.max(bounds.start)..whole.end.min(bounds.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Range<u64>, u8),
        Remove(Range<u64>),
        Update(Range<u64>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let range = (0u64..200, 0u64..40).prop_map(|(start, len)| start..start + len);
        prop_oneof![
            (range.clone(), 0u8..4).prop_map(|(range, value)| Step::Insert(range, value)),
            range.clone().prop_map(Step::Remove),
            range.prop_map(Step::Update),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_one_value_per_page(steps in prop::collection::vec(step(), 1..120), probe in 0u64..200, len in 0u64..60) {
            let mut plain: Vec<Option<u8>> = vec![None; 260];
            let mut map = RangeMap::new();
            let mut before = None;
            let span = |range: &Range<u64>| range.start as usize..range.end as usize;
            for step in steps {
                // What was found before a change must not be found after it.
                prop_assert_eq!(map.get(probe).map(|(_, value)| value), before);
                match step {
                    Step::Insert(range, value) => {
                        let expected = plain[span(&range)].iter().flatten().count() as u64;
                        plain[span(&range)].fill(Some(value));
                        prop_assert_eq!(map.insert(range, value), expected);
                    }
                    Step::Remove(range) => {
                        let expected = plain[span(&range)].iter().flatten().count() as u64;
                        plain[span(&range)].fill(None);
                        prop_assert_eq!(map.remove(range), expected);
                    }
                    Step::Update(range) => {
                        plain[span(&range)].iter_mut().flatten().for_each(|value| *value = (*value + 1) % 4);
                        map.update(range, |value| (value + 1) % 4);
                    }
                }
                before = plain[probe as usize];
            }
            let mut drawn = vec![None; 260];
            let mut last: Option<(u64, u8)> = None;
            for (range, value) in map.iter() {
                prop_assert!(last.is_none_or(|(end, before)| end < range.start || (end == range.start && before != *value)));
                last = Some((range.end, *value));
                drawn[span(&range)].fill(Some(*value));
            }
            prop_assert_eq!(&drawn, &plain);
            prop_assert_eq!(map.get(probe).map(|(_, value)| value), plain[probe as usize]);
            let window = probe..probe + len;
            let mut covered = vec![false; 260];
            for (range, _) in map.overlaps(window.clone()) {
                covered[span(&clip(&range, &window))].fill(true);
            }
            for gap in map.gaps(window.clone()) {
                prop_assert!(covered[span(&gap)].iter().all(|covered| !covered));
                covered[span(&gap)].fill(true);
                prop_assert!(plain[span(&gap)].iter().all(Option::is_none));
            }
            prop_assert!(covered[span(&window)].iter().all(|covered| *covered));
        }
    }
}
