//! Symbols of a stripped file that are kept elsewhere: compressed inside it, or in a file of their own.
//!
//! ```text
//! .gnu_debugdata       an ELF file with nothing but a symbol table, compressed by xz (MiniDebugInfo)
//! build id abcdef…     /usr/lib/debug/.build-id/ab/cdef….debug
//! .gnu_debuglink       a name, zeros up to a multiple of four bytes, the CRC-32 of the file with that name
//! ```
//! All of it was made by others: what is too large, damaged or of another build is left alone.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use lzma_rust2::XzReader;
use object::read::{ReadCache, ReadRef};

use super::elf::{Elf, Source, Symbol, Table};
use super::index;

/// Largest table that is unpacked, bytes, and most memory that unpacking it may take; that of a whole Fedora kernel has 5 MiB.
const UNPACKED_LIMIT: u64 = 64 << 20;

/// Largest file whose checksum is calculated, bytes.
const CHECKED_LIMIT: u64 = 1 << 30;

/// Where a symbol was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// What the dynamic loader sees.
    Dynamic,
    /// The file's full table.
    Full,
    /// The compressed one.
    Packed,
    /// Another file.
    Separate(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Dynamic => f.write_str(".dynsym"),
            Origin::Full => f.write_str(".symtab"),
            Origin::Packed => f.write_str(".gnu_debugdata"),
            Origin::Separate(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What belongs to a file.
#[derive(Default)]
pub struct Extra {
    packed: Vec<u8>,
    separate: Option<(PathBuf, Source)>,
}

impl Extra {
    /// Looks for what belongs to a file that is known as `path`; below these folders, the first of which may be another process's root.
    /// Nothing is looked for where the file has all its symbols.
    pub fn of<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, path: &str, roots: &[PathBuf]) -> Extra {
        if elf.has_symbol_table() {
            return Extra::default();
        }
        let separate = roots.iter().flat_map(|root| places(elf, path, root)).find_map(|place| Some((place.clone(), open(elf, &place)?)));
        Extra { packed: unpack(elf.section(".gnu_debugdata")).unwrap_or_default(), separate }
    }

    /// Calls `visit` for every function that is named here.
    pub fn for_each_function(&self, visit: &mut dyn FnMut(&Origin, &[u8], Symbol)) {
        each(&self.packed[..], &Origin::Packed, visit);
        if let Some((path, source)) = &self.separate {
            each(source, &Origin::Separate(path.clone()), visit);
        }
    }
}

fn each<'data, R: ReadRef<'data>>(data: R, origin: &Origin, visit: &mut dyn FnMut(&Origin, &[u8], Symbol)) {
    let Ok(elf) = Elf::parse(data) else { return };
    for table in [Table::Global, Table::Local] {
        elf.for_each_function(table, |name, symbol| visit(origin, name, symbol));
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut reader = XzReader::new_mem_limit(packed, false, (UNPACKED_LIMIT >> 10) as u32).take(UNPACKED_LIMIT + 1);
    let length = reader.read_to_end(&mut unpacked).ok()?;
    (length as u64 <= UNPACKED_LIMIT).then_some(unpacked)
}

/// Where another file with the symbols may be, the best first.
fn places<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, path: &str, root: &Path) -> Vec<PathBuf> {
    let debug = root.join("usr/lib/debug");
    let mut places = Vec::new();
    if let Some(id) = elf.build_id().filter(|id| id.len() > 2) {
        places.push(debug.join(format!(".build-id/{}/{}.debug", &id[..2], &id[2..])));
    }
    if let (Some((name, _)), Some(folder)) = (link(elf), Path::new(path).parent()) {
        let folder = folder.strip_prefix("/").unwrap_or(folder);
        places.extend([root.join(folder).join(&name), root.join(folder).join(".debug").join(&name), debug.join(folder).join(&name)]);
    }
    places
}

/// Name and checksum of the linked file.
fn link<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Option<(String, u32)> {
    let section = elf.section(".gnu_debuglink");
    let end = section.iter().position(|&byte| byte == 0)?;
    let name = std::str::from_utf8(&section[..end]).ok()?;
    let sum = section.get((end + 1).next_multiple_of(4)..)?.first_chunk::<4>()?;
    let plain = !name.is_empty() && name != ".." && name != "." && !name.contains('/');
    plain.then(|| (name.to_owned(), u32::from_le_bytes(*sum)))
}

/// Opens a file if it is of the same build.
fn open<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, place: &Path) -> Option<Source> {
    let (mut file, _) = index::open_if(place, |_| true)?;
    if let Some(id) = elf.build_id() {
        let source = ReadCache::new(file);
        let same = Elf::parse(&source).is_ok_and(|other| other.build_id() == Some(id));
        return same.then_some(source);
    }
    let (_, sum) = link(elf)?;
    (checksum(&mut file)? == sum).then(|| ReadCache::new(file))
}

fn checksum(file: &mut File) -> Option<u32> {
    if file.metadata().ok()?.len() > CHECKED_LIMIT {
        return None;
    }
    let (mut hasher, mut buffer) = (crc32fast::Hasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hasher.finalize()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
