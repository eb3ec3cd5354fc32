//! What a library adds to a process by being loaded, beside what its model asks of the system.
//!
//! Measured on Debian 12, with the library preloaded and without: private pages with a program that makes two small requests, file pages as the
//! median of what sqlite3, python3, perl, jq and git had more in `/proc/PID/smaps` once they waited for input (some 100 KiB to either side: which pages
//! of libc a program has used by itself), faults and calls as the median of what sqlite3, python3, perl and jq had more than the model of their heap.
//! Of the libraries that come along, what `cat` had more with each of them preloaded beside the allocator.

use crate::units::Bytes;

/// What becomes of a process that loads a library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Private pages: data, relocations, static memory.
    pub private: Bytes,
    /// Resident pages of files.
    pub file: Bytes,
    /// Minor faults.
    pub faults: u64,
    /// Calls of `mmap` by the dynamic loader.
    pub mmaps: u64,
}

/// A library that another one needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Need {
    /// How its file's name begins.
    pub name: &'static str,
    /// What it costs a process that does not have it.
    pub cost: Cost,
    /// Whether programs have it by themselves, where a recording does not tell.
    pub is_common: bool,
}

/// The pages of a library, and what it brings along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Of itself.
    pub own: Cost,
    /// The libraries that it needs, except libc.
    pub needs: &'static [&'static Need],
}

/// The mathematical functions of libc, version 2.36.
static LIBM: Need = Need { name: "libm.so.6", cost: Cost::new(8, 312, 17, 4), is_common: true };
/// What C++ programs and libraries need to unwind, version 12.
static LIBGCC: Need = Need { name: "libgcc_s.so.1", cost: Cost::new(8, 88, 15, 4), is_common: false };
/// The C++ library, version 12. Its memory for exceptions in need comes from `malloc` and is the model's.
static LIBSTDCXX: Need = Need { name: "libstdc++.so.6", cost: Cost::new(56, 816, 70, 6), is_common: false };
/// What a library needs that is written in C++.
pub static CXX: [&Need; 3] = [&LIBM, &LIBGCC, &LIBSTDCXX];

impl Footprint {
    /// Nothing: it comes with libc, or is hypothetical.
    pub const NONE: Footprint = Footprint { own: Cost::new(0, 0, 0, 0), needs: &[] };

    /// What it costs a process that has the libraries that `has` says.
    pub fn cost(&self, has: impl Fn(&Need) -> bool) -> Cost {
        self.needs.iter().filter(|need| !has(need)).fold(self.own, |sum, need| sum.plus(need.cost))
    }
}

impl Cost {
    /// In KiB of private memory and of files, faults and calls.
    pub const fn new(private: u64, file: u64, faults: u64, mmaps: u64) -> Cost {
        Cost { private: Bytes(private << 10), file: Bytes(file << 10), faults, mmaps }
    }

    /// Resident pages of both kinds.
    pub fn resident_pages(&self) -> u64 {
        self.private.pages_up().0 + self.file.pages_up().0
    }

    fn plus(self, other: Cost) -> Cost {
        Cost {
            private: self.private + other.private,
            file: self.file + other.file,
            faults: self.faults + other.faults,
            mmaps: self.mmaps + other.mmaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_is_not_paid_again() {
        let library = Footprint { own: Cost::new(4, 8, 1, 2), needs: &CXX };
        assert_eq!(library.cost(|_| true), library.own);
        assert_eq!(library.cost(|need| need.name != LIBM.name), Cost::new(12, 320, 18, 6));
        assert_eq!(library.cost(|_| false).resident_pages(), (4 + 8 + 320 + 96 + 872) / 4);
        assert_eq!(Footprint::NONE.cost(|_| false), Cost::default());
    }
}
