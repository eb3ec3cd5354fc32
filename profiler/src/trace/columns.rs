//! The columns of a table: rows to Arrow arrays and back, and whether a schema is ours.

use polars_arrow::array::{Array, BooleanArray, DictionaryArray, PrimitiveArray, Utf8Array};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, IntegerType, Metadata};
use polars_arrow::io::ipc::format::ipc;
use polars_arrow::io::ipc::read::StreamMetadata;
use polars_arrow::io::ipc::write::default_ipc_fields;
use polars_arrow::io::ipc::{IpcField, IpcSchema};

use super::format::{Kind, Row};
use super::manifest::Format;
use crate::event::Event;

/// Key of the schema's metadata that holds the version of the format, as in `1.0`.
const FORMAT_KEY: &str = "heapcast.format";

/// Id of the only dictionary, that of the kinds.
pub(super) const DICTIONARY: i64 = 0;

/// What a column holds: how its values become an Arrow array and come back.
pub(super) trait Cell: Clone {
    /// Read access to one column of a batch.
    type Column<'a>;
    fn dtype() -> ArrowDataType;
    /// Whether this is the type that [`Cell::dtype`] is stored as; none when the flatbuffer is broken.
    fn is(field: ipc::FieldRef<'_>) -> Option<bool>;
    fn array(values: Vec<Self>) -> Box<dyn Array>;
    /// Bytes that `rows` values take; none where they differ in length.
    fn bytes(rows: usize) -> Option<usize>;
    fn column(array: &dyn Array) -> Option<Self::Column<'_>>;
    /// None where the value is not one that this version knows.
    fn get(column: &Self::Column<'_>, row: usize) -> Option<Self>;
}

fn is_unsigned(kind: ipc::TypeRef<'_>, bits: i32) -> Option<bool> {
    let ipc::TypeRef::Int(int) = kind else { return Some(false) };
    Some(int.bit_width().ok()? == bits && !int.is_signed().ok()?)
}

macro_rules! number {
    ($type:ty, $dtype:ident, $bits:literal) => {
        impl Cell for $type {
            type Column<'a> = &'a [$type];

            fn dtype() -> ArrowDataType {
                ArrowDataType::$dtype
            }

            fn is(field: ipc::FieldRef<'_>) -> Option<bool> {
                Some(is_unsigned(field.type_().ok()??, $bits)? && field.dictionary().ok()?.is_none())
            }

            fn array(values: Vec<$type>) -> Box<dyn Array> {
                PrimitiveArray::from_vec(values).boxed()
            }

            fn bytes(rows: usize) -> Option<usize> {
                Some(rows * size_of::<$type>())
            }

            fn column(array: &dyn Array) -> Option<&[$type]> {
                Some(array.as_any().downcast_ref::<PrimitiveArray<$type>>()?.values().as_slice())
            }

            fn get(column: &&[$type], row: usize) -> Option<$type> {
                column.get(row).copied()
            }
        }
    };
}

number!(u64, UInt64, 64);
number!(u32, UInt32, 32);
number!(u16, UInt16, 16);
number!(u8, UInt8, 8);

impl Cell for bool {
    type Column<'a> = &'a BooleanArray;

    fn dtype() -> ArrowDataType {
        ArrowDataType::Boolean
    }

    fn is(field: ipc::FieldRef<'_>) -> Option<bool> {
        Some(matches!(field.type_().ok()??, ipc::TypeRef::Bool(_)))
    }

    fn array(values: Vec<bool>) -> Box<dyn Array> {
        BooleanArray::from_slice(values).boxed()
    }

    fn bytes(rows: usize) -> Option<usize> {
        Some(rows.div_ceil(8))
    }

    fn column(array: &dyn Array) -> Option<&BooleanArray> {
        array.as_any().downcast_ref()
    }

    fn get(column: &&BooleanArray, row: usize) -> Option<bool> {
        (row < column.len()).then(|| column.value(row))
    }
}

impl Cell for String {
    type Column<'a> = &'a Utf8Array<i32>;

    fn dtype() -> ArrowDataType {
        ArrowDataType::Utf8
    }

    fn is(field: ipc::FieldRef<'_>) -> Option<bool> {
        Some(matches!(field.type_().ok()??, ipc::TypeRef::Utf8(_)) && field.dictionary().ok()?.is_none())
    }

    fn array(values: Vec<String>) -> Box<dyn Array> {
        Utf8Array::<i32>::from_slice(values).boxed()
    }

    fn bytes(_rows: usize) -> Option<usize> {
        None
    }

    fn column(array: &dyn Array) -> Option<&Utf8Array<i32>> {
        array.as_any().downcast_ref()
    }

    fn get(column: &&Utf8Array<i32>, row: usize) -> Option<String> {
        (row < column.len()).then(|| column.value(row).to_owned())
    }
}

/// Kinds are stored as keys into a dictionary of their names, so that a reader meets them by name whatever their numbers are.
impl Cell for Kind {
    type Column<'a> = (&'a [u8], Vec<Option<Kind>>);

    fn dtype() -> ArrowDataType {
        ArrowDataType::Dictionary(IntegerType::UInt8, Box::new(ArrowDataType::Utf8), false)
    }

    fn is(field: ipc::FieldRef<'_>) -> Option<bool> {
        let Some(dictionary) = field.dictionary().ok()? else { return Some(false) };
        // Without an index type the format means 32 signed bits.
        let Some(index) = dictionary.index_type().ok()? else { return Some(false) };
        let keys = index.bit_width().ok()? == 8 && !index.is_signed().ok()? && dictionary.id().ok()? == DICTIONARY;
        Some(keys && matches!(field.type_().ok()??, ipc::TypeRef::Utf8(_)))
    }

    fn array(values: Vec<Kind>) -> Box<dyn Array> {
        // Only the keys are written with a batch; the dictionary went ahead of the first one.
        PrimitiveArray::from_vec(values.into_iter().map(|kind| kind as u8).collect()).boxed()
    }

    fn bytes(rows: usize) -> Option<usize> {
        Some(rows)
    }

    fn column(array: &dyn Array) -> Option<(&[u8], Vec<Option<Kind>>)> {
        let array = array.as_any().downcast_ref::<DictionaryArray<u8>>()?;
        let names = array.values().as_any().downcast_ref::<Utf8Array<i32>>()?;
        let kinds = names.values_iter().map(|name| Kind::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind));
        Some((array.keys().values().as_slice(), kinds.collect()))
    }

