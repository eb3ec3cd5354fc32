//! Sizes and layout of chunks, 64-bit.
//!
//! ```text
//! chunk    | size of the chunk below, if that is free | own size, flags | user data …              |
//!          ^ chunk                                                      ^ pointer (chunk + 16)
//! free     | …                                        | own size, flags | next | previous | *      | … | own size |
//! ```
//!
//! `*`: free chunks of 1024 bytes and more have there the next and the previous chunk of another size. The last 8 usable bytes of a
//! chunk in use are the first word of the chunk above.

/// Bytes between a chunk and the pointer that the program gets.
pub(super) const HEADER: u64 = 16;
/// One word.
pub(super) const WORD: u64 = 8;
/// Smallest chunk.
pub(super) const MINSIZE: u64 = 0x20;
/// Smallest chunk of a large bin.
pub(super) const LARGE: u64 = 0x400;
/// Largest chunk that fits the words of the simulated memory: 32 GiB.
pub(super) const LIMIT: u64 = 1 << 35;
/// The flag in a size word of a mapping of its own.
pub(super) const IS_MMAPPED: u64 = 2;

/// The chunk size of a request; `None` where no allocation could be that large.
pub(super) fn chunk_size(request: u64) -> Option<u64> {
    (request <= i64::MAX as u64).then(|| ((request + WORD + 15) & !15).max(MINSIZE))
}

pub(super) fn align_up(value: u64, to: u64) -> u64 {
    value.checked_next_multiple_of(to).unwrap_or(!(to - 1))
}

pub(super) fn align_down(value: u64, to: u64) -> u64 {
    value / to * to
}

/// Bin of a small or large chunk.
pub(super) fn bin_index(size: u64) -> u32 {
    let index = match size {
        _ if size < LARGE => size >> 4,
        _ if size >> 6 <= 48 => 48 + (size >> 6),
        _ if size >> 9 <= 20 => 91 + (size >> 9),
        _ if size >> 12 <= 10 => 110 + (size >> 12),
        _ if size >> 15 <= 4 => 119 + (size >> 15),
        _ if size >> 18 <= 2 => 124 + (size >> 18),
        _ => 126,
    };
    index as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_their_chunks() {
        let sizes = [(0, 0x20), (24, 0x20), (25, 0x30), (120, 0x80), (121, 0x90), (1032, 0x410), (1033, 0x420)];
        for (request, chunk) in sizes {
            assert_eq!(chunk_size(request), Some(chunk));
        }
        assert_eq!(chunk_size(1 << 63), None);
        assert!(chunk_size((1 << 63) - 1).is_some());
    }

    #[test]
    fn sizes_have_their_bins() {
        let bins = [(0x20, 2), (0x3f0, 63), (0x400, 64), (0xc00, 96), (0xe00, 98), (0x1000, 99), (0x2a00, 112), (0xb000, 120)];
        for (size, bin) in bins.into_iter().chain([(0x28000, 124), (0xc0000, 126), (1 << 40, 126)]) {
            assert_eq!(bin_index(size), bin, "{size:#x}");
        }
    }
}
