//! Code of files that a process has mapped, opened for its names.

use std::collections::BTreeMap;
use std::fs::File;

use object::read::ReadCache;

use super::elf::Elf;
use super::extra::Extra;
use super::index::{self, FileId};
use super::maps::{self, Mapping};
use super::symbols;
use crate::error::Result;

/// A piece of code.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The file.
    pub file: FileId,
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What lies at `start`: bytes from the beginning of the file.
    pub offset: u64,
    /// Path as the process sees it.
    pub path: String,
    mapping: Mapping,
}

/// A file of code that was opened.
pub struct Opened {
    source: ReadCache<File>,
    extra: Extra,
    /// GNU build id in hex; empty where there is none.
    pub build_id: String,
}

/// The code of files that a process has mapped now.
///
/// # Errors
/// `Target` when the process cannot be looked at.
pub fn code(pid: u32) -> Result<Vec<Piece>> {
    let pieces = maps::read(pid)?.into_iter().filter(Mapping::is_code).map(|mapping| Piece {
        file: (mapping.dev.0, mapping.dev.1, mapping.inode),
        start: mapping.start.0,
        end: mapping.end.0,
        offset: mapping.offset,
        path: mapping.path.clone(),
        mapping,
    });
    Ok(pieces.collect())
}

/// Opens the file of a piece.
///
/// # Errors
/// `Target` when it cannot be reached or is no ELF file.
pub fn open(pid: u32, piece: &Piece) -> Result<Opened> {
    let (file, _) = index::open(pid, &piece.mapping)?;
    let source = ReadCache::new(file);
    let elf = Elf::parse(&source)?;
    let build_id = elf.build_id().unwrap_or_default();
    let extra = Extra::of(&elf, &piece.path, &index::roots(pid));
    Ok(Opened { source, extra, build_id })
}

impl Opened {
    /// Names of the functions at these return addresses (bytes from the beginning of the file); see [`symbols::names`].
    pub fn names(&self, returns: &[u64]) -> BTreeMap<u64, String> {
        Elf::parse(&self.source).map_or_else(|_| BTreeMap::new(), |elf| symbols::names(&elf, &self.extra, returns))
    }
}
