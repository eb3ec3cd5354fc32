//! The JSON Schema of `study.json`, made from the declarations of its structs: a field, its type and its meaning are said once.

use serde_json::{Map, Value, json};

/// How a type looks in JSON.
pub trait Shape {
    /// Its schema; structs refer to their definition and put it into `definitions`.
    fn schema(definitions: &mut Map<String, Value>) -> Value;
}

/// The schema of a study, JSON Schema draft 2020-12. Readers must ignore fields that they do not know: later versions add some.
pub fn study() -> Value {
    let mut definitions = Map::new();
    let root = crate::study::Study::schema(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:heapcast:study:{}", crate::study::STUDY_VERSION),
        "title": "heapcast study",
        "$ref": root["$ref"],
        "$defs": definitions,
    })
}

/// Declares structs that are written as JSON, as they stand, and gives each its [`Shape`]. Doc comments become descriptions; a field with a serde
/// attribute may be missing, others are required.
macro_rules! described {
    ($($(#[doc = $doc:literal])* $(#[derive($($derive:tt)*)])? pub struct $name:ident {
        $($(#[doc = $field_doc:literal])* $(#[serde($($serde:tt)*)])? pub $field:ident: $type:ty,)*
    })*) => {$(
        $(#[doc = $doc])* $(#[derive($($derive)*)])? pub struct $name {
            $($(#[doc = $field_doc])* $(#[serde($($serde)*)])? pub $field: $type,)*
        }

        impl $crate::schema::Shape for $name {
            fn schema(definitions: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                $crate::schema::structure(definitions, stringify!($name), &[$($doc),*], |definitions| vec![$($crate::schema::Field {
                    name: stringify!($field),
                    doc: &[$($field_doc),*],
                    optional: !["", $(stringify!($($serde)*))?].concat().is_empty(),
                    schema: <$type as $crate::schema::Shape>::schema(definitions),
                },)*])
            }
        }
    )*};
}
pub(crate) use described;

/// A field of a struct, for [`described`].
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static [&'static str],
    pub(crate) optional: bool,
    pub(crate) schema: Value,
}

/// Puts a struct into the definitions, unless it is there, and refers to it.
pub(crate) fn structure(
    definitions: &mut Map<String, Value>,
    name: &str,
    doc: &[&str],
    fields: fn(&mut Map<String, Value>) -> Vec<Field>,
) -> Value {
    if !definitions.contains_key(name) {
        let fields = fields(definitions);
        let required: Vec<&str> = fields.iter().filter(|field| !field.optional).map(|field| field.name).collect();
        let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), with_doc(field))).collect();
        let definition = json!({ "description": prose(doc), "type": "object", "properties": properties, "required": required });
        definitions.insert(name.to_owned(), definition);
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn with_doc(field: &Field) -> Value {
    let mut schema = field.schema.clone();
    schema["description"] = prose(field.doc).into();
    schema
}

/// Lines of a doc comment as one paragraph; links to other items as plain names.
fn prose(lines: &[&str]) -> String {
    let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
    words.join(" ").replace("[`", "`").replace("`]", "`")
}

macro_rules! plain {
    ($($type:ty => $schema:tt),* $(,)?) => {$(
        impl Shape for $type {
            fn schema(_: &mut Map<String, Value>) -> Value {
                json!($schema)
            }
        }
    )*};
}

plain! {
    u32 => { "type": "integer", "minimum": 0 },
    u64 => { "type": "integer", "minimum": 0 },
    f64 => { "type": "number" },
    bool => { "type": "boolean" },
    String => { "type": "string" },
}

impl<T: Shape> Shape for Option<T> {
    /// Unknown is null.
    fn schema(definitions: &mut Map<String, Value>) -> Value {
        let mut schema = T::schema(definitions);
        match schema["type"].take() {
            Value::String(name) => {
                schema["type"] = json!([name, "null"]);
                schema
            }
            _ => json!({ "anyOf": [T::schema(definitions), { "type": "null" }] }),
        }
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn schema(definitions: &mut Map<String, Value>) -> Value {
        json!({ "type": "array", "items": T::schema(definitions) })
    }
}
