//! What every policy must add to its own.

use super::regions::Owner;
use crate::units::Pages;
use crate::vm::Syscall;

/// What an event changed in the program's own memory: what every policy must add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) anon: i64,
    pub(super) faults: i64,
    pub(super) calls: Option<(Syscall, i64)>,
    pub(super) mapped: i64,
    pub(super) returned: u64,
}

impl Carried {
    pub(super) fn plus(self, other: Carried) -> Carried {
        Carried {
            anon: self.anon + other.anon,
            faults: self.faults + other.faults,
            calls: self.calls.or(other.calls),
            mapped: self.mapped + other.mapped,
            returned: self.returned + other.returned,
        }
    }

    pub(super) fn with_call(self, kind: Syscall) -> Carried {
        Carried { calls: Some((kind, 1)), ..self }
    }

    pub(super) fn with_call_of(self, owner: Owner, kind: Syscall) -> Carried {
        if owner == Owner::Program { self.with_call(kind) } else { self }
    }
}

/// 2^31 pages are 8 TiB of resident memory.
pub(super) fn narrow(pages: i64) -> i32 {
    pages.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// Between two counts of pages.
pub(super) fn difference(now: Pages, before: Pages) -> i32 {
    narrow(now.0 as i64 - before.0 as i64)
}
