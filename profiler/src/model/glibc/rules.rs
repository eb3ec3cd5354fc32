//! What differs between versions, and the settings with the rules by which glibc takes them.

use super::chunk::{align_down, chunk_size};
use crate::model::Settings;

/// The versions with rules of their own, oldest first.
pub(super) const VERSIONS: &[&str] = &["2.31", "2.32", "2.33", "2.34", "2.35", "2.36", "2.37", "2.38", "2.39", "2.40", "2.41", "2.42"];
/// What Debian 12 ships, and what is modelled where nothing is known.
pub(super) const BASELINE: u32 = 36;

const MMAP_THRESHOLD_MAX: u64 = 32 << 20;
const TCACHE_MAX_BYTES: u64 = 1032;
pub(super) const HUGE: u64 = 2 << 20;

/// Rules of a version, by its minor number.
#[derive(Clone, Copy)]
pub(super) struct Version(pub(super) u32);

impl Version {
    pub(super) fn parse(text: Option<&str>) -> Version {
        Version(text.and_then(|text| text.strip_prefix("2.")?.parse().ok()).unwrap_or(BASELINE))
    }

    /// The first call of a process passes through a hook, and so through plain malloc.
    pub(super) fn has_hooks(self) -> bool {
        self.0 <= 33
    }

    /// Bytes in front of the state of an arena or of the first chunk of a further heap.
    pub(super) fn heap_info(self) -> u64 {
        if self.0 <= 34 { 0x20 } else { 0x30 }
    }

    pub(super) fn knows_huge_pages(self) -> bool {
        self.0 >= 35
    }

    /// Page size and least size of a mapping in place of the break were swapped in a call.
    pub(super) fn swaps_fallback_sizes(self) -> bool {
        (35..=37).contains(&self.0)
    }

    /// `realloc` leaves a block alone that is not too much too large. (Taken back in later updates of 2.37.)
    pub(super) fn shrinks_rarely(self) -> bool {
        self.0 == 37
    }

    /// `memalign` looks for an aligned block in the thread's cache first.
    pub(super) fn memalign_from_tcache(self) -> bool {
        self.0 >= 38
    }

    /// What `memalign` cuts off is merged, not cached. (2.38 got that in an update.)
    pub(super) fn memalign_merges_rests(self) -> bool {
        self.0 >= 38
    }

    pub(super) fn hugetlb_sets_threshold(self) -> bool {
        self.0 >= 39
    }

    pub(super) fn calloc_from_tcache(self) -> bool {
        self.0 >= 41
    }

    /// A freed small chunk goes to its bin at once instead of waiting among the unsorted.
    pub(super) fn bins_small_at_once(self) -> bool {
        self.0 >= 41
    }

    /// The cache is made by the first request that it could serve, and what the allocator frees for itself never enters it.
    pub(super) fn late_tcache(self) -> bool {
        self.0 >= 42
    }

    /// Bytes of a thread's cache: counters and heads.
    pub(super) fn tcache_bytes(self) -> u64 {
        if self.late_tcache() { 760 } else { 640 }
    }

    /// Where in it the heads begin.
    pub(super) fn tcache_heads(self) -> u64 {
        if self.late_tcache() { 152 } else { 128 }
    }
}

/// Settings in effect.
pub(super) struct Params {
    pub(super) mmap_threshold: u64,
    pub(super) mmap_max: u64,
    pub(super) trim_threshold: u64,
    pub(super) top_pad: u64,
    /// Whether freed mappings move the thresholds.
    pub(super) dynamic: bool,
    /// Largest chunk of a fastbin; below [`super::chunk::MINSIZE`] there are none.
    pub(super) max_fast: u64,
    pub(super) perturb: bool,
    pub(super) arena_max: u64,
    pub(super) arena_test: u64,
    pub(super) tcache_count: u32,
    /// Bins in use.
    pub(super) tcache_bins: usize,
    pub(super) tcache_unsorted_limit: u64,
    pub(super) hugetlb: Hugetlb,
}

/// The `hugetlb` tunable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hugetlb {
    Off,
    /// Advise transparent huge pages.
    Advise,
    /// Take pages of the huge-page pool.
    Pool,
}

