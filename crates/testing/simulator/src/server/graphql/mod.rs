//! The GraphQL schema: the part of Railway's own that the pool's client is compiled against. What its
//! fields answer is JSON, made from the world when a field asks for it.

mod context;
mod mutation;
mod object;
mod query;
mod request;
mod shape;
mod shown;

use std::sync::{Arc, LazyLock};

use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::resolvers::Execution;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use http::StatusCode;
use serde_json::Value;

pub(super) use context::Scope;
pub(super) use request::{Asked, Request};
pub(super) use shape::error_item;

use self::context::Context;
use self::object::Object;
use super::shared::Shared;

const SDL: &str = include_str!("../../../../../railway/schema/railway.graphql");

/// In no schema: what a client sees when Railway learns a new status.
const UNKNOWN_STATUS: &str = "extend enum DeploymentStatus { HIBERNATING }";

/// The schema as introspection shows it.
static SHOWN: LazyLock<Valid<Schema>> = LazyLock::new(|| parse(SDL.to_owned()));

/// The schema as it is served.
static SERVED: LazyLock<Valid<Schema>> = LazyLock::new(|| parse(format!("{SDL}{UNKNOWN_STATUS}")));

/// The schema that is served, in GraphQL's own language. The status that no client knows is not in
/// it, for that is the point of it.
#[must_use]
pub const fn sdl() -> &'static str {
    SDL
}

#[expect(
    clippy::panic,
    reason = "the text is a constant, and every test reads it"
)]
fn parse(text: String) -> Valid<Schema> {
    Schema::parse_and_validate(text, "railway.graphql")
        .unwrap_or_else(|problem| panic!("railway.graphql: {}", problem.errors))
}

/// The status and the body of the answer. Whoever shows no token sees only the schema.
pub(super) fn execute(
    shared: &Arc<Shared>,
    scope: Option<Scope>,
    request: &Request,
) -> (StatusCode, Value) {
    let schema = if request.asked().is_introspection() {
        &*SHOWN
    } else {
        &*SERVED
    };
    match request.document.to_executable_validate(schema) {
        Ok(document) => resolve(&Context::new(schema, shared, scope), &document, request),
        Err(problem) => shape::not_understood(problem.errors.iter().map(|error| error.to_json())),
    }
}

fn resolve(
    context: &Context<'_>,
    document: &Valid<ExecutableDocument>,
    request: &Request,
) -> (StatusCode, Value) {
    let schema = context.schema;
    let operation = match document.operations.get(request.operation_name.as_deref()) {
        Ok(operation) => operation,
        Err(error) => return shape::not_understood([error.to_graphql_error(&document.sources)]),
    };
    let Ok(variables) = coerce_variable_values(schema, operation, &request.variables) else {
        return shape::bad_input();
    };
    let executed = Execution::new(schema, document)
        .operation(operation)
        .coerced_variable_values(&variables)
        .enable_schema_introspection(true)
        .execute_sync(&Object::root(operation.object_type(), context));
    executed.map_or_else(
        |_| shape::bad_input(),
        |response| shape::carried_out(&response),
    )
}
