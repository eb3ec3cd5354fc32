//! Writing a trace while it is recorded.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::columns::{Columns, Table};
use super::manifest::{self, Manifest};
use super::tables::{self, Tables};
use super::{EVENTS, message};
use crate::error::{Context, Error, Kind, Result};
use crate::event::Event;
use crate::event::origin::Origins;

/// Rows of a batch: the writer holds this many, 4 MB, and twice that for the moment of writing them.
const BATCH_ROWS: usize = 1 << 16;

/// Writes a trace: the events batch by batch, the manifest whenever it changed.
pub struct Writer {
    dir: PathBuf,
    events: Stream<File>,
    tables: Tables,
    /// Text of the manifest on disk.
    manifest: Vec<u8>,
}

impl Writer {
    /// Makes the folder `dir` (mode 0700) with its files (mode 0600) and writes their headers, so that it fails here rather than later.
    ///
    /// A folder that exists must be empty; with `force` it may hold a trace, which is replaced. A folder that holds anything else
    /// is never touched. Fails with [`Kind::Output`].
    pub fn create(dir: &Path, manifest: &Manifest, force: bool) -> Result<Writer> {
        let failed = || format!("cannot write the trace {}", dir.display());
        make_way(dir, force)?;
        DirBuilder::new().recursive(true).mode(0o700).create(dir).context(Kind::Output, failed())?;
        let path = dir.join(EVENTS);
        let file = manifest::create_private(&path).context(Kind::Output, failed())?;
        let (events, tables) = (Stream::begin(file, path)?, Tables::create(dir)?);
        let mut writer = Writer { dir: dir.to_path_buf(), events, tables, manifest: Vec::new() };
        writer.describe(manifest)?;
        Ok(writer)
    }

    /// Adds an event. It is on disk after the next [`Writer::flush`], which happens by itself every 64 Ki events.
    ///
    /// Once writing has failed, this and all else fails with the same error; what was written before stays readable.
    pub fn push(&mut self, event: &Event) -> Result<()> {
        if self.events.is_nearly_full() {
            self.tables.flush()?;
        }
        self.events.push(event)
    }

    /// Adds what is told of origins. What events need comes before them, here and on disk.
    pub fn origins(&mut self, origins: &Origins) -> Result<()> {
        self.tables.push(origins)
    }

    /// Hands everything to the operating system: it survives the end of this process, however it ends.
    pub fn flush(&mut self) -> Result<()> {
        self.tables.flush()?;
        self.events.flush()
    }

    /// Puts the manifest on disk if it changed.
    pub fn describe(&mut self, manifest: &Manifest) -> Result<()> {
        self.put_manifest(manifest, false)
    }

    /// Events that were handed to the operating system.
    pub fn events_written(&self) -> u64 {
        self.events.rows
    }

    /// Bytes of them.
    pub fn bytes_written(&self) -> u64 {
        self.events.good
    }

    /// Ends the trace and waits until it is on the disk.
    ///
    /// The manifest is written even if the events fail, if possible, and then says that the trace is incomplete.
    pub fn finish(mut self, manifest: &Manifest) -> Result<()> {
        let ended = self.tables.end().and(self.events.end());
        let mut manifest = manifest.clone();
        if let Err(error) = &ended {
            manifest.complete = false;
            manifest.notes.push(error.to_string());
        }
        let described = self.put_manifest(&manifest, true);
        ended.and(described)
    }

    fn put_manifest(&mut self, manifest: &Manifest, durable: bool) -> Result<()> {
        let text = manifest.text()?;
        if text != self.manifest || durable {
            manifest::replace(&self.dir.join(manifest::FILE), &text, durable)?;
            self.manifest = text;
        }
        Ok(())
    }
}

/// Sees to it that `dir` can be filled: it does not exist, is empty, or is a trace that `force` gives up.
fn make_way(dir: &Path, force: bool) -> Result<()> {
    let refused = |why: &str| Err(Error::new(Kind::Output, format!("cannot write the trace {}: {why}", dir.display())));
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return refused("a file of this name exists"),
        Err(error) => return refused(&error.to_string()),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    if !is_trace(dir) {
        return refused("the folder exists and is not a trace; name another one");
    }
    if !force {
        return refused("it exists; --force replaces it");
    }
    // The manifest goes first: events without one still tell what they are, a manifest must never describe the wrong ones.
    [manifest::FILE, EVENTS].into_iter().chain(tables::FILES).try_for_each(|name| match std::fs::remove_file(dir.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => refused(&error.to_string()),
        _ => Ok(()),
    })
}

/// Whether heapcast made this folder: it has a manifest, or events that can be read at least in part.
fn is_trace(dir: &Path) -> bool {
    let described =
        std::fs::read(dir.join(manifest::FILE)).is_ok_and(|text| !matches!(Manifest::parse(&text), Err(manifest::Unreadable::Damaged(_))));
    described || super::Reader::open(dir).is_ok()
}

/// A file to append to, that can be cut.
pub(super) trait Cut: Write {
    /// Cuts to `length` bytes and goes on there.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Waits until everything is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Cut for File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        io::Seek::seek(self, io::SeekFrom::Start(length)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The stream of a table.
pub(super) struct Stream<F, T = Columns> {
    pub(super) file: F,
    path: PathBuf,
    waiting: T,
    /// Encoded messages; kept to be used again.
    buffer: Vec<u8>,
    header: u32,
    /// Bytes that are whole messages.
    good: u64,
    /// Rows in them.
    rows: u64,
    failed: Option<Error>,
}

impl<F: Cut, T: Table> Stream<F, T> {
    pub(super) fn begin(file: F, path: PathBuf) -> Result<Stream<F, T>> {
        let buffer = message::header::<T>().context(Kind::Output, "cannot encode the header of a trace")?;
        let header = crc32fast::hash(&buffer);
        let mut stream = Stream { file, path, waiting: T::default(), buffer, header, good: 0, rows: 0, failed: None };
        stream.write_buffer()?;
        Ok(stream)
    }

    pub(super) fn push(&mut self, item: &T::Item) -> Result<()> {
        self.waiting.push(item);
        if self.waiting.len() < BATCH_ROWS { Ok(()) } else { self.flush() }
    }

    /// Whether the next row makes it write.
    fn is_nearly_full(&self) -> bool {
        self.waiting.len() + 1 >= BATCH_ROWS
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let rows = self.waiting.len();
        if let Some(failed) = &self.failed {
            // Whoever goes on pushing must not fill the memory.
            self.waiting.clear();
            return Err(failed.clone());
        }
        if rows > 0 {
            self.buffer.clear();
            message::append_batch(&self.waiting.take(), self.header, &mut self.buffer)
                .context(Kind::Output, format!("cannot encode {}", self.path.display()))?;
            self.write_buffer()?;
            self.rows += rows as u64;
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<()> {
        self.flush()?;
        self.buffer.clear();
        self.buffer.extend(message::END);
        self.write_buffer()?;
        self.file.sync().context(Kind::Output, format!("cannot write {}", self.path.display()))
    }

    /// Appends the buffer; a part of it is taken back, so that the file ends with a whole message.
    fn write_buffer(&mut self) -> Result<()> {
        let written = self.file.write_all(&self.buffer);
        let Err(error) = written else {
            self.good += self.buffer.len() as u64;
            return Ok(());
        };
        // If even that fails, readers still find the last whole message.
        let _ = self.file.cut(self.good);
        let text = format!("cannot write {}: {error}; the {} rows written before stay readable", self.path.display(), self.rows);
        let failed = Error::new(Kind::Output, text);
        self.failed = Some(failed.clone());
        Err(failed)
    }
}
