//! Sizes of slots, and how many of them a new group has.

/// What sizes and offsets are counted in, bytes; also the length of a group's header.
pub(super) const UNIT: u64 = 16;
/// Bytes in front of a block that are not the program's.
pub(super) const IN_BAND: u64 = 4;
pub(super) const CLASSES: usize = 48;
/// The class of a block that has a mapping of its own.
pub(super) const WHOLE: usize = 63;
/// Requests of at least so many bytes have a mapping of their own.
pub(super) const THRESHOLD: u64 = 131_052;
/// No request may be as large: half of the address space, less a page.
pub(super) const MOST: u64 = i64::MAX as u64 - 4096;

/// Units of a slot of each class: 1 to 10, then four for each doubling.
#[rustfmt::skip]
const UNITS: [u64; CLASSES] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146, 170, 204, 255, 292, 340, 409, 511, 584, 682, 818,
    1023, 1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460, 6552, 8191,
];

/// Slots of a new group of the smallest classes, the more the more slots of the class there are.
const FEW: [[u64; 3]; 9] =
    [[30, 30, 30], [31, 15, 15], [20, 10, 10], [31, 15, 7], [25, 12, 6], [21, 10, 5], [18, 8, 4], [31, 15, 7], [28, 14, 6]];
/// The same of the others, by the remainder of the class by four; halved as long as that is too many.
const MEDIUM: [u64; 4] = [28, 24, 20, 32];
/// A group below this can be counted in units of 16 bits.
const LIMIT: u64 = 1 << 20;

/// Bytes of a slot.
pub(super) fn slot_size(class: usize) -> u64 {
    UNITS[class] * UNIT
}

/// The smallest class that a request below the threshold fits.
pub(super) fn class_of(size: u64) -> usize {
    let units = (size + IN_BAND).div_ceil(UNIT).max(1);
    if units <= 10 {
        return units as usize - 1;
    }
    let first = (units.ilog2() as usize - 1) * 4;
    let half = first + if units > UNITS[first + 1] { 2 } else { 0 };
    half + usize::from(units > UNITS[half])
}

/// Slots of a new group of a class that has `used` slots already.
pub(super) fn count(class: usize, used: u64) -> u64 {
    if let Some(few) = FEW.get(class) {
        return *few[..2].iter().find(|&&count| 4 * count <= used).unwrap_or(&few[2]);
    }
    let mut count = MEDIUM[class % 4];
    while count.is_multiple_of(2) && 4 * count > used {
        count /= 2;
    }
    while slot_size(class) * count >= LIMIT {
        count /= 2;
    }
    count
}

/// The same where the group gets a mapping and few slots of the class are in use: as many as fill whole pages.
pub(super) fn reduced(class: usize, count: u64) -> u64 {
    match (class % 4, slot_size(class) * count) {
        (1, bytes) if bytes > 32 << 10 => 2,
        (2, bytes) if bytes > 16 << 10 => 3,
        (0, bytes) if bytes > 32 << 10 => 3,
        (0, bytes) if bytes > 8 << 10 => 5,
        _ => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_class_that_fits() {
        for size in 0..THRESHOLD {
            let smallest = UNITS.iter().position(|units| size <= units * UNIT - IN_BAND);
            assert_eq!(Some(class_of(size)), smallest, "{size}");
        }
    }

    #[test]
    fn groups_grow_with_their_class() {
        assert_eq!([0, 59, 60, 123, 124].map(|used| count(1, used)), [15, 15, 15, 15, 31]);
        assert_eq!([0, 27, 28, 60, 124].map(|used| count(7, used)), [7, 7, 7, 15, 31]);
        assert_eq!([0, 8, 16, 64, 128].map(|used| count(11, used)), [1, 2, 4, 16, 32]);
        assert_eq!([0, 56, 112].map(|used| count(12, used)), [7, 14, 28]);
        assert_eq!((count(47, 1000), count(46, 1000), count(44, 1000)), (8, 10, 14));
        assert_eq!((reduced(25, 24), reduced(26, 20), reduced(28, 7), reduced(28, 14)), (2, 3, 5, 3));
        assert_eq!((reduced(20, 7), reduced(20, 14), reduced(23, 32)), (7, 5, 32));
    }
}
