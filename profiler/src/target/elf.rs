//! One ELF file: its function symbols, where their code lies in the file, and which build it is.
//!
//! The file is read in pieces as they are needed, because a browser's executable is 200 MiB and only a dozen names of it matter.
//! It is not mapped: a file that is truncated while it is looked at would then end the recorder.

use std::fs::File;
use std::path::Path;

use object::elf::{self as raw, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Rela, SectionHeader, SectionTable, Sym};
use object::read::{ReadCache, ReadRef};
use object::{LittleEndian, SectionIndex};

use crate::error::{Context, Error, Kind, Result};

/// The bytes of a file on disk, read when they are asked for and kept.
pub type Source = ReadCache<File>;

type Header = FileHeader64<LittleEndian>;
const LE: LittleEndian = LittleEndian;

/// Longest code that is looked at, bytes; the largest function of the malloc family that is known has 8 KiB.
const CODE_LIMIT: u64 = 64 << 10;

/// Code that is looked at where a symbol has no size (hand-written assembly), bytes.
const CODE_UNSIZED: u64 = 256;

/// Largest table of symbols or names that is read, bytes; a browser's has 300 MiB.
const TABLE_LIMIT: u64 = 512 << 20;

/// A function that the file defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Virtual address in the file's own numbering.
    pub address: u64,
    /// Bytes of code; 0 where the file does not say.
    pub size: u64,
}

/// What a variable that the loader fills points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointee<'data> {
    /// The function of this name, wherever it is.
    Import(&'data [u8]),
    /// This address in the file itself.
    Own(u64),
}

/// A table of function symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What the dynamic loader sees.
    Dynamic,
    /// Of the full table, what is seen outside of its object file.
    Global,
    /// Of the full table, what is not.
    Local,
}

/// A parsed x86-64 ELF file.
pub struct Elf<'data, R: ReadRef<'data>> {
    data: R,
    header: &'data Header,
    segments: &'data [raw::ProgramHeader64<LittleEndian>],
    sections: SectionTable<'data, Header, R>,
}

/// Opens a file for [`Elf::parse`]; nothing is read yet.
pub fn open(path: &Path) -> Result<Source> {
    let file = File::open(path).context(Kind::Target, format_args!("cannot open {}", path.display()))?;
    Ok(ReadCache::new(file))
}

