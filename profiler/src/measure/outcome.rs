//! What the kernel counted along a script, with what the recording carries, as an outcome on the recorded clock.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::answer::{Answer, CALLS, Reading, Sample, word};
use super::script::{Head, RECORD, decode, thread};
use crate::error::{Context, Error, Kind, Result};
use crate::metrics::{Meter, Point};
use crate::replay::Carried;
use crate::replay::outcome::{Outcome, Source};
use crate::units::{Bytes, PAGE};
use crate::workload::{Action, ObjectId, Op};

/// The outcome; `own` is what the library added before the first operation.
pub(super) fn of(spec: &str, script: &Path, answer: &Answer, own: Reading) -> Result<Outcome> {
    let mut following = Following::new(own);
    let mut samples = answer.samples.iter().peekable();
    each(script, |position, op| {
        following.follow(op.action);
        let sample = samples.next_if(|sample| sample.position <= position);
        following.sample(op, sample);
    })?;
    // The child samples once more at its end.
    let last = samples.last().or(answer.samples.last()).copied().unwrap_or_default();
    Ok(following.finish(spec, answer, &last))
}

/// Calls `take` with every operation and its place, the first being 1.
fn each(script: &Path, mut take: impl FnMut(i64, Op)) -> Result<()> {
    let read = || format!("cannot read {}", script.display());
    let mut file = BufReader::with_capacity(1 << 20, File::open(script).context(Kind::Failed, read())?);
    let mut record = [0; RECORD];
    file.read_exact(&mut record).context(Kind::Failed, read())?;
    let cut_short = || Error::new(Kind::Failed, format!("{} is no script", script.display()));
    let head = Head::decode(&record).ok_or_else(cut_short)?;
    for position in 1..=head.ops as i64 {
        file.read_exact(&mut record).context(Kind::Failed, read())?;
        take(position, decode(&record).ok_or_else(cut_short)?);
    }
    Ok(())
}

struct Following {
    /// What the library adds by being there. A program loads it just before it first asks for memory.
    own: Reading,
    loaded: bool,
    carried: Carried,
    sizes: Vec<u64>,
    live: u64,
    child: Sample,
    last: Point,
    meter: Meter,
}

impl Following {
    fn new(own: Reading) -> Following {
        let (child, last) = (Sample::default(), Point::default());
        Following { own, loaded: false, carried: Carried::default(), sizes: Vec::new(), live: 0, child, last, meter: Meter::default() }
    }

    fn follow(&mut self, action: Action) {
        self.loaded |= thread(action).is_some();
        match action {
            Action::Alloc { id, size, .. } | Action::Realloc { id, size, .. } => self.resize(id, size.0),
            Action::Free { id, .. } | Action::Forget { id } => self.resize(id, 0),
            _ => self.carried.take(action),
        }
    }

    fn resize(&mut self, id: ObjectId, size: u64) {
        let slot = id as usize;
        if slot >= self.sizes.len() {
            self.sizes.resize(slot + 1, 0);
        }
        self.live = self.live - self.sizes[slot] + size;
        self.sizes[slot] = size;
    }

    fn sample(&mut self, op: Op, sample: Option<&Sample>) {
        if let Some(sample) = sample {
            self.child = *sample;
        }
        let high = self.child.high.max(self.child.reading.resident);
        let own = if self.loaded { self.own } else { Reading::default() };
        let child = self.child.reading.plus(own);
        let point = Point {
            time: op.time,
            live: Bytes(self.live),
            mapped: Bytes(self.pages(child.mapped, 0).0.saturating_add_signed(self.carried.mapped)),
            minor_faults: count(child.faults + self.carried.faults),
            returned: Bytes(self.pages(self.child.returned, 0).0 + self.carried.returned),
            ..Point::of_one_reading(self.pages(child.resident, self.carried.pages))
        };
        if sample.is_some() {
            self.meter.high(self.pages(high + own.resident, self.carried.pages), point.mapped);
        }
        self.meter.sample(point);
        self.last = point;
    }

    fn pages(&self, child: i64, carried: i64) -> Bytes {
        Bytes(count(child + carried) * PAGE)
    }

    fn finish(mut self, spec: &str, answer: &Answer, last: &Sample) -> Outcome {
        self.loaded = true;
        let end = Op { time: self.last.time, action: Action::End };
        self.sample(end, Some(last));
        let mut calls = self.carried.calls;
        CALLS.iter().zip(last.calls).for_each(|(call, count)| calls.add(call.1, count));
        let mut outcome = Outcome::of(spec, Source::Replayed, &self.meter, calls);
        outcome.calls_known = answer.word(word::COUNTED) != 0 && answer.word(word::THREADS) == 0;
        outcome.refused = answer.word(word::REFUSED);
        if !outcome.calls_known {
            outcome.returned = None;
        }
        outcome
    }
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
