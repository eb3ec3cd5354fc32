//! The tables beside the events: where blocks were asked for (see [`crate::event::origin`], whose fields are the columns).
//!
//! ```text
//! stacks.arrow     a frame per row, in the order of their places: the first row is place 1; `parent` 0 is the outermost
//! maps.arrow       code that a process has mapped, when it was found; a later row of the same addresses replaces earlier ones
//! symbols.arrow    names of the code at the frames, written when the recording ends; several rows of one place are inlined functions
//! ```
//!
//! They are written as the recording goes, frames before the events that name them. A trace without them has no origins; one without symbols
//! (after `kill -9`) still names files and places in them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use polars_arrow::array::Array;
use polars_arrow::datatypes::Field;

use super::columns::{Cell, Recognizer, Table, columns};
use super::rows::Rows;
use super::writer::Stream;
use crate::error::{Context, Kind, Result};
use crate::event::origin::{Code, Frame, Origins, Symbol};

/// Names of the files.
pub(super) const FILES: [&str; 3] = ["stacks.arrow", "maps.arrow", "symbols.arrow"];

columns! {
    /// `stacks.arrow`.
    Stacks: Frame, kinds: false, Frame, |frame| *frame, Some,
    process: u32,
    parent: u32,
    addr: u64,
}

columns! {
    /// `maps.arrow`.
    Maps: Code, kinds: false, Code, Code::clone, Some,
    process: u32,
    start: u64,
    end: u64,
    offset: u64,
    file: u32,
    path: String,
    build_id: String,
}

columns! {
    /// `symbols.arrow`.
    Symbols: Symbol, kinds: false, Symbol, Symbol::clone, Some,
    file: u32,
    offset: u64,
    name: String,
    source: String,
    line: u32,
    inlined: bool,
}

/// Writes the tables.
pub(super) struct Tables {
    stacks: Stream<File, Stacks>,
    maps: Stream<File, Maps>,
    symbols: Stream<File, Symbols>,
}

impl Tables {
    /// Makes the files in `dir` and writes their headers.
    pub(super) fn create(dir: &Path) -> Result<Tables> {
        let [stacks, maps, symbols] = FILES.map(|name| dir.join(name));
        let file = |path: &Path| super::manifest::create_private(path).context(Kind::Output, format!("cannot write {}", path.display()));
        Ok(Tables {
            stacks: Stream::begin(file(&stacks)?, stacks)?,
            maps: Stream::begin(file(&maps)?, maps)?,
            symbols: Stream::begin(file(&symbols)?, symbols)?,
        })
    }

    pub(super) fn push(&mut self, origins: &Origins) -> Result<()> {
        origins.code.iter().try_for_each(|code| self.maps.push(code))?;
        origins.frames.iter().try_for_each(|frame| self.stacks.push(frame))?;
        origins.symbols.iter().try_for_each(|symbol| self.symbols.push(symbol))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.maps.flush()?;
        self.stacks.flush()?;
        self.symbols.flush()
    }

    pub(super) fn end(&mut self) -> Result<()> {
        self.maps.end()?;
        self.stacks.end()?;
        self.symbols.end()
    }
}

/// Reads the tables of a trace as far as they are there and undamaged; beside them, what is wrong with them, in words.
pub(super) fn read(dir: &Path) -> (Origins, Vec<String>) {
    let mut damage = Vec::new();
    let [stacks, maps, symbols] = FILES.map(|name| dir.join(name));
    let origins = Origins {
        frames: read_table::<Stacks>(&stacks, &mut damage),
        code: read_table::<Maps>(&maps, &mut damage),
        symbols: read_table::<Symbols>(&symbols, &mut damage),
    };
    (origins, damage)
}

fn read_table<T: Table<Item: Clone>>(path: &Path, damage: &mut Vec<String>) -> Vec<T::Item> {
    // Traces before format 1.3 have no such file.
    let Ok(file) = File::open(path) else { return Vec::new() };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    match Rows::<_, T>::new(BufReader::new(file), length, path.to_owned()) {
        Ok(rows) => all(rows, damage),
        Err(error) => {
            damage.push(error.message);
            Vec::new()
        }
    }
}

fn all<R: std::io::Read, T: Table<Item: Clone>>(mut rows: Rows<R, T>, damage: &mut Vec<String>) -> Vec<T::Item> {
    let mut found = Vec::new();
    while let Some(batch) = rows.next_batch() {
        found.extend_from_slice(batch);
    }
    damage.extend(rows.damage().map(ToString::to_string));
    found
}

/// Reads bytes as each of the tables.
#[cfg(fuzzing)]
pub fn read_bytes(bytes: &[u8]) -> Origins {
    fn table<T: Table<Item: Clone>>(bytes: &[u8]) -> Vec<T::Item> {
        Rows::<_, T>::new(bytes, bytes.len() as u64, "table".into()).map_or_else(|_| Vec::new(), |rows| all(rows, &mut Vec::new()))
    }
    Origins { frames: table::<Stacks>(bytes), code: table::<Maps>(bytes), symbols: table::<Symbols>(bytes) }
}
