//! Reading a trace: batch by batch, as far as it is undamaged.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use polars_arrow::array::Array;
use polars_arrow::io::ipc::read::{StreamReader, StreamState};
use polars_arrow::record_batch::RecordBatchT;

use super::EVENTS;
use super::columns::{self, Batch};
use super::manifest::{self, Format, Manifest};
use super::message::{self, Announced};
use crate::error::{Context, Error, Kind, Result};
use crate::event::Event;

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
        Ok(Reader { manifest, events: Events::new(BufReader::new(file), bytes, path)? })
    }

    /// What is known about the recording.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
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
        self.events.given
    }

    /// Bytes of the file of events.
    pub fn bytes_total(&self) -> u64 {
        self.events.total
    }

    /// Bytes of it that are read, for a progress bar.
    pub fn bytes_read(&self) -> u64 {
        self.events.position
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
pub struct Events<R> {
    source: R,
    file: PathBuf,
    total: u64,
    /// Start of the next message.
    position: u64,
    header: Header,
    batch: Vec<Event>,
    given: u64,
    unknown: u64,
    state: State,
}

/// What the batches need from the messages before them.
struct Header {
    format: Format,
    /// The message of the dictionary, put before each batch for the Arrow crate.
    dictionary: Vec<u8>,
    checksum: u32,
}

enum State {
    Reading,
    Ended,
    Damaged(Damage),
}

/// A whole message.
struct Frame {
    bytes: Vec<u8>,
    /// Where its flatbuffer ends and its body begins.
    body: usize,
}

impl Frame {
    /// Marker and length.
    const PREFIX: usize = 8;

    fn meta(&self) -> &[u8] {
        &self.bytes[Frame::PREFIX..self.body]
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }
}

impl<R: Read> Events<R> {
    /// Reads the header of a stream of `total` bytes; `file` is its name in messages.
    pub fn new(source: R, total: u64, file: PathBuf) -> Result<Events<R>> {
        let header = Header { format: Format::CURRENT, dictionary: Vec::new(), checksum: 0 };
        let mut events =
            Events { source, file, total, position: 0, header, batch: Vec::new(), given: 0, unknown: 0, state: State::Reading };
        events.header = events.read_header().map_err(|why| {
            let (file, byte) = (events.file.display(), events.position);
            Error::new(Kind::Trace, format!("cannot read {file}: byte {byte}: {why}; nothing of it can be read"))
        })?;
        Ok(events)
    }

    /// The next events; none at the end or at damage.
    pub fn next_batch(&mut self) -> Option<&[Event]> {
        while matches!(self.state, State::Reading) {
            match self.read_batch() {
                Ok(true) => return Some(&self.batch),
                Ok(false) => self.state = State::Ended,
                Err(what) => self.state = State::Damaged(self.damaged(what)),
            }
        }
        None
    }

    /// What stopped the reading before its end.
    pub fn damage(&self) -> Option<&Damage> {
        match &self.state {
            State::Damaged(damage) => Some(damage),
            _ => None,
        }
    }

    /// Rows so far that are of no kind this version knows.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    fn damaged(&self, what: String) -> Damage {
        Damage { file: self.file.clone(), byte: self.position, what, events_read: self.given }
    }

    fn read_header(&mut self) -> Result<Header, String> {
        let schema = self.frame()?.ok_or("there is no schema")?;
        let (Announced::Schema(format), _) = message::announced(schema.meta())? else { return Err("there is no schema".into()) };
        self.position += schema.bytes.len() as u64;
        let names = self.frame()?.ok_or("there are no kinds")?;
        let (Announced::Dictionary(batch), _) = message::announced(names.meta())? else { return Err("there are no kinds".into()) };
        message::check_dictionary(batch, names.body())?;
        self.position += names.bytes.len() as u64;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&schema.bytes);
        hasher.update(&names.bytes);
        Ok(Header { format, dictionary: names.bytes, checksum: hasher.finalize() })
    }

    /// False at the end of the stream.
    fn read_batch(&mut self) -> Result<bool, String> {
        let Some(frame) = self.frame()? else {
            self.position += message::END.len() as u64;
            let rest = self.total - self.position;
            return if rest == 0 { Ok(false) } else { Err(format!("{rest} bytes follow the end mark")) };
        };
        let (Announced::Batch(batch), _) = message::announced(frame.meta())? else { return Err("a message that is no batch".into()) };
        message::check_batch(frame.meta(), batch, frame.body(), self.header.checksum)?;
        let record = decode(&[&self.header.dictionary, &frame.bytes].map(Vec::as_slice).concat())?;
        self.take(&record)?;
        self.position += frame.bytes.len() as u64;
        self.given += self.batch.len() as u64;
        Ok(true)
    }

    fn take(&mut self, record: &RecordBatchT<Box<dyn Array>>) -> Result<(), String> {
        let columns = Batch::new(record.arrays()).ok_or("columns of another type")?;
        self.batch.clear();
        self.batch.extend((0..record.len()).filter_map(|row| columns.row(row)?.event()));
        let unknown = (record.len() - self.batch.len()) as u64;
        if unknown > 0 && !self.header.format.is_later() {
            return Err(format!("{unknown} rows that are no events"));
        }
        self.unknown += unknown;
        Ok(())
    }

    /// The message at the position, which stays there; none at the end mark.
    fn frame(&mut self) -> Result<Option<Frame>, String> {
        if self.position == self.total {
            return Err("it ends without an end mark: the recording was cut off".into());
        }
        let (mut bytes, mut prefix) = (Vec::new(), [0; Frame::PREFIX]);
        self.fill(&mut bytes, prefix.len() as u64, 0)?;
        prefix.copy_from_slice(&bytes);
        if prefix == message::END {
            return Ok(None);
        }
        let [marker @ .., a, b, c, d] = prefix;
        let meta = u64::try_from(i32::from_le_bytes([a, b, c, d])).ok().filter(|length| *length <= message::MAX_META);
        let meta = meta.filter(|_| marker == message::CONTINUATION).ok_or("no message begins here")?;
        self.fill(&mut bytes, meta, Frame::PREFIX as u64)?;
        let (_, body) = message::announced(&bytes[Frame::PREFIX..])?;
        let start = bytes.len();
        if body > message::MAX_BODY {
            return Err("a message of impossible length".into());
        }
        self.fill(&mut bytes, body, start as u64)?;
        Ok(Some(Frame { bytes, body: start }))
    }

    /// Appends exactly `length` bytes of the source, which lie `ahead` of the position.
    fn fill(&mut self, bytes: &mut Vec<u8>, length: u64, ahead: u64) -> Result<(), String> {
        let cut = || "the message is cut off".to_string();
        if length > self.total - self.position - ahead {
            return Err(cut());
        }
        let read = self.source.by_ref().take(length).read_to_end(bytes).map_err(|error: io::Error| error.to_string())?;
        if read as u64 == length { Ok(()) } else { Err(cut()) }
    }
}

/// Lets the Arrow crate unpack a checked batch with the dictionary before it.
fn decode(messages: &[u8]) -> Result<RecordBatchT<Box<dyn Array>>, String> {
    let mut stream = StreamReader::new(Cursor::new(messages), columns::stream_metadata(), None);
    match stream.next() {
        Some(Ok(StreamState::Some(record))) => Ok(record),
        Some(Err(error)) => Err(error.to_string()),
        _ => Err("no batch".into()),
    }
}
