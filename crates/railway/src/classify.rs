//! From Railway's words to a class. Its error codes do not help: nearly everything, a dead token
//! and a throttle too, is `INTERNAL_SERVER_ERROR`, so the text decides, in any case.

use serde::Deserialize;
use serde_json::Value;

use crate::ErrorClass;
use crate::error::Sent;

/// One item of an answer's list of errors. Everything in it may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct GraphQlError {
    pub(crate) message: String,
    pub(crate) path: Option<Vec<Value>>,
    pub(crate) trace_id: Option<Value>,
    extensions: Option<Extensions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extensions {
    code: Value,
}

/// Phrases that Railway is known to use, in the order in which they are looked for: the special
/// before the general. All words of one entry must be in the message.
const PHRASES: &[(&[&str], ErrorClass)] = &[
    (&["named", "already exists"], ErrorClass::NameTaken),
    (&["too quickly"], ErrorClass::CreationThrottled),
    (
        &["only one", "can be created"],
        ErrorClass::CreationThrottled,
    ),
    (
        &["rate limit"],
        ErrorClass::RateLimited { retry_after: None },
    ),
    (
        &["too many requests"],
        ErrorClass::RateLimited { retry_after: None },
    ),
    (&["resource provision limit"], ErrorClass::ResourceLimit),
    (&["limit", "exceeded"], ErrorClass::ResourceLimit),
    (&["limit", "reached"], ErrorClass::ResourceLimit),
    (&["limit", "upgrade"], ErrorClass::ResourceLimit),
    (&["not authorized"], ErrorClass::NotAuthorized),
    (&["unauthorized"], ErrorClass::NotAuthorized),
    (&["unauthenticated"], ErrorClass::NotAuthorized),
    (&["project token not found"], ErrorClass::NotAuthorized),
    (
        &["two factor authentication required"],
        ErrorClass::NotAuthorized,
    ),
    (&["serviceinstance not found"], ErrorClass::TooEarly),
    (&["failed to create service domain"], ErrorClass::TooEarly),
    (&["operation is already in progress"], ErrorClass::TooEarly),
    (&["cannot redeploy yet"], ErrorClass::TooEarly),
    (&["not found"], ErrorClass::NotFound),
    (&["problem processing request"], ErrorClass::Transient),
    (&["internal server error"], ErrorClass::Transient),
    (&["timed out"], ErrorClass::Transient),
];

impl GraphQlError {
    /// The class that the words, or else the code, say; none if neither is known.
    pub(crate) fn class(&self) -> Option<ErrorClass> {
        let text = self.message.to_lowercase();
        let said = PHRASES
            .iter()
            .find(|(words, _)| words.iter().all(|word| text.contains(word)))
            .map(|(_, class)| *class);
        said.or_else(|| match self.extensions.as_ref()?.code.as_str()? {
            "GRAPHQL_PARSE_FAILED" | "GRAPHQL_VALIDATION_FAILED" | "BAD_USER_INPUT" => {
                Some(ErrorClass::BadRequest)
            }
            "UNAUTHENTICATED" => Some(ErrorClass::NotAuthorized),
            _ => None,
        })
    }
}

/// The class of an answer with this HTTP status and these errors, of which there is at least one.
pub(crate) fn class_of(status: u16, errors: &[GraphQlError]) -> ErrorClass {
    let said = errors.iter().find_map(GraphQlError::class);
    match (status, said) {
        (429, _) => class_of_status(status),
        // Also what Railway says, with this status, of a required input that is missing.
        (400, Some(ErrorClass::Transient) | None) => ErrorClass::BadRequest,
        (_, Some(class)) => class,
        (_, None) => class_of_status(status),
    }
}

/// The class of an answer that holds no GraphQL error.
pub(crate) fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::NotAuthorized,
        404 => ErrorClass::NotFound,
        429 => ErrorClass::RateLimited { retry_after: None },
        408 | 425 | 500..=599 => ErrorClass::Transient,
        300..=499 => ErrorClass::BadRequest,
        _ => ErrorClass::Unknown,
    }
}

/// Whether a write with this answer may have been done. Railway says "Problem processing request"
/// also when only the answer could not be put together; its other words are refusals.
pub(crate) fn sent(status: u16, class: ErrorClass, has_errors: bool) -> Sent {
    match class {
        ErrorClass::Transient | ErrorClass::Undecodable => Sent::Perhaps,
        _ if !has_errors && !(300..500).contains(&status) => Sent::Perhaps,
        _ => Sent::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, item: &str) -> ErrorClass {
        let error: GraphQlError = serde_json::from_str(item).unwrap();
        class_of(status, &[error])
    }

    #[test]
    fn every_message_that_railway_is_known_to_send_has_its_class() {
        use ErrorClass as C;
        for (message, expected) in [
            ("Not Authorized", C::NotAuthorized),
            ("Problem processing request", C::Transient),
            ("ServiceInstance not found", C::TooEarly),
            ("Failed to create service domain", C::TooEarly),
            ("an operation is already in progress", C::TooEarly),
            (
                "Cannot redeploy yet, please wait for the original deployment to finish building",
                C::TooEarly,
            ),
            (
                "A service named \\\"x\\\" already exists in this project",
                C::NameTaken,
            ),
            (
                "Whoa there pal! You are creating volumes too quickly. Try again in a sec",
                C::CreationThrottled,
            ),
            (
                "Whoa there pal! Only one environment can be created per user every 30s",
                C::CreationThrottled,
            ),
            (
                "Free plan resource provision limit exceeded. Please upgrade",
                C::ResourceLimit,
            ),
            ("Rate limit exceeded", C::RateLimited { retry_after: None }),
            ("Project not found", C::NotFound),
            ("VolumeInstance not found", C::NotFound),
            ("Project Token not found", C::NotAuthorized),
            ("Two Factor Authentication Required", C::NotAuthorized),
            ("Something else entirely", C::Unknown),
        ] {
            let code = r#""extensions":{"code":"INTERNAL_SERVER_ERROR"}"#;
            let item = format!(r#"{{"message":"{message}",{code}}}"#);
            assert_eq!(class(200, &item), expected, "{message}");
        }
    }

    #[test]
    fn a_400_is_our_fault_whatever_it_says() {
        let item = r#"{"message":"Problem processing request"}"#;
        assert_eq!(class(400, item), ErrorClass::BadRequest);
        assert_eq!(class(500, item), ErrorClass::Transient);
        let item =
            r#"{"message":"Unknown argument","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}"#;
        assert_eq!(class(200, item), ErrorClass::BadRequest);
    }

    #[test]
    fn an_item_of_any_shape_is_read() {
        for item in [
            "{}",
            r#"{"path":[1,"a"],"traceId":7,"extensions":{"code":3}}"#,
        ] {
            assert_eq!(class(200, item), ErrorClass::Unknown);
        }
    }
}
