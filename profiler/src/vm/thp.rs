//! Transparent huge pages: which first touch gets 2 MiB at once.
//!
//! `khugepaged` makes huge pages out of small ones in the background: it sleeps, looks at the room of so many huge pages in the order of addresses, and
//! makes one wherever there is something. When it comes, and whether it has other processes to look at, nobody knows: what is predicted is a
//! process that it has for itself.

use super::pages::CHUNK;
use super::space::{AddressSpace, Vma};
use crate::event::Backing;
use crate::units::Nanos;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The machine's setting (`/sys/kernel/mm/transparent_hugepage/enabled`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only where `MADV_HUGEPAGE` was given: what most distributions set.
    #[default]
    Madvise,
    /// Wherever it fits.
    Always,
    /// Nowhere.
    Never,
}

/// How `khugepaged` is set (`/sys/kernel/mm/transparent_hugepage/khugepaged`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Khugepaged {
    /// Small pages that it looks at before it sleeps (`pages_to_scan`).
    pub pages: u64,
    /// How long it sleeps (`scan_sleep_millisecs`).
    pub sleep: Nanos,
    /// Of the small pages of a huge one, how many may be missing (`max_ptes_none`).
    pub most_absent: u64,
}

impl Khugepaged {
    /// One round in a reading, from where the last one ended; at the end of memory the next one begins anew.
    pub fn round<const N: usize>(self, space: &mut AddressSpace<N>, reading: usize, from: &mut u64) {
        let mut left = self.pages / CHUNK;
        for number in space.coverable(*from, left) {
            space.collapse_in(reading, number, self.most_absent);
            (left, *from) = (left - 1, number + 1);
        }
        if left > 0 {
            *from = 0;
        }
    }
}

impl Mode {
    /// Every mode with the kernel's word for it.
    pub const ALL: [(Mode, &'static str); 3] = [(Mode::Always, "always"), (Mode::Madvise, "madvise"), (Mode::Never, "never")];

    /// Whether a first touch in chunk `number` of `vma`, which spans `extent`, would get a huge page if nothing is there yet.
    pub(super) fn covers(self, vma: &Vma, extent: &Range<u64>, number: u64) -> bool {
        let wanted = match (self, vma.huge) {
            (Mode::Never, _) | (_, Some(false)) => false,
            (Mode::Always, _) => true,
            (Mode::Madvise, huge) => huge == Some(true),
        };
        wanted && fits(vma, extent, number)
    }
}

/// Whether chunk `number` can be huge in `vma`, which spans `extent`.
pub(super) fn fits(vma: &Vma, extent: &Range<u64>, number: u64) -> bool {
    matches!(vma.backing, Backing::Anonymous | Backing::Break) && extent.start <= number * CHUNK && (number + 1) * CHUNK <= extent.end
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Mode::ALL.iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Mode, ()> {
        Mode::ALL.iter().find(|(_, name)| *name == text).map(|(mode, _)| *mode).ok_or(())
    }
}
