//! Units as types: bytes, pages, addresses and nanoseconds cannot be mixed by accident; only the named conversions cross over.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

/// Size of a page, bytes. The only page size that the models know.
pub const PAGE: u64 = 4096;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl Add for $name {
            type Output = $name;
            fn add(self, other: $name) -> $name {
                $name(self.0 + other.0)
            }
        }
        impl Sub for $name {
            type Output = $name;
            fn sub(self, other: $name) -> $name {
                $name(self.0 - other.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                self.0 += other.0;
            }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, other: $name) {
                self.0 -= other.0;
            }
        }
        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = $name>>(items: I) -> $name {
                $name(items.map(|item| item.0).sum())
            }
        }
        impl $name {
            /// The difference, or zero where `other` is larger.
            #[must_use]
            pub fn saturating_sub(self, other: $name) -> $name {
                $name(self.0.saturating_sub(other.0))
            }
        }
    };
}

quantity!(
    /// A number of bytes.
    Bytes
);
quantity!(
    /// A number of 4 KiB pages.
    Pages
);
quantity!(
    /// Nanoseconds: a duration, or a time since the recording began.
    Nanos
);

/// An address of the recorded or of a simulated process. 0 is no address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub u64);

impl Bytes {
    /// The pages needed to hold that many bytes.
    pub fn pages_up(self) -> Pages {
        Pages(self.0.div_ceil(PAGE))
    }

    /// Rounded up to whole pages; saturates at the last page-aligned number.
    #[must_use]
    pub fn page_up(self) -> Bytes {
        Bytes(self.0.checked_next_multiple_of(PAGE).unwrap_or(!(PAGE - 1)))
    }
}

impl FromStr for Bytes {
    type Err = String;

    /// A whole number, with K, M or G for powers of 1024.
    fn from_str(text: &str) -> Result<Bytes, String> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
            Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
            Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift));
        count.map(Bytes).ok_or_else(|| format!("`{text}` is no number of bytes (K, M and G are understood)"))
    }
}

impl Pages {
    /// The same in bytes.
    pub fn bytes(self) -> Bytes {
        Bytes(self.0 * PAGE)
    }
}

impl Addr {
    /// The address `offset` bytes above.
    #[must_use]
    pub fn offset(self, offset: Bytes) -> Addr {
        Addr(self.0 + offset.0)
    }

    /// Distance from `base`, which must not lie above.
    pub fn since(self, base: Addr) -> Bytes {
        Bytes(self.0 - base.0)
    }

    /// Start of the page that holds this address.
    #[must_use]
    pub fn page_down(self) -> Addr {
        Addr(self.0 & !(PAGE - 1))
    }

    /// This address or the next page start above it.
    #[must_use]
    pub fn page_up(self) -> Addr {
        Addr(self.0.next_multiple_of(PAGE))
    }

    /// Number of the page that holds this address.
    pub fn page(self) -> u64 {
        self.0 / PAGE
    }

    /// No address.
    pub fn is_null(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Bytes {
    /// Powers of 1024 with three significant digits: `912 B`, `1.50 MiB`, `117 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut name = 0;
        while value >= 1023.5 && name + 1 < NAMES.len() {
            value /= 1024.0;
            name += 1;
        }
        let digits = if value < 9.995 {
            2
        } else if value < 99.95 {
            1
        } else {
            0
        };
        f.pad(&format!("{value:.digits$} {}", NAMES[name]))
    }
}

impl fmt::Display for Nanos {
    /// `640 ns`, `12.5 µs`, `3.20 ms`, `61.7 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0 as f64;
        let text = match self.0 {
            0..=999 => format!("{} ns", self.0),
            1_000..=999_999 => format!("{:.1} µs", ns / 1e3),
            1_000_000..=999_999_999 => format!("{:.2} ms", ns / 1e6),
            _ => format!("{:.2} s", ns / 1e9),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_round_up_and_addresses_both_ways() {
        assert_eq!(Bytes(1).pages_up(), Pages(1));
        assert_eq!(Bytes(0).pages_up(), Pages(0));
        assert_eq!(Bytes(4097).page_up(), Bytes(8192));
        assert_eq!(Bytes(u64::MAX).page_up(), Bytes(!4095));
        assert_eq!((Addr(0x1fff).page_down(), Addr(0x1001).page_up()), (Addr(0x1000), Addr(0x2000)));
    }

    #[test]
    fn sizes_read_well() {
        let shown = |n: u64| Bytes(n).to_string();
        assert_eq!([shown(0), shown(1023), shown(1536), shown(123 << 20)], ["0 B", "1023 B", "1.50 KiB", "123 MiB"]);
        assert_eq!([shown((10 << 30) - 1), shown(u64::MAX)], ["10.0 GiB", "16384 PiB"]);
    }

    #[test]
    fn sizes_are_understood() {
        let parsed = |text: &str| text.parse::<Bytes>().ok();
        assert_eq!(
            [parsed("123"), parsed("64K"), parsed("2m"), parsed("1G")].map(Option::unwrap),
            [123, 65536, 2 << 20, 1 << 30].map(Bytes)
        );
        assert_eq!([parsed(""), parsed("K"), parsed("1.5M"), parsed("-1"), parsed("99999999999G"), parsed("µ")], [None; 6]);
    }

    #[test]
    fn times_read_well() {
        assert_eq!([Nanos(5).to_string(), Nanos(1500).to_string(), Nanos(61_700_000_000).to_string()], ["5 ns", "1.5 µs", "61.70 s"]);
    }
}
