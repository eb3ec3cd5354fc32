//! Ordered map of disjoint half-open ranges (of page numbers) to values.

use super::leaves::{Leaves, Place, Row};
use std::cell::Cell;
use std::ops::Range;

/// Disjoint ranges with a value each; neighbours with equal values are one range, as in the kernel's list of mappings.
#[derive(Clone, Debug)]
pub struct RangeMap<V: Copy> {
    rows: Leaves<V>,
    /// A range as it stands in the map: look-ups mostly follow each other in one.
    recent: Cell<Option<(u64, u64, V)>>,
}

impl<V: Copy> Default for RangeMap<V> {
    fn default() -> RangeMap<V> {
        RangeMap { rows: Leaves::new(), recent: Cell::new(None) }
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
        let mut taken = 0;
        let mut below = self.rows.at_or_below(range.start);
        if self.reaches_into(below, &range) {
            taken = self.remove(range.clone());
            below = self.rows.at_or_below(range.start);
        }
        let row = self.put(below, Row { start: range.start, end: range.end, value });
        self.recent.set(Some((row.start, row.end, value)));
        taken
    }

    /// Whether the row at a place, or the one after it, has a part in `range`.
    fn reaches_into(&self, below: Option<Place>, range: &Range<u64>) -> bool {
        below.is_some_and(|place| self.rows.row(place).end > range.start)
            || self.rows.following(below).is_some_and(|place| self.rows.row(place).start < range.end)
    }

    /// Puts a row where nothing is, joined with those that touch it and have the same value. Answers with what it became.
    fn put(&mut self, below: Option<Place>, mut row: Row<V>) -> Row<V> {
        let same = |place: &Place| self.rows.row(*place).value == row.value;
        let left = below.filter(|&place| self.rows.row(place).end == row.start).filter(same);
        let right = self.rows.following(below).filter(|&place| self.rows.row(place).start == row.end).filter(same);
        row.start = left.map_or(row.start, |place| self.rows.row(place).start);
        row.end = right.map_or(row.end, |place| self.rows.row(place).end);
        match (left, right) {
            (Some(place), right) => {
                // The higher one goes first, so that the lower one's place stays valid.
                right.into_iter().for_each(|place| self.rows.delete(place));
                self.rows.replace(place, row);
            }
            (None, Some(place)) => self.rows.replace(place, row),
            (None, None) => self.rows.insert(below, row),
        }
        row
    }

    /// Empties `range`; ranges that reach out of it keep the rest. Answers with how much was taken.
    pub fn remove(&mut self, range: Range<u64>) -> u64 {
        let mut taken = 0;
        if range.is_empty() {
            return taken;
        }
        self.recent.set(None);
        while let Some(place) = self.first_overlap(&range) {
            let row = self.rows.row(place);
            let inside = clip(&(row.start..row.end), &range);
            taken += inside.end - inside.start;
            let (head, tail) = (Row { end: inside.start, ..row }, Row { start: inside.end, ..row });
            match (head.start < head.end, tail.start < tail.end) {
                (false, false) => self.rows.delete(place),
                (true, false) => self.rows.replace(place, head),
                (false, true) => self.rows.replace(place, tail),
                (true, true) => {
                    self.rows.replace(place, head);
                    self.rows.insert(Some(place), tail);
                }
            }
            if row.end >= range.end {
                break;
            }
        }
        taken
    }

    /// The lowest row with a part in `range`.
    fn first_overlap(&self, range: &Range<u64>) -> Option<Place> {
        if range.is_empty() {
            return None;
        }
        let below = self.rows.at_or_below(range.start);
        let reaches = |place: &Place| self.rows.row(*place).end > range.start;
        below.filter(reaches).or_else(|| self.rows.following(below)).filter(|&place| self.rows.row(place).start < range.end)
    }

    /// The range that holds `at`, with its value.
    pub fn get(&self, at: u64) -> Option<(Range<u64>, V)> {
        if let Some((start, end, value)) = self.recent.get()
            && (start..end).contains(&at)
        {
            return Some((start..end, value));
        }
        let Row { start, end, value } = self.rows.at_or_below(at).map(|place| self.rows.row(place)).filter(|row| at < row.end)?;
        self.recent.set(Some((start, end, value)));
        Some((start..end, value))
    }

    /// The lowest range that starts at or above `at`.
    pub fn next_from(&self, at: u64) -> Option<(Range<u64>, &V)> {
        let place = self.rows.following(at.checked_sub(1).and_then(|at| self.rows.at_or_below(at)));
        self.rows.from(place).next().map(entry)
    }

    /// Every range that has a part in `range`, whole (not cut), ascending.
    pub fn overlaps(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, &V)> {
        self.rows.from(self.first_overlap(&range)).take_while(move |row| row.start < range.end).map(entry)
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
        self.rows.from(self.rows.following(None)).map(entry)
    }
}

fn entry<V>(row: &Row<V>) -> (Range<u64>, &V) {
    (row.start..row.end, &row.value)
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
