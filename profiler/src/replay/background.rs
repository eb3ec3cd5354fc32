//! `khugepaged` on the recorded clock. When it comes to a process is chance: the lowest reading does without; the expected one has it come as often
//! as it is set, the first time after half of its sleep; the highest one twice as often, and early.

use crate::units::Nanos;
use crate::vm::AddressSpace;
use crate::vm::thp::Khugepaged;

/// Its rounds in one reading.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    set: Khugepaged,
    reading: usize,
    every: Nanos,
    due: Nanos,
    /// The huge page that it looks at next.
    next: u64,
}

impl Rounds {
    /// As often as it is set.
    pub(super) fn expected(set: Khugepaged, reading: usize) -> Rounds {
        Rounds { set, reading, every: set.sleep, due: Nanos(set.sleep.0 / 2), next: 0 }
    }

    /// As often as may be.
    pub(super) fn frequent(set: Khugepaged, reading: usize) -> Rounds {
        Rounds { set, reading, every: Nanos(set.sleep.0 / 2), due: Nanos(set.sleep.0 / 16), next: 0 }
    }

    /// When the next round is.
    pub(super) fn due(&self) -> Nanos {
        self.due
    }

    /// Goes through the memory.
    pub(super) fn run<const N: usize>(&mut self, space: &mut AddressSpace<N>) {
        self.set.round(space, self.reading, &mut self.next);
        // Without a sleep it would never end.
        self.due += self.every.max(Nanos(1_000_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Access, Advice, Backing};
    use crate::units::{Addr, Bytes};
    use crate::vm::thp::Mode;

    const HUGE: u64 = 2 << 20;

    #[test]
    fn a_round_makes_huge_what_has_something_and_goes_on_where_it_ended() {
        let mut space = AddressSpace::<1>::new(Mode::Madvise);
        // From the middle of a huge page to the middle of another: ten between them are whole.
        let (start, len) = (Addr(HUGE / 2), Bytes(11 * HUGE));
        space.map_at(start, len, 3, Backing::Anonymous);
        [0, 1, 3, 4, 10].into_iter().for_each(|huge| space.touch(Addr(HUGE / 2 + huge * HUGE), Bytes(1), Access::Write));
        space.advise(start, len, Advice::HugePage);
        let mut rounds = Rounds::expected(Khugepaged { pages: 4096, sleep: Nanos(10), most_absent: 511 }, 0);
        let mut resident = |rounds: &mut Rounds| {
            rounds.run(&mut space);
            (space.counters(0).anon.0, space.counters(0).minor_faults)
        };
        // Eight are looked at, three of which have something: 1, 3 and 4. What lies before the first whole one stays, and so does what is left.
        assert_eq!((resident(&mut rounds), rounds.due()), ((3 * 512 + 2, 5), Nanos(5 + 1_000_000)));
        assert_eq!(resident(&mut rounds), (4 * 512 + 1, 5));
        assert_eq!(resident(&mut rounds), (4 * 512 + 1, 5));
    }

    #[test]
    fn too_little_is_left_alone() {
        let mut space = AddressSpace::<1>::new(Mode::Madvise);
        space.map_at(Addr(HUGE), Bytes(HUGE), 3, Backing::Anonymous);
        space.touch(Addr(HUGE), Bytes(256 * 4096), Access::Write);
        space.advise(Addr(HUGE), Bytes(HUGE), Advice::HugePage);
        let mut resident = |most_absent| {
            Rounds::frequent(Khugepaged { pages: 4096, sleep: Nanos(10), most_absent }, 0).run(&mut space);
            space.counters(0).anon.0
        };
        assert_eq!((resident(255), resident(256)), (256, 512));
    }
}