    fn get((keys, kinds): &Self::Column<'_>, row: usize) -> Option<Kind> {
        *kinds.get(usize::from(*keys.get(row)?))?
    }
}

/// The names of the kinds, in the order of the keys that [`Columns`] uses.
pub(super) fn dictionary() -> Utf8Array<i32> {
    Utf8Array::from_slice(Kind::ALL.iter().map(|(_, name)| *name).collect::<Vec<_>>())
}

/// A table of a trace: what waits to be written, and what its files look like.
pub(super) trait Table: Default {
    /// What a row tells.
    type Item;
    /// Whether the names of the kinds go ahead of the batches.
    const KINDS: bool;
    fn push(&mut self, item: &Self::Item);
    fn len(&self) -> usize;
    /// The rows as arrays, in the order of the schema; none are left here.
    fn take(&mut self) -> Vec<Box<dyn Array>>;
    /// Forgets all rows.
    fn clear(&mut self);
    /// Appends the rows of a batch that was read, without those that hold what this version does not know. None unless these are our arrays.
    fn read(arrays: &[Box<dyn Array>], rows: usize, out: &mut Vec<Self::Item>) -> Option<()>;
    /// Names of the columns and the bytes of so many of their rows, where that is fixed.
    fn widths(rows: usize) -> Vec<(&'static str, Option<usize>)>;
    fn fields() -> Vec<Field>;
    fn recognizers() -> Vec<Recognizer>;
}

/// Name of a column, and whether a field has its type.
pub(super) type Recognizer = (&'static str, fn(ipc::FieldRef<'_>) -> Option<bool>);

