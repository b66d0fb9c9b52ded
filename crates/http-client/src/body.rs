//! Reads what strangers answer, and never more of it than was agreed.

use reqwest::Response;

use crate::error::describe;

/// Why a body could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than we take.
    #[error("the answer exceeds {max_bytes} bytes")]
    TooLarge {
        /// The most that this client reads of an answer, in bytes.
        max_bytes: usize,
    },
    /// The connection broke, or the time ran out.
    #[error("the answer broke off: {reason}")]
    Broken {
        /// The error that ended the reading, in its own words.
        reason: String,
        /// Whether it was the time that ran out.
        is_timeout: bool,
    },
}

impl BodyError {
    /// Whether it was the time that ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Broken {
                is_timeout: true,
                ..
            }
        )
    }
}

impl From<reqwest::Error> for BodyError {
    fn from(error: reqwest::Error) -> Self {
        Self::Broken {
            reason: describe(&error),
            is_timeout: error.is_timeout(),
        }
    }
}

/// Reads a body, of which no more than `max_bytes` are ever held. Counts what gzip expands to.
///
/// # Errors
///
/// When the body is longer than that, breaks off, or does not end within the request's time.
pub async fn read_body(response: &mut Response, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Err(BodyError::TooLarge { max_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
