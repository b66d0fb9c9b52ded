//! A request as it came in: parsed, and not yet held against the schema.

use apollo_compiler::ast::{Document, OperationDefinition, Selection};
use apollo_compiler::parser::Parser;
use apollo_compiler::response::JsonMap;
use serde::Deserialize;

/// How deep a request may nest. Railway documents no limit; the deepest of ours, introspection, nests
/// fifteen times.
const DEPTH_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    query: String,
    variables: Option<JsonMap>,
    operation_name: Option<String>,
}

#[derive(Debug)]
pub(in crate::server) struct Request {
    pub(super) document: Document,
    pub(super) variables: JsonMap,
    pub(super) operation_name: Option<String>,
}

/// What a request asks for.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct Asked {
    pub(in crate::server) operation: Option<String>,
    pub(in crate::server) fields: Vec<String>,
}

impl Request {
    /// Reads the body, or says in a sentence why it cannot be read.
    pub(in crate::server) fn read(body: &[u8]) -> Result<Self, String> {
        let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut parser = Parser::new().recursion_limit(DEPTH_MAX);
        let document = parser.parse_ast(body.query, "request");
        let document = document.map_err(|problem| {
            let first = problem.errors.iter().next();
            first.map_or_else(String::new, |first| first.error.to_string())
        })?;
        Ok(Self {
            document,
            variables: body.variables.unwrap_or_default(),
            operation_name: body.operation_name,
        })
    }

    pub(in crate::server) fn asked(&self) -> Asked {
        let definitions = self.document.definitions.iter();
        let mut operations = definitions.filter_map(|it| it.as_operation_definition());
        let named = self.operation_name.as_deref();
        let chosen = operations.find(|it| {
            let name = it.name.as_deref();
            named.is_none() || name.is_none() || name == named
        });
        let name = chosen.and_then(|it| it.name.as_deref()).or(named);
        Asked {
            operation: name.map(str::to_owned),
            fields: chosen.map_or_else(Vec::new, |it| root_fields(it)),
        }
    }
}

fn root_fields(operation: &OperationDefinition) -> Vec<String> {
    let name_of = |selection: &Selection| match selection {
        Selection::Field(field) => Some(field.name.to_string()),
        _ => None,
    };
    operation.selection_set.iter().filter_map(name_of).collect()
}

impl Asked {
    /// Introspection needs no token.
    pub(in crate::server) fn is_introspection(&self) -> bool {
        !self.fields.is_empty() && self.fields.iter().all(|field| field.starts_with("__"))
    }

    pub(in crate::server) fn creates(&self) -> bool {
        self.fields.iter().any(|field| field.ends_with("Create"))
    }

    pub(in crate::server) fn deletes(&self) -> bool {
        self.fields.iter().any(|field| field.ends_with("Delete"))
    }

    pub(in crate::server) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field == name)
    }
}
