//! Allocator models: where a block lives, and what that makes an allocator ask of the operating system.
//!
//! A model is one file (or folder) that exports one [`ModelSpec`], and one line in [`REGISTRY`]; names, versions, tunables, help and
//! parsing are derived from there. It imports the port [`crate::vm::os`], units, plain types of [`crate::event`], the shared
//! [`crate::extents`] and this module, nothing else: it sees sizes and threads, never the addresses of the recording.
//!
//! A model touches, through [`Os::touch`], every byte that the allocator itself reads or writes (headers, links, boundary tags,
//! clearing, copying), because first touches are what page faults and resident memory are made of.

mod brk_only;
#[cfg(test)]
mod conformance;
mod footprint;
mod glibc;
mod idle;
mod jemalloc;
mod mimalloc;
mod mmap_only;
mod musl;
mod tcmalloc;
#[cfg(test)]
mod workloads;

pub use idle::{Idle, Layout, Visit};

use crate::error::Result;
use crate::event::Tid;
use crate::units::{Addr, Bytes, Nanos};
use crate::vm::os::Os;
pub use footprint::{CXX, Cost, Footprint, Need};
use std::collections::BTreeMap;
use std::fmt;

/// Every model, in the order in which they are listed.
pub static REGISTRY: &[&ModelSpec] =
    &[&glibc::SPEC, &jemalloc::SPEC, &mimalloc::SPEC, &tcmalloc::SPEC, &musl::SPEC, &brk_only::SPEC, &mmap_only::SPEC];

/// What the program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The calling thread.
    pub tid: Tid,
    /// Requested bytes; 0 is a valid request.
    pub size: Bytes,
    /// Alignment in bytes, a power of two; 0 where the call has none.
    pub align: u64,
    /// The block must be zero (`calloc`).
    pub zeroed: bool,
}

/// A live block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// What the program gets.
    pub addr: Addr,
    /// What it could use: at least what it asked for.
    pub usable: Bytes,
}

/// What an allocator holds beside live blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Mapped from the system: live blocks, free memory and bookkeeping together.
    pub held: Bytes,
    /// Of that, free and ready for the next request.
    pub free: Bytes,
    /// Where the bytes of `held` that are not the program's sit, by the allocator's own names (`tcache`, `top`, …).
    pub parts: Vec<(&'static str, Bytes)>,
}

impl Counters {
    /// Bytes of a part; 0 where the allocator has none of that name.
    pub fn part(&self, name: &str) -> Bytes {
        self.parts.iter().filter(|part| part.0 == name).map(|part| part.1).sum()
    }
}

/// One allocator with its settings.
pub trait AllocatorModel: Send {
    /// A new block; `None` when the system refuses.
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block>;
    /// Takes a live block back.
    fn free(&mut self, os: &mut dyn Os, tid: Tid, block: Block);
    /// Resizes a live block, copying where it moves; `None` when the system refuses, and then `old` stays live.
    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block>;
    /// When [`tick`](Self::tick) next has something to do, on the recorded clock.
    fn due(&self) -> Option<Nanos> {
        None
    }
    /// Time-driven purging and decay. Afterwards [`due`](Self::due) must lie later than [`Os::now`].
    fn tick(&mut self, _os: &mut dyn Os) {}
    /// A thread ended: its caches go back.
    fn thread_exit(&mut self, _os: &mut dyn Os, _tid: Tid) {}
    /// The program asked for free memory to be given back (`malloc_trim`).
    fn trim(&mut self, _os: &mut dyn Os, _pad: Bytes) {}
    /// The program changed a setting while it ran (`mallopt`), by the number and value it gave.
    fn configure(&mut self, _os: &mut dyn Os, _parameter: i32, _value: i32) {}
    /// What is held.
    fn counters(&self) -> Counters;
    /// How it lays out its memory.
    fn layout(&self) -> Layout {
        Layout::default()
    }
    /// The ranges that it holds for a reason of its own, resident or not; what is in none of them lies free among the live blocks.
    fn idle(&self, _visit: &mut Visit) {}
    /// Start and length of the memory around a live block that serves nothing else and is given up as a whole (a slab, a span); `None` where
    /// there is no such thing.
    fn unit(&self, _addr: Addr) -> Option<(Addr, Bytes)> {
        None
    }
    /// For people: the state from which the next block of this size would be served.
    fn describe(&self, _tid: Tid, _size: Bytes) -> String {
        String::new()
    }
}

