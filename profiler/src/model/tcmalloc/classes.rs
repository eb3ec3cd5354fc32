//! Size classes: which sizes there are, and how objects of each are kept together. (Fact sheet, section 1.)

use super::spans::PAGE_SHIFT;

/// Largest request that has a class; above it whole pages are handed out.
pub(super) const LARGEST: u64 = 256 << 10;
const GRAIN: u64 = 8;

/// One size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    /// Bytes of an object.
    pub(super) size: u64,
    /// Pages of a span.
    pub(super) pages: u64,
    /// Objects that move together between the caches.
    pub(super) batch: usize,
}

impl Class {
    /// Objects of a span.
    pub(super) fn objects(&self) -> u64 {
        (self.pages << PAGE_SHIFT) / self.size
    }

    /// Bytes at the end of a span that belong to no object.
    pub(super) fn waste(&self) -> u64 {
        (self.pages << PAGE_SHIFT) % self.size
    }
}

/// All classes. Class 0 has no objects; it exists because the transfer cache has slots for it.
pub(super) struct Classes {
    classes: Vec<Class>,
    /// Class of a request, by its size in steps of 8 bytes.
    by_size: Vec<u8>,
}

impl Classes {
    /// `most` is the largest batch.
    pub(super) fn new(most: usize) -> Classes {
        let mut classes = vec![Class::default()];
        let mut size = GRAIN;
        while size <= LARGEST {
            let class = Class { size, pages: span_pages(size, most), batch: batch(size, most) };
            match classes.last_mut() {
                Some(last) if last.size > 0 && last.pages == class.pages && last.objects() == class.objects() => *last = class,
                _ => classes.push(class),
            }
            size += step(size);
        }
        let mut by_size = Vec::new();
        for (number, class) in classes.iter().enumerate() {
            by_size.resize((class.size / GRAIN) as usize + 1, number as u8);
        }
        by_size[0] = 1;
        Classes { classes, by_size }
    }

    /// Class of a request; `None` where it needs whole pages.
    pub(super) fn of(&self, size: u64) -> Option<usize> {
        (size <= LARGEST).then(|| usize::from(self.by_size[size.div_ceil(GRAIN) as usize]))
    }

    pub(super) fn get(&self, class: usize) -> &Class {
        &self.classes[class]
    }

    /// How many there are, with class 0.
    pub(super) fn count(&self) -> usize {
        self.classes.len()
    }
}

/// Distance to the next candidate: sizes are multiples of 16 from 16 on, and waste at most an eighth.
fn step(size: u64) -> u64 {
    match size {
        ..16 => GRAIN,
        16..128 => 16,
        _ => ((1 << size.ilog2()) / 8).min(1 << PAGE_SHIFT),
    }
}

fn batch(size: u64, most: usize) -> usize {
    ((64 << 10) / size).max(2).min(most as u64) as usize
}

/// The smallest span that wastes at most an eighth and feeds a quarter of a batch.
fn span_pages(size: u64, most: usize) -> u64 {
    let fits = |pages: &u64| {
        let bytes = pages << PAGE_SHIFT;
        bytes % size <= bytes / 8 && bytes / size >= batch(size, most) as u64 / 4
    };
    (1..).find(fits).expect("enough pages always fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// size:pages/objects/batch, as the fact sheet lists them; what follows goes on in steps of 8192.
    const LISTED: &str = "8:1/1024/32 16:1/512/32 32:1/256/32 48:1/170/32 64:1/128/32 80:1/102/32 96:1/85/32 112:1/73/32 128:1/64/32 \
        144:1/56/32 160:1/51/32 176:1/46/32 192:1/42/32 208:1/39/32 224:1/36/32 240:1/34/32 256:1/32/32 288:1/28/32 320:1/25/32 \
        352:1/23/32 384:1/21/32 416:1/19/32 448:1/18/32 480:1/17/32 512:1/16/32 576:1/14/32 640:1/12/32 704:1/11/32 768:1/10/32 \
        896:1/9/32 1024:1/8/32 1152:2/14/32 1280:2/12/32 1408:2/11/32 1536:2/10/32 1792:2/9/32 2048:2/8/32 2304:2/7/28 2560:2/6/25 \
        2816:3/8/23 3072:2/5/21 3328:3/7/19 4096:2/4/16 4608:3/5/14 5120:2/3/12 6144:3/4/10 6656:5/6/9 8192:2/2/8 9216:5/4/7 \
        10240:4/3/6 12288:3/2/5 13312:5/3/4 16384:2/1/4 20480:5/2/3 24576:3/1/2 26624:7/2/2";

    #[test]
    fn the_classes_are_those_of_the_library() {
        let classes = Classes::new(32);
        let number = |text: &str| text.parse::<u64>().unwrap();
        let listed = LISTED.split_whitespace().map(|entry| {
            let (size, rest) = entry.split_once(':').unwrap();
            let rest: Vec<u64> = rest.split('/').map(number).collect();
            (number(size), rest[0], rest[1], rest[2])
        });
        let expected: Vec<_> = listed.chain((4..=32).map(|pages| (pages * 8192, pages, 1, 2))).collect();
        let made: Vec<_> =
            classes.classes[1..].iter().map(|class| (class.size, class.pages, class.objects(), class.batch as u64)).collect();
        assert_eq!(made, expected);
        assert_eq!(classes.count(), 86);
    }

    #[test]
    fn every_request_gets_the_smallest_class_that_holds_it() {
        for most in [1, 32, 128, 8192] {
            let classes = Classes::new(most);
            assert!(classes.count() <= 128, "the library has room for 128");
            for size in 0..=LARGEST {
                let class = classes.of(size).unwrap();
                assert!(class > 0 && classes.get(class).size >= size && classes.get(class - 1).size < size.max(1), "{most} {size}");
            }
            assert_eq!(classes.of(LARGEST + 1), None);
        }
    }
}
