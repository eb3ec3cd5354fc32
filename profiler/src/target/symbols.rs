//! What functions are called at given places of a file.

use std::collections::BTreeMap;

use object::read::ReadRef;

use super::elf::{Elf, Symbol, Table};
use super::extra::Extra;

/// Names, demangled, of the functions that have the bytes before these return addresses, which are counted from the beginning of the file. What lies in
/// no function that the file names is left out. Of several names of one function, the first of those that the dynamic loader sees.
pub fn names<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, extra: &Extra, returns: &[u64]) -> BTreeMap<u64, String> {
    let mut sorted = returns.to_vec();
    sorted.sort_unstable();
    let mut found: BTreeMap<u64, String> = BTreeMap::new();
    let mut take = |name: &[u8], symbol: Symbol| {
        let Some(start) = elf.file_offset(symbol.address) else { return };
        // A call may be a function's last instruction, so that its return address lies behind it.
        let (first, last) = (start.saturating_add(1), start.saturating_add(symbol.size));
        let from = sorted.partition_point(|&place| place < first);
        for &place in sorted[from..].iter().take_while(|&&place| place <= last) {
            found.entry(place).or_insert_with(|| demangled(&String::from_utf8_lossy(name)));
        }
    };
    for table in [Table::Dynamic, Table::Global, Table::Local] {
        elf.for_each_function(table, &mut take);
    }
    extra.for_each_function(&mut |_, name, symbol| take(name, symbol));
    found
}

/// The name as it stands in the source; names of C as they are.
pub fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the hash at its end.
        return format!("{rust:#}");
    }
    let cpp = name.starts_with("_Z").then(|| cpp_demangle::Symbol::new(name).ok()).flatten();
    cpp.and_then(|symbol| symbol.demangle().ok()).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::elf;

    #[test]
    fn names_read_as_in_the_source() {
        assert_eq!(demangled("malloc"), "malloc");
        assert_eq!(demangled("_ZNSt6vectorIiSaIiEE9push_backERKi"), "std::vector<int, std::allocator<int> >::push_back(int const&)");
        assert_eq!(demangled("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"), "core::fmt::Write::write_fmt");
        assert_eq!(demangled("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        for odd in ["_Z", "_ZN", "", "_R", "\u{202e}x"] {
            assert_eq!(demangled(odd), odd);
        }
    }

    /// A function of this test, by the address that it really has.
    #[inline(never)]
    fn landmark() -> u64 {
        std::hint::black_box(17)
    }

    #[test]
    fn a_place_in_a_function_has_its_name() {
        landmark();
        let source = elf::open(std::path::Path::new("/proc/self/exe")).expect("this test");
        let elf = Elf::parse(&source).expect("an ELF file");
        let mut place = None;
        for table in [Table::Global, Table::Local] {
            elf.for_each_function(table, |name, symbol| {
                if String::from_utf8_lossy(name).contains("landmark") && symbol.size > 1 {
                    place = elf.file_offset(symbol.address).map(|start| (start, symbol.size));
                }
            });
        }
        let (start, size) = place.expect("its symbol");
        let names = names(&elf, &Extra::default(), &[start + 1, start + size, u64::MAX, 0]);
        assert_eq!(names.len(), 2);
        assert!(names.values().all(|name| name.ends_with("tests::landmark")), "{names:?}");
    }
}