/// Declares a table: its type, the row whose fields are the columns, and how an item becomes a row and comes back.
macro_rules! columns {
    ($(#[$doc:meta])* $table:ident: $row:ident, kinds: $kinds:literal, $item:ty, $to_row:expr, $from_row:expr, $first:ident: $first_type:ty, $($name:ident: $type:ty,)*) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $table { $first: Vec<$first_type>, $($name: Vec<$type>,)* }

        impl Table for $table {
            type Item = $item;
            const KINDS: bool = $kinds;

            fn push(&mut self, item: &$item) {
                let to_row: fn(&$item) -> $row = $to_row;
                let row = to_row(item);
                self.$first.push(row.$first);
                $(self.$name.push(row.$name);)*
            }

            fn len(&self) -> usize {
                self.$first.len()
            }

            fn take(&mut self) -> Vec<Box<dyn Array>> {
                let rows = self.len();
                vec![
                    <$first_type>::array(std::mem::replace(&mut self.$first, Vec::with_capacity(rows))),
                    $(<$type>::array(std::mem::replace(&mut self.$name, Vec::with_capacity(rows))),)*
                ]
            }

            fn clear(&mut self) {
                self.$first.clear();
                $(self.$name.clear();)*
            }

            fn read(arrays: &[Box<dyn Array>], rows: usize, out: &mut Vec<$item>) -> Option<()> {
                let from_row: fn($row) -> Option<$item> = $from_row;
                let mut arrays = arrays.iter();
                let $first = <$first_type>::column(arrays.next()?.as_ref())?;
                $(let $name = <$type>::column(arrays.next()?.as_ref())?;)*
                let row = |row: usize| Some($row { $first: <$first_type>::get(&$first, row)?, $($name: <$type>::get(&$name, row)?,)* });
                out.extend((0..rows).filter_map(|number| from_row(row(number)?)));
                Some(())
            }

            fn widths(rows: usize) -> Vec<(&'static str, Option<usize>)> {
                vec![(stringify!($first), <$first_type>::bytes(rows)), $((stringify!($name), <$type>::bytes(rows)),)*]
            }

            fn fields() -> Vec<Field> {
                vec![
                    Field::new(stringify!($first).into(), <$first_type>::dtype(), false),
                    $(Field::new(stringify!($name).into(), <$type>::dtype(), false),)*
                ]
            }

            fn recognizers() -> Vec<Recognizer> {
                vec![(stringify!($first), <$first_type>::is), $((stringify!($name), <$type>::is),)*]
            }
        }
    };
}
pub(super) use columns;

// The order in the file; new columns go to the end.
columns! {
    /// Events that wait to be written.
    Columns: Row, kinds: true, Event, |event| event.into(), |row| row.event(),
    time_ns: u64,
    process: u32,
    tid: u32,
    kind: Kind,
    in_heap: bool,
    addr: u64,
    size: u64,
    old_addr: u64,
    old_size: u64,
    arg: u64,
    detail: u32,
    prot: u8,
    errno: u16,
}

/// What a stream says about itself.
pub(super) struct Schema {
    pub(super) columns: ArrowSchema,
    /// Ids of the dictionaries.
    pub(super) ids: Vec<IpcField>,
    pub(super) metadata: Metadata,
}

/// The schema of a table as this version writes it.
pub(super) fn schema<T: Table>() -> Schema {
    let columns: ArrowSchema = T::fields().into_iter().collect();
    let ids = default_ipc_fields(columns.iter_values());
    Schema { columns, ids, metadata: metadata(Format::CURRENT) }
}

pub(super) fn metadata(format: Format) -> Metadata {
    Metadata::from([(FORMAT_KEY.into(), format.to_string().into())])
}

/// The same as a stream reader wants it. A file's own schema is checked against it, not used: columns behind ours are left unread.
pub(super) fn stream_metadata<T: Table>() -> StreamMetadata {
    let Schema { columns, ids, .. } = schema::<T>();
    StreamMetadata {
        schema: columns,
        custom_schema_metadata: None,
        version: ipc::MetadataVersion::V5,
        ipc_schema: IpcSchema { fields: ids, is_little_endian: true },
    }
}

/// The version of the format, if this schema begins with our columns; otherwise what is wrong with it.
pub(super) fn recognize<T: Table>(schema: ipc::SchemaRef<'_>) -> Result<Format, String> {
    let broken = |_| "the schema is damaged".to_string();
    if schema.endianness().map_err(broken)? != ipc::Endianness::Little {
        return Err("it is big endian".into());
    }
    let format = format_of(schema)?;
    format.check()?;
    let mut fields = schema.fields().map_err(broken)?.ok_or("it has no columns")?.iter();
    for (name, recognized) in T::recognizers() {
        let field = fields.next().ok_or_else(|| format!("it has no column {name}"))?.map_err(broken)?;
        if field.name().map_err(broken)? != Some(name) || recognized(field) != Some(true) {
            return Err(format!("the column {name} is missing or has another type"));
        }
    }
    Ok(format)
}

fn format_of(schema: ipc::SchemaRef<'_>) -> Result<Format, String> {
    let pairs = schema.custom_metadata().map_err(|_| "the schema is damaged")?;
    let mut pairs = pairs.into_iter().flatten().filter_map(Result::ok);
    let found = pairs.find(|pair| pair.key().ok().flatten() == Some(FORMAT_KEY));
    let text = found.and_then(|pair| pair.value().ok().flatten()).ok_or("it is not a heapcast trace")?;
    text.parse().map_err(|()| format!("its format version {text:?} is none"))
}