impl<'data, R: ReadRef<'data>> Elf<'data, R> {
    /// Reads the headers. Fails on what is not an ELF file, and on one for another machine, with a sentence that says which.
    pub fn parse(data: R) -> Result<Self> {
        check_machine(data)?;
        let header = Header::parse(data).context(Kind::Target, "damaged ELF header")?;
        let segments = header.program_headers(LE, data).context(Kind::Target, "damaged ELF program headers")?;
        // Section headers are not needed to run: a file without them, or with damaged ones, merely has no symbols.
        let sections = header.sections(LE, data).unwrap_or_default();
        Ok(Elf { data, header, segments, sections })
    }

    /// Calls `visit` for every function that the file defines in this table. Imports, data and resolvers (`STT_GNU_IFUNC`: their code is
    /// not the function's) are left out.
    pub fn for_each_function(&self, table: Table, mut visit: impl FnMut(&'data [u8], Symbol)) {
        self.functions(table).for_each(|(names, symbol)| visit(first_string(names), symbol));
    }

    /// Whether it has a full table of symbols: it was not stripped.
    pub fn has_symbol_table(&self) -> bool {
        self.sections.iter().any(|section| section.sh_type(LE) == raw::SHT_SYMTAB)
    }

    /// The functions of a table, each with the names from its own on: their ends need not be looked for in names that are too long.
    pub fn functions(&self, table: Table) -> impl Iterator<Item = (&'data [u8], Symbol)> + use<'data, R> {
        let (symbols, strings) = self.symbols(table);
        let local = table == Table::Local;
        let defined = symbols.iter().filter(|s| s.st_type() == raw::STT_FUNC && s.st_shndx(LE) != raw::SHN_UNDEF);
        defined.filter(move |s| (s.st_bind() == raw::STB_LOCAL) == local).filter_map(move |symbol| {
            let names = strings.get(symbol.st_name(LE) as usize..)?;
            Some((names, Symbol { address: symbol.st_value(LE), size: symbol.st_size(LE) }))
        })
    }

    /// What the variable at virtual address `slot` points to when the program runs.
    pub fn points_to(&self, slot: u64) -> Option<Pointee<'data>> {
        let relocations = self.sections.iter().filter(|section| section.sh_type(LE) == raw::SHT_RELA && section.sh_size(LE) <= TABLE_LIMIT);
        let entries =
            relocations.flat_map(|section| section.data_as_array::<raw::Rela64<LittleEndian>, R>(LE, self.data).unwrap_or_default());
        let Some(entry) = entries.into_iter().find(|entry| entry.r_offset(LE) == slot) else {
            // The linker has stored it, or its relocation is packed.
            let (offset, _) = self.loaded(slot)?;
            let address = u64::from_le_bytes(self.data.read_bytes_at(offset, 8).ok()?.try_into().ok()?);
            return Some(Pointee::Own(address));
        };
        let Some(index) = entry.symbol(LE, false) else { return Some(Pointee::Own(entry.r_addend(LE) as u64)) };
        let (symbols, strings) = self.symbols(Table::Dynamic);
        string_at(strings, u64::from(symbols.get(index.0)?.st_name(LE))).map(Pointee::Import)
    }

    /// Symbols and names of a table. The names as one piece: asking the source for each would be one read of the file per symbol.
    fn symbols(&self, table: Table) -> (&'data [raw::Sym64<LittleEndian>], &'data [u8]) {
        let kind = if table == Table::Dynamic { raw::SHT_DYNSYM } else { raw::SHT_SYMTAB };
        let Some(section) = self.sections.iter().find(|section| section.sh_type(LE) == kind) else { return (&[], &[]) };
        let Ok(names) = self.sections.section(SectionIndex(section.sh_link(LE) as usize)) else { return (&[], &[]) };
        // The tables of a sparse file may be larger than memory.
        if section.sh_size(LE).max(names.sh_size(LE)) > TABLE_LIMIT {
            return (&[], &[]);
        }
        (section.data_as_array(LE, self.data).unwrap_or_default(), names.data(LE, self.data).unwrap_or_default())
    }

    /// Position in the file of the byte at a virtual address; `None` outside of what is loaded from the file.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        self.loaded(address).map(|(offset, _)| offset)
    }

    /// File offset of an address, and how many bytes of its segment follow in the file.
    fn loaded(&self, address: u64) -> Option<(u64, u64)> {
        self.segments.iter().filter(|s| s.p_type(LE) == raw::PT_LOAD).find_map(|segment| {
            let inside = address.checked_sub(segment.p_vaddr(LE))?;
            let left = segment.p_filesz(LE).checked_sub(inside).filter(|&left| left > 0)?;
            Some((segment.p_offset(LE).checked_add(inside)?, left))
        })
    }

    /// The code of a function; empty where it does not lie in the file. At most 64 KiB; a guess of 256 bytes for a symbol without a size.
    pub fn code(&self, symbol: Symbol) -> &'data [u8] {
        let wanted = if symbol.size == 0 { CODE_UNSIZED } else { symbol.size.min(CODE_LIMIT) };
        let Some((offset, left)) = self.loaded(symbol.address) else { return &[] };
        self.data.read_bytes_at(offset, wanted.min(left)).unwrap_or_default()
    }

    /// Contents of the section with this name; empty where there is none, or a larger one than anything needs.
    pub fn section(&self, name: &str) -> &'data [u8] {
        let found = self.sections.section_by_name(LE, name.as_bytes()).filter(|(_, section)| section.sh_size(LE) <= TABLE_LIMIT);
        found.and_then(|(_, section)| section.data(LE, self.data).ok()).unwrap_or_default()
    }

    /// The build id in hexadecimal.
    pub fn build_id(&self) -> Option<String> {
        for segment in self.segments {
            let Ok(Some(mut notes)) = segment.notes(LE, self.data) else { continue };
            while let Ok(Some(note)) = notes.next() {
                if note.name() == raw::ELF_NOTE_GNU && note.n_type(LE) == raw::NT_GNU_BUILD_ID {
                    return Some(note.desc().iter().map(|byte| format!("{byte:02x}")).collect());
                }
            }
        }
        None
    }

    /// The name by which other files ask for this library.
    pub fn soname(&self) -> Option<String> {
        let (dynamic, link) = self.sections.dynamic(LE, self.data).ok()??;
        let entry = dynamic.iter().find(|entry| entry.d_tag(LE) == raw::DT_SONAME)?;
        let strings = self.sections.section(link).ok()?.data(LE, self.data).ok()?;
        string_at(strings, entry.d_val(LE)).map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// Whether it is a program rather than a library.
    pub fn is_program(&self) -> bool {
        self.header.e_type(LE) == raw::ET_EXEC || self.flags_1() & raw::DF_1_PIE.0 != 0
    }

    /// Whether it is a program that is loaded without the dynamic loader.
    pub fn is_static(&self) -> bool {
        self.is_program() && !self.segments.iter().any(|segment| segment.p_type(LE) == raw::PT_INTERP)
    }

    /// Whether it was built by the Go toolchain: such a program has a heap of its own and moves its stacks, which return probes break.
    pub fn is_go(&self) -> bool {
        self.sections.section_by_name(LE, b".go.buildinfo").is_some()
    }

    fn flags_1(&self) -> u64 {
        let dynamic = self.sections.dynamic(LE, self.data).ok().flatten();
        let entry = dynamic.and_then(|(entries, _)| entries.iter().find(|entry| entry.d_tag(LE) == raw::DT_FLAGS_1));
        entry.map_or(0, |entry| entry.d_val(LE))
    }
}

/// ```text
/// 0             4       5              6 …  16       18        20
/// | 7f 45 4c 46 | class | byte order   |    | type   | machine |      class 2 = 64 bit, order 1 = little endian, machine 62 = x86-64
/// ```
fn check_machine<'data, R: ReadRef<'data>>(data: R) -> Result<()> {
    let refuse = |reason: String| Err(Error::new(Kind::Target, reason));
    match data.read_bytes_at(0, 20) {
        Ok([0x7f, b'E', b'L', b'F', 2, 1, .., 62, 0]) => Ok(()),
        Ok([0x7f, b'E', b'L', b'F', 1, ..]) => refuse("a 32-bit ELF file: only x86-64 is supported".into()),
        Ok([0x7f, b'E', b'L', b'F', .., low, high]) => {
            let machine = u16::from_le_bytes([*low, *high]);
            refuse(format!("an ELF file for another machine (e_machine {machine}): only x86-64 is supported"))
        }
        _ => refuse("not an ELF file".into()),
    }
}

/// The string at `offset` of a string table.
fn string_at(strings: &[u8], offset: u64) -> Option<&[u8]> {
    strings.get(usize::try_from(offset).ok()?..).map(first_string)
}

/// The bytes up to the next zero byte.
pub(super) fn first_string(strings: &[u8]) -> &[u8] {
    strings.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
