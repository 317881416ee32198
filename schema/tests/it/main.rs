//! Holds the JSON Schemas, the examples, the AsyncAPI document and the Rust types together.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod compatibility;

use std::path::PathBuf;

use schema::event::{EventType, OrderEvent};
use schema::payment::{PaymentEvent, PaymentEventType};
use serde_json::Value;

/// Of all events.
fn names() -> impl Iterator<Item = &'static str> {
    EventType::ALL.map(EventType::as_str).into_iter().chain(PaymentEventType::ALL.map(PaymentEventType::as_str))
}

fn read(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(file: &str) -> Value {
    serde_json::from_str(&read(file)).unwrap()
}

fn schema_of(event_type: &str) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(&json(&format!("{event_type}.schema.json"))).unwrap()
}

#[test]
fn every_event_type_has_a_schema_and_an_example_that_it_accepts() {
    for event_type in names() {
        let example = json(&format!("{event_type}.example.json"));
        let errors: Vec<_> = schema_of(event_type).iter_errors(&example).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{event_type}: {errors:?}");
    }
}

#[test]
fn a_schema_is_called_what_its_events_say() {
    let order = EventType::ALL.map(|event| (event.as_str(), event.data_schema()));
    let payment = PaymentEventType::ALL.map(|event| (event.as_str(), event.data_schema()));
    for (event_type, data_schema) in order.into_iter().chain(payment) {
        let schema = json(&format!("{event_type}.schema.json"));
        assert_eq!(schema["$id"], data_schema);
        assert_eq!(data_schema, format!("urn:web-store:event:{event_type}:{}", schema::event::SCHEMA_VERSION));
    }
}

#[test]
fn the_rust_types_write_exactly_what_the_examples_show() {
    for event_type in EventType::ALL {
        let example = read(&format!("{event_type}.example.json"));
        let event = OrderEvent::decode(event_type.as_str(), example.as_bytes()).unwrap();
        let written: Value = serde_json::from_str(&event.payload().unwrap()).unwrap();
        assert_eq!(written, json(&format!("{event_type}.example.json")));
        assert_eq!(event.event_type(), event_type);
    }
    for event_type in PaymentEventType::ALL {
        let example = read(&format!("{event_type}.example.json"));
        let event = PaymentEvent::decode(event_type.as_str(), example.as_bytes()).unwrap();
        let written: Value = serde_json::from_str(&event.payload().unwrap()).unwrap();
        assert_eq!(written, json(&format!("{event_type}.example.json")));
        assert_eq!(event.event_type(), event_type);
    }
}

#[test]
fn a_schema_refuses_what_an_order_can_not_be() {
    let validator = schema_of(EventType::OrderCreated.as_str());
    let broken = [
        ("schema_version", Value::from(2)),
        ("order_id", Value::from("not-a-uuid")),
        ("product", Value::from("")),
        ("quantity", Value::from(0)),
        ("quantity", Value::from(1001)),
        ("placed_at", Value::from("yesterday")),
    ];
    for (field, value) in broken {
        let mut payload = json("order.created.example.json");
        payload[field] = value;
        assert!(!validator.is_valid(&payload), "{payload}");
    }
}

#[test]
fn a_schema_refuses_what_a_payment_can_not_be() {
    let validator = schema_of(PaymentEventType::Declined.as_str());
    let broken = [
        ("payment_id", Value::from("not-a-uuid")),
        ("amount_minor", Value::from(0)),
        ("amount_minor", Value::from(9.99)),
        ("currency", Value::from("eur")),
        ("reason", Value::from("")),
        ("declined_at", Value::from("yesterday")),
    ];
    for (field, value) in broken {
        let mut payload = json("payment.declined.example.json");
        payload[field] = value;
        assert!(!validator.is_valid(&payload), "{payload}");
    }
}

#[test]
fn the_asyncapi_document_names_every_event_and_header() {
    let document = read("asyncapi.yaml");
    for event_type in names() {
        assert!(document.contains(&format!("$ref: {event_type}.schema.json")), "{event_type}");
    }
    let envelope = schema::envelope::Envelope {
        event_id: schema::ids::EventId::generate(),
        source: schema::names::ORDERS_SOURCE.to_owned(),
        event_type: EventType::OrderCreated.to_string(),
        aggregate_type: schema::names::ORDER.to_owned(),
        aggregate_id: schema::ids::OrderId::generate().into(),
        aggregate_version: std::num::NonZeroU32::new(1),
        occurred_at: chrono::Utc::now(),
    };
    for header in envelope.headers().into_iter().map(|(header, _)| header).chain([schema::envelope::DATASCHEMA]) {
        assert!(document.contains(&format!("        {header}:\n")), "{header}");
    }
}
