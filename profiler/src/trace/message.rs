//! The messages of an Arrow stream, written so that every later change of a byte is noticed, and taken apart with distrust.
//!
//! ```text
//! a table       =  schema  dictionary?  batch*  end            end = ff ff ff ff 00 00 00 00, missing after a crash
//!
//! a message     =  ff ff ff ff | length, i32 | flatbuffer, padded to 8 bytes | body
//! the body of a batch: for each column an empty validity buffer, then its values: length when unpacked, i64 | packed bytes;
//!                      text has its offsets before the values
//! ```
//!
//! Arrow has no checksum. Each batch carries a CRC-32 in its message's metadata (`heapcast.crc32`), which covers everything that
//! decides how the batch reads: the messages before the first batch, the row count, the codec, the lengths and places of its buffers, and
//! its body. Other readers ignore it.
//!
//! The Arrow crate trusts lengths that it reads (it allocates them, and panics on some): nothing reaches it before [`check_batch`] has
//! compared every length with what the columns must have.

use polars_arrow::array::{Array, Utf8Array};
use polars_arrow::io::ipc::format::ipc::planus::ReadAsRoot;
use polars_arrow::io::ipc::format::ipc::{self, CompressionType};
use polars_arrow::io::ipc::write::common_sync::write_message;
use polars_arrow::io::ipc::write::{
    Compression, EncodedData, KeyValue, WriteOptions, commit_encoded_arrays, encode_array, encode_dictionary_values, schema_to_bytes,
};
use polars_utils::compression::ZstdLevel;

use super::columns::{self, Schema, Table};
use super::manifest::Format;

/// Largest batch that is read, rows. The writer's own are smaller; the limit bounds the memory that a damaged file can ask for.
const MAX_ROWS: usize = 1 << 18;
/// Largest flatbuffer, bytes: ours have about a thousand.
pub(super) const MAX_META: u64 = 1 << 20;
/// Largest body, bytes: more than a batch of [`MAX_ROWS`] incompressible rows.
pub(super) const MAX_BODY: u64 = 64 << 20;
/// Most bytes of text in one column of a batch.
pub(super) const MAX_TEXT: usize = 32 << 20;
/// Most bytes that the names of all kinds take.
const MAX_DICTIONARY: usize = 1 << 16;

/// What a message begins with.
pub(super) const CONTINUATION: [u8; 4] = [0xff; 4];
/// The end of a stream.
pub(super) const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

const CHECKSUM_KEY: &str = "heapcast.crc32";

/// Measured with `cargo bench -p profiler --bench trace`, optimized for development: LZ4 11.6 bytes per event at 7.3 million events per
/// second, Zstandard level 3 5.4 at 7.4, level 1 5.3 at 11.2.
fn options() -> Result<WriteOptions, String> {
    let level = ZstdLevel::try_new(1).map_err(|error| error.to_string())?;
    Ok(WriteOptions { compression: Some(Compression::ZSTD(level)) })
}

fn append(message: &EncodedData, out: &mut Vec<u8>) -> Result<(), String> {
    write_message(out, message).map(drop).map_err(|error| error.to_string())
}

/// The messages before the first batch.
pub(super) fn header<T: Table>() -> Result<Vec<u8>, String> {
    header_of(&columns::schema::<T>(), T::KINDS.then(columns::dictionary).as_ref())
}

pub(super) fn header_of(Schema { columns, ids, metadata }: &Schema, names: Option<&Utf8Array<i32>>) -> Result<Vec<u8>, String> {
    let schema = EncodedData { ipc_message: schema_to_bytes(columns, ids, Some(metadata)), arrow_data: Vec::new() };
    let mut out = Vec::new();
    append(&schema, &mut out)?;
    if let Some(names) = names {
        // Too short to gain by packing.
        let plain = WriteOptions { compression: None };
        append(&encode_dictionary_values(columns::DICTIONARY, names, &plain).map_err(|error| error.to_string())?, &mut out)?;
    }
    Ok(out)
}

