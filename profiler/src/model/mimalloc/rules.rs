//! Sizes, classes and settings.
//!
//! Constants: `mimalloc-types.h`, `page-queue.c`, `page.c`, `segment.c`, `os.c`, `segment-cache.c` of mimalloc 2.0.9.

use crate::model::Settings;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// A segment and its alignment.
pub(super) const SEGMENT: u64 = 32 * MIB;
/// The unit in which a segment is divided; a bit of its masks.
pub(super) const SLICE: u64 = 64 * KIB;
/// Slices of a normal segment; the first holds its header.
pub(super) const SLICES: usize = 512;
/// Committed at least in one go, in slices.
pub(super) const COMMIT_SLICES: usize = 16;

/// Blocks up to this size go into pages of one slice.
pub(super) const SMALL: u64 = 16 * KIB;
/// Blocks up to this size go into pages of [`MEDIUM_PAGE`].
pub(super) const MEDIUM: u64 = 128 * KIB;
pub(super) const MEDIUM_PAGE: u64 = 512 * KIB;
/// Blocks up to this size have a page of their own, beyond it a segment of their own.
pub(super) const LARGE: u64 = 16 * MIB;
/// Largest alignment that is made inside a larger block.
pub(super) const ALIGNMENT: u64 = 16 * MIB;
/// Sizes up to this one are served from the first page of their class without looking at anything else.
pub(super) const DIRECT: u64 = 1024;
/// Up to this size, blocks whose size is a multiple of the alignment are aligned by nature.
pub(super) const NATURAL: u64 = 128;
/// No request may be larger.
pub(super) const MOST: u64 = i64::MAX as u64;
/// No more than this is cleared of one block: sizes are kept in 32 bits.
pub(super) const CLEARED: u64 = 2 * GIB;

/// What the blocks of a page begin behind, where they are not larger than [`DIRECT`].
pub(super) const PAGE_OFFSET: u64 = 384;
/// Bytes of new free blocks that are linked at a time, and blocks at least.
const EXTEND: u64 = 4 * KIB;
const EXTEND_LEAST: u64 = 4;
/// Sweeps that an empty page outlives, for small and for larger blocks.
const RETIRE: u8 = 8;

/// Layout of a segment's header: the entries of the slices, and in an entry what lies behind the size of the span, the size that
/// tells free from used, and the links.
pub(super) const ENTRIES: u64 = 264;
pub(super) const ENTRY: u64 = 80;
pub(super) const ENTRY_SIZES: u64 = 32;
pub(super) const ENTRY_LINKS: u64 = 72;
/// So many slices of a span know where it begins, beside its last one.
pub(super) const OFFSETS: usize = 255;

/// Heap and statistics of a thread: what is mapped for them.
pub(super) const THREAD_DATA: u64 = 8 * KIB;

/// Classes of blocks: the last ones are for large and huge pages, and for pages without a free block.
pub(super) const BIN_LARGE: usize = 73;
pub(super) const BIN_FULL: usize = 74;
pub(super) const BINS: usize = 75;
/// Classes of free spans.
pub(super) const SPAN_BINS: usize = 36;

/// The class of a size up to [`MEDIUM`].
pub(super) const fn bin(size: u64) -> usize {
    let words = size.div_ceil(8);
    match words {
        0 | 1 => 1,
        2..=8 => words.next_multiple_of(2) as usize,
        _ => {
            let top = (words - 1).ilog2() as usize;
            (top << 2) + (((words - 1) >> (top - 2)) & 3) as usize - 3
        }
    }
}

/// Bytes of the blocks of a class.
pub(super) const fn bin_size(bin: usize) -> u64 {
    match bin {
        0..=8 => bin as u64 * 8,
        _ => (((bin + 3) & 3) as u64 + 5) << (bin.div_ceil(4) + 1),
    }
}

/// The class of a span of so many slices.
pub(super) fn span_bin(slices: usize) -> usize {
    match slices {
        0..=8 => slices,
        _ => {
            let top = (slices - 1).ilog2() as usize;
            (top << 2) + (((slices - 1) >> (top - 2)) & 3) - 4
        }
    }
}

