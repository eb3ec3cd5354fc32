//! When records were lost, and of which kind: looked at every tenth of a second, kept in bounded memory.

use super::object::Totals;
use crate::units::Nanos;

/// Most stretches that are kept. When there are more, each two neighbours become one.
const MOST: usize = 128;

/// The name of calls whose entry or return was missed.
pub const UNPAIRED: &str = "unpaired";

/// What was lost in a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The look before, when it had not been lost yet, on the clock of the events.
    pub from: Nanos,
    /// The look that found it.
    pub until: Nanos,
    /// Records by kind; calls whose other half was missed as [`UNPAIRED`].
    pub lost: Vec<(&'static str, u64)>,
}

/// All losses of a recording.
#[derive(Default)]
pub struct Losses {
    stretches: Vec<Loss>,
    before: Vec<(&'static str, u64)>,
    looked: Nanos,
}

impl Losses {
    /// Compares the counters with those of the look before. Answers whether something was lost since.
    pub fn look(&mut self, now: Nanos, totals: &Totals) -> bool {
        let counted: Vec<_> = totals.lost.iter().copied().chain([(UNPAIRED, totals.unpaired)]).collect();
        let known = |kind| self.before.iter().find(|(name, _)| *name == kind).map_or(0, |(_, count)| *count);
        let fresh = counted.iter().map(|&(kind, count)| (kind, count.saturating_sub(known(kind)))).filter(|(_, count)| *count > 0);
        let loss = Loss { from: self.looked, until: now, lost: fresh.collect() };
        (self.looked, self.before) = (now, counted);
        if loss.lost.is_empty() {
            return false;
        }
        self.stretches.push(loss);
        if self.stretches.len() > MOST {
            self.stretches = self.stretches.chunks(2).map(joined).collect();
        }
        true
    }

    /// In order of time.
    pub fn stretches(&self) -> &[Loss] {
        &self.stretches
    }
}

/// Neighbours as one, with what lies between them.
fn joined(neighbours: &[Loss]) -> Loss {
    let mut all = neighbours[0].clone();
    for next in &neighbours[1..] {
        all.until = next.until;
        for &(kind, count) in &next.lost {
            match all.lost.iter_mut().find(|(name, _)| *name == kind) {
                Some((_, sum)) => *sum += count,
                None => all.lost.push((kind, count)),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(free: u64, unpaired: u64) -> Totals {
        Totals { lost: vec![("malloc", 0), ("free", free)], unpaired, ..Totals::default() }
    }

    #[test]
    fn each_look_tells_what_was_lost_since_the_one_before() {
        let mut losses = Losses::default();
        let looks = [(10, 0, 0), (20, 5, 0), (30, 5, 0), (40, 6, 2)];
        assert_eq!(looks.map(|(now, free, unpaired)| losses.look(Nanos(now), &totals(free, unpaired))), [false, true, false, true]);
        let found = [
            Loss { from: Nanos(10), until: Nanos(20), lost: vec![("free", 5)] },
            Loss { from: Nanos(30), until: Nanos(40), lost: vec![("free", 1), (UNPAIRED, 2)] },
        ];
        assert_eq!(losses.stretches(), found);
    }

    #[test]
    fn however_long_it_goes_on_few_stretches_tell_of_all_of_it() {
        let mut losses = Losses::default();
        (1..=10_000).for_each(|look| assert!(losses.look(Nanos(look), &totals(3 * look, 0))));
        let stretches = losses.stretches();
        assert!(stretches.len() <= MOST && stretches.is_sorted_by(|one, next| one.until <= next.from));
        assert_eq!(stretches.iter().flat_map(|stretch| &stretch.lost).map(|(_, count)| count).sum::<u64>(), 30_000);
        assert_eq!((stretches[0].from, stretches[stretches.len() - 1].until), (Nanos(0), Nanos(10_000)));
    }
}
