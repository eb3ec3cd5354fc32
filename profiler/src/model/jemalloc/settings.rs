//! The settings, as the library has them after start-up.

use super::classes::{LARGE_MAX, LARGE_MIN, SMALL, SlabKind, class_of};
use crate::model::Settings;
use crate::units::PAGE;

/// Arenas for each CPU.
const ARENAS_PER_CPU: u64 = 4;
/// More arenas than that cannot be numbered.
const MOST_ARENAS: u64 = 4094;
/// Background threads where nothing is set.
const BACKGROUND_THREADS: u32 = 4;
/// Blocks from that size on have an arena of their own, and free extents from that size on go back at once.
pub(super) const OVERSIZE: u64 = 8 << 20;
/// Larger blocks cannot be cached.
const MOST_CACHED: u64 = 8 << 20;

/// `thp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thp {
    Default,
    Always,
    Never,
}

/// `metadata_thp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataThp {
    Disabled,
    Auto,
    Always,
}

/// The settings of a process.
pub(super) struct Params {
    pub(super) retain: bool,
    pub(super) dirty_millis: i64,
    pub(super) muzzy_millis: i64,
    /// Arenas that threads are given without asking.
    pub(super) arenas: usize,
    /// Blocks from that size on come from an arena of their own; `None`: there is none.
    pub(super) oversize: Option<u64>,
    /// Free extents 2^this times longer than the need are left whole.
    pub(super) max_fit: u32,
    pub(super) tcache: bool,
    /// For each cached class how many blocks a thread caches.
    pub(super) slots: Vec<u32>,
    /// A visit of the cache's collector is due each time so many bytes went by.
    pub(super) gc_step: u64,
    pub(super) gc_delay: u64,
    pub(super) flush_small: u32,
    pub(super) flush_large: u32,
    /// Threads that purge in the background; 0: none.
    pub(super) background: u32,
    pub(super) thp: Thp,
    pub(super) metadata_thp: MetadataThp,
    pub(super) zero: bool,
    pub(super) junk_new: bool,
    pub(super) junk_freed: bool,
    /// The small classes' slabs.
    pub(super) slabs: [SlabKind; SMALL],
}

impl Params {
    pub(super) fn new(settings: &Settings) -> Params {
        let is = |key| settings.get(key) != 0;
        let slabs = std::array::from_fn(SlabKind::of);
        let oversize = settings.bytes("oversize_threshold");
        let cpus = settings.cpus.max(1);
        let background = if is("background_thread") { background_threads(settings, cpus) } else { 0 };
        let junk = settings.get("junk");
        Params {
            retain: is("retain"),
            dirty_millis: settings.get("dirty_decay_ms"),
            muzzy_millis: settings.get("muzzy_decay_ms"),
            arenas: arenas(settings, cpus),
            oversize: (LARGE_MIN..=LARGE_MAX).contains(&oversize).then_some(oversize),
            max_fit: settings.get("lg_extent_max_active_fit").min(63) as u32,
            tcache: is("tcache"),
            slots: slots(settings, &slabs),
            gc_step: settings.bytes("tcache_gc_incr_bytes"),
            gc_delay: settings.bytes("tcache_gc_delay_bytes"),
            flush_small: settings.get("lg_tcache_flush_small_div") as u32,
            flush_large: settings.get("lg_tcache_flush_large_div") as u32,
            background,
            thp: [Thp::Default, Thp::Always, Thp::Never][settings.get("thp") as usize],
            metadata_thp: [MetadataThp::Disabled, MetadataThp::Auto, MetadataThp::Always][settings.get("metadata_thp") as usize],
            zero: is("zero"),
            junk_new: junk & 1 != 0,
            junk_freed: junk & 2 != 0,
            slabs,
        }
    }

    /// How a free extent becomes too long to be kept, in arenas made after start-up.
    pub(super) fn oversize_or_never(&self) -> u64 {
        self.oversize.unwrap_or(LARGE_MAX + PAGE)
    }
}

fn arenas(settings: &Settings, cpus: u32) -> usize {
    let default = if cpus > 1 { ARENAS_PER_CPU * u64::from(cpus) } else { 1 };
    match settings.bytes("narenas") {
        0 => default.min(MOST_ARENAS) as usize,
        given => given.min(MOST_ARENAS) as usize,
    }
}

fn background_threads(settings: &Settings, cpus: u32) -> u32 {
    match settings.get("max_background_threads") {
        0 => cpus.min(BACKGROUND_THREADS),
        given => cpus.min(given as u32),
    }
}

/// Blocks cached per class: of small ones about two slabs.
fn slots(settings: &Settings, slabs: &[SlabKind; SMALL]) -> Vec<u32> {
    let most_cached = match settings.get("lg_tcache_max") {
        lg if lg >= 0 => (1 << lg.min(23)).min(MOST_CACHED),
        _ => settings.bytes("tcache_max").min(MOST_CACHED),
    };
    let even = |key: &str, up: u32| (settings.get(key) as u32 + up) & !1;
    let most = even("tcache_nslots_small_max", 0).max(2);
    let least = even("tcache_nslots_small_min", 1).max(2).min(most);
    let shift = settings.get("lg_tcache_nslots_mul");
    let small = |kind: &SlabKind| {
        let wanted = if shift < 0 { kind.regions >> -shift } else { kind.regions << shift };
        wanted.next_multiple_of(2).clamp(least, most)
    };
    let large = settings.get("tcache_nslots_large") as u32;
    (0..=class_of(most_cached)).map(|class| slabs.get(class).map_or(large, small)).collect()
}

/// Bytes that a thread's cache takes, for the ends of the stack of each class and the words at both ends.
pub(super) fn stack_bytes(slots: &[u32]) -> u64 {
    (slots.iter().map(|&slots| u64::from(slots)).sum::<u64>() + 2) * 8
}

/// Size of the block that holds a thread's cache: aligned to a page.
pub(super) fn stack_size(slots: &[u32]) -> u64 {
    let bytes = stack_bytes(slots);
    super::classes::aligned_size(bytes, PAGE).unwrap_or(bytes)
}
