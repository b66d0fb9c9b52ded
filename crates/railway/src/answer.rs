//! The envelope of every GraphQL answer, and what is left of one with errors in it.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::classify::GraphQlError;

#[derive(Deserialize)]
pub(crate) struct Envelope<T> {
    #[serde(default = "Option::default")]
    pub(crate) data: Option<T>,
    #[serde(default)]
    pub(crate) errors: Option<Vec<GraphQlError>>,
}

impl<T> Envelope<T> {
    pub(crate) fn errors(&self) -> &[GraphQlError] {
        self.errors.as_deref().unwrap_or_default()
    }
}

/// The data of an answer, which may lack something.
pub(crate) struct Reply<T> {
    pub(crate) data: T,
    pub(crate) partial: Option<Partial>,
}

/// What is wrong with data that came with errors.
pub(crate) struct Partial {
    pub(crate) error: Error,
    /// The rows (connection and position) in which a value is missing. None when an error does not
    /// say where it happened, so that no row can be trusted.
    pub(crate) spoiled: Option<HashSet<(String, usize)>>,
}

impl<T> Reply<T> {
    pub(crate) fn whole(data: T) -> Self {
        Self {
            data,
            partial: None,
        }
    }

    pub(crate) fn partial(data: T, error: Error, errors: Vec<GraphQlError>) -> Self {
        let spoiled = errors
            .into_iter()
            .map(|error| spoiled_row(&error.path?))
            .collect();
        Self {
            data,
            partial: Some(Partial { error, spoiled }),
        }
    }

    /// The data, if nothing is missing in it.
    pub(crate) fn into_whole(self) -> Result<T, Error> {
        match self.partial {
            Some(partial) => Err(partial.error),
            None => Ok(self.data),
        }
    }
}

/// `["environment", "serviceInstances", "edges", 3, "node", "source"]` is row 3 of
/// `serviceInstances`.
fn spoiled_row(path: &[Value]) -> Option<(String, usize)> {
    let edges = path.iter().position(|part| part == "edges")?;
    let connection = path.get(edges.checked_sub(1)?)?.as_str()?;
    let row = path.get(edges + 1)?.as_u64()?;
    Some((connection.to_owned(), usize::try_from(row).ok()?))
}

#[cfg(test)]
impl Partial {
    /// For tests: an answer in which one row is spoiled.
    pub(crate) fn of_row(connection: &str, row: usize) -> Self {
        Self {
            error: Error {
                operation: "EnvironmentListing",
                host: "h".to_owned(),
                status: Some(200),
                class: crate::ErrorClass::Transient,
                message: "Problem processing request".to_owned(),
                trace_id: None,
                sent: crate::error::Sent::Perhaps,
                is_graphql: true,
            },
            spoiled: Some(HashSet::from([(connection.to_owned(), row)])),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use serde_json::json;

    #[test]
    fn the_row_is_read_from_an_errors_path() {
        let row = |path: Value| spoiled_row(path.as_array().unwrap());
        assert_eq!(
            row(json!([
                "environment",
                "serviceInstances",
                "edges",
                3,
                "node",
                "source"
            ])),
            Some(("serviceInstances".to_owned(), 3))
        );
        assert_eq!(row(json!(["environment"])), None);
        assert_eq!(row(json!(["edges", 3])), None);
        assert_eq!(row(json!(["a", "edges", "x"])), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            path in prop::collection::vec("edges|node|[a-z]{0,6}|[0-9]{1,20}", 0..8),
            message in "\\PC{0,60}",
        ) {
            let _ = serde_json::from_slice::<Envelope<Value>>(&bytes);
            let path: Vec<Value> = path
                .into_iter()
                .map(|part| part.parse::<u64>().map_or_else(|_| part.into(), Value::from))
                .collect();
            let _ = spoiled_row(&path);
            let body = json!({
                "data": null,
                "errors": [{ "message": message, "path": path, "extensions": { "code": message } }],
            });
            let envelope: Envelope<Value> = serde_json::from_value(body).unwrap();
            for status in [200, 400, 403, 429, 500, 599] {
                let _ = crate::classify::class_of(status, envelope.errors());
            }
        }
    }
}
