//! How one gets a policy for real.

use serde::{Deserialize, Serialize};

use crate::schema::described;

described! {
/// What turns the recorded program into one under this policy. All empty: it is what ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paste {
    /// For a shell, before the command: `GLIBC_TUNABLES=glibc.malloc.arena_max=1`.
    pub before: String,
    /// A command for the whole machine, as root.
    pub machine: String,
    /// Whether another allocator than the recorded one takes over.
    pub other_allocator: bool,
}
}

impl Paste {
    /// Whether nothing has to be done.
    pub fn is_nothing(&self) -> bool {
        self.before.is_empty() && self.machine.is_empty()
    }
}
