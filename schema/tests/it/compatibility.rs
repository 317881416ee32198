//! `.ci/events` takes what every consumer can read, and refuses what some can't.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const ID: &str = "urn:web-store:event:order.created:1";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// What the check says of a schema of `order.created` that was changed, and whether it is content.
fn checked(change: impl FnOnce(&mut Value)) -> (bool, String) {
    let place = tempfile::tempdir().unwrap();
    copy(&folder(), place.path());
    copy(&folder().join("released"), &place.path().join("released"));
    let path = place.path().join("order.created.schema.json");
    let mut schema: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut schema);
    fs::write(&path, schema.to_string()).unwrap();
    let check = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.ci/events");
    let output = Command::new(check).arg(place.path()).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn remove(schema: &mut Value, field: &str) {
    schema["properties"].as_object_mut().unwrap().remove(field);
    schema["required"].as_array_mut().unwrap().retain(|name| name != field);
}

#[test]
fn a_schema_may_gain_optional_fields_and_wider_bounds() {
    assert!(checked(|_| ()).0, "the schemas as they are");
    assert!(checked(|schema| schema["properties"]["note"] = json!({ "type": "string" })).0);
    assert!(checked(|schema| schema["properties"]["quantity"]["maximum"] = json!(5000)).0);
    assert!(checked(|schema| schema["properties"]["product"]["description"] = json!("What was ordered")).0);
}

#[test]
fn a_schema_that_some_consumer_can_not_read_is_refused_by_the_name_of_its_field() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 10] = [
        (|schema| remove(schema, "product"), ".product is removed"),
        (|schema| schema["required"].as_array_mut().unwrap().push(json!("note")), ".note is newly required"),
        (
            |schema| schema["required"].as_array_mut().unwrap().retain(|name| name != "product"),
            ".product is no longer required",
        ),
        (|schema| schema["properties"]["quantity"]["type"] = json!("string"), ".quantity has the type string"),
        (|schema| schema["properties"]["quantity"]["maximum"] = json!(10), ".quantity has the maximum 10, was 1000"),
        (|schema| schema["properties"]["quantity"]["minimum"] = json!(2), ".quantity has the minimum 2, was 1"),
        (|schema| schema["properties"]["product"]["pattern"] = json!("^x"), ".product is narrowed by pattern ^x"),
        (|schema| schema["properties"]["order_id"]["format"] = Value::Null, ".order_id has lost its format"),
        (|schema| schema["additionalProperties"] = json!(false), "is narrowed by additionalProperties False"),
        (|schema| schema["$id"] = json!("urn:web-store:event:order.created:2"), "order.created:1 is gone"),
    ];
    for (change, reason) in changes {
        let (is_content, said) = checked(change);
        assert!(!is_content && said.contains(reason) && said.starts_with(ID), "{reason}: {said}");
    }
}
