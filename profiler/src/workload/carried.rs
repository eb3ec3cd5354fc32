//! What every policy must add to its own.

use super::regions::Owner;
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
