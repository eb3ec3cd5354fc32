//! The workload as a file: a head, then one record of 32 bytes for each operation.
//!
//! It is written by this program and read by the same program on the same machine, moments later: native numbers, no versions. A file whose writing
//! did not end has no head, and is refused. Threads are numbered by the place they take among those that live at the same time, the first being 0, so
//! that the child needs no more of them than the recorded program had at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::{Context, Kind, Result};
use crate::event::{Access, Tid};
use crate::units::{Bytes, Nanos};
use crate::vm::Syscall;
use crate::workload::{Action, Evidence, Op};

/// Bytes of a record, and of the head.
pub const RECORD: usize = 32;
const MAGIC: u64 = 0x7470_6972_6373_6368;

/// What stands at the beginning of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Operations.
    pub ops: u64,
    /// Object ids are below this.
    pub slots: u32,
    /// Threads are below this; at least one.
    pub threads: u32,
}

impl Head {
    /// As bytes.
    pub fn encode(self) -> [u8; RECORD] {
        words([MAGIC, self.ops, self.slots.into(), self.threads.into()])
    }

    /// From bytes; `None` where they are no head.
    pub fn decode(bytes: &[u8; RECORD]) -> Option<Head> {
        let [magic, ops, slots, threads] = parts(bytes);
        let head = Head { ops, slots: slots.try_into().ok()?, threads: threads.try_into().ok()? };
        (magic == MAGIC && head.threads > 0).then_some(head)
    }
}

/// Kinds of records, by their number in the file.
mod kind {
    pub(super) const ALLOC: u8 = 1;
    pub(super) const REALLOC: u8 = 2;
    pub(super) const FREE: u8 = 3;
    pub(super) const SBRK: u8 = 4;
    pub(super) const TRIM: u8 = 5;
    pub(super) const CONFIGURE: u8 = 6;
    pub(super) const TOUCH: u8 = 7;
    pub(super) const RESIDENT: u8 = 8;
    pub(super) const MAPPING: u8 = 9;
    pub(super) const FORK: u8 = 10;
    pub(super) const THREAD_END: u8 = 11;
    pub(super) const END: u8 = 12;
    pub(super) const BREAK: u8 = 13;
    pub(super) const MAP: u8 = 14;
    pub(super) const LOCK_ALL: u8 = 15;
    pub(super) const FORGET: u8 = 16;
}

const EVIDENCE: [Evidence; 4] = [Evidence::Seen, Evidence::Inferred, Evidence::Assumed, Evidence::Possible];
const ACCESSES: [Access; 3] = [Access::Read, Access::Write, Access::Exec];
const SYSCALLS: [Syscall; 6] = [Syscall::Brk, Syscall::Mmap, Syscall::Munmap, Syscall::Mremap, Syscall::Madvise, Syscall::Mprotect];

/// An operation as bytes.
pub fn encode(op: &Op) -> [u8; RECORD] {
    let halves = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let last = |kind: u8, flags: u8, extra: u16, id: u32| halves(u32::from_ne_bytes([kind, flags, extra as u8, (extra >> 8) as u8]), id);
    let (a, b, c) = match op.action {
        Action::Alloc { id, tid, size, align_log2, zeroed, assumed, .. } => {
            (size.0, tid.into(), last(kind::ALLOC, align_log2, u16::from(zeroed) | u16::from(assumed) << 1, id))
        }
        Action::Realloc { id, tid, size, .. } => (size.0, tid.into(), last(kind::REALLOC, 0, 0, id)),
        Action::Free { id, tid } => (0, tid.into(), last(kind::FREE, 0, 0, id)),
        Action::Forget { id } => (0, 0, last(kind::FORGET, 0, 0, id)),
        Action::Break { within } => (within.into(), 0, last(kind::BREAK, 0, 0, 0)),
        Action::Map { within } => (within.into(), 0, last(kind::MAP, 0, 0, 0)),
        Action::Sbrk { delta } => (delta as u64, 0, last(kind::SBRK, 0, 0, 0)),
        Action::Trim { tid, pad } => (pad.0, tid.into(), last(kind::TRIM, 0, 0, 0)),
        Action::Configure { tid, parameter, value } => (halves(parameter as u32, value as u32), tid.into(), last(kind::CONFIGURE, 0, 0, 0)),
        Action::Touch { id, from, len, access, evidence } => (from.0, len.0, last(kind::TOUCH, access as u8, evidence as u16, id)),
        Action::Resident { anon, file, shmem, faults } => {
            (halves(anon as u32, file as u32), halves(shmem as u32, faults as u32), last(kind::RESIDENT, 0, 0, 0))
        }
        Action::Mapping { calls, mapped, returned } => {
            let (call, count) = calls.map_or((0, 0), |(kind, count)| (kind as u8 + 1, count as u16));
            (mapped as u64, returned.into(), last(kind::MAPPING, call, count, 0))
        }
        Action::LockAll { flags } => (flags.into(), 0, last(kind::LOCK_ALL, 0, 0, 0)),
        Action::Fork => (0, 0, last(kind::FORK, 0, 0, 0)),
        Action::ThreadEnd { tid } => (0, tid.into(), last(kind::THREAD_END, 0, 0, 0)),
        Action::End => (0, 0, last(kind::END, 0, 0, 0)),
    };
    words([op.time.0, a, b, c])
}

