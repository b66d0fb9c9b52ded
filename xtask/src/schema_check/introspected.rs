//! For tests: what a server with this SDL answers to the query that we send Railway.

use anyhow::{Result, anyhow};
use apollo_compiler::{ExecutableDocument, Schema, introspection};

pub(crate) fn introspected(sdl: &str) -> Result<Vec<u8>> {
    let schema = Schema::builder()
        .ignore_builtin_redefinitions()
        .parse(sdl, "railway.graphql")
        .build()
        .and_then(Schema::validate)
        .map_err(|problem| anyhow!("{}", problem.errors))?;
    let request: serde_json::Value =
        serde_json::from_str(include_str!("introspection_request.json"))?;
    let query = request["query"].as_str().unwrap_or_default();
    let query = ExecutableDocument::parse_and_validate(&schema, query, "query")
        .map_err(|problem| anyhow!("{}", problem.errors))?;
    let operation = query
        .operations
        .get(None)
        .map_err(|_| anyhow!("no query"))?;
    let implementers = schema.implementers_map();
    let variables = apollo_compiler::request::coerce_variable_values(
        &schema,
        operation,
        &apollo_compiler::response::JsonMap::default(),
    )
    .map_err(|_| anyhow!("the query wants variables"))?;
    let response =
        introspection::partial_execute(&schema, &implementers, &query, operation, &variables)
            .map_err(|_| anyhow!("the query cannot be executed"))?;
    Ok(serde_json::to_vec(&response)?)
}
