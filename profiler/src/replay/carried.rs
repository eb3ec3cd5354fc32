//! Memory that is not malloc's, as the workload tells it: the same under every policy.

use crate::units::PAGE;
use crate::vm::Calls;
use crate::workload::Action;

/// The sums so far.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Resident pages: anonymous, file and shared ones.
    pub pages: i64,
    /// Of those, pages of files and shared memory.
    pub files: i64,
    /// Minor faults.
    pub faults: i64,
    /// Mapped bytes.
    pub mapped: i64,
    /// Bytes given back.
    pub returned: u64,
    /// System calls.
    pub calls: Calls,
}

impl Carried {
    /// Adds what an operation says of it; most say nothing.
    pub fn take(&mut self, action: Action) {
        match action {
            Action::Resident { anon, file, shmem, faults } => {
                self.pages += i64::from(anon) + i64::from(file) + i64::from(shmem);
                self.files += i64::from(file) + i64::from(shmem);
                self.faults += i64::from(faults);
            }
            Action::Mapping { calls, mapped, returned } => {
                if let Some((kind, count)) = calls {
                    self.calls.add(kind, count.into());
                }
                self.mapped += mapped;
                self.returned += u64::from(returned) * PAGE;
            }
            _ => {}
        }
    }
}
