//! Recorded parents that follow their stopped children. A child that stops for the recorder is seen stopped by a parent that waits with
//! `WUNTRACED`; some (`su`, shells with job control) then stop themselves until someone continues them, and here nobody would.

use std::collections::BTreeMap;

/// A parent is looked after at so many looks after its child has stopped.
const LOOKS: u8 = 10;

/// Parents of processes that have stopped for the recorder of late.
#[derive(Default)]
pub struct Parents {
    watched: BTreeMap<u32, Watch>,
}

struct Watch {
    looks_left: u8,
    was_stopped: bool,
}

impl Parents {
    /// A child of this process has stopped for the recorder.
    pub fn watch(&mut self, pid: u32) {
        self.watched.entry(pid).or_insert(Watch { looks_left: LOOKS, was_stopped: false }).looks_left = LOOKS;
    }

    /// One look: the parents to be continued. To be called when the ring is empty, that is when every stop that was announced is answered.
    /// A parent must be found stopped twice: the first time it may be a stop of its own for the recorder, announced right now.
    pub fn stuck(&mut self, is_stopped: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut stuck = Vec::new();
        self.watched.retain(|&pid, watch| {
            let was_stopped = std::mem::replace(&mut watch.was_stopped, is_stopped(pid));
            if was_stopped && watch.was_stopped {
                stuck.push(pid);
                watch.was_stopped = false;
            }
            watch.looks_left = watch.looks_left.saturating_sub(1);
            watch.looks_left > 0 || watch.was_stopped
        });
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Vec<u32> = Vec::new();

    #[test]
    fn a_parent_that_stays_stopped_is_continued() {
        let mut parents = Parents::default();
        parents.watch(7);
        assert_eq!([parents.stuck(|_| false), parents.stuck(|_| true)], [NONE; 2]);
        assert_eq!(parents.stuck(|pid| pid == 7), vec![7]);
    }

    #[test]
    fn a_stop_seen_once_may_be_the_recorders_own() {
        let mut parents = Parents::default();
        parents.watch(7);
        for stopped in [true, false, true, false] {
            assert_eq!(parents.stuck(|_| stopped), NONE);
        }
    }

    #[test]
    fn others_are_left_alone_and_looking_ends() {
        let mut parents = Parents::default();
        assert_eq!(parents.stuck(|_| true), NONE);
        parents.watch(7);
        (0..LOOKS).for_each(|_| assert_eq!(parents.stuck(|_| false), NONE));
        assert_eq!([parents.stuck(|_| true), parents.stuck(|_| true)], [NONE; 2]);
    }
}
