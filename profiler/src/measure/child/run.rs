//! What is known while a script runs: one record in shared memory, used by whoever has the token, and by the signal handler.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::super::answer::{self, Reading, Sample, state, word};
use super::super::script::{Head, RECORD, decode};
use super::threads::Thread;
use super::{dispatch, raw, reading};
use crate::workload::Op;

/// Records read at once.
const CHUNK: usize = 1 << 11;
/// Samples written at once.
const BATCH: usize = 256;
/// About as many samples are taken in a run.
const SAMPLES: u64 = 1 << 16;

/// A block of the program.
#[derive(Default)]
pub(super) struct Slot {
    /// Null where the library could not provide it, or it was freed.
    pub(super) at: Cell<usize>,
    /// Requested bytes.
    pub(super) size: Cell<u64>,
}

pub(super) struct Run {
    script: i32,
    answer: i32,
    statm: i32,
    pub(super) head: Head,
    words: *const AtomicU64,
    slots: *const Slot,
    pub(super) threads: *const Thread,
    pub(super) stacks: usize,
    pub(super) modules: &'static CStr,
    pub(super) paced: bool,
    /// Whether the malloc is libc's own.
    pub(super) libc: Cell<bool>,
    chunk: Cell<[[u8; RECORD]; CHUNK]>,
    /// The first record of the chunk, and how many there are.
    loaded: Cell<(u64, u64)>,
    pub(super) position: Cell<u64>,
    every: u64,
    /// The counters when the first operation began, and what changed since by the driver's own doing.
    begin: Cell<Reading>,
    aside: Cell<Reading>,
    high: Cell<i64>,
    pub(super) calls: [Cell<i64>; 5],
    pub(super) returned: Cell<i64>,
    pub(super) states: [Cell<u8>; 4096],
    samples: [Cell<[i64; Sample::WORDS]>; BATCH],
    taken: Cell<usize>,
    /// When the recorded time 0 was, on the monotonic clock.
    pub(super) zero: Cell<Option<u64>>,
    /// The thread that is on its way out, and not 0.
    pub(super) leaving: Cell<u32>,
}

static RUN: AtomicPtr<Run> = AtomicPtr::new(std::ptr::null_mut());

/// A stack for each thread.
pub(super) const STACK: usize = 256 << 10;

