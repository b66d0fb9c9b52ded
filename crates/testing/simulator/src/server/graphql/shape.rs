//! The shapes of Railway's answers: 200 with `errors` for what failed, 400 for what was not
//! understood, and a `traceId` at the top of each error.

use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::{PathSegment, Response, ServerError};
use http::StatusCode;
use serde_json::{Value, json};

use crate::Refusal;

/// Railway's trace ids are large decimal numbers; these count up from one.
static TRACES: AtomicU64 = AtomicU64::new(5_527_782_523_421_805_956);

/// The status and the body of an answer.
pub(in crate::server) fn railway_shape(response: &Response) -> (StatusCode, Value) {
    let mut body = json!({"data": response.data});
    if response.errors.is_empty() {
        return (StatusCode::OK, body);
    }
    if !(response.errors.iter()).all(|error| stands(&body["data"], &error.path)) {
        body["data"] = Value::Null;
    }
    let not_understood = response.errors.iter().all(is_not_understood);
    let items = response
        .errors
        .iter()
        .map(|error| item_of(error, not_understood));
    body["errors"] = Value::Array(items.collect());
    let status = if not_understood {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    (status, body)
}

/// Whether something stands at an error's place, a null too. The library leaves a field out that
/// failed and may not be null, where the standard lets the null go up until it may stand, which in
/// this schema is all the way.
fn stands(data: &Value, path: &[PathSegment]) -> bool {
    let mut value = data;
    path.iter().all(|segment| {
        let next = match segment {
            PathSegment::Field(name) => value.get(name),
            PathSegment::Index(index) => value.get(index),
        };
        next.inspect(|next| value = next).is_some()
    })
}

/// An error without a place in the request.
pub(in crate::server) fn error_item(refusal: &Refusal) -> Value {
    let mut item = json!({"message": refusal.to_string(), "traceId": trace_id()});
    if let Some(code) = refusal.code() {
        item["extensions"] = json!({ "code": code });
    }
    item
}

/// An error that the request's text or its variables caused, before anything was carried out.
fn is_not_understood(error: &ServerError) -> bool {
    error.source::<Refusal>().is_none() && (error.path.is_empty() || is_bad_value(error))
}

fn is_bad_value(error: &ServerError) -> bool {
    error.message.starts_with("Invalid value for argument")
        || error.message.starts_with("Failed to parse")
        || error.message.contains("is not defined")
}

fn item_of(error: &ServerError, not_understood: bool) -> Value {
    if let Some(refusal) = error.source::<Refusal>() {
        let mut item = error_item(refusal);
        if refusal.code().is_some() {
            item["path"] = json!(error.path);
            item["locations"] = json!(error.locations);
        }
        return item;
    }
    // An input left out is said no better than this; what does not fit the schema is explained.
    if is_bad_value(error) {
        return error_item(&Refusal::ProblemProcessing);
    }
    let code = if not_understood {
        "GRAPHQL_VALIDATION_FAILED"
    } else {
        "INTERNAL_SERVER_ERROR"
    };
    let code = Some(code.to_owned());
    let mut item = error_item(&Refusal::Said {
        message: error.message.clone(),
        code,
    });
    item["locations"] = json!(error.locations);
    item
}

fn trace_id() -> String {
    TRACES.fetch_add(1, Ordering::Relaxed).to_string()
}