/// Appends the message of a batch; `header` is the checksum of the messages before the first one.
pub(super) fn append_batch(arrays: &[Box<dyn Array>], header: u32, out: &mut Vec<u8>) -> Result<(), String> {
    let options = options()?;
    let (mut data, mut nodes, mut buffers, mut end) = (EncodedData::default(), Vec::new(), Vec::new(), 0);
    for array in arrays {
        encode_array(array, &options, &mut Vec::new(), &mut buffers, &mut data.arrow_data, &mut nodes, &mut end);
    }
    let rows = arrays.first().map_or(0, |array| array.len());
    let codec = options.compression.map(|packed| match packed {
        Compression::LZ4 => CompressionType::Lz4Frame,
        Compression::ZSTD(_) => CompressionType::Zstd,
    });
    let mut sum = Checksum::new(header, rows as i64, codec);
    buffers.iter().for_each(|buffer| sum.buffer(buffer.offset, buffer.length));
    let pair = KeyValue { key: Some(CHECKSUM_KEY.into()), value: Some(sum.over(&data.arrow_data)) };
    commit_encoded_arrays(rows, &options, Vec::new(), buffers, nodes, Some(vec![pair]), &mut data);
    append(&data, out)
}

/// The checksum of a batch.
struct Checksum(crc32fast::Hasher);

impl Checksum {
    fn new(header: u32, rows: i64, codec: Option<CompressionType>) -> Checksum {
        let mut hasher = crc32fast::Hasher::new_with_initial(header);
        hasher.update(&rows.to_le_bytes());
        hasher.update(&[codec.map_or(u8::MAX, |codec| codec as u8)]);
        Checksum(hasher)
    }

    fn buffer(&mut self, offset: i64, length: i64) {
        self.0.update(&offset.to_le_bytes());
        self.0.update(&length.to_le_bytes());
    }

    fn over(mut self, body: &[u8]) -> String {
        self.0.update(body);
        format!("{:08x}", self.0.finalize())
    }
}

/// What the flatbuffer of a message says about it.
pub(super) enum Announced<'a> {
    Schema(Format),
    Dictionary(ipc::RecordBatchRef<'a>),
    Batch(ipc::RecordBatchRef<'a>),
}

/// A flatbuffer, and the length of the body that belongs to it.
pub(super) fn announced<T: Table>(meta: &[u8]) -> Result<(Announced<'_>, u64), String> {
    let message = ipc::MessageRef::read_as_root(meta).map_err(broken)?;
    let body = u64::try_from(message.body_length().map_err(broken)?).map_err(|_| "a negative length")?;
    let announced = match message.header().map_err(broken)?.ok_or("a message without a header")? {
        ipc::MessageHeaderRef::Schema(schema) => Announced::Schema(columns::recognize::<T>(schema)?),
        ipc::MessageHeaderRef::RecordBatch(batch) => Announced::Batch(batch),
        ipc::MessageHeaderRef::DictionaryBatch(names) => {
            if names.id().map_err(broken)? != columns::DICTIONARY || names.is_delta().map_err(broken)? {
                return Err("a dictionary that is not ours".into());
            }
            Announced::Dictionary(names.data().map_err(broken)?.ok_or("a dictionary without data")?)
        }
        _ => return Err("a message of another kind".into()),
    };
    Ok((announced, body))
}

fn broken(error: impl std::fmt::Display) -> String {
    format!("a damaged flatbuffer ({error})")
}

/// Checks a dictionary's lengths; what the names are is looked at when they are used.
pub(super) fn check_dictionary(names: ipc::RecordBatchRef<'_>, body: &[u8]) -> Result<(), String> {
    let layout = Layout::of(names, body, 1)?;
    if layout.rows > 1 << 8 {
        return Err(format!("a dictionary of {} kinds", layout.rows));
    }
    let (offsets, names) = (layout.unpacked(1)?, layout.unpacked(2)?);
    if layout.buffer(0)?.is_empty() && offsets == (layout.rows + 1) * 4 && names <= MAX_DICTIONARY {
        Ok(())
    } else {
        Err("a dictionary of wrong lengths".into())
    }
}

/// Checks that a batch is as it was written: its lengths are those that the columns must have, and its checksum agrees. Gives its rows.
pub(super) fn check_batch<T: Table>(meta: &[u8], batch: ipc::RecordBatchRef<'_>, body: &[u8], header: u32) -> Result<usize, String> {
    let layout = Layout::of(batch, body, T::fields().len())?;
    let mut buffer = 0;
    for (name, bytes) in T::widths(layout.rows) {
        let fits = match bytes {
            Some(bytes) => layout.unpacked(buffer + 1)? == bytes,
            None => layout.unpacked(buffer + 1)? == (layout.rows + 1) * 4 && layout.unpacked(buffer + 2)? <= MAX_TEXT,
        };
        if !layout.buffer(buffer)?.is_empty() || !fits {
            return Err(format!("the column {name} has a wrong length"));
        }
        buffer += if bytes.is_some() { 2 } else { 3 };
    }
    let mut sum = Checksum::new(header, layout.rows as i64, layout.codec);
    layout.places.iter().for_each(|place| sum.buffer(place.0, place.1));
    // A fuzzer cannot forge a checksum, but whoever sends a trace can.
    if !cfg!(fuzzing) && stored_checksum(meta)? != sum.over(body) {
        return Err("the checksum does not agree".into());
    }
    Ok(layout.rows)
}

fn stored_checksum(meta: &[u8]) -> Result<String, String> {
    let message = ipc::MessageRef::read_as_root(meta).map_err(broken)?;
    let pairs = message.custom_metadata().map_err(broken)?.into_iter().flatten().filter_map(Result::ok);
    let found = pairs.filter(|pair| pair.key().ok().flatten() == Some(CHECKSUM_KEY)).find_map(|pair| pair.value().ok().flatten());
    found.map(str::to_string).ok_or("there is no checksum: heapcast did not write this".into())
}

/// Where the buffers of a batch lie in its body; every place is inside it.
struct Layout<'a> {
    rows: usize,
    codec: Option<CompressionType>,
    body: &'a [u8],
    /// Offset and length of each buffer, bytes.
    places: Vec<(i64, i64)>,
}

