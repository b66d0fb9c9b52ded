//! Why a request has no answer, in words that hold neither its URL nor its headers.

use std::error::Error;
use std::io;
use std::iter::successors;

use rustix::io::Errno;

/// A request that was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    reason: String,
    is_unsent: bool,
    is_timeout: bool,
    is_our_own: bool,
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

    /// Whether this machine could not begin to make a connection: it says nothing of whoever was called.
    #[must_use]
    pub const fn is_our_own(&self) -> bool {
        self.is_our_own
    }
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        Self {
            reason: describe(&error),
            is_unsent: error.is_connect() || error.is_builder(),
            is_timeout: error.is_timeout(),
            is_our_own: error.is_connect() && causes(&error).any(is_our_own),
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
            is_our_own: false,
        }
    }
}

/// What a machine lacks that cannot begin to make a connection: files, ports, memory, a network.
const LACKS: [Errno; 7] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::ADDRNOTAVAIL,
    Errno::NETDOWN,
    Errno::NETUNREACH,
];
/// What resolvers say (glibc's, musl's) that reached no name server, or had no file left for it. A name
/// that does not exist is told in other words.
const NO_NAME_SERVER: [&str; 2] = ["Temporary failure in name resolution", "Try again"];

fn is_our_own(cause: &(dyn Error + 'static)) -> bool {
    let error = cause.downcast_ref::<io::Error>();
    let number = error.and_then(Errno::from_io_error);
    let says = cause.to_string();
    number.is_some_and(|number| LACKS.contains(&number))
        || NO_NAME_SERVER.iter().any(|words| says.ends_with(words))
}

/// The error, and what it was caused by.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
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
    match causes(error).skip(1).last() {
        Some(cause) => cause.to_string(),
        None => "the request could not be sent".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_told_from_what_those_it_calls_lack() {
        let of = |number: Errno| is_our_own(&io::Error::from(number));
        assert!(LACKS.into_iter().all(of));
        for theirs in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH] {
            assert!(!of(theirs), "{theirs}");
        }
        for (says, is_ours) in [
            ("Temporary failure in name resolution", true),
            ("Name or service not known", false),
        ] {
            let says = format!("failed to lookup address information: {says}");
            assert_eq!(
                is_our_own(&io::Error::other(says.clone())),
                is_ours,
                "{says}"
            );
        }
    }
}
