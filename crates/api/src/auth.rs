//! Who knows the pool's key.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use pool_domain::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::ApiError;
use crate::state::Shared;

/// Lets a request through that carries the key.
pub(crate) async fn require_key(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if carries_key(request.headers(), &shared.app.key) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::Unauthorized)
    }
}

/// Whether the request carries the key, in one header: `Bearer`, in any case, and the key. What is
/// compared are hashes, in constant time, so that the time tells neither how much of it is right nor
/// how long the right one is.
pub(crate) fn carries_key(headers: &HeaderMap, key: &Secret) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Some((scheme, rest)) = split(value.as_bytes()) else {
        return false;
    };
    let right = hash(rest).ct_eq(&hash(key.expose().as_bytes()));
    scheme.eq_ignore_ascii_case(b"bearer") && !rest.is_empty() && bool::from(right)
}

fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.trim_ascii();
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(at);
    Some((scheme, rest.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn carries(value: &str, key: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        carries_key(&headers, &Secret::new(key))
    }

    #[test]
    fn the_scheme_is_taken_in_any_case_and_the_key_only_as_it_is() {
        for value in [
            "Bearer the-key",
            "bearer the-key",
            "BEARER  the-key",
            "bEaReR the-key ",
        ] {
            assert!(carries(value, "the-key"), "{value}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "the-key",
            "Basic the-key",
            "Bearer the-ke",
            "Bearer the-keyy",
            "Bearer The-Key",
            "Bearer the-key the-key",
        ] {
            assert!(!carries(value, "the-key"), "{value}");
        }
        assert!(!carries_key(&HeaderMap::new(), &Secret::new("the-key")));
    }

    #[test]
    fn two_headers_open_nothing_although_one_is_right() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Bearer the-key".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer another".parse().unwrap());
        assert!(!carries_key(&headers, &Secret::new("the-key")));
    }

    #[test]
    fn an_empty_key_opens_nothing() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer ".parse().unwrap());
        assert!(!carries_key(&headers, &Secret::new("")));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_and_only_the_key_opens(
            value in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(AUTHORIZATION, value);
                prop_assert!(!carries_key(&headers, &Secret::new("the key that is not drawn")));
            }
        }

        #[test]
        fn every_key_without_spaces_around_it_opens_in_its_own_header(key in "[!-~]([ -~]{0,40}[!-~])?") {
            let header = format!("Bearer {key}");
            prop_assert!(carries(&header, &key));
            let longer = format!("{header}x");
            prop_assert!(!carries(&longer, &key));
        }
    }
}
