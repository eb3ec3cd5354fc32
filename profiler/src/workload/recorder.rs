//! What the recorder itself does to the memory of a process, so that it can be taken off again.
//!
//! - A probed page of code becomes a private copy: an anonymous page where there was a file's. The process stands still meanwhile, so that whatever its
//!   resident set does in a pause is such a copy.
//! - Return probes need a page of the kernel's (`[uprobes]`), which counts as a file's. No mapping of it is recorded, and code that runs where nothing
//!   is mapped is there: the first such fault is the recorder's.

use crate::units::{Nanos, Pages};

#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
    /// The last pause.
    pause: (Nanos, Nanos),
    /// Anonymous pages as last counted.
    anon: Option<Pages>,
    /// What they changed by since the process did anything else, and when: the pause may be told afterwards.
    recent: Vec<(Nanos, i64)>,
    /// Pages of files that are counted as anonymous ones.
    copied: i64,
    /// Its own pages and faults; there is one page at most.
    own: u64,
}

impl Recorder {
    /// The kernel has counted the anonymous pages.
    pub(super) fn counted(&mut self, time: Nanos, anon: Pages) {
        let before = self.anon.replace(anon).unwrap_or(anon);
        let change = anon.0 as i64 - before.0 as i64;
        if (self.pause.0..self.pause.1).contains(&time) {
            self.copied += change;
        } else if change != 0 {
            self.recent.push((time, change));
        }
    }

    /// The process has stood still.
    pub(super) fn paused(&mut self, since: Nanos, until: Nanos) {
        self.pause = (since, until);
        self.copied += self.recent.drain(..).filter(|(time, _)| *time >= since).map(|(_, change)| change).sum::<i64>();
    }

    /// The process has done something.
    pub(super) fn ran(&mut self) {
        self.recent.clear();
    }

    /// Code ran where nothing is mapped.
    pub(super) fn ran_outside(&mut self) {
        self.own = 1;
    }

    /// File pages as they would be counted without the recorder.
    pub(super) fn file(&self, counted: Pages) -> Pages {
        Pages(counted.0.saturating_add_signed(self.copied.max(0)).saturating_sub(self.own))
    }

    /// Pages and faults that are there because of it alone.
    pub(super) fn own(&self) -> u64 {
        self.own
    }

    /// A forked child has the copies, too.
    pub(super) fn fork(&self) -> Recorder {
        Recorder { copied: self.copied, ..Recorder::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_come_while_the_process_stands_still_are_copies_of_file_pages() {
        let mut recorder = Recorder::default();
        [(5, 10), (12, 11), (15, 12)].into_iter().for_each(|(time, anon)| recorder.counted(Nanos(time), Pages(anon)));
        recorder.paused(Nanos(10), Nanos(20));
        recorder.counted(Nanos(18), Pages(13));
        recorder.counted(Nanos(20), Pages(14));
        recorder.ran();
        recorder.paused(Nanos(19), Nanos(30));
        assert_eq!((recorder.file(Pages(100)), recorder.own()), (Pages(103), 0));
        recorder.ran_outside();
        recorder.ran_outside();
        assert_eq!((recorder.file(Pages(100)), recorder.own()), (Pages(102), 1));
        assert_eq!(recorder.fork().file(Pages(100)), Pages(103));
    }
}
