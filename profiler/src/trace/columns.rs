//! The columns of `events.arrow`: rows to Arrow arrays and back, and whether a schema is ours.

use polars_arrow::array::{Array, BooleanArray, DictionaryArray, PrimitiveArray, Utf8Array};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, IntegerType, Metadata};
use polars_arrow::io::ipc::format::ipc;
use polars_arrow::io::ipc::read::StreamMetadata;
use polars_arrow::io::ipc::write::default_ipc_fields;
use polars_arrow::io::ipc::{IpcField, IpcSchema};

use super::format::{Kind, Row};
use super::manifest::Format;

/// Key of the schema's metadata that holds the version of the format, as in `1.0`.
const FORMAT_KEY: &str = "heapcast.format";

/// Id of the only dictionary, that of the kinds.
pub(super) const DICTIONARY: i64 = 0;

/// What a column holds: how its values become an Arrow array and come back.
trait Cell: Copy {
    /// Read access to one column of a batch.
    type Column<'a>;
    fn dtype() -> ArrowDataType;
    /// Whether this is the type that [`Cell::dtype`] is stored as; none when the flatbuffer is broken.
    fn is(field: ipc::FieldRef<'_>) -> Option<bool>;
    fn array(values: Vec<Self>) -> Box<dyn Array>;
    /// Bytes that `rows` values take.
    fn bytes(rows: usize) -> usize;
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

            fn bytes(rows: usize) -> usize {
                rows * size_of::<$type>()
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

    fn bytes(rows: usize) -> usize {
        rows.div_ceil(8)
    }

    fn column(array: &dyn Array) -> Option<&BooleanArray> {
        array.as_any().downcast_ref()
    }

    fn get(column: &&BooleanArray, row: usize) -> Option<bool> {
        (row < column.len()).then(|| column.value(row))
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

    fn bytes(rows: usize) -> usize {
        rows
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

macro_rules! columns {
    ($($name:ident: $type:ty,)*) => {
        /// Rows that wait to be written.
        #[derive(Default)]
        pub(super) struct Columns { $($name: Vec<$type>,)* }

        impl Columns {
            pub(super) fn push(&mut self, row: &Row) {
                $(self.$name.push(row.$name);)*
            }

            /// The rows as arrays, in the order of the schema; none are left here.
            pub(super) fn take(&mut self) -> Vec<Box<dyn Array>> {
                let rows = self.len();
                vec![$(<$type>::array(std::mem::replace(&mut self.$name, Vec::with_capacity(rows))),)*]
            }

            /// Forgets all rows.
            pub(super) fn clear(&mut self) {
                $(self.$name.clear();)*
            }
        }

        /// The columns of a batch that was read.
        pub(super) struct Batch<'a> { $($name: <$type as Cell>::Column<'a>,)* }

        impl<'a> Batch<'a> {
            /// None unless these are the arrays of [`schema`].
            pub(super) fn new(arrays: &'a [Box<dyn Array>]) -> Option<Batch<'a>> {
                let mut arrays = arrays.iter();
                Some(Batch { $($name: <$type>::column(arrays.next()?.as_ref())?,)* })
            }

            /// None where it holds what this version does not know.
            pub(super) fn row(&self, row: usize) -> Option<Row> {
                Some(Row { $($name: <$type>::get(&self.$name, row)?,)* })
            }
        }

        /// Names of the columns and the bytes of so many of their rows.
        pub(super) fn widths(rows: usize) -> Vec<(&'static str, usize)> {
            vec![$((stringify!($name), <$type>::bytes(rows)),)*]
        }

        fn fields() -> Vec<Field> {
            vec![$(Field::new(stringify!($name).into(), <$type>::dtype(), false),)*]
        }

        fn recognizers() -> Vec<(&'static str, fn(ipc::FieldRef<'_>) -> Option<bool>)> {
            vec![$((stringify!($name), <$type>::is),)*]
        }
    };
}

// The order in the file; new columns go to the end.
columns! {
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

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.time_ns.len()
    }
}

/// What a stream of events says about itself.
pub(super) struct Schema {
    pub(super) columns: ArrowSchema,
    /// Ids of the dictionaries.
    pub(super) ids: Vec<IpcField>,
    pub(super) metadata: Metadata,
}

/// The schema that this version writes.
pub(super) fn schema() -> Schema {
    let columns: ArrowSchema = fields().into_iter().collect();
    let ids = default_ipc_fields(columns.iter_values());
    Schema { columns, ids, metadata: metadata(Format::CURRENT) }
}

pub(super) fn metadata(format: Format) -> Metadata {
    Metadata::from([(FORMAT_KEY.into(), format.to_string().into())])
}

/// The same as a stream reader wants it. A file's own schema is checked against it, not used: columns behind ours are left unread.
pub(super) fn stream_metadata() -> StreamMetadata {
    let Schema { columns, ids, .. } = schema();
    StreamMetadata {
        schema: columns,
        custom_schema_metadata: None,
        version: ipc::MetadataVersion::V5,
        ipc_schema: IpcSchema { fields: ids, is_little_endian: true },
    }
}

/// The version of the format, if this schema begins with our columns; otherwise what is wrong with it.
pub(super) fn recognize(schema: ipc::SchemaRef<'_>) -> Result<Format, String> {
    let broken = |_| "the schema is damaged".to_string();
    if schema.endianness().map_err(broken)? != ipc::Endianness::Little {
        return Err("it is big endian".into());
    }
    let format = format_of(schema)?;
    format.check()?;
    let mut fields = schema.fields().map_err(broken)?.ok_or("it has no columns")?.iter();
    for (name, recognized) in recognizers() {
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
