//! Size classes: of blocks, and of runs of pages.
//!
//! ```text
//! blocks   8 16 32 48 64 | 80 96 112 128 | 160 192 224 256 | …     four to each doubling; 36 small ones, up to 14336
//! pages    1 2 3 4 | 5 6 7 8 | 10 12 14 16 | …                     the classes of blocks that are whole pages
//! ```

use crate::units::PAGE;

/// Small classes: blocks of those share slabs.
pub(super) const SMALL: usize = 36;
/// Largest small block.
pub(super) const SMALL_MAX: u64 = 14336;
/// Smallest block that has pages of its own.
pub(super) const LARGE_MIN: u64 = 16384;
/// Largest block: 7 EiB.
pub(super) const LARGE_MAX: u64 = 7 << 60;
/// Pages that a large block has beside its size, so that its beginning can be shifted by some cache lines.
pub(super) const PAD: u64 = 1;
/// Classes of blocks: the last is `LARGE_MAX`.
const CLASSES: usize = 232;
/// Classes of runs of pages, with one for what is larger.
pub(super) const PAGE_CLASSES: usize = 200;

static SIZES: [u64; CLASSES] = sizes();

const fn sizes() -> [u64; CLASSES] {
    let mut sizes = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        sizes[class] = match class {
            0 => 8,
            1..=4 => 16 * class as u64,
            _ => {
                let (doubling, step) = ((class - 5) / 4, (class - 5) % 4);
                (64 << doubling) + ((step as u64 + 1) << (4 + doubling))
            }
        };
        class += 1;
    }
    sizes
}

/// Class of a block of at least `size` bytes, which must not exceed [`LARGE_MAX`]; 0 is treated as 8.
pub(super) fn class_of(size: u64) -> usize {
    match size {
        0..=8 => 0,
        9..=64 => size.div_ceil(16) as usize,
        _ => {
            let below = size - 1;
            let doubling = below.ilog2() - 6;
            5 + 4 * doubling as usize + ((below >> (doubling + 4)) & 3) as usize
        }
    }
}

/// Bytes of a block.
pub(super) fn size_of(class: usize) -> u64 {
    SIZES[class]
}

/// Class of a run of at least so many pages; the one past the last where it is longer than every class.
pub(super) fn page_class_of(pages: u64) -> usize {
    match pages {
        0..=4 => pages.max(1) as usize - 1,
        _ => {
            let below = pages - 1;
            let doubling = below.ilog2() - 2;
            (4 + 4 * doubling as usize + ((below >> doubling) & 3) as usize).min(PAGE_CLASSES - 1)
        }
    }
}

/// Pages of a run.
pub(super) fn pages_of(class: usize) -> u64 {
    match class {
        0..4 => class as u64 + 1,
        _ => {
            let (doubling, step) = ((class - 4) / 4, (class - 4) % 4);
            (4 << doubling) + ((step as u64 + 1) << doubling)
        }
    }
}

/// The longest class, with its pad, that is not longer than a run: what the run can be counted on for.
fn quantized_down(pages: u64) -> u64 {
    match page_class_of(pages - PAD + 1) {
        0 => pages,
        class => pages_of(class - 1) + PAD,
    }
}

/// Where a free run is kept.
pub(super) fn bin_of(pages: u64) -> usize {
    page_class_of(quantized_down(pages))
}

/// The first bin all of whose runs are long enough.
pub(super) fn first_bin_for(pages: u64) -> usize {
    let down = quantized_down(pages);
    let up = if down < pages { pages_of(page_class_of(down - PAD + 1)) + PAD } else { pages };
    page_class_of(up)
}

/// How blocks of a small class share a slab.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlabKind {
    /// Pages of a slab: the fewest that blocks fill without a rest.
    pub(super) pages: u64,
    /// Blocks of a slab.
    pub(super) regions: u32,
    /// 2³² over the size, rounded up: a multiplication by it divides offsets exactly.
    inverse: u64,
}

impl SlabKind {
    /// The slabs of a small class.
    pub(super) fn of(class: usize) -> SlabKind {
        let size = size_of(class);
        let pages = (1..).find(|pages| (pages * PAGE).is_multiple_of(size)).unwrap_or(1);
        SlabKind { pages, regions: (pages * PAGE / size) as u32, inverse: (1 << 32) / size + u64::from(!size.is_power_of_two()) }
    }

