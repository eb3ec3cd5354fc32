//! Bytes of the ring → events. Total: every byte string gives events or a counted reject.

use profiler_ebpf::{self as wire, Kind, Stop};

use super::stacks::Stacks;
use super::tasks::{Ended, Owner, Tasks};
use crate::event::{Access, Advice, Call, Event, ProcessId, Tid, What};
use crate::units::{Addr, Bytes, Nanos, Pages};

/// Why a record gave no event. Each is a counter of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Its length is not that of its kind.
    Length,
    /// No such kind.
    Kind,
    /// A thread that nothing was said of.
    Thread,
    /// Fields that no kernel half writes.
    Fields,
}

impl Reject {
    /// Every reason in the order of declaration, with the name that it has in a manifest.
    pub const ALL: [(Reject, &'static str); 4] =
        [(Reject::Length, "length"), (Reject::Kind, "kind"), (Reject::Thread, "thread"), (Reject::Fields, "fields")];
}

/// What the recorder must act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The process stopped itself and waits to be continued.
    Stopped {
        /// Kernel process id.
        pid: u32,
        /// Why.
        why: Stop,
        /// Time of the stop.
        time: Nanos,
    },
    /// The first thread of a process ended while others go on: the kernel drops the probes with it.
    LeaderEnded {
        /// Which image.
        process: ProcessId,
    },
    /// An image ended.
    Ended {
        /// Which.
        process: ProcessId,
        /// Time of its last record.
        time: Nanos,
    },
}

/// How many records became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that gave an event or a signal.
    pub decoded: u64,
    /// Records of the launcher's own code before the first `execve`.
    pub before_exec: u64,
    /// Resident-set records of a process that has ended: the kernel takes its memory down.
    pub after_end: u64,
    /// Rejected records, in the order of [`Reject::ALL`].
    pub rejected: [u64; Reject::ALL.len()],
}

impl Tally {
    /// All records that were taken.
    pub fn all(&self) -> u64 {
        self.decoded + self.before_exec + self.after_end + self.rejected.iter().sum::<u64>()
    }
}

/// The state that decoding needs: which thread belongs to which image, and when the recording began.
pub struct Decoder {
    /// Threads and images.
    pub tasks: Tasks,
    /// What was decoded so far.
    pub tally: Tally,
    /// Where blocks were asked for.
    pub stacks: Stacks,
    /// What threads were called at last, as far as it is news.
    pub names: Vec<(ProcessId, Tid, String)>,
    begin_ns: u64,
}

type Words = [u64; 6];

/// `MLOCK_ONFAULT` of `mlock2`.
const MLOCK_ONFAULT: u64 = 1;

impl Decoder {
    /// A decoder for a recording that began at this time of the monotonic clock.
    pub fn new(begin_ns: u64) -> Decoder {
        Decoder { tasks: Tasks::default(), tally: Tally::default(), stacks: Stacks::default(), names: Vec::new(), begin_ns }
    }

    /// When the recording began, nanoseconds of the monotonic clock.
    pub fn begin_ns(&self) -> u64 {
        self.begin_ns
    }

    /// Decodes one record: appends its events, answers with what must be acted upon.
    pub fn decode(&mut self, record: &[u8], events: &mut Vec<Event>) -> Option<Signal> {
        match self.try_decode(record, events) {
            Ok(signal) => signal,
            Err(reject) => {
                self.tally.rejected[reject as usize] += 1;
                None
            }
        }
    }

