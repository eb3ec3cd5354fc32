//! What the child tells: a page of words that both see while it runs, then samples.

use std::path::Path;

use crate::error::{Context, Error, Kind, Result};

/// Bytes of the page.
pub(super) const PAGE: usize = 4096;
/// Words of the page.
pub(super) const WORDS: usize = PAGE / 8;

/// Words of the page by their place.
pub(super) mod word {
    /// How far the child is: one of [`super::state`].
    pub(in crate::measure) const STATE: usize = 0;
    /// Operations done.
    pub(in crate::measure) const POSITION: usize = 1;
    /// Nonzero: system calls were counted.
    pub(in crate::measure) const COUNTED: usize = 2;
    /// Threads that the library started.
    pub(in crate::measure) const THREADS: usize = 3;
    /// Blocks that the library could not provide.
    pub(in crate::measure) const REFUSED: usize = 4;
    /// A [`super::Reading`] before the first operation.
    pub(in crate::measure) const START: usize = 8;
    /// The path of the file that defines `malloc`, ended by a zero byte.
    pub(in crate::measure) const LIBRARY: usize = 16;
}

/// States of the child.
pub(super) mod state {
    /// It did not come to its beginning.
    pub(in crate::measure) const NONE: u64 = 0;
    /// It is at work.
    pub(in crate::measure) const RUNNING: u64 = 1;
    /// All is done.
    pub(in crate::measure) const DONE: u64 = 2;
    /// The script or a file in `/proc` cannot be read.
    pub(in crate::measure) const UNREADABLE: u64 = 3;
    /// There is no memory for its own tables, or no thread.
    pub(in crate::measure) const NO_ROOM: u64 = 4;
}

/// The kernel's counters of a process: pages, and minor faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) mapped: i64,
    pub(super) resident: i64,
    pub(super) faults: i64,
}

impl Reading {
    pub(super) fn minus(self, other: Reading) -> Reading {
        Reading { mapped: self.mapped - other.mapped, resident: self.resident - other.resident, faults: self.faults - other.faults }
    }

    pub(super) fn plus(self, other: Reading) -> Reading {
        Reading { mapped: self.mapped + other.mapped, resident: self.resident + other.resident, faults: self.faults + other.faults }
    }

    pub(super) fn words(self) -> [i64; 3] {
        [self.mapped, self.resident, self.faults]
    }

    pub(super) fn of([mapped, resident, faults]: [i64; 3]) -> Reading {
        Reading { mapped, resident, faults }
    }
}

/// Memory system calls that are counted, in the order of [`Sample::calls`].
pub(super) const CALLS: [(i64, crate::vm::Syscall); 5] = [
    (libc::SYS_brk, crate::vm::Syscall::Brk),
    (libc::SYS_mmap, crate::vm::Syscall::Mmap),
    (libc::SYS_munmap, crate::vm::Syscall::Munmap),
    (libc::SYS_mremap, crate::vm::Syscall::Mremap),
    (libc::SYS_madvise, crate::vm::Syscall::Madvise),
];

/// The state after an operation, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Operations done.
    pub(super) position: i64,
    pub(super) reading: Reading,
    /// Most resident pages since the last sample.
    pub(super) high: i64,
    /// Pages given back so far.
    pub(super) returned: i64,
    /// Calls so far.
    pub(super) calls: [i64; 5],
}

impl Sample {
    pub(super) const WORDS: usize = 11;

    pub(super) fn words(&self) -> [i64; Sample::WORDS] {
        let [mapped, resident, faults] = self.reading.words();
        let [brk, mmap, munmap, mremap, madvise] = self.calls;
        [self.position, mapped, resident, faults, self.high, self.returned, brk, mmap, munmap, mremap, madvise]
    }

    fn of(words: [i64; Sample::WORDS]) -> Sample {
        let [position, mapped, resident, faults, high, returned, calls @ ..] = words;
        Sample { position, reading: Reading { mapped, resident, faults }, high, returned, calls }
    }
}

/// What a child told.
#[derive(Debug)]
pub(super) struct Answer {
    words: Vec<u64>,
    pub(super) samples: Vec<Sample>,
}

impl Answer {
    /// An empty file for a child to fill.
    pub(super) fn prepare(path: &Path) -> Result<()> {
        std::fs::write(path, [0; PAGE]).context(Kind::Output, format!("cannot write {}", path.display()))
    }

    pub(super) fn read(path: &Path) -> Result<Answer> {
        let bytes = std::fs::read(path).context(Kind::Failed, format!("cannot read {}", path.display()))?;
        let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let (page, samples) =
            words.split_at_checked(WORDS).ok_or_else(|| Error::new(Kind::Failed, format!("{} is cut short", path.display())))?;
        let samples = samples.as_chunks::<{ Sample::WORDS }>().0.iter().map(|words| Sample::of(words.map(|word| word as i64)));
        Ok(Answer { samples: samples.collect(), words: page.to_vec() })
    }

    pub(super) fn word(&self, place: usize) -> u64 {
        self.words.get(place).copied().unwrap_or(0)
    }

    /// The counters before the first operation.
    pub(super) fn start(&self) -> Reading {
        Reading::of([0, 1, 2].map(|part| self.word(word::START + part) as i64))
    }

    /// The file that defines `malloc` in the child.
    pub(super) fn library(&self) -> String {
        let bytes: Vec<u8> = self.words[word::LIBRARY..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_comes_back_as_it_was() {
        let words: [i64; Sample::WORDS] = std::array::from_fn(|place| place as i64 * 3 - 7);
        assert_eq!(Sample::of(words).words(), words);
    }

    #[test]
    fn an_answer_that_is_cut_short_is_refused() {
        let path = std::env::temp_dir().join(format!("heapcast-answer.{}", std::process::id()));
        Answer::prepare(&path).unwrap();
        assert_eq!(Answer::read(&path).unwrap().word(word::STATE), state::NONE);
        std::fs::write(&path, [0; PAGE - 1]).unwrap();
        assert!(Answer::read(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
