//! Reads a request's body: a JSON object, or nothing.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::error::ApiError;

/// Instructions are the only long field; agents take no more either.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A mebibyte arrives in that time over 1 Mbit/s; a body that trickles slower holds a request open.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The fields of a body. No body has none.
#[derive(Debug, Default)]
pub(crate) struct Body(pub(crate) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read = Bytes::from_request(request, state);
        let bytes = match timeout(BODY_WITHIN, read).await {
            Err(_elapsed) => return Err(ApiError::BodyTooSlow),
            Ok(Err(refused)) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(ApiError::BodyTooLarge);
            }
            Ok(Err(_cut_off)) => return Err(ApiError::BodyCutOff),
            Ok(Ok(bytes)) => bytes,
        };
        Self::parse(&bytes)
    }
}

impl Body {
    fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::BodyNotObject),
            Err(_) => Err(ApiError::BodyNotJson),
        }
    }

    /// The count that a body names, cut to a whole number; none where it is missing, null or empty.
    /// Text that is a number counts as that number.
    pub(crate) fn count(&self) -> Result<Option<i64>, ApiError> {
        let number = match self.0.get("count") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let whole = number
            .filter(|number: &f64| number.is_finite())
            .map(f64::trunc);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole already, and what is too large for an i64 becomes the largest one"
        )]
        whole
            .map(|whole| Some(whole as i64))
            .ok_or(ApiError::CountNotNumber)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(body: &str) -> Result<Option<i64>, String> {
        let body = Body::parse(body.as_bytes()).map_err(|error| error.to_string())?;
        body.count().map_err(|error| error.to_string())
    }

    #[test]
    fn a_count_is_a_number_or_text_that_is_one() {
        for (body, expected) in [
            ("", None),
            ("{}", None),
            (r#"{"count":null}"#, None),
            (r#"{"count":""}"#, None),
            (r#"{"count":7}"#, Some(7)),
            (r#"{"count":"7"}"#, Some(7)),
            (r#"{"count":" 7 "}"#, Some(7)),
            (r#"{"count":2.9}"#, Some(2)),
            (r#"{"count":-1}"#, Some(-1)),
            (r#"{"count":0}"#, Some(0)),
            (r#"{"count":1e300}"#, Some(i64::MAX)),
        ] {
            assert_eq!(count(body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            r#"{"count":"many"}"#,
            r#"{"count":"NaN"}"#,
            r#"{"count":"inf"}"#,
            r#"{"count":true}"#,
            r#"{"count":[]}"#,
            r#"{"count":{}}"#,
        ] {
            let sentence = "count must be a number".to_owned();
            assert_eq!(count(body), Err(sentence), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(body) = Body::parse(&body) {
                let _ = body.count();
            }
        }

        #[test]
        fn no_count_makes_it_panic(count in "[-+.0-9eEinfa]{0,30}|\\PC{0,20}") {
            let text = serde_json::json!({ "count": count }).to_string();
            let _ = self::count(&text);
            let _ = self::count(&format!(r#"{{"count":{count}}}"#));
        }

        #[test]
        fn a_whole_number_is_read_back(number in -1_000_000_000_i64..1_000_000_000) {
            prop_assert_eq!(count(&format!(r#"{{"count":{number}}}"#)), Ok(Some(number)));
            prop_assert_eq!(count(&format!(r#"{{"count":"{number}"}}"#)), Ok(Some(number)));
        }
    }

    #[test]
    fn a_body_that_is_nested_without_end_is_refused() {
        let deep = "[".repeat(BODY_BYTES_MAX);
        let deep = format!(r#"{{"count":{deep}"#);
        assert!(matches!(
            Body::parse(deep.as_bytes()),
            Err(ApiError::BodyNotJson)
        ));
    }
}
