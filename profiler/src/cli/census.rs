//! A first pass over a trace: which processes it holds and how many events of each kind.

use std::collections::BTreeMap;
use std::path::Path;

use super::origins::Names;
use super::progress::Talk;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, ProcessId, What};
use crate::trace::{Manifest, Reader, kind_name};
use crate::units::{Bytes, Nanos};
use crate::workload::{Gaps, ProbeCost};

/// Counts of one process image.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// Events by the names of the trace.
    pub(super) kinds: BTreeMap<&'static str, u64>,
    /// Calls of the malloc family.
    pub(super) heap_calls: u64,
    /// The kernel's highest resident set.
    pub(super) peak_rss: Option<Bytes>,
    /// When calls of the malloc family were recorded.
    pub(super) windows: Windows,
}

/// The windows of a process in which calls were recorded; one without a beginning or an end of its own begins or ends with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Windows {
    /// How many.
    pub(super) count: u64,
    closed: Nanos,
    open_since: Option<Nanos>,
    first: Option<Nanos>,
    last: Nanos,
}

impl Windows {
    fn add(&mut self, event: &Event) {
        self.last = event.time;
        if self.first.is_none() {
            (self.first, self.open_since, self.count) = (Some(event.time), Some(event.time), 1);
        }
        match (event.what, self.open_since) {
            (What::WindowBegin, None) => {
                self.open_since = Some(event.time);
                self.count += 1;
            }
            (What::WindowEnd, Some(since)) => {
                self.closed += event.time.saturating_sub(since);
                self.open_since = None;
                // It came in a gap.
                self.count -= u64::from(event.time == since);
            }
            _ => {}
        }
    }

    /// Their length together.
    pub(super) fn length(&self) -> Nanos {
        self.closed + self.open_since.map_or(Nanos(0), |since| self.last.saturating_sub(since))
    }
}

/// What a trace holds.
pub(super) struct Census {
    /// What the trace says of itself.
    pub(super) manifest: Manifest,
    /// By process image.
    pub(super) counts: BTreeMap<ProcessId, Count>,
    /// What the probes cost the recorded processes.
    pub(super) cost: ProbeCost,
    /// Events altogether.
    pub(super) events: u64,
    /// Size of the table of events.
    pub(super) bytes: Bytes,
    /// What is wrong with the trace, for a person.
    pub(super) damage: Option<String>,
    /// Where blocks were asked for.
    pub(super) names: Names,
}

impl Census {
    /// Reads the trace once.
    ///
    /// # Errors
    /// `Trace` when it cannot be read at all.
    pub(super) fn take(trace: &Path, talk: Talk) -> Result<Census> {
        let mut reader = Reader::open(trace)?;
        let bar = talk.reading(reader.bytes_total(), "reading");
        let mut counts: BTreeMap<ProcessId, Count> = BTreeMap::new();
        let mut gaps = Gaps::default();
        while let Some(batch) = reader.next_batch() {
            for event in batch {
                counts.entry(event.process).or_default().add(event);
                gaps.add(event);
            }
            bar.set_position(reader.bytes_read());
        }
        bar.finish_and_clear();
        let (origins, damaged) = reader.origins();
        let damage = reader.damage().map(ToString::to_string).into_iter().chain(damaged).collect::<Vec<_>>().join("; ");
        Ok(Census {
            names: Names::new(origins),
            manifest: reader.manifest().clone(),
            counts,
            cost: gaps.cost(),
            events: reader.events_read(),
            bytes: Bytes(reader.bytes_total()),
            damage: Some(damage).filter(|damage| !damage.is_empty()),
        })
    }

    /// The process that was asked for by number, kernel pid or name; without a wish the one that held most memory.
    ///
    /// # Errors
    /// `Usage` when there is none such, `Trace` when the trace holds no process.
    pub(super) fn select(&self, wish: Option<&str>) -> Result<ProcessId> {
        match wish {
            None => {
                let largest = self.counts.iter().max_by_key(|(id, count)| (count.peak_rss, count.heap_calls, std::cmp::Reverse(**id)));
                largest.map(|(id, _)| *id).ok_or_else(|| Error::new(Kind::Trace, "the trace holds no events of any process"))
            }
            Some(wish) => self.find(wish).ok_or_else(|| {
                let known: Vec<String> = self.counts.keys().map(|id| format!("{id} ({})", self.name(*id))).collect();
                Error::new(Kind::Usage, format!("the trace has no process {wish}; it has: {}", known.join(", ")))
            }),
        }
    }

    fn find(&self, wish: &str) -> Option<ProcessId> {
        let number: Option<u32> = wish.parse().ok();
        let by_id = number.filter(|id| self.counts.contains_key(id));
        let busiest_first = || {
            let mut ids: Vec<_> = self.counts.iter().collect();
            ids.sort_by_key(|(_, count)| std::cmp::Reverse(count.heap_calls));
            ids.into_iter().map(|(id, _)| *id)
        };
        let process = |id: ProcessId| self.manifest.processes.get(id as usize);
        let by_pid = || busiest_first().find(|id| process(*id).is_some_and(|process| Some(process.pid) == number));
        let by_name = || busiest_first().find(|id| process(*id).is_some_and(|process| process.comm == wish || process.exe.ends_with(wish)));
        by_id.or_else(by_pid).or_else(by_name)
    }

    /// What a process is called.
    pub(super) fn name(&self, id: ProcessId) -> String {
        match self.manifest.processes.get(id as usize) {
            Some(process) if !process.exe.is_empty() => process.exe.clone(),
            Some(process) if !process.comm.is_empty() => process.comm.clone(),
            _ => "unknown".to_owned(),
        }
    }
}

impl Count {
    fn add(&mut self, event: &Event) {
        *self.kinds.entry(kind_name(event)).or_default() += 1;
        self.windows.add(event);
        self.heap_calls += u64::from(matches!(event.what, What::Alloc { .. } | What::Free { .. }));
        if let What::Rss { anon, file, shmem } = event.what {
            self.peak_rss = self.peak_rss.max(Some((anon + file + shmem).bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_and_added_up() {
        let windows = |events: &[(u64, What)]| {
            let mut windows = Windows::default();
            let event = |&(time, what): &(u64, What)| Event { time: Nanos(time), process: 0, tid: 1, in_heap: false, what };
            events.iter().map(event).for_each(|event| windows.add(&event));
            (windows.count, windows.length())
        };
        use What::{End, Start, WindowBegin, WindowEnd};
        assert_eq!(windows(&[(5, Start), (25, End)]), (1, Nanos(20)));
        assert_eq!(windows(&[(5, Start), (15, WindowEnd), (50, WindowBegin), (60, WindowEnd), (99, End)]), (2, Nanos(20)));
        assert_eq!(windows(&[(5, Start), (5, WindowEnd), (50, WindowBegin), (70, End)]), (1, Nanos(20)));
        assert_eq!(windows(&[(5, Start), (5, WindowEnd), (50, End)]), (0, Nanos(0)));
    }
}
