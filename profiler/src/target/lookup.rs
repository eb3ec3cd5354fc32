//! Functions of a file by their names, wherever these are told.

use std::collections::HashMap;

use object::read::ReadRef;

use super::elf::{Elf, Symbol, Table};
use super::extra::{Extra, Origin};
use super::family;

/// Longer names than any that is looked for are not read to their ends, bytes.
const LONGEST: usize = 64;

/// Finds functions by name, in the order of `names`: first among what the dynamic loader sees, then what is seen outside of its object file,
/// then the rest, then what is told elsewhere. A hidden allocator in a library is one as well.
pub fn find<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, extra: &Extra, names: &[String]) -> Vec<Option<(Symbol, Origin)>> {
    let wanted: HashMap<&[u8], usize> = names.iter().enumerate().map(|(index, name)| (name.as_bytes(), index)).collect();
    let mut found = vec![None; names.len()];
    let mut take = |origin: &Origin, strings: &[u8], symbol| {
        let Some(end) = strings.iter().take(LONGEST + 1).position(|&byte| byte == 0) else { return };
        if let Some(&index) = wanted.get(family::plain_name(&strings[..end])) {
            found[index].get_or_insert_with(|| (symbol, origin.clone()));
        }
    };
    for (table, origin) in [(Table::Dynamic, Origin::Dynamic), (Table::Global, Origin::Full), (Table::Local, Origin::Full)] {
        elf.functions(table).for_each(|(strings, symbol)| take(&origin, strings, symbol));
    }
    let mut name = Vec::with_capacity(LONGEST + 1);
    extra.for_each_function(&mut |origin, whole, symbol| {
        name.clear();
        name.extend_from_slice(whole.get(..LONGEST + 1).unwrap_or(whole));
        name.push(0);
        take(origin, &name, symbol);
    });
    found
}
