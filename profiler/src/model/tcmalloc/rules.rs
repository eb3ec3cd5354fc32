//! Settings, as the library keeps them.

use super::spans::PAGE_SHIFT;
use crate::model::Settings;

#[derive(Clone, Copy, Debug)]
pub(super) struct Params {
    /// Largest batch.
    pub(super) transfer: usize,
    /// Bytes that all threads' caches share.
    pub(super) cached: i64,
    /// Free spans go back to the kernel at once.
    pub(super) aggressive: bool,
    pub(super) flags: Flags,
}

impl Params {
    pub(super) fn new(settings: &Settings) -> Params {
        Params {
            transfer: settings.get("transfer_num_obj") as usize,
            cached: settings.get("max_total_thread_cache"),
            aggressive: settings.get("aggressive_decommit") != 0,
            flags: Flags::new(settings),
        }
    }
}

/// Settings that are read when the library's own variables are initialised. That is after its first growth, which therefore meets the
/// default of this type: zeros.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// Pages released per thousand pages freed.
    pub(super) release_rate: f64,
    /// Pages from the system, less what was returned; 0: no limit.
    pub(super) limit_pages: u64,
    pub(super) never_release: bool,
    pub(super) skip_break: bool,
    pub(super) skip_mappings: bool,
}

impl Flags {
    pub(super) fn new(settings: &Settings) -> Flags {
        let on = |key| settings.get(key) != 0;
        Flags {
            release_rate: settings.get("release_per_million") as f64 / 1000.0,
            limit_pages: settings.bytes("heap_limit_mb") << (20 - PAGE_SHIFT),
            never_release: on("disable_memory_release"),
            skip_break: on("skip_sbrk"),
            skip_mappings: on("skip_mmap"),
        }
    }
}