    fn try_decode(&mut self, record: &[u8], events: &mut Vec<Event>) -> Result<Option<Signal>, Reject> {
        let words = words(record)?;
        let kind = Kind::from_u8(wire::kind_of(words[0])).ok_or(Reject::Kind)?;
        if kind.words() * wire::WORD_BYTES != record.len() {
            return Err(Reject::Length);
        }
        let time = Nanos(wire::time_of(words[0]).saturating_sub(self.begin_ns));
        let signal = match kind {
            Kind::Stack => {
                let frames = record[3 * wire::WORD_BYTES..].chunks_exact(wire::WORD_BYTES).map(word).take(wire::size_of(words[2]) as usize);
                self.stacks.tell(words[1] | wire::STACK_BIT, &frames.collect::<Vec<_>>());
                None
            }
            Kind::Name => {
                let tid = wire::address_of(words[1]) as u32;
                match self.tasks.owner(tid).ok_or(Reject::Thread)? {
                    Owner::Image(process) => self.names.push((process, tid, name(&words))),
                    Owner::Launcher => return Ok(self.skip(|tally| &mut tally.before_exec)),
                }
                None
            }
            Kind::Clone | Kind::Exec | Kind::Exit | Kind::Stopped => self.task(kind, &words, time, events)?,
            Kind::Rss | Kind::Swap => {
                let pid = wire::tid_of(words[2]);
                match (self.tasks.leader(pid), self.tasks.owner(pid)) {
                    (Some(process), _) => events.push(Event { time, process, tid: pid, in_heap: false, what: counted(kind, &words) }),
                    (None, Some(_)) => return Ok(self.skip(|tally| &mut tally.before_exec)),
                    (None, None) => return Ok(self.skip(|tally| &mut tally.after_end)),
                }
                None
            }
            _ => {
                let tid = wire::tid_of(words[2]);
                let process = match self.tasks.owner(tid).ok_or(Reject::Thread)? {
                    Owner::Image(process) => process,
                    Owner::Launcher => return Ok(self.skip(|tally| &mut tally.before_exec)),
                };
                let mut what = what(kind, &words, self.begin_ns).ok_or(Reject::Fields)?;
                if let What::Alloc { call, site, .. } = &mut what {
                    *site = self.stacks.place(process, if *call == Call::Realloc { words[4] } else { words[3] });
                }
                let in_heap = is_vm(kind) && wire::flags_of(words[1]) & wire::IN_HEAP != 0;
                events.push(Event { time, process, tid, in_heap, what });
                None
            }
        };
        self.tally.decoded += 1;
        Ok(signal)
    }

    /// A record that is left out on purpose.
    fn skip(&mut self, counter: impl Fn(&mut Tally) -> &mut u64) -> Option<Signal> {
        *counter(&mut self.tally) += 1;
        None
    }

    fn task(&mut self, kind: Kind, words: &Words, time: Nanos, events: &mut Vec<Event>) -> Result<Option<Signal>, Reject> {
        let tid = wire::tid_of(words[2]);
        let argument = wire::address_of(words[1]) as u32;
        let mut push = |process, tid, what| events.push(Event { time, process, tid, in_heap: false, what });
        match kind {
            Kind::Clone => match self.tasks.owner(tid).ok_or(Reject::Thread)? {
                Owner::Launcher => self.tasks.launcher(argument),
                Owner::Image(parent) => push(parent, tid, self.cloned(argument, wire::size_of(words[2]), parent)),
            },
            Kind::Exec => {
                let (pid, old_tid) = (wire::size_of(words[2]) as u32, argument);
                let (process, ended) = self.tasks.exec(pid, old_tid);
                let signal = ended_event(ended, old_tid, time, &mut push);
                push(process, pid, What::Start);
                return Ok(signal);
            }
            Kind::Exit => {
                let ended = self.tasks.exit(tid);
                let signal = ended_event(ended, tid, time, &mut push);
                return Ok(match ended {
                    // Not every first thread: a `vfork` child leads a process of its own while it lives in its parent's memory.
                    Ended::Thread(process) if tid == self.tasks.images()[process as usize].pid => Some(Signal::LeaderEnded { process }),
                    _ => signal,
                });
            }
            _ => {
                let why = Stop::from_u16(wire::flags_of(words[1])).ok_or(Reject::Fields)?;
                return Ok(Some(Signal::Stopped { pid: argument, why, time }));
            }
        }
        Ok(None)
    }

    fn cloned(&mut self, child: Tid, flags: u64, parent: ProcessId) -> What {
        const CLONE_VM: u64 = 0x100;
        if flags & CLONE_VM != 0 {
            self.tasks.add_thread(child, parent);
            What::ThreadStart { child }
        } else {
            What::Fork { child, process: self.tasks.fork(child, parent) }
        }
    }
}

/// The process that has stopped itself, if that is what a record tells.
pub(super) fn stopped(record: &[u8]) -> Option<u32> {
    let words = words(record).ok()?;
    (wire::kind_of(words[0]) == Kind::Stopped as u8).then(|| wire::address_of(words[1]) as u32)
}

fn ended_event(ended: Ended, tid: Tid, time: Nanos, push: &mut impl FnMut(ProcessId, Tid, What)) -> Option<Signal> {
    match ended {
        Ended::Nothing => None,
        Ended::Thread(process) => {
            push(process, tid, What::ThreadEnd);
            None
        }
        Ended::Image(process) => {
            push(process, tid, What::End);
            Some(Signal::Ended { process, time })
        }
    }
}

