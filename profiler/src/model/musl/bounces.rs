//! Classes whose groups come and go: their last group is kept.

/// The first class of which it is watched, and how many are.
const FIRST: usize = 7;
const WATCHED: usize = 32;
/// So often mapped soon after it was unmapped, a class bounces.
const MANY: u8 = 100;
/// What it is taken for then.
const PROVEN: u8 = 150;
/// Steps that are soon.
const SOON: u8 = 10;

/// A clock that steps whenever memory is mapped or unmapped, and what happened by it.
#[derive(Default)]
pub(super) struct Bounces {
    /// Steps so far, starting again at 1.
    now: u8,
    /// When a group of each class was last unmapped; 0 where that is long ago.
    unmapped: [u8; WATCHED],
    counts: [u8; WATCHED],
}

fn place(class: usize) -> Option<usize> {
    class.checked_sub(FIRST).filter(|&place| place < WATCHED)
}

impl Bounces {
    pub(super) fn step(&mut self) {
        if self.now == u8::MAX {
            self.unmapped = [0; WATCHED];
            self.now = 0;
        }
        self.now += 1;
    }

    /// A group of a class was unmapped.
    pub(super) fn unmapped(&mut self, class: usize) {
        self.step();
        if let Some(place) = place(class) {
            self.unmapped[place] = self.now;
        }
    }

    /// A group of a class is about to be mapped.
    pub(super) fn mapping(&mut self, class: usize) {
        if let Some(place) = place(class) {
            let then = self.unmapped[place];
            if then > 0 && self.now - then < SOON {
                let more = self.counts[place].saturating_add(1);
                self.counts[place] = if more < MANY { more } else { PROVEN };
            }
        }
        self.step();
    }

    /// Slots that had been freed served again.
    pub(super) fn reused(&mut self, class: usize) {
        if let Some(place) = place(class) {
            self.counts[place] = self.counts[place].saturating_sub(1);
        }
    }

    pub(super) fn is_bouncing(&self, class: usize) -> bool {
        place(class).is_some_and(|place| self.counts[place] >= MANY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn come_and_go(bounces: &mut Bounces, class: usize) {
        bounces.mapping(class);
        bounces.unmapped(class);
    }

    #[test]
    fn what_comes_and_goes_bounces_until_it_is_used_again() {
        let mut bounces = Bounces::default();
        for _ in 0..99 {
            come_and_go(&mut bounces, 9);
        }
        assert!(!bounces.is_bouncing(9));
        // Once the clock wrapped, which forgot one of them.
        (0..2).for_each(|_| come_and_go(&mut bounces, 9));
        bounces.mapping(9);
        assert!(bounces.is_bouncing(9) && !bounces.is_bouncing(8));
        (0..50).for_each(|_| bounces.reused(9));
        assert!(bounces.is_bouncing(9));
        bounces.reused(9);
        assert!(!bounces.is_bouncing(9));
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut bounces = Bounces::default();
        for _ in 0..300 {
            come_and_go(&mut bounces, 9);
            (0..10).for_each(|_| bounces.step());
        }
        assert!(!bounces.is_bouncing(9));
        (0..300).for_each(|_| come_and_go(&mut bounces, 6));
        assert!(!bounces.is_bouncing(6) && !bounces.is_bouncing(63));
    }
}