impl Params {
    pub(super) fn new(settings: &Settings, version: Version) -> Params {
        let too_high = version.0 <= 34 && settings.bytes("mmap_threshold") > MMAP_THRESHOLD_MAX;
        let fixed = ["trim_threshold", "top_pad", "mmap_max"].iter().any(|key| settings.is_set(key));
        let fixed = fixed || (settings.is_set("mmap_threshold") && !too_high);
        let hugetlb = match settings.get("hugetlb") {
            1 if version.knows_huge_pages() => Hugetlb::Advise,
            size if size >= 2 && version.knows_huge_pages() => Hugetlb::Pool,
            _ => Hugetlb::Off,
        };
        let mut params = Params {
            mmap_threshold: settings.bytes("mmap_threshold"),
            mmap_max: settings.bytes("mmap_max"),
            trim_threshold: settings.bytes("trim_threshold"),
            top_pad: settings.bytes("top_pad"),
            dynamic: !fixed,
            max_fast: max_fast(settings.bytes("mxfast")),
            perturb: settings.get("perturb") & 0xff != 0,
            arena_max: settings.bytes("arena_max"),
            arena_test: settings.bytes("arena_test"),
            tcache_count: settings.get("tcache_count") as u32,
            tcache_bins: tcache_bins(settings.bytes("tcache_max")),
            tcache_unsorted_limit: settings.bytes("tcache_unsorted_limit"),
            hugetlb,
        };
        if too_high {
            params.mmap_threshold = 128 << 10;
        }
        if hugetlb == Hugetlb::Pool && version.hugetlb_sets_threshold() && !settings.is_set("mmap_threshold") {
            (params.mmap_threshold, params.dynamic) = (HUGE, false);
        }
        params
    }

    /// `mallopt`: the numbers of `malloc.h`. What it does not know or allow changes nothing.
    pub(super) fn configure(&mut self, parameter: i32, value: i32, version: Version) {
        const M_MXFAST: i32 = 1;
        const M_TRIM_THRESHOLD: i32 = -1;
        const M_TOP_PAD: i32 = -2;
        const M_MMAP_THRESHOLD: i32 = -3;
        const M_MMAP_MAX: i32 = -4;
        const M_PERTURB: i32 = -6;
        const M_ARENA_TEST: i32 = -7;
        const M_ARENA_MAX: i32 = -8;
        // Sizes are unsigned there, so that -1 is the largest.
        let size = value as i64 as u64;
        match parameter {
            M_MXFAST if size <= 160 => self.max_fast = max_fast(size),
            M_TRIM_THRESHOLD => (self.trim_threshold, self.dynamic) = (size, false),
            M_TOP_PAD => (self.top_pad, self.dynamic) = (size, false),
            M_MMAP_THRESHOLD if version.0 >= 35 || size <= MMAP_THRESHOLD_MAX => (self.mmap_threshold, self.dynamic) = (size, false),
            M_MMAP_MAX => (self.mmap_max, self.dynamic) = (value.max(0) as u64, false),
            M_PERTURB => self.perturb = value & 0xff != 0,
            M_ARENA_TEST if value > 0 => self.arena_test = size,
            M_ARENA_MAX if value > 0 => self.arena_max = size,
            _ => {}
        }
    }

    /// A mapping of its own was freed; `size` is that of its chunk.
    pub(super) fn freed_mapping(&mut self, size: u64) {
        // The real comparison is made with the size word, whose flag makes it larger by two.
        let word = size | super::chunk::IS_MMAPPED;
        if self.dynamic && word > self.mmap_threshold && word <= MMAP_THRESHOLD_MAX {
            self.mmap_threshold = size;
            self.trim_threshold = 2 * size;
        }
    }
}

fn max_fast(value: u64) -> u64 {
    if value <= 7 { 0x10 } else { align_down(value + 8, 16) }
}

/// How many bins serve requests of up to `most` bytes.
fn tcache_bins(most: u64) -> usize {
    let chunk = chunk_size(most.min(TCACHE_MAX_BYTES)).unwrap_or(super::chunk::MINSIZE);
    ((chunk - super::chunk::MINSIZE) / 16) as usize + 1
}