    /// Number of the block at an offset.
    pub(super) fn region(&self, offset: u64) -> usize {
        ((offset * self.inverse) >> 32) as usize
    }
}

/// Size after rounding up to a class, for a block with an alignment: small if a small class is aligned by nature.
pub(super) fn aligned_size(size: u64, align: u64) -> Option<u64> {
    if size <= SMALL_MAX && align <= PAGE {
        let usable = size_of(class_of(size.next_multiple_of(align)));
        if usable < LARGE_MIN {
            return Some(usable);
        }
    }
    (size <= LARGE_MAX && align <= LARGE_MAX).then(|| size_of(class_of(size.max(LARGE_MIN))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_four_to_a_doubling() {
        let first: Vec<u64> = (0..14).map(size_of).collect();
        assert_eq!(first, [8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]);
        assert_eq!((size_of(SMALL - 1), size_of(SMALL), size_of(40), size_of(CLASSES - 1)), (SMALL_MAX, LARGE_MIN, 32768, LARGE_MAX));
        for class in 0..CLASSES {
            assert_eq!((class_of(size_of(class)), class_of(size_of(class) - 1)), (class, class));
            assert!(class + 1 == CLASSES || class_of(size_of(class) + 1) == class + 1);
        }
        assert_eq!(class_of(0), 0);
    }

    #[test]
    fn runs_have_the_classes_that_are_whole_pages() {
        let pages: Vec<u64> = (0..14).map(pages_of).collect();
        assert_eq!(pages, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24]);
        for class in 0..PAGE_CLASSES - 2 {
            assert_eq!((page_class_of(pages_of(class)), page_class_of(pages_of(class) + 1)), (class, class + 1));
        }
        assert_eq!(page_class_of(LARGE_MAX / PAGE + 1), PAGE_CLASSES - 1);
    }

    /// Every slab of the package, by class: pages and blocks.
    #[test]
    fn slabs_are_those_of_the_package() {
        let table: [(u64, u64, u32); 36] = [
            (8, 1, 512),
            (16, 1, 256),
            (32, 1, 128),
            (48, 3, 256),
            (64, 1, 64),
            (80, 5, 256),
            (96, 3, 128),
            (112, 7, 256),
            (128, 1, 32),
            (160, 5, 128),
            (192, 3, 64),
            (224, 7, 128),
            (256, 1, 16),
            (320, 5, 64),
            (384, 3, 32),
            (448, 7, 64),
            (512, 1, 8),
            (640, 5, 32),
            (768, 3, 16),
            (896, 7, 32),
            (1024, 1, 4),
            (1280, 5, 16),
            (1536, 3, 8),
            (1792, 7, 16),
            (2048, 1, 2),
            (2560, 5, 8),
            (3072, 3, 4),
            (3584, 7, 8),
            (4096, 1, 1),
            (5120, 5, 4),
            (6144, 3, 2),
            (7168, 7, 4),
            (8192, 2, 1),
            (10240, 5, 2),
            (12288, 3, 1),
            (14336, 7, 2),
        ];
        for (class, (size, pages, regions)) in table.into_iter().enumerate() {
            let kind = SlabKind::of(class);
            assert_eq!((size_of(class), kind.pages, kind.regions), (size, pages, regions));
            assert!((0..u64::from(regions)).all(|region| kind.region(region * size) as u64 == region));
        }
    }

    #[test]
    fn alignment_by_nature_or_by_pages() {
        let sizes = [(1, 16), (100, 64), (100, 4096), (9000, 4096), (13000, 4096), (14000, 4096), (10, 8192)];
        let found = sizes.map(|(size, align)| aligned_size(size, align).expect("fits"));
        assert_eq!(found, [16, 128, 4096, 12288, 16384, 16384, 16384]);
        assert_eq!(aligned_size(LARGE_MAX + 1, 64), None);
    }

    #[test]
    fn free_runs_are_kept_by_what_they_are_good_for() {
        assert_eq!([1, 2, 5, 9, 10, 11].map(bin_of), [0, 1, 4, 8, 8, 9]);
        assert_eq!([1, 5, 9, 10, 11].map(first_bin_for), [0, 4, 8, 9, 9]);
    }
}
