//! Why a request has no answer, in words that hold neither its URL nor its headers.

use std::error::Error;
use std::io;

/// A request that was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    reason: String,
    is_unsent: bool,
    is_timeout: bool,
}

impl SendError {
    /// Whether surely nothing of it was sent: no connection was made, or it is not a request at all.
    /// One that left may have arrived, whatever became of its answer.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Whether it was the time that ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        self.is_timeout
    }
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        Self {
            reason: describe(&error),
            is_unsent: error.is_connect() || error.is_builder(),
            is_timeout: error.is_timeout(),
        }
    }
}

/// What a service in this process says of a connection.
impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        let is_timeout = error.kind() == io::ErrorKind::TimedOut;
        Self {
            reason: if is_timeout {
                NO_ANSWER_IN_TIME.to_owned()
            } else {
                error.to_string()
            },
            is_unsent: error.kind() == io::ErrorKind::ConnectionRefused,
            is_timeout,
        }
    }
}

const NO_ANSWER_IN_TIME: &str = "no answer in time";

/// The innermost cause, which names the trouble; the outer ones only say that sending failed. None
/// of them holds the URL or a header.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() {
            "no connection in time".to_owned()
        } else {
            NO_ANSWER_IN_TIME.to_owned()
        };
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_none() {
        return "the request could not be sent".to_owned();
    }
    cause.to_string()
}
