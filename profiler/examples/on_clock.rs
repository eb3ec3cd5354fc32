//! The time-averaged resident memory of one recording, on the clock of another recording of the same program.
//!
//! `on_clock CLOCK PROCESS TRACE PROCESS` prints bytes: the kernel's count in TRACE, averaged from each request for memory to the next, weighted by the
//! time from the same request to the next in CLOCK. So two runs compare that do the same at another speed. Where one made more requests than the
//! other, those compare that have the same share behind them. PROCESS is a process's number in its recording.

use std::path::Path;

use profiler::error::{Error, Kind, Result};
use profiler::event::{ProcessId, What};
use profiler::trace::Reader;
use profiler::vm::thp;
use profiler::workload::{Action, Lifter};

/// What lies between two requests, before the first and after the last.
#[derive(Clone, Copy, Default)]
struct Span {
    /// When it begins and ends, ns.
    from: u64,
    to: u64,
    /// Resident bytes × ns.
    area: f64,
    /// Resident bytes at its end.
    rss: u64,
}

impl Span {
    fn pass(&mut self, now: u64) {
        self.area += self.rss as f64 * now.saturating_sub(self.to) as f64;
        self.to = self.to.max(now);
    }

    fn mean(&self) -> f64 {
        if self.to > self.from { self.area / (self.to - self.from) as f64 } else { self.rss as f64 }
    }
}

fn spans(trace: &Path, process: ProcessId) -> Result<Vec<Span>> {
    let mut reader = Reader::open(trace)?;
    let (mut lifter, mut ops, mut spans) = (Lifter::new(process, thp::Mode::default()), Vec::new(), Vec::new());
    let mut span = Span::default();
    while let Some(batch) = reader.next_batch() {
        for event in batch.iter() {
            if !lifter.feed(event, &mut ops) {
                continue;
            }
            span.pass(lifter.now().0);
            if let What::Rss { anon, file, shmem } = event.what {
                span.rss = (anon + file + shmem).bytes().0;
            }
            if ops.drain(..).any(|op| matches!(op.action, Action::Alloc { .. } | Action::Realloc { .. } | Action::Free { .. })) {
                spans.push(span);
                span = Span { from: span.to, to: span.to, area: 0.0, rss: span.rss };
            }
        }
    }
    spans.push(span);
    Ok(spans)
}

/// The time in `clock` at which this share of its spans is over, ns.
fn time(clock: &[Span], share: f64) -> f64 {
    let place = share * clock.len() as f64;
    match clock.get(place as usize) {
        Some(span) => span.from as f64 + place.fract() * (span.to - span.from) as f64,
        None => clock.last().map_or(0.0, |span| span.to as f64),
    }
}

fn mean(clock: &[Span], spans: &[Span]) -> f64 {
    let at = |place: usize| time(clock, place as f64 / spans.len() as f64);
    let weighted = spans.iter().enumerate().map(|(place, span)| span.mean() * (at(place + 1) - at(place)));
    weighted.sum::<f64>() / at(spans.len())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [clock, of_clock, trace, of_trace] = words.as_slice() else {
        return Err(Error::new(Kind::Usage, "on_clock CLOCK PROCESS TRACE PROCESS"));
    };
    let number = |word: &str| word.parse().map_err(|_| Error::new(Kind::Usage, format!("{word} is no number of a process")));
    let spans_of = |trace: &str, process: &str| spans(Path::new(trace), number(process)?);
    println!("{:.0}", mean(&spans_of(clock, of_clock)?, &spans_of(trace, of_trace)?));
    Ok(())
}