/// What is asked of the system for so many bytes.
pub(super) fn good(size: u64) -> u64 {
    const BELOW: [(u64, u64); 4] = [(512 * KIB, 4 * KIB), (2 * MIB, 64 * KIB), (8 * MIB, 256 * KIB), (32 * MIB, MIB)];
    let step = BELOW.iter().find(|(limit, _)| size < *limit).map_or(4 * MIB, |(_, step)| *step);
    size.checked_next_multiple_of(step).unwrap_or(size)
}

/// Blocks that become free at a time.
pub(super) fn extension(block_size: u64) -> u64 {
    (EXTEND / block_size).max(EXTEND_LEAST)
}

/// The counter of a page that has just become empty.
pub(super) fn retirement(block_size: u64) -> u8 {
    1 + if block_size <= SMALL { RETIRE } else { RETIRE / 4 }
}

/// Where the entry of a slice lies in the header.
pub(super) fn entry(slice: usize) -> u64 {
    ENTRIES + ENTRY * slice as u64
}

/// The settings.
pub(super) struct Params {
    /// Milliseconds until free spans are returned; 0: at once.
    pub(super) decommit_delay: i64,
    /// The same for whole free segments.
    pub(super) segment_decommit_delay: i64,
    /// Milliseconds that each further free adds.
    pub(super) decommit_extend_delay: i64,
    pub(super) allow_decommit: bool,
    pub(super) eager_commit: bool,
    /// Segments of a thread that are committed piece by piece, once there were several threads.
    pub(super) eager_commit_delay: u64,
    pub(super) page_reset: bool,
    pub(super) abandoned_page_decommit: bool,
    pub(super) large_os_pages: bool,
    pub(super) limit_os_alloc: bool,
    pub(super) max_segment_reclaim: i64,
    /// Bytes that are reserved at the start.
    pub(super) reserve: u64,
}

impl Params {
    pub(super) fn new(settings: &Settings) -> Params {
        let on = |key| settings.get(key) != 0;
        Params {
            decommit_delay: settings.get("decommit_delay"),
            segment_decommit_delay: settings.get("segment_decommit_delay"),
            decommit_extend_delay: settings.get("decommit_extend_delay"),
            allow_decommit: on("allow_decommit"),
            eager_commit: on("eager_commit"),
            // A negative number is taken for a very large one.
            eager_commit_delay: settings.get("eager_commit_delay") as u64,
            page_reset: on("page_reset"),
            abandoned_page_decommit: on("abandoned_page_decommit"),
            large_os_pages: on("large_os_pages"),
            limit_os_alloc: on("limit_os_alloc"),
            max_segment_reclaim: settings.get("max_segment_reclaim").clamp(8, 1024),
            reserve: settings.bytes("reserve_os_memory").next_multiple_of(KIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        let mut sizes: Vec<u64> = (1..=52).map(bin_size).collect();
        sizes.dedup();
        assert_eq!(sizes[..9], [8, 16, 24, 32, 40, 48, 56, 64, 80]);
        assert_eq!(sizes[51], MEDIUM);
        for size in 0..=MEDIUM {
            let block = bin_size(bin(size));
            let expected = match size {
                0..=8 => 8,
                9..=64 => size.next_multiple_of(16),
                _ => *sizes.iter().find(|block| **block >= size).expect("there is one"),
            };
            assert_eq!(block, expected, "{size}");
        }
    }

    #[test]
    fn spans_of_similar_length_share_a_class() {
        let lengths = [1, 7, 8, 9, 10, 11, 12, 13, 17, 20, 21, 511, 512];
        assert_eq!(lengths.map(span_bin), [1, 7, 8, 8, 8, 9, 9, 10, 12, 12, 13, 31, 31]);
    }

    #[test]
    fn what_is_asked_of_the_system() {
        let sizes = [1, 131_073, 600 * KIB, 3 * MIB, 9 * MIB, 33 * MIB].map(good);
        assert_eq!(sizes, [4 * KIB, 135_168, 640 * KIB, 3 * MIB, 9 * MIB, 36 * MIB]);
        assert_eq!([16, 1000, 2048, 131_072].map(extension), [256, 4, 4, 4]);
    }
}