/// An allocator as the user names it.
#[derive(Debug)]
pub struct ModelSpec {
    /// Name in a SPEC.
    pub id: &'static str,
    /// Versions that are told apart, oldest first; empty when there is only one behaviour.
    pub versions: &'static [&'static str],
    /// One line for listings.
    pub summary: &'static str,
    /// Settings.
    pub tunables: &'static [Tunable],
    /// How the real allocator takes the text of a knob; `None` where it ignores it.
    pub knob_value: fn(&Tunable, &str) -> Option<i64>,
    /// What its library adds to a process.
    pub library: Footprint,
    /// Makes one.
    pub build: fn(&Settings) -> Result<Box<dyn AllocatorModel>>,
}

/// A setting of a model.
#[derive(Debug)]
pub struct Tunable {
    /// Name in a SPEC.
    pub key: &'static str,
    /// The real allocator's knobs for it; none where it is a what-if only.
    pub knobs: &'static [Knob],
    /// Value when nothing is given.
    pub default: i64,
    /// What the number counts.
    pub unit: Unit,
    /// Lowest and highest value allowed.
    pub range: (i64, i64),
    /// One line for listings.
    pub doc: &'static str,
}

/// A real knob: an environment variable, and the key inside its value where it holds several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knob {
    /// `MALLOC_CONF`, `GLIBC_TUNABLES`, `MIMALLOC_PURGE_DELAY`, …
    pub variable: &'static str,
    /// `dirty_decay_ms`, `glibc.malloc.arena_max`, …
    pub key: Option<&'static str>,
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{}: {key}", self.variable),
            None => f.write_str(self.variable),
        }
    }
}

/// What a tunable counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; `K`, `M`, `G` are understood.
    Bytes,
    /// Things.
    Count,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Bytes => "bytes",
            Unit::Count => "count",
            Unit::Millis => "milliseconds",
            Unit::Seconds => "seconds",
        })
    }
}

/// The values that a model is built with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The version asked for; without one, the model's newest. `None` where the program has one that is not known.
    pub version: Option<&'static str>,
    /// CPUs of the machine that is modelled; some allocators size their arenas by them.
    pub cpus: u32,
    /// The value of each tunable, and whether it was given.
    values: BTreeMap<&'static str, (i64, bool)>,
}

impl Settings {
    /// The defaults of `spec`.
    pub fn defaults(spec: &ModelSpec) -> Settings {
        let values = spec.tunables.iter().map(|tunable| (tunable.key, (tunable.default, false))).collect();
        Settings { version: spec.versions.last().copied(), cpus: 1, values }
    }

    /// Changes a value; it must have been checked against the tunable's range.
    pub fn set(&mut self, tunable: &Tunable, value: i64) {
        self.values.insert(tunable.key, (value, true));
    }

    /// The value of a tunable that the spec declares.
    ///
    /// # Panics
    /// When the key is not one of the model's tunables.
    pub fn get(&self, key: &str) -> i64 {
        self.values.get(key).unwrap_or_else(|| panic!("no tunable {key}")).0
    }

    /// Whether a value was given, be it the default: some allocators make a difference.
    pub fn is_set(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| value.1)
    }

    /// The value of a tunable that counts bytes.
    pub fn bytes(&self, key: &str) -> u64 {
        self.get(key).max(0) as u64
    }
}

/// For models whose knobs, if any, are plain numbers.
pub fn plain_knob(tunable: &Tunable, text: &str) -> Option<i64> {
    let value = text.parse().ok()?;
    (tunable.range.0..=tunable.range.1).contains(&value).then_some(value)
}
