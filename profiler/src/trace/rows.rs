//! The stream of a table, read batch by batch as far as it is undamaged.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use polars_arrow::array::Array;
use polars_arrow::io::ipc::read::{StreamReader, StreamState};
use polars_arrow::record_batch::RecordBatchT;

use super::columns::{self, Table};
use super::manifest::Format;
use super::message::{self, Announced};
use super::reader::Damage;
use crate::error::{Error, Kind, Result};

/// The rows of a stream of known length.
pub(super) struct Rows<R, T: Table> {
    source: R,
    file: PathBuf,
    total: u64,
    /// Start of the next message.
    position: u64,
    header: Header,
    batch: Vec<T::Item>,
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

impl<R: Read, T: Table> Rows<R, T> {
    /// Reads the header of a stream of `total` bytes; `file` is its name in messages.
    pub(super) fn new(source: R, total: u64, file: PathBuf) -> Result<Rows<R, T>> {
        let header = Header { format: Format::CURRENT, dictionary: Vec::new(), checksum: 0 };
        let mut rows = Rows { source, file, total, position: 0, header, batch: Vec::new(), given: 0, unknown: 0, state: State::Reading };
        rows.header = rows.read_header().map_err(|why| {
            let (file, byte) = (rows.file.display(), rows.position);
            Error::new(Kind::Trace, format!("cannot read {file}: byte {byte}: {why}; nothing of it can be read"))
        })?;
        Ok(rows)
    }

    /// The next rows; none at the end or at damage.
    pub(super) fn next_batch(&mut self) -> Option<&[T::Item]> {
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
    pub(super) fn damage(&self) -> Option<&Damage> {
        match &self.state {
            State::Damaged(damage) => Some(damage),
            _ => None,
        }
    }

    /// Rows so far that are of no kind this version knows.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Rows given so far.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Bytes of the stream.
    pub(super) fn bytes_total(&self) -> u64 {
        self.total
    }

    /// Bytes of it that are read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.position
    }

    fn damaged(&self, what: String) -> Damage {
        Damage { file: self.file.clone(), byte: self.position, what, events_read: self.given }
    }

    fn read_header(&mut self) -> Result<Header, String> {
        let schema = self.frame()?.ok_or("there is no schema")?;
        let (Announced::Schema(format), _) = message::announced::<T>(schema.meta())? else { return Err("there is no schema".into()) };
        self.position += schema.bytes.len() as u64;
        let dictionary = if T::KINDS { self.read_dictionary()? } else { Vec::new() };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&schema.bytes);
        hasher.update(&dictionary);
        Ok(Header { format, dictionary, checksum: hasher.finalize() })
    }

    fn read_dictionary(&mut self) -> Result<Vec<u8>, String> {
        let names = self.frame()?.ok_or("there are no kinds")?;
        let (Announced::Dictionary(batch), _) = message::announced::<T>(names.meta())? else { return Err("there are no kinds".into()) };
        message::check_dictionary(batch, names.body())?;
        self.position += names.bytes.len() as u64;
        Ok(names.bytes)
    }

    /// False at the end of the stream.
    fn read_batch(&mut self) -> Result<bool, String> {
        let Some(frame) = self.frame()? else {
            self.position += message::END.len() as u64;
            let rest = self.total - self.position;
            return if rest == 0 { Ok(false) } else { Err(format!("{rest} bytes follow the end mark")) };
        };
        let (Announced::Batch(batch), _) = message::announced::<T>(frame.meta())? else { return Err("a message that is no batch".into()) };
        message::check_batch::<T>(frame.meta(), batch, frame.body(), self.header.checksum)?;
        let record = decode::<T>(&[&self.header.dictionary, &frame.bytes].map(Vec::as_slice).concat())?;
        self.take(&record)?;
        self.position += frame.bytes.len() as u64;
        self.given += self.batch.len() as u64;
        Ok(true)
    }

    fn take(&mut self, record: &RecordBatchT<Box<dyn Array>>) -> Result<(), String> {
        self.batch.clear();
        T::read(record.arrays(), record.len(), &mut self.batch).ok_or("columns of another type")?;
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
        let (_, body) = message::announced::<T>(&bytes[Frame::PREFIX..])?;
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
fn decode<T: Table>(messages: &[u8]) -> Result<RecordBatchT<Box<dyn Array>>, String> {
    let mut stream = StreamReader::new(Cursor::new(messages), columns::stream_metadata::<T>(), None);
    match stream.next() {
        Some(Ok(StreamState::Some(record))) => Ok(record),
        Some(Err(error)) => Err(error.to_string()),
        _ => Err("no batch".into()),
    }
}