/// The first words of a record; what it has not is 0.
fn words(record: &[u8]) -> Result<Words, Reject> {
    if record.len() < 3 * wire::WORD_BYTES || !record.len().is_multiple_of(wire::WORD_BYTES) {
        return Err(Reject::Length);
    }
    let mut words = [0; 6];
    for (word, bytes) in words.iter_mut().zip(record.chunks_exact(8)) {
        *word = self::word(bytes);
    }
    Ok(words)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

/// The name that a record carries.
fn name(words: &Words) -> String {
    let bytes = [words[3].to_ne_bytes(), words[4].to_ne_bytes()].concat();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn is_vm(kind: Kind) -> bool {
    matches!(kind, Kind::Brk | Kind::Mmap | Kind::Munmap | Kind::Mremap | Kind::Madvise | Kind::Mprotect | Kind::Fault)
}

/// Result word of a system call: an address or length, or the negated error number.
fn outcome(word: u64) -> Result<u64, u16> {
    match -(word as i64) {
        errno @ 1..=4095 => Err(errno as u16),
        _ => Ok(word),
    }
}

fn errno(word: u64) -> u16 {
    outcome(word).err().unwrap_or(0)
}

fn what(kind: Kind, words: &Words, begin_ns: u64) -> Option<What> {
    let (addr, flags, size) = (Addr(wire::address_of(words[1])), wire::flags_of(words[1]), wire::size_of(words[2]));
    let [.., result, len, last] = *words;
    Some(match kind {
        Kind::Free => What::Free { ptr: addr },
        Kind::Trim => What::Trim { pad: Bytes(size) },
        Kind::Mallopt => What::Configure { parameter: (addr.0 as u32).cast_signed(), value: (size as u32).cast_signed() },
        Kind::Brk => What::Brk { asked: Addr(result), got: Addr(len) },
        Kind::Mmap => What::Mmap {
            hint: addr,
            len: Bytes(len),
            prot: (size >> 32) as u8 & 0xf,
            flags: size as u32,
            file: size >> 36 & 1 != 0,
            result: outcome(result).map(Addr),
        },
        Kind::Munmap => What::Munmap { addr, len: Bytes(len), entered: Nanos(last.saturating_sub(begin_ns)), errno: errno(result) },
        Kind::Mremap => What::Mremap { addr, len: Bytes(len), new_len: Bytes(last), flags: size as u32, result: outcome(result).map(Addr) },
        Kind::Madvise => What::Madvise { addr, len: Bytes(len), advice: Advice::from_number(size as u32), errno: errno(result) },
        Kind::Mprotect => What::Mprotect { addr, len: Bytes(len), prot: size as u8, errno: errno(result) },
        Kind::Mlock => What::Mlock { addr, len: Bytes(len), on_fault: size & MLOCK_ONFAULT != 0, errno: errno(result) },
        Kind::Munlock => What::Munlock { addr, len: Bytes(len), errno: errno(result) },
        Kind::Mlockall => What::Mlockall { flags: size as u32, errno: errno(result) },
        Kind::Fault => What::Fault {
            addr,
            access: access(flags),
            protection: flags & wire::FAULT_PROTECTION != 0,
            by_kernel: flags & wire::FAULT_BY_KERNEL != 0,
        },
        _ => {
            let (call, old) = (call(kind)?, if kind == Kind::Realloc { Addr(words[3]) } else { Addr(0) });
            What::Alloc { call, ptr: addr, size: Bytes(size), old, align: align(kind, flags), site: 0 }
        }
    })
}

/// What the kernel counts for a process.
fn counted(kind: Kind, words: &Words) -> What {
    if kind == Kind::Swap {
        return What::Swap { pages: Pages(wire::size_of(words[2])) };
    }
    What::Rss { anon: Pages(words[1] >> 32), file: Pages(words[1] & 0xffff_ffff), shmem: Pages(wire::size_of(words[2])) }
}

fn call(kind: Kind) -> Option<Call> {
    Some(match kind {
        Kind::Malloc => Call::Malloc,
        Kind::Calloc => Call::Calloc,
        Kind::Realloc => Call::Realloc,
        Kind::Memalign => Call::Memalign,
        Kind::AlignedAlloc => Call::AlignedAlloc,
        Kind::PosixMemalign => Call::PosixMemalign,
        Kind::Valloc => Call::Valloc,
        Kind::Pvalloc => Call::Pvalloc,
        _ => return None,
    })
}

/// Alignment that was asked for, bytes; 0 where the call has none.
fn align(kind: Kind, flags: u16) -> u64 {
    match kind {
        Kind::Memalign | Kind::AlignedAlloc | Kind::PosixMemalign => 1 << (flags & 63),
        Kind::Valloc | Kind::Pvalloc => crate::units::PAGE,
        _ => 0,
    }
}

fn access(flags: u16) -> Access {
    if flags & wire::FAULT_WRITE != 0 {
        Access::Write
    } else if flags & wire::FAULT_EXEC != 0 {
        Access::Exec
    } else {
        Access::Read
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
