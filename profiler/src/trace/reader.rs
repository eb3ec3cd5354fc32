//! Reading a trace: batch by batch, as far as it is undamaged.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::EVENTS;
use super::columns::Columns;
use super::manifest::{self, Manifest};
use super::rows::Rows;
use super::tables;
use crate::error::{Context, Error, Kind, Result};
use crate::event::Event;
use crate::event::origin::Origins;

/// Where a trace ends too early, or is no longer what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub file: PathBuf,
    /// Everything before this byte was read.
    pub byte: u64,
    /// What is wrong with what comes there.
    pub what: String,
    /// Events before it: these survive.
    pub events_read: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { file, byte, what, events_read } = self;
        write!(f, "{} is damaged at byte {byte}: {what}; the {events_read} events before it are read", file.display())
    }
}

/// A trace in a folder.
pub struct Reader {
    manifest: Manifest,
    events: Events<BufReader<File>>,
    dir: PathBuf,
}

impl Reader {
    /// Opens the trace in this folder.
    ///
    /// A manifest that is missing or damaged does not hinder reading: it is then empty and its notes say so. Fails with [`Kind::Trace`] if there
    /// are no events, if their header is damaged, or if the trace is of a later major version.
    pub fn open(dir: &Path) -> Result<Reader> {
        let path = dir.join(EVENTS);
        let context = || format!("cannot open the trace {}: {}", dir.display(), path.display());
        let missing = || {
            Error::new(
                Kind::Trace,
                format!("{} is no trace: it has no file {EVENTS}; name the folder that was recorded into", dir.display()),
            )
        };
        let file = match File::open(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(missing()),
            opened => opened.context(Kind::Trace, context())?,
        };
        let bytes = file.metadata().context(Kind::Trace, context())?.len();
        let manifest = read_manifest(&dir.join(manifest::FILE))?;
        Ok(Reader { manifest, events: Events::new(BufReader::new(file), bytes, path)?, dir: dir.to_path_buf() })
    }

    /// What is known about the recording.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where blocks were asked for, as far as it can be read, and what is wrong with it, in words; nothing before format 1.3.
    pub fn origins(&self) -> (Origins, Vec<String>) {
        tables::read(&self.dir)
    }

    /// The next events, in the order of the recording; none at the end, or at damage ([`Reader::damage`] tells which).
    pub fn next_batch(&mut self) -> Option<&[Event]> {
        self.events.next_batch()
    }

    /// What stopped the reading before its end. To be asked when there are no more batches.
    pub fn damage(&self) -> Option<&Damage> {
        self.events.damage()
    }

    /// Rows so far that are of no kind this version knows; they are left out. Only a later minor version can have them.
    pub fn unknown(&self) -> u64 {
        self.events.unknown()
    }

    /// Events given so far.
    pub fn events_read(&self) -> u64 {
        self.events.0.given()
    }

    /// Bytes of the file of events.
    pub fn bytes_total(&self) -> u64 {
        self.events.0.bytes_total()
    }

    /// Bytes of it that are read, for a progress bar.
    pub fn bytes_read(&self) -> u64 {
        self.events.0.bytes_read()
    }
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let missing = |why: String| {
        let note = format!("{}: {why}: what it said about the processes, the machine and lost events is unknown", path.display());
        Manifest { notes: vec![note], ..Manifest::default() }
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => return Ok(missing(error.to_string())),
    };
    match Manifest::parse(&text) {
        Ok(manifest) => Ok(manifest),
        Err(manifest::Unreadable::Version(why)) => Err(Error::new(Kind::Trace, format!("cannot read {}: {why}", path.display()))),
        Err(manifest::Unreadable::Damaged(why)) => Ok(missing(why)),
    }
}

/// The events of a stream of known length.
pub struct Events<R>(Rows<R, Columns>);

impl<R: Read> Events<R> {
    /// Reads the header of a stream of `total` bytes; `file` is its name in messages.
    pub fn new(source: R, total: u64, file: PathBuf) -> Result<Events<R>> {
        Rows::new(source, total, file).map(Events)
    }

    /// The next events; none at the end or at damage.
    pub fn next_batch(&mut self) -> Option<&[Event]> {
        self.0.next_batch()
    }

    /// What stopped the reading before its end.
    pub fn damage(&self) -> Option<&Damage> {
        self.0.damage()
    }

    /// Rows so far that are of no kind this version knows.
    pub fn unknown(&self) -> u64 {
        self.0.unknown()
    }
}
