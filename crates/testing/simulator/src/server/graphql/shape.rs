//! The shapes of Railway's answers: 200 with `errors` for what failed, 400 for what was not
//! understood, and a `traceId` at the top of each error.

use std::sync::atomic::{AtomicU64, Ordering};

use apollo_compiler::response::{ExecutionResponse, GraphQLError};
use http::StatusCode;
use serde_json::{Value, json};

use crate::Refusal;

/// Railway's trace ids are large decimal numbers; these count up from one.
static TRACES: AtomicU64 = AtomicU64::new(5_527_782_523_421_805_956);

/// What the library puts before the words of a resolver.
const RESOLVERS_WORDS: &str = "resolver error: ";

/// The answer to what was carried out, in whole or in part.
pub(super) fn carried_out(response: &ExecutionResponse) -> (StatusCode, Value) {
    let mut body = json!({"data": response.data});
    if !response.errors.is_empty() {
        body["errors"] = response.errors.iter().map(failed).collect();
    }
    (StatusCode::OK, body)
}

/// The answer to a request that does not fit the schema.
pub(super) fn not_understood(
    problems: impl IntoIterator<Item = GraphQLError>,
) -> (StatusCode, Value) {
    let explained = |problem: GraphQLError| {
        let mut item = error_item(&Refusal::Said {
            message: problem.message,
            code: Some("GRAPHQL_VALIDATION_FAILED".to_owned()),
        });
        item["locations"] = json!(problem.locations);
        item
    };
    let errors: Value = problems.into_iter().map(explained).collect();
    let body = json!({"data": null, "errors": errors});
    (StatusCode::BAD_REQUEST, body)
}

/// The answer to values that do not fit, which are not explained.
pub(super) fn bad_input() -> (StatusCode, Value) {
    let item = error_item(&Refusal::ProblemProcessing);
    let body = json!({"data": null, "errors": [item]});
    (StatusCode::BAD_REQUEST, body)
}

/// An error without a place in the request.
pub(in crate::server) fn error_item(refusal: &Refusal) -> Value {
    let trace = TRACES.fetch_add(1, Ordering::Relaxed).to_string();
    let mut item = json!({"message": refusal.to_string(), "traceId": trace});
    if let Some(code) = refusal.code() {
        item["extensions"] = json!({ "code": code });
    }
    item
}

/// A field that failed. The least that Railway says comes without a place too.
fn failed(error: &GraphQLError) -> Value {
    let message = &error.message;
    let message = message.strip_prefix(RESOLVERS_WORDS).unwrap_or(message);
    if message == Refusal::ProblemProcessing.to_string() {
        return error_item(&Refusal::ProblemProcessing);
    }
    let mut item = error_item(&Refusal::said(message));
    item["path"] = json!(error.path);
    item["locations"] = json!(error.locations);
    item
}
