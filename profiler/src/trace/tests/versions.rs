//! Traces of other versions.

use polars_arrow::array::{Array, PrimitiveArray, Utf8Array};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field};
use polars_arrow::io::ipc::write::default_ipc_fields;

use super::sample;
use crate::error::Result;
use crate::event::Event;
use crate::trace::columns::{self, Columns, Schema, Table};
use crate::trace::format::{Kind, Row};
use crate::trace::manifest::Format;
use crate::trace::message;
use crate::trace::reader::Events;

/// A stream as a heapcast of this version might write it: with one more column, and one more kind, which the third event is of.
fn stream_of(format: Format, events: &[Event]) -> Vec<u8> {
    let mut fields: Vec<Field> = columns::schema::<Columns>().columns.iter_values().cloned().collect();
    fields.push(Field::new("caller".into(), ArrowDataType::Utf8, true));
    let columns: ArrowSchema = fields.into_iter().collect();
    let ids = default_ipc_fields(columns.iter_values());
    let names = ["teleport"].into_iter().chain(Kind::ALL.iter().map(|(_, name)| *name));
    let names = Utf8Array::<i32>::from_slice(names.collect::<Vec<_>>());
    let mut bytes = message::header_of(&Schema { columns, ids, metadata: columns::metadata(format) }, Some(&names)).unwrap();
    let header = crc32fast::hash(&bytes);
    message::append_batch(&arrays(events), header, &mut bytes).unwrap();
    bytes.extend(message::END);
    bytes
}

fn arrays(events: &[Event]) -> Vec<Box<dyn Array>> {
    let mut columns = Columns::default();
    events.iter().for_each(|event| columns.push(event));
    let mut arrays = columns.take();
    let keys = events.iter().enumerate().map(|(i, event)| if i == 2 { 0 } else { Row::from(event).kind as u8 + 1 });
    arrays[3] = PrimitiveArray::from_vec(keys.collect::<Vec<u8>>()).boxed();
    arrays.push(Utf8Array::<i32>::from_slice(vec!["main"; events.len()]).boxed());
    arrays
}

fn open(bytes: &[u8]) -> Result<Events<&[u8]>> {
    Events::new(bytes, bytes.len() as u64, "events.arrow".into())
}

#[test]
fn a_later_minor_version_is_read_but_for_what_is_new() {
    let mut events = sample(20);
    let bytes = stream_of(Format { minor: 7, ..Format::CURRENT }, &events);
    let mut stream = open(&bytes).unwrap();
    events.remove(2);
    assert_eq!(stream.next_batch(), Some(&events[..]));
    assert_eq!(stream.next_batch(), None);
    assert_eq!((stream.damage(), stream.unknown()), (None, 1));
}

#[test]
fn what_this_version_cannot_have_is_damage() {
    let bytes = stream_of(Format::CURRENT, &sample(20));
    let mut stream = open(&bytes).unwrap();
    assert_eq!(stream.next_batch(), None);
    assert!(stream.damage().unwrap().what.contains("1 rows that are no events"));
}

#[test]
fn a_later_major_version_is_refused_with_advice() {
    let bytes = stream_of(Format { major: Format::CURRENT.major + 1, minor: 0 }, &sample(20));
    let error = open(&bytes).err().expect("a version from the future");
    assert!(error.message.contains("upgrade heapcast"), "{error}");
}
