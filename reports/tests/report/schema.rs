//! The JSON Schema and the list of columns in the repository are those of the code, and studies conform to them. `BLESS=1` writes it anew.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::made_up;

#[test]
fn the_stored_schema_is_the_codes() {
    stored_is("schema/study.schema.json", &(serde_json::to_string_pretty(&reports::schema::study()).unwrap() + "\n"));
}

fn stored_is(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == found, "{} differs; BLESS=1 accepts it", path.display());
}

/// The tables as a page for people: what each CSV file holds.
#[test]
fn the_stored_list_of_columns_is_the_codes() {
    let mut found = "# The CSV files of a report\n\nMade from the declarations in `reports/src/tables`; empty cells are unknown. New columns come last.\n".to_owned();
    for table in reports::tables::TABLES {
        found += &format!("\n## {}\n\n{}\n\n| column | unit | meaning |\n|---|---|---|\n", table.file_name(), table.doc);
        for column in table.columns {
            found += &format!("| `{}` | {} | {} |\n", column.name, column.unit.name(), column.doc.replace('|', "\\|"));
        }
    }
    stored_is("schema/tables.md", &found);
}

#[test]
fn studies_conform() {
    let schema = reports::schema::study();
    for study in [made_up::study(12), made_up::hostile()] {
        assert_eq!(complaints(&schema, &serde_json::to_value(&study).unwrap()), [""; 0]);
    }
}

#[test]
fn what_does_not_conform_is_found() {
    let schema = reports::schema::study();
    let broken = |change: fn(&mut Value)| {
        let mut study = serde_json::to_value(made_up::study(2)).unwrap();
        change(&mut study);
        complaints(&schema, &study).join("; ")
    };
    assert_eq!(broken(|study| study["version"] = "one".into()), "/version is no integer");
    assert_eq!(broken(|study| study["policies"][0]["timeline"][1]["time_ns"] = (-1).into()), "/policies/0/timeline/1/time_ns is below 0");
    assert_eq!(broken(|study| _ = study["recording"].as_object_mut().unwrap().remove("pid")), "/recording lacks pid");
    assert_eq!(broken(|study| study["sizes"][0]["new"] = 1.into()), "/sizes/0/new is not described");
}

/// What a value has that the schema does not allow; fields that are not described are complained of as well.
fn complaints(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let definition = root.pointer(&name[1..]).unwrap_or_else(|| panic!("{name} is not defined"));
        return check(root, definition, value, at, found);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice: &Value| {
            let mut complaints = Vec::new();
            check(root, choice, value, at, &mut complaints);
            complaints.is_empty()
        };
        if !choices.iter().any(fits) {
            found.push(format!("{at} fits no choice"));
        }
        return;
    }
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    let is = |name: &Value| match name.as_str() {
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        other => panic!("the schema has the type {other:?} at {at}"),
    };
    if !types.iter().any(is) {
        return found.push(format!("{at} is no {}", types[0].as_str().unwrap()));
    }
    if schema["minimum"].as_i64().zip(value.as_i64()).is_some_and(|(least, number)| number < least) {
        found.push(format!("{at} is below {}", schema["minimum"]));
    }
    for (position, item) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], item, &format!("{at}/{position}"), found);
    }
    let Some(fields) = value.as_object() else { return };
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    found.extend(required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at} lacks {name}")));
    for (name, field) in fields {
        match schema["properties"].get(name) {
            Some(schema) => check(root, schema, field, &format!("{at}/{name}"), found),
            None => found.push(format!("{at}/{name} is not described")),
        }
    }
}