/// An operation from bytes; `None` where they are none.
pub fn decode(bytes: &[u8; RECORD]) -> Option<Op> {
    let [time, a, b, c] = parts(bytes);
    let ([kind, flags, ..], extra, id) = ((c as u32).to_ne_bytes(), (c >> 16) as u16, (c >> 32) as u32);
    let (low, high, tid) = (a as u32, (a >> 32) as u32, b as u32);
    let action = match kind {
        kind::ALLOC => {
            let (zeroed, assumed) = (extra & 1 != 0, extra & 2 != 0);
            Action::Alloc { id, tid, size: Bytes(a), align_log2: flags, zeroed, assumed, site: 0 }
        }
        kind::REALLOC => Action::Realloc { id, tid, size: Bytes(a), site: 0 },
        kind::FORGET => Action::Forget { id },
        kind::FREE => Action::Free { id, tid },
        kind::BREAK => Action::Break { within: low },
        kind::MAP => Action::Map { within: low },
        kind::SBRK => Action::Sbrk { delta: a as i64 },
        kind::TRIM => Action::Trim { tid, pad: Bytes(a) },
        kind::CONFIGURE => Action::Configure { tid, parameter: low as i32, value: high as i32 },
        kind::TOUCH => {
            let (access, evidence) = (*ACCESSES.get(usize::from(flags))?, *EVIDENCE.get(usize::from(extra))?);
            Action::Touch { id, from: Bytes(a), len: Bytes(b), access, evidence }
        }
        kind::RESIDENT => Action::Resident { anon: low as i32, file: high as i32, shmem: tid as i32, faults: (b >> 32) as i32 },
        kind::MAPPING => {
            let call = match flags.checked_sub(1) {
                None => None,
                Some(call) => Some((*SYSCALLS.get(usize::from(call))?, extra as i16)),
            };
            Action::Mapping { calls: call, mapped: a as i64, returned: tid }
        }
        kind::LOCK_ALL => Action::LockAll { flags: low },
        kind::FORK => Action::Fork,
        kind::THREAD_END => Action::ThreadEnd { tid },
        kind::END => Action::End,
        _ => return None,
    };
    Some(Op { time: Nanos(time), action })
}

fn words(words: [u64; 4]) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(part, word): (&mut [u8; 8], u64)| *part = word.to_ne_bytes());
    bytes
}

fn parts(bytes: &[u8; RECORD]) -> [u64; 4] {
    let chunks = bytes.as_chunks::<8>().0;
    std::array::from_fn(|at| u64::from_ne_bytes(chunks[at]))
}

/// The thread that an operation is done by; `None` where that makes no difference.
pub fn thread(action: Action) -> Option<Tid> {
    match action {
        Action::Alloc { tid, .. } | Action::Realloc { tid, .. } | Action::Free { tid, .. } => Some(tid),
        Action::Trim { tid, .. } | Action::Configure { tid, .. } | Action::ThreadEnd { tid } => Some(tid),
        _ => None,
    }
}

/// Writes a script as it comes; memory grows with the threads that live at once.
pub struct Writer {
    file: BufWriter<File>,
    head: Head,
    threads: Places,
}

impl Writer {
    /// Begins a file. `first` is the thread with which the process began.
    ///
    /// # Errors
    /// `Output`.
    pub fn create(path: &Path, first: Tid) -> Result<Writer> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).context(Kind::Output, at(path))?);
        file.write_all(&[0; RECORD]).context(Kind::Output, at(path))?;
        Ok(Writer { file, head: Head { threads: 1, ..Head::default() }, threads: Places::new(first) })
    }

    /// Adds operations.
    ///
    /// # Errors
    /// `Output`.
    pub fn write(&mut self, ops: &[Op]) -> Result<()> {
        for op in ops {
            let op = Op { action: self.threads.place(op.action), ..*op };
            if let Action::Alloc { id, .. } | Action::Realloc { id, .. } = op.action {
                self.head.slots = self.head.slots.max(id + 1);
            }
            self.head.threads = self.head.threads.max(thread(op.action).map_or(0, |tid| tid + 1));
            self.head.ops += 1;
            self.file.write_all(&encode(&op)).context(Kind::Output, "cannot write the script")?;
        }
        Ok(())
    }

    /// Ends the file: from now on it is one.
    ///
    /// # Errors
    /// `Output`.
    pub fn finish(mut self) -> Result<Head> {
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(&self.head.encode()));
        written.and_then(|()| self.file.flush()).context(Kind::Output, "cannot write the script")?;
        Ok(self.head)
    }
}

fn at(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// The places of the threads that live: a place is taken again after its thread ended.
struct Places {
    taken: BTreeMap<Tid, Tid>,
    vacant: Vec<Tid>,
    next: Tid,
}

impl Places {
    fn new(first: Tid) -> Places {
        Places { taken: BTreeMap::from([(first, 0)]), vacant: Vec::new(), next: 1 }
    }

    fn of(&mut self, tid: Tid) -> Tid {
        *self.taken.entry(tid).or_insert_with(|| {
            self.vacant.pop().unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            })
        })
    }

    /// The same with the place in the thread's place.
    fn place(&mut self, mut action: Action) -> Action {
        match &mut action {
            Action::ThreadEnd { tid } => {
                let place = self.of(*tid);
                self.taken.remove(tid);
                // The first place is the first thread's alone: the child cannot do without it.
                if place != 0 {
                    self.vacant.push(place);
                }
                *tid = place;
            }
            Action::Alloc { tid, .. } | Action::Realloc { tid, .. } | Action::Free { tid, .. } => *tid = self.of(*tid),
            Action::Trim { tid, .. } | Action::Configure { tid, .. } => *tid = self.of(*tid),
            _ => {}
        }
        action
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