impl Run {
    /// The one of this process.
    pub(super) fn current() -> &'static Run {
        // SAFETY: it is set before the first thread and the signal handler need it, and never goes away. Its cells are used by one thread at a time.
        unsafe { &*RUN.load(Ordering::Acquire) }
    }

    /// Opens everything; what the answer's page says is the reason where that fails.
    pub(super) fn prepare(script: &CStr, answer: &CStr, modules: &'static CStr, paced: bool) -> &'static Run {
        let answer = open(answer, libc::O_RDWR | libc::O_APPEND);
        let Some(words) = raw::file(answer::PAGE, answer) else { raw::exit(1) };
        let words: *const AtomicU64 = words.cast_const().cast();
        let fail = |why: u64| -> ! {
            // SAFETY: the page holds so many words.
            unsafe { &*words.add(word::STATE) }.store(why, Ordering::Release);
            raw::exit(1)
        };
        let (script, statm) = (open(script, libc::O_RDONLY), open(c"/proc/self/statm", libc::O_RDONLY));
        let mut head = [0u8; RECORD];
        let length = raw::call(libc::SYS_pread64, [script as usize, head.as_mut_ptr() as usize, RECORD, 0]);
        let Some(head) = Head::decode(&head).filter(|_| length == RECORD as i64 && statm >= 0) else { fail(state::UNREADABLE) };
        let Some(run) = raw::shared(size_of::<Run>()) else { fail(state::NO_ROOM) };
        let run: *mut Run = run.cast();
        // SAFETY: the memory is new, aligned to a page, and zero: a valid state for every field but the reference, which is set before anyone reads it.
        let run = unsafe {
            (&raw mut (*run).modules).write(modules);
            &mut *run
        };
        (run.script, run.answer, run.statm, run.head, run.words, run.paced) = (script, answer, statm, head, words, paced);
        run.zero.set(None);
        run.every = (head.ops / SAMPLES).max(1);
        RUN.store(run, Ordering::Release);
        run
    }

    /// Makes the tables that grow with the script.
    pub(super) fn furnish(&'static self) {
        let slots = raw::shared(self.head.slots as usize * size_of::<Slot>());
        let threads = raw::shared(self.head.threads as usize * size_of::<Thread>());
        let stacks = raw::reserved(self.head.threads as usize * STACK);
        let (Some(slots), Some(threads), Some(stacks)) = (slots, threads, stacks) else { self.fail(state::NO_ROOM) };
        // SAFETY: nobody else has a reference to these fields yet.
        unsafe {
            let run = RUN.load(Ordering::Acquire);
            (&raw mut (*run).slots).write(slots.cast());
            (&raw mut (*run).threads).write(threads.cast());
            (&raw mut (*run).stacks).write(stacks as usize);
        }
    }

    /// Tells whose `malloc` the script will call.
    pub(super) fn name_library(&self) {
        // SAFETY: all-zero bytes are a valid record, and the name that libc puts there stays.
        let name = unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            libc::dladdr(libc::malloc as *const c_void, &mut info);
            if info.dli_fname.is_null() {
                return;
            }
            CStr::from_ptr(info.dli_fname).to_bytes()
        };
        self.libc.set(self.modules.to_bytes().split(|&byte| byte == b'\n').any(|module| module == name));
        for (at, bytes) in name.chunks(8).enumerate().take(answer::WORDS - word::LIBRARY - 1) {
            let mut part = [0; 8];
            part.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            self.tell(word::LIBRARY + at, u64::from_ne_bytes(part));
        }
    }

    /// Ends the child with a reason.
    pub(super) fn fail(&self, why: u64) -> ! {
        self.tell(word::STATE, why);
        raw::exit(1)
    }

    pub(super) fn tell(&self, place: usize, value: u64) {
        // SAFETY: the page holds so many words.
        unsafe { &*self.words.add(place.min(answer::WORDS - 1)) }.store(value, Ordering::Release);
    }

    pub(super) fn told(&self, place: usize) -> u64 {
        // SAFETY: as above.
        unsafe { &*self.words.add(place.min(answer::WORDS - 1)) }.load(Ordering::Acquire)
    }

    pub(super) fn slot(&self, id: u32) -> Option<&Slot> {
        // SAFETY: there are so many.
        (id < self.head.slots).then(|| unsafe { &*self.slots.add(id as usize) })
    }

    /// The next operation; `None` at the end.
    pub(super) fn next(&self) -> Option<Op> {
        let at = self.position.get();
        if at >= self.head.ops {
            return None;
        }
        let (first, count) = self.loaded.get();
        if at >= first + count {
            self.load(at);
        }
        // SAFETY: the chunk holds the record, which `load` has seen to.
        let record = unsafe { *self.chunk.as_ptr().cast::<[u8; RECORD]>().add((at - self.loaded.get().0) as usize) };
        Some(decode(&record).unwrap_or_else(|| self.fail(state::UNREADABLE)))
    }

    fn load(&self, at: u64) {
        let offset = (at as usize + 1) * RECORD;
        let length = raw::call(libc::SYS_pread64, [self.script as usize, self.chunk.as_ptr() as usize, CHUNK * RECORD, offset]);
        let count = length.max(0) as u64 / RECORD as u64;
        if count == 0 {
            self.fail(state::UNREADABLE);
        }
        self.loaded.set((at, count));
    }

    /// An operation is done.
    pub(super) fn advance(&self) {
        self.position.set(self.position.get() + 1);
        self.tell(word::POSITION, self.position.get());
        if self.position.get().is_multiple_of(self.every) {
            self.sample();
        }
    }

    pub(super) fn reading(&self) -> Reading {
        reading::take(self.statm)
    }

    /// From here on it counts.
    pub(super) fn begin(&self) {
        self.begin.set(self.reading());
    }

    /// What the driver does for itself, which does not count.
    pub(super) fn aside(&self, what: impl FnOnce()) {
        let before = self.reading();
        what();
        self.aside.set(self.aside.get().plus(self.reading().minus(before)));
    }

    /// Resident pages since the beginning.
    pub(super) fn resident(&self) -> i64 {
        reading::pages(self.statm).1 - self.begin.get().resident - self.aside.get().resident
    }

    /// The same, seen as a peak.
    pub(super) fn high_water(&self) -> i64 {
        let resident = self.resident();
        self.high.set(self.high.get().max(resident));
        resident
    }

    fn sample(&self) {
        let reading = self.reading().minus(self.begin.get()).minus(self.aside.get());
        let high = self.high.replace(reading.resident).max(reading.resident);
        let calls = std::array::from_fn(|kind| self.calls[kind].get());
        let sample = Sample { position: self.position.get() as i64, reading, high, returned: self.returned.get(), calls };
        self.samples[self.taken.get()].set(sample.words());
        self.taken.set(self.taken.get() + 1);
        if self.taken.get() == BATCH {
            self.flush();
        }
    }

    fn flush(&self) {
        let bytes = self.taken.replace(0) * size_of::<[i64; Sample::WORDS]>();
        raw::call(libc::SYS_write, [self.answer as usize, self.samples.as_ptr() as usize, bytes]);
    }

    /// All is done.
    pub(super) fn end(&self) -> ! {
        self.sample();
        self.flush();
        self.tell(word::STATE, state::DONE);
        raw::exit(0)
    }

    /// The thread that calls: by the stack that it is on.
    pub(super) fn thread_here(&self) -> &Thread {
        let here = 0u8;
        let place = ((&raw const here) as usize).wrapping_sub(self.stacks) / STACK;
        self.thread(if place < self.head.threads as usize { place as u32 } else { 0 })
    }

    pub(super) fn thread(&self, place: u32) -> &Thread {
        // SAFETY: places are below the number of threads; whoever asks for another one gets the first.
        unsafe { &*self.threads.add(if place < self.head.threads { place as usize } else { 0 }) }
    }

    /// Calls the library: what it asks of the kernel is counted.
    pub(super) fn library<T>(&self, me: &Thread, call: impl FnOnce() -> T) -> T {
        dispatch::close(&me.selector);
        let value = call();
        dispatch::open(&me.selector);
        value
    }
}

fn open(path: &CStr, flags: i32) -> i32 {
    raw::call(libc::SYS_openat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, (flags | libc::O_CLOEXEC) as usize]) as i32
}
