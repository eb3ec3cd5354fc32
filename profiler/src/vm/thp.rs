//! Transparent huge pages: which first touch gets 2 MiB at once.
//!
//! `khugepaged`, which collapses small pages into huge ones in the background, is not modelled.

use super::pages::CHUNK;
use super::space::Vma;
use crate::event::Backing;
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
