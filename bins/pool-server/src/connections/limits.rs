//! What one server grants its clients' connections, and how many of them this process can hold.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Limits of the connections of clients.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections at once. What comes on top is told so and closed.
    pub(crate) connections: usize,
    /// From so many on, the connection that waited longest is closed for each new one.
    pub(crate) crowded_from: usize,
    /// From the first byte of a request's head to its last. A head fits into one packet.
    pub(crate) head: Duration,
    /// From one request to the next: longer than load balancers keep a connection (60 s mostly), so
    /// that they, and not we, close it, and no request meets a connection that is just being closed.
    pub(crate) idle: Duration,
    /// How long a client may take no byte of its answer.
    pub(crate) stall: Duration,
    /// How long a connection that was asked to go may take to write what it has.
    pub(crate) leaving: Duration,
}

/// The bytes of a request's line and headers together. Proxies add about a kilobyte.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The headers of a request. Browsers and proxies together send about thirty.
pub(crate) const HEADERS_MAX: usize = 64;

/// What one connection holds of a request and of an answer at a time, on top of the body that the API
/// has read: with all connections taken, half a gibibyte.
pub(crate) const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// After an answer, how long a request that was sent behind the one before may take to be begun.
pub(crate) const QUEUED_WITHIN: Duration = Duration::from_millis(50);
/// How many of these a server that stops still answers on one connection.
pub(crate) const QUEUED_MAX: u64 = 32;

/// More connections than this serve nobody: a server answers 1,024 requests at once.
const CONNECTIONS_MAX: usize = 4_096;
/// With fewer the process is better not started, but a test may.
const CONNECTIONS_MIN: usize = 16;
/// Files that everything else needs: agents of 256 claims and 64 probes, some thirty connections to
/// the database, Railway, OpenRouter, AgentMail, logs.
const FILES_FOR_OTHERS: usize = 512;
/// As many as most machines grant a process that does not ask.
const FILES_USUAL: u64 = 1_024;

impl Limits {
    /// Those of a server that may open so many files.
    pub(crate) fn for_files(files: usize) -> Self {
        let left = files.saturating_sub(FILES_FOR_OTHERS);
        let connections = left.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        Self {
            connections,
            crowded_from: connections - connections / 8,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            leaving: Duration::from_secs(2),
        }
    }
}

/// Lets this process open as many files as it may, and says how many these are.
pub(crate) fn raise_files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let mut raised = limit;
        raised.current = limit.maximum;
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => debug!(%error, "the limit of open files stays as it is"),
        }
    }
    let files = limit.current.unwrap_or(u64::MAX);
    if files < FILES_USUAL {
        warn!(files, "few files may be open; few clients can be served");
    }
    usize::try_from(files).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_granted_what_the_others_do_not_need() {
        for (files, connections) in [
            (0, 16),
            (256, 16),
            (1_024, 512),
            (2_048, 1_536),
            (usize::MAX, 4_096),
        ] {
            let limits = Limits::for_files(files);
            assert_eq!(limits.connections, connections, "{files} files");
            assert!(limits.crowded_from < connections && limits.crowded_from > 0);
        }
    }

    #[test]
    fn a_process_learns_how_many_files_it_may_open() {
        assert!(raise_files() >= 64);
    }
}