impl<'a> Layout<'a> {
    fn of(batch: ipc::RecordBatchRef<'_>, body: &'a [u8], columns: usize) -> Result<Layout<'a>, String> {
        let rows =
            usize::try_from(batch.length().map_err(broken)?).ok().filter(|rows| *rows <= MAX_ROWS).ok_or("a batch of impossible length")?;
        let nodes = batch.nodes().map_err(broken)?.ok_or("a batch without columns")?;
        let whole = |node: ipc::FieldNodeRef<'_>| node.length() == rows as i64 && node.null_count() == 0;
        if nodes.len() < columns || !nodes.iter().take(columns).all(whole) {
            return Err("columns are missing or not as long as their batch".into());
        }
        let codec = batch.compression().map_err(broken)?.map(|packed| packed.codec().map_err(broken)).transpose()?;
        let buffers = batch.buffers().map_err(broken)?.ok_or("a batch without buffers")?;
        let places = buffers.iter().map(|buffer| (buffer.offset(), buffer.length())).collect();
        let layout = Layout { rows, codec, body, places };
        (0..layout.places.len()).try_for_each(|index| layout.buffer(index).map(drop))?;
        Ok(layout)
    }

    fn buffer(&self, index: usize) -> Result<&'a [u8], String> {
        let (offset, length) = *self.places.get(index).ok_or("buffers are missing")?;
        let range = usize::try_from(offset)
            .ok()
            .zip(usize::try_from(length).ok())
            .and_then(|(start, len)| self.body.get(start..start.checked_add(len)?));
        range.ok_or_else(|| "a buffer outside of its message".into())
    }

    /// Bytes that a buffer has when it is unpacked, as far as it says so itself.
    fn unpacked(&self, index: usize) -> Result<usize, String> {
        let buffer = self.buffer(index)?;
        if self.codec.is_none() {
            return Ok(buffer.len());
        }
        let length = buffer.first_chunk().ok_or("a packed buffer without its length")?;
        usize::try_from(i64::from_le_bytes(*length)).map_err(|_| "a packed buffer of impossible length".into())
    }
}
