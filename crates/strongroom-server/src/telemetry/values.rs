//! Attributes, times and resources in the words of OTLP.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::telemetry::Source;

/// An attribute of text.
pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// An attribute that is a number.
pub(super) fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

/// Text as a value of its own.
pub(super) fn body(text: String) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text)) }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Who speaks (OpenTelemetry semantic conventions, service attributes).
pub(super) fn resource(source: &Source) -> Resource {
    let attributes = vec![
        text("service.name", "strongroom"),
        text("service.version", source.version),
        text("service.namespace", source.deployment.clone()),
    ];
    Resource { attributes, ..Resource::default() }
}

/// Which part of it.
pub(super) fn scope(name: &str, source: &Source) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        version: source.version.to_owned(),
        ..InstrumentationScope::default()
    }
}
